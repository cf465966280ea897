"""Who may set prices: the pinned keys, and the verifier of signed documents.

Owns the rules of ledger-and-security.md 3.3 that need no network: signature, key, times, rollback. Pure:
bytes, keys, the time and the high-water mark in, a document or one typed error out; reads no file and no
clock. There is no switch that turns a check off.
"""

import base64
import binascii
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import tomli_w
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from spendguard_daemon import canonical
from spendguard_daemon.canonical import Json
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import wire_json
from spendguard_daemon.pricing.document import KEY_ID, SCHEMA, PriceDocument, read_document

SIGNING_CONTEXT = b"spendguard-pricing-v2\n"
SIGNATURE_BYTES = 64
PUBLIC_KEY_BYTES = 32

_SECOND_NS = 1_000_000_000
EXPIRY_SKEW_NS = 30 * _SECOND_NS
ISSUED_AHEAD_MAX_NS = 300 * _SECOND_NS
LIFETIME_MAX_NS = 7 * 86_400 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A public key that the operator trusts: raw Ed25519 bytes, and until when (None: no end)."""

    key_id: str
    public_key: bytes
    not_after_ns: int | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class HighWater:
    """The highest document ever accepted. The ledger's `price_accept` records hold it durably."""

    sequence: int
    document_sha256: str


def verify(
    raw: bytes, *, pinned: Sequence[PinnedKey], now_ns: int, high_water: HighWater | None
) -> PriceDocument:
    """Return the document in `raw` if a pinned key signed it and it may be used at `now_ns`.

    Raises PRICING_SIGNATURE, PRICING_INVALID, PRICING_EXPIRED or PRICING_ROLLBACK, and nothing else.
    """
    body = wire_json.loads(raw)
    schema = body.get("schema")
    if isinstance(schema, bool) or schema != SCHEMA:
        raise wire_json.invalid(f"expected schema {SCHEMA}")
    key = _pinned_key(body.get("key_id"), pinned, now_ns)
    _check_signature(body, key)
    content = {name: value for name, value in body.items() if name != "signature"}
    document = read_document(content, canonical.sha256_hex(raw))
    _check_times(document, now_ns)
    _check_rollback(document, high_water)
    return document


def check_unexpired(expires_ns: int, now_ns: int) -> None:
    """Raise PRICING_EXPIRED once the document's time is over, with 30 s for clocks that differ."""
    if now_ns > expires_ns + EXPIRY_SKEW_NS:
        raise _expired(f"it was valid until {wire_json.format_time(expires_ns)}")


def signed_bytes(content: Mapping[str, Json]) -> bytes:
    """Return what a signature is over: the context line, then the content without the signature."""
    return SIGNING_CONTEXT + wire_json.dumps(dict(content))


def encode_base64(raw: bytes) -> str:
    """Return the one base64 form of `raw`."""
    return base64.b64encode(raw).decode("ascii")


def decode_base64(text: object, n_bytes: int) -> bytes | None:
    """Return the bytes of base64 text in its one form and of this length; None for anything else.

    The standard library accepts stray low bits in the last letter, so the result is encoded again and
    compared: two texts for one value would be two hashes for one document.
    """
    if not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return raw if len(raw) == n_bytes and encode_base64(raw) == text else None


def read_trust(text: str) -> tuple[PinnedKey, ...]:
    """Read `trust.toml`: tables `[[key]]` with id, public_key (base64), and optional not_after, revoked.

    Raises PRICING_SIGNATURE where it cannot be read in full: half an understood trust is none.
    """
    try:
        root = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _bad_trust(str(error)) from None
    rows = root.get("key")
    if set(root) != {"key"} or not isinstance(rows, list):
        raise _bad_trust("expected only tables [[key]]")
    keys = tuple(_read_pinned(row) for row in rows)
    if len({key.key_id for key in keys}) != len(keys):
        raise _bad_trust("two keys have the same id")
    return keys


