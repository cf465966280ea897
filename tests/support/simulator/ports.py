"""Clock, chance and client of the simulated world; its disk and its provider have files of their own."""

import asyncio
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from simulator.loop import SimLoop
from spendguard_daemon.call import ClientGoneError

START_WALL_NS = 1_800_000_000 * 10**9


@dataclass
class StepClock:
    """Time that is counted in commands."""

    now_ns: int = 0

    def wall_ns(self) -> int:
        return START_WALL_NS + self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns


class SimClock:
    """The loop's time as both clocks; the wall clock is set now and then."""

    def __init__(self) -> None:
        self.loop: SimLoop | None = None
        self.wall_offset_ns = START_WALL_NS

    def monotonic_ns(self) -> int:
        assert self.loop is not None
        return int(self.loop.time() * 10**9) + 10**9

    def wall_ns(self) -> int:
        return self.monotonic_ns() + self.wall_offset_ns


class SimRng:
    """Chance from a seed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def token(self, n_bytes: int) -> bytes:
        return self._chance.randbytes(n_bytes)

    def uuid4(self) -> str:
        return str(uuid.UUID(bytes=self._chance.randbytes(16), version=4))


class SimClient:
    """Takes an answer, slowly at times, and may be gone."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._gone = False

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        await self._take()

    async def write(self, data: bytes) -> None:
        await self._take()

    async def _take(self) -> None:
        dice = self._chance.random()
        self._gone = self._gone or dice < 0.03
        if self._gone:
            raise ClientGoneError
        if dice > 0.9:
            await asyncio.sleep(self._chance.random())
