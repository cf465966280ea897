"""Who may set prices: the verifier of signed documents, of both schemas.

Owns the rules of ledger-and-security.md 3.3 that need no network: signatures, keys, times, rollback. Pure:
bytes, keys, the time and the high-water mark in, a document or one typed error out; reads no file and no
clock. `verify` has no switch that turns a check off; who wants no signature has to call `read_unverified`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from spendguard_daemon import canonical
from spendguard_daemon.canonical import Json
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import schema1, wire_json
from spendguard_daemon.pricing.document import KEY_ID, SCHEMA, PriceDocument, read_document
from spendguard_daemon.pricing.trust_file import (
    PUBLIC_KEY_BYTES,
    PinnedKey,
    Trust,
    as_trust,
    decode_base64,
    encode_base64,
    read_public_key,
    read_trust,
    write_trust,
)

__all__ = [
    "PUBLIC_KEY_BYTES",
    "HighWater",
    "PinnedKey",
    "Trust",
    "check_unexpired",
    "decode_base64",
    "encode_base64",
    "read_public_key",
    "read_trust",
    "read_unverified",
    "signed_bytes",
    "verify",
    "write_trust",
]

SIGNING_CONTEXT = b"spendguard-pricing-v2\n"
SIGNATURE_BYTES = 64
CO_SIGNATURES = "co_signatures"
CO_SIGNATURES_MAX = 16

OURS_ALONE = frozenset({SCHEMA})
BOTH_SCHEMAS = frozenset({schema1.SCHEMA, SCHEMA})
UNVERIFIED = "unverified"
"""Stands for the key of a document whose signature nobody looked at."""

_SECOND_NS = 1_000_000_000
EXPIRY_SKEW_NS = 30 * _SECOND_NS
ISSUED_AHEAD_MAX_NS = 300 * _SECOND_NS
LIFETIME_MAX_NS = 7 * 86_400 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class HighWater:
    """The highest document ever accepted. The ledger's `price_accept` records hold it durably."""

    sequence: int
    document_sha256: str


@dataclass(frozen=True, slots=True)
class _Signed:
    """A document taken apart: what is signed, and by whom it says it is; a key id of None fits any key."""

    content: dict[str, Json]
    signed: bytes
    signatures: tuple[tuple[str | None, bytes], ...]


def verify(
    raw: bytes,
    *,
    pinned: Trust | Sequence[PinnedKey],
    now_ns: int,
    high_water: HighWater | None,
    schemas: frozenset[int] = OURS_ALONE,
    skew_ns: int = EXPIRY_SKEW_NS,
) -> PriceDocument:
    """Return the document in `raw` if enough pinned keys signed it and it may be used at `now_ns`.

    Raises PRICING_SIGNATURE, PRICING_INVALID, PRICING_EXPIRED or PRICING_ROLLBACK, and nothing else.
    """
    parts, read = _take_apart(raw, schemas)
    signer = _check_signatures(parts, as_trust(pinned), now_ns)
    document = replace(read(parts.content, canonical.sha256_hex(raw)), key_id=signer)
    check_times(document, now_ns, skew_ns)
    check_rollback(document, high_water)
    return document


def read_unverified(
    raw: bytes,
    *,
    now_ns: int,
    high_water: HighWater | None,
    schemas: frozenset[int] = BOTH_SCHEMAS,
    skew_ns: int = EXPIRY_SKEW_NS,
) -> PriceDocument:
    """Return the document in `raw` if all but its signature is right: anyone may have written it.

    For an operator who said twice that he wants this (design 7). Raises as `verify` does.
    """
    parts, read = _take_apart(raw, schemas)
    document = replace(read(parts.content, canonical.sha256_hex(raw)), key_id=UNVERIFIED)
    check_times(document, now_ns, skew_ns)
    check_rollback(document, high_water)
    return document


def check_unexpired(expires_ns: int, now_ns: int, skew_ns: int = EXPIRY_SKEW_NS) -> None:
    """Raise PRICING_EXPIRED once the document's time is over, with 30 s for clocks that differ."""
    if now_ns > expires_ns + skew_ns:
        raise _expired(f"it was valid until {wire_json.format_time(expires_ns)}")


def signed_bytes(content: Mapping[str, Json]) -> bytes:
    """Return what a signature of schema 2 is over: the context line, then the content without signatures."""
    return SIGNING_CONTEXT + wire_json.dumps(dict(content))


def check_times(document: PriceDocument, now_ns: int, skew_ns: int = EXPIRY_SKEW_NS) -> None:
    """Raise PRICING_INVALID for a lifetime that cannot be, PRICING_EXPIRED outside of it."""
    if document.expires_ns <= document.issued_ns:
        raise wire_json.invalid("it expires before it was issued")
    if document.expires_ns - document.issued_ns > LIFETIME_MAX_NS:
        raise wire_json.invalid("it is valid for longer than 7 days")
    if document.issued_ns > now_ns + ISSUED_AHEAD_MAX_NS:
        raise _expired(f"it is valid from {wire_json.format_time(document.issued_ns)}, not before")
    check_unexpired(document.expires_ns, now_ns, skew_ns)


