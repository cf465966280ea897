"""The openai SDK: a stream of chat chunks, and a function called and answered."""

import json
from typing import Any

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}


def stream(made: dict[str, Any], model: str) -> str:
    """Return the text of a stream."""
    messages = [{"role": "user", "content": "Say hello."}]
    chunks = made["client"].chat.completions.create(model=model, messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def tools(made: dict[str, Any], model: str) -> str:
    """Return what is said after the function's result went back."""
    create = made["client"].chat.completions.create
    messages: list[Any] = [{"role": "user", "content": "Weather?"}]
    message = create(model=model, messages=messages, tools=[WEATHER]).choices[0].message
    (call,) = message.tool_calls
    result = f"warm in {json.loads(call.function.arguments)['place']}"
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": result}]
    return str(create(model=model, messages=messages, tools=[WEATHER]).choices[0].message.content)
