"""Each action as a question: what exactly it will do, in numbers, by what the board knows now. Pure.

The arithmetic of grants is the ledger's (design 4): a limit caps the balance; of a top-up what does not fit
below it is ignored; a limit below what remains cuts it.
"""

from spendguard_cli.amounts import cents, dollars, usd_of
from spendguard_cli.render import count
from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.board import Board, Row
from spendguard_cli.watch.errands import (
    Abort,
    Confirm,
    Field,
    Freeze,
    Impossible,
    Name,
    Question,
    SetLimit,
    TopUp,
    Unfreeze,
)
from spendguard_cli.watch.lacking import lacking_cents, needed_cents
from spendguard_cli.watch.letting import called, exact, fits, let
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.telling import usd_of as usd_of_nusd
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.money import cents_floor, format_usd, from_cents
from spendguard_daemon.text import safe

TOPUP_CENTS = 500
FIRST_LIMIT_CENTS = 5000
UNFREEZE_RESTORED = "spendguard agent unfreeze {agent_id} --spent <amount>"
REASON_CELLS_MAX = 200

NO_AGENT = Impossible("The cursor stands on no agent")
GONE = Impossible("This agent is gone: it was deleted, or is not known any more")
NO_CALL = Impossible("The cursor stands on no call: open the agent, and choose one of its calls")


def asked(name: Name, board: Board, subject: Subject, typed: str | None = None) -> Question | Impossible:
    """Return the question of an action, with its consequences by what was typed (None: nothing yet)."""
    match name:
        case "abort":
            return _abort(board, subject)
        case "confirm":
            return _confirm(board, subject, typed)
        case "let":
            return let(board, subject)
    if subject.agent_id is None:
        return NO_AGENT
    row = board.rows.get(subject.agent_id)
    if row is None:
        return GONE
    match name:
        case "topup":
            return _topup(row, typed, lacking_cents(board, row) or TOPUP_CENTS)
        case "limit":
            return _limit(row, typed, needed_cents(board, row))
        case "freeze":
            return _freeze(row, typed)
        case "unfreeze":
            return _unfreeze(row)


def _topup(row: Row, typed: str | None, offered_cents: int) -> Question | Impossible:
    money, who = row.money, called(row)
    if money.hard_limit_usd is None or money.remaining_usd is None:
        return Impossible(f"{who} has no budget yet: set its hard limit first (key l)")
    field = Field("add (cents, or $)", usd_of(offered_cents))
    title = f"Top up {who}"
    given = _cents("amount", field.default if typed is None else typed)
    if isinstance(given, str):
        return Question(title, "top up", field=field, wrong=given)
    limit_nusd, remaining_nusd = nusd(money.hard_limit_usd), nusd(money.remaining_usd)
    applied_nusd = fits(remaining_nusd, limit_nusd, from_cents(given))
    ignored_nusd = from_cents(given) - applied_nusd
    then = f"it then has {usd_of_nusd(remaining_nusd + applied_nusd)} left"
    said = [
        f"adds {usd_of_nusd(applied_nusd)} to {who}: {then} of a limit of {exact(money.hard_limit_usd)}",
    ]
    if ignored_nusd:
        said.append(
            f"{usd_of_nusd(ignored_nusd)} of it is ignored: the hard limit is {exact(money.hard_limit_usd)}"
            " (key l sets it)"
        )
    said += _held(row) + _still_frozen(row)
    errand = TopUp(row.agent.agent_id, given) if applied_nusd else None
    wrong = "" if applied_nusd else "nothing would be added"
    return Question(title, "top up", tuple(said), field, errand, wrong)


