"""OpenAI Agents: a streamed run, and one with a tool."""

import asyncio
from typing import Any


def stream(made: dict[str, Any], model: str) -> str:
    """Return the text of a streamed run."""

    async def run() -> str:
        result = made["Runner"].run_streamed(made["agent"], "Say hello.")
        events = [event async for event in result.stream_events() if event.type == "raw_response_event"]
        return "".join(e.data.delta for e in events if e.data.type == "response.output_text.delta")

    # The loop of `run_sync`, to which the client's connections belong.
    return asyncio.get_event_loop().run_until_complete(run())


def tools(made: dict[str, Any], model: str) -> str:
    """Return what a run with a tool says in the end."""
    from agents import function_tool

    @function_tool
    def weather(place: str) -> str:
        """Tell the weather of a place."""
        return f"warm in {place}"

    helper = made["Agent"](name="Helper", model=model, tools=[weather])
    return str(made["Runner"].run_sync(helper, "Weather?").final_output)
