"""How the installation of completions looks on a terminal."""

from rich.console import Group, RenderableType
from rich.text import Text

from spendguard_cli import shapes
from spendguard_cli.views import ink


def installed(value: shapes.CompletionsInstalled) -> RenderableType:
    """What was written, and what to type next."""
    head = Text("✓ ", style=ink.GOOD)
    head.append_text(ink.prose(f"completions for {value.shell}", "bold"))
    head.append_text(ink.prose(" written to " if value.changed else " are already in ", "not bold"))
    head.append_text(ink.prose(value.path, "not bold"))
    steps = [Text("next  ", style=ink.QUIET).append_text(ink.prose(line, "cyan")) for line in value.next]
    return Group(head, *steps)
