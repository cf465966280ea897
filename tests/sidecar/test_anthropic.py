"""Anthropic messages: what is read and refused, and by which setting it would pass."""

import json
from typing import Any

import pytest

from anthropic_said import CUSTOM, EPHEMERAL, HOUR, SEARCH, STRIP, allowing, body, read, refused
from spendguard_daemon.errors import Code
from spendguard_daemon.providers.anthropic import FORMAT
from spendguard_daemon.providers.contract import Asked


def test_the_plain_case() -> None:
    request = read(body(system="be brief", tools=[CUSTOM], stream=True))
    assert (request.model, request.stream, request.choices) == ("claude-haiku-4-5", True, 1)
    assert (request.asked_output_tokens, request.asked_field) == (9, "max_tokens")
    assert (request.messages, request.tools, request.reach) == (1, 1, frozenset())
    assert (request.passes, dict(request.events), request.modifiers, request.stripped) == (1, {}, (), ())
    assert FORMAT.path(request) == "/v1/messages"
    assert FORMAT.auth("k") == (("x-api-key", "k"),)


def test_the_query_of_the_beta_side_is_sent_on_and_no_other() -> None:
    raw = json.dumps(body()).encode()
    assert FORMAT.path(FORMAT.read(Asked(raw, query={"beta": "true"}))) == "/v1/messages?beta=true"
    assert FORMAT.path(FORMAT.read(Asked(raw, query={"beta": "x", "y": "z"}))) == "/v1/messages"


@pytest.mark.parametrize("cap", [None, -1, 1.0, True, "9", 2**31])
def test_a_cap_is_required_and_a_whole_number(cap: Any) -> None:
    error = refused(body() | {"max_tokens": cap})
    assert (error.code, error.facts["path"]) == (Code.MALFORMED_REQUEST, "max_tokens")
    assert refused(body(max_tokens=None)).facts["path"] == "max_tokens"


def test_a_cap_of_nothing_warms_the_cache() -> None:
    request = read(body(max_tokens=0, cache_control=EPHEMERAL))
    assert (request.asked_output_tokens, request.reach) == (0, {"cache_write"})
    assert FORMAT.floor_output_tokens(request, output_tokens_min=1, reasoning=True) == 0


@pytest.mark.parametrize(
    ("fields", "reach"),
    [
        ({}, set()),
        ({"cache_control": None}, set()),
        ({"cache_control": EPHEMERAL}, {"cache_write"}),
        ({"cache_control": EPHEMERAL | {"ttl": "5m"}}, {"cache_write"}),
        ({"cache_control": HOUR}, {"cache_write_1h"}),
        ({"system": [{"type": "text", "text": "x", "cache_control": HOUR}]}, {"cache_write_1h"}),
        ({"tools": [CUSTOM | {"cache_control": EPHEMERAL}]}, {"cache_write"}),
        (
            {"tools": [CUSTOM | {"cache_control": EPHEMERAL}], "cache_control": HOUR},
            {"cache_write", "cache_write_1h"},
        ),
        ({"tools": [SEARCH | {"cache_control": HOUR}, CUSTOM]}, set()),  # goes with the tool
    ],
)
def test_cache_marks_reach_the_rate_of_their_lifetime(fields: dict[str, Any], reach: set[str]) -> None:
    assert read(body() | fields).reach == reach


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "x"},
        {"type": "tool_use", "id": "i", "name": "n", "input": {}},
        {"type": "document", "source": {"type": "text", "data": "x"}},
        {"type": "tool_result", "tool_use_id": "i", "content": []},
        {"type": "web_search_tool_result", "content": []},
    ],
)
def test_a_mark_on_any_block_counts_also_deeper(block: dict[str, Any]) -> None:
    marked = block | {"cache_control": HOUR}
    assert read(body(marked)).reach == {"cache_write_1h"}
    for holder in (
        {"type": "tool_result", "tool_use_id": "i", "content": [marked]},
        {"type": "document", "source": {"type": "content", "content": [marked]}},
        {"type": "web_search_tool_result", "content": [{"unheard_of": [marked]}]},
    ):
        assert read(body(holder)).reach == {"cache_write_1h"}


def test_what_looks_like_a_mark_in_somebodys_data_is_none() -> None:
    data = {"cache_control": {"ttl": "7d"}}
    schema = {"type": "object", "properties": data}
    called = {"type": "tool_use", "id": "i", "name": "n", "input": data}
    assert read(body(called, tools=[{"name": "f", "input_schema": schema}])).reach == set()


@pytest.mark.parametrize("ttl", ["24h", 5, "", []])
def test_a_lifetime_without_a_rate_is_refused(ttl: Any) -> None:
    error = refused(body(cache_control={"type": "ephemeral", "ttl": ttl}))
    assert (error.code, error.facts["path"]) == (Code.UNPRICED_DIMENSION, "cache_control.ttl")
    marked = {"type": "text", "text": "x", "cache_control": {"ttl": ttl}}
    assert refused(body(marked)).facts["path"] == "messages[0].content[0].cache_control.ttl"


