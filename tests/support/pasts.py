"""Ledgers whose past is read: a random history in small segments, and how a past is read from real files."""

from pathlib import Path

from compacting import SEGMENT_BYTES, busy, compact, first_steps
from ledger_files import put_down
from ledger_kit import open_ledger
from sim import SimClock, SimDisk
from spendguard_cli.ledger.past import Past
from spendguard_daemon.system import SystemDisk


def quiet(_: int, __: int) -> None:
    """Show no progress."""


def read(folder: Path) -> Past:
    """Read the past of a real folder."""
    return Past.read(folder, SystemDisk(), quiet)


def put(disk: SimDisk, folder: Path) -> Past:
    """Read the past of a simulated ledger, from real files."""
    put_down(disk, folder)
    return read(folder)


def history_of(seed: int, folder: Path) -> Past:
    """Return the past of a random history: small segments, some archived, restarts, calls left open."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    busy(ledger, clock, 40, seed)
    compact(ledger, disk)
    clock.advance(700)
    busy(ledger, clock, 15, seed + 1)
    disk = disk.killed()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    clock.advance(5)
    busy(ledger, clock, 15, seed + 2)
    return put(disk, folder)
