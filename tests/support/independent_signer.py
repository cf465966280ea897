"""Signs and verifies price documents with the `cryptography` package, from the written contract alone.

A second pair of eyes: it imports nothing of ours, and was written from design 7 and ledger-and-security 3
without our verifier. What both accept and both refuse, the contract says. It judges form, signature, key,
times and rollback; of the rows it knows only that every price is a number in range.

    python tests/support/independent_signer.py keygen KEYFILE
    python tests/support/independent_signer.py sign KEYFILE [KEY_ID] < content.json > signed.json
    python tests/support/independent_signer.py verify PUBLIC_KEY [KEY_ID] [TIME] < signed.json
"""

import base64
import binascii
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Document = dict[str, Any]

CONTEXT = b"spendguard-pricing-v2\n"
ENGINE = (0, 1, 0)
"""The version of the contract that this program speaks."""

INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 12
SKEW = timedelta(seconds=30)
AHEAD_MAX = timedelta(minutes=5)
LIFETIME_MAX = timedelta(days=7)
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the Ed25519 group: S of a signature is below it (RFC 8032, 5.1.7)."""

SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "01" + "00" * 31,
        "00" * 32,
        "00" * 31 + "80",
        "ec" + "ff" * 30 + "7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    )
)
"""Public keys under which one signature is good for anything; OpenSSL, unlike libsodium, takes them."""

_KEY = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_TIME_2 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})")


class RefusedError(Exception):
    """A document that must not be used; `code` is the contract's name for why."""

    def __init__(self, code: str, why: str):
        super().__init__(f"{code}: {why}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Pin:
    """A public key that is trusted; schema 1 documents name no key, so there the id is None."""

    key_id: str | None
    public_key: bytes
    not_after: datetime | None = None
    revoked: bool = False


def public_of(seed: bytes) -> bytes:
    """Return the raw public key of a private one."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def written(document: Mapping[str, Any]) -> bytes:
    """Return a document as both schemas write what is signed."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def signature_1(document: Mapping[str, Any], seed: bytes) -> str:
    """Return the signature of a schema 1 document."""
    content = {name: value for name, value in document.items() if name != "signature"}
    return _base64(Ed25519PrivateKey.from_private_bytes(seed).sign(written(content)))


def signature_2(content: bytes, seed: bytes) -> str:
    """Return the signature over the canonical bytes of a schema 2 document's content."""
    return _base64(Ed25519PrivateKey.from_private_bytes(seed).sign(CONTEXT + content))


def sign(content: Mapping[str, Any], seed: bytes) -> bytes:
    """Return the signed document: of schema 1 or 2 by what the content says of itself."""
    bare = {name: value for name, value in content.items() if name != "signature"}
    made = signature_2(written(bare), seed) if bare.get("schema") == 2 else signature_1(bare, seed)
    return written({**bare, "signature": made})


def verify(
    raw: bytes,
    pins: Sequence[Pin],
    at: datetime,
    *,
    accepted: tuple[int, str] | None = None,
    sha256: str = "",
    threshold: int = 1,
) -> Document:
    """Return the document if it may be used at `at`; `accepted` is the highest number taken, and its hash.

    Raises RefusedError and nothing else.
    """
    document = _parse(raw)
    if "schema" in document:
        _verify_2(document, raw, pins, at, threshold)
        number = document["sequence"]
    else:
        _verify_1(document, pins, at)
        number = int(_time(document, "generated_at").timestamp())
    if accepted is not None and (number < accepted[0] or (number == accepted[0] and sha256 != accepted[1])):
        _refuse("pricing_rollback", f"{number} after {accepted[0]}")
    return document


# -- the two schemas ----------------------------------------------------------------------------------------


def _verify_1(document: Document, pins: Sequence[Pin], at: datetime) -> None:
    if document.get("schema_version") != "1" or not isinstance(document.get("schema_version"), str):
        _invalid("schema_version is not the text 1")
    if not any(_is_signed(written_1(document), document.get("signature"), pin) for pin in _alive(pins, at)):
        _refuse("pricing_signature", "no pinned key signed it")
    _check_engine(document.get("engine"))
    _check_times(_time(document, "generated_at"), _time(document, "expires_at"), at)
    rates = document.get("rates")
    if not isinstance(rates, dict) or not rates:
        _invalid("no rates")
    for provider, models in rates.items():
        if not isinstance(models, dict):
            _invalid(f"{provider} has no models")
        for model, row in models.items():
            _check_row_1(f"{provider}.{model}", row)


def written_1(document: Mapping[str, Any]) -> bytes:
    """Return what the signature of a schema 1 document is over, its numbers as their floats."""

    def floated(value: Any) -> Any:
        if isinstance(value, _Decimal):
            return value.as_float
        if isinstance(value, dict):
            return {name: floated(item) for name, item in value.items()}
        return [floated(item) for item in value] if isinstance(value, list) else value

    return written({name: floated(value) for name, value in document.items() if name != "signature"})


def _verify_2(document: Document, raw: bytes, pins: Sequence[Pin], at: datetime, threshold: int) -> None:
    if type(document["schema"]) is not int or document["schema"] != 2:
        _invalid("schema is not 2")
    if _has_decimal(document) or written(document) != raw:
        _invalid("not canonical")
    outside = ("signature", "co_signatures")
    content = CONTEXT + written({name: value for name, value in document.items() if name not in outside})
    by_id = {pin.key_id: pin for pin in _alive(pins, at)}
    others = document.get("co_signatures", {})
    if not isinstance(others, dict):
        _invalid("co_signatures is no object")
    key_id = document.get("key_id")
    first = by_id.get(key_id) if isinstance(key_id, str) else None
    if first is None or not _is_signed(content, document.get("signature"), first):
        _refuse("pricing_signature", "the key it names did not sign it, or is not trusted")
    signers = {first.public_key}
    for other_id, signature in others.items():
        other = by_id.get(other_id)
        if other is not None and not _is_signed(content, signature, other):
            _refuse("pricing_signature", f"the signature of {other_id} is not good")
        signers |= {other.public_key} if other is not None else set()
    if len(signers) < threshold:
        _refuse("pricing_signature", f"{len(signers)} of {threshold} signatures")
    if type(document.get("sequence")) is not int or document["sequence"] < 1:
        _invalid("sequence")
    _check_times(_time(document, "issued_at", _TIME_2), _time(document, "expires_at", _TIME_2), at)
    _check_rates_2(document.get("providers"))


# -- parts --------------------------------------------------------------------------------------------------


class _Decimal:
    """A number that is no integer: the float that the signature knows, and exactly what that is written as.

    Digits that a float drops are signed by nobody, so they are not looked at.
    """

    def __init__(self, text: str):
        self.as_float = float(text)
        self.exact = Fraction(repr(self.as_float))


def _parse(raw: bytes) -> Document:
    if len(raw) > 4 * 2**20 or _depth(raw) > DEPTH_MAX:
        _invalid("too large, or nested too deep")
    try:
        document = json.loads(
            raw.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=_no_constant,
        )
        json.dumps(document, ensure_ascii=False, default=str).encode()
    except (UnicodeDecodeError, UnicodeEncodeError, json.JSONDecodeError) as error:
        _invalid(str(error)[:80])
    if not isinstance(document, dict):
        _invalid("not an object")
    return document


def _depth(raw: bytes) -> int:
    bare = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", raw, flags=re.DOTALL)
    depth = deepest = 0
    for letter in bare:
        depth += (letter in b"[{") - (letter in b"]}")
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> Document:
    if len({name for name, _ in pairs}) != len(pairs) or not all(_KEY.fullmatch(name) for name, _ in pairs):
        _invalid("a key twice, or of another form")
    return dict(pairs)


def _integer(digits: str) -> int:
    if len(digits) > 17 or digits == "-0" or abs(int(digits)) > INTEGER_MAX:
        _invalid("an integer out of range")
    return int(digits)


def _decimal(text: str) -> _Decimal:
    if len(text) > 40 or not float("-inf") < float(text) < float("inf") or text.startswith("-0"):
        _invalid("a number out of range")
    return _Decimal(text)


def _no_constant(text: str) -> NoReturn:
    _invalid(f"{text} is no number")


def _has_decimal(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_decimal, value.values()))
    return any(map(_has_decimal, value)) if isinstance(value, list) else isinstance(value, _Decimal)


