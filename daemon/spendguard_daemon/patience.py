"""A deadline for one wait that does not count our own delay against the other side.

Owns that timer and nothing of what is awaited. When the loop itself stood still, the deadline of a wait may
pass while what it waits for has long arrived, unread; a plain timeout would then cut a paid answer off. But a
process that stood still for longer than that was stopped: then the clock counts, and the wait is over.
"""

import asyncio
from types import TracebackType
from typing import Self

LOOP_TURNS = 4
"""In one turn what has arrived is read, in the next who waits for it goes on; twice that for safety."""

STALL_SECONDS = 2.0
"""Past a deadline by more than this, the delay is no longer one of ours: the whole process was stopped."""


class Patience:
    """Bounds the waits in its block; raises TimeoutError as `asyncio.timeout` does, few loop turns later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = max(seconds, 0.0)
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._due = self._loop.time() + self._seconds
        self._next: asyncio.Handle = self._loop.call_later(self._seconds, self._late, LOOP_TURNS)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._next.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _late(self, turns: int) -> None:
        """Wait some more turns of the loop, then cut the wait; at once where the process was stopped."""
        if turns and self._loop.time() - self._due < STALL_SECONDS:
            self._next = self._loop.call_soon(self._late, turns - 1)
        else:
            self._limit.reschedule(self._loop.time())
