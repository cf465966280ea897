"""Any history of the real ledger, told by the real feed: who listened knows it, however often it came back.

Flushes come at any moment, the ring is small, listeners stall, leave and come back with the id they have. In
the end each one's board says what the ledger says.
"""

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import NoReturn, cast
from unittest.mock import patch

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import canned
from ledger_kit import add_key, grant, hold_call, new_agent, open_ledger, settle
from sim import SimClock, SimDisk, SimRng
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Happened, Snapped
from spendguard_daemon import feed_wire, wire
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.gateway import feed as module
from spendguard_daemon.gateway.feed import Feed
from spendguard_daemon.gateway.feed_ring import Ring
from spendguard_daemon.gateway.feed_shapes import Shapes
from spendguard_daemon.gateway.spending import Spending
from spendguard_daemon.gateway.views import Condition
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.refusals import Refusal
from spendguard_daemon.ledger.state import Account
from spendguard_daemon.relay import Relay

EARS = 2
ENOUGH_TURNS = 60
"""Of the loop, for all that was noted to be told and taken."""

ACTS = (
    "new",
    "grant",
    "hold",
    "hold",
    "hold",
    "end",
    "end",
    "adjust",
    "freeze",
    "delete",
    "key",
    "cap",
    "detach",
)
BEGIN = [
    ("new", 0, 0),
    ("new", 1, 0),
    ("grant", 0, 1_400),
    ("grant", 1, 1_400),
    ("hold", 0, 0),
    ("hold", 1, 0),
]
"""Two agents with money and a call each, to begin with."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(ACTS), st.integers(0, 5), st.integers(0, 1_500)),
        st.tuples(
            st.sampled_from(["flush", "pass", "stall", "go", "leave", "back"]), st.integers(0, 4), st.just(0)
        ),
    ),
    min_size=10,
    max_size=80,
)


class Ear:
    """One listener with its board; `gate` is shut while it takes nothing."""

    def __init__(self, feed: Feed) -> None:
        self.feed, self.board, self.last_id = feed, Board(), ""
        self.gate = asyncio.Event()
        self.gate.set()
        self.task: asyncio.Task[None] | None = None

    def come(self) -> None:
        """Listen, from where it was."""
        if self.task is None:
            self.task = asyncio.create_task(self.feed.listen(self.last_id, self.take))

    async def leave(self) -> None:
        """Hang up."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None

    async def take(self, data: bytes) -> None:
        """Take what is written, each message once and in its order."""
        await self.gate.wait()
        for message in data.decode().split("\n\n")[:-1]:
            kind, number, said = message.split("\n")
            self.last_id = number.removeprefix("id: ")
            if kind == "event: snapshot":
                snapshot = msgspec.json.decode(said.removeprefix("data: "), type=feed_wire.Snapshot)
                self.board.hear(Snapped(snapshot), 0)
            else:
                event = msgspec.json.decode(said.removeprefix("data: "), type=feed_wire.Event)
                assert event.seq == self.board.seq + 1
                self.board.hear(Happened((event,)), 0)


