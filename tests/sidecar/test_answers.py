"""Relaying: every byte, as it arrives, but for the one chunk that we alone asked for."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed
from replies import load
from spendguard_daemon.providers.answers import JsonAnswer, StreamAnswer
from spendguard_daemon.providers.openai_answers import ChatMeter, reader
from spendguard_daemon.providers.sse import EVENT_LINES_MAX
from spendguard_daemon.usage import Usage

STREAM = load("09-openai-chat-stream-tools-usage").reply.body
EVENTS = STREAM.split(b"\n\n")
HIDDEN = b"\n\n".join(EVENTS[:-3] + EVENTS[-2:])
USAGE = Usage(input_tokens=53, output_tokens=15)


def relayed(raw: bytes, sizes: list[int], *, hides: bool, encoding: str = "") -> tuple[bytes, Usage | None]:
    """Pass a stream through the reader; return what the client gets, and the usage."""
    taken = reader(stream=True, hides_usage=hides, encoding=encoding)
    out, at = b"", 0
    for size in sizes:
        out += taken.feed(raw[at : at + size])
        at += size
    out += taken.feed(raw[at:])
    return out + taken.end(), taken.usage


def test_the_recording_ends_with_the_usage_chunk_and_the_end_mark() -> None:
    assert b'"choices":[],"usage":{' in EVENTS[-3]
    assert EVENTS[-2:] == [b"data: [DONE]", b""]


@relaxed
@given(st.lists(st.integers(1, 400), max_size=30), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_only_our_chunk_is_left_out_wherever_the_chunks_end(sizes: list[int], end: bytes) -> None:
    raw, hidden = STREAM.replace(b"\n", end), HIDDEN.replace(b"\n", end)
    assert relayed(raw, sizes, hides=True) == (hidden, USAGE)
    assert relayed(raw, sizes, hides=False) == (raw, USAGE)


def test_nothing_is_kept_back_that_the_client_may_see() -> None:
    taken = reader(stream=True, hides_usage=False, encoding="")
    assert taken.feed(b"data: {") == b"data: {"
    hiding = reader(stream=True, hides_usage=True, encoding="")
    assert hiding.feed(EVENTS[0] + b"\n\ndata: {") == EVENTS[0] + b"\n\n"


def test_usage_beside_choices_is_not_left_out() -> None:
    raw = load("08-openai-chat-stream-usage").reply.body
    assert relayed(raw, [], hides=True) == (raw, Usage(input_tokens=57, output_tokens=17))


@pytest.mark.parametrize("member", [b'"usage":null', b'"prompt_filter_results":[]'])
def test_chunks_without_choices_or_usage_pass(member: bytes) -> None:
    raw = b'data: {"choices":[],' + member + b"}\n\n"
    assert relayed(raw, [], hides=True)[0] == raw


def test_comments_and_pings_pass() -> None:
    raw = b": ping\n\nevent: ping\ndata:\n\nretry: 5\n\n"
    assert relayed(raw, [3], hides=True)[0] == raw


def test_our_chunk_without_its_blank_line_is_left_out_too() -> None:
    assert relayed(b"\n\n".join(EVENTS[:-2]), [], hides=True) == (b"\n\n".join(EVENTS[:-3]) + b"\n\n", USAGE)


def test_what_is_torn_is_relayed_to_its_last_byte() -> None:
    start = STREAM.index(EVENTS[-3])
    whole = start + len(EVENTS[-3])
    for at in range(len(STREAM) - 900, len(STREAM)):
        assert relayed(STREAM[:at], [], hides=False)[0] == STREAM[:at]
        shown = STREAM[:at] if at < whole else STREAM[:start] + STREAM[whole + 2 : at]
        assert relayed(STREAM[:at], [], hides=True)[0] == shown


def test_a_compressed_stream_passes_whole_and_is_read() -> None:
    raw = gzip.compress(STREAM)
    assert relayed(raw, [10, 1, 1], hides=True, encoding="gzip") == (raw, USAGE)


def test_an_event_beyond_the_limit_passes_but_nothing_is_believed_after_it() -> None:
    raw = b": " + b"x" * 2_000 + b"\n\n" + STREAM
    for hides in (True, False):
        taken = StreamAnswer(ChatMeter(), "", hides=hides, event_bytes_max=1_000)
        out = b"".join(taken.feed(raw[at : at + 500]) for at in range(0, len(raw), 500)) + taken.end()
        assert out == raw
        assert (taken.usage, taken.complete) == (None, False)
        assert taken.problem == "an event is larger than can be read"


def test_an_event_of_too_many_lines_passes_unread_whether_it_ends_or_not() -> None:
    """Each line costs time to read: an event of nothing else would stop the loop."""
    for end in (b"\n", b""):
        raw = b"data: {}\n\n" + b"data:\n" * (EVENT_LINES_MAX + 1) + end
        for hides in (True, False):
            taken = reader(stream=True, hides_usage=hides, encoding="")
            assert taken.feed(raw) + taken.feed(b"rest") + taken.end() == raw + b"rest"
            assert taken.problem == "an event is larger than can be read"


PLAIN = json.dumps({"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}).encode()


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "x-gzip", "GZIP", "deflate"])
def test_a_plain_answer_is_relayed_as_it_came_and_read_decoded(encoding: str) -> None:
    kind = encoding.lower().removeprefix("x-")
    raw = {"gzip": gzip.compress, "deflate": zlib.compress}.get(kind, bytes)(PLAIN)
    taken = JsonAnswer(ChatMeter(), encoding)
    assert b"".join(taken.feed(raw[at : at + 3]) for at in range(0, len(raw), 3)) + taken.end() == raw
    assert (taken.complete, taken.usage) == (True, Usage(input_tokens=1, output_tokens=2))


def test_a_plain_answer_beyond_the_limit_passes_unread() -> None:
    taken = JsonAnswer(ChatMeter(), "", bytes_max=len(PLAIN) - 1)
    assert taken.feed(PLAIN[:10]) + taken.feed(PLAIN[10:]) + taken.end() == PLAIN
    assert (taken.usage, taken.complete) == (None, False)
    assert taken.problem == "the answer is larger than can be read"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_an_encoding_we_cannot_read_passes_unread(encoding: str) -> None:
    for stream in (True, False):
        taken = reader(stream=stream, hides_usage=stream, encoding=encoding)
        assert taken.feed(b"\x00\x01") + taken.end() == b"\x00\x01"
        assert (taken.usage, taken.complete) == (None, False)
        assert taken.problem == "the answer has a content encoding that cannot be read"
