"""A list with a pane that explains the line under its cursor: beside it where there is room, else below."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.widgets import Static

from spendguard_cli.watch.screens.view import View, bindings
from spendguard_cli.watch.widgets.lines import LineTable

WIDE_CELLS = 120
"""From this width on the pane stands beside the list."""


class PanedView(View):
    """A line or more on top, a list, and a pane. Who inherits draws them."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("panes")
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-below"), (WIDE_CELLS, "-beside")]  # noqa: RUF012 - Textual wants an attribute
    DEFAULT_CSS = """
    PanedView #top { height: auto; padding: 0 1; }
    PanedView #panes { height: 1fr; layout: vertical; }
    PanedView #panes LineTable { height: 1fr; min-height: 4; padding: 0 1; }
    PanedView #scroll { height: auto; max-height: 70%; padding: 0 1; border-top: solid $panel; }
    PanedView #pane { height: auto; }
    PanedView.-beside #panes { layout: horizontal; }
    PanedView.-beside #panes LineTable { width: 3fr; height: 100%; }
    PanedView.-beside #scroll {
        width: 2fr; height: 100%; max-height: 100%; border-top: none; border-left: solid $panel;
    }
    """

    def body(self) -> ComposeResult:
        """A top, the list, the pane."""
        yield Static(id="top", markup=False)
        yield from self.between()
        with Container(id="panes"):
            yield self.table()
            with VerticalScroll(id="scroll", can_focus=False):
                yield Static(id="pane", markup=False)

    def between(self) -> ComposeResult:
        """What stands between the top and the list."""
        yield from ()

    def table(self) -> LineTable:
        """Return the list."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """The keys go to the list."""
        self.query_one(LineTable).focus()

    def tell(self, top: Text, pane: Text | None) -> None:
        """Write the top, and the pane; without a text it is not there."""
        self._write("#top", top)
        self.query_one("#scroll").display = pane is not None
        if pane is not None:
            self._write("#pane", pane)

    def on_line_table_moved(self, _: LineTable.Moved) -> None:
        """Explain the line on which the cursor stands now."""
        self.draw()
        for scroll in self.query("#scroll"):
            scroll.scroll_home(animate=False)

    def on_line_table_chosen(self, _: LineTable.Chosen) -> None:
        """Open the agent on whose line the cursor stands."""
        agent_id = self.subject().agent_id
        if agent_id is not None:
            self.program.open_agent(agent_id)

    def action_pane(self, lines: int) -> None:
        """Scroll what is told of the line under the cursor."""
        scroll = self.query_one("#scroll", VerticalScroll)
        scroll.scroll_relative(y=lines * max(1, scroll.size.height // 2), animate=False)

    def _write(self, where: str, text: Text) -> None:
        """Write a text, unless it stands there already: an unchanged screen costs nothing."""
        static = self.query_one(where, Static)
        if static.content != text:
            static.update(text)