def write_trust(keys: Sequence[PinnedKey]) -> str:
    """Write `trust.toml`, such that `read_trust` gives back the same keys (not_after to the second)."""
    rows: list[dict[str, object]] = []
    for key in keys:
        row: dict[str, object] = {"id": key.key_id, "public_key": encode_base64(key.public_key)}
        if key.not_after_ns is not None:
            row["not_after"] = datetime.fromtimestamp(key.not_after_ns // _SECOND_NS, UTC)
        row["revoked"] = key.revoked
        rows.append(row)
    return tomli_w.dumps({"key": rows})


def _pinned_key(key_id: object, pinned: Sequence[PinnedKey], now_ns: int) -> PinnedKey:
    found = [key for key in pinned if key.key_id == key_id]
    if not isinstance(key_id, str) or not found:
        raise _unsigned(f"the key {ascii(key_id)[:80]} is not pinned")
    key = found[0]
    if key.revoked:
        raise _unsigned(f"the key {key.key_id} is revoked")
    if key.not_after_ns is not None and now_ns > key.not_after_ns:
        raise _unsigned(f"the key {key.key_id} was good until {wire_json.format_time(key.not_after_ns)}")
    return key


def _check_signature(body: Mapping[str, Json], key: PinnedKey) -> None:
    signature = decode_base64(body.get("signature"), SIGNATURE_BYTES)
    if signature is None:
        raise _unsigned("the signature is not the base64 of 64 bytes")
    content = {name: value for name, value in body.items() if name != "signature"}
    try:
        VerifyKey(key.public_key).verify(signed_bytes(content), signature)
    except CryptoError:
        # Wrong signatures and keys of a wrong length alike: PyNaCl's ValueError is a CryptoError as well.
        raise _unsigned(f"it does not bear the signature of {key.key_id}") from None


def _check_times(document: PriceDocument, now_ns: int) -> None:
    if document.expires_ns <= document.issued_ns:
        raise wire_json.invalid("it expires before it was issued")
    if document.expires_ns - document.issued_ns > LIFETIME_MAX_NS:
        raise wire_json.invalid("it is valid for longer than 7 days")
    if document.issued_ns > now_ns + ISSUED_AHEAD_MAX_NS:
        raise _expired(f"it is valid from {wire_json.format_time(document.issued_ns)}, not before")
    check_unexpired(document.expires_ns, now_ns)


def _check_rollback(document: PriceDocument, high_water: HighWater | None) -> None:
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


def _read_pinned(row: object) -> PinnedKey:
    if not isinstance(row, dict) or not set(row) <= {"id", "public_key", "not_after", "revoked"}:
        raise _bad_trust("a key has only id, public_key, not_after and revoked")
    key_id, revoked, not_after = row.get("id"), row.get("revoked", False), row.get("not_after")
    if not isinstance(key_id, str) or not KEY_ID.fullmatch(key_id):
        raise _bad_trust(f"id: expected text like {KEY_ID.pattern}")
    public_key = decode_base64(row.get("public_key"), PUBLIC_KEY_BYTES)
    if public_key is None:
        raise _bad_trust(f"public_key of {key_id}: expected the base64 of 32 bytes")
    if not isinstance(revoked, bool):
        raise _bad_trust(f"revoked of {key_id}: expected true or false")
    if not_after is None:
        return PinnedKey(key_id, public_key, None, revoked)
    if not isinstance(not_after, datetime) or not_after.tzinfo is None:
        raise _bad_trust(f"not_after of {key_id}: expected a time with zone, like 2027-01-01T00:00:00Z")
    return PinnedKey(key_id, public_key, wire_json.to_ns(not_after), revoked)


def _unsigned(why: str) -> SpendGuardError:
    return SpendGuardError(Code.PRICING_SIGNATURE, f"Remote pricing signature verification failed: {why}")


def _bad_trust(why: str) -> SpendGuardError:
    return SpendGuardError(
        Code.PRICING_SIGNATURE,
        f"trust.toml cannot be used: {why}",
        remedy="correct trust.toml; removed, it is made anew and trusts the local authority alone",
    )


def _expired(why: str) -> SpendGuardError:
    return SpendGuardError(Code.PRICING_EXPIRED, f"Remote pricing payload has expired: {why}")
