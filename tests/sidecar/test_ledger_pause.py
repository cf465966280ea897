"""Calls that were asked to wait: for a top-up, for a lock, in their order, and no longer than they asked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ledger_desk import LONG, Desk, code_of, open_desk, settled_down
from ledger_kit import AGENT, grant, hold_call, new_agent, settle
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.waiting import Waiter

Holding = asyncio.Future[ev.Hold]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Yield a desk whose journal is checked in the end."""
    async with open_desk() as desk:
        yield desk


async def asked(desk: Desk, call_id: str, tokens: int = 10, *, wait: int = 60, **changes: Any) -> Holding:
    """Start a call of so many tokens (100 nUSD each) that waits; return when it does, or is answered."""
    command = hold_call(
        call_id, output_tokens=tokens, floor_output_tokens=tokens, wait_seconds=wait, **changes
    )
    holding = asyncio.ensure_future(desk.ledger.hold(command, 0))
    await settled_down()
    return holding


async def got(holding: Holding) -> str:
    """Return the id of a call that gets its hold."""
    return (await asyncio.wait_for(holding, LONG)).call_id


def waiting(desk: Desk) -> list[tuple[str, str]]:
    """Return who waits, and with which refusal."""
    return [(waiter.command.call_id, waiter.refused.code.value) for waiter in desk.ledger.waiting()]


async def refused(holding: Holding) -> SpendGuardError:
    with pytest.raises(SpendGuardError) as caught:
        await asyncio.wait_for(holding, LONG)
    return caught.value


async def test_a_top_up_serves_those_that_wait_in_their_order_as_far_as_it_goes(desk: Desk) -> None:
    """Who needs more than there is lets the others pass, those that wait and those that come."""
    ledger = await desk.fund(500)
    await ledger.submit(grant(10_000, 0))
    large, small = await asked(desk, "large", 30), await asked(desk, "small", 10)
    assert waiting(desk) == [("large", "insufficient_budget"), ("small", "insufficient_budget")]
    assert (await ledger.hold(hold_call("new", output_tokens=5, floor_output_tokens=5), 0)).amount_nusd == 500
    await ledger.submit(cmd.TopUp(AGENT, 1_000, "me"))
    assert await got(small) == "small"
    assert waiting(desk) == [("large", "insufficient_budget")]
    last = await asked(desk, "last", 30)
    await ledger.submit(cmd.TopUp(AGENT, 3_000, "me"))
    assert await got(large) == "large"
    assert waiting(desk) == [("last", "budget_held")]
    await ledger.submit(settle("large", 0))
    assert await got(last) == "last"


async def test_who_waits_for_held_money_is_passed_by_nobody(desk: Desk) -> None:
    """Also where it waited for a top-up before, which was too late for what others hold."""
    ledger = await desk.fund(1_000)
    await ledger.hold(hold_call("c0"), 0)
    await ledger.submit(grant(10_000, 0))
    first = await asked(desk, "first", 20)
    second = await asked(desk, "second", 5)
    assert waiting(desk) == [("first", "insufficient_budget"), ("second", "budget_held")]
    await ledger.submit(cmd.TopUp(AGENT, 1_000, "me"))
    assert waiting(desk) == [("first", "budget_held"), ("second", "budget_held")]
    await ledger.submit(settle("c0", 0))
    assert await got(first) == "first"
    await ledger.submit(settle("first", 0))
    assert await got(second) == "second"


