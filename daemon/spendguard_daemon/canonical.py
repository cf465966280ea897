"""Canonical JSON: one value, one byte string. For what is signed or hashed; rejects floats."""

import hashlib
import json

from spendguard_daemon.errors import Code, SpendGuardError

INT_MAX = 2**53 - 1

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]
"""JSON without floats: all that our own documents and records hold."""


def dumps(value: object) -> bytes:
    """Return `value` as canonical JSON: sorted keys, no space, UTF-8, integers only up to 2^53 - 1.

    Raises PRICING_INVALID on a float, a number out of range, a non-string key, or a lone surrogate.
    """
    _check(value, "$")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise SpendGuardError(Code.PRICING_INVALID, "Not canonical: a lone surrogate") from None


def sha256_hex(raw: bytes) -> str:
    """Return the SHA-256 of `raw` as 64 lower-case hex digits."""
    return hashlib.sha256(raw).hexdigest()


def _check(value: object, path: str) -> None:
    match value:
        case None | bool() | str():
            return
        case int():
            if not -INT_MAX <= value <= INT_MAX:
                raise SpendGuardError(Code.PRICING_INVALID, f"Not canonical: {path} is beyond 2^53 - 1")
        case list():
            for index, item in enumerate(value):
                _check(item, f"{path}[{index}]")
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise SpendGuardError(
                        Code.PRICING_INVALID, f"Not canonical: a key at {path} is no string"
                    )
                _check(item, f"{path}.{key}")
        case _:
            raise SpendGuardError(Code.PRICING_INVALID, f"Not canonical: {path} is a {type(value).__name__}")
