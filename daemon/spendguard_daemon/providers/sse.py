"""Server-sent events: a byte stream cut into events, every byte kept.

Owns the framing and nothing of what events mean. The lines end in LF, CRLF or CR, chunks end anywhere (in a
character, between CR and LF), `data:` may have several lines, comments and unknown fields pass. Source: the
HTML standard, "Server-sent events". Invariant: the `raw` of all events, then `rest()`, is the input.
"""

import re
from dataclasses import dataclass, field

EVENT_BYTES_MAX = 16 * 2**20
"""The largest event kept; one of 100 kB was seen in the wild (wire.md 2)."""

EVENT_LINES_MAX = 10_000
"""The most lines of an event; providers send one or two, and each costs time to read."""

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
    """Cuts chunks into events. After an event too large to be read it is `overflowed` and cuts no more."""

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self.overflowed = False
        self._event_bytes_max = event_bytes_max
        self._buffer = bytearray()
        self._searched = 0
        self._has_cr = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events that they complete."""
        self._buffer += chunk
        if self.overflowed:
            return []
        self._has_cr = self._has_cr or b"\r" in chunk
        events: list[Event] = []
        start = 0
        end = self._blank_line_end(max(0, self._searched - _LONGEST_BLANK_LINE))
        while end > 0:
            raw = bytes(self._buffer[start:end])
            if is_long(raw):
                self.overflowed = True
                break
            events.append(_event(raw))
            start = end
            end = self._blank_line_end(start)
        del self._buffer[:start]
        self._searched = len(self._buffer)
        self.overflowed = self.overflowed or len(self._buffer) > self._event_bytes_max
        return events

    def rest(self) -> bytes:
        """Return, and forget, the bytes that belong to no complete event."""
        left = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return left

    def _blank_line_end(self, search: int) -> int:
        """Return the place after the next blank line, 0 where there is none."""
        if self._has_cr:
            match = _BLANK_LINE.search(self._buffer, search)
            return match.end() if match else 0
        found = self._buffer.find(b"\n\n", search)  # the same, at a tenth of the cost; most servers send LF
        return found + 2 if found >= 0 else 0


def is_long(raw: bytes) -> bool:
    """Tell whether an event has more lines than are read."""
    return len(raw) > EVENT_LINES_MAX and raw.count(b"\n") + raw.count(b"\r") > EVENT_LINES_MAX


def last_event(rest: bytes) -> Event:
    """Read what stood at the end of a stream without its blank line: some servers leave that out."""
    return _event(rest)


def _event(raw: bytes) -> Event:
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return Event(raw, b"", raw[6:-2])  # one line of data, as nearly every event is
    name, data = b"", []
    for line in _LINE_END.split(raw.removeprefix(_BOM)):
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value
    return Event(raw, name, b"\n".join(data) if data else None)
