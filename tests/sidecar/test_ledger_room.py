"""A disk that fills up: the ends of calls still fit, new calls are refused, and admitted again later."""

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from journals import replayed
from ledger_kit import (
    AGENT,
    FOLDER,
    HEAD,
    SEGMENT,
    Failures,
    grant,
    hold_call,
    new_agent,
    open_ledger,
    refused_code,
    settle,
)
from sim import SimClock, SimDisk, SimRng
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.faults import disk_fault
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.recovery import newest_slot
from spendguard_daemon.ledger.room import Ballast, RoomLimits

BALLAST = FOLDER / "ballast"
LIMITS = RoomLimits(free_bytes_min=20_000, ballast_bytes=10_000)


class Desk:
    """A ledger on a disk of a size, with one funded agent."""

    def __init__(self, disk: SimDisk | None = None) -> None:
        self.disk, self.clock, self.failures = disk or SimDisk(), SimClock(), Failures()
        self.ledger = self.open()

    def open(self) -> Ledger:
        return open_ledger(self.disk, self.clock, self.failures, LIMITS)

    def fund(self) -> Ledger:
        self.ledger.post(new_agent())
        self.ledger.post(grant(900_000))
        return self.ledger

    def leave_bytes(self, count: int) -> None:
        """Let somebody else fill the disk, but for so many bytes."""
        self.disk.capacity_bytes = self.disk.used_bytes() + count

    def check_journal(self) -> None:
        found, state = replayed(self.disk.read(SEGMENT), self.disk.read(HEAD))
        assert found.torn is None
        assert state == self.ledger.state


def fail(operation: str, error: OSError, *, on: str = "") -> Any:
    """Return a disk hook that lets one kind of operation fail."""

    def hook(name: str, path: Path) -> None:
        if name == operation and path.name.startswith(on):
            raise error

    return hook


def test_the_ends_of_calls_fit_where_the_ballast_was() -> None:
    """The batch that did not fit is written again, whole; new calls are refused from then on."""
    desk = Desk()
    ledger = desk.fund()
    assert len(desk.disk.read(BALLAST)) == LIMITS.ballast_bytes
    for index in range(12):
        ledger.post(hold_call(f"c{index}"))
    desk.leave_bytes(700)
    for index in range(10):
        ledger.post(settle(f"c{index}", 5))
    assert not desk.disk.exists(BALLAST)
    with pytest.raises(SpendGuardError) as caught:
        ledger.post(hold_call("more"))
    assert caught.value.code is Code.LEDGER_FULL
    assert caught.value.detail.startswith("The ledger's disk is full: ")
    assert caught.value.facts["needed_bytes"] == 30_000
    ledger.post(cmd.SettleAtWorst("c10", "timeout", None))
    ledger.post(cmd.Freeze(AGENT, "mad", "me"))
    assert desk.failures.seen == []
    desk.check_journal()


def test_where_even_the_ends_of_calls_do_not_fit_it_stops_for_good() -> None:
    """The ballast is gone and the disk is full again: fail-stop, and what was acknowledged is there."""
    desk = Desk()
    ledger = desk.fund()
    for index in range(60):
        ledger.post(hold_call(f"c{index}"))
    desk.leave_bytes(700)
    settled = 0
    with pytest.raises(SpendGuardError) as caught:
        for index in range(60):
            ledger.post(settle(f"c{index}", 5))
            settled += 1
    assert caught.value.code is Code.DISK_FAILED
    assert [error.errno for error in desk.failures.seen if isinstance(error, OSError)] == [errno.ENOSPC]
    assert refused_code(lambda: ledger.post(cmd.Freeze(AGENT, "mad", "me"))) == "disk_failed"
    assert 10 < settled < 60
    desk.disk.capacity_bytes = None
    again = open_ledger(desk.disk.killed(), desk.clock, desk.failures, LIMITS)
    assert again.recovered.torn_bytes == 0, "what did not fit was cut off again"
    assert len(again.recovered.settled_at_worst) == 60 - settled
    assert again.state.accounts[AGENT].settled_nusd == settled * 5 + (60 - settled) * 1_000


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_user_at_the_end_of_his_share_is_a_full_disk(number: int) -> None:
    """A quota says EDQUOT while statvfs still shows room."""
    desk = Desk()
    ledger = desk.fund()
    ledger.post(hold_call("c1"))
    before = len(desk.disk.operations)
    failed: list[str] = []

    def once(name: str, path: Path) -> None:
        if name == "write" and not failed:
            failed.append(name)
            raise OSError(number, os.strerror(number))

    desk.disk.hook = once
    ledger.post(settle("c1", 5))
    segment, head = SEGMENT.name, HEAD.name
    assert desk.disk.operations[before:] == [
        ("write", segment),
        ("truncate", segment),
        ("remove", "ballast"),
        ("write", segment),
        ("sync", segment),
        ("write_at", head),
    ]
    assert desk.failures.seen == []
    desk.check_journal()


