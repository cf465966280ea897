"""Small price documents for tests, and a key to sign them with."""

import copy
import json
from typing import Any

from nacl.signing import SigningKey

from spendguard_daemon.pricing.trust import PinnedKey, encode_base64

DAY_NS = 86_400 * 10**9
NOW_NS = 1_795_435_200 * 10**9
"""2026-11-23T12:00:00Z."""

SEED = bytes(range(32))
KEY_ID = "test-key"
PINNED = PinnedKey(KEY_ID, bytes(SigningKey(SEED).verify_key))

CARD: dict[str, Any] = {
    "endpoints": ["chat/completions"],
    "limits": {"context": 1000, "max_input": 900, "max_output": 100},
    "periods": [
        {
            "from": "1970-01-01T00:00:00Z",
            "rates": {"default": {"input": 1_000_000, "output": 5_000_000}},
        }
    ],
}


def card(**changes: Any) -> dict[str, Any]:
    """Return a good card, with these keys changed."""
    return copy.deepcopy(CARD) | changes


def body(**changes: Any) -> dict[str, Any]:
    """Return the content of a good document issued at NOW_NS for six days, with these keys changed."""
    return {
        "schema": 2,
        "currency": "USD",
        "token_unit": "usd_micros_per_1m",
        "fee_unit": "usd_micros_per_1k",
        "key_id": KEY_ID,
        "sequence": 7,
        "issued_at": "2026-11-23T12:00:00Z",
        "expires_at": "2026-11-29T12:00:00Z",
        "providers": {"openai": {"models": {"small": card(aliases=["small-1"])}}},
    } | changes


def plain(value: Any) -> bytes:
    """Write canonical JSON without our own writer."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign(content: dict[str, Any], seed: bytes = SEED) -> bytes:
    """Sign any content, good or bad, as an authority with this key would."""
    return sign_raw(plain(content), seed)


def sign_raw(content: bytes, seed: bytes = SEED) -> bytes:
    """Sign bytes that may be no canonical JSON at all, and put the signature last among the members."""
    signature = SigningKey(seed).sign(b"spendguard-pricing-v2\n" + content).signature
    return with_signature(content, encode_base64(signature))


def with_signature(content: bytes, signature: str) -> bytes:
    """Put a member `signature` where sorting wants it: before `token_unit`."""
    before, mark, after = content.partition(b'"token_unit"')
    return before + b'"signature":"' + signature.encode() + b'",' + mark + after


def document(**changes: Any) -> bytes:
    """Return a signed document with these keys changed."""
    return sign(body(**changes))


def co_signed(content: dict[str, Any], seeds: dict[str, bytes], seed: bytes = SEED) -> bytes:
    """Return a document that bears more signatures beside its own, each over the content without any."""
    signed = b"spendguard-pricing-v2\n" + plain(content)
    of = {key_id: encode_base64(SigningKey(other).sign(signed).signature) for key_id, other in seeds.items()}
    own = encode_base64(SigningKey(seed).sign(signed).signature)
    return plain(content | {"co_signatures": of, "signature": own})
