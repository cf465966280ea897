"""Refusals and failures by code: how many, the latest, and of the one under the cursor what to do."""

from typing import ClassVar

from rich.text import Text

from spendguard_cli.render import count
from spendguard_cli.views.ink import BAD, CARE, QUIET
from spendguard_cli.watch import explained
from spendguard_cli.watch.failing import Failed, by_code
from spendguard_cli.watch.keys import Side
from spendguard_cli.watch.screens.paned import PanedView
from spendguard_cli.watch.sheet import Column, Sheet
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.telling import age, begin, known_code, name, title
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon import wire
from spendguard_daemon.text import safe

SHEET = Sheet(
    Column("FAILURE", 20, grows=True),
    Column("WHOSE", 12, grows=True),
    Column("TIMES", 6, right=True),
    Column("LAST", 7, right=True),
    Column("MODEL", 20, yields=1),
)


class FailuresView(PanedView):
    """What went wrong, and why."""

    SIDE: ClassVar[Side] = "failures"

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, tuple[Failed, bool]] = {}
        self._strangers: dict[str, wire.Stranger] = {}

    def table(self) -> LineTable:
        """The codes, the one that was met last first; below one of several agents, each of them."""
        return LineTable(SHEET.head, self._line, id="failures")

    def paint(self) -> None:
        """Show what failed, as far as it is told."""
        board, now = self.board, self.program.now_seconds()
        self._groups = {
            one.key: (one, place > 0) for group in by_code(board) for place, one in enumerate(group)
        }
        strangers = board.status.strangers if board.status else []
        self._strangers = {f"stranger/{place}": one for place, one in enumerate(strangers)}
        table = self.query_one(LineTable)
        table.show([*self._groups, *self._strangers])
        pane = None
        if table.key in self._groups:
            pane = explained.failed(board, self._groups[table.key][0], now)
        elif table.key in self._strangers:
            pane = explained.stranger(self._strangers[table.key], now)
        self.tell(self._top(), pane)

    def subject(self) -> Subject:
        """Return the latest call of the line under the cursor, and whose it is."""
        group = self._groups.get(self.query_one(LineTable).key or "")
        if group is None:
            return Subject()
        call = group[0].newest
        return Subject(agent_id=call.agent_id, call_id=call.call_id)

    def _top(self) -> Text:
        board, said = self.board, Text()
        if board.totals is None:
            return Text("what failed is not known yet", style=QUIET)
        told = sum(one.count for one, is_part in self._groups.values() if not is_part)
        refused = board.totals.refusals
        since = "since the sidecar started"
        said.append(f"{count(refused, 'refusal')} {since}", style=BAD if refused else QUIET)
        if not self._groups and not self._strangers:
            said.append("; no call was refused, and none failed, as far as is told here")
        else:
            said.append(f"; refusals and failures told here: {told}", style=QUIET)
        if self._strangers:
            named = sum(one.count for one in self._strangers.values())
            said.append(f"; {count(named, 'request')} named no agent", style=CARE)
        return said

    def _line(self, key: str, width: int) -> Text:
        now = self.program.now_seconds()
        stranger = self._strangers.get(key)
        cells: list[Text | str]
        if stranger is not None:
            whose = f"no agent, {safe(stranger.program) or 'a program'}"
            last = age(stranger.last_at, now)
            cells = [Text(safe(stranger.code), style=CARE), whose, str(stranger.count), last, ""]
            return SHEET.line(cells, width)
        one, is_part = self._groups[key]
        call = one.newest
        lead = begin("  same" if is_part else safe(one.code), style=QUIET if is_part else BAD)
        if not is_part and known_code(one.code) and title(one.code).replace(" ", "_").lower() != one.code:
            lead.append(f"  {title(one.code)}", style=QUIET)
        whose = name(self.board, call.agent_id) if len(one.agents) == 1 else f"{len(one.agents)} agents"
        last = age(call.ended_at or call.created_at, now)
        cells = [lead, whose, str(one.count), last, safe(call.model)]
        return SHEET.line(cells, width)
