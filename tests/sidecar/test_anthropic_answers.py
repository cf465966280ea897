"""Anthropic answers: the usage that is believed, however it comes, and why others are not.

What each recording was billed is worked out here again, from the documentation of prompt caching and
streaming: all three input counts add up, cache writes are split by lifetime, later totals replace earlier.
"""

import gzip
import json
from typing import Any

import pytest

from replies import RECORDINGS, load
from spendguard_daemon.providers import AnswerReader
from spendguard_daemon.providers.anthropic_answers import STRICT_BYTES_MAX, reader
from spendguard_daemon.usage import Usage

EXPECTED = {
    line["id"]: line
    for line in map(json.loads, (RECORDINGS / "expected_usage.jsonl").read_text().splitlines())
    if line["provider"] == "anthropic" and line["endpoint"] == "/v1/messages" and line["status"] == 200
}
NAMES = sorted(
    path.stem for path in RECORDINGS.glob("*-anthropic-*.json") if path.stem.split("-", 1)[1] in EXPECTED
)
STREAMS = [name for name in NAMES if EXPECTED[name.split("-", 1)[1]]["stream"]]
START = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 1,
}
GOOD = Usage(input_tokens=10, output_tokens=5)


def message(usage: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "model": "m", "content": [], "stop_reason": None, "usage": usage, **fields}


def answer(usage: Any, **fields: Any) -> bytes:
    """Return a plain answer that reports this usage."""
    return json.dumps(message(usage, stop_reason="end_turn") | fields).encode()


def events(*said: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: " + one["type"].encode() + b"\ndata: " + json.dumps(one).encode() + b"\n\n" for one in said
    )


def start(usage: Any = START, **fields: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": message(usage, **fields)}


def delta(usage: Any, reason: str = "end_turn") -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "é"}}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def fed(
    raw: bytes, *, size: int = 0, streaming: bool = False, encoding: str = "", writes_1h: bool = False
) -> AnswerReader:
    """Feed an answer in chunks of a size (0: whole); what is relayed must be what came."""
    taken = reader(stream=streaming, writes_1h=writes_1h, encoding=encoding)
    step = size or len(raw) or 1
    relayed = b"".join(taken.feed(raw[at : at + step]) for at in range(0, len(raw), step)) + taken.end()
    assert relayed == raw
    return taken


def stream(*said: dict[str, Any]) -> AnswerReader:
    return fed(events(*said), streaming=True)


def decoded(name: str) -> bytes:
    reply = load(name).reply
    packed = reply.headers.get("content-encoding") == "gzip"
    return gzip.decompress(reply.body) if packed else reply.body


def by_the_documentation(body: bytes) -> Usage:
    """Work the usage out of an answer, in the plainest way."""
    if body.startswith(b"{"):
        said = json.loads(body)["usage"]
    else:
        said = {}
        for line in body.decode().splitlines():
            event = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            said |= event.get("message", {}).get("usage", {}) | event.get("usage", {})
    written = said.get("cache_creation_input_tokens") or 0
    split = said.get("cache_creation") or {}
    long = split.get("ephemeral_1h_input_tokens", 0)
    read = said.get("cache_read_input_tokens") or 0
    searches = (said.get("server_tool_use") or {}).get("web_search_requests", 0)
    return Usage(
        input_tokens=said["input_tokens"] + written + read,
        cached_input_tokens=read,
        cache_write_input_tokens=written - long,
        cache_write_1h_input_tokens=long,
        output_tokens=said["output_tokens"],
        events={"web_search": searches} if searches else {},
        service_tier="default",
        modifiers=(f"geo:{said['inference_geo']}",) if said.get("inference_geo") else (),
    )


