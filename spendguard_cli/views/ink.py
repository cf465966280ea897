"""The few marks all terminal views are made of: money, times, bars, tables, and text from outside made safe.

Rich parses no markup anywhere (`markup=False`), and whatever a person, an agent or a provider wrote passes
`foreign` first: Rich itself lets escape sequences and bidi controls through.
"""

from collections.abc import Mapping
from copy import copy
from datetime import datetime
from enum import Enum
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from spendguard_daemon.money import parse_usd
from spendguard_daemon.text import safe

BAR_CELLS = 32
GAP = 2
"""Cells between two columns."""
NAME_CELLS_MIN = 4
"""What is left of a name where even then there is no room."""
PROSE_LENGTH_MAX = 2000
GOOD, CARE, BAD, QUIET = "green", "yellow", "red", "dim"
STATE_STYLES = {
    "held": "cyan",
    "settled": GOOD,
    "settled_worst": CARE,
    "voided": QUIET,
    "overrun": BAD,
    "refused": BAD,
}


class Kind(Enum):
    """What a column of a table holds, with the least width it is given where the terminal is narrow."""

    NAME = 10
    PROSE = 20
    ID = 18
    NUMBER = 0
    WHOLE = -1


def console(stream: TextIO) -> Console:
    """Return a console that takes every character for what it is."""
    return Console(file=stream, markup=False, highlight=False, emoji=False)


def say(stream: TextIO, mark: str, line: str, style: str) -> None:
    """Print a line of talk with its mark in colour; without a mark the whole line takes the style."""
    text = Text(mark, style=style)
    text.append(line, style="" if mark else style)
    console(stream).print(text, soft_wrap=True)


def foreign(text: object, style: str = "") -> Text:
    """Return text from outside, fit for a terminal."""
    return Text(safe(str(text)), style=style)


def prose(text: str, style: str = "") -> Text:
    """Return a paragraph with text from outside in it; longer than a name may be, and as safe."""
    return Text(safe(text, PROSE_LENGTH_MAX), style=style)


def command(text: str) -> Text:
    """Return a line to type: indented, never broken or cut, however narrow the terminal is."""
    line = Text("  $ ", style="cyan", no_wrap=True, overflow="ignore")
    return line.append(safe(text, PROSE_LENGTH_MAX))


def nusd(usd: str) -> int:
    """Read the exact decimal of an amount that may be negative, in nano-USD."""
    return -parse_usd(usd[1:]) if usd.startswith("-") else parse_usd(usd)


def usd(amount: str | None, style: str = "") -> Text:
    """Write an exact amount with its sign in front: -$0.50; red below zero, a dash where there is none."""
    if amount is None:
        return Text("-", style=QUIET)
    if amount.startswith("-"):
        return Text(f"-${safe(amount[1:])}", style=BAD)
    return Text(f"${safe(amount)}", style=style)


def cents(amount: int) -> Text:
    """Write whole cents as dollars."""
    return Text(f"${amount // 100}.{amount % 100:02d}")


def spans(since: str, until: str, now_ns: int | None) -> Text:
    """Write for how long something has waited and will: `12 s, 48 s left`; only its end without a `now`."""
    try:
        past, last = (datetime.fromisoformat(iso).timestamp() for iso in (since, until))
    except ValueError:
        return foreign(until)
    if now_ns is None:
        return Text("until ").append_text(when(until))
    now = now_ns // 1_000_000_000
    return Text(f"{max(0, now - int(past))} s, {max(0, int(last) - now)} s left")


def age(since: str, now_ns: int) -> Text:
    """Write for how long something has gone on: `12 s`."""
    try:
        began = datetime.fromisoformat(since).timestamp()
    except ValueError:
        return foreign(since)
    return Text(f"{max(0, now_ns // 1_000_000_000 - int(began))} s")


def when(iso: str | None) -> Text:
    """Write a time to the second, in UTC as it came."""
    return (
        Text("-", style=QUIET) if iso is None else Text(safe(iso).replace("T", " ")[:19] + "Z", style=QUIET)
    )


