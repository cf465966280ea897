"""Who holds an agent's lock, and what waits for a lock or for money, the longest first."""

from typing import ClassVar

from rich.text import Text

from spendguard_cli.render import count
from spendguard_cli.views.ink import CARE, GOOD, QUIET
from spendguard_cli.watch import explained, locked
from spendguard_cli.watch.board import Row
from spendguard_cli.watch.keys import Side
from spendguard_cli.watch.screens.paned import PanedView
from spendguard_cli.watch.sheet import Column, Sheet
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.telling import age, begin, name, until, usd, waits_for
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon import wire
from spendguard_daemon.text import safe

SHEET = Sheet(
    Column("", 5),
    Column("AGENT", 12, grows=True),
    Column("RUN", 10, grows=True, yields=2),
    Column("FOR", 7, right=True),
    Column("ENDS", 9),
    Column("WHY", 14, grows=True),
    Column("WORST CASE", 11, right=True, yields=3),
)


class LocksView(PanedView):
    """Locks, then calls that wait."""

    SIDE: ClassVar[Side] = "locks"

    def __init__(self) -> None:
        super().__init__()
        self._locks: dict[str, Row] = {}
        self._waiting: dict[str, wire.Waiting] = {}

    def table(self) -> LineTable:
        """All that is held, and all that waits."""
        return LineTable(SHEET.head, self._line, id="locks")

    def paint(self) -> None:
        """Show locks and waiting calls."""
        board, now = self.board, self.program.now_seconds()
        self._locks = {f"lock/{row.agent.agent_id}": row for row in locked.locks(board)}
        self._waiting = {f"wait/{one.call_id}": one for one in locked.waiting(board)}
        table = self.query_one(LineTable)
        table.show([*self._locks, *self._waiting])
        pane = None
        if table.key in self._locks:
            pane = locked.explained(board, self._locks[table.key], now)
        elif table.key in self._waiting:
            pane = explained.waiting(board, self._waiting[table.key], now)
        self.tell(self._top(), pane)

    def subject(self) -> Subject:
        """Return the agent and, of a lock, its oldest call in flight; else the call that waits."""
        key = self.query_one(LineTable).key or ""
        if key in self._waiting:
            one = self._waiting[key]
            return Subject(agent_id=one.agent_id, call_id=one.call_id, waiting=True)
        if key not in self._locks:
            return Subject()
        holders = locked.holders(self.board, self._locks[key])
        agent_id = self._locks[key].agent.agent_id
        return Subject(agent_id=agent_id, call_id=holders[0].call.call_id if holders else None)

    def _top(self) -> Text:
        if self.board.totals is None:
            return Text("locks are not known yet", style=QUIET)
        waits = sum(row.money.calls_waiting for row in self.board.rows.values())
        if self.board.link == "past":
            said = begin(f"{count(len(self._locks), 'agent')} locked")
            return said.append("; which calls waited the journal does not tell", style=QUIET)
        if not self._locks and not waits:
            return Text("no agent is locked, no call waits", style=GOOD)
        said = begin(f"{count(len(self._locks), 'agent')} locked")
        said.append(f", {count(waits, 'call')} waiting", style=CARE if waits else "")
        if waits > len(self._waiting):
            said.append(f", of which {len(self._waiting)} are shown", style=QUIET)
        return said.append("; the longest first", style=QUIET)

    def _line(self, key: str, width: int) -> Text:
        now = self.program.now_seconds()
        one = self._waiting.get(key)
        if one is not None:
            why = Text(waits_for(one), style=CARE)
            who, ends = name(self.board, one.agent_id), until(one.until, now)
            since = age(one.since, now)
            return SHEET.line(
                ["waits", who, safe(one.run_id), since, ends, why, usd(one.worst_case_usd)], width
            )
        row = self._locks[key]
        money = row.money
        cells: list[Text | str] = [
            Text("lock", style="cyan"),
            name(self.board, row.agent.agent_id),
            safe(money.locked_run_id or ""),
            age(money.locked_since, now),
            until(money.locked_expires_at, now),
            f"{money.calls_in_flight} in flight",
            "",
        ]
        return SHEET.line(cells, width)
