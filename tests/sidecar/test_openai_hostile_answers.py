"""Whatever a provider sends, readers of OpenAI's answers pass it on, never raise, and believe no nonsense."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed, values
from spendguard_daemon.providers import FORMATS, Asked
from spendguard_daemon.usage import Usage

REQUESTS: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    "responses": {"model": "m", "input": "x"},
    "embeddings": {"model": "m", "input": "x"},
}
counts = st.integers(-2, 30) | values
usages = values | st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"]),
    counts,
)
words = st.sampled_from(
    ["m", "completed", "failed", "default", "web_search_call", "response.completed", "error"]
)
kinds = st.sampled_from(["response.created", "response.completed", "response.failed", "response.incomplete"])
kinds |= st.sampled_from(["response.output_item.done", "error"])
bodies = st.dictionaries(
    st.sampled_from(["id", "model", "status", "service_tier", "choices", "output", "error", "tool_usage"]),
    words | values | st.lists(st.dictionaries(st.just("type"), words | values), max_size=2),
).flatmap(lambda body: usages.map(lambda usage: {**body, "usage": usage}))
events = st.one_of(
    st.builds(lambda kind, body: {"type": kind, "response": body, "item": body}, kinds, bodies),
    bodies,
    values,
)
pieces = st.one_of(
    events.map(lambda event: b"data: " + json.dumps(event).encode() + b"\n\n"),
    st.just(b"data: [DONE]\n\n"),
    st.binary(max_size=20),
)


@relaxed
@given(
    st.sampled_from(sorted(REQUESTS)),
    st.lists(pieces, max_size=6),
    st.sampled_from(["", "gzip"]),
)
def test_no_stream_can_break_a_reader(endpoint: str, sent: list[bytes], encoding: str) -> None:
    form = FORMATS["openai", endpoint]
    streaming = {} if endpoint == "embeddings" else {"stream": True}
    request = form.read(Asked(json.dumps(REQUESTS[endpoint] | streaming).encode()))
    reader = form.reader(request, hides_usage=False, status=200, encoding=encoding)
    assert b"".join(map(reader.feed, sent)) + reader.end() == b"".join(sent)
    check(reader.usage, reader.problem, complete=reader.complete)


@relaxed
@given(st.sampled_from(sorted(REQUESTS)), events, st.integers(100, 599))
def test_no_answer_can_break_a_reader(endpoint: str, answer: Any, status: int) -> None:
    form = FORMATS["openai", endpoint]
    request = form.read(Asked(json.dumps(REQUESTS[endpoint]).encode()))
    raw = json.dumps(answer).encode()
    reader = form.reader(request, hides_usage=False, status=status, encoding="")
    assert reader.feed(raw) + reader.end() == raw
    check(reader.usage, reader.problem, complete=reader.complete)
    assert not (reader.documented_error and reader.usage)


def check(usage: Usage | None, problem: str | None, *, complete: bool) -> None:
    """Usage that would be settled by is whole and positive; without it something is said."""
    if usage is not None and complete and problem is None:
        assert usage.input_tokens > 0
        assert usage.output_tokens >= 0
        assert all(count > 0 for count in usage.events.values())
