"""What a request to OpenAI's responses may hold: fields, items, parts, tools, with sources. Data only.

Sources: [sdk] is the official openai Python SDK, 3.54.0, `types/responses/response_create_params.py` unless
another file is named; [codex] is github.com/openai/codex, codex-rs; [costs B1] is our table of what OpenAI
bills.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from spendguard_daemon.providers.fields import Field, Use
from spendguard_daemon.providers.openai_fields import Part

_NUMBER = ("integer", "number")

RESPONSES_FIELDS: dict[str, Field] = {
    "input": Field(Use.INPUT, ("string", "array"), "[sdk] input"),
    "instructions": Field(Use.INPUT, ("string",), "[sdk] instructions, a system message"),
    "prompt": Field(Use.INPUT, ("object",), "[sdk] a template kept by the provider, which may bring tools"),
    "tools": Field(Use.INPUT, ("array",), "[sdk] tools"),
    "tool_choice": Field(Use.INPUT, ("string", "object"), "[sdk] tool_choice; allowed_tools lists tools"),
    "text": Field(Use.INPUT, ("object",), "[sdk] text; a schema is shown to the model"),
    "model": Field(Use.CONTROL, ("string",), "[sdk] model"),
    "stream": Field(Use.CONTROL, ("boolean",), "[sdk] stream"),
    "max_output_tokens": Field(Use.CONTROL, ("integer",), "[sdk] upper bound, reasoning included"),
    "max_tool_calls": Field(Use.CONTROL, ("integer",), "[sdk] total calls of built-in tools: [costs B1]"),
    "service_tier": Field(Use.CONTROL, ("string",), "[sdk] auto may be the project's dearer tier"),
    "prompt_cache_options": Field(Use.CONTROL, ("object",), "[sdk] cache writes are billed: [costs B1]"),
    "previous_response_id": Field(Use.CONTROL, ("string",), "[sdk] earlier turns kept by the provider"),
    "conversation": Field(Use.CONTROL, ("string", "object"), "[sdk] items kept by the provider"),
    "reasoning": Field(
        Use.CONTROL, ("object",), "[sdk] shared_params/reasoning.py; effort is within the cap"
    ),
    "include": Field(
        Use.CONTROL, ("array",), "[sdk] response_includable.py; what the answer shows, unbilled"
    ),
    "background": Field(Use.CONTROL, ("boolean",), "[sdk] usage comes only with a later GET: [costs B1]"),
    "context_management": Field(Use.CONTROL, ("array",), "[sdk] compaction, an extra pass: [costs B1]"),
    "stream_options": Field(Use.FREE, ("object",), "[sdk] StreamOptions: padding only, usage always comes"),
    "truncation": Field(Use.FREE, ("string",), "[sdk] auto drops input that would not fit"),
    "image": Field(Use.FREE, ("object",), "[sdk] Image: may compress images in the context"),
    "parallel_tool_calls": Field(Use.FREE, ("boolean",), "[sdk] the calls are output, within the cap"),
    "store": Field(Use.FREE, ("boolean",), "[sdk] stored answers have no fee; true where absent"),
    "metadata": Field(Use.FREE, ("object",), "[sdk] stored beside the answer, not shown to the model"),
    "client_metadata": Field(Use.FREE, ("object",), "[codex] codex-api common.rs: ids of the client's turn"),
    "access_programs": Field(Use.FREE, ("object",), "[sdk] AccessPrograms: who may ask, not what it costs"),
    "prompt_cache_key": Field(Use.FREE, ("string",), "[sdk] routes to a cache; reads are never dearer"),
    "prompt_cache_retention": Field(Use.FREE, ("string",), "[sdk] deprecated; has no rate"),
    "safety_identifier": Field(Use.FREE, ("string",), "[sdk] identifier"),
    "user": Field(Use.FREE, ("string",), "[sdk] identifier"),
    "temperature": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "top_p": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "top_logprobs": Field(Use.FREE, ("integer",), "[sdk] not billed: [costs B1]"),
    "background_options": Field(Use.REFUSED, (), "[sdk] BackgroundOptions: takes background: true"),
    "moderation": Field(Use.REFUSED, (), "[sdk] a second model; refused until priced: [costs B1]"),
}
"""Every top-level field of responses that the SDK can send, and of Codex."""

MESSAGE_ROLES = frozenset({"user", "assistant", "system", "developer"})
"""[sdk] easy_input_message_param.py, response_output_message_param.py."""

REASONING_MODES = frozenset({"standard"})
"""Modes whose bill the cap bounds. [sdk] shared_params/reasoning.py has `pro` beside it: [costs B1] R."""

RESPONSES_PARTS: dict[str, Part] = {
    "input_text": Part.TEXT,
    "output_text": Part.TEXT,
    "refusal": Part.TEXT,
    "summary_text": Part.TEXT,
    "reasoning_text": Part.TEXT,
    "text": Part.TEXT,
    "input_image": Part.IMAGE,
    "computer_screenshot": Part.IMAGE,
    "input_audio": Part.AUDIO,
    "input_file": Part.DOCUMENT,
}
"""[sdk] response_input_content_param.py, response_input_audio_param.py, response_output_message_param.py,
response_computer_tool_call_output_screenshot_param.py, response_reasoning_item_param.py; `text` is what
conversations keep of other APIs."""


class Item(Enum):
    """How an input item is read."""

    MESSAGE = "message"
    """A role and content."""
    OUTPUT = "output"
    """What a tool of the client returned: text, or parts."""
    PLAIN = "plain"
    """All that it costs are its bytes."""
    KEPT = "kept"
    """The provider may put in what it has kept under the item's id, unless the item brings it."""
    REFERENCE = "reference"
    """An id alone."""
    IMAGE = "image"
    """An image that the provider made."""
    TOOLS = "tools"
    """Definitions of tools."""
    REFUSED = "refused"
    """It has no bound."""


