"""What goes out of responses: only what bounds cost differs, and it is read back as what was held."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed
from responses_requests import bodies
from spendguard_daemon.providers import Asked, Policy
from spendguard_daemon.providers.openai_responses import FORMAT
from spendguard_daemon.usage import Limits

LIMITS = Limits(128_000, 128_000, 16_384, image_tokens_max=900, encoding="o200k_base")
OURS = {"max_output_tokens", "service_tier", "max_tool_calls", "tools", "tool_choice", "include"}
M = '"model":"m","input":"x"'
TIER = '"service_tier":"default"'


@pytest.mark.parametrize(
    ("before", "after", "cap", "changed"),
    [
        (
            "{" + M + "}",
            "{" + M + ',"max_output_tokens":16,' + TIER + "}",
            16,
            ["max_output_tokens: none -> 16", "service_tier: none -> default"],
        ),
        (
            "{" + M + ', "max_output_tokens" : null,' + TIER + "}",
            "{" + M + ', "max_output_tokens" : 20,' + TIER + "}",
            20,
            ["max_output_tokens: none -> 20"],
        ),
        (
            '{"max_output_tokens":900,"service_tier":"auto",' + M + "}",
            '{"max_output_tokens":20,' + TIER + "," + M + "}",
            20,
            ["max_output_tokens: 900 -> 20", "service_tier: auto -> default"],
        ),
        ("{" + M + "," + TIER + ',"max_output_tokens":20}', None, 20, []),
        ("{" + M + ',"service_tier":"flex","stream":true,"max_output_tokens":20}', None, 20, []),
    ],
)
def test_only_what_bounds_cost_is_spliced(
    before: str, after: str | None, cap: int, changed: list[str]
) -> None:
    outgoing = FORMAT.rewrite(FORMAT.read(Asked(before.encode())), output_tokens=cap)
    assert outgoing.body.decode() == (before if after is None else after)
    assert (list(outgoing.changed), outgoing.hides_usage) == (changed, False)


@pytest.mark.parametrize("cap", [0, -1, 10])
def test_no_rewrite_raises_the_clients_own_cap(cap: int) -> None:
    request = FORMAT.read(Asked(("{" + M + ',"max_output_tokens":9}').encode()))
    with pytest.raises(ValueError, match="cap"):
        FORMAT.rewrite(request, output_tokens=cap)


@relaxed
@given(bodies(), st.sampled_from(["strip", "allow"]), st.data())
def test_what_goes_out_is_read_back_as_what_was_held(
    drawn: tuple[dict[str, Any], bytes], hosted: Any, data: st.DataObject
) -> None:
    sent, raw = drawn
    policy = Policy(hosted_tools=hosted)
    request = FORMAT.read(Asked(raw, policy=policy))
    cap = data.draw(st.integers(16, request.asked_output_tokens or 20_000))
    outgoing = FORMAT.rewrite(request, output_tokens=cap)
    again = FORMAT.read(Asked(outgoing.body, policy=policy))
    assert (again.asked_output_tokens, again.stripped) == (cap, ())
    same = (
        "input_bytes",
        "messages",
        "tools",
        "reach",
        "stream",
        "media",
        "passes",
        "events",
        "service_tier",
    )
    for name in (*same, "state_ids", "foreign_state"):
        assert getattr(again, name) == getattr(request, name), name
    assert FORMAT.bounds(again, LIMITS, 7) == FORMAT.bounds(request, LIMITS, 7)
    assert FORMAT.rewrite(again, output_tokens=cap).body == outgoing.body
    received = json.loads(outgoing.body)
    assert {k: v for k, v in received.items() if k not in OURS} == {
        k: v for k, v in sent.items() if k not in OURS
    }
    stripped = {"web_search", "file_search", "web_search_preview"} if hosted == "strip" else set()
    assert [one for one in sent.get("tools") or [] if one["type"] not in stripped] == (
        received.get("tools") or []
    )
    left = {one["type"] for one in sent.get("tools") or []} & stripped
    assert set(request.stripped) == {f"openai.responses.tool:{kind}" for kind in left}
    assert (outgoing.body == raw) == (outgoing.changed == ())


@relaxed
@given(bodies())
def test_counting_tokens_never_says_more_than_bytes_do(drawn: tuple[dict[str, Any], bytes]) -> None:
    asked = Asked(drawn[1])
    request = FORMAT.read(asked)
    by_bytes = FORMAT.bounds(request, LIMITS, 7)
    local = FORMAT.local_bound(asked, request, LIMITS, 7)
    if local is None:
        assert [bound.rung for bound in by_bytes] == ["window"]
    else:
        assert local.rung == "local"
        assert 0 < local.tokens <= by_bytes[0].tokens
