"""Where replay begins: the newest snapshot that a checkpoint in the journal names, or the very first record.

Reads only. A snapshot that is missing or bad is passed over with a warning, for an older one and more
segments make the same state; where those are not there, the journal is refused. Trust in a snapshot comes
from the journal: the checkpoint has its hash, and the record after it the hash of the last one within.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from spendguard_daemon.ledger.events import Checkpoint
from spendguard_daemon.ledger.folder import LedgerFolder
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.lines import LineError, open_line, read_event
from spendguard_daemon.ledger.recovery import Origin, Place, Segment, damaged, newer, segment_name
from spendguard_daemon.ledger.sealed import Pause, go_on
from spendguard_daemon.ledger.snapshot import NewerSnapshotError, SnapshotError, decode
from spendguard_daemon.ledger.state import State

_MARK = b'"t":"checkpoint"'


@dataclass(frozen=True, slots=True)
class Basis:
    """The state after record `origin.seq`, to be replayed upon; `wall_ns` is the time of that record."""

    origin: Origin
    wall_ns: int
    state: State
    history: History


def newest_basis(folder: LedgerFolder, warnings: list[str], pause: Pause = go_on) -> Basis:
    """Return the latest state to begin with; tell `warnings` of each snapshot that should have served.

    Raises LEDGER_DAMAGED where none serves and the records from the first on are not there, LEDGER_NEWER
    where the newest checkpoint, or its snapshot, is not for this reader.
    """
    failed: tuple[str, str] | None = None
    for file in reversed(folder.segments):
        for place, checkpoint in _checkpoints(folder.read(file)):
            try:
                return read_basis(folder, checkpoint, pause)
            except NewerSnapshotError as error:
                raise newer(Place(checkpoint.snapshot, 1, 0), str(error)) from None
            except SnapshotError as error:
                failed = failed or (checkpoint.snapshot, str(error))
                warnings.append(f"{checkpoint.snapshot}, named by {place.file}, line {place.line}: {error}")
    if failed is not None and folder.segments[0].first_seq != 1:
        name, why = failed
        raise damaged(Place(name, 1, 0), f"{why}; and {segment_name(1)} is not there to begin with instead")
    return genesis()


def genesis() -> Basis:
    """Return the state before the first record."""
    return Basis(Origin(), 0, State(), History())


def read_basis(folder: LedgerFolder, checkpoint: Checkpoint, pause: Pause) -> Basis:
    """Return the state in the snapshot that a checkpoint names; raise SnapshotError."""
    try:
        snapshot, digest = decode(folder.read_snapshot(checkpoint.through_seq), pause)
    except FileNotFoundError:
        raise SnapshotError("it is missing") from None
    named = (checkpoint.through_seq, checkpoint.through_h, checkpoint.sha256)
    if (snapshot.seq, snapshot.h, digest) != named:
        raise SnapshotError("it is not the snapshot that the checkpoint names")
    return Basis(snapshot.origin, snapshot.wall_ns, snapshot.state(), snapshot.history())


def _checkpoints(segment: Segment) -> Iterator[tuple[Place, Checkpoint]]:
    """Yield the checkpoints of a segment, the last first; lines that are not whole are left to recovery."""
    raw, end = segment.raw, len(segment.raw)
    while (found := raw.rfind(_MARK, 0, end)) >= 0:
        end = raw.rfind(b"\n", 0, found) + 1
        line_end = raw.find(b"\n", found)
        place = Place(segment.name, raw.count(b"\n", 0, end) + 1, end)
        try:
            line = raw[end : line_end if line_end >= 0 else len(raw)]
            envelope = open_line(line)
            if envelope.newer:
                raise newer(place, envelope.newer)
            event = read_event(line, envelope)
        except LineError:
            continue
        if isinstance(event, Checkpoint):
            yield place, event