class Stage:
    """A ledger in memory, its feed, and who listens."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.ledger = open_ledger(SimDisk(), self.clock)
        self.guard = cast("Guard", SimpleNamespace(relays={}))
        self.statuses = 0
        self.shapes = Shapes(
            ledger=self.ledger,
            guard=self.guard,
            clock=self.clock,
            status=self.status,
            condition=lambda: Condition("up", None, ()),
        )
        self.feed = Feed(self.shapes, Spending(), SimRng().uuid4())
        self.ledger.subscribe_refusals(self.feed.refused)
        self.ears = [Ear(self.feed) for _ in range(EARS)]
        self.agents: list[str] = []
        self.calls: list[str] = []
        self.count = 0

    def status(self) -> wire.Status:
        """Return the daemon at a glance, which stays as it is here; count how often that is asked for."""
        self.statuses += 1
        return canned.status([])

    def post(self, command: cmd.Command) -> None:
        """Carry out a command if it is one that is taken; the feed hears of it as of what is durable."""
        self.clock.advance(0.001)
        try:
            events = self.ledger.post(command)
        except SpendGuardError as error:
            if isinstance(command, cmd.HoldCall):
                self.refuse(command, error)
            return
        for event in events:
            self.feed.hear(event, 0, self.clock.wall)
        if isinstance(command, cmd.HoldCall):
            self.calls.append(command.call_id)

    def refuse(self, command: cmd.HoldCall, error: SpendGuardError) -> None:
        """Note that a call got no hold, as the guard does."""
        account = self.ledger.state.accounts[command.agent_id]
        if not account.deleted:
            of = (
                command.call_id,
                command.agent_id,
                command.run_id,
                "openai",
                "chat/completions",
                "gpt-4o-mini",
            )
            self.ledger.refuse(Refusal(*of, error.code, error.detail, error.facts))

    def act(self, name: str, which: int, amount: int) -> None:
        """Do one thing to one of the agents or calls there are."""
        self.count += 1
        if name == "new" or not self.agents:
            self.agents.append(f"agent-{self.count}")
            shared = "shared" if which % 2 else "exclusive"
            self.post(new_agent(self.agents[-1], name=f"n{self.count}", concurrency=shared))
            return
        agent_id = self.agents[which % len(self.agents)]
        call_id = self.calls[-1 - which % len(self.calls)] if self.calls else ""
        match name:
            case "grant":
                self.post(grant(amount * 10, None if which % 2 else amount, agent_id))
            case "hold":
                run_id = f"run-{amount % 2}"
                self.post(hold_call(f"call-{self.count}", agent_id=agent_id, run_id=run_id))
            case "freeze":
                freeze = cmd.Freeze(agent_id, f"why {amount}", "test")
                self.post(freeze if amount % 2 else cmd.Unfreeze(agent_id, "test"))
            case "delete" if amount % 8 == 0:
                self.post(cmd.DeleteAgent(agent_id, "test"))
            case "key":
                self.post(add_key(f"key-{self.count}", agent_id=agent_id))
            case "cap":
                self.post(cmd.SetDaemonLimit(amount * 10, None, "test"))
            case "detach" if call_id:
                self.ledger.detach(call_id)
            case "adjust" if call_id:
                self.post(cmd.AdjustCall(call_id, amount, "the bill", "test"))
            case "end" if call_id:
                self.post(ending(call_id, amount))

    async def play(self, step: tuple[str, int, int]) -> None:
        """Do one step, of the ledger's or of who listens."""
        name, which, amount = step
        ear = self.ears[which % EARS]
        match name:
            case "flush":
                await turns(which)
            case "pass":
                self.clock.advance(which)
            case "stall":
                ear.gate.clear()
            case "go":
                ear.gate.set()
            case "leave":
                await ear.leave()
            case "back":
                ear.come()
            case _:
                self.act(name, which, amount)

    def check(self, board: Board) -> None:
        """A board says what the ledger says."""
        state, now = self.ledger.state, self.shapes.now()
        live = {key: account for key, account in state.accounts.items() if not account.deleted}
        assert set(board.rows) == set(live)
        for agent_id, account in live.items():
            row, agent = board.rows[agent_id], self.shapes.agent(account, now)
            assert row.money == self.shapes.money(account, now)
            for name in (
                "name",
                "concurrency",
                "frozen",
                "frozen_reason",
                "keys",
                "needs_key",
                "hard_limit_cents",
            ):
                assert getattr(row.agent, name) == getattr(agent, name), name
        assert set(board.flights) == set(state.open_calls)
        assert board.totals == self.shapes.totals()
        assert self.shapes.totals().agents == len(live)
        ended = [view for view in self.ledger.history.latest(1_000) if view.state != "held"]
        assert set(board.ended) == {view.call_id for view in ended}
        for view in ended:
            told = self.shapes.call(view.call_id, now)
            assert told is not None
            assert msgspec.structs.replace(board.ended[view.call_id]) == told


