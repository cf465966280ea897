"""What an Anthropic `messages` request may hold: fields, blocks and tools, with class and source. Data only.

Fields at the top, tool types and block types can bill, so they are allow-lists: what is not here is refused
until an operator allows it by name (design 5.2). Unknown keys inside messages, blocks and schemas are not
listed: they count as input bytes.

Sources: [sdk] is the official anthropic Python SDK, 2.12.0, `types/beta/message_create_params.py` unless
another file is named; [costs B3] is our table of what Anthropic bills; [docs] is platform.claude.com/docs.
"""

from dataclasses import dataclass
from enum import Enum

from spendguard_daemon.providers.fields import Field, Use

_NUMBER = ("integer", "number")

FIELDS: dict[str, Field] = {
    "messages": Field(Use.INPUT, ("array",), "[sdk] messages"),
    "system": Field(Use.INPUT, ("string", "array"), "[sdk] system"),
    "tools": Field(Use.INPUT, ("array",), "[sdk] tools; TOOLS classes their types"),
    "tool_choice": Field(Use.INPUT, ("object",), "[sdk] tool_choice"),
    "output_config": Field(Use.INPUT, ("object",), "[sdk] output_config; a schema is shown to the model"),
    "output_format": Field(Use.INPUT, ("object",), "[sdk] 0.74, the older name of output_config.format"),
    "model": Field(Use.CONTROL, ("string",), "[sdk] model"),
    "max_tokens": Field(Use.CONTROL, ("integer",), "[sdk] absolute maximum, thinking included; 0 pre-warms"),
    "stream": Field(Use.CONTROL, ("boolean",), "[sdk] stream"),
    "thinking": Field(Use.CONTROL, ("object",), "[sdk] within max_tokens; THINKING lists its types"),
    "service_tier": Field(Use.CONTROL, ("string",), "[sdk] auto may use priority capacity"),
    "inference_geo": Field(Use.CONTROL, ("string",), "[sdk] absent is the workspace's default: [costs B3]"),
    "speed": Field(Use.CONTROL, ("string",), "[sdk] fast is billed at a multiple: [costs B3]"),
    "cache_control": Field(Use.CONTROL, ("object",), "[sdk] marks the last block: a cache write"),
    "context_management": Field(Use.CONTROL, ("object",), "[sdk] EDITS lists its edits"),
    "mcp_servers": Field(Use.CONTROL, ("array",), "[sdk] tools that run at the provider, without limit"),
    "container": Field(Use.CONTROL, ("string", "object"), "[sdk] where code runs at the provider; skills"),
    "temperature": Field(Use.FREE, _NUMBER, "[docs] API version 2023-06-01; sampling"),
    "top_p": Field(Use.FREE, _NUMBER, "[docs] API version 2023-06-01; sampling"),
    "top_k": Field(Use.FREE, ("integer",), "[docs] API version 2023-06-01; sampling"),
    "stop_sequences": Field(Use.FREE, ("array",), "[sdk] only ever ends an answer early"),
    "metadata": Field(Use.FREE, ("object",), "[sdk] user_id, not shown to the model"),
    "diagnostics": Field(Use.FREE, ("object",), "[sdk] compares prompts of two requests; adds no input"),
    "compaction": Field(
        Use.REFUSED, (), "[sdk] a pass of its own that max_tokens does not bound: [costs B3]"
    ),
    "fallbacks": Field(Use.REFUSED, (), "[sdk] another model answers, and bills: [costs B3]"),
    "fallback_credit_token": Field(Use.REFUSED, (), "[sdk] goes with fallbacks: [costs B3]"),
    "thread": Field(Use.REFUSED, (), "[sdk] a conversation kept at the provider: [costs B3]"),
    "billing_policy": Field(Use.REFUSED, (), "[sdk] another party pays: [costs B3]"),
}
"""Every top-level field of a message that the SDK can send; its other parameters leave as headers."""

HEADER_PARAMETERS = frozenset({"betas", "user_profile_id", "workspace_id"})
"""[sdk] resources/beta/messages/messages.py: parameters that leave as headers; only `betas` is sent on."""

COUNT_FIELDS = frozenset(
    {
        "messages", "model", "system", "tools", "tool_choice", "thinking", "output_config", "output_format",
        "cache_control", "context_management", "speed", "mcp_servers", "compaction", "billing_policy",
    }
)  # fmt: skip
"""What the count endpoint takes. [sdk] types/beta/message_count_tokens_params.py, and `output_format`."""

ROLES = frozenset({"user", "assistant", "system"})
"""[sdk] types/beta/beta_message_param.py; `system` is an instruction amid the conversation."""

