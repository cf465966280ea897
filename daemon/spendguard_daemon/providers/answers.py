"""Answers on their way to the client: relayed as they arrive, watched by the format's meter.

Owns relaying, buffering and their bounds, for any format: a format brings a `Meter` that reads a whole JSON
answer or one event. Satisfies `contract.AnswerReader`. Invariant: every byte is relayed, in order, but for
the events that the meter calls ours, which are left out where the client must not see them.
"""

from typing import Protocol

from spendguard_daemon.providers import sse
from spendguard_daemon.providers.inflate import Inflater
from spendguard_daemon.providers.json_array import ArraySplitter
from spendguard_daemon.usage import Usage

JSON_BYTES_MAX = 64 * 2**20
"""The largest JSON answer that is kept for reading."""

ERROR_BYTES_MAX = 2**20
"""The largest error answer that is kept for reading; documented ones are a few hundred bytes."""

STREAM_BYTES_MAX = 2**30
"""The most decoded bytes of a stream that are read: some 100 times the longest answer of any model."""

_TOO_LARGE = "an event is larger than can be read"


class Meter(Protocol):
    """Reads usage out of one format's answers."""

    complete: bool
    model: str | None
    answer_id: str | None
    problem: str | None
    documented_error: bool
    key_rejected: bool

    @property
    def usage(self) -> Usage | None:
        """The usage to settle by."""

    def document(self, body: bytes) -> None:
        """Take a whole JSON answer."""

    def event(self, event: sse.Event) -> bool:
        """Take one event of a stream; tell whether it is there only because we asked for usage."""

    def end(self) -> None:
        """Take the end of a stream."""


class _Answer:
    """What both kinds share: the meter's findings, unless reading itself failed."""

    def __init__(self, meter: Meter, inflater: Inflater) -> None:
        self._meter = meter
        self._inflater = inflater
        self._failure: str | None = None

    @property
    def usage(self) -> Usage | None:
        return self._meter.usage if self._failed is None else None

    @property
    def complete(self) -> bool:
        return self._meter.complete and self._failed is None

    @property
    def model(self) -> str | None:
        return self._meter.model

    @property
    def answer_id(self) -> str | None:
        return self._meter.answer_id

    @property
    def problem(self) -> str | None:
        return self._failed or self._meter.problem

    @property
    def documented_error(self) -> bool:
        return self._meter.documented_error and self.complete

    @property
    def key_rejected(self) -> bool:
        return self._meter.key_rejected

    @property
    def _failed(self) -> str | None:
        return self._failure or self._inflater.problem


class JsonAnswer(_Answer):
    """A JSON answer: relayed at once, kept, and read at its end."""

    def __init__(self, meter: Meter, encoding: str, *, bytes_max: int = JSON_BYTES_MAX) -> None:
        super().__init__(meter, Inflater(encoding, bytes_max=bytes_max))
        self._kept = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Keep the chunk for the end and relay it."""
        self._kept += self._inflater.feed(chunk)
        if self._failed is not None:
            self._kept.clear()
        return chunk

    def end(self) -> bytes:
        """Read the whole answer."""
        self._inflater.end()
        if self._failed is None:
            self._meter.document(bytes(self._kept))
        self._kept.clear()
        return b""


class StreamAnswer(_Answer):
    """A stream of events; with `hides` the events that are only ours are left out.

    What arrives compressed is relayed whole: an event cannot be cut out of it.
    """

    def __init__(
        self, meter: Meter, encoding: str, *, hides: bool, event_bytes_max: int = sse.EVENT_BYTES_MAX
    ) -> None:
        super().__init__(meter, Inflater(encoding, bytes_max=STREAM_BYTES_MAX))
        self._splitter = sse.Splitter(event_bytes_max)
        self._hides = hides and self._inflater.plain

    def feed(self, chunk: bytes) -> bytes:
        """Read the events that the chunk completes; relay what the client may see."""
        if self._failed is not None:
            return chunk
        events = self._splitter.feed(self._inflater.feed(chunk))
        shown = [event.raw for event in events if not self._meter.event(event)]
        if self._splitter.overflowed:
            self._failure = _TOO_LARGE
        if self._failed is not None:
            # From here on all is relayed unread, first what was kept back.
            shown.append(self._splitter.rest())
            shown.append(chunk if self._inflater.problem else b"")
        return b"".join(shown) if self._hides else chunk

    def end(self) -> bytes:
        """Read what stood after the last event; relay what was kept back."""
        self._inflater.end()
        rest = self._splitter.rest()
        ours = False
        if sse.is_long(rest):
            self._failure = _TOO_LARGE
        elif rest and self._failed is None:
            ours = self._meter.event(sse.last_event(rest))
        self._meter.end()
        return b"" if ours or not self._hides else rest


class ArrayAnswer(_Answer):
    """A stream that is one JSON array: relayed at once, each element read as the event of a stream is."""

    def __init__(self, meter: Meter, encoding: str, *, element_bytes_max: int = sse.EVENT_BYTES_MAX) -> None:
        super().__init__(meter, Inflater(encoding, bytes_max=STREAM_BYTES_MAX))
        self._splitter = ArraySplitter(element_bytes_max)
        self._is_over = False

    def feed(self, chunk: bytes) -> bytes:
        """Read the elements that the chunk completes; the closing bracket is the answer's own end."""
        if self._failed is None:
            for element in self._splitter.feed(self._inflater.feed(chunk)):
                self._meter.event(sse.Event(element, b"", element))
            self._failure = self._splitter.problem
            if self._splitter.closed and not self._is_over:
                self._is_over = True
                self._meter.end()
        return chunk

    def end(self) -> bytes:
        """Take the end of the bytes, which an array that is not closed by then has lost some of."""
        self._inflater.end()
        if not self._splitter.closed:
            self._failure = self._failure or "the array was not closed"
        return b""
