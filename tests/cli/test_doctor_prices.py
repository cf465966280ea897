"""The doctor on prices: the world is broken for real, it names the cause first, and its remedy is typed."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest

import hostile_prices as hostile
from hostile_prices import HostilePrices
from independent_signer import public_of
from price_vector import OTHER_SEED, SEED
from shell import Shell
from spendguard_cli.context import Flags
from spendguard_cli.doctor.findings import Finding, Level
from spendguard_cli.doctor.groups import prices
from spendguard_cli.doctor.groups.price_refusals import diagnosis
from spendguard_cli.doctor.world import World
from spendguard_cli.pricing.outlook import Outlook
from spendguard_cli.session import Session
from spendguard_daemon.addresses import PUBLIC_PRICES_KEY
from spendguard_daemon.errors import Code, SpendGuardError
from strict import Strict, priced_2, write_trust
from typist import Typist

DAY = 86_400
KEY, OTHER_KEY = (base64.b64encode(public_of(seed)).decode() for seed in (SEED, OTHER_SEED))
OURS = {"id": "test-key", "public_key": KEY}
OTHER = {"id": "other-key", "public_key": OTHER_KEY}
NO_KEYS = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "XAI_API_KEY", "GEMINI_API_KEY"), "")
Found = dict[str, Any]


@dataclass
class Stage:
    """A price server, a sidecar that stays without prices, and an operator beside it."""

    server: HostilePrices
    sidecar: Strict
    typist: Typist
    sequence: int = 0

    def good(self, **changes: Any) -> bytes:
        """Return the next document of the key that is pinned."""
        self.sequence += 1
        return priced_2(self.sequence, **changes)

    def breaks(self, raw: bytes | hostile.Behaviour, *trusted: Found) -> Found:
        """Let the sidecar have no prices, then this answer; return what the doctor names first."""
        home = self.sidecar.home.root
        self.server.behave = hostile.status(503)
        write_trust(home, {"id": "nobody", "public_key": base64.b64encode(b"n" * 32).decode()})
        assert self.sidecar.refresh().status_code == 503
        write_trust(home, *(trusted or (OURS,)))
        self.server.behave = hostile.body(raw) if isinstance(raw, bytes) else raw
        assert self.sidecar.refresh().status_code == 503
        first = self.typist.look()[0]
        assert (first["check"], first["level"]) == ("prices.document", "red"), first
        return first

    def mended(self, first: Found) -> None:
        """Type the remedy; there are prices then, and the doctor has nothing to say of them."""
        self.typist.mends(first)
        assert_well(self.typist)
        assert self.sidecar.http.get("/ready").status_code == 200


def assert_well(typist: Typist) -> None:
    """Nothing is wrong with the prices any more."""
    found = [one for one in typist.look() if one["group"] == "prices"]
    assert {one["level"] for one in found} <= {"ok", "note"}, found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("prices")
    with HostilePrices() as server, Strict(folder / "home", server.url, key=None, env=NO_KEYS) as sidecar:
        yield Stage(
            server, sidecar, Typist(Shell(folder / "home", CAP_PRICING_URL=server.url), folder / "at")
        )


def test_unreachable_prices(stage: Stage) -> None:
    first = stage.breaks(hostile.status(503))
    assert first["code"] == "pricing_unavailable"
    assert "gives no document" in first["finding"]
    assert "it answered 503" in str(first["evidence"])
    assert stage.server.url in first["finding"]
    stage.server.behave = hostile.body(stage.good())
    stage.mended(first)


def test_expired_prices(stage: Stage) -> None:
    first = stage.breaks(stage.good(made=datetime.now(UTC) - timedelta(days=1)))
    assert first["code"] == "pricing_expired"
    assert "has expired" in first["finding"]
    stage.server.behave = hostile.body(stage.good())
    stage.mended(first)


def test_rolled_back_prices(stage: Stage) -> None:
    old = stage.good()
    stage.server.behave = hostile.body(stage.good())
    write_trust(stage.sidecar.home.root, OURS)
    assert stage.sidecar.refresh().status_code == 200
    first = stage.breaks(old)
    assert first["code"] == "pricing_rollback"
    assert "an older document than one that was accepted" in first["finding"]
    stage.server.behave = hostile.body(stage.good())
    stage.mended(first)


def test_a_tampered_document(stage: Stage) -> None:
    raw = stage.good()
    first = stage.breaks(raw.replace(b":150000", b":150001"))
    assert first["code"] == "pricing_signature"
    assert "it was changed after signing" in first["finding"]
    assert "pin no other key" in first["deed"]
    stage.server.behave = hostile.body(raw)
    stage.mended(first)


def test_a_key_that_is_not_pinned(stage: Stage) -> None:
    """Which key the document names, and which are pinned, is said; to trust it is left to the person."""
    first = stage.breaks(stage.good(key_id="other-key", seed=OTHER_SEED))
    assert first["code"] == "pricing_signature"
    assert "'other-key'" in first["finding"]
    assert {"the document names other-key", "pinned here: test-key"} <= set(first["evidence"])
    assert "by another way than the price server" in first["deed"]
    assert stage.typist.type(f"spendguard pricing trust add other-key {OTHER_KEY}").code == 0
    stage.mended(first)


def test_a_revoked_key(stage: Stage) -> None:
    first = stage.breaks(stage.good(), OURS | {"revoked": True}, OTHER)
    assert "signed with the key test-key, which is revoked" in first["finding"]
    assert "pinned here: test-key (revoked), other-key" in first["evidence"]
    stage.server.behave = hostile.body(stage.good(key_id="other-key", seed=OTHER_SEED))
    stage.mended(first)


def test_no_document_at_all(stage: Stage) -> None:
    """A page where the document should be."""
    first = stage.breaks(b"<html>sign in</html>")
    assert first["code"] == "pricing_invalid"
    assert "no valid price document" in first["finding"]
    stage.server.behave = hostile.body(stage.good())
    stage.mended(first)


def test_a_trust_file_that_is_none(stage: Stage) -> None:
    stage.breaks(hostile.status(503))
    (stage.sidecar.home.root / "trust.toml").write_text("[[key]]\nid = 7\n")
    assert stage.sidecar.refresh().status_code == 503
    first = stage.typist.look()[0]
    assert "trust.toml" in first["finding"]
    write_trust(stage.sidecar.home.root, OURS)
    stage.server.behave = hostile.body(stage.good())
    stage.mended(first)


def test_prices_that_are_not_renewed_but_last(stage: Stage) -> None:
    """No call is refused yet: it is a warning, and says when it will be more."""
    write_trust(stage.sidecar.home.root, OURS)
    stage.server.behave = hostile.body(stage.good())
    assert stage.sidecar.refresh().status_code == 200
    stage.server.behave = hostile.status(500)
    assert stage.sidecar.refresh().status_code == 503
    first = stage.typist.look()[0]
    assert (first["check"], first["level"]) == ("prices.renewal", "warning")
    assert any("then no call passes" in said for said in first["evidence"])
    stage.server.behave = hostile.body(stage.good())
    stage.mended(first)


@pytest.mark.parametrize("off", [-DAY, DAY], ids=["behind", "ahead"])
def test_a_clock_that_is_a_day_off(tmp_path: Path, off: int) -> None:
    """It looks like expired prices; the doctor names the clock, and the prices as what comes of it."""
    clock = tmp_path / "clock"
    clock.write_text(str(off))

    def dated(seconds: int = 300) -> hostile.Behaviour:
        now = datetime.now(UTC)
        raw = priced_2(int(now.timestamp()), seconds=seconds)
        return hostile.body(raw, date=formatdate(now.timestamp(), usegmt=True))

    with HostilePrices(dated()) as server:
        write_trust(tmp_path / "home", OURS)
        with Strict(tmp_path / "home", server.url, key=None, clock=clock, env=NO_KEYS) as sidecar:
            typist = Typist(Shell(tmp_path / "home", CAP_PRICING_URL=server.url), tmp_path / "at")
            first, *rest = typist.look()
            assert (first["check"], first["level"]) == ("prices.clock", "red")
            assert f"is 1 day {'ahead' if off > 0 else 'behind'}" in first["finding"]
            assert "Set the clock" in first["deed"]
            assert next(one for one in rest if one["check"] == "prices.document")["symptom"]
            clock.write_text("0")
            server.behave = dated()
            if off > 0:  # the ledger never goes back, and prices live by it
                assert sidecar.refresh().status_code == 503
                first = typist.look()[0]
                assert first["check"] == "prices.document"
                assert "the clock was ahead once" in first["finding"]
                server.behave = dated(3 * DAY)
            typist.mends(first)
            assert_well(typist)


@pytest.mark.parametrize(
    ("check", "changes", "said"),
    [
        (prices.catalogue, {"catalogue_is_old": True}, "The price catalogue is old"),
        (prices.catalogue, {"ten_fold": ["openai:small: output 1 -> 10"]}, "A price changed ten-fold"),
        (prices.renewal, {"issued_at": "2020-01-01T00:00:00Z"}, "and was not renewed"),
    ],
)
def test_what_to_look_at_in_prices_that_are_in_force(
    stage: Stage, check: Callable[[World], Iterator[Finding]], changes: Found, said: str
) -> None:
    write_trust(stage.sidecar.home.root, OURS)
    stage.server.behave = hostile.body(stage.good())
    assert stage.sidecar.refresh().status_code == 200
    world = World(Session(Flags(), stage.typist.env))
    assert world.status is not None
    assert world.status.pricing is not None
    assert [one.level for one in check(world)] == [Level.OK]
    changed = msgspec.structs.replace(world.status.pricing, **changes)
    world.__dict__["status"] = msgspec.structs.replace(world.status, pricing=changed)
    (found,) = check(world)
    assert found.level is Level.WARNING
    assert said in found.finding
    assert found.deed or found.remedy
    world.session.close()


# -- before a sidecar is started -----------------------------------------------------------------------------


@dataclass
class Closed:
    """A home whose sidecar is down, a price server that is well, and an operator."""

    server: HostilePrices
    typist: Typist

    def first(self, **env: str) -> Found:
        """Return what the doctor names first where this is in the environment."""
        self.typist.shell.quick.ok("down", "--now")
        self.typist.env |= {"CAP_PRICING_URL": self.server.url, **env}
        self.server.behave = hostile.body(priced_2(int(datetime.now(UTC).timestamp())))
        return self.typist.look()[0]

    def mended(self, first: Found) -> None:
        """Type the remedy; a sidecar with these prices is up then."""
        self.typist.mends(first)
        assert_well(self.typist)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    folder = tmp_path_factory.mktemp("closed")
    shell = Shell(folder / "home")
    with HostilePrices() as server:
        write_trust(folder / "home", OURS)
        yield Closed(server, Typist(shell, folder / "at"))
        shell.end()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (OTHER_KEY, "CAP_PRICING_SIGNING_PUBLIC_KEY is not the key that the price document is signed with"),
        ("MCowBQYDK2VwAyEA", "CAP_PRICING_SIGNING_PUBLIC_KEY is no public key"),
    ],
    ids=["of another authority", "malformed"],
)
def test_a_wrong_public_key_in_the_environment(closed: Closed, key: str, said: str) -> None:
    first = closed.first(CAP_PRICING_SIGNING_PUBLIC_KEY=key)
    assert (first["check"], first["code"]) == ("prices.document", "pricing_signature")
    assert said in first["finding"]
    assert "unset" in first["remedy"][0]
    refused = closed.typist.type("spendguard up")
    assert (refused.code, "signature" in refused.err or "public key" in refused.err) == (8, True)
    closed.mended(first)


def test_a_schema_that_the_document_is_not_of(closed: Closed) -> None:
    first = closed.first(CAP_PRICING_SCHEMA_VERSION="1")
    assert (first["check"], first["code"]) == ("prices.document", "pricing_invalid")
    assert "not of schema 1" in first["finding"]
    closed.mended(first)


def test_signature_checks_that_are_switched_off(closed: Closed) -> None:
    """Alone it starts nothing; said twice it runs, in red; both are taken back as printed."""
    off = {"CAP_PRICING_VERIFY_SIGNATURE": "false"}
    first = closed.first(**off)
    assert (first["check"], first["level"]) == ("prices.verification", "red")
    assert "starts no sidecar" in first["finding"]
    closed.mended(first)
    closed.typist.env |= off
    assert closed.typist.type("spendguard restart --insecure-pricing").code == 0
    first = closed.typist.look()[0]
    assert (first["check"], first["level"]) == ("prices.verification", "red")
    assert "Signatures of prices are not checked" in first["finding"]
    closed.mended(first)


def test_a_start_that_was_given_older_prices(closed: Closed) -> None:
    """Without a sidecar only the ledger knows what was accepted before: its last words say it."""
    now = int(datetime.now(UTC).timestamp())
    closed.typist.shell.quick.ok("down", "--now")
    closed.typist.env |= {"CAP_PRICING_URL": closed.server.url}
    closed.server.behave = hostile.body(priced_2(now))
    assert closed.typist.type("spendguard up").code == 0
    closed.typist.shell.quick.ok("down", "--now")
    (closed.typist.shell.home / "pricing" / "remote.json").unlink()
    closed.server.behave = hostile.body(priced_2(1))
    assert closed.typist.type("spendguard up").code == 8
    first = closed.typist.look()[0]
    assert (first["check"], first["code"]) == ("prices.document", "pricing_rollback")
    closed.server.behave = hostile.body(priced_2(now + 1))
    closed.mended(first)


# -- what needs no sidecar -----------------------------------------------------------------------------------

SEEN = Outlook(remote=True, url="https://prices.example/doc", pinned=("test-key",))


@pytest.mark.parametrize(
    ("error", "seen", "said", "remedy"),
    [
        (
            "the key 'k' is not pinned; 0 of 1 pinned keys signed it",
            Outlook(remote=True, url="", published_signed=True),
            "published key",
            f"spendguard pricing trust add published {PUBLIC_PRICES_KEY}",
        ),
        ("the key k was good until 2026-01-01T00:00:00Z", SEEN, "its time has ended", None),
        ("1 of 2 pinned keys signed it", SEEN, "Too few", None),
        (
            "it does not bear the signature of key-1",
            Outlook(remote=True, url="", key_from="config.toml"),
            "config.toml",
            "spendguard config set prices.public_key ''",
        ),
    ],
)
def test_which_signature_failure_it_is(error: str, seen: Outlook, said: str, remedy: str | None) -> None:
    detail = f"Remote pricing signature verification failed: {error}"
    found = diagnosis(SpendGuardError(Code.PRICING_SIGNATURE, detail), seen, 0, up=True)
    assert said in found.finding
    assert found.level is Level.RED
    assert remedy is None or found.remedy[0] == remedy


def test_the_last_attempt_is_the_cause() -> None:
    """What ran out did so because nothing newer came."""
    error = SpendGuardError(
        Code.PRICING_EXPIRED,
        "Remote pricing payload has expired: it was valid until X; the last attempt to get one: Remote "
        "pricing request failed: it answered 500 (pricing_unavailable)",
    )
    found = diagnosis(error, SEEN, 0, up=True)
    assert found.code == "pricing_unavailable"
    assert found.evidence[0].startswith("Remote pricing payload has expired")


@pytest.mark.parametrize(
    ("seconds", "said"), [(86_400, "1 day"), (7300, "2 hours"), (61, "1 minute"), (5, "5 s"), (-5, "0 s")]
)
def test_spans_are_said_as_people_say_them(seconds: int, said: str) -> None:
    assert prices._span(seconds) == said
