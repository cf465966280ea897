"""The official openai SDK, unmodified, beyond plain chat: structured output, images, embeddings, responses.

The provider plays a script in the wire format of the recordings and is as strict as the real one; the SDK's
own parsing is the judge of what comes back. A missing SDK fails.
"""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from published import bill, nusd
from recorded import Act, RecordedUpstream, load
from scripted import PIXEL, ScriptedProvider, Turn, TurnOf, always
from sidecar import Sidecar
from until import until

TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather of a place",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
        "additionalProperties": False,
    },
    "strict": True,
}


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
    play(provider, always())
    return sidecar.agent()


@pytest.fixture
def client(sidecar: Sidecar, agent: str) -> Iterator[OpenAI]:
    """The SDK as any program makes it, but for the base URL and one header."""
    with OpenAI(
        base_url=f"{sidecar.base}/v1",
        api_key="sk-of-the-program",
        default_headers={"x-cynsta-agent-id": agent},
    ) as made:
        yield made


def async_client(sidecar: Sidecar, agent: str) -> AsyncOpenAI:
    """The async SDK, made the same way."""
    headers = {"x-cynsta-agent-id": agent}
    return AsyncOpenAI(base_url=f"{sidecar.base}/v1", api_key="sk-of-the-program", default_headers=headers)


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


# -- chat ---------------------------------------------------------------------------------------------------


def test_structured_output_parses(
    client: OpenAI, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """A schema made of a class, and the answer parsed into one."""
    play(provider, always('{"name":"Ur","inhabitants":65000}'))
    messages: list[Any] = [{"role": "user", "content": "Name a place"}]
    completion = client.chat.completions.parse(model="gpt-4o-mini", messages=messages, response_format=Place)
    assert completion.choices[0].message.parsed == Place(name="Ur", inhabitants=65_000)
    assert provider.received[0]["response_format"]["json_schema"]["name"] == "Place"
    settled(sidecar, agent, 1)


def test_a_conversation_with_tools(
    client: OpenAI, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """The model calls two tools at once, the program answers both; all of it goes back as history."""

    def turn(_path: str, body: dict[str, Any]) -> Turn:
        if body["messages"][-1]["role"] == "tool":
            return Turn("It is warm in both.")
        return Turn(calls=(("get_weather", {"place": "Ur"}), ("get_weather", {"place": "Uruk"})))

    play(provider, turn)
    messages: list[Any] = [{"role": "user", "content": "How is the weather?"}]
    tools: list[Any] = [{"type": "function", "function": TOOL}]
    with client.chat.completions.stream(model="gpt-4o-mini", messages=messages, tools=tools) as stream:
        asked = stream.get_final_completion().choices[0].message
    assert [call.function.arguments for call in asked.tool_calls or ()] == [
        '{"place": "Ur"}',
        '{"place": "Uruk"}',
    ]
    messages.append(asked.model_dump(exclude_none=True))
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": "30 degrees"} for call in asked.tool_calls or ()
    ]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=tools)
    assert answer.choices[0].message.content == "It is warm in both."
    settled(sidecar, agent, 2)


def test_images(client: OpenAI, sidecar: Sidecar, provider: ScriptedProvider, agent: str) -> None:
    """By address and in the body, in any detail: held for at the model's cap for an image."""
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
    ]
    completion = client.chat.completions.create(
        model="gpt-4.1", messages=[{"role": "user", "content": parts}]
    )
    assert completion.choices[0].message.content == "hello"
    assert provider.received[0]["messages"][0]["content"] == parts
    assert settled(sidecar, agent, 1)[0]["input_tokens_bound"] > 2 * 1_500


def test_a_reasoning_model(client: OpenAI, sidecar: Sidecar, agent: str) -> None:
    """It takes `max_completion_tokens` alone; effort passes."""
    completion = client.chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": "Think"}], reasoning_effort="high"
    )
    assert completion.choices[0].message.content == "hello"
    settled(sidecar, agent, 1)


# -- embeddings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a text", ["two", "texts"], [101, 102, 103], [[101], [102, 103]]])
def test_embeddings(
    client: OpenAI, sidecar: Sidecar, provider: ScriptedProvider, agent: str, given: Any
) -> None:
    """Texts and token ids; the SDK asks for base64 unasked, and gets floats."""
    made = client.embeddings.create(model="text-embedding-3-small", input=given)
    assert made.data[0].embedding == [0.25, -0.5, 0.125]
    assert provider.received[0]["encoding_format"] == "base64"
    (call,) = settled(sidecar, agent, 1)
    assert call["cost_usd"] == f"{made.usage.prompt_tokens * 20 / 10**9:.9f}".rstrip("0")


# -- responses ----------------------------------------------------------------------------------------------