def bar(free_nusd: int, held_nusd: int, whole_nusd: int) -> Text:
    """Draw a budget: what is free, what calls in flight hold, what is gone."""
    whole = max(whole_nusd, 1)
    free = _cells(free_nusd, whole)
    held = min(BAR_CELLS - free, max(_cells(held_nusd, whole), 1 if held_nusd > 0 else 0))
    style = GOOD if free_nusd * 5 > whole else CARE if free_nusd > 0 else BAD
    line = Text("━" * free, style=style)
    line.append("━" * held, style="cyan")
    line.append("─" * (BAR_CELLS - free - held), style=QUIET)
    return line


def _cells(part_nusd: int, whole_nusd: int) -> int:
    return max(0, min(BAR_CELLS, -(-part_nusd * BAR_CELLS // whole_nusd)))


def facts(rows: list[tuple[str, RenderableType]]) -> Table:
    """Lay out names and values in two columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=QUIET, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, value)
    return grid


class Columns(Table):
    """A table that fits its terminal: names are cut, prose is folded, then what is `less` is left out.

    Numbers and what is `whole` are never cut; ids are folded where they alone are wider than the terminal.
    """

    def __init__(self, kinds: Mapping[str, Kind], less: tuple[str, ...]):
        super().__init__(box=None, padding=(0, GAP, 0, 0), header_style=QUIET, pad_edge=False)
        self._kinds, self._less = kinds, less

    def kind(self, header: object) -> "Kind":
        """Return what a column holds; names, unless said otherwise."""
        return self._kinds.get(str(header), Kind.NAME)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Choose the columns and give each its width, then draw as any table."""
        wanted = {
            str(column.header): max(
                Measurement.get(console, options, cell).maximum
                for cell in (Text(str(column.header)), *column.cells)
            )
            for column in self.columns
        }
        everything, self.columns = self.columns, self._fitting(wanted, options.max_width)
        try:
            yield from super().__rich_console__(console, options)
        finally:
            self.columns = everything

    def _fitting(self, wanted: Mapping[str, int], width: int) -> list[Column]:
        """Return the columns that are shown, as wide as they are to be."""
        kept, less = [str(column.header) for column in self.columns], [*self._less]
        while True:
            widths = {header: wanted[header] for header in kept}
            room = width - GAP * (len(kept) - 1)
            for kind in (Kind.NAME, Kind.PROSE):
                self._narrow(widths, kind, kind.value, room)
            if sum(widths.values()) <= room or not less:
                break
            kept.remove(less.pop(0))
        self._narrow(widths, Kind.NAME, NAME_CELLS_MIN, room)
        self._narrow(widths, Kind.ID, Kind.ID.value, room)
        chosen = [copy(column) for column in self.columns if str(column.header) in widths]
        for index, column in enumerate(chosen):
            column._index, column.width = index, widths[str(column.header)]
        return chosen

    def _narrow(self, widths: dict[str, int], kind: "Kind", least: int, room: int) -> None:
        """Take what is too much from the columns of a kind, always from the widest, down to `least` cells."""
        headers = [header for header in widths if self.kind(header) is kind]
        while headers and sum(widths.values()) > room:
            widest = max(headers, key=lambda header: widths[header])
            if widths[widest] <= least:
                return
            widths[widest] -= 1


def table(
    *columns: str,
    right: tuple[str, ...] = (),
    fixed: tuple[str, ...] = (),
    prose: tuple[str, ...] = (),
    whole: tuple[str, ...] = (),
    less: tuple[str, ...] = (),
) -> Columns:
    """Make a table without frames: quiet heads, numbers to the right (`right`), ids (`fixed`), sentences.

    `whole` are words that are never cut. `less` are left out where the terminal is narrow, the first first.
    """
    kinds = dict.fromkeys(right, Kind.NUMBER) | dict.fromkeys(fixed, Kind.ID)
    kinds |= dict.fromkeys(prose, Kind.PROSE) | dict.fromkeys(whole, Kind.WHOLE)
    made = Columns(kinds, less)
    for column in columns:
        kind = made.kind(column)
        made.add_column(
            column,
            justify="right" if kind is Kind.NUMBER else "left",
            no_wrap=kind not in (Kind.ID, Kind.PROSE),
            overflow="ellipsis" if kind is Kind.NAME else "fold",
        )
    return made


def indent(renderable: RenderableType) -> Padding:
    """Set a block off from its heading."""
    return Padding(renderable, (0, 0, 0, 2))
