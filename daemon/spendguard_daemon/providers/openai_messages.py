"""The messages and tools of a chat request: what in them can bill is known, the rest counts as bytes.

Owns the allow-lists' application to roles, messages and tool types. Unknown keys pass: what a provider
answered can always be sent back as history.
"""

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.json_text import Json
from spendguard_daemon.providers.openai_fields import CHAT_ROLES, CHAT_TOOLS
from spendguard_daemon.providers.openai_parts import Found, one_of
from spendguard_daemon.providers.refusals import unlisted


def read_messages(messages: Json, found: Found) -> None:
    """Read the messages; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION with the path."""
    if not isinstance(messages, list) or not messages:
        raise MalformedError("messages", "a list of at least one message")
    for index, message in enumerate(messages):
        _read_message(message, f"messages[{index}]", found)
    found.messages = len(messages)


def read_tools(tools: Json, functions: Json, found: Found) -> None:
    """Read the tools and the older functions (lists or None); only tools that the client runs pass."""
    for index, tool in enumerate(tools or ()):
        path = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise MalformedError(path, "object")
        kind = tool.get("type")
        if not one_of(kind, CHAT_TOOLS) and not found.allows("tool", kind):
            raise unlisted(f"{path}.type", " or ".join(sorted(CHAT_TOOLS)), found.feature("tool", kind))
        found.cache_mark(tool, path)
    for index, function in enumerate(functions or ()):
        if not isinstance(function, dict):
            raise MalformedError(f"functions[{index}]", "object")
    found.tools = len(tools or ()) + len(functions or ())


def _read_message(message: Json, path: str, found: Found) -> None:
    if not isinstance(message, dict):
        raise MalformedError(path, "object")
    if not one_of(message.get("role"), CHAT_ROLES):
        raise MalformedError(f"{path}.role", "one of " + ", ".join(sorted(CHAT_ROLES)))
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise MalformedError(f"{path}.tool_calls", "array")
    if message.get("audio") is not None:
        _read_audio(message["audio"], f"{path}.audio", found)
    if isinstance(message.get("refusal"), str):
        found.texts.append(message["refusal"])
    found.cache_mark(message, path)
    found.content(message.get("content"), f"{path}.content")


def _read_audio(audio: Json, path: str, found: Found) -> None:
    """Read an earlier audio answer: it is named by its id, and the provider puts in what it has kept."""
    if not isinstance(audio, dict):
        raise MalformedError(path, "object")
    found.keep(path, "audio kept by the provider")
    found.reach.add("input_audio")
    if isinstance(audio.get("data"), str):
        audio["data"] = ""