async def test_money_that_is_gone_for_good_is_waited_for_as_a_top_up(desk: Desk) -> None:
    """A settlement at worst makes held money spent: those behind may pass then."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    large = await asked(desk, "large", 10)
    small = await asked(desk, "small", 5)
    await ledger.submit(cmd.SettleAtWorst("c0", "timeout", None))
    assert await got(small) == "small"
    assert waiting(desk) == [("large", "insufficient_budget")]
    large.cancel()


async def test_a_budget_that_was_never_set_is_waited_for(desk: Desk) -> None:
    ledger = await desk.fund(500)
    await ledger.submit(new_agent("agent-2"))
    holding = await asked(desk, "c1", agent_id="agent-2")
    assert waiting(desk) == [("c1", "budget_not_set")]
    (waiter,) = ledger.waiting("agent-2")
    assert (waiter.command.call_id, waiter.command.worst_nusd) == ("c1", 1_000)
    assert ledger.waiting(AGENT) == []
    await ledger.submit(grant(1_000, agent_id="agent-2"))
    assert await got(holding) == "c1"


async def test_under_the_cap_of_all_agents_it_goes_by_who_came_first(desk: Desk) -> None:
    """Whatever agent it is of."""
    ledger = await desk.fund(50_000)
    await ledger.submit(new_agent("agent-2"))
    await ledger.submit(grant(50_000, agent_id="agent-2"))
    await ledger.submit(cmd.SetDaemonLimit(10_000, 0, "me"))
    await ledger.submit(cmd.SetDaemonLimit(1_000, None, "me"))
    await ledger.submit(cmd.SetDaemonLimit(10_000, 0, "me"))
    await ledger.submit(settle((await ledger.hold(hold_call("c0"), 0)).call_id, 1_000))
    first = await asked(desk, "first")
    second = await asked(desk, "second", agent_id="agent-2")
    third = await asked(desk, "third")
    assert waiting(desk) == [(name, "daemon_cap") for name in ("first", "second", "third")]
    await ledger.submit(cmd.TopUpDaemon(2_000, "me"))
    assert (await got(first), await got(second)) == ("first", "second")
    assert waiting(desk) == [("third", "budget_held")]
    await ledger.submit(settle("second", 0))
    assert await got(third) == "third"


@pytest.mark.parametrize("ends", ["settle", "detach", "shared"])
async def test_a_lock_that_is_let_go_lets_in_who_waits(desk: Desk, ends: str) -> None:
    """When the holder's call ends, when its client leaves, when the agent is shared from now on."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    second, third = await asked(desk, "b1", run_id="B"), await asked(desk, "c1", run_id="C")
    assert waiting(desk) == [("b1", "budget_locked"), ("c1", "budget_locked")]
    if ends == "settle":
        await ledger.submit(settle("a1", 1))
    elif ends == "detach":
        ledger.detach("a1")
        ledger.detach("a1")
    else:
        await ledger.submit(cmd.ChangeAgent(AGENT, concurrency="shared"))
    assert await got(second) == "b1"
    if ends != "shared":
        assert waiting(desk) == [("c1", "budget_locked")]
        await ledger.submit(settle("b1", 1))
    assert await got(third) == "c1"


async def test_a_run_that_keeps_overlapping_lets_in_who_waits(desk: Desk) -> None:
    """After 30 s, though the waiting run asked only once: its claim lives as long as it waits."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    holding = await asked(desk, "b1", run_id="B", wait=600)
    for number in range(2, 20):
        desk.clock.advance(5)
        ledger._waiting._look_again()  # as its timer does, once a second
        try:
            await ledger.hold(hold_call(f"a{number}", run_id="A"), 0)
        except SpendGuardError as error:
            assert error.code is Code.BUDGET_LOCKED
            break
        await ledger.submit(settle(f"a{number - 1}", 1))
    assert number == 7
    await ledger.submit(settle(f"a{number - 1}", 1))
    assert await got(holding) == "b1"


async def test_a_lock_that_is_kept_for_who_does_not_come_goes_to_who_waits(desk: Desk) -> None:
    """By time alone: no call ends and no client leaves at that moment."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    assert (
        await code_of(asyncio.ensure_future(ledger.hold(hold_call("b1", run_id="B"), 0))) == "budget_locked"
    )
    desk.clock.advance(29)
    assert (
        await code_of(asyncio.ensure_future(ledger.hold(hold_call("b1", run_id="B"), 0))) == "budget_locked"
    )
    desk.clock.advance(2)
    holding = await asked(desk, "a2", run_id="A")
    await ledger.submit(settle("a1", 1))
    await settled_down()
    assert waiting(desk) == [("a2", "budget_locked")]
    desk.clock.advance(6)
    assert await got(holding) == "a2"