def _alive(pins: Sequence[Pin], at: datetime) -> list[Pin]:
    return [pin for pin in pins if not pin.revoked and (pin.not_after is None or at <= pin.not_after)]


def _is_signed(content: bytes, signature: object, pin: Pin) -> bool:
    if not isinstance(signature, str) or pin.public_key in SMALL_ORDER:
        return False
    try:
        made = base64.b64decode(signature.encode("ascii"), validate=True)
        if _base64(made) != signature or len(made) != 64 or int.from_bytes(made[32:], "little") >= ORDER:
            return False
        Ed25519PublicKey.from_public_bytes(pin.public_key).verify(made, content)
    except (binascii.Error, UnicodeEncodeError, ValueError, InvalidSignature):
        return False
    return True


def _check_engine(engine: object) -> None:
    if not isinstance(engine, dict):
        _invalid("engine")
    versions = []
    for name in ("min_version", "max_version"):
        text = engine.get(name)
        match = _VERSION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            _invalid(f"engine.{name}")
        versions.append(tuple(int(part) for part in match.groups()))
    if not versions[0] <= ENGINE <= versions[1]:
        _invalid("it is for other engines")


def _time(document: Document, name: str, form: re.Pattern[str] | None = None) -> datetime:
    text = document.get(name)
    if not isinstance(text, str) or (form is not None and not form.fullmatch(text)):
        _invalid(f"{name} is no time")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _invalid(f"{name} is no time")
    if moment.tzinfo is None:
        _invalid(f"{name} has no zone")
    return moment