@pytest.mark.parametrize("size", [0, 1, 7, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_each_recording_settles_as_the_documentation_says(name: str, size: int) -> None:
    recording = load(name)
    encoding = recording.reply.headers.get("content-encoding", "")
    taken = fed(recording.reply.body, size=size, streaming=name in STREAMS, encoding=encoding)
    assert (taken.complete, taken.problem) == (True, None)
    assert taken.usage == by_the_documentation(decoded(name))
    assert taken.model == EXPECTED[name.split("-", 1)[1]]["model"]


def test_the_computation_agrees_with_what_was_worked_out_by_hand() -> None:
    assert len(NAMES) >= 8
    for name in NAMES:
        usage, by_hand = by_the_documentation(decoded(name)), EXPECTED[name.split("-", 1)[1]]["usage"]
        assert usage.input_tokens == by_hand["input"]
        assert usage.output_tokens == by_hand["output"]
        assert usage.cached_input_tokens == by_hand.get("cached", 0)
        written = usage.cache_write_input_tokens + usage.cache_write_1h_input_tokens
        assert written == by_hand.get("cache_write", 0)


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_is_read_the_same_however_its_lines_end_and_whatever_stands_between(
    name: str,
) -> None:
    plain = decoded(name)
    expected = by_the_documentation(plain)
    for shaped in (
        plain.replace(b"\n", b"\r\n"),
        plain.replace(b"\n\n", b"\n: a comment\n\n"),
        plain.replace(b"\n\n", b"\n\n: only a comment\n\nevent: ping\ndata: {}\n\n"),
        plain.replace(b"\n\n", b'\n\nevent: news\ndata: {"type": "unheard_of"}\n\n', 3),
        plain.removesuffix(b"\n\n") + b"\n",
    ):
        for size in (0, 1, 13):
            taken = fed(shaped, size=size, streaming=True)
            assert (taken.complete, taken.problem, taken.usage) == (True, None, expected)


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_cut_anywhere_is_complete_only_with_its_last_event(name: str) -> None:
    plain = decoded(name)
    last = plain.rindex(b"event: message_stop")
    whole = plain.rindex(b"}") + 1
    for end in range(0, len(plain), 3):
        taken = fed(plain[:end], streaming=True)
        assert taken.complete == (end >= whole), end
        assert (taken.usage is not None) == (end > plain.rindex(b"}", 0, last)), end


def test_half_a_character_at_the_end_of_a_chunk_does_no_harm() -> None:
    raw = events(start(), TEXT, delta({"output_tokens": 5}), STOP).replace(b"\\u00e9", "é".encode())
    for size in (1, 2, 3, 5):
        assert fed(raw, size=size, streaming=True).usage == GOOD


def test_all_buckets_are_read() -> None:
    taken = fed(
        answer(
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 400,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 50,
                "output_tokens_details": {"thinking_tokens": 40},
                "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 3, "new_requests": 1},
                "service_tier": "priority",
                "inference_geo": "us",
                "speed": "fast",
            }
        )
    )
    assert taken.usage == Usage(
        input_tokens=431,
        cached_input_tokens=400,
        cache_write_input_tokens=10,
        cache_write_1h_input_tokens=20,
        output_tokens=50,
        reasoning_output_tokens=40,
        events={"web_search": 2, "new": 1},
        service_tier="priority",
        modifiers=("geo:us", "speed:fast"),
    )


@pytest.mark.parametrize("writes_1h", [False, True])
def test_writes_of_unknown_lifetime_count_as_the_dearest_that_was_asked_for(writes_1h: bool) -> None:
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 30, "output_tokens": 1}
    found = fed(answer(usage), writes_1h=writes_1h).usage
    assert found is not None
    assert (found.cache_write_input_tokens, found.cache_write_1h_input_tokens) == (
        (0, 30) if writes_1h else (30, 0)
    )


def test_compaction_passes_are_added_and_passes_of_the_message_are_in_the_total() -> None:
    passes = [
        {"type": "compaction", "input_tokens": 100, "output_tokens": 7, "cache_read_input_tokens": 5},
        {"type": "message", "input_tokens": 4, "output_tokens": 2},
        {"type": "message", "input_tokens": 6, "output_tokens": 3, "model": "m"},
    ]
    taken = fed(answer({"input_tokens": 10, "output_tokens": 5, "iterations": passes}))
    assert taken.usage == Usage(input_tokens=115, cached_input_tokens=5, output_tokens=12)


