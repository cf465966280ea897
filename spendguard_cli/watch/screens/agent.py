"""One agent: its money, its pace, and in sections its calls, failures, runs, keys and what was done to it."""

from collections.abc import Mapping
from typing import ClassVar, Protocol, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

from spendguard_cli.client import Control
from spendguard_cli.views.ink import CARE, QUIET
from spendguard_cli.watch import account
from spendguard_cli.watch.deeds import Deed
from spendguard_cli.watch.keys import Side
from spendguard_cli.watch.screens.paned import WIDE_CELLS, PanedView
from spendguard_cli.watch.screens.view import bindings
from spendguard_cli.watch.sections import OLDER, SECTIONS, Fetched, Section, Thing, subject
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.telling import begin
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe


class Desk(Protocol):
    """Where the sidecar can be asked."""

    def control(self) -> Control | None:
        """Return a connection for a worker thread; None where there is none."""


class SectionTabs(Static):
    """The names of the sections, of which one is open. A click opens another."""

    class Picked(Message):
        """A section was clicked."""

        def __init__(self, place: int) -> None:
            super().__init__()
            self.place = place

    def __init__(self) -> None:
        super().__init__(id="tabs", markup=False)
        self._ends: list[int] = []

    def tell(self, names: list[str], open_place: int) -> None:
        """Write the names; the open one stands in brackets."""
        said, self._ends = Text(no_wrap=True, overflow="ellipsis"), []
        for place, name in enumerate(names):
            is_open = place == open_place
            said.append(f"[{name}]" if is_open else f" {name} ", style="bold reverse" if is_open else QUIET)
            self._ends.append(said.cell_len)
        if self.content != said:
            self.update(said)

    def on_click(self, event: Click) -> None:
        """Open what was clicked."""
        x = event.get_content_offset_capture(self).x
        place = next((place for place, end in enumerate(self._ends) if x < end), None)
        if place is not None:
            self.post_message(self.Picked(place))


