"""The journal's pen: lines go to the segment in batches, each batch is synced before anyone hears of it.

`Writer` blocks and knows only files. `Journal` runs it on one thread of its own: what was queued while one
batch was being synced is the next batch, so durability costs one sync for many callers, and no waiting to
gather them. What nobody waits for starts no sync of its own, for the next call's hold would have to stand in
line behind it: it rides along with that one, or is written a moment later. Any failure to write or sync is
final: nothing more is written, nothing is acknowledged, and `on_failure` hears of it once; a failed sync is
never tried again, for the kernel may have dropped the pages.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from spendguard_daemon.ledger.lines import SLOT_BYTES, Slot, encode_slot, seal
from spendguard_daemon.ports import DiskFile

RIDE_SECONDS = 0.01
"""How long a record that nobody waits for may wait for another one. Lost to a crash, it over-counts: safe."""


class Entry(NamedTuple):
    """One record on its way to the disk: its number, its time, and its body as `encode_body` made it."""

    seq: int
    wall_ns: int
    body: bytes


class Writer:
    """The open segment and the head file, and where the chain of hashes stands."""

    def __init__(
        self, segment: DiskFile, head: DiskFile, *, seq: int, h: str, generation: int, next_slot: int
    ) -> None:
        self._segment, self._head = segment, head
        self._seq, self._h, self._generation, self._slot = seq, h, generation, next_slot

    def write(self, entries: Sequence[Entry]) -> int:
        """Make a batch durable and return its last seq; raise OSError, after which this writer is dead.

        `ack` in each line is the last seq of the batch before, which was synced when this one began.
        """
        ack, lines = self._seq, []
        for entry in entries:
            line, self._h = seal(entry.seq, ack, self._h, entry.wall_ns, entry.body)
            lines.append(line)
        _write_all(self._segment, b"".join(lines))
        self._segment.sync()
        self._seq = entries[-1].seq
        self._mark()
        return self._seq

    def close(self) -> None:
        """Close both files; what was written is synced already."""
        self._segment.close()
        self._head.close()

    def _mark(self) -> None:
        # Two slots in turn: a torn write of one leaves the other. Not synced, for a head that lags is safe.
        raw = encode_slot(Slot(self._seq, self._h, self._generation))
        taken = 0
        while taken < len(raw):
            taken += self._head.write_at(self._slot * SLOT_BYTES + taken, raw[taken:])
        self._slot = 1 - self._slot


def _write_all(file: DiskFile, data: bytes) -> None:
    while data:
        taken = file.write(data)
        if taken <= 0:
            raise OSError("the file takes no more bytes")
        data = data[taken:]


class Journal:
    """Group commit. Before `start`, `append` writes at once on the calling thread."""

    def __init__(
        self,
        writer: Writer,
        *,
        on_durable: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._writer = writer
        self._on_durable, self._on_failure = on_durable, on_failure
        self._queue: list[Entry] = []
        self._wake = threading.Condition()
        self._hurried = False
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write on a thread from now on; the callbacks run on `loop`."""
        # A daemon thread: an exit that skips `stop` must not hang, and loses only what nobody was told of.
        self._loop = loop
        self._thread = threading.Thread(target=self._run, args=(loop,), name="journal", daemon=True)
        self._thread.start()

    def append(self, entries: Sequence[Entry]) -> None:
        """Queue entries, in the order of their seq; `on_durable` is told when they are safe."""
        if self._loop is None:
            self._write_now(entries)
            return
        with self._wake:
            self._queue.extend(entries)
        if self._timer is None:
            try:
                self._timer = self._loop.call_later(RIDE_SECONDS, self._ride_over)
            except RuntimeError:  # the loop is closed: there is no later
                self.hurry()

    def hurry(self) -> None:
        """Write what is queued now: somebody waits for it."""
        with self._wake:
            self._hurried = True
            self._wake.notify()

    def stop(self) -> None:
        """Write what is queued, end the thread, close the files."""
        if self._thread is not None:
            with self._wake:
                self._stopping = True
                self._wake.notify()
            self._thread.join()
        self._writer.close()

    def _ride_over(self) -> None:
        self._timer = None
        self.hurry()

    def _write_now(self, entries: Sequence[Entry]) -> None:
        try:
            seq = self._writer.write(entries)
        except OSError as error:
            self.failure = error
            self._on_failure(error)
        else:
            self._on_durable(seq)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        failure: BaseException | None = RuntimeError("the journal's thread ended by a bug")
        try:
            self._write_until_stopped(loop)
            failure = None
        except OSError as error:
            failure = error
        finally:  # whatever ended the thread, nobody may go on believing in it
            if failure is not None:
                self._fail(failure, loop)

    def _write_until_stopped(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._wake:
                while not (self._queue and self._hurried) and not self._stopping:
                    self._wake.wait()
                batch, self._queue, self._hurried = self._queue, [], False
            if not batch:
                return
            seq = self._writer.write(batch)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._on_durable, seq)

    def _fail(self, failure: BaseException, loop: asyncio.AbstractEventLoop) -> None:
        self.failure = failure
        try:
            loop.call_soon_threadsafe(self._on_failure, failure)
        except RuntimeError:  # the loop is closed, yet someone must hear of it
            self._on_failure(failure)
