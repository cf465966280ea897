"""The real ledger on a simulated disk beside the model: one step for both, and what must hold after each."""

import random

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant

from journals import replayed
from ledger_kit import HEAD, SEGMENT, open_ledger
from model_ledger import ModelLedger
from sim import SimClock, SimDisk
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.events import Event


class TwoLedgers(RuleBasedStateMachine):
    """What every rule needs, and the invariants."""

    def __init__(self) -> None:
        super().__init__()
        self.disk, self.clock = SimDisk(), SimClock()
        self.ledger = open_ledger(self.disk, self.clock)
        self.model = ModelLedger()
        self.count = 0
        self.chance = random.Random(0)

    def unique(self, kind: str) -> str:
        self.count += 1
        return f"{kind}-{self.count}"

    def do(self, command: cmd.Command) -> tuple[Event, ...]:
        """Carry out a command; where it is refused, check that nothing changed."""
        self.clock.advance(0.001)
        before, journal = repr(self.ledger.state), len(self.disk.files[SEGMENT].data)
        try:
            events = self.ledger.post(command)
        except SpendGuardError:
            assert repr(self.ledger.state) == before
            assert len(self.disk.files[SEGMENT].data) == journal
            raise
        assert bool(events) == (len(self.disk.files[SEGMENT].data) > journal)
        return events

    def refused(self, command: cmd.Command, code: str) -> None:
        with pytest.raises(SpendGuardError) as caught:
            self.do(command)
        assert caught.value.code == code

    def alive(self, agent: str) -> bool:
        return not self.model.agents[agent]["deleted"]

    @invariant()
    def whole_accounts_agree(self) -> None:
        """I2, I5, I9: what the ledger sums up as it goes is what the model sums up over all calls."""
        state = self.ledger.state
        assert set(state.accounts) == set(self.model.agents)
        for agent, model in self.model.agents.items():
            account = state.accounts[agent]
            assert account.settled_nusd == self.model.spent(agent)
            assert account.held_nusd == self.model.held(agent)
            assert account.funded_nusd == model["funded"]
            assert account.limit_nusd == model["limit"]
            assert (account.deleted, account.frozen_reason) == (model["deleted"], model["frozen"])
            assert (account.concurrency, account.overflow) == (model["concurrency"], model["overflow"])
            assert (account.needs_key, account.restored) == (model["needs_key"], False)
        assert (state.daemon.settled_nusd, state.daemon.held_nusd) == (self.model.spent(), self.model.held())
        assert state.daemon.limit_nusd == self.model.cap["limit"]
        assert state.daemon.limit_nusd is None or state.daemon.funded_nusd == self.model.cap["funded"]
        for key, model in self.model.keys.items():
            real = state.agent_keys[key]
            spends = (self.model.key_spent(key), self.model.key_held(key))
            assert (real.settled_nusd, real.held_nusd) == spends
            assert (real.revoked, real.limit_nusd, real.agent_id) == (
                model["dead"],
                model["limit"],
                model["agent"],
            )
        assert set(state.agent_keys) == set(self.model.keys), "so few keys are not forgotten"
        is_open = {call for call, model in self.model.calls.items() if model["cost"] is None}
        assert set(state.open_calls) == is_open
        assert set(state.ended) == set(self.model.calls) - is_open - self.model.entered

    @invariant()
    def replay_agrees(self) -> None:
        """I4: the journal, replayed, is the live state."""
        found, state = replayed(self.disk.read(SEGMENT), self.disk.read(HEAD))
        assert found.torn is None
        assert found.warnings == ()
        assert state == self.ledger.state
