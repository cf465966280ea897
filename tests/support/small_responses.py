"""Small responses requests for tests: read, or refused."""

import json
from typing import Any

import pytest

from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.providers import Asked, Policy, Request
from spendguard_daemon.providers.openai_responses import FORMAT
from spendguard_daemon.providers.policy import CAREFUL
from spendguard_daemon.usage import InputBound, Limits

LIMITS = Limits(128_000, 128_000, 16_384, image_tokens_max=1_000, audio_bytes_per_token=10)
WINDOW = (InputBound("window", 128_000),)
REFUSING = Policy(server_state="refuse")
STATE = '[policy] server_state = "window"'


def body(**fields: Any) -> bytes:
    """Return a small request with these fields."""
    return json.dumps({"model": "gpt-5", "input": "hi", **fields}).encode()


def read(*, policy: Policy = CAREFUL, **fields: Any) -> Request:
    """Read a small request with these fields."""
    return FORMAT.read(Asked(body(**fields), policy=policy))


def refused(*, policy: Policy = CAREFUL, **fields: Any) -> SpendGuardError:
    """Return the refusal of a small request with these fields."""
    with pytest.raises(SpendGuardError) as caught:
        read(policy=policy, **fields)
    return caught.value


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


DATA = "data:image/png;base64," + "A" * 50_000
