"""xAI answers: reasoning beside or inside, its own bill, and which errors are free."""

import json
from typing import Any

import pytest

from replies import RECORDINGS, load
from spendguard_daemon.providers import AnswerReader, Asked, Policy, format_for
from spendguard_daemon.usage import COST_PUSD_MAX, Usage

EXPECTED = {
    line["id"]: line
    for line in map(json.loads, (RECORDINGS / "expected_usage.jsonl").read_text().splitlines())
}
NAMES = [
    "38-grok-chat",
    "39-grok-chat-stream",
    "40-grok-responses-stream",
    "41-grok-responses-web-search",
]
ALLOW = Policy(hosted_tools="allow")
CHAT = {"prompt_tokens": 10, "completion_tokens": 5}
RESPONSES = {"input_tokens": 10, "output_tokens": 9, "total_tokens": 19}


def fed(
    raw: bytes, endpoint: str = "chat/completions", *, status: int = 200, size: int = 0, **fields: Any
) -> AnswerReader:
    """Feed an answer to such a request, in chunks of a size (0: whole)."""
    form = format_for("grok", endpoint)
    held = {"messages": [{"role": "user", "content": "x"}]} if endpoint != "responses" else {"input": "x"}
    request = form.read(Asked(json.dumps({"model": "grok-4.3", **held, **fields}).encode(), policy=ALLOW))
    taken = form.reader(request, hides_usage=False, status=status, encoding="")
    for at in range(0, len(raw), size or len(raw) or 1):
        taken.feed(raw[at : at + (size or len(raw))])
    taken.end()
    return taken


def chat(usage: Any) -> AnswerReader:
    """Read a chat answer with this usage."""
    return fed(json.dumps({"model": "grok-4.3", "choices": [{}], "usage": usage}).encode())


def response(usage: Any, **fields: Any) -> AnswerReader:
    """Read a response with this usage, to a request with these fields."""
    told = {"id": "r", "object": "response", "status": "completed", "model": "grok-4.3", "usage": usage}
    return fed(json.dumps(told).encode(), "responses", **fields)


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("name", NAMES)
def test_each_recording_is_read_as_it_was_by_hand(name: str, size: int) -> None:
    """The counts of the table, and xAI's own bill to the tick."""
    recording = load(name)
    expected = EXPECTED[name.split("-", 1)[1]]
    stream, tools = "stream" in name, recording.request.get("tools", [])
    endpoint = recording.path.removeprefix("/v1/")
    taken = fed(recording.reply.body, endpoint, size=size, stream=stream, tools=tools)
    assert (taken.complete, taken.problem, taken.model) == (True, None, "grok-4.3")
    assert taken.usage == Usage(
        input_tokens=expected["usage"]["input"],
        cached_input_tokens=expected["usage"]["cached"],
        output_tokens=expected["usage"]["output"],
        reasoning_output_tokens=expected["usage"]["reasoning"],
        events=expected["server_tools"],
        cost_pusd=expected["raw"]["cost_in_usd_ticks"] * 100,
    )


@pytest.mark.parametrize(
    ("reasoning", "total", "output"),
    [(3, 18, 8), (3, 15, 5), (3, None, 8), (0, 15, 5), (None, 15, 5), (None, None, 5)],
)
def test_reasoning_is_beside_unless_the_total_says_inside(
    reasoning: int | None, total: int | None, output: int
) -> None:
    """Without a total the dearer reading."""
    details = {} if reasoning is None else {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    taken = chat({**CHAT, **details, **({} if total is None else {"total_tokens": total})})
    assert taken.usage is not None
    assert (taken.usage.output_tokens, taken.usage.reasoning_output_tokens) == (output, reasoning or 0)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {**CHAT, "total_tokens": 17, "completion_tokens_details": {"reasoning_tokens": 3}},
        {**CHAT, "total_tokens": 15, "completion_tokens_details": {"reasoning_tokens": 6}},  # 6 of 5
        {**CHAT, "completion_tokens": None},
        {**CHAT, "completion_tokens_details": {"reasoning_tokens": -3}},
        *(
            {**CHAT, "cost_in_usd_ticks": ticks}
            for ticks in (0, -1, 1.5, "9", True, COST_PUSD_MAX // 100 + 1)
        ),
    ],
)
def test_what_cannot_be_true_is_not_settled_by(usage: Any) -> None:
    """Also a bill of nothing, of less, or of more than any call can cost."""
    taken = chat(usage)
    assert taken.usage is None
    assert taken.problem


