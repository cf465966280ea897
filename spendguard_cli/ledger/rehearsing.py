"""What a start would make of a ledger, and what its disk leaves it: read only, nothing is written."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from spendguard_cli.ledger.known_backups import Known, read
from spendguard_cli.ledger.places import LedgerPlace, named_ledger
from spendguard_cli.ledger.putting_back import manifest_of
from spendguard_cli.ledger.verifying import verified
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger.basis import newest_basis
from spendguard_daemon.ledger.faults import clock_warnings
from spendguard_daemon.ledger.folder import LedgerFolder
from spendguard_daemon.ledger.lines import LineError, open_line
from spendguard_daemon.ledger.recovery import Place, damaged, plan, segment_name
from spendguard_daemon.ledger.replay import replay
from spendguard_daemon.ledger.room import LIMITS
from spendguard_daemon.ledger.times import parse_time
from spendguard_daemon.plain_files import open_plain
from spendguard_daemon.ports import Disk
from spendguard_daemon.runtime import Home

RESTORING = ".restoring"
"""What the name of a ledger's folder ends with while it is being restored."""

TAIL_BYTES = 64 * 1024
"""Longer than the longest two lines of a journal."""

BACKUPS_LOOKED_AT = 5
_TORN = re.compile(r"torn-[0-9]+(-[0-9]+)?\.bin")


def rehearse(folder: Path, disk: Disk) -> None:
    """Read a ledger as a start reads it; raise LEDGER_DAMAGED, LEDGER_NEWER or OSError as that would."""
    files = LedgerFolder(folder, disk)
    if not files.segments:
        _check_new(files, disk)
        return
    basis = newest_basis(files, [])
    tail = files.after(basis.origin.seq)
    found = plan(files.read_all(tail), files.read_head(), origin=basis.origin, begun_seq=files.begun_seq)
    replay(files.read_all(tail), found, basis.state, basis.history, wall_ns=basis.wall_ns)


def _check_new(files: LedgerFolder, disk: Disk) -> None:
    """Raise LEDGER_DAMAGED where a start would not begin an empty ledger: there was one, or is one beside."""
    restoring = files.path.with_name(f"{files.path.name}{RESTORING}")
    if files.snapshots:
        raise damaged(Place(segment_name(1), 1, 0), "there is a snapshot, but no segment")
    if disk.exists(restoring):
        raise damaged(Place(restoring.name, 1, 0), "a restore was cut short; do it again")


def last_record_ns(folder: Path, disk: Disk) -> int | None:
    """Return the time of the last whole record of a ledger, None where there is none."""
    segments = LedgerFolder(folder, disk).segments
    if not segments:
        return None
    with open_plain(LedgerFolder(folder, disk).where(segments[-1])) as file:
        file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
        lines = file.read(TAIL_BYTES).split(b"\n")[:-1]
    for line in reversed(lines):
        try:
            return parse_time(open_line(line).ts)
        except (LineError, ValueError):
            continue
    return None


def is_behind(last_ns: int, now_ns: int) -> bool:
    """Tell whether a clock is so far behind a ledger's last record that the daemon says so."""
    return bool(clock_warnings(last_ns, now_ns))


@dataclass(frozen=True, slots=True)
class Free:
    """The room on the ledger's disk, and how much of it there must be for calls to be admitted."""

    free_bytes: int
    needed_bytes: int


def free(home: Home, disk: Disk) -> Free:
    """Look how much room there is; raise OSError. The ballast, where it is there, needs none beside it."""
    ballast = home.ledger / "ballast"
    has_ballast = disk.exists(ballast) and disk.size(ballast) == LIMITS.ballast_bytes
    needed = LIMITS.free_bytes_min + (0 if has_ballast else LIMITS.ballast_bytes)
    folder = home.ledger if disk.exists(home.ledger) else home.root
    return Free(disk.free_bytes(folder), needed)


def torn_files(home: Home) -> list[Path]:
    """Return the files in which a start set an unfinished last record aside, the newest first."""
    found = [path for path in home.ledger.iterdir() if _TORN.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def good_backup(home: Home, disk: Disk) -> Known | None:
    """Return the newest backup that was noted, is still there and is whole."""
    for known in read(home)[:BACKUPS_LOOKED_AT]:
        place = _place(known, disk)
        with contextlib.suppress(OSError):  # one that cannot be read is not whole
            if place is not None and verified(place, disk=disk, on_progress=lambda *_: None).ok:
                return known
    return None


def _place(known: Known, disk: Disk) -> LedgerPlace | None:
    try:
        place = named_ledger(known.path, disk)
        manifest_of(place, disk)
    except (SpendGuardError, OSError):
        return None
    return place
