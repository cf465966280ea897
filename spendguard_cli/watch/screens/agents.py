"""All agents: who spends how fast, what is left, who holds what; calm however many there are.

The order is reckoned again when a person asks for another one, and at most every `SORT_SECONDS`; in between,
who is new stands at the end. Between two reckonings only the lines in sight are drawn.
"""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static

from spendguard_cli.watch import ranking
from spendguard_cli.watch.board import Row
from spendguard_cli.watch.danger import REFUSED_SECONDS
from spendguard_cli.watch.keys import Side
from spendguard_cli.watch.screens import agent_columns
from spendguard_cli.watch.screens.view import View, bindings
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon.feed_wire import SPEND_STEP_SECONDS

SORT_SECONDS = 3.0
FILTER_LENGTH_MAX = 100
LINES_KEPT_MAX = 500
"""How many drawn lines are kept: a line that has not changed is not drawn again."""

NONE_THEN = "There were no agents yet."
NONE_YET = "No agents yet. Make the first one; type:\n\n  spendguard agent create --name my-agent\n"


class AgentsView(View):
    """The first view."""

    SIDE: ClassVar[Side] = "agents"
    DEFAULT_CSS = """
    AgentsView #filter-line { height: 1; display: none; }
    AgentsView.-filtered #filter-line { display: block; }
    AgentsView #filter { width: 1fr; height: 1; border: none; padding: 0; background: $boost; }
    AgentsView #filter-name { width: 8; }
    AgentsView #count { width: auto; padding: 0 1; }
    AgentsView #empty { display: none; height: 1fr; padding: 1 2; }
    AgentsView.-empty #empty { display: block; }
    AgentsView.-empty LineTable { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("agents"),
        Binding("escape", "unfilter", "All agents", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.order, self.is_reversed, self.filter_text = ranking.ORDERS[0], False, ""
        self._shown: list[str] = []
        self._known: set[str] = set()
        self._sorted_seconds: float | None = None
        self._lines: dict[str, tuple[Row, tuple[int, ...], Text]] = {}

    def body(self) -> ComposeResult:
        """The filter, where there is one; the table; what to type where there is nothing to see."""
        with Horizontal(id="filter-line"):
            yield Static(" filter ", id="filter-name", markup=False)
            yield Input(id="filter", compact=True, max_length=FILTER_LENGTH_MAX, select_on_focus=False)
            yield Static(id="count", markup=False)
        yield LineTable(self._head, self._line, id="agents")
        yield Static(id="empty", markup=False)

    def on_mount(self) -> None:
        """The keys go to the table, which begins as it was asked for."""
        begin = self.program.begin
        self.order = begin.order
        if begin.filter_text:
            self.add_class("-filtered")
            self.query_one(Input).value = begin.filter_text
        self.query_one(LineTable).focus()

    def paint(self) -> None:
        """Show all rows that the filter lets through."""
        local = self.program.local_seconds()
        rows = self.board.rows
        if not self._known or self._sorted_seconds is None or local - self._sorted_seconds >= SORT_SECONDS:
            self._rank(local)
        elif rows.keys() != self._known:
            found = [*ranking.matching(self._strangers(), self.filter_text, self.program.now_seconds())]
            self._shown = [one for one in self._shown if one in rows]
            self._shown += [row.agent.agent_id for row in found]
            self._known = set(rows)
        self.query_one(LineTable).show(self._shown)
        self._tell_count()

    def subject(self) -> Subject:
        """Return the agent under the cursor."""
        return Subject(agent_id=self.query_one(LineTable).key)

    def action_sort(self) -> None:
        """Sort by the next of the orders."""
        at = ranking.ORDERS.index(self.order)
        self._sort_by(ranking.ORDERS[(at + 1) % len(ranking.ORDERS)])

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._sort_by(self.order, not self.is_reversed)

    def action_filter(self) -> None:
        """Ask which agents to show."""
        self.add_class("-filtered")
        self.query_one(Input).focus()

    def action_unfilter(self) -> None:
        """Show all agents again."""
        self.query_one(Input).value = ""
        self.remove_class("-filtered")
        self.query_one(LineTable).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what the text lets through, as it is typed."""
        if event.value != self.filter_text:
            self.filter_text = event.value
            self._anew()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Keep the filter, and go on in the table."""
        if not self.filter_text.strip():
            self.action_unfilter()
        self.query_one(LineTable).focus()

    def on_line_table_chosen(self, event: LineTable.Chosen) -> None:
        """Open the agent."""
        self.program.open_agent(event.key)

    def on_line_table_head_clicked(self, event: LineTable.HeadClicked) -> None:
        """Sort by the column; turn the order round where it is sorted by it already."""
        order = agent_columns.order_at(event.x, event.width)
        if order:
            self._sort_by(order, order == self.order and not self.is_reversed)

    def _sort_by(self, order: str, is_reversed: bool = False) -> None:
        self.order, self.is_reversed = order, is_reversed
        self._anew()

    def _anew(self) -> None:
        self._sorted_seconds = None
        self.draw()

    def _rank(self, local_seconds: float) -> None:
        now = self.program.now_seconds()
        found = ranking.matching(self.board.rows.values(), self.filter_text, now)
        self._shown = ranking.ranked(found, self.order, self.is_reversed, now)
        self._known, self._sorted_seconds = set(self.board.rows), local_seconds

    def _strangers(self) -> list[Row]:
        """Return the rows that came after the order was reckoned."""
        return [row for agent_id, row in self.board.rows.items() if agent_id not in self._known]

    def _tell_count(self) -> None:
        all_of_them = len(self.board.rows)
        _write(self.query_one("#count", Static), f"{len(self._shown)} of {all_of_them}")
        said = ""
        if not all_of_them:
            none = NONE_THEN if self.board.link == "past" else NONE_YET
            said = none if self.board.epoch else "Nothing is known yet: the sidecar has not answered."
        elif not self._shown:
            said = "No agent matches the filter. Esc shows all agents again."
        _write(self.query_one("#empty", Static), said)
        self.set_class(bool(said), "-empty")

    def _head(self, width: int) -> Text:
        return agent_columns.head(width, self.order, self.is_reversed)

    def _line(self, agent_id: str, width: int) -> Text:
        row = self.board.rows.get(agent_id)
        if row is None:  # deleted since the list was made; it goes with the next drawing
            return Text("")
        now = self.program.now_seconds()
        # The ages of a lock and of a refusal change each second, what was spent each step; nothing else does.
        ages = row.money.locked_since or now - row.refused_seconds <= REFUSED_SECONDS
        step = int(now) if ages else int(now) // SPEND_STEP_SECONDS
        stamp = (row.seq, row.settings_seq, row.waiting_seq, step, width)
        known = self._lines.get(agent_id)
        if known is not None and known[0] is row and known[1] == stamp:
            return known[2]
        if len(self._lines) > LINES_KEPT_MAX:
            self._lines.clear()
        line = agent_columns.line(row, now, width)
        self._lines[agent_id] = (row, stamp, line)
        return line


def _write(static: Static, text: str) -> None:
    """Write a text, unless it stands there already: what does not change costs nothing."""
    if static.content != text:
        static.update(text)
