"""OpenAI Agents, unmodified: runs with tools, streaming, and going on from an earlier response by its id.

Its default model is the responses API, where `previous_response_id` names what the provider keeps. An id that
the same agent got is held at what it is; any other is refused, unforwarded. A missing SDK fails.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from agents import Agent, ModelSettings, OpenAIResponsesModel, RunConfig, Runner, function_tool
from openai import AsyncOpenAI

from recorded import RecordedUpstream
from scripted import ScriptedProvider, Turn
from sidecar import Sidecar

QUIET = RunConfig(tracing_disabled=True)


@pytest.fixture(scope="module")
def provider() -> ScriptedProvider:
    """It asks for the weather once, then says how it is."""

    def turn(_path: str, body: dict[str, Any]) -> Turn:
        said = body["input"] if isinstance(body["input"], list) else []
        if said and said[-1].get("type") == "function_call_output":
            return Turn(f"It is {said[-1]['output']}.")
        if body.get("tools"):
            return Turn(calls=(("weather", {"place": "Ur"}),))
        return Turn("Hello again." if body.get("previous_response_id") else "Hello.")

    return ScriptedProvider(turn)


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Sidecar]:
    """One daemon; nothing that it sent was refused by the provider."""
    with RecordedUpstream() as upstream:
        upstream.director = provider
        with Sidecar(tmp_path_factory.mktemp("agents") / "home", upstream.base_url) as running:
            yield running
            assert provider.refused == []


@function_tool
def weather(place: str) -> str:
    """Tell the weather of a place."""
    return f"warm in {place}"


@asynccontextmanager
async def program(sidecar: Sidecar, agent_id: str, *, tools: bool = False) -> AsyncIterator[Agent[None]]:
    """Make an agent as any program does, but for the base URL and one header of its client."""
    async with AsyncOpenAI(
        base_url=f"{sidecar.base}/v1",
        api_key="sk-of-the-program",
        default_headers={"x-cynsta-agent-id": agent_id},
    ) as client:
        yield Agent(
            name="Helper",
            instructions="Be brief.",
            model=OpenAIResponsesModel(model="gpt-4o-mini", openai_client=client),
            model_settings=ModelSettings(max_tokens=200),
            tools=[weather] if tools else [],
        )


async def test_a_run_with_tools(sidecar: Sidecar, provider: ScriptedProvider) -> None:
    """Two turns: the tool is called by the SDK, its result goes back; both calls join one run."""
    agent_id = sidecar.agent()
    async with program(sidecar, agent_id, tools=True) as helper:
        result = await Runner.run(helper, "Weather?", run_config=QUIET)
    assert result.final_output == "It is warm in Ur."
    calls = sidecar.calls(agent_id)
    assert [call["state"] for call in calls] == ["settled", "settled"]
    used = result.context_wrapper.usage
    assert used.input_tokens == sum(call["usage"]["input_tokens"] for call in calls)


async def test_a_streamed_run(sidecar: Sidecar) -> None:
    """Its events come through, and the run ends with the usage."""
    agent_id = sidecar.agent()
    async with program(sidecar, agent_id, tools=True) as helper:
        result = Runner.run_streamed(helper, "Weather?", run_config=QUIET)
        kinds = {event.type async for event in result.stream_events()}
    assert {"raw_response_event", "run_item_stream_event"} <= kinds
    assert result.final_output == "It is warm in Ur."
    assert result.context_wrapper.usage.requests == 2


async def test_the_second_turn_goes_on_from_the_first(sidecar: Sidecar, provider: ScriptedProvider) -> None:
    """Only the new message is sent; what lies at the provider is held at what it is, not at the window."""
    agent_id = sidecar.agent()
    async with program(sidecar, agent_id) as helper:
        first = await Runner.run(helper, "hi", run_config=QUIET)
        assert first.last_response_id is not None
        second = await Runner.run(
            helper, "and now?", previous_response_id=first.last_response_id, run_config=QUIET
        )
    assert second.final_output == "Hello again."
    sent = provider.received[-1]
    assert sent["previous_response_id"] == first.last_response_id
    assert len(sent["input"]) == 1
    newest, oldest = sidecar.calls(agent_id)
    assert (newest["rung"], oldest["rung"]) == ("bytes", "bytes")
    before = oldest["usage"]["input_tokens"] + oldest["usage"]["output_tokens"]
    assert newest["input_tokens_bound"] > before


async def test_within_one_run_too(sidecar: Sidecar, provider: ScriptedProvider) -> None:
    """`auto_previous_response_id`: each turn of a run goes on from the one before by its id."""
    agent_id = sidecar.agent()
    async with program(sidecar, agent_id, tools=True) as helper:
        result = await Runner.run(helper, "Weather?", auto_previous_response_id=True, run_config=QUIET)
    assert result.final_output == "It is warm in Ur."
    assert provider.received[-1]["previous_response_id"] == result.raw_responses[0].response_id
    assert [call["state"] for call in sidecar.calls(agent_id)] == ["settled", "settled"]


async def test_a_foreign_id_is_refused_unforwarded(sidecar: Sidecar, provider: ScriptedProvider) -> None:
    """Another agent's response, and one that nobody here has heard of: 400 `foreign_state`, not retried."""
    async with program(sidecar, sidecar.agent()) as helper:
        theirs = await Runner.run(helper, "hi", run_config=QUIET)
    agent_id = sidecar.agent()
    before = len(provider.received)
    async with program(sidecar, agent_id) as helper:
        for foreign in (theirs.last_response_id, "resp_unheard_of"):
            with pytest.raises(openai.BadRequestError) as refused:
                await Runner.run(helper, "and now?", previous_response_id=foreign, run_config=QUIET)
            assert (refused.value.status_code, refused.value.code) == (400, "foreign_state")
    assert len(provider.received) == before
    assert [call["state"] for call in sidecar.calls(agent_id)] == ["refused", "refused"]
