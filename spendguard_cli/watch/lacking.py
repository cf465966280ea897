"""What the latest refused call of an agent would need, so that a question offers what helps. Pure."""

from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.board import Board, Row
from spendguard_cli.ways.case import Case
from spendguard_daemon.errors import Code
from spendguard_daemon.money import cents_ceil


def needed_cents(board: Board, row: Row) -> int:
    """Return what must be left for an agent's latest call to pass, in cents; 0 where money is not why."""
    calls = board.of_agent(row.agent.agent_id)
    if not calls or calls[0].state != "refused" or calls[0].code != Code.INSUFFICIENT_BUDGET:
        return 0
    case = Case(calls[0].code or "", calls[0].facts, None, "", None)
    return cents_ceil(case.nusd("worst_case_usd", "needed_usd") or 0)


def lacking_cents(board: Board, row: Row) -> int:
    """Return what must be added for that, in cents; 0 where nothing is lacking."""
    needed, left = needed_cents(board, row), row.money.remaining_usd
    return 0 if not needed or left is None else max(0, cents_ceil(needed * 10_000_000 - nusd(left)))
