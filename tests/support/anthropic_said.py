"""Anthropic requests by hand: the shortest one that is read, its usual parts, and what becomes of it."""

import json
from typing import Any

import pytest

from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.providers.anthropic import FORMAT
from spendguard_daemon.providers.contract import Asked, Request
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.usage import Limits

LIMITS = Limits(200_000, 200_000, 64_000, tools_base_tokens=1024, image_tokens_max=1_650)
STRIP, REFUSE, ALLOW = (Policy(hosted_tools=kind) for kind in ("strip", "refuse", "allow"))
CUSTOM = {"name": "f", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
CODE = {"type": "code_execution_20250825", "name": "code_execution"}
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 5_000_000}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}


def allowing(*features: str) -> Policy:
    return Policy(allow=frozenset(features))


def body(*content: Any, **fields: Any) -> dict[str, Any]:
    """Return a request of one message; a field given as None is left out."""
    said = list(content) if content else "hi"
    request = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": said}]}
    return {name: value for name, value in (request | fields).items() if value is not None}


def read(request: dict[str, Any], policy: Policy = STRIP, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return FORMAT.read(Asked(json.dumps(request).encode(), policy=policy, headers=named))


def refused(request: dict[str, Any], policy: Policy = STRIP) -> SpendGuardError:
    with pytest.raises(SpendGuardError) as caught:
        read(request, policy)
    return caught.value


def rungs(request: Request, limits: Limits = LIMITS) -> dict[str, int]:
    return {bound.rung: bound.tokens for bound in FORMAT.bounds(request, limits)}
