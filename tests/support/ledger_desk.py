"""A started ledger on a simulated disk, for tests of its async face."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from journals import replayed
from ledger_kit import (
    HEAD,
    SEGMENT,
    Failures,
    grant,
    new_agent,
    open_ledger,
)
from sim import SimClock, SimDisk
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.ledger import Ledger

LONG = 20.0
"""Seconds after which a test that waits has failed."""


class Desk:
    """A started ledger on a simulated disk, with one funded agent."""

    def __init__(self) -> None:
        self.disk, self.clock, self.failures = SimDisk(), SimClock(), Failures()
        self.ledger = open_ledger(self.disk, self.clock, self.failures)

    async def fund(self, limit_nusd: int, **agent: str) -> Ledger:
        self.ledger.start(asyncio.get_running_loop())
        await self.ledger.submit(new_agent(**agent))
        await self.ledger.submit(grant(limit_nusd))
        return self.ledger

    def lines(self) -> list[bytes]:
        return self.disk.read(SEGMENT).splitlines()


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    """Yield a desk; close its ledger, and check that its journal replays to its state."""
    desk = Desk()
    yield desk
    if not desk.failures.seen:
        await desk.ledger.close("test")
        found, state = replayed(desk.disk.read(SEGMENT), desk.disk.read(HEAD))
        assert found.torn is None
        assert state == desk.ledger.state


async def code_of(holding: "asyncio.Future[ev.Hold]") -> str:
    """Return the code that a hold is refused with."""
    try:
        await asyncio.wait_for(holding, LONG)
    except SpendGuardError as error:
        return error.code.value
    raise AssertionError("not refused")


async def settled_down() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)
