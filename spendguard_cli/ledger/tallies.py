"""Calls added up: by agent, run, model or day. Pure. Memory grows with the groups, not with the calls."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from spendguard_cli.ledger.calls import TOKENS, Moment, Row
from spendguard_daemon.money import format_usd
from spendguard_daemon.wire import iso

KEYS = {
    "agent": ("agent_id", "agent_name"),
    "run": ("agent_id", "agent_name", "run_id"),
    "model": ("provider", "model"),
    "day": ("day",),
}
"""The columns that tell a group, for each way of grouping."""

STATES = ("settled", "settled_worst", "voided", "overrun", "held")
"""How a call that got its hold may stand. What was refused is counted apart."""

SUMS = (
    *("calls", *STATES, "refused", *TOKENS),
    *("cost_usd", "cost_nusd", "unconfirmed_usd", "unconfirmed_nusd"),
)

Line = dict[str, str | int | bool | None]
"""One row of an export: column -> value."""


@dataclass(slots=True)
class _Tally:
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*STATES, "refused", *TOKENS), 0))
    cost_nusd: int = 0
    unconfirmed_nusd: int = 0

    def add(self, row: Row) -> None:
        if row.state in self.counts:
            self.counts[row.state] += row.count
        for name in TOKENS:
            self.counts[name] += getattr(row, name) or 0
        self.cost_nusd += row.cost_nusd
        self.unconfirmed_nusd += row.cost_nusd if row.unconfirmed else 0

    def line(self) -> Line:
        """Return the sums, in the order of `SUMS`."""
        return {
            "calls": sum(self.counts[state] for state in STATES),
            **self.counts,
            "cost_usd": format_usd(self.cost_nusd),
            "cost_nusd": self.cost_nusd,
            "unconfirmed_usd": format_usd(self.unconfirmed_nusd),
            "unconfirmed_nusd": self.unconfirmed_nusd,
        }


def tallied(moments: Iterable[Moment], by: str) -> Iterator[Line]:
    """Yield one line for each group: models and days in their order, agents and runs as they first came."""
    found: dict[tuple[str, ...], _Tally] = {}
    for wall_ns, row in moments:
        found.setdefault(_key(by, wall_ns, row), _Tally()).add(row)
    for key in sorted(found) if by in ("model", "day") else found:
        yield {**dict(zip(KEYS[by], key, strict=True)), **found[key].line()}


def _key(by: str, wall_ns: int, row: Row) -> tuple[str, ...]:
    if by == "day":
        return (iso(wall_ns)[:10],)
    return tuple(getattr(row, name) for name in KEYS[by])
