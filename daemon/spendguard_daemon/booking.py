"""The one final record of a call: from its outcome to the ledger's command, and what that charges. Pure.

Where the reported usage has no price the call is charged at its hold, as everywhere where the bill is not
known. Knows no I/O; the clock's reading is passed in.
"""

from dataclasses import dataclass

from spendguard_daemon.bill import bill
from spendguard_daemon.call import Plan
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger.commands import EndCommand, SettleAtWorst, SettleCall, VoidCall
from spendguard_daemon.outcome import Outcome
from spendguard_daemon.relay import Relay
from spendguard_daemon.usage import Usage


@dataclass(frozen=True, slots=True)
class Booking:
    """What to book, what the call is charged by it (nUSD), and what an operator should hear of."""

    command: EndCommand
    charged_nusd: int
    odd: str = ""


def booking(relay: Relay, ended: Outcome, now_ns: int) -> Booking:
    """Return the final record of a call that ended at `now_ns` (wall clock) with this outcome."""
    call_id, hold_nusd, status = relay.hold.call_id, relay.hold.amount_nusd, relay.status
    if ended.kind == "void":
        return Booking(VoidCall(call_id, ended.reason, status), 0)
    if ended.usage is None:
        return Booking(SettleAtWorst(call_id, ended.reason, status, relay.answer_id), hold_nusd)
    try:
        cost, odd = bill(relay.plan, ended.usage, relay.answered_by, relay.plan.until_ns(now_ns))
    except SpendGuardError as error:
        # Billed in a way or by a model for which there is no rate: not known, hence the worst.
        return Booking(SettleAtWorst(call_id, error.detail, status, relay.answer_id), hold_nusd)
    settled = SettleCall(
        call_id=call_id,
        cost_nusd=cost.total_nusd,
        usage=ended.usage.counts(),
        lines=[line.to_json() for line in cost.lines],
        http_status=status,
        reason=f"{ended.reason}; {odd}" if odd else ended.reason,
        answer_id=relay.answer_id,
        state_tokens=None if odd or relay.answer_id is None else _kept_tokens(relay.plan, ended.usage),
    )
    return Booking(settled, cost.total_nusd, odd)


def _kept_tokens(plan: Plan, usage: Usage) -> int | None:
    """Return the most that the answer of a settled call adds to the input of one that goes on from it.

    None where more may come back than the call read and wrote: media, which may be read in more detail then;
    what the provider keeps or puts in; what the call itself went on from, if that is not known; and turns or
    reasoning that it left out.
    """
    request, media = plan.request, plan.request.media
    plain = not (media.images or media.audio_bytes or media.documents or request.foreign_state)
    known = not request.state_ids or plan.state_tokens is not None
    if not plain or not known or request.leaves_out or request.passes > 1:
        return None
    return usage.input_tokens + usage.output_tokens
