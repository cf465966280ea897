"""`decide`: what happens next, given the state and a command; it changes nothing and returns events.

Pure and total: a command is answered with events or refused with a SpendGuardError, never half done. Holds
are decided in `admission`, ends of calls in `outcomes`, grants in `budgets`, keys of agents in `agent_keys`;
agents and prices here.
"""

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.admission import admit
from spendguard_daemon.ledger.agent_keys import decide_key
from spendguard_daemon.ledger.budgets import decide_budget, live_account
from spendguard_daemon.ledger.outcomes import adjust, confirm_restored, end, mark_sent
from spendguard_daemon.ledger.state import Account, State


def decide(state: State, command: cmd.Command, now: cmd.Now) -> tuple[ev.Event, ...]:
    """Return the events that carry out `command`, none where there is nothing to change.

    Raises SpendGuardError where the command is refused; the state is the same before and after, either way.
    """
    if isinstance(command, cmd.HoldCall):
        return (admit(state, command, now),)
    if isinstance(command, cmd.MarkSent):
        return mark_sent(state, command)
    if isinstance(command, cmd.EndCommand):
        return end(state, command)
    if isinstance(command, cmd.AdjustCall):
        return adjust(state, command)
    if isinstance(command, cmd.ConfirmRestored):
        return (confirm_restored(state, command),)
    if isinstance(command, cmd.AgentCommand):
        return _agent(state, command)
    if isinstance(command, cmd.KeyCommand):
        return decide_key(state, command, now)
    if isinstance(command, cmd.MoneyCommand):
        return (decide_budget(state, command),)
    return _accept_prices(state, command)


def _agent(state: State, command: cmd.AgentCommand) -> tuple[ev.Event, ...]:
    if isinstance(command, cmd.NewAgent):
        return (_new_agent(state, command),)
    account = live_account(state, command.agent_id)
    if isinstance(command, cmd.ChangeAgent):
        return _change_agent(account, command)
    if isinstance(command, cmd.DeleteAgent):
        return (ev.AgentDel(agent_id=command.agent_id, actor=command.actor),)
    if isinstance(command, cmd.Freeze):
        if account.frozen_reason == command.reason:
            return ()
        return (ev.Freeze(agent_id=command.agent_id, reason=command.reason, actor=command.actor),)
    if account.frozen_reason is None:
        return ()
    if account.restored:
        raise SpendGuardError(Code.RESTORE_UNCONFIRMED, TABLE[Code.RESTORE_UNCONFIRMED].title)
    return (ev.Unfreeze(agent_id=command.agent_id, actor=command.actor),)


def _new_agent(state: State, command: cmd.NewAgent) -> ev.AgentNew:
    if command.agent_id in state.accounts:
        raise SpendGuardError(Code.LEDGER_REFUSED, f"Agent id {command.agent_id} was used before")
    return ev.AgentNew(
        agent_id=command.agent_id,
        name=command.name,
        concurrency=command.concurrency,
        overflow=command.overflow,
        mock=command.mock,
        actor=command.actor,
        idempotency=command.idempotency,
        policy=command.policy,
    )


def _change_agent(account: Account, command: cmd.ChangeAgent) -> tuple[ev.Event, ...]:
    name = command.name if command.name != account.name else None
    concurrency = command.concurrency if command.concurrency != account.concurrency else None
    overflow = command.overflow if command.overflow != account.overflow else None
    policy = command.policy if command.policy != account.policy else None
    needs_key = command.needs_key if command.needs_key != account.needs_key else None
    if all(change is None for change in (name, concurrency, overflow, policy, needs_key)):
        return ()
    return (
        ev.AgentSet(
            agent_id=command.agent_id,
            actor=command.actor,
            name=name,
            concurrency=concurrency,
            overflow=overflow,
            policy=policy,
            needs_key=needs_key,
        ),
    )


def _accept_prices(state: State, command: cmd.AcceptPrices) -> tuple[ev.Event, ...]:
    event = ev.PriceAccept(
        sequence=command.sequence,
        document_sha256=command.document_sha256,
        key_id=command.key_id,
        source=command.source,
    )
    if event == state.prices:
        return ()
    high = state.high_water.get(command.key_id)
    older = high is not None and command.sequence < high.sequence
    other = (
        high is not None
        and command.sequence == high.sequence
        and event.document_sha256 != high.document_sha256
    )
    if older or other:
        raise SpendGuardError(Code.PRICING_ROLLBACK, TABLE[Code.PRICING_ROLLBACK].title)
    return (event,)
