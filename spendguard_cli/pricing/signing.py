"""Documents made: content, keys and times in, signed bytes out, each through the verifier before it leaves.

Pure over bytes and times. Invariant: what it returns, a client that pins these keys accepts at `now_ns`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spendguard_cli.pricing import contents
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import trust, wire_json
from spendguard_daemon.pricing.authority import Authority
from spendguard_daemon.pricing.document import PriceDocument

NS_PER_SECOND = 1_000_000_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
MINUTE_SECONDS = 60
ENGINE = {"name": "spendguard-engine", "min_version": "0.1.0", "max_version": "0.1.0"}
"""Of what contract version a schema 1 document is, where its content does not say."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A document as it goes over the wire, and what the verifier read in it."""

    raw: bytes
    document: PriceDocument


def lifetime_seconds(text: str) -> int:
    """Read 7d, 12h, 30m or 90s; raise USAGE for anything else, or for more than a document may have."""
    match = _SPAN.fullmatch(text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not MINUTE_SECONDS <= seconds <= trust.LIFETIME_MAX_NS // NS_PER_SECOND:
        raise SpendGuardError(
            Code.USAGE,
            f"--lifetime: {text!r} is not a time from one minute to seven days",
            remedy="write --lifetime 7d, 12h, 30m or 90s",
        )
    return seconds


def next_sequence(previous: bytes, where: str) -> int:
    """Return one above the sequence number of the document before; raise USAGE where it has none."""
    sequence = contents.load(previous, where).get("sequence")
    if isinstance(sequence, bool) or not isinstance(sequence, int):
        raise SpendGuardError(
            Code.USAGE,
            f"--previous: {where} has no sequence number",
            remedy="name the document signed last, or say --sequence",
        )
    return sequence + 1


def sign(
    providers: contents.Providers, keys: Sequence[Authority], *, sequence: int, now_ns: int, seconds: int
) -> Signed:
    """Return a document of schema 2, signed by all keys; raise PRICING_INVALID on any bad row."""
    issued_ns = now_ns // NS_PER_SECOND * NS_PER_SECOND
    raw = keys[0].sign(
        providers,
        sequence=sequence,
        issued_ns=issued_ns,
        expires_ns=issued_ns + seconds * NS_PER_SECOND,
        co_signers=keys[1:],
    )
    pinned = [key.pinned() for key in keys]
    return Signed(raw, trust.verify(raw, pinned=pinned, now_ns=now_ns, high_water=None))


def sign_schema1(content: Mapping[str, Any], key: Authority, *, now_ns: int, seconds: int) -> Signed:
    """Return a document of schema 1 (design 7) with the `rates` of `content`, and its `engine` if it has one.

    Raises PRICING_INVALID on any bad row.
    """
    issued_ns = now_ns // NS_PER_SECOND * NS_PER_SECOND
    body: dict[str, Any] = {
        "schema_version": "1",
        "engine": content.get("engine", ENGINE),
        "generated_at": wire_json.format_time(issued_ns),
        "expires_at": wire_json.format_time(issued_ns + seconds * NS_PER_SECOND),
        "rates": content.get("rates"),
    }
    raw = _schema1_bytes({**body, "signature": key.signature(_schema1_bytes(body))})
    pinned = [key.pinned()]
    document = trust.verify(raw, pinned=pinned, now_ns=now_ns, high_water=None, schemas=trust.BOTH_SCHEMAS)
    return Signed(raw, document)


def _schema1_bytes(body: Mapping[str, Any]) -> bytes:
    """Return the canonical form of schema 1, which the public clients sign and verify (design 7)."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
