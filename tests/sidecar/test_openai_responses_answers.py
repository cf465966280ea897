"""OpenAI responses answers: the usage and fees that are believed, and why others are not."""

import json
from typing import Any

import pytest

from replies import load
from spendguard_daemon.providers import AnswerReader
from spendguard_daemon.providers.openai_answers import STRICT_BYTES_MAX
from spendguard_daemon.providers.openai_responses_answers import reader
from spendguard_daemon.usage import Usage

GOOD = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
PLAIN = Usage(input_tokens=10, output_tokens=5)
ENDS = ["completed", "incomplete", "failed"]


def response(usage: Any = GOOD, status: Any = "completed", **fields: Any) -> dict[str, Any]:
    """Return a response object that reports this usage."""
    return {"id": "resp_1", "model": "m", "status": status, "output": [], "usage": usage, **fields}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def ended(status: str = "completed", **fields: Any) -> bytes:
    """Return the last event of a stream."""
    return event(f"response.{status}", response=response(status=status, **fields))


CREATED = event("response.created", response=response(None, "in_progress", service_tier="auto"))
DELTA = event("response.output_text.delta", delta="hi", obfuscation="xyz")


def fed(raw: bytes, *, streaming: bool = False, size: int = 0) -> AnswerReader:
    """Feed an answer in chunks of a size (0: whole); every byte must come through."""
    taken = reader(stream=streaming, hides_usage=False, encoding="")
    step = size or len(raw) or 1
    out = b"".join(taken.feed(raw[at : at + step]) for at in range(0, len(raw), step)) + taken.end()
    assert out == raw
    return taken


def plain(usage: Any = GOOD, **fields: Any) -> AnswerReader:
    return fed(json.dumps(response(usage, **fields)).encode())


def test_all_buckets_are_read() -> None:
    report = {
        **GOOD,
        "input_tokens_details": {
            "cached_tokens": 3,
            "cache_write_tokens": 4,
            "cache_write_tokens_details": {"ttl_30m_tokens": 4, "ttl_12h_tokens": 0},
            "audio_tokens": 1,
        },
        "output_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 1},
    }
    assert plain(report, service_tier="priority").usage == Usage(
        input_tokens=10,
        cached_input_tokens=3,
        cache_write_input_tokens=4,
        audio_input_tokens=1,
        output_tokens=5,
        reasoning_output_tokens=2,
        audio_output_tokens=1,
        service_tier="priority",
    )


@pytest.mark.parametrize("status", ENDS)
def test_each_end_of_an_answer_settles_by_its_usage(status: str) -> None:
    told = {"error": {"code": "server_error", "message": "x"}} if status == "failed" else {}
    for taken in (plain(status=status, **told), fed(CREATED + DELTA + ended(status), streaming=True)):
        assert (taken.complete, taken.problem, taken.usage) == (True, None, PLAIN)
        assert (taken.answer_id, taken.model) == ("resp_1", "m")


@pytest.mark.parametrize("status", ENDS)
def test_an_end_without_usage_has_nothing_to_settle_by(status: str) -> None:
    for taken in (plain(None, status=status), fed(ended(status, usage=None), streaming=True)):
        assert (taken.complete, taken.usage, taken.problem) == (True, None, "the answer reports no usage")


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled", None, "done"])
def test_an_answer_that_goes_on_is_not_complete(status: str | None) -> None:
    taken = plain(status=status)
    assert (taken.complete, taken.usage) == (False, None)
    assert taken.problem is not None


def test_an_error_inside_a_stream_is_the_end_unless_the_usage_follows() -> None:
    error = event("error", code="server_error", message="x", param=None)
    torn = fed(CREATED + DELTA + error, streaming=True)
    assert (torn.complete, torn.usage, torn.problem) == (False, None, "the answer reports an error")
    settled = fed(CREATED + error + ended("failed"), streaming=True)
    assert (settled.complete, settled.usage, settled.problem) == (True, PLAIN, None)
    assert fed(CREATED + ended() + error, streaming=True).problem == "an event after the end"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (ended() + DELTA, "an event after the end"),
        (ended() + ended(), "an event after the end"),
        (ended() + b"data: [DONE]\n\n", None),
        (ended() + b": bye\n\n", None),
        (CREATED + b"data: hello\n\n" + ended(), "an event is not JSON"),
        (event("response.completed", response=response(id="resp_2")) and CREATED + ended(id="resp_2"), "two"),
        (CREATED + ended(model="n"), "two"),
        (event("response.completed", response=[]), "not whole JSON"),
        (event("response.completed", response={"usage": GOOD, "status": 5}), "not the documented one"),
        (event("response.completed", response=response(status="in_progress")), "not come to its end"),
    ],
)
def test_what_speaks_against_the_usage(raw: bytes, problem: str | None) -> None:
    taken = fed(raw, streaming=True)
    if problem is None:
        assert (taken.problem, taken.usage) == (None, PLAIN)
    else:
        assert taken.problem is not None
        assert problem in taken.problem


