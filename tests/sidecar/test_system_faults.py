"""The real disk, clock and lock: what they promise to the ledger."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger_kit import AGENT, grant, hold_call, new_agent, open_ledger, settle
from sim import SimClock, SimDisk
from spendguard_daemon import system
from spendguard_daemon.call import Plan
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import Home, check_modes, prepare
from spendguard_daemon.system import SystemClock, SystemDisk
from spendguard_daemon.vigil import Vigil

HOLDER = """
import subprocess, sys
from pathlib import Path
from spendguard_daemon.system import SystemDisk
lock = SystemDisk().lock(Path(sys.argv[1]))
assert lock is not None
# As leaky as it gets: every descriptor that may be inherited is.
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin, close_fds=False)
print(child.pid, flush=True)
"""


# -- the lock ---------------------------------------------------------------------------------------------


def test_a_child_that_outlives_the_daemon_does_not_keep_the_lock(tmp_path: Path) -> None:
    """Descriptors are close-on-exec, so the lock dies with the process that took it."""
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        assert holder.wait(30) == 0
        os.kill(child, 0)  # it lives
        lock = SystemDisk().lock(path)
        assert lock is not None
        lock.close()
    finally:
        holder.stdin.close()
        holder.stdout.close()


def test_a_lock_is_held_once_also_within_one_process_and_its_file_stays(tmp_path: Path) -> None:
    """Whoever unlinked it could lock a new file while another holds the old one."""
    disk, path = SystemDisk(), tmp_path / "lock"
    first = disk.lock(path)
    assert first is not None
    number = path.stat().st_ino
    assert disk.lock(path) is None
    first.close()
    first.close()
    second = disk.lock(path)
    assert second is not None
    assert path.stat().st_ino == number
    second.close()
    assert path.stat().st_ino == number


def test_no_descriptor_is_inherited(tmp_path: Path) -> None:
    """Neither of a segment nor of the head, the ballast or the lock."""
    disk = SystemDisk()
    files = [disk.open_append(tmp_path / "a"), disk.open_update(tmp_path / "b"), disk.lock(tmp_path / "c")]
    for file in files:
        assert file is not None
        assert not os.get_inheritable(file._fd)
        file.close()


# -- the disk ---------------------------------------------------------------------------------------------


def test_sizes_free_space_and_removal(tmp_path: Path) -> None:
    """What the ballast rests on."""
    disk, path = SystemDisk(), tmp_path / "file"
    file = disk.open_append(path)
    assert file.write(b"12345") == 5
    assert file.size() == 5
    file.truncate(2)
    assert (file.size(), path.read_bytes()) == (2, b"12")
    file.close()
    assert disk.free_bytes(tmp_path) > 0
    disk.remove(path)
    disk.remove(path)
    assert not path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the type of a file system")
def test_the_file_system_is_told_by_its_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number that the kernel gives; /proc has one that we know."""
    disk = SystemDisk()
    assert system._file_system_type(Path("/proc")) == 0x9FA0
    assert disk.unsafe_file_system(tmp_path) is None
    with pytest.raises(FileNotFoundError):
        disk.unsafe_file_system(tmp_path / "nowhere")
    for number, name in ((0x6969, "NFS"), (0x01021997, "9p"), (0xFF534D42, "CIFS"), (0x65735546, "FUSE")):
        monkeypatch.setattr(system, "_file_system_type", lambda _, number=number: number)
        assert disk.unsafe_file_system(tmp_path) == name


# -- the clock, and a machine that sleeps -----------------------------------------------------------------


def test_durations_count_sleep() -> None:
    """CLOCK_BOOTTIME on Linux; never behind the clock of the event loop."""
    before = SystemClock().monotonic_ns()
    assert SystemClock().monotonic_ns() >= before
    if sys.platform == "linux":
        assert SystemClock().monotonic_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class SleepyClock:
    """A clock that is ahead of the loop's by the time slept."""

    def __init__(self) -> None:
        self.now_seconds, self.slept_seconds = 1_000.0, 0.0

    def loop_time(self) -> float:
        return self.now_seconds

    def monotonic_ns(self) -> int:
        return int((self.now_seconds + self.slept_seconds + 77) * 1e9)

    def wall_ns(self) -> int:
        raise AssertionError("the calendar has no say in it")


