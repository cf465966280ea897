"""The tools of Gemini requests: what stays, what is taken out, what a search may cost."""

import json
from typing import Any

import pytest

from gemini_said import (
    ALLOW,
    FUNCTION,
    REFUSE,
    SEARCH,
    STRIP,
    WINDOW,
    body,
    read,
    refused,
    rewritten,
    rungs,
)
from spendguard_daemon.errors import Code
from spendguard_daemon.providers.gemini_fields import TOOLS

HOSTED = sorted(name for name, tool in TOOLS.items() if tool.hosted)
ANY = {"functionCallingConfig": {"mode": "ANY"}}


def sent(request: dict[str, Any] | bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rewritten(request, 16).body)
    return found


def test_functions_are_the_clients_and_counted() -> None:
    two = {"functionDeclarations": [{"name": "f"}, {"name": "g"}]}
    assert read(body(tools=[two, FUNCTION])).tools == 3
    assert read(body(tools=two)).tools == 2
    assert read(body(tools=None)).tools == 0


@pytest.mark.parametrize("name", HOSTED)
def test_what_runs_at_google_is_taken_out_by_default(name: str) -> None:
    request = read(body(tools=[{name: {}}, FUNCTION], toolConfig={}))
    assert (request.stripped, request.tools, request.passes) == ((f"gemini.tool:{name}",), 1, 1)
    assert sent(body(tools=[{name: {}}, FUNCTION]))["tools"] == [FUNCTION]
    assert request.changed == (f"gemini.tool:{name}: taken out",)


@pytest.mark.parametrize("name", HOSTED)
@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3.5-flash", "gemini-flash-latest"])
def test_refused_where_the_policy_says_so_with_the_setting_that_helps(name: str, model: str) -> None:
    bounded = name.startswith("googleSearch") and model.startswith("gemini-2")
    for policy in (REFUSE, ALLOW):
        if policy is ALLOW and bounded:
            continue
        error = refused(body(tools=[{name: {}}]), policy, model=model)
        assert (error.code, error.facts["feature"]) == (Code.UNBOUNDED_FEATURE, f"gemini.tool:{name}")
        assert error.facts["path"] == f"tools[0].{name}"
        setting = '[policy] hosted_tools = "allow"' if bounded else '[policy] hosted_tools = "strip"'
        assert error.facts["setting"] == setting


def test_a_search_of_an_older_model_is_one_fee_and_two_windows() -> None:
    request = read(body(tools=[SEARCH, FUNCTION]), ALLOW)
    assert (dict(request.events), request.passes, request.output_passes) == ({"grounded_request": 1}, 2, 2)
    assert rungs(request) == {"window": 2 * WINDOW}
    assert request.stripped == ()
    both = read(body(tools=[SEARCH, {"google_search_retrieval": {}}]), ALLOW)
    assert both.events == {"grounded_request": 1}


@pytest.mark.parametrize(
    ("tools", "left"),
    [
        ('[{"googleSearch":{}}]', None),
        ('[{"google_search":{}}, {}]', None),
        ('{"googleSearch":{}}', None),
        ('[{"functionDeclarations":[{"name":"f"}],"google_search":{}}]', FUNCTION["functionDeclarations"]),
        ('[{"urlContext":{},"functionDeclarations":[{"name":"f"}],"codeExecution":{}}]', []),
        ('{"functionDeclarations":[{"name":"f"}],"googleSearch":{}}', []),
        ('[{"googleMaps":{},"googleSearch":null},{"functionDeclarations":[{"name":"f"}]}]', []),
    ],
)
def test_one_object_may_hold_several_kinds(tools: str, left: Any) -> None:
    raw = f'{{"contents":[{{"parts":[{{"text":"x"}}]}}],"tools":{tools},"toolConfig":{{}}}}'.encode()
    found = sent(raw)
    if left is None:
        assert "tools" not in found
        assert "toolConfig" not in found
        return
    (one,) = found["tools"] if isinstance(found["tools"], list) else [found["tools"]]
    assert list(one) == ["functionDeclarations"]
    assert one["functionDeclarations"][0]["name"] == "f"


def test_a_model_that_must_call_needs_something_to_call() -> None:
    error = refused(body(tools=[SEARCH], toolConfig=ANY), STRIP)
    assert error.code is Code.UNBOUNDED_FEATURE
    assert sent(body(tools=[SEARCH, FUNCTION], toolConfig=ANY))["toolConfig"] == ANY


@pytest.mark.parametrize("tools", ["x", ["x"], [{"functionDeclarations": "x"}], [[]]])
def test_tools_are_objects(tools: Any) -> None:
    assert refused(body(tools=tools)).code is Code.MALFORMED_REQUEST


def test_a_kind_that_is_null_is_none() -> None:
    request = read(body(tools=[{"googleSearch": None, **FUNCTION}]))
    assert (request.stripped, request.tools) == ((), 1)


def test_what_is_taken_out_often_is_named_once() -> None:
    """Each name goes into the call's record, which has a line's length."""
    request = read(body(tools=[SEARCH] * 5_000))
    assert request.stripped == ("gemini.tool:googleSearch",)
    assert request.changed == ("gemini.tool:googleSearch: taken out",)
