"""How calls end: settled, settled at worst, voided, overrun; and how a person corrects a charge later.

Pure. Invariants: a call ends once; what is not known is charged at the hold; an overrun is booked in full.
"""

from dataclasses import dataclass

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.budgets import checked_amount, live_account
from spendguard_daemon.ledger.state import OpenCall, State
from spendguard_daemon.money import checked

REASON_CHARS_MAX = 500
"""A reason may quote a provider's error; a record must stay small all the same."""

OVERRUN_FREEZE_PERCENT = 1
"""An overrun above this share of its hold freezes the agent (design 4)."""


@dataclass(frozen=True, slots=True)
class _Balances:
    funded_nusd: int
    settled_nusd: int
    held_nusd: int


def mark_sent(state: State, command: cmd.MarkSent) -> tuple[ev.Event, ...]:
    """Note that an open call leaves; raise CALL_NOT_OPEN. Nothing to do where that is noted already."""
    call = _open_call(state, command.call_id)
    if call.sent:
        return ()
    return (ev.Sent(call_id=command.call_id, agent_id=call.hold.agent_id, changed=list(command.changed)),)


def end(state: State, command: cmd.EndCommand) -> tuple[ev.Event, ...]:
    """End an open call; raise CALL_NOT_OPEN, or MALFORMED_REQUEST where the cost is no amount of money."""
    hold = _open_call(state, command.call_id).hold
    if isinstance(command, cmd.SettleCall):
        checked_amount("cost", command.cost_nusd)
        if command.cost_nusd > hold.amount_nusd:
            return _overrun(state, hold, command)
        return (_settle(state, hold, command),)
    reason = command.reason[:REASON_CHARS_MAX]
    if isinstance(command, cmd.SettleAtWorst):
        after = _after(state, hold, hold.amount_nusd)
        return (
            ev.SettleWorst(
                call_id=hold.call_id,
                agent_id=hold.agent_id,
                cost_nusd=hold.amount_nusd,
                hold_nusd=hold.amount_nusd,
                http_status=command.http_status,
                reason=reason,
                funded_nusd=after.funded_nusd,
                settled_nusd=after.settled_nusd,
                held_nusd=after.held_nusd,
                answer_id=command.answer_id,
            ),
        )
    after = _after(state, hold, 0)
    return (
        ev.Void(
            call_id=hold.call_id,
            agent_id=hold.agent_id,
            hold_nusd=hold.amount_nusd,
            http_status=command.http_status,
            reason=reason,
            funded_nusd=after.funded_nusd,
            settled_nusd=after.settled_nusd,
            held_nusd=after.held_nusd,
        ),
    )


def _settle(state: State, hold: ev.Hold, command: cmd.SettleCall) -> ev.Settle:
    after = _after(state, hold, command.cost_nusd)
    return ev.Settle(
        call_id=hold.call_id,
        agent_id=hold.agent_id,
        cost_nusd=command.cost_nusd,
        hold_nusd=hold.amount_nusd,
        usage=dict(command.usage),
        lines=list(command.lines),
        http_status=command.http_status,
        reason=command.reason[:REASON_CHARS_MAX],
        funded_nusd=after.funded_nusd,
        settled_nusd=after.settled_nusd,
        held_nusd=after.held_nusd,
        answer_id=command.answer_id,
        state_tokens=command.state_tokens,
    )


