"""Calls that wait for held money or for the lock: first come first served, and nothing left behind."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from ledger_desk import LONG, Desk, code_of, open_desk, settled_down
from ledger_kit import (
    AGENT,
    add_key,
    grant,
    hold_call,
    new_agent,
    settle,
)
from sim import Gate
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Yield a desk whose journal is checked in the end."""
    async with open_desk() as desk:
        yield desk


async def test_a_thousand_waiting_calls_are_served_in_order(desk: Desk) -> None:
    """Each settlement lets in as many as fit, the longest waiting first; the cap holds at every record."""
    ledger = await desk.fund(10_000, overflow="refuse")

    async def call(call_id: str) -> None:
        hold = await ledger.hold(hold_call(call_id), LONG)
        await asyncio.sleep(0)
        ledger.post(settle(hold.call_id, 3))

    await asyncio.wait_for(
        asyncio.gather(*(call(f"c{index}") for index in range(1_000)), return_exceptions=True), LONG
    )
    # Ten at a time can be held; each really costs 3, so what is given back is enough for all of them.
    # The journal tells who was served when; which of the waiting tasks runs first afterwards does not matter.
    holds = [_decoded(line) for line in desk.lines() if b'"t":"hold"' in line]
    assert [hold.call_id for hold in holds] == [f"c{index}" for index in range(1_000)]
    for hold in holds:
        assert hold.settled_nusd + hold.held_nusd <= hold.funded_nusd


def _decoded(line: bytes) -> ev.Hold:
    return msgspec.json.decode(line, type=ev.Hold)


async def test_a_waiting_call_gets_the_money_that_another_gives_back(desk: Desk) -> None:
    """Settling, voiding and topping up all wake it."""
    ledger = await desk.fund(1_500)
    wakers: list[cmd.Command] = [
        settle("c0", 0),
        cmd.VoidCall("c1", "never sent", None),
        cmd.TopUp(AGENT, 1_000, "me"),
    ]
    await ledger.hold(hold_call("c0"), 0)
    for index, waker in enumerate(wakers):
        waiting = asyncio.ensure_future(ledger.hold(hold_call(f"c{index + 1}"), LONG))
        await settled_down()
        assert not waiting.done()
        if isinstance(waker, cmd.TopUp):
            await ledger.submit(cmd.GrantBudget(AGENT, 5_000, None, "me"))
        await ledger.submit(waker)
        assert (await asyncio.wait_for(waiting, LONG)).call_id == f"c{index + 1}"


