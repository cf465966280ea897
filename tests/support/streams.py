"""The recorded streams and where their events end, for tests that stop in between."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from json import JSONDecoder

from recorded import Recording, Reply, load_all

PIECE_BYTES = 61


@dataclass(frozen=True, slots=True)
class Stream:
    """A recorded stream. `stops` are the lengths of its body after each chunk, 0 before the first.

    A plain stream's chunks are its events, or the elements of its JSON array. A compressed one shows none on
    the wire, and one event is too few to stop between: their chunks are pieces of a size. `terminal` is the
    length from which on nothing that counts is missing; above all of them where the end of the transport
    alone tells that nothing follows (Gemini's events, each of which may have a finish reason).
    """

    name: str
    recording: Recording
    stops: tuple[int, ...]
    terminal: int

    @property
    def body(self) -> bytes:
        """The body on the wire."""
        return self.recording.reply.body


def streams() -> list[Stream]:
    """Return every recorded stream, compressed ones as they are and plain."""
    found = []
    for recording in load_all():
        reply = recording.reply
        if not recording.streams:
            continue
        if reply.headers.get("content-encoding") == "gzip":
            found.append(_by_pieces(f"{recording.name}-gzip", recording))
            headers = {name: value for name, value in reply.headers.items() if name != "content-encoding"}
            recording = replace(recording, reply=Reply(reply.status, headers, gzip.decompress(reply.body)))
        found.append(_by_chunks(recording))
    return found


def _by_pieces(name: str, recording: Recording) -> Stream:
    size = len(recording.reply.body)
    return Stream(name, recording, (*range(0, size, PIECE_BYTES), size), size + _unmarked(recording))


def _by_chunks(recording: Recording) -> Stream:
    body = recording.reply.body
    chunks = list(_elements(body) if body.startswith(b"[") else _events(body))
    if len(chunks) == 1:
        return _by_pieces(recording.name, recording)
    stops = tuple(accumulate(map(len, chunks), initial=0))
    assert stops[-1] == len(body)
    last = max(at for at, chunk in enumerate(chunks) if chunk == b"]" or any(end in chunk for end in ENDS))
    return Stream(recording.name, recording, stops, stops[last + 1] + _unmarked(recording))


def _unmarked(recording: Recording) -> bool:
    """Tell whether nothing in a stream says that it is its last: Gemini's events, not its array."""
    return recording.provider == "gemini" and recording.query == "alt=sse"


ENDS = (
    b"[DONE]",
    b'"type":"message_stop"',
    b'"type":"response.completed"',
    b'"type":"response.incomplete"',
    b'"type":"response.failed"',
)
"""What the last chunk that counts says, where it is no array, whose bracket says it."""


def _events(body: bytes) -> Iterator[bytes]:
    """Cut a stream of events after each empty line."""
    yield from re.findall(rb".+?(?:\r?\n\r?\n|\Z)", body, re.DOTALL)


def _elements(body: bytes) -> Iterator[bytes]:
    """Cut a JSON array before each comma between its elements, and before its last bracket."""
    text, decoder, at = body.decode(), JSONDecoder(), 0
    while text[at] != "]":
        begins = text.index("{", at)
        _, ends = decoder.raw_decode(text, begins)
        yield text[at:ends].encode()
        at = ends + len(text[ends:]) - len(text[ends:].lstrip())
        yield from [text[ends:at].encode()] if at > ends else ()
    yield text[at:].encode()