class AgentView(PanedView):
    """All that is known of one agent."""

    SIDE: ClassVar[Side] = "agent"
    BINDINGS: ClassVar[list[BindingType]] = bindings("agent", "panes")
    DEFAULT_CSS = """
    AgentView #tabs { height: 1; margin: 0 1; }
    AgentView #scroll { max-height: 60%; }
    AgentView.-beside #scroll { max-height: 100%; }
    """

    class Asked(Message):
        """The sidecar has answered the question of a number, or could not be asked."""

        def __init__(self, number: int, fetched: Fetched) -> None:
            super().__init__()
            self.number, self.fetched = number, fetched

    def __init__(self, agent_id: str) -> None:
        super().__init__()
        self.agent_id = agent_id
        self._place, self._fetched, self._questions = 0, Fetched(), 0
        self._heard: tuple[object, object] = (None, None)
        self._things: Mapping[str, Thing] = {}
        self._cursors: dict[int, str | None] = {}

    @property
    def section(self) -> Section:
        """The section that is open."""
        return SECTIONS[self._place]

    def between(self) -> ComposeResult:
        """The sections."""
        yield SectionTabs()

    def table(self) -> LineTable:
        """The list of the open section."""
        return LineTable(self._head, self._line, id="lines")

    def on_mount(self) -> None:
        """Say at once where there is nobody to ask; else it is asked as soon as it is drawn."""
        if self.board.link != "live":
            self._ask()

    def paint(self) -> None:
        """Show the agent as it is."""
        board, now, section = self.board, self.program.now_seconds(), self.section
        self._ask_anew()
        known = [one.things(board, self.agent_id, self._fetched) for one in SECTIONS]
        self._things = known[self._place]
        table = self.query_one(LineTable)
        table.show(list(self._things))
        self.query_one(SectionTabs).tell([*map(self._named, SECTIONS, known)], self._place)
        thing = self._things.get(table.key or "")
        pane = Text(self._empty(), style=QUIET) if thing is None else section.pane(board, thing, now)
        if isinstance(thing, Deed) and self.size.width >= WIDE_CELLS:
            pane = None  # its line has room for all of it, which a pane beside would take
        self.tell(self._top(now), pane)

    def subject(self) -> Subject:
        """Return the agent, and the call under the cursor."""
        return subject(self.agent_id, self._things.get(self.query_one(LineTable).key or ""))

    def on_line_table_chosen(self, _: LineTable.Chosen) -> None:
        """The agent is open already; the pane tells all of the line."""

    def action_section(self, by: int) -> None:
        """Open the next section, or the one before."""
        self.open((self._place + by) % len(SECTIONS))

    def open(self, place: int) -> None:
        """Open a section; the cursor stands where it stood in it."""
        table = self.query_one(LineTable)
        self._cursors[self._place] = table.key
        self._place = place
        if self.section.asked:
            self._ask()
        self.draw()
        table.point(self._cursors.get(place) or next(iter(self._things), ""))
        self.draw()

    def on_section_tabs_picked(self, picked: SectionTabs.Picked) -> None:
        """Open what was clicked."""
        self.open(picked.place)

    def on_agent_view_asked(self, asked: Asked) -> None:
        """Show what the sidecar answered to the latest question."""
        if asked.number == self._questions:
            self._fetched = asked.fetched
            self.draw()

    def _ask_anew(self) -> None:
        """Ask again where something was done to the agent since, or may have been while nothing was heard."""
        row = self.board.rows.get(self.agent_id)
        deeds = row.deeds if row else []
        heard = (row, deeds[-1] if deeds else None) if self.board.link == "live" else (None, None)
        if any(now is not before for now, before in zip(heard, self._heard, strict=True)):
            self._heard = heard
            if row is not None and self.board.link == "live":
                self._ask()

    def _ask(self) -> None:
        """Ask for what the feed does not tell in a thread of its own, where there is anybody to ask."""
        self._questions += 1
        number = self._questions
        desk = cast("Desk | None", self.program.desk)
        link = self.board.link
        if link == "past":
            self._fetched = Fetched(why="not known: the past does not tell them")
        elif desk is None or link == "away":
            self._fetched = Fetched(why="not known: the sidecar cannot be asked")
        else:
            self.run_worker(lambda: self._fetch(desk, number), thread=True, exclusive=True, group="asking")

    def _fetch(self, desk: Desk, number: int) -> None:
        """Ask the sidecar; on a worker thread, never on the loop."""
        try:
            control = desk.control()
            if control is None:
                found = Fetched(why="not known: the sidecar cannot be asked")
            else:
                with control:
                    runs, keys = control.runs(self.agent_id), control.keys(self.agent_id)
                    found = Fetched("", tuple(runs), tuple(keys), _deeds(control, self.agent_id))
        except SpendGuardError as error:
            found = Fetched(why=f"not known: {safe(error.detail)}")
        self.post_message(self.Asked(number, found))

    def _named(self, section: Section, things: Mapping[str, Thing]) -> str:
        if section.asked and self._fetched.why:
            return f"{section.name} ?"
        if OLDER in things:
            return f"{section.name} {len(things) - 1 or '?'}"
        return f"{section.name} {len(things)}" if things else section.name

    def _empty(self) -> str:
        section = self.section
        return self._fetched.why if section.asked and self._fetched.why else section.empty

    def _top(self, now: float) -> Text:
        row = self.board.rows.get(self.agent_id)
        if row is not None:
            said, way_on = account.top(row, now, self.size.width - 2), account.way_on(self.board, row)
            return said.append("\n-> ", style=CARE).append(way_on, style="bold") if way_on else said
        if self.board.totals is None:
            return Text("this agent is not known yet", style=QUIET)
        said = begin("this agent is not there any more", CARE).append(": it was deleted, or never made")
        return said.append(f"\n{safe(self.agent_id)}", style=QUIET)

    def _head(self, width: int) -> Text:
        return self.section.sheet.head(width)

    def _line(self, key: str, width: int) -> Text:
        thing = self._things.get(key)
        cells = [] if thing is None else self.section.cells(thing, self.program.now_seconds())
        return self.section.sheet.line(cells, width) if cells else Text()


def _deeds(control: Control, agent_id: str) -> wire.Deeds | None:
    """Return what was done to an agent, None where an older sidecar cannot tell it."""
    try:
        return control.deeds(agent_id)
    except SpendGuardError as error:
        if error.code is not Code.ROUTE_NOT_FOUND:
            raise
        return None
