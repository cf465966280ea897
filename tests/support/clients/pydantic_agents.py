"""pydantic-ai's agents, on the model of any provider."""

from typing import Any


def stream(made: dict[str, Any], model: str) -> str:
    """Return the text of a streamed run."""
    return "".join(made["agent"].run_stream_sync("Say hello.").stream_text(delta=True))


def tools(made: dict[str, Any], model: str) -> str:
    """Return what a run with a tool says in the end."""
    from pydantic_ai import Agent

    def weather(place: str) -> str:
        """Tell the weather of a place."""
        return f"warm in {place}"

    return str(Agent(made["agent"].model, tools=[weather]).run_sync("Weather?").output)
