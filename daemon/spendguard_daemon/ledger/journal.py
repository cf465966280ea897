"""The journal's pen: lines go to the segment in batches, each batch is synced before anyone hears of it.

`Writer` blocks and knows only files. `Journal` runs it on one thread of its own: what was queued while one
batch was being synced is the next batch, so durability costs one sync for many callers, and no waiting to
gather them. What nobody waits for starts no sync of its own, for the next call's hold would have to stand in
line behind it: it rides along with that one, or is written a moment later. A full disk gets one more try, in
the room of the ballast. Any other failure to write or sync is
final: nothing more is written, nothing is acknowledged, and `on_failure` hears of it once; a failed sync is
never tried again, for the kernel may have dropped the pages.
"""

import asyncio
import errno
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from spendguard_daemon.ledger.faults import is_full
from spendguard_daemon.ledger.lines import SLOT_BYTES, Slot, encode_slot, seal
from spendguard_daemon.ledger.rolling import RollingSegment
from spendguard_daemon.ledger.room import Ballast
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
        self, segment: RollingSegment, head: DiskFile, *, seq: int, h: str, generation: int, next_slot: int
    ) -> None:
        self._segment, self._head = segment, head
        self._seq, self._h, self._generation, self._slot = seq, h, generation, next_slot
        self.ballast: Ballast | None = None

    def write(self, entries: Sequence[Entry]) -> int:
        """Make a batch durable and return its last seq; raise OSError, after which this writer is dead.

        `ack` in each line is the last seq of the batch before, which was synced when this one began.
        """
        self._segment.begin(entries[0].seq)
        ack, lines = self._seq, []
        for entry in entries:
            line, self._h = seal(entry.seq, ack, self._h, entry.wall_ns, entry.body)
            lines.append(line)
        self._append(b"".join(lines))
        self._segment.sync()
        self._seq = entries[-1].seq
        self._mark()
        return self._seq

    @property
    def closed_seq(self) -> int:
        """The last record of the segments that are closed and will not change any more."""
        return self._segment.closed_seq

    def close(self) -> None:
        """Close both files; what was written is synced already."""
        self._segment.close()
        self._head.close()

    def _append(self, data: bytes) -> None:
        good_bytes = self._segment.size()
        try:
            write_all(self._segment.write, data)
        except OSError as error:
            if not is_full(error):
                raise
            # What was taken is cut off again, so that the batch stands whole where it began, or not at all.
            self._segment.truncate(good_bytes)
            self._make_room(error)
            write_all(self._segment.write, data)

    def _mark(self) -> None:
        # Two slots in turn: a torn write of one leaves the other. Not synced, for a head that lags is safe.
        raw = encode_slot(Slot(self._seq, self._h, self._generation))
        try:
            self._write_slot(raw)
        except OSError as error:
            if not is_full(error):
                raise
            self._make_room(error)
            self._write_slot(raw)
        self._slot = 1 - self._slot

    def _write_slot(self, raw: bytes) -> None:
        start, taken = self._slot * SLOT_BYTES, 0

        def write(data: bytes) -> int:
            nonlocal taken
            count = self._head.write_at(start + taken, data)
            taken += count
            return count

        write_all(write, raw)

    def _make_room(self, error: OSError) -> None:
        """Drop the ballast; raise `error` where there is none left to drop."""
        if self.ballast is None or not self.ballast.drop():
            raise error


def write_all(write: Callable[[bytes], int], data: bytes) -> None:
    """Write all of `data`, however little is taken at a time; raise OSError."""
    while data:
        taken = write(data)
        if taken <= 0:
            raise OSError(errno.ENOSPC, "the file takes no more bytes")
        data = data[taken:]


def _ignore(_: BaseException) -> None:
    """Be told of a failure, and leave it to those who hear of it on the loop."""


Job = Callable[[], object]


class Journal:
    """Group commit. Before `start`, `append` writes at once on the calling thread.

    A failure is told twice: to `at_once` on the thread that met it, before anything else can happen on the
    loop, and to `on_failure` on the loop.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        on_durable: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        at_once: Callable[[BaseException], None] = _ignore,
    ) -> None:
        self._writer = writer
        self._on_durable, self._on_failure, self._at_once = on_durable, on_failure, at_once
        self._queue: list[Entry] = []
        self._jobs: list[tuple[Job, asyncio.Future[None]]] = []
        self._wake = threading.Condition()
        self._hurried = False
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None

    @property
    def closed_seq(self) -> int:
        """The last record of the closed segments, 0 where none is."""
        return self._writer.closed_seq

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

    async def run(self, job: Job) -> None:
        """Do `job` on the writer's thread, between two batches; an OSError of it is final like any other.

        Returns also where it failed, or was never begun because the journal has failed.
        """
        if self._thread is None:
            if self.failure is None:
                self._try(job)
            return
        done = asyncio.get_running_loop().create_future()
        with self._wake:
            if self.failure is not None:
                return
            self._jobs.append((job, done))
            self._wake.notify()
        await done

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
        if self._try(lambda: self._writer.write(entries)):
            self._on_durable(entries[-1].seq)

    def _try(self, job: Job) -> bool:
        try:
            job()
        except OSError as error:
            self.failure = error
            self._at_once(error)
            self._on_failure(error)
            return False
        return True

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
                while not (self._queue and self._hurried) and not self._jobs and not self._stopping:
                    self._wake.wait()
                batch, self._queue, self._hurried = self._queue, [], False
            if not batch and not self._jobs:
                return
            if batch:
                seq = self._writer.write(batch)
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(self._on_durable, seq)
            while self._jobs:
                job, done = self._jobs[0]
                job()
                del self._jobs[0]
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_resolve, done)

    def _fail(self, failure: BaseException, loop: asyncio.AbstractEventLoop) -> None:
        with self._wake:
            self.failure = failure
        self._at_once(failure)
        for _, done in self._jobs:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_resolve, done)
        try:
            loop.call_soon_threadsafe(self._on_failure, failure)
        except RuntimeError:  # the loop is closed, yet someone must hear of it
            self._on_failure(failure)


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():  # its caller may have been cancelled
        done.set_result(None)
