"""Replay: the records of a journal, applied one after the other to a state and to a history. Pure over bytes.

Invariant: a record that contradicts those before it stops the replay, with its place.
"""

from collections.abc import Iterable, Iterator

from spendguard_daemon.ledger.apply import apply
from spendguard_daemon.ledger.events import Event
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.lines import Envelope, LineError, read_envelope, read_event, read_time
from spendguard_daemon.ledger.recovery import Place, Plan, Segment, damaged
from spendguard_daemon.ledger.state import ContradictionError, State


class Replayer:
    """Applies records to a state, one after the other; `wall_ns` is the time of the last one."""

    def __init__(self, state: State, history: History | None, wall_ns: int) -> None:
        self.state, self.history, self.wall_ns = state, history, wall_ns

    def follow(self, place: Place, envelope: Envelope, line: bytes) -> Event | None:
        """Apply a record, and return it; None for one that may be ignored.

        Raises LEDGER_DAMAGED where it contradicts those before it.
        """
        try:
            self.wall_ns = max(self.wall_ns, read_time(envelope))
            event = read_event(line, envelope)
            if event is not None:
                apply(self.state, event, self.wall_ns)
                if self.history is not None:
                    self.history.note(event, self.wall_ns)
            return event
        except (LineError, ContradictionError) as error:
            raise damaged(place, str(error)) from None


def replay(
    segments: Iterable[Segment], found: Plan, state: State, history: History, *, wall_ns: int = 0
) -> int:
    """Apply every record of segments that `plan` passed; return the wall time of the last one, in ns.

    `wall_ns` is that of the record before the first. Raises LEDGER_DAMAGED where a record contradicts those
    before it.
    """
    replayer = Replayer(state, history, wall_ns)
    for place, line in _lines(segments, found):
        replayer.follow(place, read_envelope(line), line)
    return replayer.wall_ns


def _lines(segments: Iterable[Segment], found: Plan) -> Iterator[tuple[Place, bytes]]:
    for segment in segments:
        torn_here = found.torn is not None and found.torn.place.file == segment.name
        end = found.torn.place.byte if found.torn and torn_here else len(segment.raw)
        offset, number = 0, 1
        while offset < end:
            line_end = segment.raw.index(b"\n", offset)
            yield Place(segment.name, number, offset), segment.raw[offset:line_end]
            offset, number = line_end + 1, number + 1