async def test_who_comes_when_the_grace_is_over_does_not_pass_who_waits(desk: Desk) -> None:
    """The lock is theirs already, only nobody has looked."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    desk.clock.advance(31)
    assert (
        await code_of(asyncio.ensure_future(ledger.hold(hold_call("b1", run_id="B"), 0))) == "budget_locked"
    )
    holding = await asked(desk, "c1", run_id="C")
    await ledger.submit(settle("a1", 1))
    assert waiting(desk) == [("c1", "budget_locked")]
    desk.clock.advance(6)
    new = asyncio.ensure_future(ledger.hold(hold_call("d1", run_id="D"), 0))
    assert await code_of(new) == "budget_locked"
    assert await got(holding) == "c1"


async def test_a_call_of_the_locks_own_run_never_waits_behind_another_run(desk: Desk) -> None:
    """The other run waits for the lock, which this one's run has."""
    ledger = await desk.fund(1_000)
    await ledger.submit(grant(10_000, 0))
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    other = await asked(desk, "b1", run_id="B")
    own = await asked(desk, "a2", run_id="A")
    assert waiting(desk) == [("b1", "budget_locked"), ("a2", "budget_held")]
    await ledger.submit(cmd.TopUp(AGENT, 1_000, "me"))
    assert await got(own) == "a2"
    assert waiting(desk) == [("b1", "budget_locked")]
    other.cancel()


async def test_a_wait_for_the_lock_behind_one_for_held_money_keeps_its_claim(desk: Desk) -> None:
    ledger = await desk.fund(1_000)
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    own = await asked(desk, "a2", run_id="A")
    other = await asked(desk, "b1", run_id="B")
    assert waiting(desk) == [("a2", "budget_held"), ("b1", "budget_locked")]
    for _ in range(2):  # a run that asks again and again is told to stop after 30 s; this one has not to
        desk.clock.advance(29)
        ledger._waiting._look_again()
    desk.clock.advance(29)
    block = ledger.state.turns.block(AGENT, "C", cmd.Now(desk.clock.wall_ns(), desk.clock.monotonic_ns()))
    assert block is not None
    assert block.next_run_id == "B"
    for holding in (own, other):
        holding.cancel()


async def test_a_call_that_says_zero_is_refused_at_once(desk: Desk) -> None:
    """Also for money that others hold, for which a call waits that says nothing."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    for tokens, code in ((99, "insufficient_budget"), (10, "budget_held")):
        command = hold_call("c1", output_tokens=tokens, floor_output_tokens=tokens, wait_seconds=0)
        with pytest.raises(SpendGuardError) as caught:
            await ledger.hold(command, LONG)
        assert caught.value.code == code
        assert "waited_seconds" not in caught.value.facts


async def test_the_end_of_the_wait_is_the_refusal_of_that_moment(desk: Desk) -> None:
    """With how long it has waited; what others held all the while is not worth another try, a lock may be."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    poor = await asked(desk, "poor", 99, wait=1)
    held = await asked(desk, "held", 10, wait=1)
    locked = await asked(desk, "locked", 1, wait=1, run_id="B")
    error = await refused(poor)
    assert (error.code, error.facts["waited_seconds"]) == ("insufficient_budget", 1)
    assert error.detail.endswith("; it waited 1 s for that to change")
    error = await refused(held)
    assert (error.code, error.facts["waited_seconds"]) == ("budget_held", 1)
    assert error.facts["worth_waiting"] is False
    assert "retry_after_ms" not in error.facts
    error = await refused(locked)
    assert (error.code, error.facts["waited_seconds"], error.facts["worth_waiting"]) == (
        "budget_locked",
        1,
        True,
    )
    assert ledger.waiting() == []


