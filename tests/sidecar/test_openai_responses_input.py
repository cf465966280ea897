"""The input of responses requests: history, what lies at the provider, images and files."""

import json
from dataclasses import replace
from typing import Any

import pytest

from replies import load
from small_responses import DATA, LIMITS, REFUSING, STATE, WINDOW, read, refused, user
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers import Asked
from spendguard_daemon.providers.contract import Media
from spendguard_daemon.providers.openai_responses import FORMAT
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.usage import InputBound

HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "hi"},
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA" * 30, "content": None},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "x", "annotations": [{"a": 1.5}], "logprobs": []}],
    },
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "42"},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "42"}]},
    {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"},
    {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"},
    {
        "type": "local_shell_call",
        "id": "l",
        "call_id": "c",
        "action": {"command": ["ls"]},
        "status": "completed",
    },
    {"type": "local_shell_call_output", "id": "l", "output": "a b"},
    {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "x", "stderr": "", "outcome": {}}]},
    {"type": "apply_patch_call_output", "call_id": "c", "status": "completed", "output": None},
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "results": [{"text": "x"}],
        "action": {"type": "search"},
    },
    {"type": "mcp_call", "id": "m", "arguments": "{}", "name": "n", "server_label": "s", "output": "x"},
    {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"},
]


def test_what_a_provider_answered_can_be_sent_back() -> None:
    request = read(input=HISTORY)
    dense = json.dumps(HISTORY, separators=(",", ":"), ensure_ascii=False)
    assert request.messages == len(HISTORY)
    assert request.input_bytes == len(dense.encode()) + 26  # one fraction
    assert not request.foreign_state
    assert FORMAT.bounds(request, LIMITS)[0].rung == "bytes"


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        {"type": None, "id": "msg_1"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": ""},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "results": []},
        {"type": "file_search_call", "id": "fs_1", "queries": ["x"], "results": None},
        {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "outputs": None},
    ],
)
def test_what_the_provider_has_kept_of_an_item_is_held_at_the_window(item: dict[str, Any]) -> None:
    request = read(input=[item])
    assert request.foreign_state
    assert FORMAT.bounds(request, LIMITS) == WINDOW
    assert refused(policy=REFUSING, input=[item]).facts["setting"] == STATE


@pytest.mark.parametrize(
    "fields",
    [
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
    ],
)
def test_other_state_at_the_provider_is_held_at_the_window(fields: dict[str, Any]) -> None:
    request = read(**fields)
    assert request.foreign_state
    assert FORMAT.bounds(request, LIMITS) == WINDOW
    refusal = refused(policy=REFUSING, **fields)
    assert (refusal.code, refusal.facts["setting"]) == (Code.UNBOUNDED_FEATURE, STATE)


@pytest.mark.parametrize(
    "prompt",
    [
        {"id": "pmpt_1", "version": "2", "variables": {"a": "x"}},
        {"id": "p", "variables": {"a": {"type": "input_image", "file_id": "f", "detail": "low"}}},
    ],
)
def test_a_template_at_the_provider_may_bring_tools_so_an_operator_must_know_it(prompt: Any) -> None:
    refusal, feature = refused(prompt=prompt), "openai.responses.field:prompt"
    assert (refusal.code, refusal.facts["setting"]) == (Code.UNBOUNDED_FEATURE, f"[policy] allow: {feature}")
    known = Policy(allow=frozenset({feature}))
    request = read(policy=known, prompt=prompt)
    assert request.foreign_state
    assert FORMAT.bounds(request, LIMITS) == WINDOW
    assert refused(policy=replace(known, server_state="refuse"), prompt=prompt).facts["setting"] == STATE
    assert refused(policy=known, prompt={**prompt, "variables": []}).facts["path"] == "prompt.variables"


@pytest.mark.parametrize(
    ("fields", "leaves_out"),
    [
        ({}, False),
        ({"reasoning": {"effort": "low"}}, False),
        ({"reasoning": {"context": "auto"}}, False),
        ({"reasoning": {"context": "all_turns"}}, False),
        ({"reasoning": {"context": "current_turn"}}, True),
        ({"truncation": "auto"}, True),
        ({"truncation": "disabled"}, False),
    ],
)
def test_what_this_call_leaves_out_may_come_back_in_a_later_one(
    fields: dict[str, Any], leaves_out: bool
) -> None:
    """Some models read the reasoning of all turns by default: the next call may read what this did not."""
    assert read(**fields).leaves_out is leaves_out


def test_an_image_kept_by_the_provider_has_its_cap_unless_nothing_kept_there_may_pass() -> None:
    image = {"type": "input_image", "file_id": "file-1", "detail": "high"}
    request = read(input=user(image))
    assert (request.media, request.foreign_state) == (Media(images=1), False)
    refusal = refused(policy=REFUSING, input=user(image))
    assert (refusal.facts["path"], refusal.facts["setting"]) == ("input[0].content[0].file_id", STATE)
    assert read(policy=REFUSING, input=user({"type": "input_image", "image_url": DATA})).media.images == 1


