"""The messages and tools of a chat request: what in them can bill is known, the rest counts as bytes.

Owns the allow-lists' application to roles, parts and tool types. Unknown keys pass: what a provider answered
can always be sent back as history.
"""

from dataclasses import dataclass

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import fields
from spendguard_daemon.providers.json_text import Json
from spendguard_daemon.providers.refusals import unbounded, unpriced

_BREAKPOINT = "prompt_cache_breakpoint"


@dataclass(frozen=True, slots=True)
class Content:
    """How many messages or tools there are, and whether any of them asks for a cache write."""

    count: int
    writes_cache: bool


def read_messages(messages: Json) -> Content:
    """Check the messages; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION with the path."""
    if not isinstance(messages, list) or not messages:
        raise MalformedError("messages", "a list of at least one message")
    writes = [_read_message(message, f"messages[{index}]") for index, message in enumerate(messages)]
    return Content(len(messages), any(writes))


def read_tools(tools: Json, functions: Json) -> Content:
    """Check the tools and the older functions (lists or None); only tools that the client runs pass."""
    writes = False
    for index, tool in enumerate(tools or ()):
        path = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise MalformedError(path, "object")
        if not one_of(tool.get("type"), fields.CHAT_TOOLS):
            raise MalformedError(f"{path}.type", " or ".join(sorted(fields.CHAT_TOOLS)))
        writes |= _writes_cache(tool, path)
    for index, function in enumerate(functions or ()):
        if not isinstance(function, dict):
            raise MalformedError(f"functions[{index}]", "object")
    return Content(len(tools or ()) + len(functions or ()), writes)


def one_of(value: Json, allowed: frozenset[str]) -> bool:
    """Tell whether a value is one of the words allowed; a value of any other type is not."""
    return isinstance(value, str) and value in allowed


def _read_message(message: Json, path: str) -> bool:
    """Check one message; tell whether it asks for a cache write."""
    if not isinstance(message, dict):
        raise MalformedError(path, "object")
    if not one_of(message.get("role"), fields.CHAT_ROLES):
        raise MalformedError(f"{path}.role", "one of " + ", ".join(sorted(fields.CHAT_ROLES)))
    if message.get("audio") is not None:
        # It names an earlier audio answer that the provider keeps: input that the body does not show.
        raise unbounded(f"{path}.audio", "audio kept by the provider")
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise MalformedError(f"{path}.tool_calls", "array")
    content = message.get("content")
    writes = _writes_cache(message, path)
    if isinstance(content, list):
        parts = [_read_part(part, f"{path}.content[{index}]") for index, part in enumerate(content)]
        return writes or any(parts)
    if content is not None and not isinstance(content, str):
        raise MalformedError(f"{path}.content", "string or array")
    return writes


def _read_part(part: Json, path: str) -> bool:
    if not isinstance(part, dict):
        raise MalformedError(path, "object")
    kind = part.get("type")
    if one_of(kind, fields.CHAT_PARTS_UNBOUNDED):
        raise unbounded(path, str(kind))
    if not one_of(kind, fields.CHAT_PARTS):
        raise MalformedError(f"{path}.type", " or ".join(sorted(fields.CHAT_PARTS)))
    return _writes_cache(part, path)


def _writes_cache(holder: dict[str, Json], path: str) -> bool:
    """Tell whether an object carries a cache breakpoint, and refuse a lifetime that has no rate."""
    mark = holder.get(_BREAKPOINT)
    if mark is None:
        return False
    if not isinstance(mark, dict):
        raise MalformedError(f"{path}.{_BREAKPOINT}", "object")
    ttl = mark.get("ttl")
    if ttl is not None and not one_of(ttl, fields.CACHE_TTLS):
        raise unpriced(f"{path}.{_BREAKPOINT}.ttl", "a cache lifetime without a known rate")
    return True
