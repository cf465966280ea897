"""Server-sent events: whatever the line ends and chunks, the same events come out and no byte is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed
from spendguard_daemon.providers.sse import Event, Splitter, last_event

LINE_ENDS = [b"\n", b"\r\n", b"\r"]


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """Cut a stream in chunks of these sizes, the rest in one."""
    chunks, at = [], 0
    for size in sizes:
        chunks.append(stream[at : at + size])
        at += size
    return [*chunks, stream[at:]]


def read(stream: bytes, sizes: list[int] | None = None) -> tuple[list[Event], bytes]:
    """Feed a stream; return its events and what is left."""
    splitter = Splitter()
    events = [event for chunk in cut(stream, sizes or []) for event in splitter.feed(chunk)]
    return events, splitter.rest()


def data(stream: bytes) -> list[bytes | None]:
    """Return the data of each event, the unfinished last one included."""
    events, rest = read(stream)
    return [event.data for event in events] + ([last_event(rest).data] if rest else [])


@pytest.mark.parametrize("end", LINE_ENDS)
def test_events_are_read_with_any_line_end(end: bytes) -> None:
    stream = end.join([b"data: one", b"", b"event: ping", b"data: two", b"", b""]) + b"x"
    events, rest = read(stream)
    assert [(event.name, event.data) for event in events] == [(b"", b"one"), (b"ping", b"two")]
    assert rest == b"x"


def test_line_ends_may_be_mixed() -> None:
    assert data(b"data: a\r\n\ndata: b\n\r\ndata: c\r\rdata: d\n\n") == [b"a", b"b", b"c", b"d"]


def test_several_data_lines_are_one_text() -> None:
    assert data(b"data: {\ndata:\ndata: }\n\n") == [b"{\n\n}"]


def test_only_one_space_after_the_colon_is_framing() -> None:
    assert data(b"data:x\n\ndata:  y\n\ndata\n\n") == [b"x", b" y", b""]


def test_comments_and_unknown_fields_are_kept_but_mean_nothing() -> None:
    events, _ = read(b": still here\n\nid: 7\nretry: 1\ndata: x\nfoo\n\n")
    assert [event.data for event in events] == [None, b"x"]
    assert events[0].raw == b": still here\n\n"


def test_extra_blank_lines_belong_to_the_next_event() -> None:
    events, rest = read(b"\n\n\ndata: x\n\n\n\n\ndata: y\n\n")
    assert [event.data for event in events if event.data] == [b"x", b"y"]
    assert b"".join(event.raw for event in events) + rest == b"\n\n\ndata: x\n\n\n\n\ndata: y\n\n"


def test_a_byte_order_mark_at_the_start_is_skipped() -> None:
    assert data(b"\xef\xbb\xbfdata: x\n\n") == [b"x"]


def test_a_cr_at_the_end_of_a_chunk_waits_for_its_lf() -> None:
    """Else the LF would be counted to the next event, and stay behind when this one is left out."""
    splitter = Splitter()
    assert splitter.feed(b"data: x\r\n\r") == []
    assert [event.raw for event in splitter.feed(b"\ndata: y")] == [b"data: x\r\n\r\n"]
    assert splitter.rest() == b"data: y"


def test_an_event_without_its_blank_line_is_left_over() -> None:
    events, rest = read(b"data: [DONE]")
    assert events == []
    assert last_event(rest).data == b"[DONE]"


def test_an_event_beyond_the_limit_ends_the_cutting_and_loses_nothing() -> None:
    splitter = Splitter(event_bytes_max=10)
    assert [event.data for event in splitter.feed(b"data: a\n\n")] == [b"a"]
    assert splitter.feed(b"data: much too long") == []
    assert splitter.overflowed
    assert splitter.feed(b"\n\ndata: b\n\n") == []
    assert splitter.rest() == b"data: much too long\n\ndata: b\n\n"


lines = st.sampled_from([b"data: a", b"data:", b"data: \xe2\x82\xac", b": c", b"event: e", b"", b"", b"id"])
streams = st.lists(st.tuples(lines, st.sampled_from(LINE_ENDS)), max_size=12).map(
    lambda pairs: b"".join(line + end for line, end in pairs)
)


@relaxed
@given(streams, st.lists(st.integers(0, 5), max_size=40))
def test_chunks_never_matter_and_every_byte_comes_out(stream: bytes, sizes: list[int]) -> None:
    whole, whole_rest = read(stream)
    events, rest = read(stream, sizes)
    assert (events, rest) == (whole, whole_rest)
    assert b"".join(event.raw for event in events) + rest == stream


@relaxed
@given(st.binary(max_size=60).filter(lambda raw: b"\r" not in raw))
def test_an_independent_reading_by_lines_finds_the_same_data(stream: bytes) -> None:
    """The standard's own procedure: collect lines, dispatch at each blank one."""
    expected, held = [], []
    for line in stream.split(b"\n")[:-1]:
        if line == b"":
            if held:
                expected.append(b"\n".join(held))
            held = []
        elif line.split(b":", 1)[0] == b"data":
            held.append((line + b":").split(b":", 1)[1][: -1 if b":" in line else None].removeprefix(b" "))
    events, _ = read(stream)
    if not stream.startswith(b"\xef\xbb\xbf"):
        assert [event.data for event in events if event.data is not None] == expected
