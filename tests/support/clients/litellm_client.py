"""litellm as a client, which speaks OpenAI's chat format whatever the provider."""

import json
from typing import Any

from clients.openai_sdk import WEATHER


def stream(made: dict[str, Any], model: str) -> str:
    """Return the text of a stream."""
    chunks = made["litellm"].completion(
        model=model, messages=made["messages"], stream=True, **made["sidecar"]
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def tools(made: dict[str, Any], model: str) -> str:
    """Return what is said after the function's result went back."""

    def said(messages: list[Any]) -> Any:
        answer = made["litellm"].completion(
            model=model, messages=messages, tools=[WEATHER], **made["sidecar"]
        )
        return answer.choices[0].message

    messages: list[Any] = [{"role": "user", "content": "Weather?"}]
    message = said(messages)
    (call,) = message.tool_calls
    result = f"warm in {json.loads(call.function.arguments)['place']}"
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": result}]
    return str(said(messages).content)
