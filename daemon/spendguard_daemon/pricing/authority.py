"""The local authority: the key pair of this home, and the documents it signs.

Pure over bytes: makes a key from random bytes, signs content for given times. Knows no files and no clock.
Invariant: the same content, times and key give the same bytes (Ed25519 is deterministic), so whether a stored
document still says what we would say today is one comparison.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nacl.signing import SigningKey

from spendguard_daemon import canonical
from spendguard_daemon.canonical import Json
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ports import Rng
from spendguard_daemon.pricing import wire_json
from spendguard_daemon.pricing.document import SCHEMA, UNITS
from spendguard_daemon.pricing.trust import PinnedKey, decode_base64, encode_base64, signed_bytes

SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class Authority:
    """A private Ed25519 key, known by the hash of its public half. Its text form never shows the key."""

    key_id: str
    public_key: bytes
    _seed: bytes = field(repr=False)

    @classmethod
    def new(cls, rng: Rng) -> "Authority":
        """Make a key pair."""
        return cls._of(rng.token(SEED_BYTES))

    @classmethod
    def from_key_file(cls, raw: bytes) -> "Authority":
        """Read what `key_file` wrote. Raises PRICING_UNAVAILABLE where it is something else."""
        seed = decode_base64(raw.decode("ascii", "replace").strip(), SEED_BYTES)
        if seed is None:
            raise SpendGuardError(
                Code.PRICING_UNAVAILABLE,
                "No valid price document: the key file of the local authority is damaged",
                remedy="restore pricing/authority.key from a backup, or remove it: a new key is made then",
            )
        return cls._of(seed)

    def key_file(self) -> bytes:
        """Return the private key as the content of its file (mode 0600): base64 and a line feed."""
        return encode_base64(self._seed).encode("ascii") + b"\n"

    def pinned(self) -> PinnedKey:
        """Return the public half, as trust.toml pins it."""
        return PinnedKey(self.key_id, self.public_key)

    def sign(
        self,
        providers: Mapping[str, Json],
        *,
        sequence: int,
        issued_ns: int,
        expires_ns: int,
        co_signers: Sequence["Authority"] = (),
    ) -> bytes:
        """Return a signed schema 2 document; times are cut to whole seconds.

        `providers` is as `catalogue.merge` returns it; `co_signers` sign the same content. Raises
        PRICING_INVALID where it holds what canonical JSON cannot (a float, say). Whether the rows are good is
        for the verifier to say.
        """
        content: dict[str, Json] = {
            "schema": SCHEMA,
            **UNITS,
            "key_id": self.key_id,
            "sequence": sequence,
            "issued_at": wire_json.format_time(issued_ns),
            "expires_at": wire_json.format_time(expires_ns),
            "providers": dict(providers),
        }
        said = signed_bytes(content)
        signatures: dict[str, Json] = {"signature": self.signature(said)}
        if co_signers:
            signatures["co_signatures"] = {other.key_id: other.signature(said) for other in co_signers}
        return wire_json.dumps({**content, **signatures})

    def signature(self, said: bytes) -> str:
        """Return the base64 of this key's signature over exactly these bytes."""
        return encode_base64(SigningKey(self._seed).sign(said).signature)

    @classmethod
    def _of(cls, seed: bytes) -> "Authority":
        public_key = bytes(SigningKey(seed).verify_key)
        return cls(f"local-{canonical.sha256_hex(public_key)[:16]}", public_key, seed)
