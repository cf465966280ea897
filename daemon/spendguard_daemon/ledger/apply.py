"""`apply`: the one function that changes the state, an event at a time, live and on replay alike.

Pure: no clock, no disk, no chance; the same events always make the same state, which is what replay rests on.
Checks each event against the state it meets, so that a journal that contradicts itself is found out.
"""

from dataclasses import replace

from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.key_ring import apply_key, charge, check_hold, end_keys
from spendguard_daemon.ledger.keys import bind, note_end
from spendguard_daemon.ledger.state import (
    ENDED_MAX,
    RESTORED,
    UNCONFIRMED_MAX,
    Account,
    ContradictionError,
    DaemonAccount,
    EndedCall,
    OpenCall,
    Outcome,
    State,
)
from spendguard_daemon.ledger.times import parse_time_ms


def apply(state: State, event: ev.Event, wall_ns: int) -> None:
    """Change `state` by one event that happened at `wall_ns`.

    Raises ContradictionError where the event cannot follow from the state, which is then good for nothing.
    """
    if isinstance(event, ev.CallEvent):
        _apply_call(state, event, wall_ns)
    elif isinstance(event, ev.AgentEvent):
        _apply_agent(state, event, wall_ns)
    elif isinstance(event, ev.KeyEvent):
        apply_key(state, event, wall_ns)
    elif isinstance(event, ev.Refused):
        _check_refused(state, event)
    else:
        _apply_daemon(state, event, wall_ns)
    if isinstance(event, ev.KeyedEvent):
        bind(state, event, wall_ns)


def _apply_call(state: State, event: ev.CallEvent, wall_ns: int) -> None:
    if isinstance(event, ev.Hold):
        if event.call_id in state.open_calls:
            raise ContradictionError(f"call {event.call_id} is already open")
        check_hold(state, event)
        _book(state, event, held=event.amount_nusd)
        charge(state, event.keys, held=event.amount_nusd)
        state.accounts[event.agent_id].calls_open += 1
        state.open_calls[event.call_id] = OpenCall(event, wall_ns)
    elif isinstance(event, ev.Sent):
        call = _open_call(state, event.call_id)
        state.open_calls[event.call_id] = OpenCall(call.hold, call.held_ns, sent=True)
    elif isinstance(event, ev.Adjust):
        _apply_adjust(state, event)
    else:
        _apply_end(state, event, wall_ns)


def _apply_end(state: State, event: ev.EndEvent, wall_ns: int) -> None:
    hold = _open_call(state, event.call_id).hold
    if event.hold_nusd != hold.amount_nusd or event.agent_id != hold.agent_id:
        raise ContradictionError(f"the end of call {event.call_id} does not match its hold")
    outcome, cost_nusd = _outcome(event)
    _book(state, event, settled=cost_nusd, held=-hold.amount_nusd)
    charge(state, hold.keys, settled=cost_nusd, held=-hold.amount_nusd)
    state.accounts[event.agent_id].calls_open -= 1
    del state.open_calls[event.call_id]
    if outcome == "overrun":
        state.distrusted.add((hold.provider, hold.model, hold.rung))
    ended = EndedCall(
        call_id=event.call_id,
        agent_id=event.agent_id,
        run_id=hold.run_id,
        provider=hold.provider,
        model=hold.model,
        outcome=outcome,
        hold_nusd=hold.amount_nusd,
        cost_nusd=cost_nusd,
        reason=event.reason,
        ended_ns=wall_ns,
        confirmed=outcome in ("settled", "voided"),
        keys=tuple(hold.keys),
    )
    note_end(state, hold, None if outcome == "voided" else cost_nusd)
    if not ended.confirmed:
        _keep_unconfirmed(state, ended)
    _keep(state, ended)


def _outcome(event: ev.EndEvent) -> tuple[Outcome, int]:
    if isinstance(event, ev.Settle):
        return "settled", event.cost_nusd
    if isinstance(event, ev.SettleWorst):
        return "settled_worst", event.cost_nusd
    if isinstance(event, ev.Overrun):
        return "overrun", event.cost_nusd
    return "voided", 0


def _apply_adjust(state: State, event: ev.Adjust) -> None:
    call = state.ended_call(event.call_id)
    if call is None or call.cost_nusd != event.from_nusd or call.agent_id != event.agent_id:
        raise ContradictionError(f"call {event.call_id} was not charged {event.from_nusd} nUSD")
    _book(state, event, settled=event.to_nusd - event.from_nusd)
    charge(state, call.keys, settled=event.to_nusd - event.from_nusd)
    if state.unconfirmed.pop(event.call_id, None) is not None:
        state.unconfirmed_calls -= 1
        state.unconfirmed_nusd -= event.from_nusd
    _keep(state, replace(call, cost_nusd=event.to_nusd, reason=event.reason, confirmed=True))