def test_an_earlier_answer_adds_its_tokens_or_the_window() -> None:
    request = read(previous_response_id="resp_1")
    assert (request.state_ids, request.foreign_state) == (("resp_1",), False)
    assert FORMAT.bounds(request, LIMITS) == WINDOW
    own = FORMAT.bounds(read(), LIMITS)[0].tokens
    assert FORMAT.bounds(request, LIMITS, 500) == (InputBound("bytes", own + 500), *WINDOW)
    assert FORMAT.bounds(request, LIMITS, 500_000) == WINDOW
    assert refused(policy=REFUSING, previous_response_id="resp_1").facts["setting"] == STATE


def test_earlier_turns_that_may_come_back_larger_are_held_at_the_window() -> None:
    for fields in ({"truncation": "auto"}, {"reasoning": {"context": "all_turns"}}):
        assert FORMAT.bounds(read(previous_response_id="resp_1", **fields), LIMITS, 500) == WINDOW
        assert FORMAT.bounds(read(**fields), LIMITS)[0].rung == "bytes"
    for fields in ({"truncation": "disabled"}, {"reasoning": {"context": "current_turn"}}):
        assert FORMAT.bounds(read(previous_response_id="resp_1", **fields), LIMITS, 500)[0].rung == "bytes"


@pytest.mark.parametrize(
    ("items", "images"),
    [
        (user({"type": "input_image", "image_url": DATA, "detail": "high"}), 1),
        (user({"type": "input_image", "file_id": "file_1"}, {"type": "input_image", "image_url": DATA}), 2),
        ([{"type": "function_call_output", "output": [{"type": "input_image", "image_url": DATA}]}], 1),
        ([{"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": DATA}}], 1),
        ([{"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "A" * 50_000}], 1),
        ([{"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": None}], 1),
    ],
)
def test_images_count_by_the_cap_and_not_by_their_bytes(items: list[Any], images: int) -> None:
    request = read(input=items)
    assert request.media == Media(images=images)
    assert request.input_bytes < 300
    framing = 64 + 16 * len(items)
    assert FORMAT.bounds(request, LIMITS)[0].tokens == request.input_bytes + framing + images * 1_000
    with pytest.raises(SpendGuardError) as caught:
        FORMAT.bounds(request, replace(LIMITS, image_tokens_max=None))
    assert caught.value.code is Code.UNBOUNDED_FEATURE


@pytest.mark.parametrize(
    "file",
    [{"file_id": "f"}, {"file_url": "https://x.example/a.pdf"}, {"file_data": DATA, "filename": "a.pdf"}],
)
def test_files_are_held_at_the_window_or_refused(file: dict[str, Any]) -> None:
    items = user({"type": "input_file", **file})
    assert read(input=items).media == Media(documents=True)
    assert FORMAT.bounds(read(input=items), LIMITS) == WINDOW
    assert refused(policy=REFUSING, input=items).facts["setting"] == STATE


@pytest.mark.parametrize("name", ["16-openai-responses-stream-tool", "14-openai-responses-reasoning-cached"])
def test_a_recorded_history_is_read(name: str) -> None:
    request = FORMAT.read(Asked(load(name).request_body))
    assert not request.foreign_state
    assert request.tools == 1


CODEX: dict[str, Any] = {
    "instructions": "x",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAA"},
        {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
    ],
    "tools": [
        {"type": "function", "name": "shell", "strict": False, "parameters": {"type": "object"}},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark"}},
        {"type": "tool_search", "execution": "client", "description": "d", "parameters": {}},
        {"type": "namespace", "name": "n", "description": "d", "tools": []},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto", "context": "auto"},
    "store": False,
    "stream": True,
    "stream_options": {"reasoning_summary_delivery": "sequential_cutoff"},
    "include": ["reasoning.encrypted_content"],
    "service_tier": "priority",
    "prompt_cache_key": "k",
    "text": {"verbosity": "medium"},
    "client_metadata": {"x-codex-installation-id": "i", "x-codex-turn-metadata": "{}"},
    "access_programs": {},
}
"""All that Codex puts in a request. github.com/openai/codex, codex-rs/codex-api/src/common.rs."""


def test_what_codex_sends_passes_and_what_names_the_client_is_not_billed() -> None:
    request = read(**CODEX)
    assert (request.stripped, request.foreign_state, request.passes) == ((), False, 1)
    bare = {name: value for name, value in CODEX.items() if name != "client_metadata"}
    assert request.input_bytes == read(**bare).input_bytes
