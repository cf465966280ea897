"""All keys, from the one table of them."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from spendguard_cli.watch.frame import named
from spendguard_cli.watch.keys import Where, of

GROUPS: dict[Where, str] = {
    "everywhere": "Everywhere",
    "lists": "In every list",
    "agents": "Among all agents",
    "agent": "On one agent",
    "panes": "Where a line is told in full",
    "acts": "About what the cursor stands on (each asks once)",
    "past": "In the past",
}
KEY_CELLS = 11
MARKS = (
    ("!", "soon empty"),
    ("x", "nothing left that a new call could hold"),
    ("■", "no call gets through until somebody acts"),
    ("█▒·", "of the limit: settled, held by calls in flight, free"),
)


def written() -> Text:
    """Write all keys, group by group, and what the marks mean."""
    text = Text()
    for where, name in GROUPS.items():
        keys = of(where)
        if not keys:
            continue
        text.append(f"{name}\n", style="bold")
        for key in keys:
            text.append(f"  {named(key.key):<{KEY_CELLS}}", style="cyan").append(f"{key.says}\n")
        if where == "lists":
            text.append(f"  {'↑ ↓':<{KEY_CELLS}}", style="cyan").append("move; also j k, page up and down\n")
        text.append("\n")
    text.append("Marks\n", style="bold")
    for mark, says in MARKS:
        text.append(f"  {mark:<{KEY_CELLS}}", style="cyan").append(f"{says}\n")
    text.append("\nThe mouse: a click moves, one more opens; a click on a column's head sorts by it.")
    return text


class HelpScreen(ModalScreen[None]):
    """The keys, over what was in sight; it scrolls where they do not fit."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll {
        width: 72; max-width: 100%; height: auto; max-height: 100%;
        background: $panel; padding: 0 1; border: round $primary; scrollbar-size-vertical: 1;
    }
    HelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close"),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def compose(self) -> ComposeResult:
        """A frame with the text in it."""
        with VerticalScroll() as box:
            box.border_title = "keys"
            box.border_subtitle = "esc closes"
            yield Static(written(), markup=False)

    def on_mount(self) -> None:
        """The keys go to the text: arrows scroll it."""
        self.query_one(VerticalScroll).focus()

    def action_down(self) -> None:
        """Scroll on."""
        self.query_one(VerticalScroll).scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll back."""
        self.query_one(VerticalScroll).scroll_up(animate=False)
