"""The line codec and the head slot."""

import hashlib
import json

import pytest

from ledger_kit import funded_book, hold_call, new_agent, settle
from spendguard_daemon.errors import MalformedError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.lines import (
    BODY_BYTES_MAX,
    GENESIS,
    LINE_BYTES_MAX,
    LineError,
    Slot,
    decode_slot,
    encode_body,
    encode_slot,
    open_line,
    read_event,
    read_time,
    seal,
)
from spendguard_daemon.ledger.times import format_time, format_time_ms, parse_time

WALL_NS = 1_800_000_000_123_456_789
CLOSE = ev.Close(reason="down")


def sealed(body: bytes, **changes: int) -> bytes:
    """Return a whole line without its LF."""
    values = {"seq": 42, "ack": 40, "wall_ns": WALL_NS} | changes
    return seal(values["seq"], values["ack"], GENESIS, values["wall_ns"], body)[0][:-1]


def forged(**changes: object) -> bytes:
    """Return a line with a right hash over fields of the test's choice."""
    fields = {"v": 1, "seq": 42, "ack": 40, "prev": GENESIS, "ts": format_time(WALL_NS), "t": "close"}
    start = json.dumps(fields | {"reason": "x"} | changes, separators=(",", ":"))[:-1].encode()
    return start + b',"h":"' + hashlib.sha256(start).hexdigest()[:32].encode() + b'"}'


def test_a_line_is_readable_json_with_the_hash_of_its_own_bytes() -> None:
    """The format of the issue: fixed keys first, the hash last and over all before it."""
    line, digest = seal(42, 40, GENESIS, WALL_NS, encode_body(CLOSE))
    assert line == (
        b'{"v":1,"seq":42,"ack":40,"prev":"' + GENESIS.encode() + b'","ts":"2027-01-15T08:00:00.123456789Z",'
        b'"org":"local","t":"close","reason":"down","h":"' + digest.encode() + b'"}\n'
    )
    assert digest == hashlib.sha256(line[: line.index(b',"h":')]).hexdigest()[:32]
    assert json.loads(line)["h"] == digest


def test_a_line_comes_back_as_it_went() -> None:
    """Envelope, time and event survive, for one event of every kind that a life of calls makes."""
    book = funded_book(10_000)
    book.fresh.clear()
    for command in (
        hold_call("c1"),
        cmd.MarkSent("c1", ["max_tokens"]),
        settle("c1", 7),
        cmd.AdjustCall("c1", 8, "why", "me"),
        cmd.SetDaemonLimit(None, None, "me"),
        cmd.Freeze("agent-1", "mad \u2028 \U0001f600 é", "me"),
    ):
        book.execute(command)
    for booked in book.fresh:
        line = sealed(encode_body(booked.event))
        envelope = open_line(line)
        assert line.isascii()
        assert read_event(line, envelope) == booked.event
        assert (envelope.seq, envelope.ack, envelope.prev) == (42, 40, GENESIS)
        assert read_time(envelope) == WALL_NS
        assert envelope.newer is None


def test_every_changed_byte_is_noticed() -> None:
    """No bit of a line can flip unseen."""
    line = sealed(encode_body(CLOSE))
    for index in range(len(line)):
        for bit in range(8):
            flipped = bytearray(line)
            flipped[index] ^= 1 << bit
            with pytest.raises(LineError):
                open_line(bytes(flipped))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"x" * 5000,
        b"\0" * 512,
        forged(seq="42"),
        forged(ack=42),
        forged(ack=-1),
        forged(seq=None),
        forged(prev=7),
        sealed(b"{" + b" " * LINE_BYTES_MAX + b"}"),
    ],
)
def test_what_is_no_line_is_refused(line: bytes) -> None:
    """Wrong types, an ack above the seq, a line too long: refused even with a right hash."""
    with pytest.raises(LineError):
        open_line(line)


def test_a_line_is_shorter_than_the_bound() -> None:
    """With its LF it is 16 KiB at most."""
    spare = LINE_BYTES_MAX - 1 - len(forged(reason=""))
    assert open_line(forged(reason="x" * spare)).seq == 42
    with pytest.raises(LineError, match="a line of 16384 bytes"):
        open_line(forged(reason="x" * (spare + 1)))


@pytest.mark.parametrize(
    ("line", "proven"),
    [(forged(ack=42), True), (forged(seq="42"), True), (forged()[:-1], False), (b"", False)],
)
def test_a_line_whose_hash_fits_was_written_so(line: bytes, proven: bool) -> None:
    """No tear makes one, so it is harm."""
    with pytest.raises(LineError) as caught:
        open_line(line)
    assert caught.value.proven == proven