ABSURD: list[Any] = [
    {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
    *[{**GOOD, "input_tokens": v} for v in (-10, 10.0, "10", True, None, [], 10**13)],
    *[{**GOOD, "output_tokens": v} for v in (-5, 5.5, "5", False, None, {})],
    *[{**GOOD, "total_tokens": v} for v in (14, 16, "15")],
    {**GOOD, "input_tokens_details": {"cached_tokens": 11}},
    {**GOOD, "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 5}},
    {**GOOD, "input_tokens_details": []},
    {**GOOD, "input_tokens_details": {"cache_write_tokens_details": {"ttl_12h_tokens": 1}}},
    {**GOOD, "output_tokens_details": {"reasoning_tokens": 6}},
    {},
    [],
    "none",
    5,
]


@pytest.mark.parametrize("report", ABSURD)
def test_a_usage_that_cannot_be_true_is_no_usage(report: Any) -> None:
    for taken in (plain(report), fed(ended(usage=report), streaming=True)):
        assert (taken.complete, taken.usage) == (True, None)
        assert taken.problem is not None
        assert taken.problem.startswith("Absurd usage")
        assert len(taken.problem) <= 200


def search(action: Any = ...) -> dict[str, Any]:
    item = {"type": "web_search_call", "id": "ws", "status": "completed"}
    return item if action is ... else {**item, "action": action}


@pytest.mark.parametrize(
    ("output", "tools", "events"),
    [
        ([], None, {}),
        ([search()], None, {"web_search": 1}),
        ([search(None), search({"type": "search", "query": "x"})], None, {"web_search": 2}),
        ([search({"type": "open_page"}), search({"type": "find_in_page"})], None, {}),
        ([search()], {"web_search": {"num_requests": 3}}, {"web_search": 3}),
        ([search(), search()], {"web_search": {"num_requests": 1}}, {"web_search": 2}),
        ([{"type": "file_search_call", "id": "f"}], None, {"file_search": 1}),
        ([{"type": "function_call"}, {"type": "mcp_call"}, {"type": "new_thing"}], None, {}),
        ([], {"image_gen": {"total_tokens": 0}, "web_search": {"num_requests": 0}}, {}),
    ],
)
def test_uses_of_tools_with_a_fee_are_counted(output: list[Any], tools: Any, events: dict[str, int]) -> None:
    told = {} if tools is None else {"tool_usage": tools}
    for taken in (plain(output=output, **told), fed(ended(output=output, **told), streaming=True)):
        assert taken.usage is not None
        assert (dict(taken.usage.events), taken.problem) == (events, None)
    items = b"".join(event("response.output_item.done", item=item) for item in output)
    for end in (ended(**told), ended(output=output, **told)):
        streamed = fed(CREATED + items + end, streaming=True)
        assert streamed.usage is not None
        assert dict(streamed.usage.events) == events


@pytest.mark.parametrize(
    "fields",
    [
        {"output": [{"type": "code_interpreter_call"}]},
        {"output": [{"type": "image_generation_call"}]},
        {"tool_usage": {"image_gen": {"total_tokens": 9}}},
        {"tool_usage": {"web_search": {"num_requests": -1}}},
        {"tool_usage": {"web_search": {"num_requests": 1.5}}},
        {"output": {}},
        {"output": [5]},
    ],
)
def test_uses_of_tools_without_a_price_spoil_the_usage(fields: dict[str, Any]) -> None:
    for taken in (plain(**fields), fed(ended(**fields), streaming=True)):
        assert taken.usage is None
        assert taken.problem is not None


@pytest.mark.parametrize("raw", [b"", b"{", b"<html>", b"[]", json.dumps(response()).encode()[:-1]])
def test_what_is_not_whole_json_is_not_complete(raw: bytes) -> None:
    taken = fed(raw)
    assert (taken.complete, taken.usage) == (False, None)
    assert taken.problem is not None


def test_half_a_character_in_the_text_does_not_cost_the_usage() -> None:
    taken = plain(output=[{"type": "message", "content": [{"text": "\ud83d"}]}])
    assert (taken.usage, taken.problem) == (PLAIN, None)
    half = event("response.output_text.delta", delta="\ud83d")
    item = event("response.output_item.done", item={"type": "web_search_call", "x": "\ud83d \\\\ud83d"})
    streamed = fed(CREATED + half + item + ended(), streaming=True)
    assert streamed.problem is None
    assert streamed.usage == Usage(10, output_tokens=5, events={"web_search": 1})


def test_a_large_answer_is_read_without_its_output() -> None:
    output = [{"type": "message", "content": [{"logprobs": [0] * 600_000}]}, search()]
    raw = json.dumps(response(output=output)).encode()
    assert len(raw) > STRICT_BYTES_MAX
    streamed = b"data: " + json.dumps({"type": "response.completed", "response": json.loads(raw)}).encode()
    for taken in (fed(raw), fed(streamed + b"\n\n", streaming=True)):
        assert taken.usage == Usage(10, output_tokens=5, events={"web_search": 1})
    assert fed(raw[:-1]).usage is None


def test_deep_nesting_in_an_event_is_survived() -> None:
    deep = b'data: {"type":"x","item":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n"
    fed(deep + ended(), streaming=True)


STREAMS = ["15-openai-responses-stream", "16-openai-responses-stream-tool"]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_at_any_byte_is_complete_only_with_its_last_event(name: str) -> None:
    raw = load(name).reply.body
    whole = len(raw.rstrip()) + 1
    for at in range(len(raw) - 900, len(raw), 7):
        assert fed(raw[:at], streaming=True).complete == (at >= whole - 1)
