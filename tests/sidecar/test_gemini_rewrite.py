"""Gemini requests on their way out, however they are written: what changes, and that it reads back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemini_requests import NAMES, bodies
from gemini_said import LIMITS, asked
from json_values import relaxed
from proxied import members
from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.contract import Request
from spendguard_daemon.providers.gemini import FORMAT
from spendguard_daemon.providers.gemini_fields import TOOLS
from spendguard_daemon.providers.policy import Policy

HOSTED = {name for name, tool in TOOLS.items() if tool.hosted}


def camel(value: dict[str, Any]) -> dict[str, Any]:
    return {NAMES.get(name, name): inner for name, inner in value.items()}


def billed(request: Request) -> tuple[Any, ...]:
    """Return all by which a request is held, but for its cap."""
    return (
        *(request.choices, request.reach, dict(request.events), request.passes, request.output_passes),
        *(request.service_tier, request.media, request.foreign_state, request.headers, request.query),
        FORMAT.bounds(request, LIMITS),
    )


@relaxed
@given(made=bodies(), share=st.floats(0, 1), stream=st.booleans())
def test_only_what_bounds_the_cost_is_changed(
    made: tuple[dict[str, Any], bytes, Policy], share: float, stream: bool
) -> None:
    spelt, raw, policy = made
    before = FORMAT.read(asked(raw, policy, stream=stream))
    cap = max(1, int((before.asked_output_tokens or 65_536) * share))
    outgoing = FORMAT.rewrite(before, output_tokens=cap).body
    again = FORMAT.read(asked(outgoing, policy, stream=stream))
    assert (again.asked_output_tokens, again.stripped) == (cap, ())
    assert billed(again) == billed(before)
    assert FORMAT.rewrite(again, output_tokens=cap).body == outgoing
    was, became = camel(spelt), camel(json.loads(outgoing))
    left = {"tools", "toolConfig"} if before.stripped else set()
    changed = {name for name in was.keys() | became.keys() if was.get(name) != became.get(name)}
    assert changed <= {"generationConfig", "serviceTier"} | left
    kept, texts = members(raw.decode()), members(outgoing.decode())
    assert all(
        texts[name] == text for name, text in kept.items() if NAMES.get(name, name) not in changed | left
    )
    config = camel(became["generationConfig"])
    assert config == camel(was.get("generationConfig") or {}) | {"maxOutputTokens": cap}
    assert became["serviceTier"] in ("standard", "flex", "priority")
    tools = became.get("tools") or []
    for tool in tools if isinstance(tools, list) else [tools]:
        assert policy.hosted_tools == "allow" or not HOSTED & camel(tool).keys()


@relaxed
@given(made=bodies(), share=st.integers(0, 10**6))
def test_both_spellings_of_a_field_are_never_both_read(
    made: tuple[dict[str, Any], bytes, Policy], share: int
) -> None:
    """A twin of any member at the top is refused, whichever of the two it is."""
    spelt, _, policy = made
    name = sorted(spelt)[share % len(spelt)]
    other = next((twin for twin, one in NAMES.items() if one == NAMES.get(name, name) and twin != name), None)
    if other is None:
        return  # a name of one word has one spelling
    with pytest.raises(MalformedError, match="which are one field"):
        FORMAT.read(asked({**spelt, other: spelt[name]}, policy))
