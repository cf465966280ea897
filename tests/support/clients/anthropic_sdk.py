"""The anthropic SDK: a stream of text, and a tool called and answered."""

from typing import Any

WEATHER = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


def stream(made: dict[str, Any], model: str) -> str:
    """Return the text of a stream."""
    messages = [{"role": "user", "content": "Say hello."}]
    with made["client"].messages.stream(model=model, max_tokens=1_000, messages=messages) as opened:
        return "".join(opened.text_stream)


def tools(made: dict[str, Any], model: str) -> str:
    """Return what is said after the tool's result went back."""
    create = made["client"].messages.create
    messages: list[Any] = [{"role": "user", "content": "Weather?"}]
    first = create(model=model, max_tokens=1_000, messages=messages, tools=[WEATHER])
    (use,) = [block for block in first.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": f"warm in {use.input['place']}"}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    return str(create(model=model, max_tokens=1_000, messages=messages, tools=[WEATHER]).content[0].text)