THINKING = frozenset({"enabled", "adaptive", "disabled", "between_tools"})
"""[sdk] types/beta/beta_thinking_config_param.py."""

EDITS = frozenset({"clear_tool_uses_20250919", "clear_thinking_20251015"})
"""Edits that leave parts of the input out. [sdk] types/beta/beta_context_management_config_param.py."""

EDITS_REFUSED = frozenset({"compact_20260112"})
"""Its pass is billed beside `usage`, without a bound. [sdk] the same file; [costs B3]."""

SERVICE_TIERS = frozenset({"auto", "standard_only"})
"""[sdk] service_tier."""

CACHE_TTLS = {"5m": "cache_write", "1h": "cache_write_1h"}
"""The rates that cache lifetimes are billed at. [sdk] types/beta/beta_cache_control_ephemeral_param.py."""

BLOCKS = frozenset(
    {
        "text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use",
        "tool_result", "server_tool_use", "web_search_tool_result", "web_fetch_tool_result",
        "advisor_tool_result", "code_execution_tool_result", "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result", "tool_search_tool_result", "mcp_tool_use",
        "mcp_tool_result", "mcp_tool_listing", "container_upload", "compaction", "fallback",
        "tool_addition", "tool_removal", "tool_reference", "browser_state",
    }
)  # fmt: skip
"""Block types that are bounded, by their bytes or as `anthropic_content` says. [sdk] types/beta/
beta_content_block_param.py, beta_content_block.py (what was answered comes back as history) and the
contents of beta_tool_result_block_param.py."""


class Runs(Enum):
    """Where a tool runs, which decides what it costs."""

    CLIENT = "client"
    """At the client; its definition is in the request."""
    INJECTED = "injected"
    """At the client, with a definition that the provider adds: an operator must allow it."""
    HOSTED = "hosted"
    """At the provider, which then reads the context again."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool type. `event` is the fee of one use. `limited` tells that `max_uses` bounds a hosted tool,
    with `direct` only when the model alone may call it: code that calls it may run without limit.
    """

    runs: Runs
    event: str | None = None
    limited: bool = False
    direct: bool = False


INJECTED_TOKENS = 2_000
"""What one injected definition may add. [docs] tool-use pricing: 245 (bash) to 1,500 (computer) by model."""

_INJECTED = Tool(Runs.INJECTED)
_ENDLESS = Tool(Runs.HOSTED)
_SEARCH = Tool(Runs.HOSTED, "web_search", limited=True)
_SEARCH_FROM_CODE = Tool(Runs.HOSTED, "web_search", limited=True, direct=True)
_FETCH = Tool(Runs.HOSTED, limited=True)
_FETCH_FROM_CODE = Tool(Runs.HOSTED, limited=True, direct=True)

TOOLS: dict[str, Tool] = {
    "custom": Tool(Runs.CLIENT),
    "bash_20241022": _INJECTED,
    "bash_20250124": _INJECTED,
    "browser_toolset_20260801": _INJECTED,
    "computer_20241022": _INJECTED,
    "computer_20250124": _INJECTED,
    "computer_20251124": _INJECTED,
    "computer_toolset_20260801": _INJECTED,
    "memory_20250818": _INJECTED,
    "text_editor_20241022": _INJECTED,
    "text_editor_20250124": _INJECTED,
    "text_editor_20250429": _INJECTED,
    "text_editor_20250728": _INJECTED,
    "web_search_20250305": _SEARCH,
    "web_search_20260209": _SEARCH_FROM_CODE,
    "web_search_20260318": _SEARCH_FROM_CODE,
    "web_fetch_20250910": _FETCH,
    "web_fetch_20260209": _FETCH_FROM_CODE,
    "web_fetch_20260309": _FETCH_FROM_CODE,
    "web_fetch_20260318": _FETCH_FROM_CODE,
    "code_execution_20250522": _ENDLESS,
    "code_execution_20250825": _ENDLESS,
    "code_execution_20260120": _ENDLESS,
    "code_execution_20260521": _ENDLESS,
    "tool_search_tool_bm25": _ENDLESS,
    "tool_search_tool_bm25_20251119": _ENDLESS,
    "tool_search_tool_regex": _ENDLESS,
    "tool_search_tool_regex_20251119": _ENDLESS,
    "mcp_toolset": _ENDLESS,
    "advisor_20260301": _ENDLESS,
}
"""[sdk] types/beta/beta_tool_union_param.py. `_ENDLESS`: without limit, or (advisor) of another model."""
