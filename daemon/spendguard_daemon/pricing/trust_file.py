"""`trust.toml`: the keys whose price documents an operator accepts, and how many of them must have signed.

Owns the text form of trust, and the one base64 form of keys and signatures. Pure: text in, keys out.
Invariant: half an understood trust is none.
"""

import base64
import binascii
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import tomli_w

from spendguard_daemon import canonical
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import wire_json
from spendguard_daemon.pricing.document import KEY_ID

PUBLIC_KEY_BYTES = 32
_SECOND_NS = 1_000_000_000
_KEY_MEMBERS = {"id", "public_key", "not_after", "revoked"}


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A public key that the operator trusts: raw Ed25519 bytes, and until when (None: no end).

    A key pinned without an id signs under any that no other key has; it is known by its fingerprint.
    """

    key_id: str
    public_key: bytes
    not_after_ns: int | None = None
    revoked: bool = False

    @property
    def name(self) -> str:
        """The id, or for a key without one its fingerprint: what the ledger keeps its mark under."""
        return self.key_id or f"key-{canonical.sha256_hex(self.public_key)[:16]}"

    def refusal(self, now_ns: int) -> str:
        """Return why this key signs nothing at `now_ns`; empty where it may."""
        if self.revoked:
            return f"the key {self.name} is revoked"
        if self.not_after_ns is not None and now_ns > self.not_after_ns:
            return f"the key {self.name} was good until {wire_json.format_time(self.not_after_ns)}"
        return ""


@dataclass(frozen=True, slots=True)
class Trust:
    """The pinned keys, and how many different ones of them must have signed a document."""

    keys: tuple[PinnedKey, ...]
    threshold: int = 1

    def names(self) -> frozenset[str]:
        """Return the names of the keys that are not revoked: only their marks count against a rollback."""
        return frozenset(key.name for key in self.keys if not key.revoked)

    def sha256(self) -> str:
        """Return a hash of this trust: what was stored under another is not used."""
        return canonical.sha256_hex(write_trust(self).encode())


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


def read_trust(text: str) -> Trust:
    """Read `trust.toml`: tables `[[key]]` with id, public_key (base64), and optional not_after, revoked.

    Above them may stand `threshold`, 1 where it does not. Raises PRICING_SIGNATURE where it cannot be read in
    full.
    """
    try:
        root = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad_trust(str(error)) from None
    rows, threshold = root.get("key"), root.get("threshold", 1)
    if not set(root) <= {"key", "threshold"} or not isinstance(rows, list):
        raise _bad_trust("expected only threshold and tables [[key]]")
    keys = tuple(_read_pinned(row) for row in rows)
    if len({key.key_id for key in keys}) != len(keys):
        raise _bad_trust("two keys have the same id")
    if len({key.public_key for key in keys}) != len(keys):
        raise _bad_trust("two ids have the same public key, and one might be revoked without the other")
    if isinstance(threshold, bool) or not isinstance(threshold, int) or not 1 <= threshold <= len(keys):
        raise _bad_trust(f"threshold: expected a number from 1 to that of the keys, {len(keys)}")
    return Trust(keys, threshold)


def write_trust(trust: Trust | Sequence[PinnedKey]) -> str:
    """Write `trust.toml`, such that `read_trust` gives back the same (not_after to the second)."""
    trust = as_trust(trust)
    rows: list[dict[str, object]] = []
    for key in trust.keys:
        row: dict[str, object] = {"id": key.key_id, "public_key": encode_base64(key.public_key)}
        if key.not_after_ns is not None:
            row["not_after"] = datetime.fromtimestamp(key.not_after_ns // _SECOND_NS, UTC)
        row["revoked"] = key.revoked
        rows.append(row)
    head = {} if trust.threshold == 1 else {"threshold": trust.threshold}
    return tomli_w.dumps({**head, "key": rows})


def as_trust(pinned: Trust | Sequence[PinnedKey]) -> Trust:
    """Return keys alone as a trust that asks for one signature."""
    return pinned if isinstance(pinned, Trust) else Trust(tuple(pinned))


def read_public_key(text: str) -> Trust:
    """Return the trust in one key, named by a setting in place of `trust.toml`; raise PRICING_SIGNATURE."""
    public_key = decode_base64(text, PUBLIC_KEY_BYTES)
    if public_key is None:
        raise SpendGuardError(
            Code.PRICING_SIGNATURE,
            "The public key of the price source cannot be used: expected the base64 of 32 bytes",
            remedy="correct CAP_PRICING_SIGNING_PUBLIC_KEY, or [prices] public_key",
        )
    return Trust((PinnedKey("", public_key),))


def _read_pinned(row: object) -> PinnedKey:
    if not isinstance(row, dict) or not set(row) <= _KEY_MEMBERS:
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


def _bad_trust(why: str) -> SpendGuardError:
    return SpendGuardError(
        Code.PRICING_SIGNATURE,
        f"trust.toml cannot be used: {why}",
        remedy="correct trust.toml; removed, it is made anew and trusts the local authority alone",
    )
