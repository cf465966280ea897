"""Makes `tests/vectors/pricing`: price documents, good and bad, with their keys and the right verdict.

Everything comes from three fixed test keys, so the same bytes come out each time; nothing of ours is imported,
so our verifier is not asked what is right. Each vector but the good ones is wrong in one thing.

    python tests/support/pricing_vectors.py            # writes schema1.json, schema2.json and keys.json
"""

import base64
import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from independent_signer import ORDER, Pin, public_of, sign, signature_1, signature_2, written

FOLDER = Path(__file__).parents[1] / "vectors" / "pricing"
SEEDS = {"test-key": bytes(range(32)), "other-key": bytes(range(1, 33)), "third-key": bytes(range(2, 34))}
SEED, OTHER_SEED = SEEDS["test-key"], SEEDS["other-key"]
PIN = Pin("test-key", public_of(SEED))
OTHER = Pin("other-key", public_of(OTHER_SEED))
THIRD = Pin("third-key", public_of(SEEDS["third-key"]))
AT = datetime(2026, 11, 23, 12, 2, tzinfo=UTC)

GOOD, INVALID, UNSIGNED = "accepted", "pricing_invalid", "pricing_signature"
EXPIRED, ROLLBACK = "pricing_expired", "pricing_rollback"

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


@dataclass(frozen=True, slots=True)
class Vector:
    """One document, when and by whom it is judged, and the verdict. `accepted` is (number, SHA-256)."""

    name: str
    raw: bytes
    expect: str
    pins: tuple[Pin, ...] = (OTHER, PIN)
    at: datetime = AT
    accepted: tuple[int, str] | None = None
    threshold: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the vector as its file has it: the document as text, or in base64 where it is none."""
        try:
            document = {"document": self.raw.decode()}
        except UnicodeDecodeError:
            document = {"document_base64": base64.b64encode(self.raw).decode()}
        mark = {} if self.accepted is None else dict(zip(("number", "sha256"), self.accepted, strict=True))
        return {
            "name": self.name,
            "expect": self.expect,
            "at": self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "pinned": [_pin_to_json(pin) for pin in self.pins],
            "threshold": self.threshold,
            "accepted_before": mark or None,
            **document,
        }


def of_json(row: dict[str, Any]) -> Vector:
    """Read a vector as another implementation would."""
    raw = row["document"].encode() if "document" in row else base64.b64decode(row["document_base64"])
    mark = row["accepted_before"]
    return Vector(
        row["name"],
        raw,
        row["expect"],
        tuple(_pin_of_json(pin) for pin in row["pinned"]),
        datetime.fromisoformat(row["at"]),
        None if mark is None else (mark["number"], mark["sha256"]),
        row["threshold"],
    )


def load(schema: int) -> list[Vector]:
    """Return the vectors of a schema, as they stand in the file."""
    return [of_json(row) for row in json.loads((FOLDER / f"schema{schema}.json").read_bytes())["vectors"]]


def files() -> dict[str, bytes]:
    """Return the files by name."""
    keys = [
        {"id": key_id, "private_seed": base64.b64encode(seed).decode(), "public_key": _text(public_of(seed))}
        for key_id, seed in SEEDS.items()
    ]
    made = {"keys.json": {"note": "test keys, known to everyone: pin them nowhere", "keys": keys}}
    for number, vectors in ((1, schema_1()), (2, schema_2())):
        made[f"schema{number}.json"] = {"schema": number, "vectors": [one.to_json() for one in vectors]}
    return {name: (json.dumps(value, indent=1) + "\n").encode() for name, value in made.items()}


# -- schema 2 -----------------------------------------------------------------------------------------------


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
    yield from _framed(good)
    models = {f"m{n:03}": {k: v for k, v in CARD.items() if k != "aliases"} for n in range(30)}
    models["m017"] = copy.deepcopy(models["m017"])
    models["m017"]["periods"][0]["rates"]["default"]["output"] = -1
    yield Vector("a bad row among many", document_2(providers={"openai": {"models": models}}), INVALID)
    for name, text in _signatures(signature):
        yield Vector(name, under_2(content, text), UNSIGNED)
    yield Vector("no signature", content, UNSIGNED)
    donor = signature_2(written(CONTENT_2 | {"sequence": 8}), SEED)
    yield Vector("mix and match", under_2(content, donor), UNSIGNED)
    bare = sign({"schema_version": "1"} | CONTENT_2 | {"schema": 2}, SEED)
    yield Vector("a member of schema 1 beside", bare, INVALID)
    other_context = _text(base64.b64decode(signature_1(CONTENT_2, SEED)))
    yield Vector("signed without the context line", under_2(content, other_context), UNSIGNED)
    yield from _keys_2(good)
    yield from _times_2()
    yield from _rollback(good, 7, document_2(sequence=6), document_2(expires_at="2026-11-28T12:00:00Z"))
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
    anything = under_2(written(CONTENT_2), _text(bytes([1]) + bytes(63)))
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


# -- schema 1 -----------------------------------------------------------------------------------------------


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
    for name, old, new in SYNTAX_1:
        assert content.count(old) == 1, name
        changed = content.replace(old, new)
        yield Vector(name, under_1(changed, _lax_signature(changed) or made), INVALID)
    yield from _framed(good)
    yield from _envelopes_1()
    yield from _bad_rows_1()
    for name, text in _signatures(base64.b64decode(made)):
        yield Vector(name, under_1(content, text), UNSIGNED)
    yield Vector("no signature", content, UNSIGNED)
    yield Vector("unknown key", good, UNSIGNED, pins=(OTHER,))
    yield Vector("no key at all", good, UNSIGNED, pins=())
    yield Vector("revoked key", good, UNSIGNED, pins=(OTHER, replace(PIN, revoked=True)))
    yield Vector("key past its time", good, UNSIGNED, pins=(replace(PIN, not_after=AT.replace(minute=1)),))
    small = Pin("test-key", bytes([1]) + bytes(31))
    anything = under_1(content, _text(bytes([1]) + bytes(63)))
    yield Vector("small-order key", anything, UNSIGNED, pins=(small,))
    donor = json.loads(rows_1())["signature"]
    yield Vector("mix and match", under_1(content, donor), UNSIGNED)
    yield Vector("a price changed", good.replace(b"60.5", b"60.4"), UNSIGNED)
    older = document_1(generated_at="2026-11-23T11:59:59+00:00")
    other = document_1(expires_at="2026-11-23T12:04:00+00:00")
    yield from _rollback(good, 1_795_435_200, older, other)


SYNTAX_1 = (
    ("duplicate key", b'"schema_version":"1"', b'"schema_version":"1","schema_version":"1"'),
    (
        "duplicate key in a row",
        b'"input_cents_per_1m":15,',
        b'"input_cents_per_1m":1,"input_cents_per_1m":15,',
    ),
    ("-0", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":-0,'),
    ("-0.0", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":-0.0,'),
    ("NaN", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":NaN,'),
    ("-Infinity", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":-Infinity,'),
    ("1e400", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":1e400,'),
    ("2^53+1", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":9007199254740993,'),
    ("4,301 digits", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":' + b"7" * 4301 + b","),
    ("digits that no float keeps", b"60.5", b"60.50000000000000000000000000000001"),
    ("lone surrogate", b'"gpt-4o-mini"', b'"\\ud800"'),
    ("lone surrogate, raw", b'"gpt-4o-mini"', b'"\xed\xa0\x80"'),
    ("depth", b'"input_cents_per_1m":15,', b'"input_cents_per_1m":' + b"[" * 2000 + b"]" * 2000 + b","),
)


def _lax_signature(content: bytes) -> str | None:
    """Sign what a parser without rules would read, so that only the rule refuses it; None where it cannot."""
    try:
        return signature_1(json.loads(content), SEED)
    except (ValueError, RecursionError):
        return None


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
        "another engine": {"engine": engine | {"name": "other-engine"}},
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


# -- both ---------------------------------------------------------------------------------------------------


def _framed(good: bytes) -> Iterator[Vector]:
    yield Vector("BOM", b"\xef\xbb\xbf" + good, INVALID)
    yield Vector("trailing bytes", good + b"x", INVALID)
    yield Vector("two documents", good + good, INVALID)
    yield Vector("in an array", b"[" + good + b"]", INVALID)
    yield Vector("cut short", good[:-1], INVALID)
    yield Vector("empty", b"", INVALID)
    yield Vector("no JSON", b"<html>", INVALID)
    yield Vector("UTF-16", good.decode().encode("utf-16"), INVALID)


def _signatures(good: bytes) -> Iterator[tuple[str, str]]:
    text, s = _text(good), int.from_bytes(good[32:], "little")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    yield "63-byte signature", _text(good[:63])
    yield "65-byte signature", _text(good + b"\0")
    yield "empty signature", ""
    yield "odd base64 bits", text[:-3] + letters[letters.index(text[-3]) | 1] + "=="
    yield "base64 without padding", text[:-2]
    yield "base64 with a space", text + " "
    yield "zero signature", _text(bytes(64))
    yield "S+L", _text(good[:32] + (s + ORDER).to_bytes(32, "little"))
    yield "a bit of the signature flipped", _text(bytes([good[0] ^ 1]) + good[1:])


def _rollback(good: bytes, number: int, older: bytes, other: bytes) -> Iterator[Vector]:
    mark = (number, hashlib.sha256(good).hexdigest())
    yield Vector("the one accepted before", good, GOOD, accepted=mark)
    yield Vector("newer than before", good, GOOD, accepted=(number - 1, "0" * 64))
    yield Vector("older than before", older, ROLLBACK, accepted=mark)
    yield Vector("equal number, another hash", other, ROLLBACK, accepted=mark)


def _loose(good: bytes) -> bytes:
    members = json.loads(good)
    return json.dumps({name: members[name] for name in reversed(members)}, indent=2).encode()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _pin_to_json(pin: Pin) -> dict[str, Any]:
    row: dict[str, Any] = {"id": pin.key_id, "public_key": _text(pin.public_key)}
    if pin.not_after is not None:
        row["not_after"] = pin.not_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    return row | ({"revoked": True} if pin.revoked else {})


def _pin_of_json(row: dict[str, Any]) -> Pin:
    until = datetime.fromisoformat(row["not_after"]) if "not_after" in row else None
    return Pin(row["id"], base64.b64decode(row["public_key"]), until, row.get("revoked", False))


if __name__ == "__main__":
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)
