"""What a request to OpenAI's chat completions and embeddings may hold, with its sources. Data only.

Sources: [sdk] is the official openai Python SDK, 3.54.0, `types/chat/completion_create_params.py` or
`types/embedding_create_params.py` unless another file is named; [costs B1] is our table of what OpenAI bills.
"""

from enum import Enum

from spendguard_daemon.providers.fields import Field, Use

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
    "modalities": Field(Use.CONTROL, ("array",), "[sdk] audio output has its own rate: [costs B1]"),
    "audio": Field(Use.CONTROL, ("object",), "[sdk] audio output; inside the cap: [costs B1]"),
    "prompt_cache_options": Field(Use.CONTROL, ("object",), "[sdk] cache writes are billed: [costs B1]"),
    "web_search_options": Field(Use.CONTROL, ("object",), "[sdk] a fee per search, uncounted: [costs B1]"),
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
    "moderation": Field(Use.REFUSED, (), "[sdk] a second model; refused until priced: [costs B1]"),
    "prediction": Field(Use.REFUSED, (), "[sdk] rejected tokens are billed beyond the cap: [costs B1]"),
}
"""Every top-level field of chat completions that the SDK can send."""

CHAT_ROLES = frozenset({"developer", "system", "user", "assistant", "tool", "function"})
"""[sdk] chat_completion_message_param.py, a union of six."""


class Part(Enum):
    """What a content part is billed by."""

    TEXT = "text"
    """Its bytes."""
    IMAGE = "image"
    """The model's cap for one image."""
    AUDIO = "audio"
    """The size of the audio."""
    DOCUMENT = "document"
    """Nothing that the body shows: the context window."""
    REFUSED = "refused"
    """It has no bound."""


CHAT_PARTS: dict[str, Part] = {
    "text": Part.TEXT,
    "refusal": Part.TEXT,
    "image_url": Part.IMAGE,
    "input_audio": Part.AUDIO,
    "file": Part.DOCUMENT,
}
"""[sdk] chat_completion_content_part_param.py and ..._refusal_param.py; [costs B1]."""

CHAT_TOOLS = frozenset({"function", "custom"})
"""Tools that the client runs. [sdk] chat_completion_tool_union_param.py."""

MODALITIES = frozenset({"text", "audio"})
"""[sdk] modalities."""

SERVICE_TIERS: dict[str, str] = {
    "auto": "default",
    "default": "default",
    "standard": "default",
    "scale": "default",
    "flex": "flex",
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "ultrafast",
}
"""The card's tier for each that may be asked for. [sdk] service_tier, responses/service_tier.py: `auto` is
the project's setting and `scale` prepaid, so `default` is pinned in their place; `fast` is `priority`."""

CACHE_TTLS = frozenset({"30m"})
"""Cache lifetimes that the `cache_write` rate covers. [sdk] completion_create_params.py PromptCacheOptions.

A breakpoint may also ask for `12h` ([sdk] chat_completion_content_part_text_param.py): it has no known rate.
"""

EMBEDDINGS_FIELDS: dict[str, Field] = {
    "input": Field(Use.INPUT, ("string", "array"), "[sdk] input: text or tokens, one or many"),
    "model": Field(Use.CONTROL, ("string",), "[sdk] model"),
    "dimensions": Field(
        Use.FREE, ("integer",), "[sdk] length of the result; input alone is billed: [costs B1]"
    ),
    "encoding_format": Field(Use.FREE, ("string",), "[sdk] how the result is written"),
    "user": Field(Use.FREE, ("string",), "[sdk] identifier"),
}
"""Every top-level field of embeddings that the SDK can send."""

EMBEDDING_TOKENS_MAX = 8_192
"""The most tokens of one input of any embedding model. [sdk] embedding_create_params.py."""

EMBEDDING_REQUEST_TOKENS_MAX = 300_000
"""The most tokens of all inputs of one request. [sdk] embedding_create_params.py."""
