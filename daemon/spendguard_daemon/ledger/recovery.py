"""What to make of a journal found on disk: the decision table of recovery, as pure functions over bytes.

Owns one question: is damage a torn tail that was never acknowledged, or harm to something that was? Knows no
disk; `opening` reads the files and carries the plan out. Invariant: no line that was ever durable is dropped,
and none is skipped; where that cannot be shown, the journal is refused with file, line and byte.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.lines import (
    GENESIS,
    SLOT_BYTES,
    Envelope,
    LineError,
    Slot,
    decode_slot,
    open_line,
)

HEAD = "head"


def segment_name(first_seq: int) -> str:
    """Return the name of the segment that begins with record `first_seq`."""
    return f"seg-{first_seq:012d}.jsonl"


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
    """How to go on from a journal: its last good seq and hash, what to cut off, which head slot to write.

    `segment_seq` is the first record of the segment that holds the last one: the segment to go on in.
    """

    seq: int
    h: str
    generation: int
    torn: TornTail | None
    next_slot: int
    segment_seq: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """The record after which a walk begins: its seq, its hash, its generation; all up to it was durable."""

    seq: int = 0
    h: str = GENESIS
    generation: int = 0


@dataclass(frozen=True, slots=True)
class _Damage:
    """The first line that is not the next one. `misplaced`: it is whole, so no tear can have put it there."""

    place: Place
    what: str
    misplaced: bool


Follow = Callable[[Place, Envelope, bytes], object]
"""Is told of each line that is the next one: its place, its envelope, its bytes without the LF."""


class Walk:
    """Follows the chain through segments, one at a time; `finish` judges what stopped it.

    `begun_seq` is the last record that was durable because a segment was begun after it. An empty segment
    proves no more than that: one is left where the disk was full when it was begun.
    """

    def __init__(self, head_raw: bytes | None, origin: Origin, begun_seq: int) -> None:
        self._slots = _slots(head_raw)
        self._head = newest_slot(head_raw)
        self._begun_seq = begun_seq
        self.seq, self.h, self.generation = origin.seq, origin.h, origin.generation
        self._segment_seq = origin.seq + 1
        self._end = Place(segment_name(self._segment_seq), 1, 0)
        self._damage: _Damage | None = None
        self._tail = b""

    def feed(self, segment: Segment, follow: Follow | None = None) -> None:
        """Go on through a segment, as far as it is whole.

        Raises LEDGER_DAMAGED where the one before was not whole, or this one is not the next; LEDGER_NEWER
        where a record is not for this reader; and what `follow` raises.
        """
        if not segment.raw:
            return
        if self._damage is not None:
            raise damaged(self._damage.place, self._damage.what)
        if segment.first_seq != self.seq + 1:
            raise damaged(Place(segment.name, 1, 0), f"record {self.seq + 1} should follow here")
        self._segment_seq = segment.first_seq
        raw, offset, number = segment.raw, 0, 1
        while offset < len(raw):
            place = Place(segment.name, number, offset)
            end = raw.find(b"\n", offset)
            self._damage = self._step(place, raw[offset:end] if end >= 0 else None, follow)
            if self._damage is not None:
                self._end, self._tail = place, raw[offset:]
                return
            offset, number = end + 1, number + 1
        self._end = Place(segment.name, number, offset)

    def finish(self) -> Plan:
        """Return how to go on; raise LEDGER_DAMAGED where something durable is missing or changed."""
        head, torn = self._head, self._judge(self._damage) if self._damage else None
        durable_seq = max(self._begun_seq, head.seq if head else 0)
        if self.seq < durable_seq:
            raise damaged(
                self._end, f"the journal ends with record {self.seq}, but record {durable_seq} was durable"
            )
        if head is not None and self.generation != head.generation:
            what = f"the head is of generation {head.generation}, the journal of {self.generation}"
            raise damaged(Place(HEAD, 1, 0), f"{what}: a mixed restore")
        warnings = []
        if torn is not None:
            place, size = torn.place, len(torn.raw)
            warnings.append(f"{place.file}, byte {place.byte}: {size} bytes of an unfinished write set aside")
        if head is None and self.seq:
            warnings.append("the head file was missing or damaged: the journal was judged by itself")
        next_slot = 1 if head is not None and head == self._slots[0] else 0
        return Plan(self.seq, self.h, self.generation, torn, next_slot, self._segment_seq, tuple(warnings))

    def _step(self, place: Place, line: bytes | None, follow: Follow | None) -> _Damage | None:
        """Take one line, None where it has no end; return what is wrong with it."""
        if line is None:
            return _Damage(place, "the last line is cut off", misplaced=False)
        try:
            envelope = open_line(line)
        except LineError as error:
            return _Damage(place, str(error), misplaced=error.proven)
        if (envelope.seq, envelope.prev) != (self.seq + 1, self.h):
            what = f"record {envelope.seq} stands where record {self.seq + 1} should follow"
            return _Damage(place, what, misplaced=True)
        if envelope.newer:
            raise newer(place, envelope.newer)
        if self._head is not None and envelope.seq == self._head.seq and envelope.h != self._head.h:
            raise damaged(place, "the head file knows another record of this number")
        self.seq, self.h = envelope.seq, envelope.h
        self.generation = envelope.generation or self.generation
        if follow is not None:
            follow(place, envelope, line)
        return None

    def _judge(self, damage: _Damage) -> TornTail:
        """Return the torn tail that the damage is, or refuse it as harm to what was acknowledged."""
        survivors = []
        for line in self._tail.split(b"\n"):
            try:
                survivors.append(open_line(line))
            except LineError:
                continue
        head_seq = self._head.seq if self._head else 0
        # The lines before the damage are all there, and what they acknowledge is before them.
        durable_seq = max([head_seq, self._begun_seq, *(line.ack for line in survivors)])
        # A tear loses bytes where they are: it cannot repeat a record, or bring whole ones out of order.
        order = [self.seq, *(line.seq for line in survivors)]
        reordered = any(later <= earlier for earlier, later in pairwise(order))
        if damage.misplaced or reordered or self.seq + 1 <= durable_seq:
            raise damaged(damage.place, damage.what)
        return TornTail(damage.place, self._tail, self.seq + 1)


def plan(
    segments: Iterable[Segment],
    head_raw: bytes | None,
    *,
    origin: Origin = Origin(),
    begun_seq: int = 0,
) -> Plan:
    """Check a whole journal (segments in order of their names) and say how to go on from it.

    Raises LEDGER_DAMAGED where a record that was durable is missing or changed, LEDGER_NEWER where a record
    is not for this reader.
    """
    walk = Walk(head_raw, origin, begun_seq)
    for segment in segments:
        walk.feed(segment)
    return walk.finish()


def damaged(place: Place, what: str) -> SpendGuardError:
    """Return the refusal of a journal, naming the place."""
    return _refuse(Code.LEDGER_DAMAGED, place, what)


def newer(place: Place, what: str) -> SpendGuardError:
    """Return the refusal of a journal that is not for this reader."""
    return _refuse(Code.LEDGER_NEWER, place, what)


def _refuse(code: Code, place: Place, what: str) -> SpendGuardError:
    entry = TABLE[code]
    return SpendGuardError(
        code,
        f"{entry.title}: {place.file}, line {place.line}, byte {place.byte}: {what}",
        remedy=entry.operator_remedy,
        facts={"file": place.file, "line": place.line, "byte": place.byte},
    )


def newest_slot(head_raw: bytes | None) -> Slot | None:
    """Return what the head file says, None where neither of its slots is whole."""
    return max((slot for slot in _slots(head_raw) if slot), key=lambda slot: slot.seq, default=None)


def _slots(head_raw: bytes | None) -> tuple[Slot | None, Slot | None]:
    raw = head_raw or b""
    return decode_slot(raw[:SLOT_BYTES]), decode_slot(raw[SLOT_BYTES : 2 * SLOT_BYTES])
