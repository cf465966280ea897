"""A change of the signing key while calls go on, twenty a second, and a clock that is a day off both ways.

No call is refused that should pass; none is priced by a document that is expired, or whose key was not
trusted when it was used. What was held for is read from the journal, where each hold names its document.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hostile_prices as hostile
from hostile_prices import HostilePrices
from independent_signer import public_of
from price_vector import OTHER_SEED, SEED, text_of
from recorded import RecordedUpstream
from spendguard_daemon.errors import Code
from strict import Strict, priced_2, sha256_of, write_trust
from until import until

CALLS_PER_SECOND = 20
PHASE_SECONDS = 0.6
DAY = 86_400
OLD = {"id": "old", "public_key": text_of(public_of(SEED))}
NEW = {"id": "new", "public_key": text_of(public_of(OTHER_SEED))}
SEEDS = {"old": SEED, "new": OTHER_SEED}


@dataclass
class Traffic:
    """Calls at a steady pace; `refused` are the codes of those that got no 200, by their phase."""

    sidecar: Strict
    agent_id: str
    phase: str = "start"
    passed: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Make calls as long as the block runs; return when each has its answer."""
        with ThreadPoolExecutor(8) as pool:
            pacer = threading.Thread(target=self._pace, args=(pool,))
            pacer.start()
            try:
                yield
            finally:
                self._stop.set()
                pacer.join()

    def go_on(self, phase: str) -> None:
        """Let calls flow for a while under the name of a phase."""
        self.phase = phase
        before = len(self.passed) + len(self.refused)
        time.sleep(PHASE_SECONDS)
        until(lambda: len(self.passed) + len(self.refused) > before + 3)

    def _pace(self, pool: ThreadPoolExecutor) -> None:
        while not self._stop.wait(1 / CALLS_PER_SECOND):
            pool.submit(self._call, self.phase)

    def _call(self, phase: str) -> None:
        answer = self.sidecar.call(self.agent_id)
        if answer.status_code == 200:
            self.passed.append(phase)
        else:
            self.refused.append((phase, answer.json()["spendguard"]["code"]))


@dataclass
class Authority:
    """The price server's side: signs the next document, remembers each with its key and its end."""

    server: HostilePrices
    issued: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    sequence: int = 0

    def issue(self, key_id: str, *, at: datetime | None = None, seconds: int = 3 * DAY) -> str:
        """Serve a new document from now on; return its hash."""
        self.sequence += 1
        at = (at or datetime.now(UTC)).replace(microsecond=0)
        seed = SEEDS[key_id]
        raw = priced_2(self.sequence, key_id=key_id, seed=seed, made=at, seconds=seconds)
        self.issued[sha256_of(raw)] = (key_id, at + timedelta(seconds=seconds))
        self.server.behave = hostile.conditional(raw, f'"{self.sequence}"')
        return sha256_of(raw)


def holds_of(sidecar: Strict) -> list[dict[str, Any]]:
    """Return every hold of the journal."""
    return [record for record in sidecar.journal() if record["t"] == "hold"]


def sent_holds_of(sidecar: Strict) -> list[dict[str, Any]]:
    """Return every hold but those whose prices ran out before their call was sent, and which were voided."""
    voids = {record["call_id"]: record["reason"] for record in sidecar.journal() if record["t"] == "void"}
    assert set(voids.values()) <= {"not sent: pricing expired"}
    return [hold for hold in holds_of(sidecar) if hold["call_id"] not in voids]


def refreshed(sidecar: Strict, wanted: str) -> None:
    """Have the prices fetched; the wanted document is in force."""
    answer = sidecar.refresh()
    assert answer.status_code == 200, answer.text
    assert sidecar.pricing()["document_sha256"] == wanted


