"""What lets a waiting call go: the money that it lacks, exactly, and a higher limit where that is in the way.

Pure. Needed is what the call may cost at worst; lacking is that without what remains, in whole cents rounded
up, as the sidecar reckons it.
"""

from spendguard_cli.amounts import usd_of
from spendguard_cli.render import count
from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.board import Board, Row
from spendguard_cli.watch.errands import (
    Errand,
    Impossible,
    Question,
    SetDaemonLimit,
    SetLimit,
    TopUp,
    TopUpDaemon,
)
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.telling import usd_of as usd_of_nusd
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.money import cents_ceil, from_cents
from spendguard_daemon.text import safe

NAME_LENGTH_MAX = 60
VERB = "let through"
TITLE = "Let a waiting call through"


def called(row: Row) -> str:
    """Write an agent's name, fit for a terminal; its id where it has none."""
    return safe(row.agent.name, NAME_LENGTH_MAX).strip() or safe(row.agent.agent_id)


def exact(amount_usd: str) -> str:
    """Write an amount of the wire with its sign in front, and at least two decimals."""
    return usd_of_nusd(nusd(amount_usd))


def fits(remaining_nusd: int, limit_nusd: int, topup_nusd: int) -> int:
    """Return how much of a top-up is added: what fits below the limit (the ledger's rule)."""
    return max(0, min(limit_nusd, remaining_nusd + topup_nusd) - remaining_nusd)


def let(board: Board, subject: Subject) -> Question | Impossible:
    """Return what lets a waiting call go; without a call in the subject, its agent's that waits longest."""
    row = board.rows.get(subject.agent_id or "")
    if row is None:
        return Impossible("The cursor stands on no agent, or it is gone")
    chosen = subject.call_id if subject.waiting else None
    waits = next((one for one in row.waiting if chosen in (None, one.call_id)), None)
    if waits is None:
        gone = "This call does not wait any more" if chosen else f"No call of {called(row)} waits"
        return Impossible(gone)
    before = [one for one in row.waiting if one.since < waits.since]
    match waits.code:
        case Code.INSUFFICIENT_BUDGET:
            return _by_topup(row, waits, len(before))
        case Code.BUDGET_NOT_SET:
            return _by_grant(row, waits, len(before))
        case Code.DAEMON_CAP:
            return _by_cap(board, row, waits)
        case Code.BUDGET_LOCKED:
            holder = safe(row.money.locked_run_id or "") or "another run"
            return Impossible(
                f"No money lets it through: {holder} holds the lock of {called(row)} while its calls are in"
                " flight; key x on such a call cuts it"
            )
        case Code.BUDGET_HELD:
            return Impossible(
                f"The money is there, but calls in flight hold {exact(row.money.held_usd)} of it: it goes"
                " on as they end; key x cuts one"
            )
    return Impossible(f"No money lets it through: it waits for {safe(waits.code)}")


def _by_topup(row: Row, waits: wire.Waiting, before: int) -> Question | Impossible:
    money, who = row.money, called(row)
    if money.hard_limit_usd is None or money.remaining_usd is None:
        return _by_grant(row, waits, before)
    worst_nusd, remaining_nusd = nusd(waits.worst_case_usd), nusd(money.remaining_usd)
    limit_nusd = nusd(money.hard_limit_usd)
    lacking, needed = cents_ceil(worst_nusd - remaining_nusd), cents_ceil(worst_nusd)
    if lacking <= 0:
        return Impossible(f"Nothing is lacking any more: {exact(money.remaining_usd)} are left")
    errand: Errand = TopUp(row.agent.agent_id, lacking)
    said = [_whose(waits, who)]
    if limit_nusd < from_cents(needed):
        errand = SetLimit(row.agent.agent_id, needed, lacking)
        said.append(f"raises the hard limit of {who} from {exact(money.hard_limit_usd)} to {usd_of(needed)}")
        limit_nusd = from_cents(needed)
    after_nusd = remaining_nusd + fits(remaining_nusd, limit_nusd, from_cents(lacking))
    said.append(
        f"adds {usd_of_nusd(after_nusd - remaining_nusd)}: it then has {usd_of_nusd(after_nusd)} left"
    )
    return Question(TITLE, VERB, (*said, *_beside(row, before)), errand=errand)


def _by_grant(row: Row, waits: wire.Waiting, before: int) -> Question:
    who, needed = called(row), cents_ceil(nusd(waits.worst_case_usd))
    said = (
        _whose(waits, who),
        f"gives {who} its first budget: a limit of {usd_of(needed)}, all of it granted",
        *_beside(row, before),
    )
    return Question(TITLE, VERB, said, errand=SetLimit(row.agent.agent_id, needed))


def _by_cap(board: Board, row: Row, waits: wire.Waiting) -> Question | Impossible:
    cap = None if board.totals is None else board.totals.cap
    if cap is None or cap.remaining_usd is None or cap.hard_limit_cents is None:
        return Impossible("The cap above all agents is not known now")
    worst_nusd, remaining_nusd = nusd(waits.worst_case_usd), nusd(cap.remaining_usd)
    lacking, needed = cents_ceil(worst_nusd - remaining_nusd), cents_ceil(worst_nusd)
    if lacking <= 0:
        return Impossible(f"Nothing is lacking any more: {exact(cap.remaining_usd)} are left of the cap")
    errand: Errand = TopUpDaemon(lacking)
    limit_nusd = from_cents(cap.hard_limit_cents)
    said = [_whose(waits, called(row))]
    if limit_nusd < from_cents(needed):
        errand = SetDaemonLimit(needed, lacking)
        said.append(
            f"raises the cap above all agents from {usd_of(cap.hard_limit_cents)} to {usd_of(needed)}"
        )
        limit_nusd = from_cents(needed)
    after_nusd = remaining_nusd + fits(remaining_nusd, limit_nusd, from_cents(lacking))
    said.append(
        f"adds {usd_of_nusd(after_nusd - remaining_nusd)} to the cap above all agents: it then has"
        f" {usd_of_nusd(after_nusd)} left"
    )
    return Question(TITLE, VERB, (*said, *_beside(row, 0)), errand=errand)


def _whose(waits: wire.Waiting, who: str) -> str:
    return (
        f"call {safe(waits.call_id)} of {who} ({safe(waits.model)}) waits, and may cost"
        f" {exact(waits.worst_case_usd)}"
    )


def _beside(row: Row, before: int) -> list[str]:
    """Say what may be in the way all the same."""
    said = []
    if before:
        said.append(f"{count(before, 'call')} of it waited longer, and may take the money first")
    if nusd(row.money.held_usd):
        said.append(f"{exact(row.money.held_usd)} is held by calls in flight: it may wait until they end")
    if row.money.frozen_reason is not None:
        said.append("the agent is frozen: it takes no call until it is unfrozen (key u)")
    return said
