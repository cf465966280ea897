"""Opening a ledger folder: read the files, judge them by `recovery`, set a torn tail aside, take up the pen.

Blocks; runs once, at start, before anything listens. Invariant: a crash at any point of it leaves a folder
that opens to the same balances.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.commands import SettleAtWorst
from spendguard_daemon.ledger.events import Open, Torn
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.journal import Writer
from spendguard_daemon.ledger.lines import READER
from spendguard_daemon.ledger.recovery import HEAD, Plan, Segment, TornTail, plan, replay
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ports import Clock, Disk, Rng

FIRST_SEGMENT = "seg-000000000001.jsonl"
CRASH = "crash"
SESSION_BYTES = 8

_SEGMENT = re.compile(r"seg-[0-9]{12}\.jsonl")


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What was found at start: records replayed, bytes set aside, calls charged at worst, and warnings."""

    records: int
    torn_bytes: int
    settled_at_worst: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A ledger that is whole, durable, and ready to be written on."""

    book: Book
    writer: Writer
    report: RecoveryReport


def open_folder(folder: Path, *, disk: Disk, clock: Clock, rng: Rng, version: str) -> Opened:
    """Recover the journal in `folder`, which the caller has locked; calls found open are charged at worst.

    Raises LEDGER_DAMAGED or LEDGER_NEWER with nothing on the disk changed; OSError where the disk fails.
    """
    names = [name for name in disk.names(folder) if _SEGMENT.fullmatch(name)]
    segments = [Segment(name, disk.read(folder / name)) for name in names]
    head_raw = disk.read(folder / HEAD) if disk.exists(folder / HEAD) else None
    found = plan(segments, head_raw)
    state, history = State(), History()
    wall_ns = replay(segments, found, state, history)

    path = folder / (names[-1] if names else FIRST_SEGMENT)
    writer = _take_up(folder, path, disk, found)
    book = Book(state, history, clock, seq=found.seq, wall_ns=wall_ns)
    if found.torn is not None:
        raw = found.torn.raw
        book.record(Torn(bytes=len(raw), sha256=sha256_hex(raw), first_seq=found.torn.first_seq))
    session = rng.token(SESSION_BYTES).hex()
    book.record(Open(version=version, min_reader=READER, generation=found.generation or 1, session=session))
    crashed = tuple(state.open_calls)
    for call_id in crashed:
        book.execute(SettleAtWorst(call_id, CRASH, None))
    writer.write(book.kept)
    book.kept.clear()
    book.fresh.clear()
    torn_bytes = len(found.torn.raw) if found.torn else 0
    return Opened(book, writer, RecoveryReport(found.seq, torn_bytes, crashed, found.warnings))


def _take_up(folder: Path, path: Path, disk: Disk, found: Plan) -> Writer:
    """Open segment and head for writing, the torn tail cut off."""
    head = disk.open_update(folder / HEAD)
    segment = disk.open_append(path)
    # The names must be durable before the head can say that something in the segment is.
    disk.sync_folder(folder)
    if found.torn is not None:
        # Safe in a file of their own before they are cut off, and cut off before anything is added.
        disk.replace(_free_name(folder, disk, found.torn), found.torn.raw)
        segment.truncate(found.torn.place.byte)
        segment.sync()
    generation = found.generation or 1
    return Writer(segment, head, seq=found.seq, h=found.h, generation=generation, next_slot=found.next_slot)


def _free_name(folder: Path, disk: Disk, torn: TornTail) -> Path:
    """Return the name for the torn bytes: `torn-<seq>.bin`, numbered on where other bytes have that name."""
    path, count = folder / f"torn-{torn.first_seq:012d}.bin", 1
    while disk.exists(path) and disk.read(path) != torn.raw:
        count += 1
        path = folder / f"torn-{torn.first_seq:012d}-{count}.bin"
    return path