def test_a_full_disk_at_the_head_costs_the_ballast_but_no_second_sync() -> None:
    """The batch is durable by then."""
    desk = Desk()
    ledger = desk.fund()
    failed: list[str] = []

    def once(name: str, path: Path) -> None:
        if name == "write_at" and not failed:
            failed.append(name)
            raise OSError(errno.ENOSPC, "No space left on device")

    before = desk.disk.operations.count(("sync", SEGMENT.name))
    desk.disk.hook = once
    ledger.post(cmd.Freeze(AGENT, "mad", "me"))
    assert desk.disk.operations.count(("sync", SEGMENT.name)) == before + 1
    assert not desk.disk.exists(BALLAST)
    newest = newest_slot(desk.disk.read(HEAD))
    assert newest is not None
    assert newest.seq == ledger._book.seq
    desk.check_journal()


@pytest.mark.parametrize(
    ("operation", "number", "on"),
    [
        ("write", errno.EIO, "seg"),
        ("write", errno.EFBIG, "seg"),
        ("sync", errno.EIO, "seg"),
        ("sync", errno.ENOSPC, "seg"),
        ("sync", errno.EDQUOT, "seg"),
        ("write_at", errno.EIO, "head"),
    ],
)
def test_any_other_failure_is_final_and_not_tried_again(operation: str, number: int, on: str) -> None:
    """Above all a sync, whatever it says."""
    desk = Desk()
    ledger = desk.fund()
    ledger.post(hold_call("c1"))
    before = desk.disk.operations.count((operation, SEGMENT.name if on == "seg" else "head"))
    desk.disk.hook = fail(operation, OSError(number, "no"), on=on)
    with pytest.raises(SpendGuardError) as caught:
        ledger.post(settle("c1", 5))
    assert caught.value.code is Code.DISK_FAILED
    after = desk.disk.operations.count((operation, SEGMENT.name if on == "seg" else "head"))
    assert after == before + 1
    assert len(desk.failures.seen) == 1
    assert desk.disk.exists(BALLAST)
    desk.disk.hook = None
    assert refused_code(lambda: ledger.post(hold_call("c2"))) == "disk_failed"
    assert desk.disk.operations.count((operation, SEGMENT.name if on == "seg" else "head")) == after


def test_a_file_that_takes_nothing_is_full() -> None:
    """A write that returns 0 must not become a loop without end."""
    desk = Desk()
    ledger = desk.fund()
    desk.disk.write_bytes_max = 0
    assert refused_code(lambda: ledger.post(cmd.Freeze(AGENT, "mad", "me"))) == "disk_failed"
    assert not desk.disk.exists(BALLAST)
    assert "takes no more bytes" in str(desk.failures.seen[0])


def test_a_ballast_that_cannot_be_removed_or_a_tail_that_cannot_be_cut_off_is_final() -> None:
    """There is no third way."""
    for operation in ("remove", "truncate"):
        desk = Desk()
        ledger = desk.fund()
        ledger.post(hold_call("c1"))
        desk.leave_bytes(100)
        desk.disk.hook = fail(operation, OSError(errno.EIO, "no"))
        assert refused_code(lambda ledger=ledger: ledger.post(settle("c1", 5))) == "disk_failed"
        assert len(desk.failures.seen) == 1


