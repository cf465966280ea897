"""Small schema 1 documents for tests, signed by the rule of the public contract without our own writer."""

import copy
import json
from typing import Any

from nacl.signing import SigningKey

from signed_prices import SEED
from spendguard_daemon.pricing.trust import PinnedKey, encode_base64

KEY = PinnedKey("", bytes(SigningKey(SEED).verify_key))
"""As `CAP_PRICING_SIGNING_PUBLIC_KEY` pins one: without an id."""

ROW: dict[str, Any] = {"input_cents_per_1m": 30, "output_cents_per_1m": 120}


def row(**changes: Any) -> dict[str, Any]:
    """Return a good row, with these keys changed; a value of None takes a key out."""
    return {key: value for key, value in (ROW | changes).items() if value is not None}


def body(**changes: Any) -> dict[str, Any]:
    """Return the content of a good document generated at NOW_NS for five minutes, with these keys changed."""
    return {
        "schema_version": "1",
        "engine": {"name": "spendguard-engine", "min_version": "0.1.0", "max_version": "9.9.9"},
        "generated_at": "2026-11-23T12:00:00+00:00",
        "expires_at": "2026-11-23T12:05:00+00:00",
        "rates": {"openai": {"gpt-4o-mini": copy.deepcopy(ROW)}},
    } | changes


def signature(content: Any, seed: bytes = SEED) -> str:
    """Sign what Python's json writes of the content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return encode_base64(SigningKey(seed).sign(text.encode()).signature)


def document(seed: bytes = SEED, **changes: Any) -> bytes:
    """Return a signed document with these keys changed, written as people read it."""
    content = body(**changes)
    return json.dumps(content | {"signature": signature(content, seed)}, indent=1).encode()


def of_row(**changes: Any) -> bytes:
    """Return a signed document of one model, its row with these keys changed."""
    return document(rates={"openai": {"gpt-4o-mini": row(**changes)}})


def retold(old: str, new: str) -> bytes:
    """Return a document that is signed as it means, and then told in other words: `new` for `old`."""
    raw = document().decode()
    assert raw.count(old) == 1, old
    changed = raw.replace(old, new)
    try:
        content = {key: value for key, value in json.loads(changed).items() if key != "signature"}
        return changed.replace(signature(body()), signature(content)).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError, UnicodeEncodeError):
        return changed.encode("utf-8", "surrogatepass")
