"""Money that was charged at a bound, until a person says what the call really cost."""

from typing import ClassVar

from rich.text import Text

from spendguard_cli.remedies import ways_out
from spendguard_cli.render import count
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET
from spendguard_cli.watch.explained import typed
from spendguard_cli.watch.keys import Side
from spendguard_cli.watch.screens.paned import PanedView
from spendguard_cli.watch.sheet import Column, Sheet
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.telling import STATES, age, begin, clock, key_of, usd
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.text import safe

SHEET = Sheet(
    Column("AGENT", 12, grows=True),
    Column("CHARGED", 13, right=True),
    Column("SINCE", 7, right=True),
    Column("WHY", 14, grows=True),
    Column("MODEL", 20, yields=1),
    Column("CALL", 36, yields=2),
)


class UnconfirmedView(PanedView):
    """The calls that nobody has confirmed, the newest first."""

    SIDE: ClassVar[Side] = "unconfirmed"

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[str, wire.Unconfirmed] = {}

    def table(self) -> LineTable:
        """The calls."""
        return LineTable(SHEET.head, self._line, id="unconfirmed")

    def paint(self) -> None:
        """Show what is not confirmed."""
        totals = self.board.totals
        self._calls = {} if totals is None else {one.call_id: one for one in totals.unconfirmed}
        table = self.query_one(LineTable)
        table.show(list(self._calls))
        self.tell(self._top(), self._pane(table.key) if table.key in self._calls else None)

    def subject(self) -> Subject:
        """Return the call under the cursor."""
        one = self._calls.get(self.query_one(LineTable).key or "")
        return Subject() if one is None else Subject(agent_id=one.agent_id, call_id=one.call_id)

    def _top(self) -> Text:
        totals = self.board.totals
        if totals is None:
            return Text("what is not confirmed is not known yet", style=QUIET)
        if not totals.unconfirmed_calls:
            return Text("nothing is unconfirmed: every charge is what the provider reported", style=GOOD)
        said = begin(usd(totals.unconfirmed_usd), style="bold")
        said.append(f" charged to {count(totals.unconfirmed_calls, 'call')} at a bound, not by a bill")
        if totals.unconfirmed_calls > len(self._calls):
            said.append(f"; the newest {len(self._calls)} are shown", style=CARE)
            said.append(", all: spendguard ledger export --unconfirmed", style=QUIET)
        if self.board.may_act:
            said.append(f"\npress {key_of('confirm')} to confirm what a call was charged, ", style=QUIET)
            said.append(f"{key_of('explain')} to explain it", style=QUIET)
        return said

    def _pane(self, call_id: str | None) -> Text:
        one = self._calls[call_id or ""]
        said = begin(
            f"{safe(one.agent_name) or safe(one.agent_id)} was charged {usd(one.cost_usd)}", style="bold"
        )
        said.append(f": {STATES.get(one.state, safe(one.state))}")
        said.append(f"\n{safe(one.provider)}:{safe(one.model)}, ended {clock(one.ended_at)}")
        said.append(f"\nwhy: {safe(one.reason, 400) or 'not told'}")
        said.append(f"\ncall {safe(one.call_id)}", style=QUIET)
        if self.board.link == "past":  # it may have been confirmed since
            return said
        facts = {"call_id": one.call_id, "provider": one.provider}
        return said.append_text(typed(ways_out(Code.UPSTREAM_FAILED, facts)))

    def _line(self, key: str, width: int) -> Text:
        one, now = self._calls[key], self.program.now_seconds()
        style = BAD if one.state == "overrun" else CARE
        cells: list[Text | str] = [
            safe(one.agent_name) or safe(one.agent_id),
            Text(usd(one.cost_usd), style=style),
            age(one.ended_at, now),
            safe(one.reason),
            safe(one.model),
            Text(safe(one.call_id), style=QUIET),
        ]
        return SHEET.line(cells, width)
