"""Files that prove themselves: one JSON object, one line for each thing in it, ended by the hash of it all.

    {"snapshot":1,
    "seq":4711,
    "accounts":[
    {"agent_id":"...",...},
    {"agent_id":"...",...}],
    "sha256":"<64 hex>"}

So `less`, `grep` and `jq` all serve. `sha256` is over the bytes before `,\\n"sha256"`; all is ASCII, and the
last byte is an LF. Pure: bytes and values only.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

_PAUSE_EVERY = 256
_TAIL = ',\n"sha256":"{}"}}\n'
_TAIL_BYTES = len(_TAIL.format("0" * 64))

T = TypeVar("T", bound=msgspec.Struct)

Members = dict[str, msgspec.Raw]
"""The members of a file by name, each as the bytes that it has there."""

Pause = Callable[[], None]
"""Called now and then during long work, so that another thread may have the processor."""


def go_on() -> None:
    """Pause for nobody."""


class SealError(Exception):
    """A file does not prove itself, or is not of the kind that was expected; says what is wrong with it."""


def seal(value: msgspec.Struct, pause: Pause) -> tuple[bytes, str]:
    """Return a file's bytes, and the hash at its end."""
    parts: list[bytes] = []
    _put(parts, value, pause)
    body = b"".join(parts)
    digest = hashlib.sha256(body).hexdigest()
    return body + _TAIL.format(digest).encode(), digest


def opened(raw: bytes) -> tuple[Members, str]:
    """Return the members of a file that proves itself, not read yet, and its hash; raise SealError."""
    digest = hashlib.sha256(raw[:-_TAIL_BYTES]).hexdigest()
    if raw[-_TAIL_BYTES:] != _TAIL.format(digest).encode():
        raise SealError("its hash does not match its bytes")
    try:
        return msgspec.json.decode(raw, type=Members), digest
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SealError(str(error)) from None


def read(members: Members, kind: type[T], pause: Pause) -> T:
    """Return what members say, as far as `kind` knows them; raise SealError.

    A member that `kind` has a default for may be missing: it was not known yet when the file was written.
    """
    types, optional = _described(kind)
    names = [name for name in kind.__struct_fields__ if name in members or name not in optional]
    try:
        values = {name: _read(members[name], types[name], pause) for name in names}
    except KeyError as error:
        raise SealError(f"it has no {error}") from None
    except msgspec.MsgspecError as error:
        raise SealError(str(error)) from None
    return kind(**values)


@cache
def _described(kind: type[msgspec.Struct]) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the types of a file's members, and which of them may be missing."""
    optional = frozenset(field.name for field in msgspec.structs.fields(kind) if not field.required)
    return get_type_hints(kind), optional


def _read(raw: msgspec.Raw, kind: Any, pause: Pause) -> object:
    text = bytes(raw)
    if not text.startswith(b"[\n"):
        return msgspec.json.decode(text, type=kind)
    # An entry at a time, for one long call would keep the processor from the event loop. No string holds an
    # LF as it is, so each one here ends a line of ours.
    decoder = msgspec.json.Decoder(get_args(kind)[0])
    entries = []
    for index, line in enumerate(text[2:-1].split(b",\n")):
        entries.append(decoder.decode(line))
        if index % _PAUSE_EVERY == 0:
            pause()
    return entries


def _put(parts: list[bytes], value: msgspec.Struct, pause: Pause) -> None:
    """Append an object but for its closing brace."""
    for index, name in enumerate(value.__struct_fields__):
        parts.append(b",\n" if index else b"{")
        parts.append(f'"{name}":'.encode())
        member = getattr(value, name)
        if isinstance(member, list):
            _put_list(parts, member, pause)
        else:
            parts.append(_json(member))


def _put_list(parts: list[bytes], entries: list[object], pause: Pause) -> None:
    parts.append(b"[")
    for index, entry in enumerate(entries):
        parts.append(b",\n" if index else b"\n")
        parts.append(_json(entry))
        if index % _PAUSE_EVERY == 0:
            pause()
    parts.append(b"]")


def _json(value: object) -> bytes:
    raw = msgspec.json.encode(value)
    return raw if raw.isascii() else json.dumps(json.loads(raw), separators=(",", ":")).encode()
