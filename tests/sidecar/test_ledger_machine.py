"""Every command in every order, against a model that says the same thing in forty lines."""

import asyncio
import os
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, multiple, rule

from ledger_kit import hold_call, new_agent, offer, open_ledger, settle
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.events import Hold, Restored
from two_ledgers import TwoLedgers

AMOUNTS = st.integers(0, 60) | st.integers(0, 5_000)
RUNS = st.sampled_from(["run-1", "run-2"])
OFFERS = st.lists(
    st.tuples(st.sampled_from(["bytes", "window"]), st.integers(0, 40), st.integers(0, 5)),
    min_size=1,
    max_size=2,
)
EXAMPLES = int(os.environ.get("LEDGER_MACHINE_EXAMPLES", "120"))


class LedgerMachine(TwoLedgers):
    """The real ledger on a simulated disk beside the model; each rule does one thing to both."""

    agents = Bundle("agents")
    keys = Bundle("keys")
    calls = Bundle("calls")

    @initialize(target=agents, count=st.integers(1, 2))
    def begin(self, count: int) -> Any:
        return multiple(*(self.add_agent("shared", "clamp") for _ in range(count)))

    @rule(
        target=agents,
        concurrency=st.sampled_from(["exclusive", "shared"]),
        overflow=st.sampled_from(["clamp", "refuse"]),
    )
    def new_agent(self, concurrency: str, overflow: str) -> str:
        return self.add_agent(concurrency, overflow)

    def add_agent(self, concurrency: str, overflow: str) -> str:
        agent = self.unique("agent")
        self.do(new_agent(agent, concurrency=concurrency, overflow=overflow))
        self.model.agents[agent] = {
            "limit": None,
            "funded": 0,
            "deleted": False,
            "frozen": None,
            "concurrency": concurrency,
            "overflow": overflow,
            "needs_key": False,
        }
        self.refused(new_agent(agent), "ledger_refused")
        return agent

    @rule(agent=agents, concurrency=st.sampled_from(["exclusive", "shared"]))
    def change_agent(self, agent: str, concurrency: Any) -> None:
        command = cmd.ChangeAgent(agent, concurrency=concurrency)
        if self.alive(agent):
            self.do(command)
            self.model.agents[agent]["concurrency"] = concurrency
        else:
            self.refused(command, "agent_not_found")

    @rule(agent=agents, overflow=st.sampled_from(["clamp", "refuse"]), name=st.text(max_size=3))
    def change_overflow(self, agent: str, overflow: Any, name: str) -> None:
        if self.alive(agent):
            self.do(
                cmd.ChangeAgent(agent, name="é" + name.encode(errors="ignore").decode(), overflow=overflow)
            )
            self.model.agents[agent]["overflow"] = overflow

    @rule(agent=agents, needs_key=st.booleans())
    def change_need_of_a_key(self, agent: str, needs_key: bool) -> None:
        if self.alive(agent):
            changes = self.model.agents[agent]["needs_key"] != needs_key
            assert bool(self.do(cmd.ChangeAgent(agent, needs_key=needs_key))) == changes
            self.model.agents[agent]["needs_key"] = needs_key

    @rule(spent=AMOUNTS, dice=st.integers(0, 5))
    def restore(self, spent: int, dice: int) -> None:
        """As if all before this had come back with a backup; each agent is confirmed at once."""
        if dice:
            return
        generation = self.ledger.state.generation
        event = Restored(generation=generation, backup_ts="", manifest_sha256="", actor="test")
        self.ledger._book.record(event)
        for key in self.model.keys.values():
            key["dead"] = True
        for agent in filter(self.alive, self.model.agents):
            self.refused(cmd.Unfreeze(agent, "test"), "restore_unconfirmed")
            amount = 0 if self.model.agents[agent]["limit"] is None else spent  # it could spend nothing
            self.do(cmd.ConfirmRestored(agent, amount, "the bill", "test"))
            self.model.enter(self.unique("entered"), agent, amount)

    @rule(agent=agents, dice=st.integers(0, 9))
    def delete_agent(self, agent: str, dice: int) -> None:
        if self.alive(agent) and dice == 0:
            self.do(cmd.DeleteAgent(agent, "test"))
            self.model.agents[agent]["deleted"] = True
            for key in self.model.keys.values():
                key["dead"] |= key["agent"] == agent
            self.refused(cmd.DeleteAgent(agent, "test"), "agent_not_found")

    @rule(agent=agents, reason=st.sampled_from(["mad", "worse", None]))
    def freeze(self, agent: str, reason: str | None) -> None:
        command = cmd.Freeze(agent, reason, "test") if reason else cmd.Unfreeze(agent, "test")
        if self.alive(agent):
            self.do(command)
            self.model.agents[agent]["frozen"] = reason
        else:
            self.refused(command, "agent_not_found")

    @rule(agent=agents, limit=AMOUNTS, topup=AMOUNTS | st.none())
    def set_budget(self, agent: str, limit: int, topup: int | None) -> None:
        command = cmd.GrantBudget(agent, limit, topup, "test")
        if self.alive(agent):
            self.do(command)
            self.model.grant(agent, limit, topup or 0)
        else:
            self.refused(command, "agent_not_found")

    @rule(agent=agents, amount=AMOUNTS)
    def top_up(self, agent: str, amount: int) -> None:
        command, model = cmd.TopUp(agent, amount, "test"), self.model.agents[agent]
        if not self.alive(agent):
            self.refused(command, "agent_not_found")
        elif model["limit"] is None:
            self.refused(command, "budget_not_found")
        else:
            self.do(command)
            self.model.grant(agent, model["limit"], amount)

    @rule(limit=AMOUNTS | st.none(), topup=AMOUNTS | st.none())
    def set_daemon_limit(self, limit: int | None, topup: int | None) -> None:
        self.do(cmd.SetDaemonLimit(limit, topup, "test"))
        if limit is None:
            self.model.cap = {"limit": None, "funded": 0}
        else:
            self.model.grant(None, limit, topup or 0)

    @rule(amount=AMOUNTS)
    def top_up_daemon(self, amount: int) -> None:
        if self.model.cap["limit"] is None:
            self.refused(cmd.TopUpDaemon(amount, "test"), "budget_not_found")
        else:
            self.do(cmd.TopUpDaemon(amount, "test"))
            self.model.grant(None, self.model.cap["limit"], amount)

    @rule(sequence=st.integers(1, 3), digest=st.sampled_from("ab"))
    def accept_prices(self, sequence: int, digest: str) -> None:
        high = self.ledger.state.prices
        command = cmd.AcceptPrices(sequence, digest, "key", "local")
        if high and (
            sequence < high.sequence or (sequence == high.sequence and digest != high.document_sha256)
        ):
            self.refused(command, "pricing_rollback")
        else:
            self.do(command)

    @rule(amount=st.sampled_from([-1, 2**53, True, 1.0]), agent=agents)
    def refuse_amounts(self, amount: Any, agent: str) -> None:
        self.refused(cmd.SetDaemonLimit(amount, None, "test"), "malformed_request")
        if self.alive(agent):
            self.refused(cmd.GrantBudget(agent, amount, None, "test"), "malformed_request")
            self.refused(cmd.GrantBudget(agent, 5, amount, "test"), "malformed_request")

    @rule(
        target=calls,
        agent=agents,
        run=RUNS,
        offers=OFFERS,
        wanted=st.integers(0, 40),
        floor=st.integers(0, 40),
        injected=st.booleans(),
        key=st.none() | keys,
        own=st.integers(0, 9),
    )
    def hold(
        self,
        agent: str,
        run: str,
        offers: Any,
        wanted: int,
        floor: int,
        injected: bool,
        key: str | None,
        own: int,
    ) -> Any:
        if key is not None and own:  # mostly the agent's own
            agent = self.model.keys[key]["agent"]
        call_id = self.unique("call")
        command = hold_call(
            call_id,
            agent_id=agent,
            run_id=run,
            offers=tuple(offer(fixed, each, rung) for rung, fixed, each in offers),
            output_tokens=wanted,
            floor_output_tokens=floor,
            injected=injected,
            keys=self.model.lineage(key),
        )
        expected = self.model.blocked(agent, run, key, self.now_ns()) or self.model.choose(
            agent, offers, wanted, floor, injected, key
        )
        if isinstance(expected, str):
            self.refused(command, expected)
            return multiple()
        (hold,) = self.do(command)
        assert isinstance(hold, Hold)
        assert (hold.rung, hold.output_tokens, hold.amount_nusd) == expected
        assert hold.settled_nusd + hold.held_nusd <= hold.funded_nusd  # I1
        self.model.calls[call_id] = {
            "agent": agent,
            "run": run,
            "hold": hold.amount_nusd,
            "cost": None,
            "attached": True,
            "keys": self.model.lineage(key),
        }
        for above in self.model.lineage(key):  # I1, for keys
            limit = self.model.keys[above]["limit"]
            spent_and_held = self.model.key_spent(above) + self.model.key_held(above)
            assert limit is None or spent_and_held <= limit
        self.refused(command, "ledger_refused")
        return call_id

    def now_ns(self) -> int:
        """Return the wall time of the next command."""
        return self.clock.wall_ns() + 1_000_000

    @rule(target=keys, agent=agents, limit=AMOUNTS | st.none(), seconds=st.integers(0, 60) | st.none())
    def add_key(self, agent: str, limit: int | None, seconds: int | None) -> Any:
        return self.make_key(agent, None, limit, seconds)

    @rule(target=keys, parent=keys, limit=AMOUNTS | st.none(), seconds=st.integers(0, 90))
    def adopt_child(self, parent: str, limit: int | None, seconds: int) -> Any:
        return self.make_key(self.model.keys[parent]["agent"], parent, limit, seconds)

    def make_key(self, agent: str, parent: str | None, limit: int | None, seconds: int | None) -> Any:
        key = self.unique("key")
        ends = None if seconds is None else self.now_ns() // 10**6 * 10**6 + seconds * 10**9
        command = cmd.AddKey(
            agent,
            key,
            f"{key}-public",
            "child" if parent else "agent",
            "test",
            parent_id=parent,
            limit_nusd=limit,
            expires_ns=ends,
        )
        if not self.alive(agent):
            self.refused(command, "agent_not_found")
        elif parent is not None and self.model.keys[parent]["dead"]:
            self.refused(command, "key_unknown")
        elif min(self.model.key_ends(parent) if parent else inf, inf if ends is None else ends) <= (
            self.now_ns()
        ):
            self.refused(command, "key_expired")
        else:
            self.do(command)
            self.model.keys[key] = {
                "agent": agent,
                "parent": parent,
                "limit": limit,
                "ends": inf if ends is None else ends,
                "dead": False,
            }
            self.model.agents[agent]["needs_key"] |= parent is None
            assert self.do(command) == ()
            self.refused(replace(command, public="another"), "key_unknown")
            return key
        return multiple()

    @rule(key=keys, dice=st.integers(0, 3))
    def revoke_key(self, key: str, dice: int) -> None:
        agent = self.model.keys[key]["agent"]
        command = cmd.RevokeKey(agent, key, "test")
        if not self.alive(agent):
            self.refused(command, "agent_not_found")
        elif dice == 0:
            assert bool(self.do(command)) == (not self.model.keys[key]["dead"])
            self.model.end_key(key, itself=True)
            assert self.do(command) == ()

    @rule(key=keys)
    def rotate_key(self, key: str) -> None:
        model = self.model.keys[key]
        command = cmd.RotateKey(model["agent"], key, self.unique("public"), "test")
        if not self.alive(model["agent"]):
            self.refused(command, "agent_not_found")
        elif model["parent"] is not None:
            self.refused(command, "ledger_refused")
        elif model["dead"]:
            self.refused(command, "key_unknown")
        elif model["ends"] <= self.now_ns():
            self.refused(command, "key_expired")
        else:
            self.do(command)
            self.model.end_key(key, itself=False)

    @rule(seconds=st.integers(1, 40))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(call=calls)
    def sent(self, call: str) -> None:
        if self.model.calls[call]["cost"] is None:
            self.do(cmd.MarkSent(call, ["max_tokens"]))
        else:
            self.refused(cmd.MarkSent(call, []), "call_not_open")

    @rule(call=calls)
    def detach(self, call: str) -> None:
        self.ledger.detach(call)
        self.model.calls[call]["attached"] = False

    @rule(call=calls, cost=st.integers(0, 300), percent=st.integers(0, 101))
    def settle(self, call: str, cost: int, percent: int) -> None:
        hold = self.model.calls[call]["hold"]
        self.end(call, settle(call, min(cost, hold * percent // 100)), min(cost, hold * percent // 100))

    @rule(call=calls, excess=st.integers(1, 50))
    def overrun(self, call: str, excess: int) -> None:
        model = self.model.calls[call]
        cost, agent = model["hold"] + excess, self.model.agents[model["agent"]]
        if self.end(call, settle(call, cost), cost):
            overdrawn = agent["funded"] < self.model.spent(model["agent"])
            if agent["frozen"] is None and (overdrawn or excess * 100 > model["hold"]):
                agent["frozen"] = f"overrun: call {call} cost {excess} nUSD more than was held for it"
            assert ("openai", "gpt-4o-mini") in {key[:2] for key in self.ledger.state.distrusted}

    @rule(call=calls)
    def settle_at_worst(self, call: str) -> None:
        self.end(call, cmd.SettleAtWorst(call, "timeout", None), self.model.calls[call]["hold"])

    @rule(call=calls)
    def void(self, call: str) -> None:
        self.end(call, cmd.VoidCall(call, "never sent", None), 0)

    def end(self, call: str, command: cmd.EndCommand, cost: int) -> bool:
        model = self.model.calls[call]
        if model["cost"] is not None:
            self.refused(command, "call_not_open")
            return False
        self.do(command)
        model.update(cost=cost, attached=False)
        self.refused(command, "call_not_open")
        return True

    @rule(call=calls, to=AMOUNTS)
    def adjust(self, call: str, to: int) -> None:
        command = cmd.AdjustCall(call, to, "the bill says so", "test")
        if self.model.calls[call]["cost"] is None:
            self.refused(command, "ledger_refused")
        else:
            self.do(command)
            self.model.calls[call]["cost"] = to
            assert self.do(command) == ()
            assert call not in self.ledger.state.unconfirmed

    @rule(how=st.sampled_from(["close", "kill", "crash"]))
    def reopen(self, how: str) -> None:
        if how == "close":
            asyncio.run(self.ledger.close("test"))
            with pytest.raises(SpendGuardError, match="shutting down"):
                self.ledger.post(cmd.TopUpDaemon(1, "test"))
        else:
            self.disk = self.disk.killed() if how == "kill" else self.disk.crash(self.chance)
        self.ledger = open_ledger(self.disk, self.clock)
        left_open = {call for call, model in self.model.calls.items() if model["cost"] is None}
        assert set(self.ledger.recovered.settled_at_worst) == left_open
        for call in left_open:
            self.model.calls[call].update(cost=self.model.calls[call]["hold"], attached=False)


LedgerMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLedgerMachine = LedgerMachine.TestCase
