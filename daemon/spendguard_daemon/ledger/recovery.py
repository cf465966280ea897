"""What to make of a journal found on disk: the decision table of recovery, as pure functions over bytes.

Owns one question: is damage a torn tail that was never acknowledged, or harm to something that was? Knows no
disk; `opening` reads the files and carries the plan out. Invariant: no line that was ever durable is dropped,
and none is skipped; where that cannot be shown, the journal is refused with file, line and byte.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.apply import ContradictionError, apply
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.lines import (
    GENESIS,
    SLOT_BYTES,
    LineError,
    Slot,
    decode_slot,
    open_line,
    read_event,
    read_time,
)
from spendguard_daemon.ledger.state import State

HEAD = "head"


@dataclass(frozen=True, slots=True)
class Segment:
    """One journal file: its name and its bytes."""

    name: str
    raw: bytes

    @property
    def first_seq(self) -> int:
        """The seq that its name says it begins with."""
        return int(self.name.removeprefix("seg-").removesuffix(".jsonl"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the journal: file, line (from 1), and the byte at which the line begins."""

    file: str
    line: int
    byte: int


@dataclass(frozen=True, slots=True)
class TornTail:
    """The end of the last segment, to be kept aside and cut off: never acknowledged, and not whole."""

    place: Place
    raw: bytes
    first_seq: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How to go on from a journal: its last good seq and hash, what to cut off, which head slot to write."""

    seq: int
    h: str
    generation: int
    torn: TornTail | None
    next_slot: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Damage:
    """The first line that is not the next one. `misplaced`: it is whole, so no tear can have put it there."""

    place: Place
    what: str
    misplaced: bool


@dataclass(slots=True)
class _Chain:
    seq: int = 0
    h: str = GENESIS
    ack: int = 0
    generation: int = 0


def plan(segments: Sequence[Segment], head_raw: bytes | None) -> Plan:
    """Check a whole journal (segments in order of their names) and say how to go on from it.

    Raises LEDGER_DAMAGED where a record that was durable is missing or changed, LEDGER_NEWER where a record
    is not for this reader.
    """
    slots = _slots(head_raw)
    head = max((slot for slot in slots if slot), key=lambda slot: slot.seq, default=None)
    chain, torn = _Chain(), None
    for index, segment in enumerate(segments):
        if segment.first_seq != chain.seq + 1:
            raise damaged(Place(segment.name, 1, 0), f"record {chain.seq + 1} should follow here")
        damage = _walk(segment, chain, head)
        if damage is not None:
            torn = _judge(segment, chain, head, damage, last=index == len(segments) - 1)
    if head is not None:
        _check_head(segments, chain, head, torn)
    warnings = []
    if torn is not None:
        place, size = torn.place, len(torn.raw)
        warnings.append(f"{place.file}, byte {place.byte}: {size} bytes of an unfinished write set aside")
    if head is None and chain.seq:
        warnings.append("the head file was missing or damaged: the journal was judged by itself")
    next_slot = 1 if head is not None and head == slots[0] else 0
    return Plan(chain.seq, chain.h, chain.generation, torn, next_slot, tuple(warnings))


def replay(segments: Sequence[Segment], found: Plan, state: State, history: History) -> int:
    """Apply every record of a journal that `plan` passed; return the wall time of the last one, in ns.

    Raises LEDGER_DAMAGED where a record contradicts those before it.
    """
    wall_ns = 0
    for place, line in _lines(segments, found):
        try:
            envelope = open_line(line)
            wall_ns = max(wall_ns, read_time(envelope))
            event = read_event(line, envelope)
            if event is not None:
                apply(state, event, wall_ns)
                history.note(event, wall_ns)
        except (LineError, ContradictionError) as error:
            raise damaged(place, str(error)) from None
    return wall_ns


def damaged(place: Place, what: str) -> SpendGuardError:
    """Return the refusal of a journal, naming the place."""
    return _refuse(Code.LEDGER_DAMAGED, place, what)


def _refuse(code: Code, place: Place, what: str) -> SpendGuardError:
    entry = TABLE[code]
    return SpendGuardError(
        code,
        f"{entry.title}: {place.file}, line {place.line}, byte {place.byte}: {what}",
        remedy=entry.operator_remedy,
        facts={"file": place.file, "line": place.line, "byte": place.byte},
    )


def _slots(head_raw: bytes | None) -> tuple[Slot | None, Slot | None]:
    raw = head_raw or b""
    return decode_slot(raw[:SLOT_BYTES]), decode_slot(raw[SLOT_BYTES : 2 * SLOT_BYTES])


def _walk(segment: Segment, chain: _Chain, head: Slot | None) -> _Damage | None:
    """Follow the chain through a segment, as far as it goes; return what stopped it."""
    raw, offset, number = segment.raw, 0, 1
    while offset < len(raw):
        place = Place(segment.name, number, offset)
        end = raw.find(b"\n", offset)
        if end < 0:
            return _Damage(place, "the last line is cut off", misplaced=False)
        try:
            envelope = open_line(raw[offset:end])
        except LineError as error:
            return _Damage(place, str(error), misplaced=False)
        if (envelope.seq, envelope.prev) != (chain.seq + 1, chain.h):
            what = f"record {envelope.seq} stands where record {chain.seq + 1} should follow"
            return _Damage(place, what, misplaced=True)
        if envelope.newer:
            raise _refuse(Code.LEDGER_NEWER, place, envelope.newer)
        chain.seq, chain.h, chain.ack = envelope.seq, envelope.h, max(chain.ack, envelope.ack)
        chain.generation = envelope.generation or chain.generation
        if head is not None and envelope.seq == head.seq and envelope.h != head.h:
            raise damaged(place, "the head file knows another record of this number")
        offset, number = end + 1, number + 1
    return None


def _judge(segment: Segment, chain: _Chain, head: Slot | None, damage: _Damage, *, last: bool) -> TornTail:
    """Return the torn tail that the damage is, or refuse it as harm to what was acknowledged."""
    first_seq = chain.seq + 1
    tail = segment.raw[damage.place.byte :]
    survivors = []
    for line in tail.split(b"\n"):
        try:
            survivors.append(open_line(line))
        except LineError:
            continue
    durable_seq = max([chain.ack, head.seq if head else 0, *(envelope.ack for envelope in survivors)])
    # A tear loses bytes where they are: it cannot repeat a record, or bring whole ones out of their order.
    order = [chain.seq, *(envelope.seq for envelope in survivors)]
    reordered = any(later <= earlier for earlier, later in pairwise(order))
    if not last or damage.misplaced or reordered or first_seq <= durable_seq:
        raise damaged(damage.place, damage.what)
    return TornTail(damage.place, tail, first_seq)


def _check_head(segments: Sequence[Segment], chain: _Chain, head: Slot, torn: TornTail | None) -> None:
    if chain.seq < head.seq:
        end = torn.place if torn else _end(segments)
        raise damaged(end, f"the journal ends with record {chain.seq}, but record {head.seq} was durable")
    if chain.generation != head.generation:
        what = (
            f"the head is of generation {head.generation}, the journal of {chain.generation}: a mixed restore"
        )
        raise damaged(Place(HEAD, 1, 0), what)


def _end(segments: Sequence[Segment]) -> Place:
    if not segments:
        return Place("seg-000000000001.jsonl", 1, 0)
    last = segments[-1]
    return Place(last.name, last.raw.count(b"\n") + 1, len(last.raw))


def _lines(segments: Sequence[Segment], found: Plan) -> Iterator[tuple[Place, bytes]]:
    for segment in segments:
        torn_here = found.torn is not None and found.torn.place.file == segment.name
        end = found.torn.place.byte if found.torn and torn_here else len(segment.raw)
        offset, number = 0, 1
        while offset < end:
            line_end = segment.raw.index(b"\n", offset)
            yield Place(segment.name, number, offset), segment.raw[offset:line_end]
            offset, number = line_end + 1, number + 1
