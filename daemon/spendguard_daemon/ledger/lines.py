"""The line codec: a journal line is one ASCII JSON object that ends with the hash of all that is before it.

    {"v":1,"seq":42,"ack":40,"prev":"<32 hex>","ts":"...Z","org":"local","t":"hold",...,"h":"<32 hex>"}

`seq` is dense. `prev` is the `h` of the line before. `ack` is the highest seq that was durable when the line
was written, so that any valid line proves what must not be missing. `h` is the first half of the SHA-256 of
the line's bytes before `,"h"`: a line is checked as it lies there, without being parsed and written again.
Pure: bytes and values only. The `head` slot, which says how far the journal was synced, is coded here too.
"""

import hashlib
import json

import msgspec

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.ledger.events import Event
from spendguard_daemon.ledger.times import format_time, parse_time

VERSION = 1
READER = 2
"""What this code understands; an `open` record with a larger `min_reader` is refused.

Version 2 knows agents' keys: who left them out would let one spend past its limit.
"""

GENESIS = "0" * 32
LINE_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = LINE_BYTES_MAX - 512
SLOT_BYTES = 128

_TAIL_BYTES = len(',"h":""}') + 32
_TAGS = frozenset(str(kind.__struct_config__.tag) for kind in Event.__args__)

_encoder = msgspec.json.Encoder()
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class LineError(Exception):
    """A line is not one that we wrote whole; says what is wrong with it.

    `proven`: its hash fits, so somebody wrote it just so, and no tear made it.
    """

    def __init__(self, what: str, *, proven: bool = False) -> None:
        super().__init__(what)
        self.proven = proven


class Envelope(msgspec.Struct, frozen=True):
    """What every line has around its event. `min_reader` and `generation` are those of `open` records."""

    v: int
    seq: int
    ack: int
    prev: str
    ts: str
    t: str
    h: str
    crit: bool = False
    min_reader: int = 0
    generation: int = 0

    @property
    def newer(self) -> str | None:
        """Say why this code must not ignore the line though it cannot read it; None where it can."""
        if self.v > VERSION:
            return f"a record of version {self.v}"
        if self.min_reader > READER:
            return f"records for readers of version {self.min_reader} or later"
        if self.crit and self.t not in _TAGS:
            return f"a critical record of the unknown type {self.t!r}"
        return None


_envelopes: msgspec.json.Decoder[Envelope] = msgspec.json.Decoder(Envelope)


class Slot(msgspec.Struct, frozen=True):
    """How far the journal was synced once: the last seq, its hash, and the journal's generation."""

    seq: int
    h: str
    generation: int


def encode_body(event: Event) -> bytes:
    """Return an event as an ASCII JSON object; raise MALFORMED_REQUEST where it cannot be one line."""
    try:
        body = _encoder.encode(event)
    except UnicodeEncodeError:
        raise MalformedError("record", "text without lone surrogates") from None
    if not body.isascii():
        body = json.dumps(json.loads(body), separators=(",", ":")).encode()
    if len(body) > BODY_BYTES_MAX:
        raise MalformedError("record", f"at most {BODY_BYTES_MAX} bytes, not {len(body)}")
    return body


def seal(seq: int, ack: int, prev: str, wall_ns: int, body: bytes) -> tuple[bytes, str]:
    """Return the whole line with its LF, and its hash, which is the next line's `prev`."""
    start = (
        f'{{"v":{VERSION},"seq":{seq},"ack":{ack},"prev":"{prev}","ts":"{format_time(wall_ns)}","org":"local"'
    )
    line = start.encode() + b"," + body[1:-1]
    digest = hashlib.sha256(line).hexdigest()[:32]
    return line + f',"h":"{digest}"}}\n'.encode(), digest


def open_line(line: bytes) -> Envelope:
    """Check a line (without its LF) as far as it proves itself, and return its envelope; raise LineError."""
    if len(line) >= LINE_BYTES_MAX:
        raise LineError(f"a line of {len(line)} bytes, above {LINE_BYTES_MAX}")
    digest = hashlib.sha256(line[:-_TAIL_BYTES]).hexdigest()[:32]
    if line[-_TAIL_BYTES:] != f',"h":"{digest}"}}'.encode():
        raise LineError("the line's hash does not match its bytes")
    try:
        envelope = _envelopes.decode(line)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise LineError(f"not a journal line: {error}", proven=True) from None
    if envelope.h != digest or not 0 <= envelope.ack < envelope.seq:
        raise LineError("the line's envelope contradicts itself", proven=True)
    return envelope


def read_envelope(line: bytes) -> Envelope:
    """Return the envelope of a line that `open_line` passed before."""
    return _envelopes.decode(line)


def read_event(line: bytes, envelope: Envelope) -> Event | None:
    """Return the event of a line that `open_line` passed, None for a type we may ignore; raise LineError."""
    if envelope.t not in _TAGS:
        return None
    try:
        return _events.decode(line)
    except msgspec.MsgspecError as error:
        raise LineError(f"not a {envelope.t} record: {error}") from None


def read_time(envelope: Envelope) -> int:
    """Return the wall time of a line in ns; raise LineError."""
    try:
        return parse_time(envelope.ts)
    except ValueError as error:
        raise LineError(str(error)) from None


def encode_slot(slot: Slot) -> bytes:
    """Return a head slot: 128 bytes of text that end with LF and prove themselves."""
    text = f"{slot.seq:012d},{slot.h},{slot.generation:06d},"
    return (text + hashlib.sha256(text.encode()).hexdigest()).ljust(SLOT_BYTES - 1).encode() + b"\n"


def decode_slot(raw: bytes) -> Slot | None:
    """Return a head slot, None where it is not whole."""
    parts = raw.split(b",")
    if len(parts) != 4:
        return None
    try:
        slot = Slot(int(parts[0]), parts[1].decode(), int(parts[2]))
    except ValueError:
        return None
    return slot if encode_slot(slot) == raw else None