def _keep_unconfirmed(state: State, call: EndedCall) -> None:
    state.unconfirmed_calls += 1
    state.unconfirmed_nusd += call.cost_nusd
    state.unconfirmed[call.call_id] = call
    if len(state.unconfirmed) > UNCONFIRMED_MAX:
        del state.unconfirmed[next(iter(state.unconfirmed))]


def _keep(state: State, call: EndedCall) -> None:
    state.ended[call.call_id] = call
    if len(state.ended) > ENDED_MAX:
        del state.ended[next(iter(state.ended))]


def _apply_agent(state: State, event: ev.AgentEvent, wall_ns: int) -> None:
    if isinstance(event, ev.AgentNew):
        if event.agent_id in state.accounts:
            raise ContradictionError(f"agent {event.agent_id} exists already")
        state.accounts[event.agent_id] = Account(
            event.agent_id, event.name, wall_ns, event.concurrency, event.overflow, event.mock
        )
        state.accounts[event.agent_id].policy = event.policy
        return
    account = _account(state, event.agent_id)
    if isinstance(event, ev.BudgetSet):
        _book(state, event, funded=event.applied_nusd - event.cut_nusd)
        account.limit_nusd = event.limit_nusd
    elif isinstance(event, ev.AgentSet):
        account.name = account.name if event.name is None else event.name
        account.concurrency = event.concurrency or account.concurrency
        account.overflow = event.overflow or account.overflow
        account.policy = event.policy or account.policy
        account.needs_key = account.needs_key if event.needs_key is None else event.needs_key
    elif isinstance(event, ev.AgentDel):
        account.deleted = True
        end_keys(state, event.agent_id, wall_ns)
    elif isinstance(event, ev.RestoreConfirmed):
        _book(state, event, settled=event.spent_nusd)
        account.restored = False
        account.frozen_reason = None if account.frozen_reason == RESTORED else account.frozen_reason
    else:
        account.frozen_reason = event.reason if isinstance(event, ev.Freeze) else None


def _apply_daemon(state: State, event: ev.DaemonEvent, wall_ns: int) -> None:
    if isinstance(event, ev.DaemonLimitSet):
        _apply_daemon_limit(state.daemon, event)
    elif isinstance(event, ev.PriceAccept):
        state.prices = state.high_water[event.key_id] = event
    elif isinstance(event, ev.Open):
        state.generation = event.generation
    elif isinstance(event, ev.Checkpoint):
        _check_sums(state, event)
    elif isinstance(event, ev.Restored):
        _apply_restored(state, event, wall_ns)


def _apply_daemon_limit(daemon: DaemonAccount, event: ev.DaemonLimitSet) -> None:
    if (daemon.settled_nusd, daemon.held_nusd) != (event.settled_nusd, event.held_nusd):
        raise ContradictionError(
            "the record's balances of the daemon do not follow from the records before it"
        )
    daemon.limit_nusd = event.limit_nusd
    daemon.funded_nusd = event.funded_nusd


def _check_sums(state: State, event: ev.Checkpoint) -> None:
    said = (event.agents, event.calls_open, event.settled_nusd, event.held_nusd)
    daemon = state.daemon
    if said != (len(state.accounts), len(state.open_calls), daemon.settled_nusd, daemon.held_nusd):
        raise ContradictionError("the checkpoint's sums do not follow from the records before it")


def _apply_restored(state: State, event: ev.Restored, wall_ns: int) -> None:
    state.generation = event.generation
    for account in state.accounts.values():
        if not account.deleted:
            account.restored = True
            account.frozen_reason = account.frozen_reason or RESTORED
            # Some were revoked or rotated since, and children spent what the backup does not know.
            end_keys(state, account.agent_id, wall_ns)


def _check_refused(state: State, event: ev.Refused) -> None:
    _account(state, event.agent_id)
    try:
        parse_time_ms(event.at)
    except ValueError as error:
        raise ContradictionError(str(error)) from None


def _book(state: State, event: ev.MoneyEvent, *, funded: int = 0, settled: int = 0, held: int = 0) -> None:
    """Move an agent's money, and check that the event's own balances say the same."""
    account = _account(state, event.agent_id)
    after = (account.funded_nusd + funded, account.settled_nusd + settled, account.held_nusd + held)
    if after != (event.funded_nusd, event.settled_nusd, event.held_nusd):
        raise ContradictionError(
            f"the record's balances of agent {event.agent_id} do not follow from the records before it"
        )
    account.funded_nusd, account.settled_nusd, account.held_nusd = after
    state.daemon.settled_nusd += settled
    state.daemon.held_nusd += held


def _account(state: State, agent_id: str) -> Account:
    account = state.accounts.get(agent_id)
    if account is None:
        raise ContradictionError(f"there is no agent {agent_id}")
    return account


def _open_call(state: State, call_id: str) -> OpenCall:
    call = state.open_calls.get(call_id)
    if call is None:
        raise ContradictionError(f"call {call_id} is not open")
    return call
