"""Stand-ins for the journal's thread: the same writer and the same batches, but on the simulation's time.

A batch is taken when the pen is free and written a moment later, in one step of the loop; who waits hears of
it another moment later. In between anything may happen, a power cut too, inside the write itself as well.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, ParamSpec, TypeVar

from simulator.disk import PowerCut
from spendguard_daemon.ledger.compaction import Compaction, StoppedError
from spendguard_daemon.ledger.journal import Entry, Job, Journal
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.room import RoomLimits

P = ParamSpec("P")
T = TypeVar("T")
LIMITS = RoomLimits(free_bytes_min=20_000, ballast_bytes=10_000)
"""A ledger for small disks."""


class SteppedJournal(Journal):
    """Group commit without a thread. The world that made the ledger sets these before it is opened."""

    chance: ClassVar[random.Random]
    on_power_cut: ClassVar[Callable[[], None]]
    on_entries: ClassVar[Callable[[Sequence[Entry]], None]]

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: asyncio.AbstractEventLoop | None = loop
        self._busy = False
        self._untold: deque[int] = deque()
        self._mine = (type(self).chance, type(self).on_power_cut, type(self).on_entries)

    @property
    def idle(self) -> bool:
        """Whether all that was appended is on the disk and told."""
        return not (self._busy or self._queue or self._untold)

    def append(self, entries: Sequence[Entry]) -> None:
        self._mine[2](entries)
        self._queue.extend(entries)
        self._wake_pen()

    async def run(self, job: Job) -> None:
        await asyncio.sleep(_moment(self._mine[0]))
        while self._busy:
            await asyncio.sleep(0.001)
        if self.failure is None:
            self._attempt(job)

    def stop(self) -> None:
        self._loop = None
        self._writer.close()

    def _wake_pen(self) -> None:
        if self._queue and not self._busy and self._loop is not None:
            self._busy = True
            self._loop.call_later(_moment(self._mine[0]), self._write)

    def _write(self) -> None:
        batch, self._queue = self._queue, []
        self._busy = False
        if self._loop is None or self.failure is not None:
            return
        if batch and self._attempt(lambda: self._writer.write(batch)):
            self._untold.append(batch[-1].seq)
            self._loop.call_later(_moment(self._mine[0]), self._tell)
            self._wake_pen()

    def _attempt(self, job: Job) -> bool:
        try:
            job()
        except PowerCut:
            self._mine[1]()
            return False
        except OSError as error:
            self.failure = error
            self._at_once(error)
            self._on_failure(error)
            return False
        return True

    def _tell(self) -> None:
        # The thread tells in order, whatever the loop does with what is ready at the same time.
        self._on_durable(self._untold.popleft())


def _moment(chance: random.Random) -> float:
    return 0.0 if chance.random() < 0.2 else chance.random() ** 3 * 0.01


class SteppedCompaction(Compaction):
    """Compaction in one step of the loop for each part that the daemon does on another thread."""

    async def aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(_moment(SteppedJournal.chance) * 20)
        try:
            return work(*args, **kwargs)
        except PowerCut:
            SteppedJournal.on_power_cut()
            await asyncio.sleep(10**6)
            raise

    def _pause(self) -> None:
        if self._stopping.is_set():
            raise StoppedError


class SimLedger(Ledger):
    """The real ledger with the pen of the simulation."""

    journal_kind: ClassVar[type[Journal]] = SteppedJournal
    compaction_kind = SteppedCompaction