async def test_a_run_that_has_tried_for_longer_says_so(desk: Desk) -> None:
    """What it waited in its request is a part of that."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    assert (
        await code_of(asyncio.ensure_future(ledger.hold(hold_call("b1", run_id="B"), 0))) == "budget_locked"
    )
    desk.clock.advance(20)
    holding = await asked(desk, "b2", run_id="B", wait=1)
    desk.clock.advance(20)
    error = await refused(holding)
    assert (error.facts["waited_seconds"], error.facts["worth_waiting"]) == (40, False)


async def test_at_the_last_moment_a_call_may_still_get_its_hold(desk: Desk) -> None:
    """The grace period was over before the wait was, and nobody had looked."""
    ledger = await desk.fund(100_000)
    await ledger.hold(hold_call("a1", run_id="A"), 0)
    desk.clock.advance(31)
    assert (
        await code_of(asyncio.ensure_future(ledger.hold(hold_call("b1", run_id="B"), 0))) == "budget_locked"
    )
    holding = await asked(desk, "c1", run_id="C", wait=1)
    await ledger.submit(settle("a1", 1))
    timer = ledger._waiting._timer
    assert timer is not None
    timer.cancel()
    desk.clock.advance(6)
    assert await got(holding) == "c1"


@pytest.mark.parametrize(
    ("command", "code"),
    [(cmd.Freeze(AGENT, "mad", "me"), "agent_frozen"), (cmd.DeleteAgent(AGENT, "me"), "agent_not_found")],
)
async def test_what_no_wait_can_mend_ends_every_wait(desk: Desk, command: cmd.Command, code: str) -> None:
    """Of those that wait for money, for a lock, and behind others."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    holdings = [await asked(desk, "held"), await asked(desk, "behind"), await asked(desk, "poor", 99)]
    holdings.append(await asked(desk, "locked", run_id="B"))
    await ledger.submit(command)
    assert [await code_of(holding) for holding in holdings] == [code] * 4


async def test_the_same_request_twice_is_not_waited_for_twice(desk: Desk) -> None:
    """When the first gets its hold, the second hears that it is in flight."""
    ledger = await desk.fund(500)
    await ledger.submit(grant(10_000, 0))
    key = ev.Idempotency("k", "chat/completions", "b")
    first, second = await asked(desk, "c1", idempotency=key), await asked(desk, "c2", idempotency=key)
    await ledger.submit(cmd.TopUp(AGENT, 5_000, "me"))
    assert await got(first) == "c1"
    assert await code_of(second) == "idempotency_in_flight"


async def test_a_caller_that_leaves_is_out_of_the_line(desk: Desk) -> None:
    """The one behind it goes at once."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    gone, behind = await asked(desk, "gone"), await asked(desk, "behind", 5)
    assert waiting(desk) == [("gone", "budget_held"), ("behind", "budget_held")]
    gone.cancel()
    assert await got(behind) == "behind"
    assert ledger.waiting() == []


async def test_nobody_waits_while_the_daemon_stops(desk: Desk) -> None:
    """Those that wait are refused, and so is who would; a call that need not wait is still served."""
    ledger = await desk.fund(1_000)
    await ledger.hold(hold_call("c0"), 0)
    waits = [await asked(desk, "c1", 99), await asked(desk, "c2", run_id="B")]
    ledger.stop_waiting()
    assert [await code_of(holding) for holding in waits] == ["shutting_down"] * 2
    assert await code_of(await asked(desk, "c3", 99)) == "shutting_down"
    await ledger.submit(settle("c0", 0))
    assert (await ledger.hold(hold_call("c4"), 0)).call_id == "c4"


async def test_nothing_is_written_for_a_wait(desk: Desk) -> None:
    ledger = await desk.fund(500)
    before = len(desk.lines())
    holding = await asked(desk, "c1")
    holding.cancel()
    await settled_down()
    await ledger.durable()
    assert len(desk.lines()) == before


@pytest.mark.parametrize(
    ("code", "budget", "bars"),
    [
        (Code.BUDGET_HELD, "agent", True),
        (Code.BUDGET_HELD, "daemon", True),
        (Code.BUDGET_HELD, "key", False),
        (Code.INSUFFICIENT_BUDGET, "agent", False),
    ],
)
async def test_what_only_a_key_holds_is_no_matter_of_others(code: Code, budget: str, bars: bool) -> None:
    """A key with little left must not stop its whole agent."""
    error = SpendGuardError(code, "x", facts={"budget": budget})
    assert Waiter(hold_call("c"), error, cmd.Now(0, 0), 1, 1).bars is bars