async def test_a_call_waits_for_what_its_key_holds(desk: Desk) -> None:
    """It gets what another call of the key gives back; and an end where the key is revoked meanwhile."""
    ledger = await desk.fund(50_000, concurrency="shared")
    await ledger.submit(add_key("root", limit_nusd=1_500))
    await ledger.hold(hold_call("c0", keys=("root",)), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c1", keys=("root",)), LONG))
    await settled_down()
    assert not waiting.done()
    ledger.post(settle("c0", 400))
    assert (await asyncio.wait_for(waiting, LONG)).keys == ["root"]
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c2", keys=("root",)), LONG))
    await settled_down()
    assert not waiting.done()
    await ledger.submit(cmd.RevokeKey(AGENT, "root", "me"))
    assert await code_of(waiting) == "key_unknown"


async def test_new_calls_queue_behind_those_that_wait(desk: Desk) -> None:
    """A small call that would fit does not overtake a large one."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    large = asyncio.ensure_future(ledger.hold(hold_call("large"), LONG))
    await settled_down()
    small = hold_call("small", output_tokens=1, floor_output_tokens=1)
    with pytest.raises(SpendGuardError) as caught:
        await ledger.hold(small, 0)
    assert caught.value.code is Code.BUDGET_HELD
    waiting = asyncio.ensure_future(ledger.hold(small, LONG))
    await settled_down()
    assert not large.done()
    assert not waiting.done()
    await ledger.submit(settle("c0", 10))
    assert (await asyncio.wait_for(large, LONG)).held_nusd == 1_000
    assert (await asyncio.wait_for(waiting, LONG)).held_nusd == 1_100


async def test_the_wait_ends_with_a_refusal(desk: Desk) -> None:
    """Nothing was given back in time; the queue is empty again and the next one is served."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    first = asyncio.ensure_future(ledger.hold(hold_call("c1"), 0.05))
    await settled_down()
    second = asyncio.ensure_future(ledger.hold(hold_call("c2", output_tokens=5, floor_output_tokens=5), LONG))
    assert await code_of(first) == "budget_held"
    assert (await asyncio.wait_for(second, LONG)).amount_nusd == 500


async def test_a_short_wait_is_a_wait(desk: Desk) -> None:
    """Also one of a second."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c1"), 1))
    await settled_down()
    ledger.post(settle("c0", 10))
    assert (await asyncio.wait_for(waiting, LONG)).call_id == "c1"


async def test_a_wait_that_has_become_hopeless_ends_at_once(desk: Desk) -> None:
    """Money settled at worst, a freeze, a deletion: the call hears why."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c1"), LONG))
    await settled_down()
    await ledger.submit(cmd.SettleAtWorst("c0", "timeout", None))
    assert await code_of(waiting) == "insufficient_budget"
    await ledger.submit(grant(1_500, 1_000))
    await ledger.hold(hold_call("c2"), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c3"), LONG))
    await settled_down()
    await ledger.submit(cmd.Freeze(AGENT, "mad", "me"))
    assert await code_of(waiting) == "agent_frozen"


async def test_refusals_that_waiting_cannot_mend_come_at_once(desk: Desk) -> None:
    """Also behind a queue."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c1"), LONG))
    await settled_down()
    other_run = asyncio.ensure_future(ledger.hold(hold_call("c2", run_id="run-2"), LONG))
    assert await code_of(other_run) == "budget_locked"
    too_dear = asyncio.ensure_future(
        ledger.hold(hold_call("c3", output_tokens=99, floor_output_tokens=99), LONG)
    )
    assert await code_of(too_dear) == "insufficient_budget"
    waiting.cancel()


async def test_under_a_daemon_cap_agents_wait_for_each_other(desk: Desk) -> None:
    """Money that one agent gives back serves the agent whose call waits longest."""
    ledger = await desk.fund(50_000)
    for name in ("agent-2", "agent-3"):
        await ledger.submit(new_agent(name))
        await ledger.submit(grant(50_000, agent_id=name))
    await ledger.submit(cmd.SetDaemonLimit(1_000, None, "me"))
    await ledger.hold(hold_call("c1"), 0)
    third = asyncio.ensure_future(ledger.hold(hold_call("c3", agent_id="agent-3"), LONG))
    await settled_down()
    second = asyncio.ensure_future(ledger.hold(hold_call("c2", agent_id="agent-2"), LONG))
    await settled_down()
    await ledger.submit(settle("c1", 0))
    assert (await asyncio.wait_for(third, LONG)).agent_id == "agent-3"
    await settled_down()
    assert not second.done()
    await ledger.submit(cmd.TopUpDaemon(1_000, "me"))
    assert not second.done()
    await ledger.submit(cmd.SetDaemonLimit(None, None, "me"))
    assert (await asyncio.wait_for(second, LONG)).agent_id == "agent-2"


async def test_a_caller_that_leaves_the_queue_takes_nothing(desk: Desk) -> None:
    """It is forgotten, and the one behind it moves up."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    gone = asyncio.ensure_future(ledger.hold(hold_call("c1"), LONG))
    await settled_down()
    behind = asyncio.ensure_future(ledger.hold(hold_call("c2", output_tokens=5, floor_output_tokens=5), LONG))
    await settled_down()
    gone.cancel()
    assert (await asyncio.wait_for(behind, LONG)).call_id == "c2"
    assert "c1" not in ledger.state.open_calls
    assert ledger.state.ended_call("c1") is None


async def test_a_caller_that_leaves_before_its_hold_is_durable_leaves_no_hold(desk: Desk) -> None:
    """The hold was decided, so it is voided, on the record."""
    ledger = await desk.fund(1_500)
    gate = Gate()
    desk.disk.hook = gate
    holding = asyncio.ensure_future(ledger.hold(hold_call("c1"), 0))
    assert await asyncio.to_thread(gate.reached.acquire, timeout=LONG)
    holding.cancel()
    await settled_down()
    assert holding.cancelled()
    ended = ledger.state.ended_call("c1")
    assert ended is not None
    assert (ended.outcome, ended.reason, ended.cost_nusd) == ("voided", "client left before sending", 0)
    desk.disk.hook = None
    gate.open.release()


async def test_a_caller_that_leaves_just_as_it_is_granted_leaves_no_hold(desk: Desk) -> None:
    """Granted by another's settlement in the same turn of the loop in which it was cancelled."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c1"), LONG))
    await settled_down()
    waiting.cancel()
    ledger.post(settle("c0", 0))
    assert "c1" in ledger.state.open_calls
    await settled_down()
    ended = ledger.state.ended_call("c1")
    assert ended is not None
    assert ended.outcome == "voided"


async def test_a_caller_that_leaves_just_as_it_is_refused_leaves_nothing(desk: Desk) -> None:
    """Refused in the same turn of the loop in which it was cancelled: there is no hold to void."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c1"), LONG))
    await settled_down()
    waiting.cancel()
    ledger.post(cmd.Freeze(AGENT, "mad", "me"))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert set(ledger.state.open_calls) == {"c0"}
    assert ledger.state.ended_call("c1") is None


async def test_a_call_that_leaves_for_its_provider_frees_nothing(desk: Desk) -> None:
    """Those that wait go on waiting."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c1"), LONG))
    await settled_down()
    for records in (1, 0):  # the second time there is nothing to note
        assert len(ledger.post(cmd.MarkSent("c0", []))) == records
        await settled_down()
        assert not waiting.done()
    ledger.post(settle("c0", 0))
    assert (await asyncio.wait_for(waiting, LONG)).call_id == "c1"


async def test_the_fair_turn_of_the_lock(desk: Desk) -> None:
    """A run that was turned away gets its turn after 30 s, though the holder keeps overlapping."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    for _ in range(31):
        desk.clock.advance(1)
        assert (
            await code_of(asyncio.ensure_future(ledger.hold(hold_call("b1", run_id="B"), 0)))
            == "budget_locked"
        )
    with pytest.raises(SpendGuardError) as caught:
        await ledger.hold(hold_call("a2", run_id="A"), 0)
    assert caught.value.facts["next_run_id"] == "B"
    await ledger.submit(settle("a1", 1))
    assert (
        await code_of(asyncio.ensure_future(ledger.hold(hold_call("a2", run_id="A"), 0))) == "budget_locked"
    )
    assert (await ledger.hold(hold_call("b1", run_id="B"), 0)).run_id == "B"
    lock = ledger.lock(AGENT)
    assert lock is not None
    assert (lock.run_id, lock.expires_ns) == ("B", hold_call("b1").deadline_ns)


async def test_a_call_whose_client_left_gives_up_the_lock(desk: Desk) -> None:
    """It drains with its hold, while another run goes on."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    ledger.detach("a1")
    assert ledger.lock(AGENT) is None
    assert (await ledger.hold(hold_call("b1", run_id="B"), 0)).held_nusd == 2_000
