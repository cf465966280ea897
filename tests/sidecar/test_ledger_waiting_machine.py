"""Calls that wait, in every order of things: none is forgotten, none jumps the queue, none passes the cap."""

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from ledger_kit import new_agent, settle
from spendguard_daemon.ledger import commands as cmd
from waiting_room import WaitingRoom

AMOUNTS = st.sampled_from([0, 5, 20, 50, 90])
PICKS = st.integers(0, 9)
PERCENTS = st.sampled_from([0, 50, 100])
RUNS = st.sampled_from(["run-1", "run-2", "run-3"])
WAITS = st.sampled_from([None, None, 0, 1, 7, 45, 600, 600])
ASKS = st.tuples(
    RUNS,
    st.integers(1, 50),
    st.sampled_from([0, 0, 10, 30]),
    st.sampled_from([0, 10, 30]),
    st.booleans(),
    WAITS,
)
"""Of a call: run, cost of its input, output that it wants, and needs, whether that was injected, wait."""

EXAMPLES = int(os.environ.get("LEDGER_MACHINE_EXAMPLES", "120")) // 2
WALKS = EXAMPLES // 3


class WaitingMachine(RuleBasedStateMachine):
    """The model hears of each thing first, so that it can judge the holds that the thing leads to."""

    agents = Bundle("agents")

    def __init__(self) -> None:
        super().__init__()
        self.room = WaitingRoom()
        self.model = self.room.model
        self.count = 0

    def unique(self, kind: str) -> str:
        self.count += 1
        return f"{kind}-{self.count}"

    def post(self, command: cmd.Command) -> None:
        self.room.do(lambda: self.room.ledger.post(command))

    def alive(self, agent: str) -> bool:
        return not self.model.agents[agent]["deleted"]

    @initialize(target=agents, limit=st.sampled_from([20, 50, 90]))
    def begin(self, limit: int) -> Any:
        made = [self.new_agent("exclusive", "clamp"), self.new_agent("shared", "refuse")]
        for agent in made:
            self.set_budget(agent, limit, None)
        return multiple(*made)

    def new_agent(self, concurrency: str, overflow: str) -> str:
        agent = self.unique("agent")
        self.model.agents[agent] = {
            "limit": None,
            "funded": 0,
            "deleted": False,
            "frozen": None,
            "concurrency": concurrency,
            "overflow": overflow,
        }
        self.post(new_agent(agent, concurrency=concurrency, overflow=overflow))
        return agent

    @rule(agent=agents, concurrency=st.sampled_from(["exclusive", "shared"]))
    def change_agent(self, agent: str, concurrency: Any) -> None:
        if self.alive(agent):
            self.model.agents[agent]["concurrency"] = concurrency
            self.post(cmd.ChangeAgent(agent, concurrency=concurrency))

    @rule(agent=agents, dice=st.integers(0, 49))
    def delete_agent(self, agent: str, dice: int) -> None:
        if self.alive(agent) and dice == 17:
            self.model.agents[agent]["deleted"] = True
            self.post(cmd.DeleteAgent(agent, "test"))

    @rule(agent=agents, reason=st.sampled_from(["mad", None, None]))
    def freeze(self, agent: str, reason: str | None) -> None:
        if self.alive(agent):
            self.model.agents[agent]["frozen"] = reason
            self.post(cmd.Freeze(agent, reason, "test") if reason else cmd.Unfreeze(agent, "test"))

    @rule(agent=agents)
    def refill(self, agent: str) -> None:
        if self.alive(agent):
            self.freeze(agent, None)
            self.set_budget(agent, 90, 90)

    @rule(agent=agents, limit=AMOUNTS, topup=AMOUNTS | st.none())
    def set_budget(self, agent: str, limit: int, topup: int | None) -> None:
        if self.alive(agent):
            self.model.grant(agent, limit, topup or 0)
            self.post(cmd.GrantBudget(agent, limit, topup, "test"))

    @rule(agent=agents, amount=AMOUNTS)
    def top_up(self, agent: str, amount: int) -> None:
        limit = self.model.agents[agent]["limit"]
        if self.alive(agent) and limit is not None:
            self.model.grant(agent, limit, amount)
            self.post(cmd.TopUp(agent, amount, "test"))

    @rule(limit=st.sampled_from([None, None, 50, 150]), topup=AMOUNTS | st.none())
    def set_daemon_limit(self, limit: int | None, topup: int | None) -> None:
        if limit is None:
            self.model.cap = {"limit": None, "funded": 0}
        else:
            self.model.grant(None, limit, topup or 0)
        self.post(cmd.SetDaemonLimit(limit, topup, "test"))

    @rule(agent=agents, asked=st.lists(ASKS, min_size=1, max_size=5))
    def calls(self, agent: str, asked: list[tuple[str, int, int, int, bool, int | None]]) -> None:
        for run, fixed, wanted, floor, injected, wait in asked:
            self.room.call(
                self.unique("call"),
                agent,
                run,
                [("bytes", fixed, 1)],
                output_tokens=wanted,
                floor_output_tokens=floor,
                injected=injected,
                wait_seconds=wait,
            )

    @rule(agent=agents, asked=st.lists(ASKS, min_size=1, max_size=5))
    def more_calls(self, agent: str, asked: list[tuple[str, int, int, int, bool, int | None]]) -> None:
        self.calls(agent, asked)

    @rule(pick=PICKS)
    def client_leaves(self, pick: int) -> None:
        """One that waits, or has just got its hold."""
        tasks = [ask.task for ask in self.room.asks.values() if ask.task is not None and not ask.task.done()]
        if tasks:
            self.room.do(tasks[pick % len(tasks)].cancel)

    @rule(pick=PICKS)
    def a_run_leaves_its_answers(self, pick: int) -> None:
        """Its calls keep their holds, but not their agent's lock."""
        first = self.an_open_call(pick)
        for call in self.open_calls():
            here, there = self.model.calls[call], self.model.calls[first or call]
            if (here["agent"], here["run"]) == (there["agent"], there["run"]):
                here["attached"] = False
                self.detach(call)

    def detach(self, call: str) -> None:
        self.room.do(lambda: self.room.ledger.detach(call))

    @rule(hows=st.lists(st.sampled_from(["settle", "settle", "worst", "void"]), min_size=1), percent=PERCENTS)
    def several_end(self, hows: list[str], percent: int) -> None:
        for pick, how in enumerate(hows):
            self.end(pick, how, percent)

    @rule(pick=PICKS, how=st.sampled_from(["settle", "settle", "worst", "void"]), percent=PERCENTS)
    def end(self, pick: int, how: str, percent: int) -> None:
        call = self.an_open_call(pick)
        if call is None:
            return
        hold = self.model.calls[call]["hold"]
        cost = {"settle": hold * percent // 100, "worst": hold, "void": 0}[how]
        commands: dict[str, cmd.EndCommand] = {
            "settle": settle(call, cost),
            "worst": cmd.SettleAtWorst(call, "timeout", None),
            "void": cmd.VoidCall(call, "never sent", None),
        }
        self.room.model_end(call, cost)
        self.post(commands[how])

    @rule(pick=PICKS, to=st.sampled_from([0, 10, 60]))
    def adjust(self, pick: int, to: int) -> None:
        ended = [call for call, model in self.model.calls.items() if model["cost"] is not None]
        if ended:
            call = ended[pick % len(ended)]
            self.model.calls[call]["cost"] = to
            self.post(cmd.AdjustCall(call, to, "the bill says so", "test"))

    def open_calls(self) -> list[str]:
        """Return the calls that have their hold, of callers that know it."""
        return [
            call
            for call, model in self.model.calls.items()
            if model["cost"] is None and (task := self.room.asks[call].task) is not None and task.done()
        ]

    def an_open_call(self, pick: int) -> str | None:
        calls = self.open_calls()
        return calls[pick % len(calls)] if calls else None

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 5.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        """Locks change by time alone; who may go by that does so within a second."""
        self.room.sleep(seconds)
        while (first := self.room.could_go()) is not None:
            self.room.sleep(1.0)
            assert self.room.could_go() != first

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        assert self.room.could_go() is None

    @invariant()
    def the_sums_agree(self) -> None:
        state = self.room.ledger.state
        for agent, model in self.model.agents.items():
            account = state.accounts[agent]
            assert (account.settled_nusd, account.held_nusd) == (
                self.model.spent(agent),
                self.model.held(agent),
            )
            assert (account.funded_nusd, account.limit_nusd) == (model["funded"], model["limit"])
        assert set(state.open_calls) == {c for c, call in self.model.calls.items() if call["cost"] is None}

    def teardown(self) -> None:
        self.room.close()


WaitingMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestWaitingMachine = WaitingMachine.TestCase


class Walk:
    """The same machine, walked by chance with weights: long lines, a contended lock, coming and going."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.machine = WaitingMachine()
        self.agents = [
            self.machine.new_agent("exclusive", "clamp"),
            self.machine.new_agent("shared", "refuse"),
        ]
        self.steps = {
            self.call: 40,
            self.end: 30,
            self.refill: 8,
            self.pass_time: 10,
            self.leave: 8,
            self.leave_answers: 6,
            self.change: 3,
        }

    def walk(self, steps: int) -> None:
        for agent in self.agents:
            self.machine.set_budget(agent, 90, None)
        for step in self.dice.choices(list(self.steps), list(self.steps.values()), k=steps):
            step()
            self.machine.nobody_waits_in_vain()
            self.machine.the_sums_agree()
        self.machine.teardown()

    def call(self) -> None:
        run, wait = self.dice.choice(["A", "A", "B", "C"]), self.dice.choice([None, 0, 7, 45, 600, 600])
        cost, injected = self.dice.choice([5, 20, 40, 80]), self.dice.random() < 0.2
        asked = (run, cost, self.dice.choice([0, 0, 10]), self.dice.choice([0, 10]), injected, wait)
        self.machine.calls(self.dice.choice(self.agents), [asked])

    def end(self) -> None:
        how = self.dice.choice(["settle", "settle", "worst", "void"])
        self.machine.end(self.dice.randrange(10), how, self.dice.choice([0, 10, 100]))

    def refill(self) -> None:
        agent = self.dice.choice(self.agents)
        self.machine.freeze(agent, None)
        self.machine.set_budget(agent, 90, self.dice.choice([5, 20, 90]))

    def pass_time(self) -> None:
        self.machine.time_passes(self.dice.choice([0.3, 2.0, 5.0, 12.0, 31.0]))

    def leave(self) -> None:
        self.machine.client_leaves(self.dice.randrange(10))

    def leave_answers(self) -> None:
        self.machine.a_run_leaves_its_answers(self.dice.randrange(10))

    def change(self) -> None:
        agent = self.dice.choice(self.agents)
        match self.dice.randrange(4):
            case 0:
                self.machine.set_daemon_limit(self.dice.choice([None, 100]), 100)
            case 1:
                self.machine.change_agent(agent, self.dice.choice(["exclusive", "shared"]))
            case 2:
                self.machine.freeze(agent, "mad")
            case _:
                self.machine.adjust(self.dice.randrange(10), self.dice.choice([0, 10, 60]))


@pytest.mark.parametrize("seed", range(WALKS))
def test_a_walk(seed: int) -> None:
    Walk(seed).walk(200)