def _check_times(made: datetime, expires: datetime, at: datetime) -> None:
    if not timedelta() < expires - made <= LIFETIME_MAX:
        _invalid("its lifetime is not within seven days")
    if made > at + AHEAD_MAX:
        _refuse("pricing_expired", "it is not valid yet")
    if at > expires + SKEW:
        _refuse("pricing_expired", "it is over")


def _check_row_1(path: str, row: object) -> None:
    if not isinstance(row, dict) or not {"input_cents_per_1m", "output_cents_per_1m"} <= set(row):
        _invalid(f"{path} lacks a rate")
    for name, value in row.items():
        exact = value.exact if isinstance(value, _Decimal) else value
        if isinstance(exact, bool) or not isinstance(exact, int | Fraction) or not 0 <= exact <= 10**9:
            _invalid(f"{path}.{name} is no price")
    if row["input_cents_per_1m"] == 0 and row["output_cents_per_1m"] == 0:
        _invalid(f"{path} costs nothing")


def _check_rates_2(value: object) -> None:
    if not isinstance(value, dict) or not value:
        _invalid("no providers")
    for name, part in value.items():
        if name == "rates":
            _check_prices_2(part)
        elif isinstance(part, dict) and part:
            _check_rates_2(part)
        elif isinstance(part, list):
            for item in part:
                if isinstance(item, dict):
                    _check_rates_2(item)


def _check_prices_2(tiers: object) -> None:
    for tier in tiers.values() if isinstance(tiers, dict) and tiers else [None]:
        if not isinstance(tier, dict) or not {"input", "output"} <= set(tier):
            _invalid("a tier lacks a rate")
        for name, rate in tier.items():
            if type(rate) is not int or not 0 <= rate <= 10**10:
                _invalid(f"{name} is no price")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _refuse(code: str, why: str) -> NoReturn:
    raise RefusedError(code, why)


def _invalid(why: str) -> NoReturn:
    raise RefusedError("pricing_invalid", why)


def main(arguments: list[str]) -> int:
    """Run one of the three commands."""
    match arguments:
        case ["keygen", path]:
            seed = Ed25519PrivateKey.generate().private_bytes_raw()
            Path(path).write_text(_base64(seed) + "\n")
            print(_base64(public_of(seed)))
        case ["sign", path, *key_id]:
            seed = base64.b64decode(Path(path).read_text().strip())
            named = {"key_id": key_id[0]} if key_id else {}
            sys.stdout.buffer.write(sign({**json.load(sys.stdin), **named}, seed))
        case ["verify", key, *rest]:
            at = datetime.fromisoformat(rest[1]) if len(rest) > 1 else datetime.now(UTC)
            try:
                verify(sys.stdin.buffer.read(), [Pin(rest[0] if rest else None, base64.b64decode(key))], at)
            except RefusedError as refused:
                print(refused)
                return 8
            print("accepted")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
