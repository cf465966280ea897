"""Anthropic tools: at the client they pass, at the provider they are taken out, refused or limited."""

import json
from typing import Any

import pytest

from anthropic_said import ALLOW, CODE, CUSTOM, LIMITS, REFUSE, SEARCH, STRIP, allowing, body, read, refused
from spendguard_daemon.errors import Code
from spendguard_daemon.providers.anthropic import FORMAT
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.usage import InputBound


def test_a_definition_that_the_provider_adds_is_allowed_for() -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    plain = {"type": "custom", "name": "bash", "d": "x"}
    more = read(body(tools=[bash]), allowing("anthropic.tool:bash_20250124")).input_bytes
    assert more >= read(body(tools=[plain])).input_bytes + 1_900


def test_hosted_tools_are_taken_out_refused_or_limited() -> None:
    request = body(tools=[SEARCH, CUSTOM])
    stripped = read(request)
    assert stripped.stripped == ("anthropic.tool:web_search_20250305",)
    assert (stripped.tools, stripped.passes, dict(stripped.events)) == (1, 1, {})
    error = refused(request, REFUSE)
    assert error.facts["path"] == "tools[0]"
    assert error.facts["setting"] == '[policy] hosted_tools = "allow"'
    allowed = read(request, ALLOW)
    assert (allowed.stripped, allowed.tools) == ((), 2)
    assert (allowed.passes, allowed.output_passes, dict(allowed.events)) == (11, 11, {"web_search": 5})
    assert FORMAT.bounds(allowed, LIMITS) == (InputBound("window", 11 * 200_000),)


def test_the_providers_loop_goes_on_however_few_uses_it_may_make() -> None:
    """Attempts beyond `max_uses` are answered with an error, and the context is read again."""
    for uses, passes in ((1, 11), (10, 11), (12, 13)):
        policy = Policy(hosted_tools="allow", hosted_tool_uses=uses)
        assert read(body(tools=[SEARCH]), policy).passes == passes
    assert read(body(tools=[CUSTOM]), ALLOW).passes == 1


def test_uses_of_several_hosted_tools_add_up_and_a_clients_lower_limit_counts() -> None:
    fetch = {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2}
    request = read(body(tools=[SEARCH | {"max_uses": 30}, fetch]), ALLOW)
    assert (request.passes, dict(request.events)) == (11, {"web_search": 5})
    assert refused(body(tools=[SEARCH | {"max_uses": 0}]), ALLOW).facts["path"] == "tools[0].max_uses"


@pytest.mark.parametrize("policy", [REFUSE, ALLOW])
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"tools": [CODE]}, "tools[0]"),
        (
            {"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "m", "max_uses": 1}]},
            "tools[0]",
        ),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "s"}]}, "tools[0]"),
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "tools[0]"),
        ({"mcp_servers": [{"type": "url", "url": "u", "name": "n"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"container": {"skills": [{}]}}, "container"),
    ],
)
def test_what_has_no_limit_of_uses_can_only_be_taken_out(
    fields: dict[str, Any], path: str, policy: Policy
) -> None:
    error = refused(body() | fields, policy)
    assert (error.code, error.facts["path"]) == (Code.UNBOUNDED_FEATURE, path)
    limited = "web_search" in json.dumps(fields) and policy is REFUSE
    assert error.facts["setting"] == '[policy] hosted_tools = "strip"' or limited
    assert read(body() | fields).stripped != ()


def test_a_search_that_code_may_call_is_allowed_where_only_the_model_may() -> None:
    direct = {"type": "web_search_20260318", "name": "web_search", "allowed_callers": ["direct"]}
    assert dict(read(body(tools=[direct]), ALLOW).events) == {"web_search": 5}


@pytest.mark.parametrize(
    ("choice", "passes"),
    [
        ({"type": "auto"}, True),
        ({"type": "none"}, True),
        ({"type": "any"}, False),
        ({"type": "tool", "name": "web_search"}, False),
    ],
)
def test_a_choice_that_needs_a_tool_taken_out_is_refused(choice: dict[str, Any], passes: bool) -> None:
    request = body(tools=[SEARCH], tool_choice=choice)
    if passes:
        sent = json.loads(FORMAT.rewrite(read(request), output_tokens=9).body)
        assert "tools" not in sent
        assert "tool_choice" not in sent
        return
    error = refused(request)
    assert (error.facts["path"], error.facts["setting"]) == ("tool_choice", '[policy] hosted_tools = "allow"')


def test_a_choice_among_what_is_left_stays() -> None:
    any_tool = body(tools=[SEARCH, CUSTOM], tool_choice={"type": "any"})
    assert json.loads(FORMAT.rewrite(read(any_tool), output_tokens=9).body)["tool_choice"] == {"type": "any"}
    named = body(tools=[SEARCH, CUSTOM], tool_choice={"type": "tool", "name": "web_search"})
    assert refused(named).facts["path"] == "tool_choice"


def test_tools_that_come_in_amid_the_conversation_are_classed_too() -> None:
    def added(definition: dict[str, Any]) -> dict[str, Any]:
        tool = {"type": "tool_definition", "definition": definition}
        return body({"type": "tool_addition", "tool": tool})

    read(added(CUSTOM))
    for policy in (STRIP, ALLOW):
        assert refused(added(SEARCH), policy).code == Code.UNBOUNDED_FEATURE
    assert refused(added({"type": "loom_1"})).facts["feature"] == "anthropic.tool:loom_1"
    summary = {"type": "compaction", "tool_changes": [added(CODE)["messages"][0]["content"][0]]}
    assert refused(body(summary)).code == Code.UNBOUNDED_FEATURE