def test_passes_that_sum_to_more_than_the_total_count_in_its_place() -> None:
    passes = [{"type": "message", "input_tokens": 11, "output_tokens": 2}]
    taken = fed(answer({"input_tokens": 10, "output_tokens": 5, "iterations": passes}))
    assert taken.usage == Usage(input_tokens=11, output_tokens=5)


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "advisor_message", "model": "other", "input_tokens": 1, "output_tokens": 1},
        {"type": "fallback_message", "model": "m", "input_tokens": 1, "output_tokens": 1},
        {"type": "message", "model": "other", "input_tokens": 1, "output_tokens": 1},
        {"type": "unheard_of", "input_tokens": 1, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 1},
        {"type": "message", "output_tokens": 1},
        "message",
    ],
)
def test_a_pass_of_another_model_or_kind_spoils_the_usage(entry: Any) -> None:
    taken = fed(answer({"input_tokens": 10, "output_tokens": 5, "iterations": [entry]}))
    assert taken.usage is None
    assert taken.problem is not None


@pytest.mark.parametrize(
    "report",
    [
        None,
        7,
        [],
        {},
        {"input_tokens": 10},
        {"output_tokens": 10},
        {"input_tokens": 0, "output_tokens": 1},
        {"input_tokens": -1, "output_tokens": 1, "cache_read_input_tokens": 5},
        {"input_tokens": 1.5, "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": "10", "output_tokens": 1},
        {"input_tokens": 2**41, "output_tokens": 1},
        {"input_tokens": 10, "output_tokens": 2**41},
        {"input_tokens": 10, "output_tokens": 1, "cache_creation": 5},
        {"input_tokens": 10, "output_tokens": 1, "cache_creation": {"ephemeral_24h_input_tokens": 1}},
        {
            "input_tokens": 10,
            "output_tokens": 1,
            "cache_creation_input_tokens": 1,
            "cache_creation": {"ephemeral_5m_input_tokens": 2},
        },
        {"input_tokens": 10, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": 2}},
        {"input_tokens": 10, "output_tokens": 1, "server_tool_use": {"web_search_requests": -1}},
        {"input_tokens": 10, "output_tokens": 1, "service_tier": 5},
        {"input_tokens": 10, "output_tokens": 1, "speed": {}},
        {"input_tokens": 10, "output_tokens": 1, "iterations": {}},
    ],
)
def test_a_usage_that_cannot_be_true_is_no_usage(report: Any) -> None:
    taken = fed(answer(report))
    assert taken.usage is None
    assert taken.problem is not None
    streamed = stream(start(report), TEXT, delta({"output_tokens": 5}), STOP)
    assert streamed.usage is None or isinstance(report, dict)


@pytest.mark.parametrize("reason", ["refusal", "end_turn"])
def test_only_a_refusal_may_be_free(reason: str) -> None:
    taken = fed(answer({"input_tokens": 0, "output_tokens": 0}, stop_reason=reason))
    assert (taken.usage == Usage()) == (reason == "refusal")
    none = {"input_tokens": 0, "output_tokens": 0}
    streamed = stream(start(none), delta(none, reason), STOP)
    assert (streamed.usage == Usage()) == (reason == "refusal")


@pytest.mark.parametrize("reason", ["refusal", "max_tokens", "pause_turn", "model_context_window_exceeded"])
def test_an_answer_settles_by_its_usage_however_it_stopped(reason: str) -> None:
    taken = stream(start(), TEXT, delta({"output_tokens": 5}, reason), STOP)
    assert (taken.usage, taken.problem) == (GOOD, None)


def test_later_totals_replace_earlier_ones_and_null_keeps_them() -> None:
    later = {
        "input_tokens": 90,
        "cache_creation_input_tokens": None,
        "cache_read_input_tokens": 4,
        "output_tokens": 7,
        "server_tool_use": {"web_search_requests": 1},
    }
    taken = stream(start(), delta({"output_tokens": 5}), PING, delta(later), STOP)
    assert taken.usage == Usage(
        input_tokens=94, cached_input_tokens=4, output_tokens=7, events={"web_search": 1}
    )


def test_writes_that_grow_after_the_start_are_split_as_far_as_is_known() -> None:
    written = START | {
        "cache_creation_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15},
    }
    taken = stream(start(written), delta({"cache_creation_input_tokens": 26, "output_tokens": 5}), STOP)
    assert taken.usage == Usage(
        input_tokens=36, cache_write_input_tokens=11, cache_write_1h_input_tokens=15, output_tokens=5
    )


@pytest.mark.parametrize(
    "later", [{"output_tokens": 0}, {"input_tokens": 9, "output_tokens": 5}, {"output_tokens": -1}, 5, None]
)
def test_a_total_that_falls_or_is_none_spoils_the_stream(later: Any) -> None:
    taken = stream(start(), TEXT, delta(later), STOP)
    assert taken.usage is None
    assert taken.problem is not None


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([start(), TEXT, STOP], "no final usage"),
        ([TEXT, delta({"input_tokens": 10, "output_tokens": 5}), STOP], "before message_start"),
        ([start(), start(), delta({"output_tokens": 5}), STOP], "second"),
        ([start(), delta({"output_tokens": 5}), TEXT, STOP], "content after"),
        ([start(), delta({"output_tokens": 5}), STOP, TEXT], "after message_stop"),
        ([start(), TEXT, {"type": "error", "error": {"type": "overloaded_error"}}], "error"),
        ([start(), delta({"output_tokens": 5}), {"type": "error", "error": {}}, STOP], "error"),
        ([{"type": "message_start", "message": 7}, delta({"output_tokens": 5}), STOP], "no message"),
        ([start(model=None), delta({"output_tokens": 5}), STOP], "no model"),
    ],
)
def test_what_speaks_against_a_stream_is_a_problem(said: list[dict[str, Any]], problem: str) -> None:
    taken = stream(*said)
    assert problem in (taken.problem or "")


