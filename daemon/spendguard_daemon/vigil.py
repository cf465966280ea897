"""Notices that the machine slept, and ends the calls whose deadlines passed meanwhile.

The event loop's timers stand still while a machine is suspended, so a deadline would come late by that time.
A process that is merely stopped needs none of this: its timers go on, and are due when it goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from spendguard_daemon.ports import Clock

LOOK_SECONDS = 1.0

log = logging.getLogger(__name__)


class Vigil:
    """Compares the clock, which counts sleep, with the loop's own, which does not."""

    def __init__(self, clock: Clock, loop_time: Callable[[], float], idle_seconds: int):
        self._clock, self._loop_time, self._idle_seconds = clock, loop_time, idle_seconds
        self._lead_seconds = self._lead()

    def slept_seconds(self) -> float:
        """Return how long the machine slept since this was asked last."""
        before, self._lead_seconds = self._lead_seconds, self._lead()
        return self._lead_seconds - before

    async def keep(self, calls: Callable[[], list[str]], abort: Callable[[str], Awaitable[object]]) -> None:
        """Watch for ever. A sleep as long as the idle deadline is one for every call: none has had a byte."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            slept_seconds = self.slept_seconds()
            if slept_seconds >= self._idle_seconds:
                log.warning(
                    "the machine slept past the deadlines of its calls",
                    extra={"facts": {"slept_seconds": round(slept_seconds)}},
                )
                for call_id in calls():
                    await abort(call_id)

    def _lead(self) -> float:
        return self._clock.monotonic_ns() / 1e9 - self._loop_time()
