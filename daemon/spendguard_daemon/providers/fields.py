"""What a request may hold: fields, roles, parts and tools, each with its class and its source. Data only.

Fields at the top, tool types and part types can bill, so they are allow-lists: what is not here is refused
(design 5.2). Unknown keys inside messages, parts and schemas are not listed: they count as input bytes.

Sources: [sdk] is the official openai Python SDK, 3.54.0, `types/chat/completion_create_params.py` unless
another file is named; [costs B1] is our table of what OpenAI bills.
"""

from dataclasses import dataclass
from enum import Enum


class Use(Enum):
    """What a field does to the bill."""

    INPUT = "input"
    """Its bytes are billed as input."""
    CONTROL = "control"
    """It decides what is billed; the reader reads it, the rewrite may set it."""
    FREE = "free"
    """It is not billed, and changes nothing beyond the bounds that other fields give."""
    REFUSED = "refused"
    """What it costs has no bound that we know; null is as good as absent."""


@dataclass(frozen=True, slots=True)
class Field:
    """One top-level field: the JSON types it may have (null is as good as absent), and where that is said."""

    use: Use
    kinds: tuple[str, ...]
    source: str


_NUMBER = ("integer", "number")

CHAT_FIELDS: dict[str, Field] = {
    "messages": Field(Use.INPUT, ("array",), "[sdk] messages"),
    "tools": Field(Use.INPUT, ("array",), "[sdk] tools; function and custom tools run at the client"),
    "functions": Field(Use.INPUT, ("array",), "[sdk] functions, deprecated"),
    "response_format": Field(Use.INPUT, ("object",), "[sdk] response_format; a schema is shown to the model"),
    "tool_choice": Field(Use.INPUT, ("string", "object"), "[sdk] tool_choice; allowed_tools lists tools"),
    "function_call": Field(Use.INPUT, ("string", "object"), "[sdk] function_call, deprecated"),
    "model": Field(Use.CONTROL, ("string",), "[sdk] model"),
    "max_completion_tokens": Field(Use.CONTROL, ("integer",), "[sdk] upper bound, reasoning included"),
    "max_tokens": Field(Use.CONTROL, ("integer",), "[sdk] deprecated; both at once: [costs B1]"),
    "n": Field(Use.CONTROL, ("integer",), "[sdk] charged across all of the choices"),
    "stream": Field(Use.CONTROL, ("boolean",), "[sdk] stream"),
    "stream_options": Field(Use.CONTROL, ("object",), "[sdk] chat_completion_stream_options_param.py"),
    "service_tier": Field(Use.CONTROL, ("string",), "[sdk] auto may be the project's dearer tier"),
    "modalities": Field(Use.CONTROL, ("array",), "[sdk] text alone is bounded by the text rates"),
    "prompt_cache_options": Field(Use.CONTROL, ("object",), "[sdk] cache writes are billed: [costs B1]"),
    "frequency_penalty": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "presence_penalty": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "temperature": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "top_p": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "seed": Field(Use.FREE, ("integer",), "[sdk] sampling"),
    "logit_bias": Field(Use.FREE, ("object",), "[sdk] sampling; not billed: [costs B1]"),
    "logprobs": Field(Use.FREE, ("boolean",), "[sdk] not billed: [costs B1]"),
    "top_logprobs": Field(Use.FREE, ("integer",), "[sdk] not billed: [costs B1]"),
    "stop": Field(Use.FREE, ("string", "array"), "[sdk] only ever ends an answer early: [costs B1]"),
    "parallel_tool_calls": Field(Use.FREE, ("boolean",), "[sdk] the calls are output, within the cap"),
    "reasoning_effort": Field(Use.FREE, ("string",), "[sdk] within the cap: [costs B1]"),
    "verbosity": Field(Use.FREE, ("string",), "[sdk] within the cap: [costs B1]"),
    "metadata": Field(Use.FREE, ("object",), "[sdk] stored beside the answer, not shown to the model"),
    "store": Field(Use.FREE, ("boolean",), "[sdk] stored completions have no fee"),
    "user": Field(Use.FREE, ("string",), "[sdk] identifier"),
    "safety_identifier": Field(Use.FREE, ("string",), "[sdk] identifier"),
    "prompt_cache_key": Field(Use.FREE, ("string",), "[sdk] routes to a cache; reads are never dearer"),
    "prompt_cache_retention": Field(Use.FREE, ("string",), "[sdk] how long a cache lives; has no rate"),
    "audio": Field(Use.REFUSED, (), "[sdk] audio output; billed at its own rate: [costs B1]"),
    "moderation": Field(Use.REFUSED, (), "[sdk] a second model; refused until priced: [costs B1]"),
    "prediction": Field(Use.REFUSED, (), "[sdk] rejected tokens are billed beyond the cap: [costs B1]"),
    "web_search_options": Field(Use.REFUSED, (), "[sdk] a fee per search, uncounted: [costs B1]"),
}
"""Every top-level field of chat completions that the SDK can send."""

CHAT_ROLES = frozenset({"developer", "system", "user", "assistant", "tool", "function"})
"""[sdk] chat_completion_message_param.py, a union of six."""

CHAT_PARTS = frozenset({"text", "refusal"})
"""Part types billed by their bytes. [sdk] chat_completion_content_part_param.py and ..._refusal_param.py."""

CHAT_PARTS_UNBOUNDED = frozenset({"image_url", "input_audio", "file"})
"""Part types whose tokens do not follow from their bytes. [sdk] the same file; [costs B1]."""

CHAT_TOOLS = frozenset({"function", "custom"})
"""Tools that the client runs. [sdk] chat_completion_tool_union_param.py."""

CHAT_TIERS_DEFAULT = frozenset({"auto", "default", "standard"})
"""Service tiers that `default` stands for: it is pinned in their place. [costs B1]."""

CACHE_TTLS = frozenset({"30m"})
"""Cache lifetimes that the `cache_write` rate covers. [sdk] completion_create_params.py PromptCacheOptions.

A breakpoint may also ask for `12h` ([sdk] chat_completion_content_part_text_param.py): it has no known rate.
"""
