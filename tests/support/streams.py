"""The recorded streams and where their events end, for tests that stop in between."""

import gzip
from dataclasses import dataclass, replace
from itertools import accumulate

from recorded import Recording, Reply, load_all

GZIP_PIECE_BYTES = 61


@dataclass(frozen=True, slots=True)
class Stream:
    """A recorded stream. `stops` are the lengths of its body after each chunk, 0 before the first.

    A plain stream's chunks are its events. A compressed one shows no events on the wire: its chunks are
    pieces of a size. `terminal` is the length from which on nothing that counts is missing.
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
    """Return every recorded stream of OpenAI and Anthropic, compressed ones as they are and plain."""
    found = []
    for recording in load_all():
        reply = recording.reply
        if recording.provider not in ("openai", "anthropic") or not recording.request.get("stream"):
            continue
        if reply.headers.get("content-encoding") == "gzip":
            size = len(reply.body)
            stops = (*range(0, size, GZIP_PIECE_BYTES), size)
            found.append(Stream(f"{recording.name}-gzip", recording, stops, size))
            headers = {name: value for name, value in reply.headers.items() if name != "content-encoding"}
            recording = replace(recording, reply=Reply(reply.status, headers, gzip.decompress(reply.body)))
        found.append(_by_events(recording))
    return found


def _by_events(recording: Recording) -> Stream:
    body = recording.reply.body
    events = [event + b"\n\n" for event in body.split(b"\n\n")]
    events[-1] = events[-1].removesuffix(b"\n\n")
    stops = tuple(accumulate((len(event) for event in events if event), initial=0))
    assert stops[-1] == len(body)
    ends = [b"[DONE]", b'"type":"message_stop"', b'"type":"response.completed"']
    ends += [b'"type":"response.incomplete"', b'"type":"response.failed"']
    terminal = next(
        stop for stop, event in zip(stops[1:], events, strict=False) if any(end in event for end in ends)
    )
    return Stream(recording.name, recording, stops, terminal)
