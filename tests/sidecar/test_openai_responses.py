"""OpenAI responses requests: what is read, refused and bounded."""

import json
from typing import Any

import pytest

from small_responses import DATA, body, read, refused, user
from spendguard_daemon.errors import Code
from spendguard_daemon.providers import Asked, Policy, format_for
from spendguard_daemon.providers.contract import Media
from spendguard_daemon.providers.openai_responses import FORMAT
from spendguard_daemon.usage import InputBound

MALFORMED: list[tuple[dict[str, Any], str]] = [
    *[({"max_output_tokens": v}, "max_output_tokens") for v in (0, -1, 2**31, 5.0, True, "5")],
    ({"max_tokens": 5}, "max_tokens"),
    ({"messages": []}, "messages"),
    *[({"input": v}, "input") for v in (5, {}, True)],
    *[({"input": [v]}, "input[0]") for v in ("hi", None, 5, [])],
    ({"input": [{}]}, "input[0].id"),
    ({"input": [{"type": "item_reference"}]}, "input[0].id"),
    *[({"input": [{"role": v}]}, "input[0].role") for v in ("tool", "", None, 1, [])],
    *[({"input": [{"type": v}]}, "input[0].type") for v in ("hologram", "", 1, [])],
    *[({"input": [{"role": "user", "content": v}]}, "input[0].content") for v in (5, {}, True)],
    *[({"input": user({"type": v})}, "input[0].content[0].type") for v in ("image_url", "", None, 1)],
    ({"input": user({"type": "input_image"})}, "input[0].content[0].image_url"),
    ({"input": [{"type": "function_call_output", "output": 5}]}, "input[0].output"),
    ({"instructions": ["x"]}, "instructions"),
    ({"previous_response_id": 5}, "previous_response_id"),
    ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "conversation"),
    ({"tools": [{"type": "hologram"}]}, "tools[0].type"),
    *[({"tools": [v]}, "tools[0]") for v in ("x", None)],
    ({"tools": [{"type": "namespace"}]}, "tools[0].tools"),
    ({"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, "tools[0].tools[0].type"),
    ({"input": [{"type": "additional_tools", "tools": {}}]}, "input[0].tools"),
    ({"service_tier": "turbo"}, "service_tier"),
    ({"stream": 1}, "stream"),
    ({"n": 2}, "n"),
]


@pytest.mark.parametrize(("fields", "path"), MALFORMED)
def test_malformed_requests_are_refused_with_their_path(fields: dict[str, Any], path: str) -> None:
    refusal = refused(**fields)
    assert (refusal.code, refusal.facts["path"]) == (Code.MALFORMED_REQUEST, path)


UNBOUNDED: list[tuple[dict[str, Any], str]] = [
    ({"background": True}, "background"),
    ({"background_options": {"completion_window": "8h"}}, "background_options"),
    ({"context_management": [{"type": "compaction"}]}, "context_management"),
    ({"moderation": {"model": "omni-moderation-latest"}}, "moderation"),
    *[({"reasoning": {"mode": mode}}, "reasoning.mode") for mode in ("pro", "ultra", 5)],
    ({"input": [{"type": "compaction_trigger"}]}, "input[0]"),
]


def test_background_mode_passes_where_an_operator_lets_it_through() -> None:
    """Its cap and its input bound it; that its usage comes later means that it is charged at its hold."""
    setting = refused(background=True).facts["setting"]
    assert setting == "[policy] allow: openai.responses.field:background"
    allowed = Policy(allow=frozenset({"openai.responses.field:background"}))
    assert read(policy=allowed, background=True).passes == 1


@pytest.mark.parametrize(("fields", "path"), UNBOUNDED)
def test_what_has_no_bound_is_refused_by_name(fields: dict[str, Any], path: str) -> None:
    refusal = refused(**fields)
    assert (refusal.code, refusal.facts["path"]) == (Code.UNBOUNDED_FEATURE, path)


@pytest.mark.parametrize(
    "fields",
    [
        {"background": False, "context_management": [], "reasoning": {"mode": "standard", "effort": "high"}},
        {"background": None, "context_management": None, "reasoning": None, "moderation": None},
        {"truncation": "auto", "store": False, "image": {"context_compression": "auto"}, "include": []},
    ],
)
def test_what_asks_for_nothing_dear_passes(fields: dict[str, Any]) -> None:
    assert read(**fields).input_bytes == read().input_bytes


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"generate": False}, "openai.responses.field:generate"),
        ({"tools": [{"type": "hologram"}]}, "openai.responses.tool:hologram"),
        ({"input": [{"type": "hologram_call"}]}, "openai.responses.item:hologram_call"),
        ({"input": user({"type": "input_video"})}, "openai.responses.part:input_video"),
    ],
)
def test_what_is_on_no_list_passes_once_an_operator_lets_it(fields: dict[str, Any], feature: str) -> None:
    refusal = refused(**fields)
    assert (refusal.facts["feature"], refusal.facts["setting"]) == (feature, f"[policy] allow: {feature}")
    assert read(policy=Policy(allow=frozenset({feature})), **fields).input_bytes > 0


