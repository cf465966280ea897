"""Vectors of schema 2: integers, canonical on the wire, key ids, several signatures."""

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from independent_signer import Pin, sign, signature_1, signature_2, written
from price_vector import (
    AT,
    EXPIRED,
    GOOD,
    INVALID,
    OTHER,
    OTHER_SEED,
    PIN,
    SEED,
    SEEDS,
    UNSIGNED,
    Vector,
    framed,
    rollback,
    signatures,
    text_of,
)

CARD: dict[str, Any] = {
    "aliases": ["small-1"],
    "endpoints": ["chat/completions"],
    "limits": {"context": 1000, "max_input": 900, "max_output": 100},
    "periods": [
        {"from": "1970-01-01T00:00:00Z", "rates": {"default": {"input": 1_000_000, "output": 5_000_000}}}
    ],
}
CONTENT_2: dict[str, Any] = {
    "schema": 2,
    "currency": "USD",
    "token_unit": "usd_micros_per_1m",
    "fee_unit": "usd_micros_per_1k",
    "key_id": "test-key",
    "sequence": 7,
    "issued_at": "2026-11-23T12:00:00Z",
    "expires_at": "2026-11-29T12:00:00Z",
    "providers": {"openai": {"models": {"small": CARD}}},
}


def document_2(**changes: Any) -> bytes:
    """Return a signed document of schema 2 with these members changed."""
    return sign(CONTENT_2 | changes, SEED)


def signed_text_2(content: bytes) -> bytes:
    """Sign content that may be no canonical JSON at all."""
    return under_2(content, signature_2(content, SEED))


def under_2(content: bytes, signature: str) -> bytes:
    """Put a signature where sorting wants it: before `token_unit`."""
    return content.replace(b'"token_unit"', b'"signature":"' + signature.encode() + b'","token_unit"')


def schema_2() -> Iterator[Vector]:
    """Yield every vector of schema 2."""
    good, content = document_2(), written(CONTENT_2)
    signature = base64.b64decode(signature_2(content, SEED))
    yield Vector("good", good, GOOD)
    yield Vector("good for another 30 seconds", good, GOOD, at=datetime(2026, 11, 29, 12, 0, 30, tzinfo=UTC))
    for name, old, new in (*SYNTAX_2, *ROWS_2):
        assert content.count(old) == 1, name
        yield Vector(name, signed_text_2(content.replace(old, new)), INVALID)
    yield from framed(good)
    models = {f"m{n:03}": {k: v for k, v in CARD.items() if k != "aliases"} for n in range(30)}
    models["m017"] = copy.deepcopy(models["m017"])
    models["m017"]["periods"][0]["rates"]["default"]["output"] = -1
    yield Vector("a bad row among many", document_2(providers={"openai": {"models": models}}), INVALID)
    for name, text in signatures(signature):
        yield Vector(name, under_2(content, text), UNSIGNED)
    yield Vector("no signature", content, UNSIGNED)
    donor = signature_2(written(CONTENT_2 | {"sequence": 8}), SEED)
    yield Vector("mix and match", under_2(content, donor), UNSIGNED)
    bare = sign({"schema_version": "1"} | CONTENT_2 | {"schema": 2}, SEED)
    yield Vector("a member of schema 1 beside", bare, INVALID)
    other_context = text_of(base64.b64decode(signature_1(CONTENT_2, SEED)))
    yield Vector("signed without the context line", under_2(content, other_context), UNSIGNED)
    yield from _keys_2(good)
    yield from _times_2()
    yield from rollback(good, 7, document_2(sequence=6), document_2(expires_at="2026-11-28T12:00:00Z"))
    yield from _threshold(content)


SYNTAX_2 = (
    ("duplicate key", b'"sequence":7', b'"sequence":7,"sequence":7'),
    ("duplicate key in a row", b'"input":1000000', b'"input":1000000,"input":1'),
    ("1e5", b'"input":1000000', b'"input":1e5'),
    ("a fraction", b'"input":1000000', b'"input":1000000.0'),
    ("-0", b'"input":1000000', b'"input":-0'),
    ("NaN", b'"input":1000000', b'"input":NaN'),
    ("Infinity", b'"input":1000000', b'"input":Infinity'),
    ("1e400", b'"input":1000000', b'"input":1e400'),
    ("2^53+1", b'"sequence":7', b'"sequence":9007199254740993'),
    ("4,301 digits", b'"sequence":7', b'"sequence":' + b"7" * 4301),
    ("lone surrogate", b'"small-1"', b'"\\ud800"'),
    ("lone surrogate in a key", b'"small"', b'"\\udfff"'),
    ("lone surrogate, raw", b'"small-1"', b'"\xed\xa0\x80"'),
    ("a key that is no ASCII", b'"small"', '"sm\u00e4ll"'.encode()),
    ("depth", b'"sequence":7', b'"sequence":' + b"[" * 2000 + b"]" * 2000),
    ("a space", b'"sequence":7', b'"sequence": 7'),
    ("a needless escape", b'"small-1"', b'"sm\\u0061ll-1"'),
    ("other digits", b'"sequence":7', '"sequence":\u00b2'.encode()),
    ("schema as text", b'"schema":2', b'"schema":"2"'),
    ("schema true", b'"schema":2', b'"schema":true'),
    ("schema 3", b'"schema":2', b'"schema":3'),
    ("sequence as text", b'"sequence":7', b'"sequence":"7"'),
    ("a member too many", b'"schema":2', b'"schema":2,"schemb":2'),
)
ROWS_2 = (
    ("rate -1", b'"output":5000000', b'"output":-1'),
    ("rate null", b'"output":5000000', b'"output":null'),
    ("rate as text", b'"output":5000000', b'"output":"5"'),
    ("rate true", b'"output":5000000', b'"output":true'),
    ("rate 10^12", b'"output":5000000', b'"output":1000000000000'),
    ("output for nothing", b'"output":5000000', b'"output":0'),
    ("a rate that is missing", b',"output":5000000', b""),
)