def test_calls_are_refused_while_little_is_free_and_admitted_when_more_is() -> None:
    """Nothing has failed yet; the ballast stays. The free space is looked at twice a second at most."""
    desk = Desk()
    ledger = desk.fund()
    desk.leave_bytes(LIMITS.free_bytes_min - 1)
    looks = desk.disk.operations.count(("free_bytes", FOLDER.name))
    desk.clock.advance(0.499)
    ledger.post(hold_call("within half a second of the last look"))
    desk.clock.advance(0.001)
    for _ in range(3):
        assert refused_code(lambda: ledger.post(hold_call("c1"))) == "ledger_full"
    assert desk.disk.operations.count(("free_bytes", FOLDER.name)) == looks + 1
    desk.leave_bytes(LIMITS.free_bytes_min)
    desk.clock.advance(0.5)
    ledger.post(hold_call("c2"))
    assert desk.disk.exists(BALLAST)


def test_a_disk_that_cannot_tell_what_is_free_admits_no_call() -> None:
    """That one call; the rest goes on."""
    desk = Desk()
    ledger = desk.fund()
    desk.clock.advance(1)
    desk.disk.hook = fail("free_bytes", OSError(errno.EIO, "Input/output error"))
    assert refused_code(lambda: ledger.post(hold_call("c1"))) == "disk_failed"
    ledger.post(cmd.Freeze(AGENT, "mad", "me"))
    ledger.post(cmd.Unfreeze(AGENT, "me"))
    desk.disk.hook = None
    ledger.post(hold_call("c1"))
    assert desk.failures.seen == []


# -- the ballast comes back -------------------------------------------------------------------------------


def full(desk: Desk) -> Ledger:
    """Return a ledger that has given its ballast away, with one call in flight."""
    ledger = desk.fund()
    ledger.post(hold_call("c1"))
    ledger.post(hold_call("c2"))
    desk.leave_bytes(100)
    ledger.post(settle("c1", 5))
    desk.clock.advance(1)
    return ledger


@pytest.mark.parametrize("started", [False, True])
async def test_once_there_is_room_the_next_call_passes_and_the_ballast_is_back(started: bool) -> None:
    """Before, it is refused; room for the calls alone is not enough."""
    desk = Desk()
    ledger = full(desk)
    if started:
        ledger.start(asyncio.get_running_loop())
    for left in (100, 29_999):
        desk.leave_bytes(left)
        desk.clock.advance(1)
        with pytest.raises(SpendGuardError) as caught:
            await ledger.hold(hold_call("c3"), 0)
        assert caught.value.code is Code.LEDGER_FULL
        assert not desk.disk.exists(BALLAST)
    desk.leave_bytes(30_000)
    desk.clock.advance(1)
    await ledger.hold(hold_call("c3"), 0)
    assert len(desk.disk.read(BALLAST)) == LIMITS.ballast_bytes
    assert len(desk.disk.crash().read(BALLAST)) == LIMITS.ballast_bytes
    await ledger.hold(hold_call("c4"), 0)
    if started:
        await ledger.close("test")


async def test_a_crowd_makes_the_ballast_once_for_each_look() -> None:
    """The first of them makes it, the others are refused meanwhile; or it does not fit, and all are."""
    desk = Desk()
    ledger = full(desk)
    ledger.start(asyncio.get_running_loop())
    desk.leave_bytes(31_000)
    calls = (ledger.hold(hold_call(f"d{index}"), 0) for index in range(20))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, SpendGuardError) for answer in answers] == [False] + [True] * 19
    assert desk.disk.operations.count(("open", "ballast")) == 2  # at the start, and now
    await ledger.close("test")


async def test_a_caller_that_leaves_while_the_ballast_is_made_is_forgotten() -> None:
    """The ballast is made all the same, for the next one."""
    desk = Desk()
    ledger = full(desk)
    ledger.start(asyncio.get_running_loop())
    desk.leave_bytes(31_000)
    begun, go_on = threading.Event(), threading.Event()

    def wait(name: str, path: Path) -> None:
        if name == "write" and path.name == "ballast":
            begun.set()
            assert go_on.wait(20)

    desk.disk.hook = wait
    leaving = asyncio.ensure_future(ledger.hold(hold_call("c3"), 0))
    assert await asyncio.to_thread(begun.wait, 20)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    go_on.set()
    await ledger.submit(cmd.Freeze(AGENT, "mad", "me"))
    assert desk.disk.exists(BALLAST)
    assert "c3" not in ledger.state.open_calls
    await ledger.close("test")


