"""Server-sent events: a byte stream cut into events, every byte kept.

Owns the framing and nothing of what events mean. The lines end in LF, CRLF or CR, chunks end anywhere (in a
character, between CR and LF), `data:` may have several lines, comments and unknown fields pass. Source: the
HTML standard, "Server-sent events". Invariant: the `raw` of all events, then `rest()`, is the input.
"""

import re
from dataclasses import dataclass, field

EVENT_BYTES_MAX = 16 * 2**20
"""The largest event kept; one of 100 kB was seen in the wild (wire.md 2)."""

# Two line ends. A CR that ends the bytes at hand does not count yet: an LF may follow and belong to it.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?=[^\n]))(?:\r\n|\n|\r(?=[^\n]))", re.DOTALL)
_LONGEST_BLANK_LINE = 4
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One event with all its bytes, the blank line included; `data` is None where it has no data line."""

    raw: bytes = field(repr=False)
    name: bytes
    data: bytes | None = field(repr=False)


class Splitter:
    """Cuts chunks into events. After an event beyond EVENT_BYTES_MAX it is `overflowed` and cuts no more."""

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self.overflowed = False
        self._event_bytes_max = event_bytes_max
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events that they complete."""
        self._buffer += chunk
        if self.overflowed:
            return []
        events: list[Event] = []
        start = 0
        search = max(0, self._searched - _LONGEST_BLANK_LINE)
        while match := _BLANK_LINE.search(self._buffer, search):
            events.append(_event(bytes(self._buffer[start : match.end()])))
            start = search = match.end()
        del self._buffer[:start]
        self._searched = len(self._buffer)
        self.overflowed = len(self._buffer) > self._event_bytes_max
        return events

    def rest(self) -> bytes:
        """Return, and forget, the bytes that belong to no complete event."""
        left = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return left


def last_event(rest: bytes) -> Event:
    """Read what stood at the end of a stream without its blank line: some servers leave that out."""
    return _event(rest)


def _event(raw: bytes) -> Event:
    name, data = b"", []
    for line in _LINE_END.split(raw.removeprefix(_BOM)):
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value
    return Event(raw, name, b"\n".join(data) if data else None)