@pytest.mark.parametrize(
    ("line", "newer"),
    [
        (forged(v=2), "a record of version 2"),
        (forged(t="splice", crit=True), "a critical record of the unknown type 'splice'"),
        (forged(min_reader=3), "records for readers of version 3 or later"),
        (forged(min_reader=2), None),
        (forged(t="splice"), None),
        (forged(crit=True), None),
        (forged(colour="red"), None),
    ],
)
def test_newer_records_are_told_from_harmless_ones(line: bytes, newer: str | None) -> None:
    """Unknown fields and unknown non-critical types pass; what must not be ignored says so."""
    assert open_line(line).newer == newer


def test_unknown_types_and_fields_are_passed_over() -> None:
    """An unknown type has no event; an unknown field does not change the event it came with."""
    unknown = forged(t="splice")
    assert read_event(unknown, open_line(unknown)) is None
    extended = forged(colour="red")
    assert read_event(extended, open_line(extended)) == ev.Close(reason="x")


@pytest.mark.parametrize("changes", [{"reason": 7}, {"t": "hold"}, {"reason": None}])
def test_a_record_without_its_fields_is_refused(changes: dict[str, object]) -> None:
    """A right hash does not excuse a missing or wrongly typed field."""
    line = forged(**changes)
    with pytest.raises(LineError, match="record"):
        read_event(line, open_line(line))


@pytest.mark.parametrize(
    "ts", ["", "2027-01-15T08:00:00Z", "2027-01-15T08:00:00.123456789+0", "2027-13-15T08:00:00.123456789Z"]
)
def test_a_record_without_a_time_is_refused(ts: str) -> None:
    """Times have one form."""
    with pytest.raises(LineError):
        read_time(open_line(forged(ts=ts)))


def test_a_record_that_no_line_can_hold_is_refused_before_it_is_one() -> None:
    """Too long, or not encodable: MALFORMED_REQUEST, and the book has not moved."""
    book = funded_book(10_000)
    before = repr(book.state)
    for name in ("x" * BODY_BYTES_MAX, "\ud800"):
        with pytest.raises(MalformedError):
            book.execute(new_agent("agent-2", name=name))
    assert (repr(book.state), book.seq) == (before, 2)
    longest = encode_body(ev.Close(reason="x" * (BODY_BYTES_MAX - len(encode_body(ev.Close(reason=""))))))
    line = sealed(longest, seq=2**53, ack=2**53 - 1)
    assert len(longest) == BODY_BYTES_MAX
    assert open_line(line).seq == 2**53


def test_what_a_reader_must_not_pass_over_says_so() -> None:
    """An older one that knew nothing of restores would let every agent spend again."""
    restored = ev.Restored(generation=2, backup_ts="", manifest_sha256="", actor="")
    confirmed = ev.RestoreConfirmed(
        agent_id="a", spent_nusd=0, reason="", actor="", funded_nusd=0, settled_nusd=0, held_nusd=0
    )
    for event in (restored, confirmed):
        assert open_line(sealed(encode_body(event))).crit
    assert not open_line(sealed(encode_body(CLOSE))).crit


def test_an_event_tells_whose_it_is() -> None:
    """An agent's, or nobody's."""
    assert ev.agent_of(ev.Freeze(agent_id="a", reason="", actor="")) == "a"
    assert ev.agent_of(CLOSE) is None


def test_times_survive_to_the_nanosecond() -> None:
    """Also at the edges of a second, and before the epoch's first second is over."""
    for wall_ns in (0, 1, 999_999_999, WALL_NS, WALL_NS + 876_543_211, 4_102_444_800 * 10**9 - 1):
        assert parse_time(format_time(wall_ns)) == wall_ns
    assert format_time_ms(WALL_NS) == "2027-01-15T08:00:00.123Z"


def test_a_head_slot_is_128_bytes_and_proves_itself() -> None:
    """It comes back; with any bit flipped, cut or empty it does not."""
    slot = Slot(42, "ab" * 16, 1)
    raw = encode_slot(slot)
    assert len(raw) == 128
    assert raw.endswith(b"\n")
    assert decode_slot(raw) == slot
    for index in range(128):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[index] ^= 1 << bit
            assert decode_slot(bytes(flipped)) is None
    assert decode_slot(raw[:-1]) is None
    assert decode_slot(raw.replace(b"ab" * 16, b"\xff" * 32)) is None
    assert decode_slot(b"\xff" * 9 + raw[9:]) is None
    assert decode_slot(b"") is None
    assert decode_slot(bytes(128)) is None