async def test_a_ballast_that_does_not_fit_after_all_is_taken_away_again() -> None:
    """Somebody else was faster: the disk is as full as it was, and no call is admitted."""
    desk = Desk()
    ledger = full(desk)
    desk.leave_bytes(31_000)

    def fill(name: str, path: Path) -> None:
        if name == "open" and path.name == "ballast":
            desk.disk.capacity_bytes = desk.disk.used_bytes() + 5_000

    desk.disk.hook = fill
    with pytest.raises(SpendGuardError) as caught:
        await ledger.hold(hold_call("c3"), 0)
    assert caught.value.code is Code.LEDGER_FULL
    assert not desk.disk.exists(BALLAST)
    assert desk.failures.seen == []


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("operation", ["open", "write", "sync", "sync_folder"])
async def test_a_disk_that_fails_under_the_ballast_is_a_failure(operation: str, started: bool) -> None:
    """The call is refused, and whoever comes later too."""
    desk = Desk()
    ledger = full(desk)
    if started:
        ledger.start(asyncio.get_running_loop())
    desk.leave_bytes(31_000)
    on = FOLDER.name if operation == "sync_folder" else "ballast"
    desk.disk.hook = fail(operation, OSError(errno.EIO, "Input/output error"), on=on)
    with pytest.raises(SpendGuardError) as caught:
        await asyncio.wait_for(ledger.hold(hold_call("c3"), 0), 20)
    assert caught.value.code is Code.DISK_FAILED
    assert len(desk.failures.seen) == 1
    await ledger._journal.run(lambda: pytest.fail("nothing runs after a failure"))
    desk.clock.advance(1)
    with pytest.raises(SpendGuardError) as caught:
        await ledger.hold(hold_call("c4"), 0)
    assert caught.value.code is Code.DISK_FAILED


async def test_calls_that_wait_for_money_hear_that_the_disk_is_full() -> None:
    """They need a record of their own."""
    desk = Desk()
    ledger = desk.ledger
    ledger.post(new_agent())
    ledger.post(grant(2_500))
    ledger.post(hold_call("c1"))
    ledger.post(hold_call("c2"))
    ledger.start(asyncio.get_running_loop())
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c3"), 20))
    for _ in range(10):
        await asyncio.sleep(0)
    desk.leave_bytes(100)
    await ledger.submit(settle("c1", 1_000))
    desk.clock.advance(1)
    await ledger.submit(settle("c2", 5))
    with pytest.raises(SpendGuardError) as caught:
        await asyncio.wait_for(waiting, 20)
    assert caught.value.code is Code.LEDGER_FULL
    await ledger.close("test")


# -- at the start -----------------------------------------------------------------------------------------


def test_a_start_on_a_full_disk_uses_the_ballast_and_refuses_calls() -> None:
    """What was open is charged, an operator can work, calls pass once there is room."""
    desk = Desk()
    ledger = desk.fund()
    ledger.post(hold_call("c1"))
    desk.disk = desk.disk.killed()
    desk.leave_bytes(0)
    ledger = desk.open()
    assert ledger.recovered.settled_at_worst == ("c1",)
    assert not desk.disk.exists(BALLAST)
    assert refused_code(lambda: ledger.post(hold_call("c2"))) == "ledger_full"
    ledger.post(cmd.Freeze(AGENT, "mad", "me"))
    desk.disk = desk.disk.killed()
    desk.disk.capacity_bytes = None
    desk.open().post(cmd.Unfreeze(AGENT, "me"))
    assert desk.disk.exists(BALLAST)


def test_a_start_for_which_even_the_ballast_is_not_enough_says_so() -> None:
    """With the ballast given away, so that the next start has that much more; the lock is free again."""
    desk = Desk()
    ledger = desk.fund()
    for index in range(40):
        ledger.post(hold_call(f"c{index}"))
    desk.disk = desk.disk.killed()
    desk.leave_bytes(0)
    for _ in range(2):
        with pytest.raises(SpendGuardError) as caught:
            desk.open()
        assert caught.value.code is Code.LEDGER_FULL
    assert not desk.disk.exists(BALLAST)
    desk.disk.capacity_bytes = None
    assert len(desk.open().recovered.settled_at_worst) == 40