def check_rollback(document: PriceDocument, high_water: HighWater | None) -> None:
    """Raise PRICING_ROLLBACK for a document below the mark, or beside it with other content."""
    if high_water is None or document.sequence > high_water.sequence:
        return
    same = document.sequence == high_water.sequence
    if same and document.document_sha256 == high_water.document_sha256:
        return
    what = "with other content than" if same else f"below {high_water.sequence}, which"
    raise SpendGuardError(
        Code.PRICING_ROLLBACK,
        "Price document is older than one already accepted: "
        f"its sequence number {document.sequence} is {what} was accepted",
        facts={"sequence": document.sequence, "accepted_sequence": high_water.sequence},
    )


def _take_apart(
    raw: bytes, schemas: frozenset[int]
) -> tuple[_Signed, Callable[[dict[str, Json], str], PriceDocument]]:
    """Return what is signed, the signatures, and who reads the content; what is no document is refused."""
    if schema1.SCHEMA in schemas:
        body = schema1.loads(raw)
        if SCHEMA not in schemas or "schema" not in body:
            schema1.check_version(body)
            return _schema1(body), schema1.read_document
    body = wire_json.loads(raw)
    schema = body.get("schema")
    if isinstance(schema, bool) or schema != SCHEMA:
        raise wire_json.invalid(f"expected schema {SCHEMA}")
    return _schema2(body), read_document


def _schema1(body: dict[str, Json]) -> _Signed:
    content = {name: value for name, value in body.items() if name != "signature"}
    return _Signed(content, schema1.signed_bytes(content), ((None, _signature(body.get("signature"))),))


def _schema2(body: dict[str, Json]) -> _Signed:
    content = {name: value for name, value in body.items() if name not in ("signature", CO_SIGNATURES)}
    key_id = body.get("key_id")
    if not isinstance(key_id, str):
        raise _unsigned(f"the key {ascii(key_id)[:80]} is not pinned")
    found = [(key_id, _signature(body.get("signature"))), *_co_signatures(body)]
    if len({name for name, _ in found}) != len(found):
        raise _unsigned(f"{key_id} signs twice")
    return _Signed(content, signed_bytes(content), tuple(found))


def _co_signatures(body: Mapping[str, Json]) -> Iterator[tuple[str, bytes]]:
    members = body.get(CO_SIGNATURES, {})
    if not isinstance(members, dict) or len(members) > CO_SIGNATURES_MAX:
        raise _unsigned(f"{CO_SIGNATURES} are not at most {CO_SIGNATURES_MAX} signatures by key id")
    for key_id, text in members.items():
        if not KEY_ID.fullmatch(key_id):
            raise _unsigned(f"{ascii(key_id)[:80]} is no key id")
        yield key_id, _signature(text)


def _signature(text: Json) -> bytes:
    signature = decode_base64(text, SIGNATURE_BYTES)
    if signature is None:
        raise _unsigned("the signature is not the base64 of 64 bytes")
    return signature


def _check_signatures(parts: _Signed, trust: Trust, now_ns: int) -> str:
    """Return the name of the first key that counts, if enough do; a wrong one of a pinned key refuses."""
    good: dict[bytes, str] = {}
    refusals: list[str] = []
    for key_id, signature in parts.signatures:
        candidates = _candidates(key_id, trust)
        if not candidates:
            refusals.append(f"the key {ascii(key_id)[:80]} is not pinned" if key_id else "no key is pinned")
            continue
        signers = [key for key in candidates if _bears(parts.signed, signature, key)]
        if not signers:
            names = " or ".join(key.name for key in candidates)
            raise _unsigned(f"it does not bear the signature of {names}")
        for key in signers:
            if key.refusal(now_ns):
                refusals.append(key.refusal(now_ns))
            else:
                good.setdefault(key.public_key, key.name)
    if len(good) < trust.threshold or not good:
        few = f"{len(good)} of {trust.threshold} pinned keys signed it"
        raise _unsigned("; ".join([*refusals, few] if trust.threshold > 1 or not refusals else refusals))
    return next(iter(good.values()))


def _candidates(key_id: str | None, trust: Trust) -> list[PinnedKey]:
    """Return the keys that may have made a signature: of that id, or without one where no other has it."""
    if key_id is None:
        return list(trust.keys)
    named = [key for key in trust.keys if key.key_id == key_id]
    return named or [key for key in trust.keys if not key.key_id]


def _bears(signed: bytes, signature: bytes, key: PinnedKey) -> bool:
    try:
        VerifyKey(key.public_key).verify(signed, signature)
    except CryptoError:
        # Wrong signatures and keys of a wrong length alike: PyNaCl's ValueError is a CryptoError as well.
        return False
    return True


def _unsigned(why: str) -> SpendGuardError:
    return SpendGuardError(Code.PRICING_SIGNATURE, f"Remote pricing signature verification failed: {why}")


def _expired(why: str) -> SpendGuardError:
    return SpendGuardError(Code.PRICING_EXPIRED, f"Remote pricing payload has expired: {why}")
