"""Which agents are shown and in what order: by a filter's words, by what is worst, or by a name. Pure."""

from collections.abc import Callable, Iterable

from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.board import Row
from spendguard_cli.watch.danger import LEVELS, danger, reason
from spendguard_cli.watch.screens.agent_columns import to_empty
from spendguard_daemon.text import safe

NEVER = 2**62
"""Seconds, or an amount, beyond all that there are: what has no end, or no budget, comes last."""

Rank = Callable[[Row, float], int]


def _remaining(row: Row, _: float) -> int:
    return NEVER if row.money.remaining_usd is None else nusd(row.money.remaining_usd)


def _lasts(row: Row, now: float) -> int:
    lasts = to_empty(row, now)
    return NEVER if lasts is None else lasts


def _danger(row: Row, now: float) -> int:
    """The worse the earlier; of equals, those first whose calls wait."""
    return -2 * LEVELS.index(danger(row, now)) - (row.money.calls_waiting > 0)


RANKS: dict[str, Rank] = {
    "danger": _danger,
    "burn": lambda row, now: -row.spend.per_minute_nusd(1, now),
    "remaining": _remaining,
    "time to empty": _lasts,
    "held": lambda row, _: -nusd(row.money.held_usd),
    "refusals": lambda row, _: -row.money.refusals,
    "name": lambda *_: 0,
}
"""The orders in which `s` goes through them: the least comes first; equals follow their names."""

ORDERS = tuple(RANKS)


def ranked(rows: Iterable[Row], order: str, is_reversed: bool, now_seconds: float) -> list[str]:
    """Return the ids of agents in an order; the same rows always come in the same one.

    What is NEVER comes last in both directions: it has no value to be sorted by.
    """
    rank = RANKS[order]
    judged = [(rank(row, now_seconds), row.agent.name.casefold(), row.agent.agent_id) for row in rows]
    judged.sort(reverse=is_reversed)
    if is_reversed:
        judged.sort(key=lambda one: one[0] == NEVER)
    return [agent_id for _, _, agent_id in judged]


def words(row: Row, now_seconds: float) -> str:
    """Return all that a filter finds of an agent: its name, its id, and words for how it stands."""
    money = row.money
    found = [safe(row.agent.name), row.agent.agent_id, row.agent.concurrency, reason(row, now_seconds)]
    if money.locked_run_id is not None:
        found += ["locked", safe(money.locked_run_id)]
    if money.calls_waiting:
        found.append("waiting")
    if money.calls_in_flight:
        found.append("in flight")
    if money.refusals:
        found.append("refused")
    if money.available_usd is not None and nusd(money.available_usd) <= 0:
        found.append("empty")
    return " ".join(found).casefold()


def matching(rows: Iterable[Row], text: str, now_seconds: float) -> list[Row]:
    """Return the rows in which every word of a filter is found."""
    parts = text.casefold().split()
    if not parts:
        return list(rows)
    return [
        row for row in rows if all(part in found for found in [words(row, now_seconds)] for part in parts)
    ]
