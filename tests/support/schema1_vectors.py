"""Vectors of schema 1: floats, no order on the wire, no key id."""

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from independent_signer import Pin, sign, signature_1, written
from price_vector import (
    AT,
    EXPIRED,
    FOLDER,
    GOOD,
    INVALID,
    OTHER,
    PIN,
    SEED,
    UNSIGNED,
    Vector,
    framed,
    rollback,
    signatures,
    text_of,
)

CONTENT_1: dict[str, Any] = {
    "schema_version": "1",
    "engine": {"name": "spendguard-engine", "min_version": "0.1.0", "max_version": "9.9.9"},
    "generated_at": "2026-11-23T12:00:00+00:00",
    "expires_at": "2026-11-23T12:05:00+00:00",
    "rates": {
        "openai": {"gpt-4o-mini": {"input_cents_per_1m": 15, "output_cents_per_1m": 60.5}},
        "anthropic": {
            "claude-opus-4-6": {
                "input_cents_per_1m": 500,
                "output_cents_per_1m": 2500,
                "context_cliff_threshold_tokens": 200000,
                "context_cliff_input_multiplier": 2.0,
                "context_cliff_output_multiplier": 1.5,
            }
        },
    },
}


def document_1(**changes: Any) -> bytes:
    """Return a signed document of schema 1 with these members changed."""
    return sign(CONTENT_1 | changes, SEED)


def rows_1(**changes: Any) -> bytes:
    """Return a signed document of schema 1 whose one row has these prices changed; None takes one out."""
    row: dict[str, Any] = {"input_cents_per_1m": 15, "output_cents_per_1m": 60} | changes
    return document_1(rates={"openai": {"gpt-4o-mini": row}})


def under_1(content: bytes, signature: str) -> bytes:
    """Put a signature last, where sorting does not want it: this schema has no order on the wire."""
    return content[:-1] + b',"signature":"' + signature.encode() + b'"}'


def signed_text_1(content: bytes) -> bytes:
    """Sign what a parser without rules would read in this content, so that only the rules refuse it.

    Where not even such a one can read it, the good document's signature has to do.
    """
    try:
        read = json.loads(content)
        return under_1(content, signature_1(read if isinstance(read, dict) else {}, SEED))
    except (ValueError, RecursionError):
        return under_1(content, signature_1(CONTENT_1, SEED))


def schema_1() -> Iterator[Vector]:
    """Yield every vector of schema 1."""
    good, content = document_1(), written(CONTENT_1)
    example = (FOLDER / "schema1-example.json").read_bytes()
    yield Vector("the example", example, GOOD)
    yield Vector("the example, a minute late", example, EXPIRED, at=AT.replace(minute=6))
    yield Vector("good", good, GOOD)
    yield Vector("good for another 30 seconds", good, GOOD, at=AT.replace(minute=5, second=30))
    yield Vector("in another order, with spaces", _loose(good), GOOD)
    made = signature_1(CONTENT_1, SEED)
    yield Vector("60.50, signed as 60.5", under_1(content.replace(b"60.5", b"60.50"), made), GOOD)
    dear = content.replace(b"60.5", b"1e5")
    yield Vector("1e5, signed as 100000.0", under_1(dear, signature_1(json.loads(dear), SEED)), GOOD)
    yield Vector("1e5, signed as 1e5", under_1(dear, _signature_of_text(dear)), UNSIGNED)
    for name, old, new in SYNTAX_1:
        assert content.count(old) == 1, name
        changed = content.replace(old, new)
        yield Vector(name, signed_text_1(changed), INVALID)
    yield from framed(good)
    yield from _envelopes_1()
    yield from _bad_rows_1()
    for name, text in signatures(base64.b64decode(made)):
        yield Vector(name, under_1(content, text), UNSIGNED)
    yield Vector("no signature", content, UNSIGNED)
    yield Vector("unknown key", good, UNSIGNED, pins=(OTHER,))
    yield Vector("no key at all", good, UNSIGNED, pins=())
    yield Vector("revoked key", good, UNSIGNED, pins=(OTHER, replace(PIN, revoked=True)))
    yield Vector("key past its time", good, UNSIGNED, pins=(replace(PIN, not_after=AT.replace(minute=1)),))
    small = Pin("test-key", bytes([1]) + bytes(31))
    anything = under_1(content, text_of(bytes([1]) + bytes(63)))
    yield Vector("small-order key", anything, UNSIGNED, pins=(small,))
    donor = json.loads(rows_1())["signature"]
    yield Vector("mix and match", under_1(content, donor), UNSIGNED)
    yield Vector("a price changed", good.replace(b"60.5", b"60.4"), UNSIGNED)
    older = document_1(generated_at="2026-11-23T11:59:59+00:00")
    other = document_1(expires_at="2026-11-23T12:04:00+00:00")
    yield from rollback(good, 1_795_435_200, older, other)


