"""Opening a ledger folder: read the files, judge them by `recovery`, set a torn tail aside, take up the pen.

Blocks; runs once, at start, before anything listens. Invariant: a crash at any point of it leaves a folder
that opens to the same balances.
"""

from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.ledger.basis import newest_basis
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.commands import SettleAtWorst
from spendguard_daemon.ledger.events import Open, Torn
from spendguard_daemon.ledger.faults import clock_warnings
from spendguard_daemon.ledger.folder import ARCHIVE, LedgerFolder, SegmentFile, snapshot_name
from spendguard_daemon.ledger.journal import Writer
from spendguard_daemon.ledger.lines import READER
from spendguard_daemon.ledger.recovery import HEAD, Place, Plan, TornTail, damaged, plan, segment_name
from spendguard_daemon.ledger.replay import replay
from spendguard_daemon.ledger.rolling import SEGMENT_BYTES, RollingSegment
from spendguard_daemon.ports import Clock, Disk, Rng

FIRST_SEGMENT = segment_name(1)
RESTORING = ".restoring"
"""What the name of a ledger's folder ends with while it is being restored."""
CRASH = "crash"
SESSION_BYTES = 8


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What was found at start: records replayed, bytes set aside, calls charged at worst, and warnings."""

    records: int
    torn_bytes: int
    settled_at_worst: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A ledger that is whole, durable, and ready to be written on; up to `covered_seq` it has a snapshot."""

    book: Book
    writer: Writer
    report: RecoveryReport
    covered_seq: int
    folder: Path
    disk: Disk


def open_folder(
    folder: Path, *, disk: Disk, clock: Clock, rng: Rng, version: str, segment_bytes: int = SEGMENT_BYTES
) -> Opened:
    """Recover the journal in `folder`, which the caller has locked; calls found open are charged at worst.

    Raises LEDGER_DAMAGED or LEDGER_NEWER with nothing on the disk changed; OSError where the disk fails.
    """
    files, warnings = LedgerFolder(folder, disk), list[str]()
    if not files.segments:
        _check_new(files, disk)
    basis = newest_basis(files, warnings)
    state, tail = basis.state, files.after(basis.origin.seq)
    found = plan(files.read_all(tail), files.read_head(), origin=basis.origin, begun_seq=files.begun_seq)
    wall_ns = replay(files.read_all(tail), found, state, basis.history, wall_ns=basis.wall_ns)
    warnings += clock_warnings(wall_ns, clock.wall_ns())
    _check_last(tail, found)

    writer = _take_up(folder, disk, found, segment_bytes)
    book = Book(state, basis.history, clock, seq=found.seq, wall_ns=wall_ns)
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
    report = RecoveryReport(found.seq, torn_bytes, crashed, (*warnings, *found.warnings))
    return Opened(book, writer, report, basis.origin.seq, folder, disk)


def _check_new(files: LedgerFolder, disk: Disk) -> None:
    """Refuse to begin an empty ledger where there was one: its segments are gone, its snapshots are not.

    Or where a restore was cut short: the money is in the folder beside it.
    """
    if files.snapshots:
        what = f"there is no segment, but {snapshot_name(files.snapshots[-1])}: records were taken away"
        raise damaged(Place(FIRST_SEGMENT, 1, 0), what)
    restoring = files.path.with_name(files.path.name + RESTORING)
    if disk.exists(restoring):
        what = "a restore was cut short; do it again, or rename the folder"
        raise damaged(Place(restoring.name, 1, 0), what)


def _check_last(files: tuple[SegmentFile, ...], found: Plan) -> None:
    """Refuse to go on in a segment that somebody moved: a new file of its name would hide its records."""
    for file in files:
        if file.archived and file.first_seq == found.segment_seq:
            raise damaged(Place(file.name, 1, 0), f"the last segment is in {ARCHIVE}: move it back")


def _take_up(folder: Path, disk: Disk, found: Plan, segment_bytes: int) -> Writer:
    """Open segment and head for writing, the torn tail cut off."""
    head = disk.open_update(folder / HEAD)
    segment = RollingSegment(folder, disk, first_seq=found.segment_seq, limit_bytes=segment_bytes)
    # The names must be durable before the head can say that something in the segment is.
    disk.sync_folder(folder)
    if found.torn is not None:
        # Safe in a file of their own before they are cut off, and cut off before anything is added.
        disk.replace(_free_name(folder, disk, found.torn), found.torn.raw)
        segment.truncate(found.torn.place.byte)
    # What a killed process wrote may be read here and yet be lost to a power cut: the next segment, which
    # proves this one, may be begun at once.
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
