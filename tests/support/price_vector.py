"""One price document, good or bad, with its keys and the right verdict; and what both schemas share."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from independent_signer import ORDER, Pin, public_of

FOLDER = Path(__file__).parents[1] / "vectors" / "pricing"
SEEDS = {"test-key": bytes(range(32)), "other-key": bytes(range(1, 33)), "third-key": bytes(range(2, 34))}
SEED, OTHER_SEED = SEEDS["test-key"], SEEDS["other-key"]
PIN = Pin("test-key", public_of(SEED))
OTHER = Pin("other-key", public_of(OTHER_SEED))
THIRD = Pin("third-key", public_of(SEEDS["third-key"]))
AT = datetime(2026, 11, 23, 12, 2, tzinfo=UTC)

GOOD, INVALID, UNSIGNED = "accepted", "pricing_invalid", "pricing_signature"
EXPIRED, ROLLBACK = "pricing_expired", "pricing_rollback"


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


def framed(good: bytes) -> Iterator[Vector]:
    """Yield a good document with something around it, or less of it."""
    yield Vector("BOM", b"\xef\xbb\xbf" + good, INVALID)
    yield Vector("trailing bytes", good + b"x", INVALID)
    yield Vector("two documents", good + good, INVALID)
    yield Vector("in an array", b"[" + good + b"]", INVALID)
    yield Vector("cut short", good[:-1], INVALID)
    yield Vector("empty", b"", INVALID)
    yield Vector("no JSON", b"<html>", INVALID)
    yield Vector("UTF-16", good.decode().encode("utf-16"), INVALID)


def signatures(good: bytes) -> Iterator[tuple[str, str]]:
    """Yield what a signature may be that is none, by name."""
    text, s = text_of(good), int.from_bytes(good[32:], "little")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    yield "63-byte signature", text_of(good[:63])
    yield "65-byte signature", text_of(good + b"\0")
    yield "empty signature", ""
    yield "odd base64 bits", text[:-3] + letters[letters.index(text[-3]) | 1] + "=="
    yield "base64 without padding", text[:-2]
    yield "base64 with a space", text + " "
    yield "zero signature", text_of(bytes(64))
    yield "S+L", text_of(good[:32] + (s + ORDER).to_bytes(32, "little"))
    yield "a bit of the signature flipped", text_of(bytes([good[0] ^ 1]) + good[1:])


def rollback(good: bytes, number: int, older: bytes, other: bytes) -> Iterator[Vector]:
    """Yield what may come after a document, and what may not."""
    mark = (number, hashlib.sha256(good).hexdigest())
    yield Vector("the one accepted before", good, GOOD, accepted=mark)
    yield Vector("newer than before", good, GOOD, accepted=(number - 1, "0" * 64))
    yield Vector("older than before", older, ROLLBACK, accepted=mark)
    yield Vector("equal number, another hash", other, ROLLBACK, accepted=mark)


def text_of(raw: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(raw).decode()


def _pin_to_json(pin: Pin) -> dict[str, Any]:
    row: dict[str, Any] = {"id": pin.key_id, "public_key": text_of(pin.public_key)}
    if pin.not_after is not None:
        row["not_after"] = pin.not_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    return row | ({"revoked": True} if pin.revoked else {})


def _pin_of_json(row: dict[str, Any]) -> Pin:
    until = datetime.fromisoformat(row["not_after"]) if "not_after" in row else None
    return Pin(row["id"], base64.b64decode(row["public_key"]), until, row.get("revoked", False))
