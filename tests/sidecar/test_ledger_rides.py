"""Records that nobody waits for ride along with the next one that somebody waits for; an overrun does not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ledger_desk import LONG, Desk, open_desk
from ledger_kit import SEGMENT, hold_call, settle
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import journal


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """Yield a desk at which a ride, once begun, lasts for ever unless somebody hurries."""
    monkeypatch.setattr(journal, "RIDE_SECONDS", 3_600)
    async with open_desk() as desk:
        yield desk


async def test_a_settlement_rides_along_with_the_next_hold(desk: Desk) -> None:
    """It costs no sync of its own: sent, settled and held again are one batch."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("c0"), 0)
    syncs = desk.disk.operations.count(("sync", SEGMENT.name))
    ledger.post(cmd.MarkSent("c0", ()))
    ledger.post(settle("c0", 10))
    await ledger.hold(hold_call("c1"), 0)
    assert desk.disk.operations.count(("sync", SEGMENT.name)) == syncs + 1
    durable = desk.disk.crash().read(SEGMENT)
    assert durable.index(b'"t":"sent"') < durable.index(b'"t":"settle"') < durable.index(b'"c1"')


async def test_an_overrun_is_written_at_once(desk: Desk) -> None:
    """Its loss would count too little, so it waits for nobody."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("c0"), 0)
    safe = asyncio.Event()
    ledger.subscribe(lambda event, seq, wall_ns: safe.set())
    ledger.post(settle("c0", 1_100))
    await asyncio.wait_for(safe.wait(), LONG)
    assert b'"t":"overrun"' in desk.disk.crash().read(SEGMENT)


async def test_what_rides_is_written_when_the_ledger_closes(desk: Desk) -> None:
    """A polite end loses nothing."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("c0"), 0)
    ledger.post(settle("c0", 10))
    await ledger.close("down")
    assert b'"t":"settle"' in desk.disk.crash().read(SEGMENT)