def ending(call_id: str, amount: int) -> cmd.Command:
    """Return one of the ways in which a call ends; a large amount is more than was held."""
    if amount % 5 == 0:
        return cmd.VoidCall(call_id, "never sent", None)
    return cmd.SettleAtWorst(call_id, "timeout", None) if amount % 5 == 1 else settle(call_id, amount)


async def turns(count: int) -> None:
    """Let the loop turn, and so the feed tell and the listeners take."""
    for _ in range(count):
        await asyncio.sleep(0)


async def told(steps: list[tuple[str, int, int]]) -> None:
    """Play a history to listeners; in the end each comes, takes all there is, and knows the truth."""
    stage = Stage()
    stage.ears[0].come()
    for step in [*BEGIN, *steps]:
        await stage.play(step)
    for ear in stage.ears:
        ear.gate.set()
        ear.come()
    await turns(ENOUGH_TURNS)
    stage.clock.advance(2 * feed_wire.TOTALS_SECONDS_MAX)
    await turns(ENOUGH_TURNS)
    for ear in stage.ears:
        assert ear.task is not None
        assert not ear.task.done(), ear.task
        stage.check(ear.board)
    stage.feed.close()
    await asyncio.gather(*(ear.task for ear in stage.ears if ear.task))


@given(STEPS)
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_in_the_end_every_board_says_what_the_ledger_says(steps: list[tuple[str, int, int]]) -> None:
    """Whatever happened, however it was cut into flushes, and whoever was away or slow meanwhile."""
    with patch.multiple(module, FLUSH_SECONDS=0, Ring=partial(Ring, events_max=25)):
        asyncio.run(told(steps))


class Unseen(dict[str, Account]):
    """Accounts of which each can be asked for, but not all be gone through."""

    def values(self) -> NoReturn:
        """Fail."""
        raise AssertionError("all agents were gone through")

    __iter__ = items = keys = values  # type: ignore[assignment]


@patch.object(module, "FLUSH_SECONDS", 0)
async def test_rounds_cost_the_same_however_many_agents() -> None:
    """While nothing happens the sums are told, with no look at any agent, nor the daemon's whole status."""
    stage = Stage()
    for _ in range(5):
        stage.act("new", 0, 0)
    (ear, *_) = stage.ears
    ear.come()
    await turns(20)
    assert len(ear.board.rows) == 5
    stage.ledger.state.accounts = Unseen(stage.ledger.state.accounts)
    seq, statuses = ear.board.seq, stage.statuses
    for _ in range(3):
        stage.clock.advance(feed_wire.TOTALS_SECONDS_MAX)
        await turns(20)
    assert ear.board.seq >= seq + 3
    assert ear.board.totals is not None
    assert ear.board.totals.agents == 5
    assert stage.statuses == statuses
    await ear.leave()
    stage.feed.close()


@patch.object(module, "FLUSH_SECONDS", 0)
async def test_a_call_that_was_told_before_it_left_is_told_until_when_it_may_go_on() -> None:
    """Its hold may be told before anything forwards it; then all that comes with its leaving is told too."""
    stage = Stage()
    for step in BEGIN[:5]:
        stage.act(*step)
    (ear, *_) = stage.ears
    ear.come()
    await turns(20)
    (flight,) = ear.board.flights.values()
    assert (flight.call.expires_at, flight.call.changed) == (None, [])
    call_id = flight.call.call_id
    hold = stage.ledger.state.open_calls[call_id].hold
    stage.guard.relays[call_id] = cast(
        "Relay",
        SimpleNamespace(
            hold=hold,
            plan=SimpleNamespace(hold=SimpleNamespace(offers=[])),
            so_far=(0, 0),
            client_gone=False,
            heard_ns=stage.clock.monotonic,
            ends_ns=stage.clock.wall + 10**9,
        ),
    )
    stage.post(cmd.MarkSent(call_id, ["max_tokens: none -> 10"]))
    await turns(20)
    (flight,) = ear.board.flights.values()
    assert flight.call.expires_at is not None
    assert flight.call.changed == ["max_tokens: none -> 10"]
    await ear.leave()
    stage.feed.close()
