"""Where waiting calls meet keys: what ends while a call waits ends its wait, and keeps nobody waiting."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ledger_desk import LONG, Desk, code_of, open_desk, settled_down
from ledger_kit import AGENT, add_key, hold_call, new_agent, open_ledger, refused_code, settle
from sim import SimClock, SimDisk
from spendguard_daemon.errors import Code, SpendGuardError
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


async def test_a_call_waits_on_where_its_key_lives_on(desk: Desk) -> None:
    """By its own end for a key that lives longer; past the time of one by a clock that was set back."""
    ledger = await desk.fund(1_500)
    now_ns = ledger.now().wall_ns
    await ledger.submit(add_key("long", expires_ns=now_ns + 3600 * NS))
    await ledger.submit(add_key("short", expires_ns=now_ns + NS // 1000))
    await ledger.hold(hold_call("c0"), 0)
    brief = ledger.hold(hold_call("c1", keys=("long",)), 0.01)
    assert await code_of(asyncio.ensure_future(brief)) == "budget_held"
    slow = ledger.hold(hold_call("c2", keys=("short",)), 1.1)
    assert await code_of(asyncio.ensure_future(slow)) == "budget_held"
    woken = asyncio.ensure_future(ledger.hold(hold_call("c3", keys=("short",), wait_seconds=600), 0))
    await settled_down()
    ledger.post(settle("c0", 0))
    assert (await asyncio.wait_for(woken, LONG)).call_id == "c3"
    ledger.post(settle("c3", 0))


@pytest.mark.parametrize(("most", "most_of_agent"), [(2, 9), (9, 2)])
async def test_so_many_calls_wait_and_the_next_is_refused(desk: Desk, most: int, most_of_agent: int) -> None:
    """At once, and told why; a place that is free again is taken again."""
    ledger = await desk.fund(500)
    ledger.limit_waiting(most, most_of_agent)
    first, second = (
        asyncio.ensure_future(ledger.hold(hold_call(call_id, wait_seconds=600), 0))
        for call_id in ("c0", "c1")
    )
    await settled_down()
    third = ledger.hold(hold_call("c2", wait_seconds=600), 0)
    with pytest.raises(SpendGuardError) as caught:
        await third
    assert caught.value.code is Code.INSUFFICIENT_BUDGET
    assert "too many calls" in caught.value.detail
    first.cancel()
    await settled_down()
    fourth = asyncio.ensure_future(ledger.hold(hold_call("c3", wait_seconds=600), 0))
    await settled_down()
    assert [waiter.command.call_id for waiter in ledger.waiting()] == ["c1", "c3"]
    second.cancel()
    fourth.cancel()
    await settled_down()