def test_the_defaults_of_a_small_request() -> None:
    request = read()
    assert (request.stream, request.choices, request.passes, request.messages) == (False, 1, 1, 1)
    assert (request.asked_field, request.asked_output_tokens) == (None, None)
    assert (request.reach, dict(request.events), request.media) == (frozenset(), {}, Media())
    assert request.input_bytes == len('"hi"')
    assert (request.state_ids, request.foreign_state, request.service_tier) == ((), False, "default")
    assert format_for("openai", "responses") is FORMAT
    assert FORMAT.path(request) == "/responses"
    assert FORMAT.auth("k") == (("authorization", "Bearer k"),)


def test_all_that_the_model_is_shown_counts() -> None:
    base = read().input_bytes
    for name, value in {
        "instructions": "be brief",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "tool_choice": {"type": "function", "name": "f"},
    }.items():
        assert read(**{name: value}).input_bytes == base + len(json.dumps(value, separators=(",", ":"))), name
    free = {"user": "u" * 99, "metadata": {"k": "v" * 99}, "prompt_cache_key": "x" * 99, "store": True}
    assert read(**free).input_bytes == base


def test_cache_writes_are_reached_only_where_the_client_asks_for_them() -> None:
    part = {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert read(input=user(part)).reach == {"cache_write"}
    assert read(prompt_cache_options={"mode": "implicit"}).reach == {"cache_write"}
    assert read(prompt_cache_options={"mode": "explicit", "prewarm": True}).reach == frozenset()
    for ttl in ("12h", ["30m"]):
        assert refused(prompt_cache_options={"ttl": ttl}).code is Code.UNPRICED_DIMENSION


@pytest.mark.parametrize(
    ("asked", "least", "reasoning", "floor"),
    [
        (None, 1, False, 1_024),
        (None, 1, True, 4_096),
        (20, 1, False, 20),
        (16, 16, True, 16),
        (5, 1, False, 5),
        (50_000, 1, True, 4_096),
        (None, 9_000, True, 9_000),
    ],
)
def test_the_floor_of_a_clamp(asked: int | None, least: int, reasoning: bool, floor: int) -> None:
    request = read(max_output_tokens=asked)
    assert FORMAT.floor_output_tokens(request, output_tokens_min=least, reasoning=reasoning) == floor


# -- the count endpoint -------------------------------------------------------------------------------------


def test_the_count_endpoint_is_asked_for_the_same_input() -> None:
    fields = {
        "instructions": "be brief",
        "tools": [{"type": "web_search"}, {"type": "function", "name": "f", "parameters": {}}],
        "previous_response_id": "resp_1",
        "max_output_tokens": 50,
        "stream": True,
        "tool_choice": None,
        "input": user({"type": "input_image", "image_url": DATA}, {"type": "input_file", "file_id": "f"}),
    }
    asked = Asked(body(**fields))
    question = FORMAT.count_question(asked, FORMAT.read(asked))
    assert question is not None
    assert question.path == "/responses/input_tokens"
    told = json.loads(question.body)
    assert told == {
        "model": "gpt-5",
        **{name: fields[name] for name in ("instructions", "previous_response_id", "input")},
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"conversation": "conv_1"},
        {"prompt": {"id": "p"}},
        {"input": user({"type": "input_image", "image_url": "https://x.example/a.png"})},
        {"input": user({"type": "input_file", "file_url": "https://x.example/a.pdf"})},
        {"tools": [{"type": "web_search"}]},
    ],
)
def test_what_may_change_until_the_call_is_not_asked(fields: dict[str, Any]) -> None:
    policy = Policy(hosted_tools="allow", allow=frozenset({"openai.responses.field:prompt"}))
    asked = Asked(body(**fields), policy=policy)
    assert FORMAT.count_question(asked, FORMAT.read(asked)) is None


@pytest.mark.parametrize(
    ("status", "answer", "tokens"),
    [
        (200, {"object": "response.input_tokens", "input_tokens": 11}, 27),
        (200, {"input_tokens": 5_001}, 5_052),
        (200, {"input_tokens": 0}, None),
        (200, {"input_tokens": -5}, None),
        (200, {"input_tokens": 2**50}, None),
        (200, {"input_tokens": 5.0}, None),
        (200, {"input_tokens": True}, None),
        (200, {}, None),
        (200, [], None),
        (400, {"input_tokens": 11}, None),
        (404, {"error": {"message": "x"}}, None),
    ],
)
def test_a_count_becomes_a_bound_with_a_margin(status: int, answer: Any, tokens: int | None) -> None:
    bound = FORMAT.count_bound(read(), status, json.dumps(answer).encode())
    assert bound == (None if tokens is None else InputBound("counted", tokens))