RESPONSES_ITEMS: dict[str, Item] = {
    "message": Item.MESSAGE,
    "function_call": Item.PLAIN,
    "function_call_output": Item.OUTPUT,
    "custom_tool_call": Item.PLAIN,
    "custom_tool_call_output": Item.OUTPUT,
    "computer_call": Item.PLAIN,
    "computer_call_output": Item.OUTPUT,
    "local_shell_call": Item.PLAIN,
    "local_shell_call_output": Item.OUTPUT,
    "shell_call": Item.PLAIN,
    "shell_call_output": Item.PLAIN,
    "apply_patch_call": Item.PLAIN,
    "apply_patch_call_output": Item.OUTPUT,
    "reasoning": Item.KEPT,
    "compaction": Item.PLAIN,
    "compaction_trigger": Item.REFUSED,
    "configuration_update": Item.PLAIN,
    "web_search_call": Item.KEPT,
    "file_search_call": Item.KEPT,
    "code_interpreter_call": Item.KEPT,
    "image_generation_call": Item.IMAGE,
    "mcp_list_tools": Item.PLAIN,
    "mcp_approval_request": Item.PLAIN,
    "mcp_approval_response": Item.PLAIN,
    "mcp_call": Item.PLAIN,
    "tool_search_call": Item.PLAIN,
    "tool_search_output": Item.TOOLS,
    "additional_tools": Item.TOOLS,
    "program": Item.PLAIN,
    "program_output": Item.PLAIN,
    "item_reference": Item.REFERENCE,
}
"""[sdk] response_input_item_param.py, a union of 33 (three of them messages), and response_output_item.py."""