def _limit(row: Row, typed: str | None, needed: int) -> Question:
    money, who = row.money, called(row)
    old_usd, remaining_usd = money.hard_limit_usd, money.remaining_usd
    default_cents = FIRST_LIMIT_CENTS if old_usd is None else max(needed, cents_floor(nusd(old_usd)))
    field, title = Field("limit (cents, or $)", usd_of(default_cents)), f"Set the hard limit of {who}"
    given = _cents("limit", field.default if typed is None else typed)
    if isinstance(given, str):
        return Question(title, "set", field=field, wrong=given)
    said, limit_nusd = [], from_cents(given)
    wrong = ""
    if old_usd is None or remaining_usd is None:
        said.append(
            f"gives {who} its first budget: a limit of {usd_of(given)}, all of it granted; "
            f"it then has {usd_of(given)} left"
        )
    else:
        remaining_nusd = nusd(remaining_usd)
        said.append(f"the limit of {who} was {exact(old_usd)}, it then is {usd_of(given)}")
        if remaining_nusd > limit_nusd:
            said.append(
                f"it has {exact(remaining_usd)} left: {usd_of_nusd(remaining_nusd - limit_nusd)} of that is"
                f" taken away, it then has {usd_of(given)} left"
            )
        else:
            said.append(
                f"it keeps the {exact(remaining_usd)} that it has left; nothing is added (key t adds)"
            )
        wrong = "that is its limit already" if limit_nusd == nusd(old_usd) else ""
    said += _held(row) + _still_frozen(row)
    errand = None if wrong else SetLimit(row.agent.agent_id, given)
    return Question(title, "set", tuple(said), field, errand, wrong)


def _freeze(row: Row, typed: str | None) -> Question | Impossible:
    who = called(row)
    if row.money.frozen_reason is not None:
        return Impossible(f"{who} is frozen already: {_reason(row)} (key u unfreezes it)")
    said = [f"{who} gets no new call: each is refused, and shows the reason"]
    flying = row.money.calls_in_flight
    if flying:
        go = "goes on and settles" if flying == 1 else "go on and settle"
        said.append(f"{count(flying, 'call')} in flight {go}")
    if row.money.calls_waiting:
        said.append(f"{count(row.money.calls_waiting, 'waiting call')} will be refused")
    said.append("it stays so until it is unfrozen (key u)")
    errand = Freeze(row.agent.agent_id, (typed or "").strip())
    return Question(
        f"Freeze {who}", "freeze", tuple(said), Field("reason (may be empty)", ""), errand, grave=True
    )


def _unfreeze(row: Row) -> Question | Impossible:
    who, agent_id = called(row), row.agent.agent_id
    if row.agent.restored:
        command = UNFREEZE_RESTORED.format(agent_id=agent_id)
        return Impossible(f"{who} came back with a backup: say what it spent since; type: {command}")
    if row.money.frozen_reason is None:
        return Impossible(f"{who} is not frozen")
    said = [f"{who} may call again; it was frozen for: {_reason(row)}"]
    if row.money.frozen_reason.startswith("overrun"):
        said.append(
            "a call cost more than was held for it: it may be so again (key e on that call tells why)"
        )
    if row.money.remaining_usd is None:
        said.append("it has no budget yet: its calls are refused until its limit is set (key l)")
    elif nusd(row.money.remaining_usd) <= 0:
        said.append(f"it has {exact(row.money.remaining_usd)} left: its calls are refused until a top-up")
    else:
        said.append(f"it has {exact(row.money.remaining_usd)} left")
    return Question(f"Unfreeze {who}", "unfreeze", tuple(said), errand=Unfreeze(agent_id))


def _abort(board: Board, subject: Subject) -> Question | Impossible:
    if subject.waiting:
        return Impossible("This call waits and has no hold yet: there is nothing to cut")
    call_id = subject.call_id
    if call_id is None and subject.agent_id is not None:
        mine = [key for key, one in board.flights.items() if one.call.agent_id == subject.agent_id]
        if not mine:
            return Impossible("No call of this agent is in flight")
        call_id = mine[0] if len(mine) == 1 else None
    if call_id is None:
        return NO_CALL
    flight = board.flights.get(call_id)
    if flight is None:
        ended = board.ended.get(call_id)
        if ended is None:
            return Impossible("This call is not in flight any more")
        charged = f" and was charged {exact(ended.cost_usd)}" if ended.cost_usd is not None else ""
        return Impossible(f"This call has ended: it is {safe(ended.state)}{charged}")
    call, row = flight.call, board.rows.get(flight.call.agent_id)
    who = "a deleted agent" if row is None else called(row)
    hold = f"it is charged at its hold, {exact(call.hold_usd)}, until that is confirmed (key c)"
    said = [
        f"cuts call {safe(call.call_id)} of {who} ({safe(call.model)}) in flight",
        f"if its cost is not known by then {hold}",
        "if it never left this machine it costs nothing",
    ]
    if flight.progress is not None and nusd(flight.progress.cost_usd):
        said.append(f"what has come of its answer so far costs about {exact(flight.progress.cost_usd)}")
    if row is not None and row.money.locked_run_id == call.run_id:
        said.append(f"once none of its calls is left, run {safe(call.run_id)} lets go of the lock")
    return Question("Abort a call", "abort", tuple(said), errand=Abort(call_id), grave=True)


