"""All keys, from the one table of them."""

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from spendguard_cli.watch.frame import named
from spendguard_cli.watch.keys import Where, of
from spendguard_cli.watch.screens.page import Page

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
    ("!", "soon empty, or just refused"),
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


class HelpScreen(Page):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "dismiss", "Close")]

    def __init__(self) -> None:
        super().__init__("keys", written())
