"""What the ledger says when the ground under it gives way: one sentence for each fault, with its remedy."""

import errno
from pathlib import Path

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.ports import Disk, SyncError

CLOCK_BEHIND_SECONDS = 60
"""A clock that is behind by less is one that was corrected."""


def fault(code: Code, cause: BaseException | None = None) -> SpendGuardError:
    """Return the error of a code, with its cause where there is one."""
    entry = TABLE[code]
    detail = entry.title if cause is None else f"{entry.title}: {cause}"
    return SpendGuardError(code, detail, remedy=entry.operator_remedy)


def is_full(error: OSError) -> bool:
    """Tell whether a write found no room, which is no harm: it is undone, and tried again once there is.

    A sync that found none is a sync that failed, and those are final (1.5), whatever the file was for.
    """
    return says_full(error) and not isinstance(error, SyncError)


def says_full(error: BaseException) -> bool:
    """Tell whether an error says that there is no room: on the disk, or in this user's share of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_fault(error: BaseException) -> SpendGuardError:
    """Return what an operation on the disk that failed means: LEDGER_FULL or DISK_FAILED."""
    return fault(Code.LEDGER_FULL if says_full(error) else Code.DISK_FAILED, error)


def clock_warnings(last_ns: int, now_ns: int) -> list[str]:
    """Return what to tell an operator whose calendar was set back behind the ledger's last record."""
    behind_seconds = (last_ns - now_ns) // NS_PER_SECOND
    if behind_seconds < CLOCK_BEHIND_SECONDS:
        return []
    effect = "new records keep that one's time until the clock has passed it"
    return [f"the clock is {behind_seconds} s behind the ledger's last record: {effect}"]


def check_file_system(folder: Path, disk: Disk) -> None:
    """Raise HOME_UNSAFE where locks and syncs cannot be trusted; OSError where that cannot be told."""
    unsafe = disk.unsafe_file_system(folder)
    if unsafe is not None:
        raise SpendGuardError(
            Code.HOME_UNSAFE,
            f"{TABLE[Code.HOME_UNSAFE].title}: {folder} is on {unsafe}, where locks and syncs may not hold",
            remedy="set SPENDGUARD_HOME to a folder on a local disk, or risk it: spendguard up --unsafe-fs",
            facts={"path": str(folder), "file_system": unsafe},
        )