def test_pings_after_the_end_are_none_and_an_event_with_no_sense_is_a_problem() -> None:
    good = [start(), TEXT, delta({"output_tokens": 5}), STOP]
    assert stream(*good, PING).problem is None
    assert stream(PING, *good).problem is None
    raw = events(*good)
    for broken in (
        b"data: {\n\n",
        b"data: [1]\n\n",
        b'data: {"type": 5}\n\n',
        b"data: " + b"[" * 5000 + b"\n\n",
    ):
        assert "JSON" in (fed(broken + raw, streaming=True).problem or "")


def test_an_error_inside_an_answer_of_success_is_a_problem() -> None:
    raw = json.dumps({"type": "error", "error": {"type": "api_error", "message": "no"}}).encode()
    taken = fed(raw)
    assert taken.problem is not None
    assert taken.usage is None
    assert not taken.documented_error


@pytest.mark.parametrize("raw", [b"", b"{", b"null", b"[]", answer(START)[:-1], answer(START) + b"x"])
def test_what_is_not_whole_json_is_not_complete(raw: bytes) -> None:
    taken = fed(raw)
    assert (taken.complete, taken.usage) == (False, None)
    assert taken.problem is not None


def test_a_large_answer_is_read_without_its_content() -> None:
    text = [{"type": "text", "text": "x" * STRICT_BYTES_MAX}]
    taken = fed(answer(START | {"output_tokens": 5}, content=text))
    assert (taken.complete, taken.problem, taken.usage) == (True, None, GOOD)
    assert fed(answer(None, content=text)).usage is None
    assert "error" in (fed(answer(START, content=text, error={"type": "x"})).problem or "")


def test_a_compressed_stream_is_relayed_as_it_is_and_read() -> None:
    raw = gzip.compress(events(start(), TEXT, delta({"output_tokens": 5}), STOP))
    for size in (0, 1, 50):
        taken = fed(raw, size=size, streaming=True, encoding="gzip")
        assert (taken.complete, taken.usage) == (True, GOOD)
    torn = fed(raw[:-3], streaming=True, encoding="gzip")
    assert torn.usage is None
    assert torn.problem is not None