def _overrun(state: State, hold: ev.Hold, command: cmd.SettleCall) -> tuple[ev.Event, ...]:
    after = _after(state, hold, command.cost_nusd)
    overrun = ev.Overrun(
        call_id=hold.call_id,
        agent_id=hold.agent_id,
        cost_nusd=command.cost_nusd,
        hold_nusd=hold.amount_nusd,
        usage=dict(command.usage),
        lines=list(command.lines),
        http_status=command.http_status,
        reason=command.reason[:REASON_CHARS_MAX],
        funded_nusd=after.funded_nusd,
        settled_nusd=after.settled_nusd,
        held_nusd=after.held_nusd,
        answer_id=command.answer_id,
        state_tokens=command.state_tokens,
    )
    excess_nusd = command.cost_nusd - hold.amount_nusd
    overdrawn = after.funded_nusd - after.settled_nusd < 0
    large = excess_nusd * 100 > hold.amount_nusd * OVERRUN_FREEZE_PERCENT
    frozen = state.accounts[hold.agent_id].frozen_reason is not None
    if frozen or not (overdrawn or large):
        return (overrun,)
    reason = f"overrun: call {hold.call_id} cost {excess_nusd} nUSD more than was held for it"
    # The freeze first: of a batch that a power cut tears, the overrun must not be what is left alone.
    return (ev.Freeze(agent_id=hold.agent_id, reason=reason, actor="ledger"), overrun)


def adjust(state: State, command: cmd.AdjustCall) -> tuple[ev.Event, ...]:
    """Set what an ended call was charged; raise CALL_NOT_FOUND, or LEDGER_REFUSED while it is open.

    Raises MALFORMED_REQUEST where the sum of what is settled and held would be no amount of money any more.

    Nothing to do where it is charged that already; but the first time this confirms an unconfirmed charge.
    """
    checked_amount("to", command.to_nusd)
    if command.call_id in state.open_calls:
        raise SpendGuardError(
            Code.LEDGER_REFUSED, "The call is still open; it can be adjusted once it has ended"
        )
    call = state.ended_call(command.call_id)
    if call is None:
        raise SpendGuardError(Code.CALL_NOT_FOUND, TABLE[Code.CALL_NOT_FOUND].title)
    if command.to_nusd == call.cost_nusd and call.confirmed:
        return ()
    account = state.accounts[call.agent_id]
    settled_nusd = account.settled_nusd + command.to_nusd - call.cost_nusd
    checked(settled_nusd + account.held_nusd)
    return (
        ev.Adjust(
            call_id=command.call_id,
            agent_id=call.agent_id,
            from_nusd=call.cost_nusd,
            to_nusd=command.to_nusd,
            reason=command.reason[:REASON_CHARS_MAX],
            actor=command.actor,
            funded_nusd=account.funded_nusd,
            settled_nusd=settled_nusd,
            held_nusd=account.held_nusd,
            idempotency=command.idempotency,
        ),
    )


def confirm_restored(state: State, command: cmd.ConfirmRestored) -> ev.RestoreConfirmed:
    """Charge what was spent since the backup.

    Raises AGENT_NOT_FOUND, or MALFORMED_REQUEST where there is nothing to confirm, so that a repeated command
    does not charge twice, or the amount is none.
    """
    account = live_account(state, command.agent_id)
    checked_amount("spent", command.spent_nusd)
    if not account.restored:
        raise MalformedError("agent", "an agent that waits for what was spent since a restore")
    settled_nusd = account.settled_nusd + command.spent_nusd
    checked(settled_nusd + account.held_nusd)
    return ev.RestoreConfirmed(
        agent_id=command.agent_id,
        spent_nusd=command.spent_nusd,
        reason=command.reason[:REASON_CHARS_MAX],
        actor=command.actor,
        funded_nusd=account.funded_nusd,
        settled_nusd=settled_nusd,
        held_nusd=account.held_nusd,
    )


def _after(state: State, hold: ev.Hold, cost_nusd: int) -> _Balances:
    # No limit here: an end must never be refused, or its hold would stay for ever. Sums are kept small where
    # money is granted, held and adjusted; an overrun may pass them, and is then booked as it is.
    account = state.accounts[hold.agent_id]
    return _Balances(
        funded_nusd=account.funded_nusd,
        settled_nusd=account.settled_nusd + cost_nusd,
        held_nusd=account.held_nusd - hold.amount_nusd,
    )


def _open_call(state: State, call_id: str) -> OpenCall:
    call = state.open_calls.get(call_id)
    if call is None:
        raise SpendGuardError(Code.CALL_NOT_OPEN, TABLE[Code.CALL_NOT_OPEN].title, facts={"call_id": call_id})
    return call
