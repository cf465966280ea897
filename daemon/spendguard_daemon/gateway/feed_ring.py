"""What was told on the feed last, encoded once for all who listen. Pure; bounded in events and bytes.

A listener is only a number, the `seq` that it has: who lags behind costs nothing, and who has fallen out of
the ring is told all anew.
"""

from collections import deque

import msgspec

from spendguard_daemon.feed_wire import Event, Snapshot

RING_EVENTS_MAX = 10_000
RING_BYTES_MAX = 16 * 1024 * 1024
CHUNK_BYTES = 128 * 1024
"""So much is written at once."""


class Ring:
    """The last events of one life of the daemon; `seq` is that of the last one, 0 before the first."""

    def __init__(
        self, epoch: str, events_max: int = RING_EVENTS_MAX, bytes_max: int = RING_BYTES_MAX
    ) -> None:
        self.epoch, self.seq = epoch, 0
        self._events_max, self._bytes_max = events_max, bytes_max
        self._told = deque[bytes]()
        self._bytes = 0

    def tell(self, event: Event) -> None:
        """Add the next event; its `seq` must be one more than the last one's."""
        if event.seq != self.seq + 1:
            raise ValueError(f"event {event.seq} does not follow {self.seq}")
        self.seq = event.seq
        told = self.message(event.kind, event.seq, msgspec.json.encode(event))
        self._told.append(told)
        self._bytes += len(told)
        while len(self._told) > self._events_max or self._bytes > self._bytes_max:
            self._bytes -= len(self._told.popleft())

    def forget(self) -> None:
        """Drop all that was told: who comes now is told all anew."""
        self._told.clear()
        self._bytes = 0
        self.seq += 1  # whoever has the last event must not take what comes for the next

    def resume(self, last_id: str) -> int | None:
        """Return the seq from which a listener with this id goes on; None where it must be told all anew."""
        epoch, _, number = last_id.rpartition(".")
        if epoch != self.epoch or not (number.isascii() and number.isdigit()) or len(number) > 18:
            return None
        return int(number) if self.holds(int(number)) else None

    def holds(self, seq: int) -> bool:
        """Tell whether all that came after an event is still here."""
        return self.seq - len(self._told) <= seq <= self.seq

    def after(self, seq: int) -> tuple[bytes, int]:
        """Return what came after an event, a chunk at most, and the seq of its last; `holds` must be true."""
        place, size = len(self._told) - (self.seq - seq), 0
        parts: list[bytes] = []
        while place < len(self._told) and size < CHUNK_BYTES:
            parts.append(self._told[place])
            size += len(parts[-1])
            place += 1
        return b"".join(parts), seq + len(parts)

    def message(self, kind: str, seq: int, data: bytes) -> bytes:
        """Return one message of the stream; JSON has no line breaks of its own."""
        return f"event: {kind}\nid: {self.epoch}.{seq}\ndata: ".encode() + data + b"\n\n"

    def snapshot(self, snapshot: Snapshot) -> bytes:
        """Return the message of a snapshot."""
        return self.message("snapshot", snapshot.seq, msgspec.json.encode(snapshot))
