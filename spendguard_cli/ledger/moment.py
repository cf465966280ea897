"""One moment of a ledger's past: what was so after a record, followed record by record. Pure.

The money is the daemon's own `State`, changed by its own `apply`. Beside it stands what the live feed knows
and a state forgets: the calls in flight and the latest ends as they are shown, refusals since the daemon
began, what was spent when, what people did to agents. Invariant: from the same moment the same records make
the same moment. Locks are those of the calls in flight: which clients were still there was never written.
"""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, replace

import msgspec

from spendguard_cli.ledger.journal import Record
from spendguard_cli.ledger.refused_call import call_of
from spendguard_cli.watch.rates import Spend
from spendguard_daemon import wire
from spendguard_daemon.feed_wire import SPEND_STEP_SECONDS, SPEND_STEPS, Kind
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.apply import apply
from spendguard_daemon.ledger.deeds import Deeds
from spendguard_daemon.ledger.recovery import damaged
from spendguard_daemon.ledger.state import ContradictionError, State
from spendguard_daemon.ledger.views import CallView, begun, changed

ENDED_KEPT = 500
"""How many ended and refused calls a moment knows, of all agents; the oldest go first."""

NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """What a record changed, as the feed tells it: of which kind, of whom, about which call, by whom."""

    kind: Kind
    agent_id: str | None = None
    call_id: str | None = None
    deleted: bool = False
    actor: str | None = None