def _keys_2(good: bytes) -> Iterator[Vector]:
    yield Vector("unknown key", good, UNSIGNED, pins=(OTHER,))
    yield Vector("no key at all", good, UNSIGNED, pins=())
    yield Vector("revoked key", good, UNSIGNED, pins=(OTHER, replace(PIN, revoked=True)))
    yield Vector("key past its time", good, UNSIGNED, pins=(replace(PIN, not_after=AT.replace(minute=1)),))
    yield Vector("key in its last second", good, GOOD, pins=(replace(PIN, not_after=AT),))
    swapped = good.replace(b'"key_id":"test-key"', b'"key_id":"other-key"')
    yield Vector("right signature, wrong key id", swapped, UNSIGNED)
    forged = sign(CONTENT_2, OTHER_SEED)
    yield Vector("another key under the right id", forged, UNSIGNED)
    small = Pin("test-key", bytes([1]) + bytes(31))
    anything = under_2(written(CONTENT_2), text_of(bytes([1]) + bytes(63)))
    yield Vector("small-order key", anything, UNSIGNED, pins=(small,))


def _times_2() -> Iterator[Vector]:
    good = document_2()
    yield Vector("expired", good, EXPIRED, at=datetime(2026, 11, 29, 12, 0, 31, tzinfo=UTC))
    yield Vector("issued in the future", good, EXPIRED, at=datetime(2026, 11, 23, 11, 54, 59, tzinfo=UTC))
    yield Vector("issued five minutes ahead", good, GOOD, at=datetime(2026, 11, 23, 11, 55, tzinfo=UTC))
    yield Vector("seven days", document_2(expires_at="2026-11-30T12:00:00Z"), GOOD)
    yield Vector("seven days and a second", document_2(expires_at="2026-11-30T12:00:01Z"), INVALID)
    yield Vector("expires in 2099", document_2(expires_at="2099-01-01T00:00:00Z"), INVALID)
    yield Vector("expires before it is issued", document_2(expires_at="2026-11-23T11:59:59Z"), INVALID)
    yield Vector("a time with an offset", document_2(expires_at="2026-11-29T12:00:00+00:00"), INVALID)
    yield Vector("a day that is none", document_2(expires_at="2026-11-31T12:00:00Z"), INVALID)


def _threshold(content: bytes) -> Iterator[Vector]:
    def signed(**others: str) -> bytes:
        outside = {"signature": signature_2(content, SEED), "co_signatures": others}
        return written(json.loads(content) | outside)

    second, third = signature_2(content, OTHER_SEED), signature_2(content, SEEDS["third-key"])
    pins, mine = (PIN, OTHER), signature_2(content, SEED)
    yield Vector("two of two", signed(**{"other-key": second}), GOOD, pins=pins, threshold=2)
    yield Vector("one of two", document_2(), UNSIGNED, pins=pins, threshold=2)
    yield Vector("the same key twice", signed(**{"test-key": mine}), UNSIGNED, pins=pins, threshold=2)
    twins = (PIN, replace(PIN, key_id="other-key"))
    yield Vector("one key under two ids", signed(**{"other-key": mine}), UNSIGNED, pins=twins, threshold=2)
    yield Vector("the second is not pinned", signed(**{"third-key": third}), UNSIGNED, pins=pins, threshold=2)
    revoked = (PIN, replace(OTHER, revoked=True))
    both = signed(**{"other-key": second})
    yield Vector("the second is revoked", both, UNSIGNED, pins=revoked, threshold=2)
    wrong = signed(**{"other-key": third})
    yield Vector("the second is not good", wrong, UNSIGNED, pins=pins, threshold=2)
    yield Vector("one is enough, the second not good", wrong, UNSIGNED, pins=pins)
    extra = signed(**{"third-key": third})
    yield Vector("one is enough, the second unknown", extra, GOOD, pins=pins)