SYNTAX_1 = (
    ("duplicate key", b'"schema_version":"1"', b'"schema_version":"1","schema_version":"1"'),
    (
        "duplicate key in a row",
        b'"input_cents_per_1m":15,',
        b'"input_cents_per_1m":1,"input_cents_per_1m":15,',
    ),
    ("-0", b'"input_cents_per_1m":15,', b'"cached_input_cents_per_1m":-0,"input_cents_per_1m":15,'),
    ("-0.0", b'"input_cents_per_1m":15,', b'"cached_input_cents_per_1m":-0.0,"input_cents_per_1m":15,'),
    ("NaN", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":NaN,'),
    ("-Infinity", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":-Infinity,'),
    ("1e400", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":1e400,'),
    ("2^53+1", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":9007199254740993,'),
    ("4,301 digits", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":' + b"7" * 4301 + b","),
    ("lone surrogate", b'"gpt-4o-mini"', b'"\\ud800"'),
    ("lone surrogate, raw", b'"gpt-4o-mini"', b'"\xed\xa0\x80"'),
    ("depth", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":' + b"[" * 2000 + b"]" * 2000 + b","),
)


def _signature_of_text(content: bytes) -> str:
    """Sign the bytes as they are, as one might who has not read how numbers are signed."""
    return text_of(Ed25519PrivateKey.from_private_bytes(SEED).sign(content))


def _envelopes_1() -> Iterator[Vector]:
    engine = CONTENT_1["engine"]
    far = {"min_version": "0.2.0"}
    for name, changes in {
        "schema_version with a space": {"schema_version": "1 "},
        "schema_version 1": {"schema_version": 1},
        "schema_version true": {"schema_version": True},
        "schema_version 2": {"schema_version": "2"},
        "an engine that is newer": {"engine": engine | far},
        "an engine that is older": {"engine": engine | {"min_version": "0.0.1", "max_version": "0.0.9"}},
        "engine min above max": {"engine": engine | far | {"max_version": "0.1.0"}},
        "an engine version of other digits": {"engine": engine | {"max_version": "\u00b2.0.0"}},
        "expires in 2099": {"expires_at": "2099-01-01T00:00:00+00:00"},
        "seven days and a second": {"expires_at": "2026-11-30T12:00:01+00:00"},
        "expires before it is made": {"expires_at": "2026-11-23T11:59:59+00:00"},
        "a time without zone": {"expires_at": "2026-11-23T12:05:00"},
        "a time that is none": {"expires_at": "tomorrow"},
    }.items():
        yield Vector(name, document_1(**changes), INVALID)
    undated = {name: value for name, value in CONTENT_1.items() if name != "generated_at"}
    yield Vector("no generated_at", sign(undated, SEED), INVALID)
    yield Vector("expired", document_1(), EXPIRED, at=AT.replace(minute=5, second=31))
    early = AT.replace(hour=11, minute=54, second=59)
    yield Vector("made in the future", document_1(), EXPIRED, at=early)
    yield Vector("made five minutes ahead", document_1(), GOOD, at=AT.replace(hour=11, minute=55))
    yield Vector("seven days", document_1(expires_at="2026-11-30T12:00:00+00:00"), GOOD)


def _bad_rows_1() -> Iterator[Vector]:
    for name, value in {"-1": -1, "null": None, "as text": "5", "true": True, "10^12": 10**12}.items():
        yield Vector(f"rate {name}", rows_1(output_cents_per_1m=value), INVALID)
        yield Vector(f"optional rate {name}", rows_1(cached_input_cents_per_1m=value), INVALID)
    yield Vector("all for nothing", rows_1(input_cents_per_1m=0, output_cents_per_1m=0), INVALID)
    lacking = {"openai": {"gpt-4o-mini": {"input_cents_per_1m": 15}}}
    yield Vector("a rate that is missing", document_1(rates=lacking), INVALID)
    rates = copy.deepcopy(CONTENT_1["rates"])
    rates["grok"] = {"grok-3": {"input_cents_per_1m": 300, "output_cents_per_1m": -1500}}
    yield Vector("a bad row among many", document_1(rates=rates), INVALID)


def _loose(good: bytes) -> bytes:
    members = json.loads(good)
    return json.dumps({name: members[name] for name in reversed(members)}, indent=2).encode()
