"""The demo for a person at a terminal: calm, one act after the other, figures in columns."""

import sys

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from spendguard_cli.demo.scenes import Check, Reckoning, Scene, Verdict
from spendguard_cli.program import program
from spendguard_cli.views import ink
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET

WIDTH_MAX = 92
ROW_WIDTH = 76
"""Below this a row of figures is folded: it may be ugly, but never cut."""
STYLES = {"held": "cyan", "cost": CARE, "remains": "bold", "answer": "bold", "holder": "bold"}


class RichTeller:
    """Prints each act as it ends."""

    def __init__(self) -> None:
        self._console = ink.console(sys.stdout)
        self._console.width = min(self._console.width, WIDTH_MAX)

    def opening(self) -> None:
        """Say what is going to be shown."""
        title = Text("SpendGuard demo", style="bold")
        title.append("  a private sidecar on a temporary home, no key, no network", style=f"not bold {QUIET}")
        self._console.print(title)

    def scene(self, number: int, scene: Scene) -> None:
        """Print one act."""
        rows = Table.grid(padding=(0, 3, 0, 0))
        for row in scene.rows:
            cells = [_figure(name, value) for name, value in row.figures.items()]
            rows.add_row(ink.foreign(row.call), *cells)
        for column in rows.columns:
            column.no_wrap = self._console.width >= ROW_WIDTH
        parts: list[RenderableType] = [ink.prose(scene.story, QUIET), Text(), rows]
        if scene.quote:
            parts.append(Padding(ink.prose(f"“{scene.quote}”", "italic"), (1, 0, 0, 0)))
        self._act(number, scene.title, parts, scene.checks)

    def reckoning(self, number: int, table: Reckoning) -> None:
        """Print the closing table."""
        calls = ink.table("AGENT", "CALL", "STATE", "HOLD", "COST", right=("HOLD", "COST"))
        for entry in table.entries:
            state = ink.foreign(entry.state, ink.STATE_STYLES.get(entry.state, ""))
            calls.add_row(
                ink.foreign(entry.agent),
                ink.foreign(entry.call),
                state,
                _usd(entry.hold_usd),
                _usd(entry.cost_usd),
            )
        sums = ink.table(
            "AGENT", "GRANTED", "", "SETTLED", "", "REMAINING", right=("GRANTED", "SETTLED", "REMAINING")
        )
        for account in table.accounts:
            style = "bold" if account is table.accounts[-1] else ""
            sums.add_row(
                ink.foreign(account.agent, style),
                ink.usd(account.funded_usd, style),
                Text("=", style=QUIET),
                ink.usd(account.settled_usd, style),
                Text("+", style=QUIET),
                ink.usd(account.remaining_usd, style),
            )
        self._act(number, "It adds up", [calls, Text(), sums], table.checks)

    def closing(self, verdict: Verdict) -> None:
        """Say how it ended."""
        head = (
            Text("All of it held.", style=f"bold {GOOD}")
            if verdict.ok
            else Text("Not all of it held.", style=BAD)
        )
        head.append("  The temporary home and its sidecar are gone.", style="not bold default")
        step = Text("next  ", style=QUIET).append(f"{program()} up", style="bold not dim cyan")
        self._console.print(Text(), head, step, sep="\n")

    def _act(self, number: int, title: str, parts: list[RenderableType], checks: list[Check]) -> None:
        marks = [_mark(check) for check in checks]
        rule = Rule(Text(f" {number}  {title} ", style="bold"), align="left", style=QUIET, characters="─")
        self._console.print(Text(), rule, sep="\n")
        self._console.print(Padding(Group(*parts, Text(), *marks), (0, 0, 0, 3)))


def _figure(name: str, value: str) -> Text:
    text = Text(f"{name} ", style=QUIET)
    return text.append_text(ink.foreign(value, f"not dim {STYLES.get(name, '')}"))


def _usd(amount: str) -> Text:
    return Text("-", style=QUIET) if amount == "0.00" else ink.usd(amount)


def _mark(check: Check) -> Text:
    mark = Text("✓ " if check.ok else "✗ ", style=GOOD if check.ok else f"bold {BAD}")
    return mark.append(check.claim, style="default" if check.ok else BAD)
