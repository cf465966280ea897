"""What the official SDK really sends is read and rewritten, and what it gets back settles; no network."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from spendguard_daemon.providers.anthropic import FORMAT
from spendguard_daemon.providers.contract import Asked, Request
from spendguard_daemon.usage import Usage

MODEL = "claude-opus-5-5"
HI = {"role": "user", "content": "hi"}
USAGE = {"input_tokens": 7, "output_tokens": 3}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [{"type": "text", "text": '{"a": 1}'}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def stream_of(message: dict[str, Any]) -> bytes:
    """Return the message as a stream."""
    events = [
        {"type": "message_start", "message": message | {"content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '{"a": 1}'}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events)


class Sidecar:
    """Stands where the sidecar will: reads, rewrites, and watches the answer on its way back."""

    def __init__(self) -> None:
        self.read: list[Request] = []
        self.usage: list[Usage | None] = []

    def __call__(self, sent: httpx2.Request) -> httpx2.Response:
        headers = {name.lower(): value for name, value in sent.headers.items()}
        request = FORMAT.read(Asked(sent.content, headers=headers, query=dict(sent.url.params)))
        assert FORMAT.path(request) == str(sent.url.raw_path, "ascii")
        FORMAT.rewrite(request, output_tokens=request.asked_output_tokens or 0)
        self.read.append(request)
        answer = stream_of(MESSAGE) if request.stream else json.dumps(MESSAGE).encode()
        reader = FORMAT.reader(request, hides_usage=False, status=200, encoding="")
        relayed = reader.feed(answer) + reader.end()
        self.usage.append(reader.usage)
        kind = "text/event-stream" if request.stream else "application/json"
        return httpx2.Response(200, headers={"content-type": kind}, content=relayed)


@pytest.fixture
def sidecar() -> Sidecar:
    return Sidecar()


@pytest.fixture
def client(sidecar: Sidecar) -> Iterator[anthropic.Anthropic]:
    transport = httpx2.Client(transport=httpx2.MockTransport(sidecar))
    with anthropic.Anthropic(api_key="sg_agent_x", base_url="http://sidecar", http_client=transport) as made:
        yield made


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"system": "s", "stop_sequences": ["x"], "metadata": {"user_id": "u"}},
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        {"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "what?"}, PIXEL]}]},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"inference_geo": "us", "service_tier": "auto"},
    ],
)
def test_each_kind_of_call_is_read_and_settles(
    client: anthropic.Anthropic, sidecar: Sidecar, fields: dict[str, Any]
) -> None:
    asked: dict[str, Any] = {"model": MODEL, "max_tokens": 4096, "messages": [HI]} | fields
    assert client.messages.create(**asked).usage.output_tokens == 3
    with client.messages.stream(**asked) as stream:
        assert stream.get_final_message().usage.input_tokens == 7
    assert (
        client.beta.messages.create(**asked, betas=["context-management-2025-06-27"]).usage.input_tokens == 7
    )
    assert sidecar.usage == [Usage(input_tokens=7, output_tokens=3)] * 3
    assert all(request.stripped == () for request in sidecar.read)
    assert ("anthropic-beta", "context-management-2025-06-27") in sidecar.read[2].headers


def test_an_answer_goes_back_as_history(client: anthropic.Anthropic, sidecar: Sidecar) -> None:
    first = client.messages.create(model=MODEL, max_tokens=99, messages=[HI])
    back: Any = {"role": first.role, "content": first.content}
    client.messages.create(model=MODEL, max_tokens=99, messages=[HI, back, HI])
    assert [request.messages for request in sidecar.read] == [1, 3]
