"""Calls that run while prices change or expire, over restarts too: each settles at the rates of its hold."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import hostile_prices as hostile
from hostile_prices import HostilePrices
from recorded import RecordedUpstream
from strict import Strict, priced_2, sha256_of

PROMPT, COMPLETION = 1_000, 50
WAITING_SECONDS = 1.0
"""How long a call has to get as far as waiting; nobody outside sees that it waits."""

CHEAP, DEAR = (150_000, 600_000), (450_000, 1_800_000)
"""Input and output, in micro-USD per 1M tokens."""


@dataclass(frozen=True)
class Stage:
    """A daemon on a clock that can be set, that has one document in force, and a provider that can wait."""

    server: HostilePrices
    upstream: RecordedUpstream
    sidecar: Strict
    agent_id: str
    clock: Path
    first: bytes

    @contextmanager
    def in_flight(self) -> Iterator[Future[httpx.Response]]:
        """Have one call at the provider, which answers at the end of the block."""
        arrived = self.upstream.arrived
        self.upstream.hold_open()
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(self.call)
            self.upstream.wait_arrived(arrived + 1)
            try:
                yield call
            finally:
                self.upstream.release()

    def call(self) -> httpx.Response:
        """Make one call."""
        words = "word " * 900  # no bound of ours may lie below the 1,000 tokens that are billed
        return self.sidecar.call(self.agent_id, messages=[{"role": "user", "content": words}])

    def change(self, document: bytes) -> None:
        """Put other prices in force."""
        self.server.behave = hostile.body(document)
        answer = self.sidecar.refresh()
        assert answer.status_code == 200, answer.text
        assert self.sidecar.pricing()["document_sha256"] == sha256_of(document)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The cheap document is in force."""
    clock, first = tmp_path / "clock", cheap(1)
    clock.write_text("0")
    with (
        HostilePrices(hostile.body(first)) as server,
        RecordedUpstream(usage=lambda _: (PROMPT, COMPLETION)) as upstream,
        Strict(tmp_path / "home", server.url, upstream.base_url, clock=clock) as sidecar,
    ):
        agent_id = sidecar.agent(concurrency="shared")
        yield Stage(server, upstream, sidecar, agent_id, clock, first)


def cheap(sequence: int) -> bytes:
    """Return a document with low prices."""
    return priced_2(sequence, input_micros=CHEAP[0], output_micros=CHEAP[1])


def dear(sequence: int) -> bytes:
    """Return a document with three times those prices."""
    return priced_2(sequence, input_micros=DEAR[0], output_micros=DEAR[1])


def cost_usd(prices: tuple[int, int]) -> str:
    """Return what a call costs at these prices, by hand: pico-USD per token, written in USD."""
    pico = PROMPT * prices[0] + COMPLETION * prices[1]
    return f"{pico // 10**12}.{pico % 10**12:012}".rstrip("0")


def assert_settled(call: dict[str, Any], document: bytes, prices: tuple[int, int]) -> None:
    """Hold that a call was settled by this document, at these prices, to the last pico-USD."""
    assert (call["state"], call["document_sha256"]) == ("settled", sha256_of(document))
    assert call["cost_usd"] == cost_usd(prices)
    assert {line["rate"] for line in call["lines"]} == set(prices)


def test_a_call_in_flight_settles_at_the_prices_it_was_held_at(stage: Stage) -> None:
    """The document changes while it runs, up and down again; a new call pays what is in force."""
    second, third = dear(2), cheap(3)
    with stage.in_flight() as early:
        stage.change(second)
    assert_settled(stage.sidecar.call_of(early.result()), stage.first, CHEAP)
    with stage.in_flight() as late:
        stage.change(third)
    assert_settled(stage.sidecar.call_of(late.result()), second, DEAR)
    assert_settled(stage.sidecar.call_of(stage.call()), third, CHEAP)


def test_a_call_in_flight_outlives_its_document(stage: Stage) -> None:
    """Expiry ends what may begin, not what has begun."""
    with stage.in_flight() as early:
        stage.clock.write_text("331")
        refused = stage.call()
        assert (refused.status_code, refused.json()["spendguard"]["code"]) == (503, "pricing_expired")
    assert stage.upstream.arrived == 1
    assert_settled(stage.sidecar.call_of(early.result()), stage.first, CHEAP)