@pytest.mark.parametrize(
    ("fields", "modifiers"),
    [
        ({}, ()),
        ({"inference_geo": "global"}, ()),
        ({"inference_geo": "us"}, ("geo:us",)),
        ({"speed": "standard"}, ()),
        ({"speed": "fast"}, ("speed:fast",)),
        ({"speed": "fast", "inference_geo": "us"}, ("geo:us", "speed:fast")),
    ],
)
def test_geography_and_speed_scale_the_bill(fields: dict[str, Any], modifiers: tuple[str, ...]) -> None:
    assert read(body() | fields).modifiers == modifiers


@pytest.mark.parametrize(
    ("name", "value"), [("inference_geo", "eu"), ("speed", "slow"), ("service_tier", "flex")]
)
def test_options_without_a_rate_are_refused(name: str, value: str) -> None:
    error = refused(body() | {name: value})
    assert (error.code, error.facts["path"]) == (Code.UNPRICED_DIMENSION, name)


@pytest.mark.parametrize(
    "field", ["compaction", "fallbacks", "fallback_credit_token", "thread", "billing_policy"]
)
def test_fields_without_a_bound_are_refused_and_null_is_as_good_as_absent(field: str) -> None:
    error = refused(body() | {field: {"type": "x"}})
    assert (error.code, error.facts["path"]) == (Code.UNBOUNDED_FEATURE, field)
    assert error.facts["feature"] == f"anthropic.messages.field:{field}"
    assert refused(body() | {field: {}}, allowing(f"anthropic.messages.field:{field}")).facts["path"] == field
    read(body() | {field: None})


def test_an_unknown_field_is_refused_by_name_until_it_is_allowed_and_then_counts() -> None:
    request = body() | {"newest": "x" * 1000}
    error = refused(request)
    assert error.facts["setting"] == "[policy] allow: anthropic.messages.field:newest"
    allowed = read(request, allowing("anthropic.messages.field:newest"))
    assert allowed.input_bytes >= read(body()).input_bytes + 1000


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (body(model=None), "model"),
        (body(model=""), "model"),
        (body(messages=None), "messages"),
        (body(messages=[]), "messages"),
        (body(messages=["x"]), "messages[0]"),
        (body(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
        (body(messages=[{"role": ["user"], "content": "x"}]), "messages[0].role"),
        (body(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
        (body(5), "messages[0].content[0]"),
        (body({"type": 5}), "messages[0].content[0].type"),
        (body({"text": "x"}), "messages[0].content[0].type"),
        (body({"type": "image"}), "messages[0].content[0].source"),
        (body({"type": "text", "text": "x", "cache_control": "on"}), "messages[0].content[0].cache_control"),
        (body(system=[{"text": "x"}]), "system[0].type"),
        (body(system=5), "system"),
        (body(tools=[5]), "tools[0]"),
        (body(tools=[{"type": 5}]), "tools[0].type"),
        (body(stream="yes"), "stream"),
        (body(thinking={}), "thinking.type"),
        (body(thinking={"type": "enabled"}), "thinking.budget_tokens"),
        (body(context_management={"edits": {}}), "context_management.edits"),
        (body(context_management={"edits": [{}]}), "context_management.edits[0]"),
    ],
)
def test_what_is_malformed_says_where(request_: dict[str, Any], path: str) -> None:
    error = refused(request_)
    assert (error.code, error.facts["path"]) == (Code.MALFORMED_REQUEST, path)


@pytest.mark.parametrize(
    ("request_", "path", "feature"),
    [
        (body({"type": "hologram"}), "messages[0].content[0].type", "anthropic.block:hologram"),
        (
            body({"type": "tool_result", "content": [{"type": "hologram"}]}),
            "messages[0].content[0].content[0].type",
            "anthropic.block:hologram",
        ),
        (body(tools=[{"type": "loom_1"}]), "tools[0].type", "anthropic.tool:loom_1"),
        (body(tools=[{"type": "bash_20250124"}]), "tools[0]", "anthropic.tool:bash_20250124"),
        (body(thinking={"type": "dream"}), "thinking.type", "anthropic.thinking:dream"),
        (
            body(context_management={"edits": [{"type": "paint"}]}),
            "context_management.edits[0].type",
            "anthropic.edit:paint",
        ),
        (
            body({"type": "image", "source": {"type": "tape"}}),
            "messages[0].content[0].source.type",
            "anthropic.source:tape",
        ),
    ],
)
def test_what_no_list_names_is_refused_by_name_and_passes_once_it_is_allowed(
    request_: dict[str, Any], path: str, feature: str
) -> None:
    error = refused(request_)
    assert (error.facts["path"], error.facts["feature"]) == (path, feature)
    assert error.facts["setting"] == f"[policy] allow: {feature}"
    read(request_, allowing(feature))


def test_edits_that_leave_input_out_pass_and_compaction_never_does() -> None:
    clear = {
        "edits": [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015", "keep": "all"}]
    }
    assert read(body(context_management=clear)).input_bytes == read(body()).input_bytes
    compact = body(context_management={"edits": [{"type": "compact_20260112"}]})
    for policy in (STRIP, allowing("anthropic.edit:compact_20260112")):
        assert refused(compact, policy).code == Code.UNBOUNDED_FEATURE
