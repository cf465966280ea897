"""The keeper of prices: marks in the ledger that outlive restarts, and what it says when it has none."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from nacl.signing import SigningKey

import signed_prices
from ledger_kit import Failures, open_ledger
from local_home import FOLDER, TRUST, Home
from remote_home import NOT_MODIFIED, STATE, RemoteHome, answer
from signed_prices import DAY_NS, NOW_NS, PINNED, document
from sim import SimDisk
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway import views
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.price_keeper import PriceClock, PriceKeeper, PriceOrigin
from spendguard_daemon.pricing.answers import failed
from spendguard_daemon.pricing.local import LocalPrices
from spendguard_daemon.pricing.trust import PinnedKey

GOOD = document()
SEED_B = bytes([2]) * 32
B = PinnedKey("b", bytes(SigningKey(SEED_B).verify_key))
SECOND_NS = 10**9


def of_b(sequence: int) -> bytes:
    return signed_prices.sign(signed_prices.body(key_id="b", sequence=sequence), SEED_B)


class Daemon:
    """Starts of one daemon over one ledger on a disk in memory."""

    def __init__(self, home: RemoteHome) -> None:
        self.home, self.disk, self.failures = home, SimDisk(), Failures()

    def life(
        self,
        work: Callable[[PriceKeeper, Ledger], Coroutine[Any, Any, None]],
        source: PriceOrigin | None = None,
        **terms: Any,
    ) -> None:
        """Run one life of it from start to clean stop; its prices come from elsewhere, or from `source`."""

        async def live() -> None:
            ledger = open_ledger(self.disk, self.home.clock, self.failures)
            ledger.start(asyncio.get_running_loop())
            keeper = PriceKeeper(source or self.home.source(**terms), ledger, self.home.clock)
            try:
                await work(keeper, ledger)
            finally:
                await ledger.close("shutdown")

        asyncio.run(live())
        assert not self.home.server.answers

    def local(self) -> LocalPrices:
        """Return the source of a start that signs its own prices, in the same home."""
        return LocalPrices(FOLDER, TRUST, disk=self.home.disk, clock=self.home.clock, rng=self.home.rng)


@pytest.fixture
def daemon() -> Daemon:
    return Daemon(RemoteHome())


async def refused(work: Coroutine[Any, Any, None]) -> SpendGuardError:
    with pytest.raises(SpendGuardError) as caught:
        await work
    return caught.value


def test_the_first_document_is_noted_before_it_is_used(daemon: Daemon) -> None:
    """And the next start needs nobody."""

    async def first(keeper: PriceKeeper, ledger: Ledger) -> None:
        daemon.home.server.answers.append(answer(GOOD))
        await keeper.load()
        mark = ledger.state.high_water["test-key"]
        assert (mark.source, mark.sequence) == ("remote", 7)
        report = keeper.report()
        assert (report.source, report.key_ids, report.last_error) == ("remote", ("test-key",), None)

    async def second(keeper: PriceKeeper, ledger: Ledger) -> None:
        await keeper.load()
        assert keeper.current(NOW_NS).sequence == 7

    daemon.life(first)
    daemon.life(second)


def test_no_rollback_after_a_restart_without_the_files(daemon: Daemon) -> None:
    """Whoever removes the documents does not remove the mark."""

    async def first(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.append(answer(document(sequence=9)))
        await keeper.load()

    async def second(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.append(answer(GOOD))
        assert (await refused(keeper.load())).code is Code.PRICING_ROLLBACK

    daemon.life(first)
    for path in daemon.home.files:
        del daemon.home.disk.files[path]
    daemon.life(second)


@pytest.fixture
def served_own(daemon: Daemon) -> bytes:
    """Sign prices here, and take the same document from a price server then; it is returned."""
    kept: list[bytes] = []

    async def signs(keeper: PriceKeeper, _: Ledger) -> None:
        await keeper.load()
        sha256 = keeper.current(NOW_NS).document_sha256
        kept.append(daemon.home.disk.files[FOLDER / f"{sha256}.json"])

    async def is_served(keeper: PriceKeeper, ledger: Ledger) -> None:
        daemon.home.server.answers.append(answer(kept[0]))
        await keeper.load()
        assert [mark.source for mark in ledger.state.high_water.values()] == ["remote"]

    daemon.life(signs, daemon.local())
    daemon.life(is_served)
    return kept[0]


def test_who_served_a_document_of_its_own_can_sign_again(daemon: Daemon, served_own: bytes) -> None:
    """From remote back to local: the next one goes above the mark, as the ledger takes nothing beside it."""

    async def same(keeper: PriceKeeper, _: Ledger) -> None:
        await keeper.load()
        assert keeper.current(NOW_NS).sequence == 1

    async def nears_its_end(keeper: PriceKeeper, ledger: Ledger) -> None:
        await keeper.load()
        assert keeper.current(NOW_NS).sequence == 2
        (mark,) = ledger.state.high_water.values()
        assert (mark.source, mark.sequence) == ("local", 2)

    async def replayed(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.append(answer(served_own))
        assert (await refused(keeper.load())).code is Code.PRICING_ROLLBACK

    daemon.life(same, daemon.local())
    daemon.home.clock.now_ns += 6 * DAY_NS + SECOND_NS
    daemon.life(nears_its_end, daemon.local())
    del daemon.home.disk.files[STATE]
    daemon.life(replayed)


def test_no_number_of_another_key_moves_our_own(daemon: Daemon) -> None:
    """A price server may give the highest number there is: prices are signed here as before it."""

    async def served(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.append(answer(document(sequence=2**53 - 1)))
        await keeper.load()

    async def signs(keeper: PriceKeeper, _: Ledger) -> None:
        await keeper.load()
        assert keeper.current(NOW_NS).sequence == 1

    daemon.life(served)
    daemon.life(signs, daemon.local())


def test_the_mark_of_a_revoked_key_binds_nobody(daemon: Daemon) -> None:
    """A stolen key may have signed the highest number there is."""

    async def work(keeper: PriceKeeper, _: Ledger) -> None:
        home = daemon.home
        home.server.answers.append(answer(document(sequence=2**53 - 1)))
        await keeper.load()
        home.pin(PINNED, B)
        home.server.answers.append(answer(of_b(8)))
        assert (await refused(keeper.refresh())).code is Code.PRICING_ROLLBACK
        home.pin(replace(PINNED, revoked=True), B)
        home.server.answers.append(answer(of_b(8)))
        await keeper.refresh()
        assert keeper.current(NOW_NS).key_id == "b"
        home.server.answers.append(answer(of_b(7)))
        assert (await refused(keeper.refresh())).code is Code.PRICING_ROLLBACK

    daemon.life(work)


def test_what_it_says_without_a_document(daemon: Daemon) -> None:
    """The code and the words of the last attempt, at each call, until there is one."""

    async def work(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.append(failed("it answered 500"))
        await refused(keeper.load())
        with pytest.raises(SpendGuardError) as unpriced:
            keeper.current(NOW_NS)
        assert unpriced.value.code is Code.PRICING_UNAVAILABLE
        assert "Remote pricing request failed: it answered 500 (pricing_unavailable)" in unpriced.value.detail
        with pytest.raises(SpendGuardError):
            keeper.report()
        daemon.home.server.answers.append(answer(GOOD))
        await keeper.refresh()
        assert keeper.current(NOW_NS).sequence == 7

    daemon.life(work)


def test_a_failure_leaves_the_document_in_force(daemon: Daemon) -> None:
    """It is told, with its time; the next success forgets it."""

    async def work(keeper: PriceKeeper, _: Ledger) -> None:
        server = daemon.home.server
        server.answers.append(answer(GOOD, etag='"a"'))
        await keeper.load()
        server.answers.append(answer(GOOD[:-1]))
        await refused(keeper.refresh())
        report = keeper.report()
        assert report.book.sequence == 7
        assert report.last_error is not None
        assert (report.last_error.code, report.last_error.at_ns) == (Code.PRICING_INVALID, NOW_NS)
        server.answers.append(NOT_MODIFIED)
        await keeper.refresh()
        assert keeper.report().last_error is None

    daemon.life(work)


def test_a_clock_set_back_revives_nothing(daemon: Daemon) -> None:
    """Time does not go behind the ledger's last record, also after a restart."""
    clock = daemon.home.clock

    async def first(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.append(answer(GOOD, etag='"a"'))
        await keeper.load()
        clock.now_ns += 7 * DAY_NS
        with pytest.raises(SpendGuardError):
            keeper.current(clock.now_ns)
        clock.now_ns = NOW_NS
        with pytest.raises(SpendGuardError) as unpriced:
            keeper.current(clock.now_ns)
        assert unpriced.value.code is Code.PRICING_EXPIRED

    daemon.life(first)

    async def second(keeper: PriceKeeper, ledger: Ledger) -> None:
        assert PriceClock(clock, ledger).wall_ns() >= NOW_NS + 7 * DAY_NS
        await keeper.load()
        with pytest.raises(SpendGuardError) as unpriced:
            keeper.current(clock.now_ns)
        assert unpriced.value.code is Code.PRICING_EXPIRED

    daemon.life(second)


def test_it_looks_on_its_own(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once after a start, then at the source's pace; what fails is logged, and the next is awaited."""
    slept: list[float] = []

    async def work(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.extend([answer(GOOD), failed("it answered 500"), answer(GOOD)])
        await keeper.load()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if not daemon.home.server.answers:
                raise asyncio.CancelledError

        monkeypatch.setattr("spendguard_daemon.price_keeper.asyncio.sleep", sleep)
        with pytest.raises(asyncio.CancelledError):
            await keeper.keep()
        assert keeper.report().next_refresh_ns == NOW_NS + 300 * SECOND_NS

    daemon.life(work)
    assert slept == [300, 2, 300]


def test_unverified_documents_have_marks_of_their_own(daemon: Daemon) -> None:
    """Verification on again, the first real document is not measured by them."""

    async def off(keeper: PriceKeeper, ledger: Ledger) -> None:
        daemon.home.server.answers.append(answer(document(sequence=2**53 - 1)))
        await keeper.load()
        assert ledger.state.high_water["unverified"].source == "insecure"

    async def on(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.append(answer(GOOD))
        await keeper.refresh()
        assert keeper.current(NOW_NS).verified

    daemon.life(off, verifies=False)
    daemon.life(on)


def test_warnings_of_a_document_are_logged(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    """Once, when it is accepted."""
    models = {"small": signed_prices.card()}
    tier = {"input_tokens_ge": 500, "rates": {"default": {"input": 900_000, "output": 5_000_000}}}
    models["small"]["periods"][0]["tiers"] = [tier]

    async def work(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.append(answer(document(providers={"openai": {"models": models}})))
        with caplog.at_level(logging.INFO):
            await keeper.load()

    daemon.life(work)
    assert [record.message for record in caplog.records].count("in the price document") == 1


def test_a_local_source_that_cannot_start_is_not_asked_again() -> None:
    """Its refusal is the daemon's."""
    home = Home()
    home.disk.broken.add("replace")

    async def live() -> None:
        clock = RemoteHome().clock
        ledger = open_ledger(SimDisk(), clock, Failures())
        keeper = PriceKeeper(home.prices(), ledger, clock)
        assert (await refused(keeper.load())).code is Code.PRICING_UNAVAILABLE
        home.disk.broken.clear()
        await keeper.load()
        report = keeper.report()
        assert (report.source, report.url, report.book.self_signed) == ("local", "", True)
        assert report.key_ids == (report.book.key_id,)
        await keeper.refresh()
        await ledger.close("shutdown")

    asyncio.run(live())


def test_a_ten_fold_change_is_warned_of_and_used(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    """Up or down; whoever signed it may mean it, so the operator is told and nothing is refused."""
    providers = signed_prices.body()["providers"]
    row = next(iter(providers["openai"]["models"].values()))
    dearer = deepcopy(providers)
    changed = next(iter(dearer["openai"]["models"].values()))["periods"][0]["rates"]["default"]
    changed["input"] = 10 * row["periods"][0]["rates"]["default"]["input"]

    async def work(keeper: PriceKeeper, _: Ledger) -> None:
        daemon.home.server.answers.append(answer(GOOD))
        await keeper.load()
        assert keeper.report().slips == ()
        daemon.home.server.answers.append(answer(document(sequence=8, providers=dearer)))
        await keeper.refresh()
        (slip,) = keeper.report().slips
        assert slip.endswith("ten times or a tenth")
        assert slip in str([record.__dict__.get("facts") for record in caplog.records])
        assert keeper.current(NOW_NS).sequence == 8
        shown = views.pricing(keeper.report())
        assert shown.ten_fold == [slip]
        assert slip in str(views.pricing_warnings(shown))
        daemon.home.server.answers.append(answer(document(sequence=9, providers=providers)))
        await keeper.refresh()
        assert len(keeper.report().slips) == 1
        daemon.home.server.answers.append(answer(document(sequence=10, providers=providers)))
        await keeper.refresh()
        assert keeper.report().slips == ()

    with caplog.at_level(logging.WARNING):
        daemon.life(work)