def test_after_a_restart_each_call_still_has_the_prices_of_its_hold(stage: Stage) -> None:
    """kill -9 with a call in flight: charged at its hold, at the old rates; new calls pay the new ones."""
    settled = stage.sidecar.call_of(stage.call())
    with stage.in_flight() as cut_off:
        (held,) = [one for one in stage.sidecar.calls(stage.agent_id) if one["state"] == "held"]
        second = dear(2)
        stage.change(second)
        stage.sidecar.kill()
    with pytest.raises(httpx.TransportError):
        cut_off.result()
    stage.server.behave = hostile.status(500)
    stage.sidecar.start()
    calls = {one["call_id"]: one for one in stage.sidecar.calls(stage.agent_id)}
    assert calls[settled["call_id"]] == settled
    worst = calls[held["call_id"]]
    assert (worst["state"], worst["document_sha256"]) == ("settled_worst", sha256_of(stage.first))
    assert worst["cost_usd"] == held["hold_usd"]
    assert_settled(stage.sidecar.call_of(stage.call()), second, DEAR)


def test_a_call_that_a_restart_lets_end_settles_at_its_hold(stage: Stage) -> None:
    """Stopped politely while the document is expired: the call ends first, and is paid as it was held."""
    with stage.in_flight() as early:
        stage.clock.write_text("331")
        assert stage.sidecar.refresh().status_code == 503
        stage.sidecar.http.post("/v1/daemon/shutdown", headers=stage.sidecar.admin)
    answer = early.result()
    assert answer.status_code == 200
    assert stage.sidecar.process is not None
    assert stage.sidecar.process.wait(30) == 0
    stage.sidecar.stop()
    stage.clock.write_text("0")
    stage.sidecar.start()
    assert_settled(stage.sidecar.call_of(answer), stage.first, CHEAP)


def test_every_hold_names_its_document_and_keeps_its_rates(stage: Stage) -> None:
    """What a call can be recomputed from, years later: the archived bytes, and the rates beside the hold."""
    second = dear(2)
    stage.call()
    stage.change(second)
    stage.call()
    holds = [record for record in stage.sidecar.journal() if record["t"] == "hold"]
    assert [hold["document_sha256"] for hold in holds] == [sha256_of(stage.first), sha256_of(second)]
    for hold, document, prices in zip(holds, (stage.first, second), (CHEAP, DEAR), strict=True):
        archived = stage.sidecar.home.pricing / f"{hold['document_sha256']}.json"
        assert archived.read_bytes() == document
        assert set(prices) <= set(hold["rates"].values())


def test_a_call_that_waits_for_money_is_not_sent_on_prices_that_ran_out(tmp_path: Path) -> None:
    """It was priced before it began to wait; expiry is checked when it may go, and its hold is given back."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    with (
        HostilePrices(hostile.body(cheap(1))) as server,
        RecordedUpstream(usage=lambda _: (PROMPT, COMPLETION)) as upstream,
        Strict(
            tmp_path / "home",
            server.url,
            upstream.base_url,
            clock=clock,
            env={"SPENDGUARD_POLICY_HELD_WAIT_SECONDS": "60"},
        ) as sidecar,
    ):
        # A call is held at some 45 cents and costs 10.5: the budget holds one at a time, and pays for both.
        server.behave = hostile.body(priced_2(2, input_micros=10**8, output_micros=10**8))
        assert sidecar.refresh().status_code == 200
        agent_id = sidecar.agent(cents=70, concurrency="shared")
        stage = Stage(server, upstream, sidecar, agent_id, clock, b"")
        with ThreadPoolExecutor(1) as pool, stage.in_flight() as early:
            waiting = pool.submit(stage.call)
            time.sleep(WAITING_SECONDS)
            assert not waiting.done()
            clock.write_text("331")
            stage.upstream.release()
            assert early.result().status_code == 200
            late = waiting.result()
        assert (late.status_code, late.json()["spendguard"]["code"]) == (503, "pricing_expired")
        assert upstream.arrived == 1
        assert sidecar.budget(agent_id)["locked_cents"] == 0
