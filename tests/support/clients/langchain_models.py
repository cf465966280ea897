"""LangChain's chat models, of any provider: they all have the same two methods."""

from typing import Any


def stream(made: dict[str, Any], model: str) -> str:
    """Return the text of a stream."""
    return "".join(chunk.text for chunk in made["model"].stream("Say hello."))


def tools(made: dict[str, Any], model: str) -> str:
    """Return what is said after the tool's result went back."""
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool

    @tool
    def weather(place: str) -> str:
        """Tell the weather of a place."""
        return f"warm in {place}"

    bound = made["model"].bind_tools([weather])
    messages: list[Any] = [HumanMessage("Weather?")]
    messages.append(bound.invoke(messages))
    messages += [weather.invoke(call) for call in messages[-1].tool_calls]
    return str(bound.invoke(messages).text)
