"""Answers of the sidecar, as bytes, in our shapes. Pure."""

from typing import TypeVar

import msgspec

from spendguard_daemon.errors import Code, SpendGuardError

T = TypeVar("T")

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What an answer may raise that is no JSON, of another form, or nested without end."""


def read(raw: bytes, shape: type[T], asked: str) -> T:
    """Read an answer to what was `asked`; raise INTERNAL where it is not of this shape."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except UNREADABLE as error:
        raise SpendGuardError(
            Code.INTERNAL,
            f"The answer to {asked} is not of the form this version knows: {error}",
            remedy="spendguard restart, if the sidecar is of another version",
        ) from error


def has_message(raw: bytes) -> bool:
    """Tell whether the first message of a stream of server-sent events is there as a whole."""
    return _first(raw) is not None


def first_message(raw: bytes) -> bytes:
    """Return the data of the first message; nothing where there is none."""
    return _first(raw) or b""


def _first(raw: bytes) -> bytes | None:
    """Return the data of the first message that has any and has ended; comments have none."""
    for message in raw.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
        lines = [line[5:].removeprefix(b" ") for line in message.split(b"\n") if line.startswith(b"data:")]
        if lines:
            return b"\n".join(lines)
    return None
