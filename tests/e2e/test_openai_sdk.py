"""The official openai SDK through a real daemon: only the base URL and one header are ours.

Sync and async, plain and streaming, tools, raw responses, errors and retries. The SDK's own parsing is the
judge of what it gets; the recorded provider is at the other end.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk

from recorded import Act, RecordedUpstream, Reply, load
from sidecar import PROVIDER_KEY, Sidecar
from until import until

CLIENT_KEY = "sk-whatever-the-program-had"
PLAIN, TOOLS, STREAM = "01-openai-chat-plain", "03-openai-chat-tools", "09-openai-chat-stream-tools-usage"
SILENT_STREAM = "07-openai-chat-stream-no-usage"
HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon for all calls of this file."""
    with Sidecar(tmp_path_factory.mktemp("sdk") / "home", upstream.base_url) as running:
        yield running


@pytest.fixture
def agent(sidecar: Sidecar, upstream: RecordedUpstream) -> str:
    """A fresh agent with 50 USD."""
    upstream.received.clear()
    upstream.director = lambda _: None
    return sidecar.agent()


@pytest.fixture
def client(sidecar: Sidecar, agent: str) -> Iterator[OpenAI]:
    """The SDK as any program makes it, but for the base URL and one header."""
    headers = {"x-cynsta-agent-id": agent}
    with OpenAI(base_url=f"{sidecar.base}/v1", api_key=CLIENT_KEY, default_headers=headers) as made:
        yield made


def async_client(sidecar: Sidecar, agent: str) -> AsyncOpenAI:
    """The async SDK, made the same way."""
    headers = {"x-cynsta-agent-id": agent}
    return AsyncOpenAI(base_url=f"{sidecar.base}/v1", api_key=CLIENT_KEY, default_headers=headers)


def asked(name: str, **changes: object) -> dict[str, Any]:
    """Return a recording's request as arguments for the SDK."""
    return {**load(name).request, **changes}


def said(chunks: list[ChatCompletionChunk]) -> str:
    """Return the text of a stream."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def ended(sidecar: Sidecar, agent: str, count: int) -> list[dict[str, Any]]:
    """Return an agent's calls once so many of them have ended."""

    def look() -> list[dict[str, Any]]:
        calls = sidecar.calls(agent)
        return calls if len(calls) == count and all(call["ended_at"] for call in calls) else []

    return until(look)


# -- answers ------------------------------------------------------------------------------------------------


def test_plain(client: OpenAI, sidecar: Sidecar, upstream: RecordedUpstream, agent: str) -> None:
    """A plain completion parses, is charged, and the operator's key took the place of the program's."""
    completion = client.chat.completions.create(**asked(PLAIN))
    assert completion.choices[0].message.content == (
        "Why do programmers prefer dark mode? Because light attracts bugs!"
    )
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (10, 12)
    (call,) = ended(sidecar, agent, 1)
    assert (call["state"], call["cost_usd"]) == ("settled", "0.0000087")
    assert sidecar.budget(agent)["remaining_usd"] == "49.9999913"
    (received,) = upstream.received
    headers = {name.lower(): value for name, value in received.headers.items()}
    assert headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert CLIENT_KEY not in repr(headers)
    assert not [name for name in headers if name.startswith(("x-stainless", "x-cynsta", "openai-"))]
    assert agent not in repr(headers) + received.body.decode()


def test_tools_and_compression(client: OpenAI, sidecar: Sidecar, agent: str) -> None:
    """Two choices with a tool call each, in an answer that the provider compressed unasked."""
    completion = client.chat.completions.create(**asked(TOOLS))
    calls = [choice.message.tool_calls for choice in completion.choices]
    assert [len(call or ()) for call in calls] == [1, 1]
    assert all(call and call[0].type == "function" for call in calls)
    assert ended(sidecar, agent, 1)[0]["cost_usd"] == "0.0000995"


def test_stream_with_usage(client: OpenAI, sidecar: Sidecar, agent: str) -> None:
    """A stream whose client asked for usage ends with it."""
    chunks = list(client.chat.completions.create(**asked(STREAM)))
    last = chunks[-1]
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (53, 15)
    tool_calls = [chunk.choices[0].delta.tool_calls for chunk in chunks if chunk.choices]
    arguments = "".join(calls[0].function.arguments or "" for calls in tool_calls if calls)
    assert "country" in json.loads(arguments)
    assert ended(sidecar, agent, 1)[0]["cost_usd"] == "0.00001695"


