"""The k-th operation on the disk fails, for every k of a scripted life, with EIO and with ENOSPC.

Each time the ledger does what ledger-and-security 1.5 says: it goes on where a full disk lets it, or stops
for good with one typed error; after that it writes nothing more, and never tries a sync again; and the next
start, after a kill or a power cut, finds all that was acknowledged.
"""

import asyncio
import errno
import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from ledger_kit import AGENT, FOLDER, Failures, add_key, grant, hold_call, new_agent, settle
from sim import SimClock, SimRng
from simulator.disk import SimDisk
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.compaction import Compaction
from spendguard_daemon.ledger.events import Idempotency, Refused
from spendguard_daemon.ledger.folder import LedgerFolder
from spendguard_daemon.ledger.journal import Journal
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.lines import open_line, read_event
from spendguard_daemon.ledger.refusals import Refusal
from spendguard_daemon.ledger.room import RoomLimits

LIMITS = RoomLimits(free_bytes_min=20_000, ballast_bytes=10_000)
SEGMENT_BYTES = 4_000
KEYS = (add_key(limit_nusd=500_000), add_key("child", parent_id="root", expires_ns=2**61))
STOPPED = (Code.DISK_FAILED, Code.LEDGER_FULL)


class InPlaceJournal(Journal):
    """Writes at once, on the loop's thread, so that the operations always come in the same order."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        pass


class InPlaceCompaction(Compaction):
    """Compacts at once."""

    async def aside(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        return work(*args, **kwargs)

    def _pause(self) -> None:
        pass


class InPlaceLedger(Ledger):
    """The real ledger on one thread."""

    journal_kind = InPlaceJournal
    compaction_kind = InPlaceCompaction


@dataclass
class Life:
    """One life of the ledger on a disk: what was acknowledged, and how it ended."""

    disk: SimDisk
    acknowledged: dict[int, str] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    refused: list[Code] = field(default_factory=list)
    unopened: Code | None = None

    @property
    def stopped(self) -> bool:
        return bool(self.failures.seen) or self.unopened is not None

    def open(self, clock: SimClock) -> Ledger:
        ledger = InPlaceLedger.open(
            FOLDER,
            disk=self.disk,
            clock=clock,
            rng=SimRng(),
            fatal=self.failures,
            version="0.3.0",
            segment_bytes=SEGMENT_BYTES,
            limits=LIMITS,
        )
        ledger.subscribe(lambda event, seq, wall_ns: self._acknowledge(seq, event))
        return ledger

    def _acknowledge(self, seq: int, event: object) -> None:
        self.acknowledged[seq] = repr(event)

    def live(self) -> None:
        """Open, work, close, open again, work, and be killed."""
        clock = SimClock()
        try:
            asyncio.run(self._first(self.open(clock), clock))
            if not self.failures.seen:
                asyncio.run(self._second(self.open(clock), clock))
        except SpendGuardError as error:
            self.unopened = error.code
            assert error.code in STOPPED, error

    async def _first(self, ledger: Ledger, clock: SimClock) -> None:
        ledger.start(asyncio.get_running_loop())
        await self._do(ledger, new_agent(concurrency="shared"), grant(900_000))
        await self._do(ledger, *KEYS)
        for index in range(6):
            await self._call(ledger, clock, index)
            await settled_down()
        self._refuse(ledger, clock)
        await self._do(
            ledger, cmd.AdjustCall("c1", 7, "the bill says so", "me"), cmd.Freeze(AGENT, "mad", "me")
        )
        await self._do(ledger, cmd.Unfreeze(AGENT, "me"), cmd.RotateKey(AGENT, "root", "another", "me"))
        await settled_down()
        try:
            await ledger.close("done")
        except SpendGuardError as error:
            assert error.code in STOPPED

    async def _second(self, ledger: Ledger, clock: SimClock) -> None:
        ledger.start(asyncio.get_running_loop())
        for index in range(6, 10):
            await self._call(ledger, clock, index)
            await settled_down()
        await self._do(ledger, cmd.RevokeKey(AGENT, "root", "me"))
        await self._hold(ledger, "left open")

    async def _call(self, ledger: Ledger, clock: SimClock, index: int) -> None:
        call_id = f"c{index}"
        if not await self._hold(ledger, call_id):
            return
        ends: list[cmd.Command] = [
            settle(call_id, 5),
            cmd.SettleAtWorst(call_id, "timeout", 504),
            cmd.VoidCall(call_id, "never sent", None),
            settle(call_id, 1_001),
        ]
        await self._do(ledger, cmd.MarkSent(call_id, ["max_tokens"]), ends[index % 4])
        clock.advance(1)

    async def _hold(self, ledger: Ledger, call_id: str) -> bool:
        try:
            key = ledger.state.agent_keys.get("child")
            keys = ("root", "child") if key is not None and not key.revoked else ()
            again = Idempotency(call_id, "chat", "b")
            await ledger.hold(hold_call(call_id, idempotency=again, keys=keys), 0)
        except SpendGuardError as error:
            self.refused.append(error.code)
            assert error.code in STOPPED, error
            return False
        return True

    async def _do(self, ledger: Ledger, *commands: cmd.Command) -> None:
        for command in commands:
            try:
                await ledger.submit(command)
            except SpendGuardError as error:
                adopts = isinstance(command, cmd.AddKey) and command.kind == "child"
                if adopts and error.code is Code.LEDGER_FULL:
                    continue  # as a call is that would have used it
                assert error.code is Code.DISK_FAILED or (self.refused and error.code), error

    def _refuse(self, ledger: Ledger, clock: SimClock) -> None:
        for _ in range(2):
            ledger.refuse(
                Refusal("r1", AGENT, "run-1", "openai", "chat", "m", Code.INSUFFICIENT_BUDGET, "no", {})
            )
            clock.advance(2)


async def settled_down() -> None:
    """Let a compaction that has begun come to its end."""
    for _ in range(12):
        await asyncio.sleep(0)


@dataclass
class Fault:
    """One operation that fails, and all that come after it."""

    k: int
    number: int
    where: tuple[str, str] = ("", "")
    after: list[tuple[str, str]] = field(default_factory=list)

    def on(self, disk: SimDisk) -> None:
        def hook(operation: str, path: Path) -> None:
            if disk.operations - 1 == self.k:
                self.where = (operation, path.name)
                raise OSError(self.number, os.strerror(self.number))
            if disk.operations - 1 > self.k:
                self.after.append((operation, path.name))

        disk.hook = hook

    @property
    def lost_sync(self) -> bool:
        """Whether it was a sync, of whatever: all of them are final."""
        return self.where[0] in ("sync", "sync_folder")


@lru_cache
def operations_of_a_whole_life() -> int:
    """Return how many operations there are when nothing fails."""
    life = Life(SimDisk())
    life.live()
    assert not life.stopped
    assert not life.refused
    kinds = Counter(json.loads(line)["t"] for line in records(life.disk).values())
    assert {"hold", "sent", "settle", "settle_worst", "void", "overrun", "adjust", "refused"} <= set(kinds)
    assert {"key_add", "key_rotate", "key_revoke"} <= set(kinds)
    assert {"checkpoint", "close", "open"} <= set(kinds)
    assert life.disk.exists(FOLDER / "archive")
    return life.disk.operations


def records(disk: SimDisk) -> dict[int, bytes]:
    """Return every whole line of the journal by its seq, wherever its segment lies."""
    folder = LedgerFolder(FOLDER, disk)
    lines = [line for segment in folder.read_all(folder.segments) for line in segment.raw.splitlines()]
    return {json.loads(line)["seq"]: line for line in lines}


def check_next_start(life: Life, disk: SimDisk) -> None:
    """The next start finds every acknowledged record, and charges what was in flight."""
    disk.hook = None
    found: dict[int, str] = {}
    next_life = Life(disk)
    ledger = next_life.open(SimClock())
    assert next_life.failures.seen == []
    assert ledger.state.open_calls == {}
    for seq, line in records(disk).items():
        found[seq] = repr(read_event(line, open_line(line)))
    for seq, event in life.acknowledged.items():
        assert found.get(seq) == event, f"record {seq} was acknowledged"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("part", range(4))
def test_the_kth_operation_fails(number: int, part: int) -> None:
    """For every k; a quarter of them in each test, so that a machine with several cores is used."""
    outcomes: Counter[str] = Counter()
    for k in range(part, operations_of_a_whole_life(), 4):
        life, fault = Life(SimDisk()), Fault(k, number)
        fault.on(life.disk)
        life.live()
        assert fault.where[0], f"operation {k} was never reached"
        try:
            check_outcome(life, fault)
            check_next_start(life, life.disk.cut())
            check_next_start(life, life.disk.cut(random.Random(k)))
            check_next_start(life, life.disk.killed())
        except AssertionError as error:
            raise AssertionError(f"k={k} {os.strerror(number)} {fault.where}: {error}") from error
        outcomes["stopped" if life.stopped else "went on"] += 1
    assert outcomes["stopped"] > 10
    if number == errno.ENOSPC:
        assert outcomes["went on"] > 10


def check_outcome(life: Life, fault: Fault) -> None:
    """What 1.5 says: which faults stop it, which it survives, and that a stop is a stop."""
    operation = fault.where[0]
    assert len(life.failures.seen) <= 1
    if operation == "free_bytes" and life.refused:
        # The call that wanted to know is refused, and no other.
        assert life.refused == [Code.DISK_FAILED]
        assert not life.stopped
        return
    if fault.number == errno.EIO or fault.lost_sync:
        assert life.stopped
        assert life.unopened is None or life.unopened is Code.DISK_FAILED or fault.number == errno.ENOSPC
    elif life.unopened is not None:
        # The start says that the disk is full, and leaves the next one the ballast's room.
        assert life.unopened is Code.LEDGER_FULL
        assert operation in ("make_folder", "lock", "free_bytes") or not life.disk.exists(FOLDER / "ballast")
    elif operation in ("write", "write_at"):
        assert not life.stopped, "a full disk is made room on"
        assert set(life.refused) <= {Code.LEDGER_FULL}
    if life.stopped:
        # A compaction that was under way may go on here; in the daemon there is no process left to do so.
        journal = [kind for kind, where in fault.after if where.startswith(("seg-", "head"))]
        touched = [kind for kind in journal if kind in ("write", "write_at", "sync")]
        assert touched == [], "after a failure nothing is written, nothing is synced again"


def test_a_disk_that_is_full_for_good_at_any_moment() -> None:
    """Not one write fails but all: the ballast serves for a while, then it stops; nothing is lost."""
    outcomes: Counter[str] = Counter()
    moments = range(0, operations_of_a_whole_life(), 3)
    for k in moments:
        life = Life(SimDisk())

        def fill(operation: str, path: Path, disk: SimDisk = life.disk, k: int = k) -> None:
            if disk.operations - 1 == k:
                disk.capacity_bytes = disk._used_bytes()

        life.disk.hook = fill
        life.live()
        life.disk.capacity_bytes = None
        outcomes["stopped" if life.stopped else "refused" if life.refused else "unharmed"] += 1
        assert set(life.refused) <= set(STOPPED)
        check_next_start(life, life.disk.cut())
        check_next_start(life, life.disk.killed())
    assert outcomes["refused"] > 20
    assert outcomes["stopped"] + outcomes["refused"] + outcomes["unharmed"] == len(moments)


def test_refusals_are_among_what_is_acknowledged() -> None:
    """So that the tests above speak of them too."""
    life = Life(SimDisk())
    life.live()
    assert any(event.startswith(Refused.__name__) for event in life.acknowledged.values())
