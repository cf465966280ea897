"""The few marks all terminal views are made of: money, times, bars, tables, and text from outside made safe.

Rich parses no markup anywhere (`markup=False`), and whatever a person, an agent or a provider wrote passes
`foreign` first: Rich itself lets escape sequences and bidi controls through.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spendguard_cli.colours import is_coloured
from spendguard_cli.views.columns import Columns, Kind
from spendguard_daemon.money import parse_usd
from spendguard_daemon.text import safe

AMOUNTS_KEPT = 32_768
"""A live list reads the same amounts again every few seconds: those of ten thousand agents, three of each."""

BAR_CELLS = 32
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


def console(stream: TextIO) -> Console:
    """Return a console that takes every character for what it is; without colours not even bold is left."""
    made = Console(file=stream, markup=False, highlight=False, emoji=False)
    if not is_coloured(stream):
        made._color_system = None  # what `no_color` leaves are bold and dim, which are escape sequences too
    return made


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


class Wording:
    """A sentence, in which commands are whole: each has a line of its own where the sentence needs several.

    A command is what stands in backticks, or after a colon up to the end: `or: cut the run: spendguard ...`.
    All but commands is set off by `indent_cells`.
    """

    def __init__(self, text: str, style: str = "", *, indent_cells: int = 2):
        self.text, self.style, self.indent_cells = safe(text, PROSE_LENGTH_MAX), style, indent_cells

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it on one line where it fits; else break it before and after each command."""
        fits = Text(self.text).cell_len + self.indent_cells <= options.max_width
        for part, is_command in [(self.text, False)] if fits else _parts(self.text):
            said = Padding(Text(part, style=self.style), (0, 0, 0, self.indent_cells))
            yield command(part) if is_command else said


_IN_BACKTICKS = re.compile(r"`(spendguard [^`]+)`([.,;:]?)")
_AFTER_COLON = re.compile(r":\s+(?=(?:[A-Z_]+=\S+ )*spendguard [a-z])")


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a sentence in their order, and which of them are commands."""
    if _IN_BACKTICKS.search(text):
        pieces = _IN_BACKTICKS.split(text)
        for index in range(0, len(pieces), 3):
            words = pieces[index].strip()
            if words:
                yield words, False
            if index + 1 < len(pieces):
                yield pieces[index + 1], True
        return
    said, *typed = _AFTER_COLON.split(text, maxsplit=1)
    yield f"{said}:" if typed else said, False
    for one in (part for rest in typed for part in rest.split("; ")):
        whole, comma, rest = one.partition(", ")
        yield whole, True
        if comma:
            yield rest, False


def command(text: str) -> Text:
    """Return a line to type: indented, never broken or cut, however narrow the terminal is."""
    line = Text("  $ ", style="cyan", no_wrap=True, overflow="ignore")
    return line.append(safe(text, PROSE_LENGTH_MAX))


@lru_cache(AMOUNTS_KEPT)
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


def table(
    *columns: str,
    right: tuple[str, ...] = (),
    fixed: tuple[str, ...] = (),
    prose: tuple[str, ...] = (),
    whole: tuple[str, ...] = (),
    less: tuple[str, ...] = (),
    above: tuple[str, ...] = (),
) -> Columns:
    """Make a table without frames: quiet heads, numbers to the right (`right`), ids (`fixed`), sentences.

    `whole` are words that are never cut. Where the terminal is narrow, `above` stand on a line above the rest
    of their row, which keeps ids whole; then `less` are left out, the first first.
    """
    kinds = dict.fromkeys(right, Kind.NUMBER) | dict.fromkeys(fixed, Kind.ID)
    kinds |= dict.fromkeys(prose, Kind.PROSE) | dict.fromkeys(whole, Kind.WHOLE)
    made = Columns(kinds, less, above)
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