def test_a_start_that_finds_no_room_despite_free_space_gives_the_ballast_away() -> None:
    """A quota; also where the ballast cannot even be removed."""
    for remove_fails in (False, True):
        desk = Desk()
        desk.fund()
        desk.disk = desk.disk.killed()

        def refuse(name: str, path: Path, remove_fails: bool = remove_fails) -> None:
            if name == "write" or (name == "remove" and remove_fails):
                raise OSError(errno.EDQUOT, "Disk quota exceeded")

        desk.disk.hook = refuse
        with pytest.raises(SpendGuardError) as caught:
            desk.open()
        assert caught.value.code is Code.LEDGER_FULL
        assert desk.disk.exists(BALLAST) == remove_fails


def test_a_half_made_ballast_is_made_anew() -> None:
    """The daemon was killed while it wrote it."""
    desk = Desk()
    desk.fund()
    desk.disk = desk.disk.killed()
    desk.disk.put(BALLAST, b"half")
    desk.open()
    assert len(desk.disk.read(BALLAST)) == LIMITS.ballast_bytes


def test_a_ledger_without_a_ballast_has_no_file_for_it() -> None:
    """It has nothing to give, so it gives nothing."""
    disk = SimDisk()
    open_ledger(disk).post(new_agent())
    assert not disk.exists(BALLAST)
    ballast = Ballast(FOLDER, 0, disk=disk, rng=SimRng())
    assert ballast.present
    assert not ballast.drop()


@pytest.mark.parametrize(("free", "kept"), [(10_000, True), (9_999, False)])
def test_recovery_is_given_the_room_only_where_there_is_less_beside_it(free: int, kept: bool) -> None:
    """To the byte."""
    desk = Desk()
    desk.fund()
    desk.leave_bytes(free)
    with Ballast(FOLDER, LIMITS.ballast_bytes, disk=desk.disk, rng=SimRng()).given_for_recovery():
        assert desk.disk.exists(BALLAST) == kept


def test_a_ballast_is_made_a_byte_at_a_time_if_need_be() -> None:
    """And its file is closed."""
    disk = SimDisk()
    disk.write_bytes_max = 1
    Ballast(FOLDER, 5, disk=disk, rng=SimRng()).make()
    assert len(disk.crash().read(BALLAST)) == 5
    assert all(file.closed for file in disk.opened)


def test_a_ballast_is_not_made_of_zeros() -> None:
    """A file system that compresses would keep no room for them; and short writes are carried on."""
    disk = SimDisk()
    disk.write_bytes_max = 700
    ballast = Ballast(FOLDER, 3_000, disk=disk, rng=SimRng())
    ballast.make()
    raw = disk.read(BALLAST)
    assert len(raw) == 3_000
    assert len(set(raw)) > 200
    disk.write_bytes_max = 0
    ballast.make()
    assert disk.read(BALLAST) == raw
    assert ballast.drop()
    ballast.make()
    assert not disk.exists(BALLAST)
    assert not ballast.present
    assert not ballast.drop()


def test_what_is_no_error_of_the_disk_is_no_full_disk() -> None:
    """A bug on the journal's thread is a failure all the same."""
    assert disk_fault(RuntimeError("a bug")).code is Code.DISK_FAILED
    assert disk_fault(OSError(errno.EIO, "broken")).code is Code.DISK_FAILED
    assert disk_fault(OSError(errno.EDQUOT, "quota")).code is Code.LEDGER_FULL


# -- where it may lie -------------------------------------------------------------------------------------


def test_a_file_system_whose_locks_may_not_hold_is_refused_unless_it_is_allowed() -> None:
    """Before the lock is tried there."""
    disk = SimDisk()
    disk.unsafe = "NFS"
    with pytest.raises(SpendGuardError) as caught:
        open_ledger(disk)
    assert caught.value.code is Code.HOME_UNSAFE
    assert f"{FOLDER} is on NFS" in caught.value.detail
    assert "--unsafe-fs" in caught.value.remedy
    assert ("lock", "lock") not in disk.operations
    Ledger.open(
        FOLDER,
        disk=disk,
        clock=SimClock(),
        rng=SimRng(),
        fatal=Failures(),
        version="0.3.0",
        limits=LIMITS,
        unsafe_fs=True,
    )
