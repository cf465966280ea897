"""What a request to xAI may hold: fields, parts, tools, tiers, with sources. Data only.

Sources: [xai] is xAI's REST reference (docs.x.ai/developers/rest-api-reference) as public clients repeat it;
[sdk] is the official xai-sdk, 1.21.0, `chat.py` and `proto/v6/usage_pb2.pyi`; [lc] is langchainjs,
`langchain-xai/src/chat_models/responses-types.ts`; [costs B2] is our table of what xAI bills. What xAI takes
as OpenAI does is taken over from OpenAI's tables.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from spendguard_daemon.providers import openai_fields
from spendguard_daemon.providers import openai_responses_fields as responses_fields
from spendguard_daemon.providers.fields import Field, Use
from spendguard_daemon.providers.openai_fields import Part
from spendguard_daemon.providers.openai_responses_fields import Hosted, ToolTable


def _as_openai(table: Mapping[str, Field], names: Iterable[str], source: str) -> dict[str, Field]:
    return {name: replace(table[name], source=f"{source} {name}, as OpenAI's") for name in names}


_SEARCH = Field(Use.CONTROL, ("object",), "[xai] live search: a fee per source, uncounted: [costs B2]")

CHAT_FIELDS: dict[str, Field] = {
    **_as_openai(
        openai_fields.CHAT_FIELDS,
        (
            "messages",
            "tools",
            "response_format",
            "tool_choice",
            "model",
            "max_completion_tokens",
            "max_tokens",
            "n",
            "stream",
            "stream_options",
            "service_tier",
            "web_search_options",
            "frequency_penalty",
            "presence_penalty",
            "temperature",
            "top_p",
            "seed",
            "logit_bias",
            "logprobs",
            "top_logprobs",
            "stop",
            "parallel_tool_calls",
            "reasoning_effort",
            "metadata",
            "store",
            "user",
            "safety_identifier",
            "prompt_cache_key",
        ),
        "[xai]",
    ),
    "search_parameters": _SEARCH,
    "deferred": Field(Use.CONTROL, ("boolean",), "[xai] the answer, and its usage, come with a later GET"),
}
"""Every top-level field of xAI's chat completions, and what SDKs of OpenAI send unasked."""

RESPONSES_FIELDS: dict[str, Field] = {
    **_as_openai(
        responses_fields.RESPONSES_FIELDS,
        (
            "input",
            "instructions",
            "tools",
            "tool_choice",
            "text",
            "model",
            "stream",
            "max_output_tokens",
            "service_tier",
            "previous_response_id",
            "reasoning",
            "include",
            "background",
            "stream_options",
            "truncation",
            "parallel_tool_calls",
            "store",
            "metadata",
            "prompt_cache_key",
            "safety_identifier",
            "user",
            "temperature",
            "top_p",
            "top_logprobs",
        ),
        "[lc]",
    ),
    "max_turns": Field(Use.CONTROL, ("integer",), "[sdk] max_turns: rounds of the tools that xAI runs"),
    "max_tool_calls": Field(Use.FREE, ("integer",), "recording 41 shows it in an answer; only ever less"),
    "logprobs": Field(Use.FREE, ("boolean",), "[lc] not billed: [costs B1]"),
    "search_parameters": _SEARCH,
}
"""Every top-level field of xAI's responses."""

SEARCHES = ("search_parameters", "web_search_options")
"""The fields by which xAI searches, how often no field limits."""

CHAT_PARTS: dict[str, Part] = {
    "text": Part.TEXT,
    "refusal": Part.TEXT,
    "image_url": Part.IMAGE,
    "file": Part.REFUSED,
}
"""[xai] messages. A file makes xAI search in it, for a fee that no dimension has: [costs B2]."""

RESPONSES_PARTS: dict[str, Part] = {
    **{name: part for name, part in responses_fields.RESPONSES_PARTS.items() if part is Part.TEXT},
    "input_image": Part.IMAGE,
    "input_file": Part.REFUSED,
}
"""[lc] XAIResponsesInputContentItem, and what answers hold; files as in chat."""

SERVICE_TIERS: dict[str, str] = {"auto": "default", "default": "default", "priority": "priority"}
"""[sdk] ServiceTier. Where none is asked for, recordings 38 to 41 were served the default one."""

_WEB = Hosted("web_search", False, ("web_search_call.",), "[lc] a fee per call: [costs B2]")
_CODE = Hosted("code_execution", False, ("code_interpreter_call.",), "[lc] a fee per call: [costs B2]")
_FILES = Hosted("file_search", False, ("file_search_call.",), "[lc] collections, a fee per call: [costs B2]")

TOOLS = ToolTable(
    hosted={
        "web_search": _WEB,
        "web_search_preview": _WEB,
        "x_search": Hosted("x_search", False, (), "[lc] a fee per call: [costs B2]"),
        "code_interpreter": _CODE,
        "code_execution": _CODE,
        "file_search": _FILES,
        "collections_search": _FILES,
        "mcp": Hosted(None, True, (), "[lc] tokens only; max_turns limits its rounds"),
        "image_generation": Hosted(None, False, (), "[sdk] ServerSideTool; a fee that no card has"),
        "live_search": Hosted(None, False, (), "[xai] live search: a fee per source, uncounted"),
    },
    built_in={},
    client=frozenset({"function"}),
    fees_per_call={},
)
"""[lc] XAIResponsesTool; [sdk] ServerSideTool."""

USED_TOOLS: dict[str, str] = {
    "web_search_calls": "web_search",
    "x_search_calls": "x_search",
    "code_interpreter_calls": "code_execution",
    "file_search_calls": "file_search",
    "document_search_calls": "document_search",
    "image_generation_calls": "image_generation",
}
"""The fee for each count of `server_side_tool_usage_details` (recording 41); the last two are on no card."""

MULTI_AGENT = "multi-agent"
"""What the names of the models have in them that set several agents to work. [sdk] agent_count."""
