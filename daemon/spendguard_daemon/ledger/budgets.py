"""Grants: what a limit and a top-up do to an agent's budget, and to the daemon's. Pure arithmetic (design 4).

A limit caps the balance, not the lifetime: `funded_nusd` grows by what was really applied, and shrinks only
by a limit that is lower than what remains.
"""

from dataclasses import dataclass

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.ledger.commands import GrantBudget, MoneyCommand, SetDaemonLimit, TopUp, TopUpDaemon
from spendguard_daemon.ledger.events import BudgetSet, DaemonLimitSet
from spendguard_daemon.ledger.state import Account, State
from spendguard_daemon.money import NUSD_MAX, checked, format_usd


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a grant does to what remains: `applied` was added, `ignored` did not fit, `cut` was taken away."""

    applied_nusd: int
    ignored_nusd: int
    cut_nusd: int


def live_account(state: State, agent_id: str) -> Account:
    """Return an agent that exists and is not deleted; raise AGENT_NOT_FOUND."""
    account = state.accounts.get(agent_id)
    if account is None or account.deleted:
        raise SpendGuardError(
            Code.AGENT_NOT_FOUND, TABLE[Code.AGENT_NOT_FOUND].title, facts={"agent_id": agent_id}
        )
    return account


def checked_amount(name: str, amount_nusd: int) -> int:
    """Return an amount fit for the ledger, an integer from 0 to 2^53 - 1 nUSD; raise MALFORMED_REQUEST."""
    if isinstance(amount_nusd, bool) or not isinstance(amount_nusd, int) or not 0 <= amount_nusd <= NUSD_MAX:
        raise MalformedError(name, f"an amount from 0 to {format_usd(NUSD_MAX)} USD")
    return amount_nusd


def decide_budget(state: State, command: MoneyCommand) -> BudgetSet | DaemonLimitSet:
    """Return the event of a grant.

    Raises MALFORMED_REQUEST for an impossible amount, AGENT_NOT_FOUND, or BUDGET_NOT_FOUND for a top-up where
    there is no budget yet.
    """
    if isinstance(command, SetDaemonLimit):
        return _daemon_limit_set(state, command.limit_nusd, command.topup_nusd, command)
    if isinstance(command, TopUpDaemon):
        limit_nusd = _existing(state.daemon.limit_nusd)
        return _daemon_limit_set(state, limit_nusd, command.amount_nusd, command)
    account = live_account(state, command.agent_id)
    topup_nusd = command.amount_nusd if isinstance(command, TopUp) else command.topup_nusd
    if isinstance(command, TopUp):
        limit_nusd = _existing(account.limit_nusd)
    else:
        limit_nusd = checked_amount("limit", command.limit_nusd)
    grant = _grant(account.limit_nusd, account.remaining_nusd, limit_nusd, topup_nusd)
    return _budget_set(account, limit_nusd, grant, command)


def _existing(limit_nusd: int | None) -> int:
    if limit_nusd is None:
        raise SpendGuardError(Code.BUDGET_NOT_FOUND, TABLE[Code.BUDGET_NOT_FOUND].title)
    return limit_nusd


def _grant(
    old_limit_nusd: int | None, remaining_nusd: int, limit_nusd: int, topup_nusd: int | None
) -> _Grant:
    topup_nusd = checked_amount("topup", topup_nusd or 0)
    if old_limit_nusd is None:
        # The original's rule, kept for its clients: at first, no top-up (or one of 0) grants the whole limit.
        topup_nusd = topup_nusd or limit_nusd
        remaining_nusd = 0
    after_nusd = min(limit_nusd, remaining_nusd + topup_nusd)
    applied_nusd = max(0, after_nusd - remaining_nusd)
    cut_nusd = max(0, remaining_nusd - after_nusd)
    return _Grant(applied_nusd, topup_nusd - applied_nusd, cut_nusd)


def _budget_set(account: Account, limit_nusd: int, grant: _Grant, command: GrantBudget | TopUp) -> BudgetSet:
    return BudgetSet(
        agent_id=account.agent_id,
        limit_nusd=limit_nusd,
        applied_nusd=grant.applied_nusd,
        ignored_nusd=grant.ignored_nusd,
        cut_nusd=grant.cut_nusd,
        actor=command.actor,
        funded_nusd=checked(account.funded_nusd + grant.applied_nusd - grant.cut_nusd),
        settled_nusd=account.settled_nusd,
        held_nusd=account.held_nusd,
        idempotency=command.idempotency,
    )


def _daemon_limit_set(
    state: State, limit_nusd: int | None, topup_nusd: int | None, command: SetDaemonLimit | TopUpDaemon
) -> DaemonLimitSet:
    daemon = state.daemon
    if limit_nusd is None:
        grant, funded_nusd = _Grant(0, 0, 0), None
    else:
        checked_amount("limit", limit_nusd)
        grant = _grant(daemon.limit_nusd, daemon.remaining_nusd or 0, limit_nusd, topup_nusd)
        # A first cap counts from now: what was spent before it was set is not charged to it.
        base_nusd = daemon.settled_nusd if daemon.funded_nusd is None else daemon.funded_nusd
        funded_nusd = checked(base_nusd + grant.applied_nusd - grant.cut_nusd)
    return DaemonLimitSet(
        limit_nusd=limit_nusd,
        applied_nusd=grant.applied_nusd,
        ignored_nusd=grant.ignored_nusd,
        cut_nusd=grant.cut_nusd,
        actor=command.actor,
        funded_nusd=funded_nusd,
        settled_nusd=daemon.settled_nusd,
        held_nusd=daemon.held_nusd,
        idempotency=command.idempotency,
    )
