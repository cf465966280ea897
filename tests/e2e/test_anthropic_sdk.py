"""The official anthropic SDK through a real daemon, unmodified: only the base URL and one header are ours.

Sync and async, plain and streaming, tools, thinking, caching, images, structured output, counting, betas,
errors. The provider plays a script in the wire format of the recordings and is as strict as the real one; a
missing SDK fails.
"""

import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

from recorded import Act, RecordedUpstream, load
from scripted import PIXEL, ScriptedProvider, Turn, TurnOf, always
from sidecar import ANTHROPIC_KEY, Sidecar
from until import until

MODEL = "claude-sonnet-4-6"  # $3.00 in, $3.75 written, $0.30 read, $15.00 out
HELLO: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 256,
    "messages": [{"role": "user", "content": "hello"}],
}
TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather of a place",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
"""The SDK's words about recorded models of earlier years."""


class Place(BaseModel):
    """What the model is asked to fill in."""

    name: str
    inhabitants: int


@pytest.fixture(scope="module")
def provider() -> ScriptedProvider:
    """The scripted provider."""
    return ScriptedProvider()


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The server that it plays on."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(
    tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream, provider: ScriptedProvider
) -> Iterator[Sidecar]:
    """One daemon for all calls of this file; nothing that it sent was refused."""
    with Sidecar(tmp_path_factory.mktemp("sdk") / "home", upstream.base_url) as running:
        yield running
        assert provider.refused == []


@pytest.fixture
def agent(sidecar: Sidecar, upstream: RecordedUpstream, provider: ScriptedProvider) -> str:
    """A fresh agent with 50 USD; the script is `hello`, the calls so far are forgotten."""
    upstream.director = provider
    upstream.received.clear()
    play(provider, always())
    return sidecar.agent()


@pytest.fixture
def client(sidecar: Sidecar, agent: str) -> Iterator[Anthropic]:
    """The SDK as any program makes it, but for the base URL and one header."""
    headers = {"x-cynsta-agent-id": agent}
    with Anthropic(base_url=sidecar.base, api_key="sk-ant-of-the-program", default_headers=headers) as made:
        yield made


def play(provider: ScriptedProvider, turn_of: TurnOf) -> None:
    """Change the script."""
    provider.turn_of = turn_of
    provider.received.clear()


def settled(sidecar: Sidecar, agent: str, count: int) -> list[dict[str, Any]]:
    """Return an agent's calls once so many of them have settled; none ended in any other way."""

    def look() -> list[dict[str, Any]]:
        calls = sidecar.calls(agent)
        return calls if len(calls) == count and all(call["ended_at"] for call in calls) else []

    calls = until(look)
    assert {call["state"] for call in calls} == {"settled"}
    return calls


