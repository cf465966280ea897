"""The prices in force: whose word they are, how long they last, and what they price."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, Static

from spendguard_cli.render import count
from spendguard_cli.views.ink import QUIET
from spendguard_cli.watch import priced
from spendguard_cli.watch.keys import Side, of
from spendguard_cli.watch.screens.view import View
from spendguard_cli.watch.telling import begin, key_of
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon.text import safe


class Wanted(Input):
    """Where a text is typed that the models shown must hold. Escape takes it back."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "screen.unfilter", "Back", show=False)]


class PricesView(View):
    """The price document, then its models."""

    SIDE: ClassVar[Side] = "prices"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.key, key.action, key.says) for key in of("agents") if key.action == "filter"
    ]
    DEFAULT_CSS = """
    PricesView #facts { height: auto; max-height: 60%; padding: 0 1; }
    PricesView #facts Static { height: auto; }
    PricesView #count { height: auto; padding: 0 1; }
    PricesView Wanted { height: 1; border: none; padding: 0; margin: 0 1; background: $boost; display: none; }
    PricesView LineTable { padding: 0 1; min-height: 4; }
    """

    def body(self) -> ComposeResult:
        """The document above, its models below."""
        with VerticalScroll(id="facts", can_focus=False):
            yield Static(id="document", markup=False)
        yield Static(id="count", markup=False)
        yield Wanted(placeholder="show only models that hold", id="wanted", compact=True)
        yield LineTable(None, lambda key, _: Text(safe(key)), id="models")

    def on_mount(self) -> None:
        """The keys go to the list."""
        self.query_one(LineTable).focus()

    def paint(self) -> None:
        """Show the prices in force."""
        status = self.board.status
        document = priced.in_force(status, self.program.now_seconds())
        self._write("#document", document)
        models = status.pricing.models if status and status.pricing else []
        wanted = self.query_one(Wanted).value
        shown = priced.matching(models, wanted)
        table = self.query_one(LineTable)
        table.show(shown)
        said = begin(f"{count(len(models), 'model')} priced", style=QUIET)
        if wanted:
            said.append(f", {len(shown)} of them hold {safe(wanted)!r}")
        elif models:
            said.append(f"; press {key_of('filter')} to filter", style=QUIET)
        if table.key is not None:
            said.append("\n$ ", style="cyan").append(f"spendguard pricing show {safe(table.key)}")
            said.append("  what it costs", style=QUIET)
        self._write("#count", said)

    def action_filter(self) -> None:
        """Ask for what the models shown must hold."""
        wanted = self.query_one(Wanted)
        wanted.display = True
        wanted.focus()

    def action_unfilter(self) -> None:
        """Show all models again."""
        wanted = self.query_one(Wanted)
        wanted.value, wanted.display = "", False
        self.query_one(LineTable).focus()

    def on_line_table_moved(self, _: LineTable.Moved) -> None:
        """Name the model that the cursor stands on."""
        self.draw()

    def on_input_changed(self, _: Input.Changed) -> None:
        """Show the models that hold what is typed."""
        self.draw()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Go to the list, which stays filtered."""
        self.query_one(LineTable).focus()

    def _write(self, where: str, text: Text) -> None:
        static = self.query_one(where, Static)
        if static.content != text:
            static.update(text)
