"""Hosted tools of responses: left out with all that names them, refused, or held to a number of uses."""

import json
from typing import Any

import pytest

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers import Asked, Policy, Request
from spendguard_daemon.providers.openai_responses import FORMAT
from spendguard_daemon.providers.openai_responses_fields import HOSTED_TOOLS
from spendguard_daemon.providers.policy import CAREFUL
from spendguard_daemon.usage import InputBound, Limits

LIMITS = Limits(128_000, 128_000, 16_384)
ALLOW = Policy(hosted_tools="allow", hosted_tool_uses=3)
REFUSE = Policy(hosted_tools="refuse")
SETTING = '[policy] hosted_tools = "allow"'
SEARCH = {"type": "web_search"}
CALC = {"type": "function", "name": "calc", "parameters": {}}
DEFERRED = {"type": "web_search_preview", "search_context_size": "low"}


def asked(policy: Policy = CAREFUL, **fields: Any) -> Asked:
    return Asked(json.dumps({"model": "gpt-5", "input": "hi", **fields}).encode(), policy=policy)


def read(policy: Policy = CAREFUL, **fields: Any) -> Request:
    return FORMAT.read(asked(policy, **fields))


def sent(policy: Policy = CAREFUL, **fields: Any) -> dict[str, Any]:
    """Return what goes out; read again, it must be the same to the bound."""
    request = read(policy, **fields)
    outgoing = FORMAT.rewrite(request, output_tokens=50)
    again = FORMAT.read(Asked(outgoing.body, policy=policy))
    assert again.stripped == ()
    for name in ("input_bytes", "messages", "tools", "passes", "events", "media", "state_ids", "reach"):
        assert getattr(again, name) == getattr(request, name), name
    assert FORMAT.bounds(again, LIMITS) == FORMAT.bounds(request, LIMITS)
    assert FORMAT.rewrite(again, output_tokens=50).body == outgoing.body
    received: dict[str, Any] = json.loads(outgoing.body)
    return received


@pytest.mark.parametrize("kind", sorted(HOSTED_TOOLS))
def test_each_hosted_tool_is_left_out_and_named(kind: str) -> None:
    request = read(tools=[{"type": kind}, CALC])
    assert (request.stripped, request.tools, request.passes) == ((f"openai.responses.tool:{kind}",), 1, 1)
    assert FORMAT.rewrite(request, output_tokens=5).changed[0] == f"openai.responses.tool:{kind}: taken out"
    assert sent(tools=[{"type": kind}, CALC])["tools"] == [CALC]
    assert sent(tools=[CALC, {"type": kind}])["tools"] == [CALC]
    assert sent(tools=[{"type": kind}, CALC, {"type": kind}, CALC])["tools"] == [CALC, CALC]


@pytest.mark.parametrize("kind", sorted(HOSTED_TOOLS))
def test_each_hosted_tool_is_refused_with_the_setting_that_lets_it_through(kind: str) -> None:
    feature = f"openai.responses.tool:{kind}"
    with pytest.raises(SpendGuardError) as refused:
        read(REFUSE, tools=[CALC, {"type": kind}])
    assert refused.value.code is Code.UNBOUNDED_FEATURE
    assert (refused.value.facts["path"], refused.value.facts["feature"]) == ("tools[1]", feature)
    row = HOSTED_TOOLS[kind]
    if row.fee is not None:
        assert refused.value.facts["setting"] == SETTING
        assert read(ALLOW, tools=[{"type": kind}]).events == {
            row.fee: 3 * (5 if row.fee == "web_search" else 1)
        }
    elif row.opens:
        assert refused.value.facts["setting"] == f"[policy] allow: {feature}"
        opened = read(Policy(allow=frozenset({feature})), tools=[{"type": kind}])
        assert (opened.passes, dict(opened.events), opened.stripped) == (11, {}, ())
    else:
        assert refused.value.facts["setting"] == '[policy] hosted_tools = "strip"'
        for policy in (ALLOW, Policy(hosted_tools="refuse", allow=frozenset({feature}))):
            with pytest.raises(SpendGuardError):
                read(policy, tools=[{"type": kind}])


@pytest.mark.parametrize(("calls", "uses"), [(None, 3), (1, 1), (3, 3), (4, 3), (2**31 - 1, 3)])
def test_allowed_tools_are_held_to_their_uses(calls: int | None, uses: int) -> None:
    fields = {"tools": [SEARCH, {"type": "file_search", "vector_store_ids": ["v"]}]}
    fields |= {} if calls is None else {"max_tool_calls": calls}
    request = read(ALLOW, **fields)
    assert (request.passes, request.output_passes) == (2 * uses + 1, 1)
    assert request.events == {"web_search": 5 * uses, "file_search": uses}
    assert FORMAT.bounds(request, LIMITS) == (InputBound("window", (2 * uses + 1) * 128_000),)
    assert sent(ALLOW, **fields)["max_tool_calls"] == uses
    assert sent(ALLOW, **fields)["tools"] == fields["tools"]


