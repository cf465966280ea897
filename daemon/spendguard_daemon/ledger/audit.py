"""An auditor of records: does what the journal tells keep the promises, as far as sums can show it?

Pure. Follows record after record beside `apply`, with sums of its own, so that a fault in one is seen by the
other. The promises, by their names in ledger-and-security 1.7:

I1   no hold goes past what was granted, to the agent, to a key of it or to all; nothing else does, but for an
     overrun, a cut limit, a charge that was raised, or what was entered after a restore
I2   what is settled is the sum of all charges, nothing clamped
I5   each call has one hold and one end; calls that a crash left open end before anything new is held
I7   what is unknown is charged at the hold, what is known within it, an overrun above it
I9   the daemon's sums are those of its agents
I11  a call is settled at the rates that it was held at, but where another model answered, or more was read
     than the bound says, and so another tier of prices counts
I12  what is settled never falls but by `adjust`
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.audit_keys import KeyAuditor
from spendguard_daemon.ledger.state import State


@dataclass(slots=True)
class _Sums:
    """One agent's money, or all agents', as added up here. `excused`: more may be spent than was granted."""

    funded_nusd: int = 0
    settled_nusd: int = 0
    held_nusd: int = 0
    excused: bool = False


@dataclass(slots=True)
class Auditor:
    """What was seen so far; `check` is given each record once it was applied to `state`."""

    state: State
    holds: dict[str, ev.Hold] = field(default_factory=dict)
    agents: dict[str, _Sums] = field(default_factory=dict)
    keys: KeyAuditor = field(default_factory=KeyAuditor)
    orphans: set[str] = field(default_factory=set)
    settled_nusd: int = 0
    held_nusd: int = 0
    calls: int = 0

    @classmethod
    def of(cls, state: State) -> "Auditor":
        """Go on from a state that is trusted: nothing in it is added up again."""
        auditor = cls(state, keys=KeyAuditor.of(state))
        for account in state.accounts.values():
            auditor.agents[account.agent_id] = _Sums(
                account.funded_nusd, account.settled_nusd, account.held_nusd, excused=True
            )
        auditor.holds = {call_id: call.hold for call_id, call in state.open_calls.items()}
        auditor.settled_nusd, auditor.held_nusd = state.daemon.settled_nusd, state.daemon.held_nusd
        return auditor

    def check(self, event: ev.Event, wall_ns: int) -> Iterator[str]:
        """Yield each promise that a record of `wall_ns` breaks, in words that begin with its name."""
        before_nusd = self.settled_nusd
        yield from self._follow(event, wall_ns)
        if isinstance(event, ev.MoneyEvent):
            yield from self._balances(event)
        if self.settled_nusd < before_nusd and not isinstance(event, ev.Adjust):
            yield f"I12: a {type(event).__name__} gave back {before_nusd - self.settled_nusd} settled nUSD"

    def _follow(self, event: ev.Event, wall_ns: int) -> Iterator[str]:
        if isinstance(event, ev.Open):
            self.orphans = set(self.holds)
        elif isinstance(event, ev.AgentNew):
            self.agents[event.agent_id] = _Sums()
        elif isinstance(event, ev.Hold):
            yield from self._hold(event)
            yield from self.keys.hold(event, wall_ns)
        elif isinstance(event, ev.KeyAdd):
            self.keys.add(event)
        elif isinstance(event, ev.EndEvent):
            yield from self._end(event)
        elif isinstance(event, ev.Adjust):
            self._adjust(event)
        elif isinstance(event, ev.Restored):
            self.keys.restored()
        elif isinstance(event, ev.RestoreConfirmed):
            self._move(event.agent_id, settled=event.spent_nusd)
            self.agents[event.agent_id].excused = True
        elif isinstance(event, ev.BudgetSet):
            self.agents[event.agent_id].funded_nusd += event.applied_nusd - event.cut_nusd
            self.agents[event.agent_id].excused |= event.cut_nusd > 0

    def sums(self) -> Iterator[str]:
        """Yield what does not add up over all agents (I9): dear, so asked for now and then."""
        accounts = self.state.accounts.values()
        settled_nusd = sum(account.settled_nusd for account in accounts)
        held_nusd = sum(account.held_nusd for account in accounts)
        if (settled_nusd, held_nusd) != (self.settled_nusd, self.held_nusd):
            yield f"I9: all agents have settled {settled_nusd} nUSD, the records say {self.settled_nusd}"
        if self.state.open_calls.keys() != self.holds.keys():
            yield "I5: the calls that are open are not those without an end"
        yield from self.keys.sums(self.state)

    def _hold(self, event: ev.Hold) -> Iterator[str]:
        if self.orphans:
            yield f"I5: held while {len(self.orphans)} calls from before a crash are open"
            self.orphans = set()
        self.calls += 1
        self.holds[event.call_id] = event
        self._move(event.agent_id, held=event.amount_nusd)
        agent, daemon = self.agents[event.agent_id], self.state.daemon
        if agent.settled_nusd + agent.held_nusd > agent.funded_nusd:
            yield f"I1: the hold of call {event.call_id} goes past what agent {event.agent_id} was granted"
        if daemon.available_nusd is not None and daemon.available_nusd < 0:
            yield f"I1: the hold of call {event.call_id} goes past what was granted to all agents"

    def _end(self, event: ev.EndEvent) -> Iterator[str]:
        hold = self.holds.pop(event.call_id)
        self.orphans.discard(event.call_id)
        cost_nusd = 0 if isinstance(event, ev.Void) else event.cost_nusd
        self._move(event.agent_id, settled=cost_nusd, held=-hold.amount_nusd)
        self.keys.move(hold.keys, settled=cost_nusd, held=-hold.amount_nusd)
        if isinstance(event, ev.SettleWorst):
            right = cost_nusd == hold.amount_nusd
        elif isinstance(event, ev.Overrun):
            right = cost_nusd > hold.amount_nusd
            self.agents[event.agent_id].excused = True
        else:
            right = 0 <= cost_nusd <= hold.amount_nusd
        if not right:
            yield f"I7: call {event.call_id} is charged {cost_nusd} nUSD, which its hold does not allow"
        if isinstance(event, ev.Settle):
            yield from _rates(event, hold)

    def _adjust(self, event: ev.Adjust) -> None:
        change_nusd = event.to_nusd - event.from_nusd
        self._move(event.agent_id, settled=change_nusd)
        self.agents[event.agent_id].excused |= change_nusd > 0
        call = self.state.ended_call(event.call_id)
        self.keys.move(call.keys if call else (), settled=change_nusd)

    def _move(self, agent_id: str, *, settled: int = 0, held: int = 0) -> None:
        agent = self.agents[agent_id]
        agent.settled_nusd += settled
        agent.held_nusd += held
        self.settled_nusd += settled
        self.held_nusd += held

    def _balances(self, event: ev.MoneyEvent) -> Iterator[str]:
        agent, daemon = self.agents[event.agent_id], self.state.daemon
        said = (event.funded_nusd, event.settled_nusd, event.held_nusd)
        if said != (agent.funded_nusd, agent.settled_nusd, agent.held_nusd):
            yield f"I2: the balances of agent {event.agent_id} are not the sums of its records"
        if not agent.excused and agent.settled_nusd + agent.held_nusd > agent.funded_nusd:
            yield f"I1: agent {event.agent_id} has spent and holds more than it was granted"
        if (daemon.settled_nusd, daemon.held_nusd) != (self.settled_nusd, self.held_nusd):
            yield "I9: the daemon's sums are not those of its agents"


def _rates(event: ev.Settle, hold: ev.Hold) -> Iterator[str]:
    """Check that each line's rate is one that was pinned for its name, in whatever tier or period (I11)."""
    if ev.ANSWERED_BY in event.reason or event.usage.get("input_tokens", 0) > hold.input_tokens:
        return
    for line in event.lines:
        name = line.get("name")
        pinned = {rate for key, rate in hold.rates.items() if key.split("@")[0].split("+")[0] == name}
        if pinned and line.get("rate") not in pinned:
            yield f"I11: call {event.call_id} was settled at a rate for {name} that it was not held at"