async def test_calls_end_after_a_sleep_as_long_as_their_idle_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A shorter sleep ends none; each sleep counts once."""
    monkeypatch.setattr("spendguard_daemon.vigil.LOOK_SECONDS", 0)
    clock = SleepyClock()
    sleeps = iter([0.0, 299.0, 0.0, 300.0, 1_000_000.0])
    aborted: list[tuple[float, str]] = []

    def calls() -> list[str]:
        return ["c1", "c2"]

    async def abort(call_id: str) -> None:
        aborted.append((clock.slept_seconds, call_id))
        if len(aborted) == 4:
            raise StopAsyncIteration

    class Stepping(Vigil):
        def slept_seconds(self) -> float:
            clock.now_seconds += 1
            clock.slept_seconds += next(sleeps)
            return super().slept_seconds()

    vigil = Stepping(clock, clock.loop_time, idle_seconds=300)
    with pytest.raises(StopAsyncIteration):
        await vigil.keep(calls, abort)
    assert aborted == [(599.0, "c1"), (599.0, "c2"), (1_000_599.0, "c1"), (1_000_599.0, "c2")]


def test_a_calendar_that_was_set_back_is_warned_of_at_the_start() -> None:
    """Records keep the last one's time, so nothing is older than what was before it."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock)
    ledger.post(new_agent())
    assert ledger.recovered.warnings == ()
    disk = disk.killed()
    clock.wall -= 59 * 10**9
    assert open_ledger(disk, clock).recovered.warnings == ()
    disk = disk.killed()
    clock.wall -= 3600 * 10**9
    ledger = open_ledger(disk, clock)
    (warning,) = ledger.recovered.warnings
    assert warning.startswith("the clock is 3659 s behind the ledger's last record")
    ledger.post(grant(9_000))
    ledger.post(hold_call("c1"))
    clock.wall -= 10**9
    ledger.post(settle("c1", 5))
    call = ledger.history.call("c1")
    assert call is not None
    assert call.ended_ns == call.created_ns == ledger.state.accounts[AGENT].created_ns


def test_a_lock_has_an_age_that_no_calendar_can_change() -> None:
    """Forward or back: durations are monotonic."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock)
    ledger.post(new_agent())
    ledger.post(grant(9_000))
    ledger.post(hold_call("c1"))
    clock.monotonic += 7 * 10**9
    for jump in (10**18, -(10**18), -(10**17)):
        clock.wall += jump
        lock = ledger.lock(AGENT)
        assert lock is not None
        assert lock.age_ns == 7 * 10**9


@pytest.mark.parametrize(
    ("now_ns", "until_ns"), [(100, 100), (150, 150), (300, 300), (99, 300), (301, 300), (-5, 300)]
)
def test_a_call_is_priced_for_the_time_it_may_have_run(now_ns: int, until_ns: int) -> None:
    """From its begin to now; where now cannot be, to its deadline, which the hold covers."""
    held = hold_call("c1", deadline_ns=300)
    plan = Plan(None, None, None, None, None, held, 100, "")  # type: ignore[arg-type]
    assert plan.until_ns(now_ns) == until_ns


# -- the home ---------------------------------------------------------------------------------------------


def made(tmp_path: Path) -> Home:
    """Return a home as the daemon makes it, with a segment in it."""
    home = Home(tmp_path / "home")
    prepare(home, SystemDisk())
    SystemDisk().open_append(home.ledger / "seg-000000000001.jsonl").close()
    prepare(home, SystemDisk())
    return home


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_segment_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    """With the command that mends it."""
    home = made(tmp_path / "it's $(here)")
    segment = home.ledger / "seg-000000000001.jsonl"
    segment.chmod(mode)
    with pytest.raises(SpendGuardError) as caught:
        check_modes(home)
    assert caught.value.code is Code.HOME_UNSAFE
    assert (caught.value.remedy, caught.value.facts) == (
        f"chmod 600 {shlex.quote(str(segment))}",
        {"path": str(segment)},
    )


def test_a_segment_that_its_owner_may_not_write_is_refused(tmp_path: Path) -> None:
    """Else it would look like a failing disk."""
    home = made(tmp_path)
    (home.ledger / "seg-000000000001.jsonl").chmod(0o400)
    with pytest.raises(SpendGuardError, match="closed to its owner"):
        check_modes(home)


def test_a_file_of_another_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns a file may change it."""
    home = made(tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 12_345)
    with pytest.raises(SpendGuardError, match="belongs to another user"):
        check_modes(home)


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by root, for whom a mode is no obstacle but a read-only file system is."""
    home = made(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != home.pricing)
    with pytest.raises(SpendGuardError) as caught:
        prepare(home, SystemDisk())
    assert caught.value.code is Code.HOME_UNSAFE
    assert str(home.pricing) in caught.value.detail
    assert "cannot be written" in caught.value.detail


@pytest.mark.parametrize(("number", "error"), [(28, OSError), (122, OSError), (13, SpendGuardError)])
def test_a_home_that_cannot_be_made_says_why(tmp_path: Path, number: int, error: type[Exception]) -> None:
    """A full disk is one thing, a home that is not ours another."""

    class Refusing(SystemDisk):
        def make_folder(self, path: Path) -> None:
            raise OSError(number, "no")

    with pytest.raises(error):
        prepare(Home(tmp_path / "home"), Refusing())


def test_a_ledger_that_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    """A file where the folder should be."""
    home = made(tmp_path)
    (home.ledger / "seg-000000000001.jsonl").unlink()
    home.ledger.rmdir()
    home.ledger.touch(0o600)
    with pytest.raises(SpendGuardError, match="cannot be looked at"):
        check_modes(home)