def lower(headers: Any) -> dict[str, str]:
    """Return headers with their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


# -- answers ------------------------------------------------------------------------------------------------


def test_plain(client: Anthropic, sidecar: Sidecar, upstream: RecordedUpstream, agent: str) -> None:
    """A message parses, is charged, and the operator's key took the place of the program's."""
    message = client.messages.create(**HELLO)
    assert message.content[0].type == "text"
    assert message.content[0].text == "hello"
    (call,) = settled(sidecar, agent, 1)
    used = message.usage
    assert float(call["cost_usd"]) == (used.input_tokens * 3_000 + used.output_tokens * 15_000) / 10**9
    (received,) = upstream.received
    headers = lower(received.headers)
    assert headers["x-api-key"] == ANTHROPIC_KEY
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", headers["anthropic-version"])
    assert "of-the-program" not in repr(headers)
    assert not [name for name in headers if name.startswith(("x-stainless", "x-cynsta"))]


@pytest.mark.parametrize(
    "name",
    ["20-anthropic-plain", "21-anthropic-tools", "22-anthropic-stream", "23-anthropic-stream-thinking"],
)
def test_recorded_answers_parse(
    client: Anthropic, upstream: RecordedUpstream, sidecar: Sidecar, agent: str, name: str
) -> None:
    """Recorded requests and answers through the SDK, compressed ones too."""
    recording = load(name)
    upstream.director = lambda _: Act(reply=recording.reply)
    asked: dict[str, Any] = dict(recording.request)
    asked.pop("stream", None)
    extra: dict[str, Any] = (
        {"extra_body": {"temperature": asked.pop("temperature")}} if "temperature" in asked else {}
    )
    if recording.request.get("stream"):
        with client.messages.stream(**asked, **extra) as stream:
            assert stream.get_final_message().stop_reason in ("end_turn", "tool_use")
    else:
        # The SDK refuses so large a `max_tokens` without a stream or a timeout of its own.
        assert client.with_options(timeout=60).messages.create(**asked, **extra).content
    settled(sidecar, agent, 1)


def test_tools_and_thinking_go_back_as_history(
    client: Anthropic, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """Two tools at once under a thinking budget; thinking, signature and calls are sent back as they came."""

    def turn(_path: str, body: dict[str, Any]) -> Turn:
        if body["messages"][-1]["content"][0]["type"] == "tool_result":
            return Turn("It is warm in both.", thinking="30 degrees is warm")
        calls = (("get_weather", {"place": "Ur"}), ("get_weather", {"place": "Uruk"}))
        return Turn("Let me look.", thinking="I need the weather", calls=calls)

    play(provider, turn)
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "Weather?"}]}]
    options: dict[str, Any] = {
        "model": MODEL,
        "max_tokens": 4_000,
        "tools": [TOOL],
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
    }
    with client.messages.stream(messages=messages, **options) as stream:
        text = "".join(stream.text_stream)
        first = stream.get_final_message()
    assert text == "Let me look."
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use"]
    messages.append({"role": "assistant", "content": first.content})
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "30 degrees"}
        for block in first.content
        if block.type == "tool_use"
    ]
    messages.append({"role": "user", "content": results})
    second = client.messages.create(messages=messages, **options)
    assert second.content[-1].type == "text"
    assert second.content[-1].text == "It is warm in both."
    back = provider.received[1]["messages"][1]["content"]
    assert first.content[0].type == "thinking"
    assert (back[0]["type"], back[0]["signature"]) == ("thinking", first.content[0].signature)
    settled(sidecar, agent, 2)


def test_caching_is_charged_by_bucket(
    client: Anthropic, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """What is written costs a quarter more, what is read a tenth; both are held for."""
    play(provider, lambda _path, _body: Turn("ok", fresh=10, written=1_500, read=800, output=5))
    system: list[Any] = [{"type": "text", "text": "x" * 8_000, "cache_control": {"type": "ephemeral"}}]
    message = client.messages.create(**HELLO, system=system)
    assert message.usage.cache_creation_input_tokens == 1_500
    (call,) = settled(sidecar, agent, 1)
    cost_nusd = 10 * 3_000 + 1_500 * 3_750 + 800 * 300 + 5 * 15_000
    assert float(call["cost_usd"]) == cost_nusd / 10**9
    assert float(call["hold_usd"]) * 10**9 > 8_000 * 3_750


def test_images_and_documents(
    client: Anthropic, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """In the body and by address; a PDF is held for at the window."""
    picture = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content: list[Any] = [
        {"type": "image", "source": picture},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
        {"type": "text", "text": "What are these?"},
    ]
    messages: list[Any] = [{"role": "user", "content": content}]
    client.messages.create(model=MODEL, max_tokens=100, messages=messages)
    paper = {"type": "base64", "media_type": "application/pdf", "data": PIXEL}
    content.append({"type": "document", "source": paper})
    client.messages.create(model=MODEL, max_tokens=100, messages=messages)
    assert provider.received[1]["messages"][0]["content"][-1]["type"] == "document"
    with_paper, images_only = settled(sidecar, agent, 2)
    assert (images_only["rung"], with_paper["rung"]) == ("bytes", "window")
    assert images_only["input_tokens_bound"] >= 2 * 1_600


def test_structured_output_parses(
    client: Anthropic, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """A schema made of a class, and the answer parsed into one."""
    play(provider, always('{"name":"Ur","inhabitants":65000}'))
    message = client.messages.parse(**HELLO, output_format=Place)
    assert message.parsed_output == Place(name="Ur", inhabitants=65_000)
    settled(sidecar, agent, 1)


def test_counting_is_free(client: Anthropic, sidecar: Sidecar, agent: str) -> None:
    """The count endpoint answers, and nothing is held."""
    asked = {name: value for name, value in HELLO.items() if name != "max_tokens"}
    assert client.messages.count_tokens(**asked).input_tokens > 0
    assert sidecar.calls(agent) == []


def test_betas(client: Anthropic, upstream: RecordedUpstream, sidecar: Sidecar, agent: str) -> None:
    """`beta.messages` works; what nobody knows is left out of the header, and said."""
    raw = client.beta.messages.with_raw_response.create(
        **HELLO, betas=["interleaved-thinking-2025-05-14", "nobody-knows-2031-01-01"]
    )
    assert raw.parse().content[0].type == "text"
    assert raw.headers["x-spendguard-stripped"] == "anthropic.beta:nobody-knows-2031-01-01"
    (received,) = upstream.received
    assert lower(received.headers)["anthropic-beta"] == "interleaved-thinking-2025-05-14"
    settled(sidecar, agent, 1)


def test_a_model_with_a_geography(
    client: Anthropic, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """A newer model is pinned to the plain rate; adaptive thinking and effort pass."""
    options: dict[str, Any] = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
    client.messages.create(model="claude-opus-4-6", max_tokens=2_000, messages=HELLO["messages"], **options)
    assert (provider.received[0]["inference_geo"], provider.received[0]["service_tier"]) == (
        "global",
        "standard_only",
    )
    settled(sidecar, agent, 1)


def test_closing_a_stream_early(
    client: Anthropic, sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """A program that leaves after one event pays what the provider reports in the end."""
    recording = load("23-anthropic-stream-thinking")
    upstream.director = lambda _: Act(reply=recording.reply, pause_after=700)
    asked: dict[str, Any] = {**recording.request, "extra_body": {"temperature": 1.0}}
    asked.pop("temperature")
    stream = client.messages.create(**asked)
    assert next(iter(stream)).type == "message_start"
    stream.close()
    until(lambda: sidecar.budget(agent)["locked_run_id"] is None)
    upstream.resume()
    (call,) = settled(sidecar, agent, 1)
    assert float(call["cost_usd"]) == (46 * 1_000 + 133 * 5_000) / 10**9


# -- async --------------------------------------------------------------------------------------------------


async def test_async_plain_and_streaming(sidecar: Sidecar, agent: str) -> None:
    """The async SDK, one call of each kind."""
    headers = {"x-cynsta-agent-id": agent}
    async with AsyncAnthropic(base_url=sidecar.base, api_key="k", default_headers=headers) as client:
        message = await client.messages.create(**HELLO)
        async with client.messages.stream(**HELLO) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
    assert message.content[0].type == "text"
    assert text == "hello"
    assert final.usage.output_tokens == message.usage.output_tokens
    settled(sidecar, agent, 2)


# -- errors -------------------------------------------------------------------------------------------------


def test_a_refusal_by_budget_is_not_retried(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """402 in Anthropic's own shape, once, with the numbers in its message."""
    upstream.received.clear()
    agent = sidecar.agent(cents=0)
    headers = {"x-cynsta-agent-id": agent}
    with (
        Anthropic(base_url=sidecar.base, api_key="k", default_headers=headers) as client,
        pytest.raises(anthropic.APIStatusError, match="Insufficient budget") as refused,
    ):
        client.messages.create(**HELLO)
    assert refused.value.status_code == 402
    body = refused.value.response.json()
    assert (body["type"], body["error"]["type"]) == ("error", "billing_error")
    assert body["spendguard"]["code"] == "insufficient_budget"
    assert [call["state"] for call in sidecar.calls(agent)] == ["refused"]
    assert upstream.received == []


