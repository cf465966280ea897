"""Server-sent events out of bytes, however these are cut; within bounds. Pure.

Knows the fields `event`, `id` and `data`; lines end with LF or CRLF; other fields, comments and messages
without data are passed over, as the standard says.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""A message, and so each of its lines: a snapshot of tens of thousands of agents is one line."""


class EndlessError(Exception):
    """A message that is longer than any may be."""


@dataclass(frozen=True, slots=True)
class Sse:
    """One message as it came."""

    event: str
    id: str
    data: bytes


class Parser:
    """Takes up bytes and gives out messages that are whole. `begun`: one whose end is not there yet."""

    def __init__(self, bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._line: list[bytes] = []
        self._bytes = 0
        self._event, self._id, self._data = b"", b"", list[bytes]()

    @property
    def begun(self) -> bool:
        """Tell whether a message has begun, and not ended."""
        return self._bytes > 0

    def feed(self, chunk: bytes) -> Iterator[Sse]:
        """Yield the messages that end in `chunk`; raise EndlessError where one has no end."""
        first, *more = chunk.split(b"\n")
        for piece in more:
            self._count(len(first) + 1)
            self._line.append(first)
            line, self._line, first = b"".join(self._line).removesuffix(b"\r"), [], piece
            if line:
                self._field(line)
                continue
            if self._data:
                yield Sse(_text(self._event), _text(self._id), b"\n".join(self._data))
            self._event, self._id, self._data, self._bytes = b"", b"", [], 0
        if first:
            self._count(len(first))
            self._line.append(first)

    def _count(self, more_bytes: int) -> None:
        self._bytes += more_bytes
        if self._bytes > self._bytes_max:
            raise EndlessError

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id":
            self._id = value


def _text(raw: bytes) -> str:
    """Return a name or an id; what is no UTF-8 is no name that anyone knows."""
    return raw.decode(errors="replace")
