"""Anthropic messages on their way out: what is spliced, what stays as it was, and that it reads back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anthropic_requests import bodies
from json_values import relaxed
from spendguard_daemon.providers.anthropic import FORMAT
from spendguard_daemon.providers.anthropic_fields import TOOLS, Runs
from spendguard_daemon.providers.anthropic_options import takes_geography
from spendguard_daemon.providers.contract import Asked
from spendguard_daemon.providers.policy import CAREFUL, Policy
from spendguard_daemon.usage import Limits

LIMITS = Limits(200_000, 200_000, 64_000, tools_base_tokens=1024, image_tokens_max=1_650)
ALLOW = Policy(hosted_tools="allow")
TIER, GEO = '"service_tier":"standard_only"', '"inference_geo":"global"'
SEARCH = '{"type":"web_search_20250305","name":"web_search"}'
CODE = '{"type":"code_execution_20250825","name":"code_execution"}'
MINE = '{"name": "f",  "input_schema": {"é": 1.50}}'


def body(*members: str, model: str = "claude-haiku-4-5") -> str:
    """Return a request with these members at its end."""
    head = f'{{"model":"{model}", "messages":[{{"role":"user","content":"h\\u00e9"}}]'
    return head + "".join(f",{member}" for member in members) + "}"


def rewritten(before: str, cap: int, policy: Policy = CAREFUL) -> tuple[str, tuple[str, ...]]:
    request = FORMAT.read(Asked(before.encode(), policy=policy))
    outgoing = FORMAT.rewrite(request, output_tokens=cap)
    assert not outgoing.hides_usage
    return outgoing.body.decode(), outgoing.changed


@pytest.mark.parametrize(
    ("before", "after", "cap", "changed"),
    [
        (
            body('"max_tokens": 9 '),
            body('"max_tokens": 7', TIER).replace("7,", "7,").removesuffix("}") + " }",
            7,
            ["max_tokens: 9 -> 7", "service_tier: none -> standard_only"],
        ),
        (
            body('"max_tokens":9', '"service_tier": "auto"', '"x-pad":null'.replace("x-pad", "metadata")),
            body('"max_tokens":9', '"service_tier": "standard_only"', '"metadata":null'),
            9,
            ["service_tier: auto -> standard_only"],
        ),
        (
            body('"max_tokens":9', TIER, model="claude-opus-5-5"),
            body('"max_tokens":9', TIER, GEO, model="claude-opus-5-5"),
            9,
            ["inference_geo: none -> global"],
        ),
        (
            body('"max_tokens":9', TIER, '"inference_geo":null', model="claude-opus-5-5"),
            body('"max_tokens":9', TIER, GEO, model="claude-opus-5-5"),
            9,
            ["inference_geo: none -> global"],
        ),
        (
            body('"max_tokens":9', TIER, f'"tools":[ {SEARCH} , {MINE},{CODE}]'),
            body('"max_tokens":9', TIER, f'"tools":[ {MINE}]'),
            9,
            [
                "anthropic.tool:web_search_20250305: taken out",
                "anthropic.tool:code_execution_20250825: taken out",
            ],
        ),
        (
            body(
                '"max_tokens":9',
                f'"tools":[{SEARCH}]',
                '"tool_choice":{"type":"auto"}',
                TIER,
                '"container":"c"',
            ),
            body('"max_tokens":9', TIER),
            9,
            [
                "anthropic.tool:web_search_20250305: taken out",
                "anthropic.messages.field:container: taken out",
            ],
        ),
    ],
)
def test_only_what_bounds_cost_is_spliced(before: str, after: str, cap: int, changed: list[str]) -> None:
    said, what = rewritten(before, cap)
    assert (said, list(what)) == (after, changed)


def test_limits_of_uses_are_written_in() -> None:
    tools = f'"tools":[{MINE},{SEARCH[:-1]},"max_uses":null}},{SEARCH[:-1]},"max_uses":3}},{SEARCH}]'
    said, what = rewritten(body('"max_tokens":9', TIER, tools), 9, ALLOW)
    limited = f'{SEARCH[:-1]},"max_uses":5}}'
    assert said == body(
        '"max_tokens":9', TIER, f'"tools":[{MINE},{limited},{SEARCH[:-1]},"max_uses":3}},{limited}]'
    )
    assert what == ("tools[1].max_uses: none -> 5", "tools[3].max_uses: none -> 5")


@pytest.mark.parametrize(
    "unchanged",
    [
        body('"max_tokens":9', TIER),
        "\n " + body(TIER, '"max_tokens" : 9', '"top_k":5') + "\n",
        body(TIER, GEO, '"max_tokens":9', model="claude-opus-5-5"),
        body(TIER, '"inference_geo":"us"', '"max_tokens":9', model="claude-opus-5-5"),
        body(
            TIER,
            '"max_tokens":9',
            f'"tools":[{MINE}]',
            '"mcp_servers":[]',
            '"container":null',
            '"stream":true',
        ),
    ],
)
def test_a_request_that_needs_no_change_leaves_byte_for_byte(unchanged: str) -> None:
    assert rewritten(unchanged, 9) == (unchanged, ())


def test_an_operator_may_leave_the_geography_to_the_workspace_at_the_dearer_rate() -> None:
    policy = Policy(allow=frozenset({"anthropic.geo:workspace"}))
    raw = body(TIER, '"max_tokens":9', model="claude-opus-5-5")
    assert rewritten(raw, 9, policy) == (raw, ())
    assert FORMAT.read(Asked(raw.encode(), policy=policy)).modifiers == ("geo:us",)


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("claude-2.1", False),
        ("claude-instant-1.2", False),
        ("claude-3-5-haiku-20241022", False),
        ("claude-3-opus-latest", False),
        ("claude-4-opus-20250514", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-opus-4-1", False),
        ("claude-opus-4-5-20251101", False),
        ("claude-haiku-4-5", False),
        ("claude-opus-4-6", True),
        ("claude-sonnet-4-6-20260101", True),
        ("claude-opus-4-10", True),
        ("claude-opus-5", True),
        ("claude-haiku-5-5", True),
        ("claude-fable-5-1", True),
        ("claude-mythos-preview", True),
    ],
)
def test_only_models_that_take_a_geography_get_one(model: str, takes: bool) -> None:
    """[docs] data residency: Claude Opus 4.6 and all later models; older ones answer 400 to the parameter."""
    assert takes_geography(model) == takes


@pytest.mark.parametrize(("asked", "cap"), [(9, 0), (9, -1), (9, 10), (0, 1)])
def test_no_rewrite_raises_the_clients_own_cap_nor_makes_a_call_a_mere_warming(asked: int, cap: int) -> None:
    with pytest.raises(ValueError, match="cap"):
        rewritten(body(f'"max_tokens":{asked}'), cap)


def test_a_warming_call_stays_one() -> None:
    raw = body(TIER, '"max_tokens":0')
    assert rewritten(raw, 0) == (raw, ())


def as_sent(request: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """Work out what must arrive, from the request as a tree: the independent account of the rewriting."""
    sent = dict(request)
    hosted = {name for name, tool in TOOLS.items() if tool.runs is Runs.HOSTED}
    tools = sent.get("tools") or []
    if policy.hosted_tools == "strip":
        kept = [tool for tool in tools if tool.get("type") not in hosted]
        if tools and not kept:
            del sent["tools"]
            if sent.get("tool_choice") is not None:
                del sent["tool_choice"]
        elif tools:
            sent["tools"] = kept
        for name in ("mcp_servers", "container"):
            if sent.get(name) not in (None, []):
                del sent[name]
    elif policy.hosted_tools == "allow" and tools:
        uses = policy.hosted_tool_uses
        sent["tools"] = [
            tool | {"max_uses": min(uses, tool.get("max_uses") or uses)}
            if tool.get("type") in hosted
            else tool
            for tool in tools
        ]
    sent["service_tier"] = "standard_only"
    if sent.get("inference_geo") is None and takes_geography(sent["model"]):
        sent["inference_geo"] = "global"
    return sent


@relaxed
@given(bodies(), st.data())
def test_what_goes_out_is_read_back_as_what_was_held(
    drawn: tuple[dict[str, Any], bytes, Policy], data: st.DataObject
) -> None:
    """The cap is the one held, all bounds and rates are the same, nothing else changed, and no byte of it."""
    sent, raw, policy = drawn
    request = FORMAT.read(Asked(raw, policy=policy))
    asked = request.asked_output_tokens or 0
    cap = data.draw(st.integers(1, asked)) if asked else 0
    outgoing = FORMAT.rewrite(request, output_tokens=cap)
    again = FORMAT.read(Asked(outgoing.body, policy=policy, headers=dict(request.headers)))
    assert json.loads(outgoing.body) == as_sent(sent, policy) | {"max_tokens": cap}
    assert FORMAT.bounds(again, LIMITS) == FORMAT.bounds(request, LIMITS)
    for name in (
        "input_bytes",
        "messages",
        "tools",
        "reach",
        "passes",
        "events",
        "modifiers",
        "media",
        "headers",
    ):
        assert getattr(again, name) == getattr(request, name), name
    assert (again.asked_output_tokens, again.stripped, again.changed) == (cap, (), ())
    # Read back, the outgoing request needs no change; where none was needed, no byte changed.
    assert FORMAT.rewrite(again, output_tokens=cap).body == outgoing.body
    assert (outgoing.body == raw) == (outgoing.changed == ())
    assert request.input_bytes >= 0


@relaxed
@given(bodies())
def test_the_bound_covers_every_text_that_is_shown_in_any_normal_form(
    drawn: tuple[dict[str, Any], bytes, Policy],
) -> None:
    """Counted again over the tree: all strings of what is shown, each as its largest form, and 8 a block."""
    sent, raw, policy = drawn
    request = FORMAT.read(Asked(raw, policy=policy))
    shown = {name: as_sent(sent, policy).get(name) for name in ("messages", "system", "tools", "tool_choice")}
    assert request.input_bytes >= sum(texts_in(value) for value in shown.values())


def texts_in(value: Any) -> int:
    import unicodedata

    match value:
        case str():
            forms = ("NFC", "NFKC")
            return max(
                len(value.encode()), *(len(unicodedata.normalize(form, value).encode()) for form in forms)
            )
        case list():
            return sum(map(texts_in, value))
        case {"type": "base64", "data": str()}:
            return 0
        case dict():
            block = 8 if value.get("type") == "text" and "text" in value else 0
            return block + sum(texts_in(key) + texts_in(inner) for key, inner in value.items())
    return 0