def test_no_uses_are_no_passes() -> None:
    request = read(ALLOW, tools=[SEARCH], max_tool_calls=0)
    assert (request.passes, dict(request.events)) == (1, {})
    assert sent(ALLOW, tools=[SEARCH], max_tool_calls=0)["max_tool_calls"] == 0
    for calls in (-1, 1.5, True):
        with pytest.raises(SpendGuardError):
            read(ALLOW, tools=[SEARCH], max_tool_calls=calls)


def test_a_limit_without_hosted_tools_is_left_alone() -> None:
    assert sent(tools=[CALC], max_tool_calls=99)["max_tool_calls"] == 99


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "custom", "name": "p", "format": {"type": "text"}},
        {"type": "local_shell"},
        {"type": "apply_patch"},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "tool_search", "execution": "client"},
        {
            "type": "namespace",
            "name": "n",
            "description": "d",
            "tools": [CALC, {"type": "custom", "name": "x"}],
        },
    ],
)
def test_tools_that_the_client_runs_stay(tool: dict[str, Any]) -> None:
    for policy in (CAREFUL, REFUSE, ALLOW):
        request = read(policy, tools=[tool])
        assert (request.passes, request.stripped) == (1, ())
        assert request.tools == (3 if tool["type"] == "namespace" else 1)
    plain = len(json.dumps([tool], separators=(",", ":"))) + len('"hi"')
    built_in = tool["type"] not in ("custom", "namespace")
    assert read(tools=[tool]).input_bytes == plain + (4_096 if built_in else 0)


def test_with_the_last_tool_goes_the_choice_among_them() -> None:
    received = sent(tools=[SEARCH, DEFERRED], tool_choice="auto", parallel_tool_calls=True)
    assert "tools" not in received
    assert "tool_choice" not in received
    assert received["parallel_tool_calls"] is True
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [SEARCH]}
    assert "tool_choice" not in sent(tools=[SEARCH], tool_choice=allowed)


def test_a_choice_is_rid_of_what_is_left_out() -> None:
    allowed = {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [SEARCH, {"type": "function", "name": "calc"}],
    }
    received = sent(tools=[SEARCH, CALC], tool_choice=allowed)
    assert received["tool_choice"] == {**allowed, "tools": [{"type": "function", "name": "calc"}]}
    only = {"type": "allowed_tools", "mode": "auto", "tools": [SEARCH]}
    assert "tool_choice" not in sent(tools=[SEARCH, CALC], tool_choice=only)
    for choice in ("auto", "required", "none", {"type": "function", "name": "calc"}):
        assert sent(tools=[SEARCH, CALC], tool_choice=choice)["tool_choice"] == choice


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([SEARCH], "required"),
        ([SEARCH, CALC], {"type": "web_search"}),
        ([SEARCH, CALC], {"type": "web_search_preview"}),
        ([{"type": "mcp", "server_label": "s"}, CALC], {"type": "mcp", "server_label": "s"}),
        ([SEARCH, CALC], {"type": "allowed_tools", "mode": "required", "tools": [SEARCH]}),
        ([SEARCH], {"type": "allowed_tools", "mode": "required", "tools": [SEARCH]}),
    ],
)
def test_a_choice_that_needs_what_would_be_left_out_is_refused(tools: list[Any], choice: Any) -> None:
    with pytest.raises(SpendGuardError) as refused:
        read(tools=tools, tool_choice=choice)
    assert refused.value.code is Code.UNBOUNDED_FEATURE
    assert (refused.value.facts["path"], refused.value.facts["setting"]) == ("tool_choice", SETTING)


def test_what_only_a_left_out_tool_would_show_is_not_asked_for() -> None:
    shows = ["web_search_call.action.sources", "reasoning.encrypted_content", "web_search_call.results"]
    assert sent(tools=[SEARCH, CALC], include=shows)["include"] == ["reasoning.encrypted_content"]
    assert sent(tools=[SEARCH], include=shows[:1])["include"] == []
    assert sent(tools=[CALC], include=shows)["include"] == shows


@pytest.mark.parametrize("kind", ["additional_tools", "tool_search_output"])
def test_hosted_tools_inside_the_input_are_refused_or_counted(kind: str) -> None:
    item = {"type": kind, "role": "developer", "tools": [CALC, SEARCH]}
    with pytest.raises(SpendGuardError) as refused:
        read(input=[item])
    assert refused.value.facts["path"] == "input[0].tools[1]"
    assert refused.value.facts["setting"] == SETTING
    request = read(ALLOW, input=[item])
    assert (request.passes, dict(request.events)) == (7, {"web_search": 15})
    assert read(input=[{**item, "tools": [CALC]}]).tools == 1


def test_untouched_bytes_keep_their_place() -> None:
    raw = (
        b'{ "tools" : [ {"type":"web_search"} , {"type":"function", "name":"f" } ],\n "model":"m",'
        b' "input":"\\u00e9" }'
    )
    outgoing = FORMAT.rewrite(FORMAT.read(Asked(raw)), output_tokens=20)
    assert outgoing.body == (
        b'{ "tools" : [ {"type":"function", "name":"f" } ],\n "model":"m",'
        b' "input":"\\u00e9","max_output_tokens":20,"service_tier":"default" }'
    )
