"""From a journal to the lines of an export: which calls, grouped how, written how."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from spendguard_cli.ledger.calls import Moment, Row, calls
from spendguard_cli.ledger.journal import Journal
from spendguard_cli.ledger.sheet import csv_lines, json_lines
from spendguard_cli.ledger.tallies import KEYS, SUMS, Line, tallied
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.text import safe

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted: grouped how, and only the calls of an agent, of a time (wall ns), unconfirmed ones."""

    by: str
    agent_id: str | None
    from_ns: int | None
    until_ns: int | None
    unconfirmed: bool

    def wants(self, wall_ns: int, row: Row) -> bool:
        """Tell whether a row is asked for. `from_ns` is in it, `until_ns` is not."""
        return (
            (self.agent_id is None or row.agent_id == self.agent_id)
            and (self.from_ns is None or wall_ns >= self.from_ns)
            and (self.until_ns is None or wall_ns < self.until_ns)
            and (row.unconfirmed or not self.unconfirmed)
        )


class Export:
    """The rows of one export, made as they are asked for; `rows` and `cost_nusd` count what was."""

    def __init__(self, journal: Journal, wish: Wish) -> None:
        self.rows = self.cost_nusd = 0
        self._journal, self._wish = journal, wish

    @property
    def by(self) -> str:
        """How the rows are grouped."""
        return self._wish.by

    def lines(self, form: str) -> Iterator[str]:
        """Yield the text of the export, `csv` or `jsonl`, line by line."""
        if form == "jsonl":
            return json_lines(self._counted())
        columns = Row.__struct_fields__ if self._wish.by == "call" else (*KEYS[self._wish.by], *SUMS)
        return csv_lines(columns, self._counted())

    def _counted(self) -> Iterator[Line]:
        for line in self._told():
            self.rows += 1
            self.cost_nusd += int(line["cost_nusd"] or 0)
            yield line

    def _told(self) -> Iterator[Line]:
        moments = self._wanted()
        if self._wish.by != "call":
            return tallied(moments, self._wish.by)
        return (msgspec.structs.asdict(row) for _, row in moments)

    def _wanted(self) -> Iterator[Moment]:
        return ((wall_ns, row) for wall_ns, row in calls(self._journal) if self._wish.wants(wall_ns, row))


def agent_id_of(ref: str, journal: Journal) -> str:
    """Return the id of an agent of a journal, named by id or name; one that lives goes before deleted ones.

    Raises AGENT_NOT_FOUND, or AMBIGUOUS_NAME with the ids.
    """
    if ref in journal.names:
        return ref
    same = [agent_id for agent_id, name in journal.names.items() if name == ref]
    ids = [agent_id for agent_id in same if agent_id not in journal.gone] or same
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise SpendGuardError(
            Code.AMBIGUOUS_NAME,
            f"Several agents have this name: {safe(ref)!r} is {', '.join(ids)}",
            remedy="use one of these ids",
            facts={"agent_ids": ids},
        )
    raise SpendGuardError(
        Code.AGENT_NOT_FOUND,
        f"Agent not found: {safe(ref)!r} is no agent of this ledger, deleted ones included",
        remedy="spendguard ledger export --by agent",
    )


def moment(option: str, text: str, *, ends: bool) -> int:
    """Read a day, or a time in ISO 8601, as wall ns; a day that `ends` something belongs to it whole.

    A time without a zone is UTC, as all times in the ledger. Raises USAGE naming the option.
    """
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        if ends and _DATE.fullmatch(text):
            found += timedelta(days=1)
    except (ValueError, OverflowError):
        raise SpendGuardError(
            Code.USAGE,
            f"{option}: {safe(text)!r} is not a day or a time",
            remedy=f"write {option} 2026-11-23 or {option} 2026-11-23T03:12:00Z",
        ) from None
    past = found - datetime(1970, 1, 1, tzinfo=UTC)
    return (past.days * 86_400 + past.seconds) * NS_PER_SECOND + past.microseconds * 1_000