def test_stream_without_usage(
    client: OpenAI, sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """The usage that we asked for is charged by and never seen: programs index `choices[0]` in each chunk."""
    request = asked(STREAM)
    del request["stream_options"]
    chunks = list(client.chat.completions.create(**request))
    assert chunks
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert json.loads(upstream.received[0].body)["stream_options"] == {"include_usage": True}
    assert ended(sidecar, agent, 1)[0]["cost_usd"] == "0.00001695"


def test_stream_of_a_silent_provider(client: OpenAI, sidecar: Sidecar, agent: str) -> None:
    """A provider that reports no usage is charged at worst; the program notices nothing."""
    chunks = list(client.chat.completions.create(**asked(SILENT_STREAM)))
    assert said(chunks).endswith("nine.")
    (call,) = ended(sidecar, agent, 1)
    assert (call["state"], call["cost_usd"]) == ("settled_worst", call["hold_usd"])


def test_stream_helper(client: OpenAI) -> None:
    """The SDK's own accumulator takes what comes through."""
    with client.chat.completions.stream(**HELLO, max_tokens=50) as stream:
        kinds = {event.type for event in stream}
        completion = stream.get_final_completion()
    assert "content.delta" in kinds
    assert completion.choices[0].message.content == "invented"


def test_raw_response_headers(client: OpenAI, sidecar: Sidecar) -> None:
    """A program that looks finds what its call costs."""
    raw = client.chat.completions.with_raw_response.create(**HELLO, max_tokens=50)
    call = sidecar.control("GET", f"/v1/calls/{raw.headers['x-spendguard-call-id']}")
    assert raw.headers["x-spendguard-cost-usd"] == call["cost_usd"]
    assert raw.headers["x-spendguard-source"] == "provider"
    assert raw.parse().choices[0].message.content == "invented"


def test_a_base_url_alone_is_enough(sidecar: Sidecar, agent: str) -> None:
    """Agent and run in the path: no header at all."""
    url = f"{sidecar.base}/v1/agents/{agent}/runs/nightly/openai"
    with OpenAI(base_url=url, api_key=CLIENT_KEY) as client:
        assert client.chat.completions.create(**HELLO).choices[0].message.content == "invented"
    assert ended(sidecar, agent, 1)[0]["run_id"] == "nightly"


def test_closing_a_stream_early(
    client: OpenAI, sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """A program that reads one chunk and closes pays what the provider reports in the end."""
    upstream.director = lambda _: Act(pause_after=600)
    stream = client.chat.completions.create(**asked(STREAM))
    assert next(iter(stream)).choices
    stream.close()
    until(lambda: sidecar.budget(agent)["locked_run_id"] is None)
    upstream.resume()
    (call,) = ended(sidecar, agent, 1)
    assert (call["state"], call["cost_usd"]) == ("settled", "0.00001695")


# -- async --------------------------------------------------------------------------------------------------


async def test_async_plain_and_streaming(sidecar: Sidecar, agent: str) -> None:
    """The async SDK, one call of each kind."""
    async with async_client(sidecar, agent) as client:
        completion = await client.chat.completions.create(**asked(PLAIN))
        assert (completion.choices[0].message.content or "").startswith("Why do programmers")
        stream = await client.chat.completions.create(**asked(SILENT_STREAM))
        chunks = [chunk async for chunk in stream]
    assert said(chunks).endswith("nine.")
    states = [call["state"] for call in ended(sidecar, agent, 2)]
    assert states == ["settled_worst", "settled"]


async def test_async_many_at_once(sidecar: Sidecar, upstream: RecordedUpstream, agent: str) -> None:
    """Forty calls of one run at once, half of them streams; all are charged, to the nano-dollar."""
    async with async_client(sidecar, agent) as client:

        async def one(number: int) -> str | None:
            messages = [{"role": "user", "content": f"call {number:03}"}]
            request: dict[str, Any] = {"model": "gpt-4o-mini", "messages": messages, "max_tokens": 10}
            if number % 2:
                stream = await client.chat.completions.create(**request, stream=True)
                return said([chunk async for chunk in stream])
            completion = await client.chat.completions.create(**request)
            answer: str | None = completion.choices[0].message.content
            return answer

        answers = await asyncio.gather(*(one(number) for number in range(40)))
    assert answers == ["invented"] * 40
    await asyncio.to_thread(ended, sidecar, agent, 40)
    # 41 characters of messages are 10 tokens at 150 nUSD, and 10 of output at 600, forty times over.
    assert len('[{"role": "user", "content": "call 000"}]') // 4 == 10
    assert sidecar.budget(agent)["settled_usd"] == "0.0003"
    assert len(upstream.received) == 40


# -- errors and retries -------------------------------------------------------------------------------------


def test_a_refusal_by_budget_is_not_retried(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """402 with `x-should-retry: false`: the SDK raises at once, and shows what would fit."""
    upstream.received.clear()
    agent = sidecar.agent(cents=0)
    headers = {"x-cynsta-agent-id": agent}
    with (
        OpenAI(base_url=f"{sidecar.base}/v1", api_key=CLIENT_KEY, default_headers=headers) as client,
        pytest.raises(openai.APIStatusError) as refused,
    ):
        client.chat.completions.create(**HELLO)
    assert refused.value.status_code == 402
    assert refused.value.code == "insufficient_budget"
    assert str(refused.value).find("Insufficient budget") > 0
    assert refused.value.response.json()["spendguard"]["affordable_max_tokens"] == 0
    assert [call["state"] for call in sidecar.calls(agent)] == ["refused"]
    assert upstream.received == []


def test_bad_requests_raise_as_the_providers_own(
    client: OpenAI, sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """Ours and the provider's 400 are the same exception, with the field in its place."""
    with pytest.raises(openai.BadRequestError) as ours:
        client.chat.completions.create(**HELLO, prediction={"type": "content", "content": "x"})
    assert (ours.value.code, ours.value.param) == ("unbounded_feature", "prediction")
    assert upstream.received == []
    with pytest.raises(openai.BadRequestError) as theirs:
        client.chat.completions.create(**asked("10-openai-chat-400"))
    assert (theirs.value.code, theirs.value.param) == ("unsupported_parameter", "stop")
    assert [call["state"] for call in ended(sidecar, agent, 2)] == ["voided", "refused"]


def test_a_rejected_key_is_not_retried(
    client: OpenAI, sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """The operator's key was refused: 503, once, without a word of the provider's."""
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(**asked("11-openai-chat-401"))
    assert refused.value.status_code == 503
    assert refused.value.code == "provider_key_rejected"
    assert "platform.openai.com" not in str(refused.value)
    assert len(upstream.received) == 1
    assert [call["state"] for call in ended(sidecar, agent, 1)] == ["voided"]


def test_a_rate_limit_is_retried_and_costs_nothing(
    client: OpenAI, sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """A provider's 429 passes as it is; the SDK's second try is a call of its own."""
    error = {
        "error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    }
    headers = {"content-type": "application/json", "retry-after-ms": "1"}
    upstream.script(Act(reply=Reply(429, headers, json.dumps(error).encode())))
    assert client.chat.completions.create(**HELLO).choices[0].message.content == "invented"
    assert [call["state"] for call in ended(sidecar, agent, 2)] == ["settled", "voided"]
    assert len(upstream.received) == 2


def test_a_locked_budget_is_waited_for(
    client: OpenAI, sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """409 says when to come back; the SDK does, and gets its turn."""
    before = upstream.arrived
    upstream.hold_open()
    first = threading.Thread(target=sidecar.chat, args=(agent, HELLO), kwargs={"run": "first"})
    first.start()
    try:
        upstream.wait_arrived(before + 1)

        def release_after_the_refusal() -> None:
            until(lambda: [call for call in sidecar.calls(agent) if call["code"] == "budget_locked"])
            upstream.release()

        second = threading.Thread(target=release_after_the_refusal)
        second.start()
        completion = client.chat.completions.create(**HELLO, extra_headers={"x-cynsta-run-id": "second"})
        second.join()
    finally:
        upstream.release()
        first.join()
    assert completion.choices[0].message.content == "invented"
    calls = ended(sidecar, agent, 3)
    assert [(call["run_id"], call["state"]) for call in calls] == [
        ("second", "settled"),
        ("second", "refused"),
        ("first", "settled"),
    ]


def test_a_missing_header_is_named(sidecar: Sidecar) -> None:
    """Without an agent there is no budget to hold: 400, and the message says which header."""
    with (
        OpenAI(base_url=f"{sidecar.base}/v1", api_key=CLIENT_KEY) as client,
        pytest.raises(openai.BadRequestError, match="Missing x-cynsta-agent-id header"),
    ):
        client.chat.completions.create(**HELLO)
