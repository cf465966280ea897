"""Who waits for which record to be durable, and who wants to hear of it then. Lives on the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

from spendguard_daemon.ledger.book import Booked
from spendguard_daemon.ledger.events import Event

Listener = Callable[[Event, int, int], None]
"""Hears of a durable event: the event, its seq, its wall time in ns."""


class Acks:
    """Callers in the order of the seq that they wait for; seqs only grow, so the queue is sorted."""

    def __init__(self, durable_seq: int) -> None:
        self.durable_seq = durable_seq
        self._callers: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._listeners: list[Listener] = []
        self._failure: Exception | None = None

    def subscribe(self, listener: Listener) -> None:
        """Tell `listener` of each event from now on, in order, once it is durable."""
        self._listeners.append(listener)

    async def until(self, seq: int) -> None:
        """Return when record `seq` is durable; raise what `fail` was given."""
        if seq <= self.durable_seq:
            return
        if self._failure is not None:
            raise self._failure
        future = asyncio.get_running_loop().create_future()
        self._callers.append((seq, future))
        await future

    def advance(self, seq: int, fresh: deque[Booked]) -> None:
        """Note that all up to `seq` is durable: answer who waited, then tell the listeners."""
        self.durable_seq = seq
        callers = self._callers
        while callers and callers[0][0] <= seq:
            _, future = callers.popleft()
            if not future.done():  # its caller may have been cancelled
                future.set_result(None)
        while fresh and fresh[0].seq <= seq:
            booked = fresh.popleft()
            for listener in self._listeners:
                listener(*booked)

    def fail(self, error: Exception) -> None:
        """Tell everyone who waits, and whoever comes later, that it will never be durable."""
        self._failure = error
        while self._callers:
            _, future = self._callers.popleft()
            if not future.done():
                future.set_exception(error)
