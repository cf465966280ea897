"""An asyncio loop without a selector: time jumps to the next timer, what is ready runs in seeded order."""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Mapping
from typing import Any


class StuckError(Exception):
    """Nothing is ready and no timer is set: whoever waits would wait for ever."""


class SimLoop(asyncio.BaseEventLoop):
    """Runs callbacks in virtual time. With `chance`, those that are ready at once run in any order."""

    _ready: deque[Any]
    _scheduled: list[Any]
    _stopping: bool

    def __init__(self, now_seconds: float = 0.0, chance: random.Random | None = None) -> None:
        super().__init__()
        self._now_seconds = now_seconds
        self._chance = chance
        self._halted = False
        self.steps = 0
        self.unhandled: list[Mapping[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.unhandled.append(context))

    def time(self) -> float:
        return self._now_seconds

    def halt(self) -> None:
        """Stop dead: not one more callback runs, as after kill -9."""
        self._halted = True
        self.stop()

    def revive(self) -> None:
        """Run again, for tidying up after a halt."""
        self._halted = False

    def tidy(self) -> None:
        """Cancel every task that is left, then close."""
        self.revive()
        self.set_exception_handler(lambda _, __: None)
        for _ in range(50):
            tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self.run_until_complete(asyncio.wait(tasks, timeout=10))
        self.close()

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready and not self._stopping:
            if not scheduled:
                raise StuckError("nothing is left that could happen")
            self._now_seconds = max(self._now_seconds, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now_seconds:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        batch = list(ready)
        ready.clear()
        if self._chance is not None and len(batch) > 1:
            self._chance.shuffle(batch)
        for index, handle in enumerate(batch):
            if self._halted:
                # Not lost but stopped: whoever tidies up lets them run against a world that is dead.
                ready.extendleft(reversed(batch[index:]))
                return
            if not handle._cancelled:
                self.steps += 1
                handle._run()

    def _process_events(self, event_list: Any) -> None:
        raise NotImplementedError

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""
