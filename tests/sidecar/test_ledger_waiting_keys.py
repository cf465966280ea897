"""Where waiting calls meet keys: what ends while a call waits ends its wait, and keeps nobody waiting."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ledger_desk import LONG, Desk, code_of, open_desk, settled_down
from ledger_kit import AGENT, add_key, hold_call, new_agent, open_ledger, refused_code, settle
from sim import SimClock, SimDisk
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.room import RoomLimits

NS = 10**9


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Yield a desk whose journal is checked in the end."""
    async with open_desk() as desk:
        yield desk


async def test_a_secret_that_was_replaced_ends_the_calls_that_wait_with_it(desk: Desk) -> None:
    """A call proves itself when it arrives; what it proved must still hold when it gets its money."""
    ledger = await desk.fund(1_500)
    await ledger.submit(add_key("root"))
    await ledger.hold(hold_call("c0"), 0)
    old = hold_call("c1", keys=("root",), root_public="public of root", wait_seconds=600)
    waiting = asyncio.ensure_future(ledger.hold(old, 0))
    await settled_down()
    await ledger.submit(cmd.RotateKey(AGENT, "root", "another", "me"))
    assert await code_of(waiting) == "key_unknown"
    late = hold_call("c2", keys=("root",), root_public="public of root")
    assert refused_code(lambda: ledger.post(late)) == "key_unknown"
    ledger.post(settle("c0", 0))
    await ledger.hold(hold_call("c3", keys=("root",), root_public="another"), 0)
    ledger.post(settle("c3", 0))


async def test_a_call_whose_key_expires_bars_nobody_any_more(desk: Desk) -> None:
    """Time alone ends its wait: there may be no event for as long as it was let wait."""
    ledger = await desk.fund(1_500)
    end_ns = (ledger.now().wall_ns // NS + 1) * NS
    await ledger.submit(add_key("root", expires_ns=end_ns))
    await ledger.hold(hold_call("c0"), 0)
    dead = asyncio.ensure_future(ledger.hold(hold_call("c1", keys=("root",), wait_seconds=600), 0))
    await settled_down()
    small = hold_call("c2", output_tokens=1, floor_output_tokens=1, wait_seconds=600)
    behind = asyncio.ensure_future(ledger.hold(small, 0))
    await settled_down()
    desk.clock.advance(2)
    assert await code_of(dead) == "key_expired"
    assert (await asyncio.wait_for(behind, LONG)).call_id == "c2"
    ledger.post(settle("c0", 0))
    ledger.post(settle("c2", 0))


async def test_a_call_waits_for_what_its_key_holds_and_not_for_another_limit(desk: Desk) -> None:
    """No command raises a key's limit: once nothing that it holds can come free, waiting is in vain."""
    ledger = await desk.fund(10_000)
    await ledger.submit(add_key("root", limit_nusd=1_500))
    await ledger.hold(hold_call("c0", keys=("root",)), 0)
    held = asyncio.ensure_future(ledger.hold(hold_call("c1", keys=("root",), wait_seconds=600), 0))
    await settled_down()
    assert [waiter.refused.facts["budget"] for waiter in ledger.waiting()] == ["key"]
    ledger.post(settle("c0", 1_000))
    assert await code_of(held) == "key_limit"
    late = asyncio.ensure_future(ledger.hold(hold_call("c2", keys=("root",), wait_seconds=600), 0))
    assert await code_of(late) == "key_limit"
    assert ledger.waiting() == []


def test_no_key_is_adopted_where_the_disk_has_no_room_for_calls() -> None:
    """Who holds a key mints others for nothing; the last room is for the ends of calls, and for operators."""
    ledger = open_ledger(SimDisk(), SimClock(), limits=RoomLimits(free_bytes_min=2**61, ballast_bytes=0))
    ledger.post(new_agent())
    ledger.post(add_key("root"))
    child = add_key("child", parent_id="root", expires_ns=ledger.now().wall_ns + 60 * NS)
    assert refused_code(lambda: ledger.post(child)) == "ledger_full"