def test_the_key_changes_and_the_clock_is_off_while_calls_go_on(tmp_path: Path) -> None:
    """Old key, both, new key, old revoked; a day ahead, a day behind; then time runs out, and is renewed."""
    home, clock = tmp_path / "home", tmp_path / "clock"
    clock.write_text("0")
    with HostilePrices() as server, RecordedUpstream() as upstream:
        authority = Authority(server)
        first = authority.issue("old")
        write_trust(home, OLD)
        with Strict(home, server.url, upstream.base_url, key=None, clock=clock) as sidecar:
            traffic = Traffic(sidecar, sidecar.agent(cents=100_000, concurrency="shared"))
            with traffic.flowing():
                traffic.go_on("old key")
                assert sidecar.pricing()["document_sha256"] == first
                refreshed(sidecar, authority.issue("old"))
                write_trust(home, OLD, NEW)
                refreshed(sidecar, authority.issue("old"))
                traffic.go_on("both keys, old signs")
                refreshed(sidecar, authority.issue("new"))
                traffic.go_on("both keys, new signs")
                write_trust(home, OLD | {"revoked": True}, NEW)
                refreshed(sidecar, authority.issue("new"))
                revoked_from = len(holds_of(sidecar))
                traffic.go_on("old revoked")
                forged = authority.issue("old")
                assert sidecar.refresh().json()["spendguard"]["code"] == Code.PRICING_SIGNATURE
                traffic.go_on("the old key signs once more")
                clock.write_text(str(DAY))
                traffic.go_on("a day ahead")
                refreshed(sidecar, authority.issue("new"))
                traffic.go_on("a day ahead, renewed")
                clock.write_text(str(-DAY))
                traffic.go_on("a day behind")
                refreshed(sidecar, authority.issue("new"))
                traffic.go_on("a day behind, renewed")
                assert traffic.refused == []
                last = authority.issue("new", seconds=2 * DAY)
                refreshed(sidecar, last)
                server.behave = hostile.not_modified(f'"{authority.sequence}"')
                traffic.phase = "over"
                clock.write_text(str(2 * DAY + 60))
                until(lambda: len(traffic.refused) > 3)
                traffic.go_on("over")
                arrived = upstream.arrived
                traffic.go_on("over")
                assert upstream.arrived == arrived, "nothing leaves on prices of yesterday"
                later = datetime.now(UTC) + timedelta(days=2, seconds=60)
                renewed = authority.issue("new", at=later)
                refreshed(sidecar, renewed)
                traffic.go_on("renewed")
            assert "renewed" not in {phase for phase, _ in traffic.refused}
            assert {code for _, code in traffic.refused} == {Code.PRICING_EXPIRED}
            holds = sent_holds_of(sidecar)
            assert upstream.arrived == len(traffic.passed) == len(holds)
    used = [hold["document_sha256"] for hold in holds]
    assert {*used} <= {*authority.issued} - {forged}
    assert first in used
    assert renewed in used
    assert {authority.issued[sha][0] for sha in used[revoked_from:]} == {"new"}
    for hold in holds:
        _, expires = authority.issued[hold["document_sha256"]]
        assert datetime.fromisoformat(hold["ts"]) <= expires + timedelta(seconds=30)


def test_a_revoked_key_takes_its_document_with_it(tmp_path: Path) -> None:
    """Neither a 304 nor a server that is down keeps prices alive whose signer nobody trusts any more."""
    home = tmp_path / "home"
    with HostilePrices() as server, RecordedUpstream() as upstream:
        authority = Authority(server)
        authority.issue("old")
        write_trust(home, OLD, NEW)
        with Strict(home, server.url, upstream.base_url, key=None) as sidecar:
            agent_id = sidecar.agent()
            assert sidecar.call(agent_id).status_code == 200
            write_trust(home, OLD | {"revoked": True}, NEW)
            for behave in (hostile.not_modified('"1"'), hostile.status(500)):
                server.behave = behave
                assert sidecar.refresh().status_code == 503
                assert sidecar.call(agent_id).status_code == 503
            sidecar.kill()
            sidecar.start()
            assert sidecar.call(agent_id).status_code == 503
            assert upstream.arrived == 1
            authority.issue("new")
            assert sidecar.refresh().status_code == 200
            assert sidecar.call(agent_id).status_code == 200


def test_a_key_that_ran_ahead_is_stopped_by_revoking_it(tmp_path: Path) -> None:
    """A thief signs the last number there is; once his key is revoked, counting goes on from the others'."""
    home = tmp_path / "home"
    with HostilePrices() as server:
        server.behave = hostile.body(priced_2(7, key_id="new", seed=OTHER_SEED))
        write_trust(home, OLD, NEW)
        with Strict(home, server.url, key=None) as sidecar:
            server.behave = hostile.body(priced_2(2**53 - 1, key_id="old"))
            assert sidecar.refresh().status_code == 200
            good = priced_2(8, key_id="new", seed=OTHER_SEED)
            server.behave = hostile.body(good)
            assert sidecar.refresh().json()["spendguard"]["code"] == Code.PRICING_ROLLBACK
            write_trust(home, OLD | {"revoked": True}, NEW)
            refreshed(sidecar, sha256_of(good))
            server.behave = hostile.body(priced_2(6, key_id="new", seed=OTHER_SEED))
            assert sidecar.refresh().json()["spendguard"]["code"] == Code.PRICING_ROLLBACK