def _confirm(board: Board, subject: Subject, typed: str | None) -> Question | Impossible:
    call_id = subject.call_id
    if call_id is None:
        return NO_CALL
    if call_id in board.flights or subject.waiting:
        return Impossible("This call has not ended: there is nothing to confirm yet")
    listed = {} if board.totals is None else {one.call_id: one for one in board.totals.unconfirmed}
    call, one = board.ended.get(call_id), listed.get(call_id)
    if one is None and call is None:
        return Impossible("This call is not known any more")
    if one is None and call is not None and call.state not in ("settled_worst", "overrun"):
        return Impossible(f"Nothing to confirm: this call is {safe(call.state)}")
    charged_usd = one.cost_usd if one is not None else (call.cost_usd if call is not None else None) or "0"
    agent_id = one.agent_id if one is not None else (call.agent_id if call is not None else "")
    field = Field("what it cost (USD)", charged_usd)
    title = "Confirm what a call was charged"
    try:
        cost_nusd = dollars("cost", field.default if typed is None else typed)
    except SpendGuardError as error:
        return Question(title, "confirm", field=field, wrong=_said(error))
    said = [f"call {safe(call_id)} was charged {exact(charged_usd)}, a bound"]
    said += _adjusted(board.rows.get(agent_id), nusd(charged_usd), cost_nusd)
    return Question(title, "confirm", tuple(said), field, Confirm(call_id, format_usd(cost_nusd)))


def _adjusted(row: Row | None, charged_nusd: int, cost_nusd: int) -> list[str]:
    back_nusd = charged_nusd - cost_nusd
    who = "its agent" if row is None else called(row)
    if not back_nusd:
        return [f"it stays charged {usd_of_nusd(cost_nusd)}, and counts as confirmed"]
    if back_nusd > 0:
        moved = f"{usd_of_nusd(back_nusd)} goes back to {who}"
    else:
        moved = f"{usd_of_nusd(-back_nusd)} more is taken from {who}"
    said = [f"it is then charged {usd_of_nusd(cost_nusd)}: {moved}"]
    if row is not None and row.money.remaining_usd is not None:
        left_nusd = nusd(row.money.remaining_usd) + back_nusd
        said.append(f"{who} then has {usd_of_nusd(left_nusd)} left")
    return said


def _cents(what: str, typed: str) -> int | str:
    """Read an amount in whole cents; return what is wrong with it, in words, where it is none."""
    try:
        return cents(what, typed)
    except SpendGuardError as error:
        return _said(error)


def _said(error: SpendGuardError) -> str:
    return safe(f"{error.detail}; {error.remedy}" if error.remedy else error.detail)


def _reason(row: Row) -> str:
    return safe(row.money.frozen_reason or "", REASON_CELLS_MAX) or "no reason was given"


def _held(row: Row) -> list[str]:
    if not nusd(row.money.held_usd):
        return []
    return [
        f"{exact(row.money.held_usd)} of what is left is held by {count(row.money.calls_in_flight, 'call')}"
    ]


def _still_frozen(row: Row) -> list[str]:
    return (
        ["it stays frozen: it takes no call until it is unfrozen (key u)"]
        if row.money.frozen_reason is not None
        else []
    )