def test_bad_requests_raise_as_the_providers_own(
    client: Anthropic, sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """Ours and the provider's 400 are the same exception."""
    with pytest.raises(anthropic.BadRequestError, match="fallbacks") as ours:
        client.messages.create(**HELLO, extra_body={"fallbacks": [{"model": "claude-haiku-4-5"}]})
    assert upstream.received == []
    upstream.director = lambda _: Act(reply=load("28-anthropic-400").reply)
    with pytest.raises(anthropic.BadRequestError, match="too long") as theirs:
        client.messages.create(**HELLO)
    assert type(ours.value) is type(theirs.value)
    assert sidecar.budget(agent)["settled_usd"] == "0.00"


def test_a_locked_budget_is_waited_for(
    client: Anthropic, sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """409 says when to come back; the SDK does, and gets its turn."""
    before = upstream.arrived
    upstream.hold_open()
    first = threading.Thread(
        target=sidecar.send, args=("/v1/messages", agent, HELLO), kwargs={"run": "first"}
    )
    first.start()
    try:
        upstream.wait_arrived(before + 1)

        def release_after_the_refusal() -> None:
            until(lambda: [call for call in sidecar.calls(agent) if call["code"] == "budget_locked"])
            upstream.release()

        second = threading.Thread(target=release_after_the_refusal)
        second.start()
        message = client.messages.create(**HELLO, extra_headers={"x-cynsta-run-id": "second"})
        second.join()
    finally:
        upstream.release()
        first.join()
    assert json.loads(message.to_json())["content"][0]["text"] == "hello"