def test_responses_plain_streamed_and_parsed(
    client: OpenAI, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """One call of each kind; usage comes with the last event, whether asked for or not."""
    response = client.responses.create(model="gpt-4o-mini", input="hi", max_output_tokens=16)
    assert response.output_text == "hello"
    assert provider.received[0]["max_output_tokens"] == 16
    with client.responses.stream(model="gpt-4o-mini", input="hi", instructions="Be brief.") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.usage is not None
    assert final.output_text == "hello"
    play(provider, always('{"name":"Ur","inhabitants":65000}'))
    parsed = client.responses.parse(model="gpt-4o-mini", input="Name a place", text_format=Place)
    assert parsed.output_parsed == Place(name="Ur", inhabitants=65_000)
    settled(sidecar, agent, 3)


def test_responses_with_tools_reasoning_and_images(
    client: OpenAI, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """Nothing is stored: what was answered, sealed reasoning too, is sent back as input."""

    def turn(_path: str, body: dict[str, Any]) -> Turn:
        if body["input"][-1].get("type") == "function_call_output":
            return Turn("It is warm.", thinking="30 degrees is warm")
        return Turn(thinking="I need the weather", calls=(("get_weather", {"place": "Ur"}),))

    play(provider, turn)
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"}
    history: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "Weather?"}, picture]}]
    tools: list[Any] = [{"type": "function", **TOOL}]
    options: dict[str, Any] = {"include": ["reasoning.encrypted_content"], "store": False, "tools": tools}
    first = client.responses.create(model="gpt-5-mini", input=history, reasoning={"effort": "low"}, **options)
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    history += [item.model_dump(exclude_none=True) for item in first.output]
    call_id = next(item.call_id for item in first.output if item.type == "function_call")
    history.append({"type": "function_call_output", "call_id": call_id, "output": "30 degrees"})
    second = client.responses.create(model="gpt-5-mini", input=history, **options)
    assert second.output_text == "It is warm."
    assert provider.received[1]["input"][1]["encrypted_content"]
    settled(sidecar, agent, 2)


def test_responses_go_on_from_their_own(
    client: OpenAI, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """`previous_response_id` of an own answer passes; of another agent's, it is a 400 of ours."""
    first = client.responses.create(model="gpt-4o-mini", input="hi")
    second = client.responses.create(model="gpt-4o-mini", input="and?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert [call["rung"] for call in settled(sidecar, agent, 2)] == ["bytes", "bytes"]
    other = client.with_options(default_headers={"x-cynsta-agent-id": sidecar.agent()})
    with pytest.raises(openai.BadRequestError) as refused:
        other.responses.create(model="gpt-4o-mini", input="and?", previous_response_id=first.id)
    assert refused.value.code == "foreign_state"
    assert len(provider.received) == 2


@pytest.mark.parametrize(
    "name",
    [
        "12-openai-responses-plain",
        "14-openai-responses-reasoning-cached",
        "15-openai-responses-stream",
        "16-openai-responses-stream-tool",
        "17-openai-responses-cache-write",
        "19-openai-embeddings",
    ],
)
def test_recorded_answers_parse(
    client: OpenAI,
    sidecar: Sidecar,
    upstream: RecordedUpstream,
    provider: ScriptedProvider,
    agent: str,
    name: str,
) -> None:
    """Recorded requests and answers through the SDK, compressed ones too."""
    recording = load(name)
    upstream.director = lambda _: Act(reply=recording.reply)
    asked: dict[str, Any] = dict(recording.request)
    if recording.path == "/v1/embeddings":
        assert client.embeddings.create(**asked).data[0].embedding
    elif asked.get("stream"):
        last = list(client.responses.create(**asked))[-1]
        assert last.type == "response.completed"
        assert last.response.output
    else:
        assert client.responses.create(**asked).output
    (call,) = settled(sidecar, agent, 1)
    assert float(call["cost_usd"]) == nusd(bill(recording)) / 10**9


async def test_async(sidecar: Sidecar, provider: ScriptedProvider, agent: str) -> None:
    """Responses, embeddings and chat by the async SDK."""
    async with async_client(sidecar, agent) as client:
        response = await client.responses.create(model="gpt-4o-mini", input="hi")
        events = await client.responses.create(model="gpt-4o-mini", input="hi", stream=True)
        kinds = [event.type async for event in events]
        made = await client.embeddings.create(model="text-embedding-3-small", input="a text")
        async with client.chat.completions.stream(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}]
        ) as stream:
            completion = await stream.get_final_completion()
    assert response.output_text == "hello"
    assert kinds[-1] == "response.completed"
    assert len(made.data) == 1
    assert completion.choices[0].message.content == "hello"
    settled(sidecar, agent, 4)


def test_a_refusal_is_the_sdks_own_error_on_each_endpoint(sidecar: Sidecar) -> None:
    """402 is not retried, and its message says what would fit."""
    headers = {"x-cynsta-agent-id": sidecar.agent(cents=0)}
    with OpenAI(base_url=f"{sidecar.base}/v1", api_key="k", default_headers=headers) as client:
        for call in (
            lambda: client.responses.create(model="gpt-4o-mini", input="hi"),
            lambda: client.embeddings.create(model="text-embedding-3-small", input="hi"),
        ):
            with pytest.raises(openai.APIStatusError, match="Insufficient budget") as refused:
                call()
            assert (refused.value.status_code, refused.value.code) == (402, "insufficient_budget")
    agent = headers["x-cynsta-agent-id"]
    assert [call["state"] for call in sidecar.calls(agent)] == ["refused", "refused"]


def test_usage_by_the_sdk_is_usage_in_the_record(
    client: OpenAI, sidecar: Sidecar, provider: ScriptedProvider, agent: str
) -> None:
    """What the program is told and what it is charged are the same tokens."""
    play(provider, lambda _path, _body: Turn("x", fresh=100, read=1_000, output=7))
    response = client.responses.create(model="gpt-4.1", input="x" * 3_000)
    usage = response.usage
    assert usage is not None
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens) == (
        1_100,
        1_000,
        7,
    )
    # gpt-4.1: $2.00, $0.50 cached, $8.00
    (call,) = settled(sidecar, agent, 1)
    assert float(call["cost_usd"]) == (100 * 2_000 + 1_000 * 500 + 7 * 8_000) / 10**9
    assert json.loads(json.dumps(call["usage"]))["cached_input_tokens"] == 1_000
