"""Gemini requests by hand: the shortest one that is read, its usual parts, and what becomes of it."""

import json
from typing import Any

import pytest

from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.providers.contract import Asked, Outgoing, Request
from spendguard_daemon.providers.gemini import FORMAT
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.usage import Limits

MODEL = "gemini-2.5-flash"
LIMITS = Limits(1_048_576, 1_114_112, 65_536, image_tokens_max=6_450, audio_bytes_per_token=15)
WINDOW = 1_048_576
STRIP, REFUSE, ALLOW = (Policy(hosted_tools=kind) for kind in ("strip", "refuse", "allow"))
FUNCTION = {"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}
SEARCH: dict[str, Any] = {"googleSearch": {}}


def allowing(*features: str) -> Policy:
    return Policy(allow=frozenset(features))


def body(*parts: Any, **fields: Any) -> dict[str, Any]:
    """Return a request of one content; a field given as None is left out."""
    request = {"contents": [{"role": "user", "parts": list(parts) or [{"text": "hi"}]}]}
    return {name: value for name, value in (request | fields).items() if value is not None}


def asked(
    request: Any, policy: Policy = STRIP, *, model: str = MODEL, stream: bool = False, alt: str = ""
) -> Asked:
    raw = request if isinstance(request, bytes) else json.dumps(request).encode()
    return Asked(raw, policy=policy, query={"alt": alt} if alt else {}, model=model, stream=stream)


def read(request: Any, policy: Policy = STRIP, *, model: str = MODEL, **how: Any) -> Request:
    return FORMAT.read(asked(request, policy, model=model, **how))


def refused(request: Any, policy: Policy = STRIP, *, model: str = MODEL, **how: Any) -> SpendGuardError:
    with pytest.raises(SpendGuardError) as caught:
        read(request, policy, model=model, **how)
    return caught.value


def rungs(request: Request, limits: Limits = LIMITS) -> dict[str, int]:
    return {bound.rung: bound.tokens for bound in FORMAT.bounds(request, limits)}


def rewritten(request: Any, cap: int, policy: Policy = STRIP, **how: Any) -> Outgoing:
    """Rewrite, and check that what goes out is read the same, with this cap, and needs no further change."""
    before = read(request, policy, **how)
    outgoing = FORMAT.rewrite(before, output_tokens=cap)
    again = read(outgoing.body, policy, **how)
    assert (again.asked_output_tokens, again.stripped) == (cap, ())
    assert (again.service_tier, again.choices, again.reach) == (
        before.service_tier,
        before.choices,
        before.reach,
    )
    assert FORMAT.bounds(again, LIMITS) == FORMAT.bounds(before, LIMITS)
    assert FORMAT.rewrite(again, output_tokens=cap).body == outgoing.body
    return outgoing