@dataclass(slots=True)
class Moment:
    """What was so after record `journal_seq`, at `wall_ns`; `records` counts those that this version knows.

    `seq` is the number of the last change. `opened` is the last start of a daemon, `opened_ns` when that was,
    `up` whether it was not stopped since; `prices_ns` when the prices in force were accepted.
    """

    state: State
    wall_ns: int = 0
    journal_seq: int = 0
    records: int = 0
    seq: int = 0
    calls: dict[str, CallView] = field(default_factory=dict)
    ended: dict[str, CallView | wire.Call] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    spends: dict[str, Spend] = field(default_factory=dict)
    deeds: Deeds = field(default_factory=Deeds)
    opened: ev.Open | None = None
    opened_ns: int = 0
    up: bool = False
    prices_ns: int = 0

    @classmethod
    def before(cls, earlier: State, deeds: Deeds, first_seq: int) -> "Moment":
        """Return the moment before the first record that is there."""
        moment = cls(_copied(earlier), journal_seq=first_seq - 1, deeds=deeds.copy())
        for call_id, call in moment.state.open_calls.items():
            moment.calls[call_id] = msgspec.structs.replace(begun(call.hold, 0, call.held_ns), sent=call.sent)
            moment._attach(call.hold, call.held_ns)
        return moment

    def copy(self) -> "Moment":
        """Return one that can be followed apart from this one."""
        oldest_step = self.wall_ns // NS_PER_SECOND // SPEND_STEP_SECONDS - SPEND_STEPS
        return replace(
            self,
            state=_copied(self.state),
            calls=dict(self.calls),
            ended=dict(self.ended),
            refusals=self.refusals.copy(),
            spends={
                agent_id: replace(spend, steps=list(spend.steps))
                for agent_id, spend in self.spends.items()
                if spend.step > oldest_step
            },
            deeds=self.deeds.copy(),
        )

    def follow(self, record: Record) -> tuple[Change, ...]:
        """Take up the next record, and return what it changed, one thing at least.

        Raises LEDGER_DAMAGED where it contradicts those before it; the moment is then good for nothing.
        """
        event = record.event
        self.wall_ns = max(self.wall_ns, record.wall_ns)
        settled_nusd = self._settled_nusd(event)
        try:
            apply(self.state, event, self.wall_ns)
        except ContradictionError as error:
            raise damaged(record.place, str(error)) from None
        changes = self._take(event)
        self.deeds.note(event, self.wall_ns)
        if isinstance(event, ev.MoneyEvent):
            self._spent(event, settled_nusd)
        self.records, self.journal_seq = self.records + 1, record.seq
        self.seq += len(changes)
        return changes

    def _take(self, event: ev.Event) -> tuple[Change, ...]:
        match event:
            case ev.Refused(agent_id=agent_id, call_id=call_id):
                self.refusals[agent_id] += event.count
                self._end(call_of(event))
                return (Change("refused", agent_id, call_id),)
            case ev.Hold() | ev.Sent() | ev.Settle() | ev.SettleWorst() | ev.Void() | ev.Overrun():
                return (self._take_call(event),)
            case ev.Adjust(agent_id=agent_id, call_id=call_id, actor=actor):
                view = self.ended.get(call_id)
                if isinstance(view, CallView):
                    self.ended[call_id] = changed(view, event, self.wall_ns)
                return (Change("adjust", agent_id, call_id, actor=actor),)
            case ev.AgentDel(agent_id=agent_id, actor=actor):
                return (Change("agent", agent_id, deleted=True, actor=actor),)
            case ev.DaemonLimitSet(actor=actor):
                return (Change("totals", actor=actor),)
            case ev.Open() | ev.Close() | ev.Torn() | ev.PriceAccept() | ev.Checkpoint() | ev.Restored():
                return self._take_daemon(event)
        return (Change("agent", event.agent_id, actor=event.actor),)

    def _take_call(self, event: ev.Hold | ev.Sent | ev.EndEvent) -> Change:
        agent_id, call_id = event.agent_id, event.call_id
        if isinstance(event, ev.Hold):
            self.calls[call_id] = begun(event, 0, self.wall_ns)
            self._attach(event, self.wall_ns)
            return Change("hold", agent_id, call_id)
        view = changed(self.calls[call_id], event, self.wall_ns)
        if isinstance(event, ev.Sent):
            self.calls[call_id] = view
            return Change("hold", agent_id, call_id)
        del self.calls[call_id]
        self.state.turns.detach(call_id, self.wall_ns)
        self._end(view)
        return Change("end", agent_id, call_id)

    def _take_daemon(self, event: ev.DaemonEvent) -> tuple[Change, ...]:
        """Return what became of the daemon, and of the agents whose counts or freezes it changed."""
        told: list[str] = []
        match event:
            case ev.Open():
                told = [agent_id for agent_id, count in self.refusals.items() if count]
                self.refusals.clear()
                self.opened, self.opened_ns, self.up = event, self.wall_ns, True
            case ev.Close():
                self.up = False
            case ev.PriceAccept():
                self.prices_ns = self.wall_ns
            case ev.Restored():
                told = list(self.state.accounts)
        known = [agent_id for agent_id in told if not self.state.accounts[agent_id].deleted]
        return (Change("price"), *(Change("agent", agent_id) for agent_id in known))

    def _attach(self, hold: ev.Hold, held_ns: int) -> None:
        # When its last call must have ended is not written: whoever shows the lock leaves its end out.
        self.state.turns.attach(hold.agent_id, hold.run_id, hold.call_id, held_ns, held_ns)

    def _end(self, call: CallView | wire.Call) -> None:
        self.ended[call.call_id] = call
        if len(self.ended) > ENDED_KEPT:
            del self.ended[next(iter(self.ended))]

    def _settled_nusd(self, event: ev.Event) -> int:
        account = self.state.accounts.get(event.agent_id) if isinstance(event, ev.MoneyEvent) else None
        return account.settled_nusd if account else 0

    def _spent(self, event: ev.MoneyEvent, before_nusd: int) -> None:
        """Note when an agent's settled money changed."""
        seconds, spend = self.wall_ns // NS_PER_SECOND, self.spends.get(event.agent_id)
        if spend is None:
            if event.settled_nusd == before_nusd:
                return
            spend = self.spends[event.agent_id] = Spend(before_nusd, seconds // SPEND_STEP_SECONDS)
        spend.settle(event.settled_nusd, seconds)


def _copied(state: State) -> State:
    """Return a state that can be changed apart; without Idempotency-Keys, which nobody asks for any more."""
    return State(
        accounts={agent_id: replace(account) for agent_id, account in state.accounts.items()},
        daemon=replace(state.daemon),
        open_calls=dict(state.open_calls),
        ended=dict(state.ended),
        unconfirmed=dict(state.unconfirmed),
        unconfirmed_calls=state.unconfirmed_calls,
        unconfirmed_nusd=state.unconfirmed_nusd,
        distrusted=set(state.distrusted),
        prices=state.prices,
        high_water=dict(state.high_water),
        generation=state.generation,
        agent_keys={key_id: replace(key) for key_id, key in state.agent_keys.items()},
        turns=deepcopy(state.turns),
    )