ITEM_BRINGS: dict[str, str] = {
    "reasoning": "encrypted_content",
    "web_search_call": "results",
    "file_search_call": "results",
    "code_interpreter_call": "outputs",
}
"""Where a kept item brings its content. [sdk] response_includable.py: each of these is left out unless asked
for, and looked up by the item's id where answers are stored."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """A tool that runs at the provider, or whose cost beside tokens nobody has measured.

    `fee` names what the price document charges for each use. `opens` tells that an operator may let it
    through by name, having found that it costs tokens only. `shows` are the prefixes of `include` about it.
    """

    fee: str | None
    opens: bool
    shows: tuple[str, ...]
    source: str


_WEB = Hosted("web_search", False, ("web_search_call.",), "[sdk] tool_param.py; a fee per search: [costs B1]")
_COMPUTER = Hosted(
    None, True, ("computer_call_output.",), "[sdk] tool_param.py; its schema is injected, size unmeasured"
)

HOSTED_TOOLS: dict[str, Hosted] = {
    "web_search": _WEB,
    "web_search_2025_08_26": _WEB,
    "web_search_preview": _WEB,
    "web_search_preview_2025_03_11": _WEB,
    "file_search": Hosted(
        "file_search", False, ("file_search_call.",), "[sdk] file_search_tool_param.py; a fee per call"
    ),
    "code_interpreter": Hosted(
        None, False, ("code_interpreter_call.",), "[sdk] a fee per container session, which no answer reports"
    ),
    "image_generation": Hosted(None, False, (), "[sdk] ImageGeneration; tokens of a second model"),
    "shell": Hosted(None, False, (), "[sdk] function_shell_tool_param.py; a container, unless it is local"),
    "computer": _COMPUTER,
    "computer_use": _COMPUTER,
    "computer_use_preview": _COMPUTER,
    "mcp": Hosted(None, True, (), "[sdk] Mcp; tokens only, yet no limit of uses is documented for it"),
    "tool_search": Hosted(None, True, (), "[sdk] tool_search_tool_param.py; rounds at the provider"),
    "programmatic_tool_calling": Hosted(
        None, True, (), "[sdk] ProgrammaticToolCalling; runs at the provider"
    ),
}

FEES_PER_CALL = {"web_search": 5}
"""How many fees one call may cause, where it is more than one. [sdk] response_function_web_search.py: a call
takes several `queries`; users were billed 2.6 searches a call on average. No limit is documented."""

CLIENT_TOOLS = frozenset({"function", "custom"})
"""Tools that the client defines and runs. [sdk] function_tool_param.py, custom_tool_param.py."""

BUILT_IN_CLIENT_TOOLS: dict[str, str] = {
    "local_shell": "[sdk] LocalShell: runs at the client",
    "apply_patch": "[sdk] apply_patch_tool_param.py: the client applies the patch",
    "shell": "[sdk] local_environment_param.py: with environment.type local",
    "tool_search": "[sdk] tool_search_tool_param.py: with execution client",
}
"""Tools that the client runs, but the provider describes to the model."""

BUILT_IN_TOOL_BYTES = 4_096
"""What such a description may take. Not documented; Anthropic's are 500 to 1,500 tokens: [costs B3]."""


@dataclass(frozen=True, slots=True)
class ToolTable:
    """Which tools there are: run by the provider, or by the client, described by it or not (`built_in`)."""

    hosted: Mapping[str, Hosted]
    built_in: Mapping[str, str]
    client: frozenset[str]
    fees_per_call: Mapping[str, int]


TOOLS = ToolTable(HOSTED_TOOLS, BUILT_IN_CLIENT_TOOLS, CLIENT_TOOLS, FEES_PER_CALL)

NAMESPACE = "namespace"
"""A group of client tools. [sdk] namespace_tool_param.py."""

COUNTED_FIELDS = (
    "input",
    "instructions",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "text",
    "tool_choice",
    "tools",
    "truncation",
)
"""What `/responses/input_tokens` takes of a request. [sdk] input_token_count_params.py; not among them
`conversation`, which may change between the question and the call."""