@pytest.mark.parametrize("ticks", [0, -1, "9", COST_PUSD_MAX // 100 + 1])
def test_nor_are_such_bills_of_responses(ticks: Any) -> None:
    assert response({**RESPONSES, "cost_in_usd_ticks": ticks}).usage is None


def test_the_largest_bill_that_can_be_true() -> None:
    usage = chat({**CHAT, "cost_in_usd_ticks": COST_PUSD_MAX // 100}).usage
    assert usage is not None
    assert usage.cost_pusd == COST_PUSD_MAX


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ({"cost_in_usd_ticks": 9_000}, {"cost_in_usd_ticks": 8_999}),
        ({"cost_in_usd_ticks": 9_000}, {}),
        ({"num_sources_used": 5}, {"num_sources_used": 4}),
        ({"num_sources_used": 5}, {}),
    ],
)
def test_a_bill_that_falls_within_a_stream_is_not_settled_by(
    first: dict[str, Any], last: dict[str, Any]
) -> None:
    def stream(*usages: dict[str, Any]) -> bytes:
        chunks = [json.dumps({"choices": [], "usage": CHAT | usage}) for usage in usages]
        return "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]).encode()

    assert fed(stream(first, last), stream=True).usage is None
    assert fed(stream(last, first), stream=True).usage is not None


def test_an_older_answer_without_a_bill_is_counted() -> None:
    """By the card; but not where tools ran at xAI, whose fees nothing else tells."""
    assert response(RESPONSES).usage == Usage(input_tokens=10, output_tokens=9)
    searched = response(RESPONSES, tools=[{"type": "web_search"}])
    assert (searched.usage, "its bill is missing" in (searched.problem or "")) == (None, True)


def test_what_tools_did_is_told_by_name() -> None:
    """Also what no card has a fee for, which the bill then settles."""
    used = {"x_search_calls": 2, "code_interpreter_calls": 1, "document_search_calls": 3, "mcp_calls": 4}
    usage = response(
        {**RESPONSES, "cost_in_usd_ticks": 7, "server_side_tool_usage_details": used, "num_sources_used": 5}
    ).usage
    assert usage is not None
    assert usage.events == {
        "x_search": 2,
        "code_execution": 1,
        "document_search": 3,
        "live_search_source": 5,
    }


@pytest.mark.parametrize(
    ("body", "free"),
    [
        ({"code": "Some resource has been exhausted", "error": "Too many requests"}, True),
        ({"error": {"message": "No", "type": "invalid_request_error", "param": None, "code": None}}, True),
        ({"code": "The caller lacks permission", "error": "Content violates usage guidelines."}, False),
        ({"code": "x", "error": "Failed check: SAFETY_CHECK_TYPE_BIO"}, False),
        ({"error": {"message": "Content violates Usage Guidelines", "type": "t"}}, False),
        ({"code": "x", "error": "y", "usage": {}}, False),
        ({"code": 5, "error": "y"}, False),
        ({"error": "y"}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("endpoint", ["chat/completions", "responses"])
def test_errors_that_are_documented_are_free(body: Any, free: bool, endpoint: str) -> None:
    """But not one about xAI's rules, for which it takes a fee, nor one with anything else in it."""
    taken = fed(json.dumps(body).encode(), endpoint, status=403)
    assert (taken.documented_error, taken.usage) == (free, None)
