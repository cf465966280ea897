"""Whole histories of the real guard and ledger in a world of its own: agents, operators, crashes, restarts.

One `History` is one seed. It lives life after life of the daemon on one disk; each ends by a clean stop,
kill -9, a power cut at a moment or in the middle of an operation, or a disk that fails. The provider and
what was told to anybody outlive them all.
"""

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Any

from simulator.crowd import Crowd
from simulator.disk import PowerCut, SimDisk
from simulator.journal import LIMITS, SimLedger, SteppedJournal
from simulator.loop import SimLoop
from simulator.ports import SimClock, SimRng
from simulator.provider import SimProvider
from simulator.temper import Report, Temper
from simulator.watch import FOLDER, journal_lines
from simulator.world import World
from spendguard_daemon.call import AnswerTornError
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.planner import Planner
from spendguard_daemon.price_keeper import PriceClock, PriceKeeper
from spendguard_daemon.pricing.local import LocalPrices
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.settings import Settings
from spendguard_daemon.sharpen import Sharpener

CUT_OFF = ("crash", "aborted", "no byte from the provider", "the call's deadline")
"""Why a call may be charged at worst though its provider's report was whole and true."""


class History:
    """One seeded history; `run` raises where anything is not as it must be."""

    def __init__(self, seed: int, calls: int = 300) -> None:
        self._calls_wanted = calls
        self._seed = seed
        self._now_seconds = 0.0
        self._end = ""
        dice = random.Random(seed)
        self._settings = Settings(
            idle_seconds=dice.choice((5, 30, 300)),
            absolute_seconds=dice.choice((20, 120, 3600)),
            drain_seconds=dice.choice((0, 2, 600)),
            held_wait_seconds=dice.choice((0, 1, 5)),
        )
        self._shuffled = dice.random() < 0.5
        self._segment_bytes = dice.choice((3_000, 30_000, 300_000))
        self._world = World(Temper.draw(dice), Report(seed))
        self._provider = SimProvider(random.Random(f"{seed} provider"), self._world.whose)

    def run(self) -> Report:
        """Live through it all."""
        life = 0
        while self._world.report.calls < self._calls_wanted:
            self._live(life)
            life += 1
        self._live(life, last=True)
        self._world.witness.watch_disk(self._world.disk)
        self._world.witness.check_whole()
        self._check_bills()
        digest = hashlib.sha256()
        for line in journal_lines(self._world.disk):
            digest.update(line)
        shadow = self._world.witness.shadow
        self._world.report.digest = digest.hexdigest()[:16]
        self._world.report.records = self._world.witness.seq
        self._world.report.ends.update(kind for kind, _, _ in shadow.ends.values())
        return self._world.report

    # -- one life ---------------------------------------------------------------------------------------

    def _live(self, life: int, *, last: bool = False) -> None:
        dice = random.Random(f"{self._seed} life {life}")
        loop = SimLoop(self._now_seconds, random.Random(dice.random()) if self._shuffled else None)
        self._world.clock.loop = loop
        self._end = ""
        self._world.calls_until_end = -1
        SteppedJournal.chance = random.Random(dice.random())
        SteppedJournal.on_power_cut = lambda: self._stop(loop, "power cut")
        SteppedJournal.on_entries = self._world.witness.on_entries
        try:
            ledger = self._open(dice, loop)
            self._world.report.records_lost += self._world.witness.after_restart(ledger)
            task = loop.create_task(self._daemon(ledger, dice, loop, last=last), name="daemon")
            task.add_done_callback(lambda _: self._stop(loop, "failed"))
            loop.run_forever()
            self._check_unhandled(loop, task)
            before = ledger.state
        finally:
            self._now_seconds = loop.time()
            disk, self._world.disk.dead = self._world.disk, True
            SteppedJournal.on_entries = lambda _: None
            loop.tidy()
        self._world.report.lives[self._end] += 1
        # What a failed sync had to write may be there for the next process, and be gone all the same.
        lost = self._end == "power cut" or (self._end == "disk failed" and dice.random() < 0.5)
        self._world.disk = disk.cut(dice) if lost else disk.killed()
        if self._end == "clean":
            self._check_same_after_reopening(before)

    def _open(self, dice: random.Random, loop: SimLoop) -> Ledger:
        """Open the ledger; now and then the power goes while it recovers, or the disk fails."""
        while True:
            disk = self._world.disk
            self._world.witness.watch_disk(disk)
            trouble = dice.choice((PowerCut(), OSError(5, "I/O error"))) if dice.random() < 0.3 else None
            if trouble is not None:
                _after_operations(disk, dice.randrange(40), trouble)
            try:
                ledger = SimLedger.open(
                    FOLDER,
                    disk=disk,
                    clock=self._world.clock,
                    rng=SimRng(dice),
                    fatal=lambda _: self._stop(loop, "disk failed"),
                    version="0.3.0",
                    segment_bytes=self._segment_bytes,
                    limits=LIMITS,
                )
            except (PowerCut, SpendGuardError) as stopped:
                if isinstance(stopped, SpendGuardError):
                    full = stopped.code is Code.LEDGER_FULL and disk.capacity_bytes is not None
                    assert full or stopped.code is Code.DISK_FAILED, f"false refusal: {stopped.detail}"
                    assert full or trouble is not None
                    disk.limit(FOLDER, None)
                self._world.report.lives["cut in recovery"] += 1
                disk.dead = True
                self._world.disk = disk.cut(dice) if isinstance(stopped, PowerCut) else disk.killed()
                continue
            disk.hook = None
            return ledger

    def _stop(self, loop: SimLoop, how: str) -> None:
        if not self._end:
            self._end = how
            loop.halt()

    async def _daemon(self, ledger: Ledger, dice: random.Random, loop: SimLoop, *, last: bool) -> None:
        """One life: start as `daemon` does, take calls, come to the end that was drawn."""
        ledger.start(loop)
        prices = PriceKeeper(
            LocalPrices(
                Path("/home/pricing"),
                Path("/home/trust.toml"),
                disk=self._world.disk,
                clock=PriceClock(self._world.clock, ledger),
                rng=SimRng(dice),
            ),
            ledger,
            self._world.clock,
        )
        await prices.load()
        keys = ProviderKeys({"OPENAI_API_KEY": "sk-simulated"}, "")
        planner = Planner(
            prices=prices,
            keys=lambda: keys,
            settings=self._settings,
            clock=self._world.clock,
            agent_keys=ledger.state.agent_keys,
        )
        guard = Guard(
            ledger=ledger,
            planner=planner,
            upstreams=lambda _: self._provider,
            settings=self._settings,
            clock=self._world.clock,
            sharpener=Sharpener(
                state=ledger.state,
                upstreams=lambda _: self._provider,
                clock=self._world.clock,
                counting=_not_here,
            ),
        )
        crowd = Crowd(self._world, ledger, guard, dice, loop)
        keeper = asyncio.create_task(prices.keep(), name="keeper")
        if not last:
            self._draw_end(dice, loop)
            await crowd.run(calls=dice.choice((20, 60, 150)))
        keeper.cancel()
        await guard.close(dice.choice((0, 1, 20)))
        await ledger.close("shutdown")
        self._stop(loop, "clean")

    def _draw_end(self, dice: random.Random, loop: SimLoop) -> None:
        end = dice.choice(("clean", "kill", "power cut", "cut in an operation", "error in an operation"))
        if end in ("kill", "power cut"):
            self._world.calls_until_end = dice.randrange(100)
            self._world.end_now = lambda: loop.call_later(dice.random() ** 3 * 3, self._stop, loop, end)
        elif end == "cut in an operation":
            _after_operations(self._world.disk, dice.randrange(200), PowerCut())
        elif end == "error in an operation":
            _after_operations(self._world.disk, dice.randrange(200), OSError(5, "I/O error"))

    # -- what is checked --------------------------------------------------------------------------------

    def _check_unhandled(self, loop: SimLoop, daemon: asyncio.Task[None]) -> None:
        """Raise what was found wrong, wherever it ended up."""
        if self._world.witness.failure is not None:
            raise self._world.witness.failure
        if daemon.done() and not daemon.cancelled() and daemon.exception() is not None:
            raise _leaf(daemon.exception())
        for context in loop.unhandled:
            error = context.get("exception")
            if not isinstance(error, SpendGuardError | AnswerTornError | None):
                raise AssertionError(f"unhandled: {context}") from error  # noqa: TRY004 (a finding, no misuse)

    def _check_same_after_reopening(self, before: Any) -> None:
        """I4: after a clean stop, replay is what was live; I10: opening once more changes nothing."""
        copy = self._world.disk.clone()
        for _ in range(2):
            ledger = _reopen(copy, self._world.clock)
            assert ledger.state == before, "I4: replay is not what was live"
            copy = copy.clone()

    def _check_bills(self) -> None:
        """Each call: settled is what was billed, void was not billed, worst is at least what was billed."""
        shadow = self._world.witness.shadow
        billed = charged = 0
        for call_id, bill in self._provider.bills.items():
            assert call_id in shadow.ends, f"{call_id} was billed, and the ledger knows no end of it"
            kind, cost, reason = shadow.ends[call_id]
            if kind == "settle":
                assert cost == bill.nusd, f"{call_id}: settled at {cost}, billed {bill}"
            elif kind == "void":
                assert bill.nusd == 0, f"{call_id}: void, billed {bill}"
            elif kind == "overrun":
                assert bill.over and cost == bill.nusd, f"{call_id}: overrun of {cost}, billed {bill}"
            else:
                assert bill.over or bill.nusd <= cost, f"{call_id}: at worst {cost}, billed {bill}"
                assert not bill.reported or reason.startswith(CUT_OFF), f"{call_id}: {reason}, billed {bill}"
            if not bill.over or kind == "overrun":
                billed, charged = billed + bill.nusd, charged + cost
        assert billed <= charged
        self._world.report.billed_nusd, self._world.report.charged_nusd = billed, charged


def _leaf(error: BaseException | None) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert error is not None
    return error


def _after_operations(disk: SimDisk, count: int, trouble: BaseException) -> None:
    """Let the operation after the next `count` fail, and all after it."""
    last = disk.operations + count

    def hook(operation: str, path: Path) -> None:
        if disk.operations > last and path.is_relative_to(FOLDER):
            raise trouble

    disk.hook = hook


def _reopen(disk: SimDisk, clock: SimClock) -> Ledger:
    clock.loop = clock.loop or SimLoop()
    rng = SimRng(random.Random(0))

    def fatal(error: BaseException) -> None:
        raise AssertionError("the disk failed") from error

    return SimLedger.open(
        FOLDER, disk=disk, clock=clock, rng=rng, fatal=fatal, version="0.3.0", limits=LIMITS
    )


def run(seed: int, calls: int = 300) -> Report:
    """Run one history."""
    return History(seed, calls).run()


async def _not_here(_work: object, _size_bytes: int) -> None:
    """Count no tokens: there is no thread in virtual time, and what the provider bills is up to the bytes."""
