"""The columns of the agents view: which there are at which width, and what stands in each. Pure.

Widths follow from the width of the terminal alone, never from what is shown, so that nothing jumps; a line
is always exactly as wide as it is asked to be, whatever an agent is called.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from spendguard_cli.views.ink import BAD, CARE, QUIET, nusd
from spendguard_cli.watch.board import Row, seconds
from spendguard_cli.watch.danger import STYLES, danger, mark, reason
from spendguard_cli.watch.figures import bar, short_age, short_usd
from spendguard_daemon.text import safe

DAY_SECONDS = 86_400
NAME_CELLS_MIN = 8
Cell = Callable[[Row, float, int], Text]
"""Draws what a row has there, as of the source's time, in at most so many cells."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what stands above it, how it is drawn, whether to the right, and the order it can bring."""

    head: str
    cell: Cell
    right: bool = False
    order: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A column where it stands: its first cell and how many it has."""

    name: str
    column: Column
    start: int
    cells: int


def _mark(row: Row, now: float, _: int) -> Text:
    return Text(mark(row, now), style=STYLES[danger(row, now)])


def _name(row: Row, now: float, _: int) -> Text:
    return Text(safe(row.agent.name) or row.agent.agent_id, style=STYLES[danger(row, now)])


def _bar(row: Row, _: float, cells: int) -> Text:
    money = row.money
    if money.hard_limit_usd is None or money.available_usd is None:
        return Text("-", style=QUIET)
    settled, held, free = nusd(money.settled_usd), nusd(money.held_usd), nusd(money.available_usd)
    return bar(settled, held, free, nusd(money.hard_limit_usd), cells)


def _left(row: Row, now: float, cells: int) -> Text:
    if row.money.remaining_usd is None:
        return Text("-", style=QUIET)
    level = danger(row, now)
    style = STYLES[level] if level in ("care", "bad") else ""
    return Text(short_usd(nusd(row.money.remaining_usd), cells), style=style)


def _lasts(row: Row, now: float, cells: int) -> Text:
    lasts = to_empty(row, now)
    if lasts is None:
        return Text("-", style=QUIET)
    if not lasts:
        return Text("EMPTY", style=BAD)
    days = lasts // DAY_SECONDS
    ways = (short_age(lasts), f"{days}d", "9" * (cells - 2) + "d+")  # never a part of the number
    return Text(next(said for said in ways if len(said) <= cells))


def _held(row: Row, _: float, cells: int) -> Text:
    held = nusd(row.money.held_usd)
    return Text(short_usd(held, cells, up=True) if held else "-", style="cyan" if held else QUIET)


def _burn(minutes: int) -> Cell:
    def drawn(row: Row, now: float, cells: int) -> Text:
        pace = row.spend.per_minute_nusd(minutes, now)
        return Text(short_usd(pace, cells, up=True) if pace else "-", style="" if pace else QUIET)

    return drawn


def _number(count: Callable[[Row], int], style: str = "") -> Cell:
    def drawn(row: Row, _: float, cells: int) -> Text:
        number = str(count(row))
        if len(number) > cells:
            number = "9" * (cells - 1) + "+"  # more than there is room to say, never a part of the number
        return Text("-", style=QUIET) if number == "0" else Text(number, style=style)

    return drawn


def _lock(row: Row, now: float, cells: int) -> Text:
    run_id, since = row.money.locked_run_id, row.money.locked_since
    if run_id is None:
        return Text("-", style=QUIET)
    age = f" {short_age(now - seconds(since))}" if since else ""
    line = Text(safe(run_id), no_wrap=True)
    line.truncate(max(0, cells - len(age)), overflow="ellipsis")
    return line.append(age, style=QUIET)


def _state(row: Row, now: float, _: int) -> Text:
    why = reason(row, now)
    if why:
        return Text(why, style=STYLES[danger(row, now)])
    if row.money.calls_waiting:
        return Text(f"{row.money.calls_waiting} waiting", style=CARE)
    if row.money.locked_run_id is not None:
        return Text("locked", style=QUIET)
    return Text("in flight" if row.money.calls_in_flight else "", style=QUIET)


def _spark(row: Row, now: float, cells: int) -> Text:
    return Text(row.spend.spark(cells, now), style="cyan")


def to_empty(row: Row, now_seconds: float) -> int | None:
    """Return for how many seconds the money lasts; None where none is spent, or there is no budget."""
    if row.money.remaining_usd is None:
        return None
    left_nusd = nusd(row.money.remaining_usd)
    return 0 if left_nusd <= 0 else row.spend.seconds_to_empty(left_nusd, now_seconds)


COLUMNS: dict[str, Column] = {
    "mark": Column("", _mark),
    "name": Column("agent", _name, order="name"),
    "bar": Column("budget", _bar),
    "left": Column("left", _left, right=True, order="remaining"),
    "lasts": Column("lasts", _lasts, right=True, order="time to empty"),
    "held": Column("held", _held, right=True, order="held"),
    "burn": Column("$/min", _burn(1), right=True, order="burn"),
    "burn15": Column("15 min", _burn(15), right=True),
    "calls": Column("calls", _number(lambda row: row.money.calls_in_flight), right=True),
    "waits": Column("waits", _number(lambda row: row.money.calls_waiting, CARE), right=True),
    "refused": Column("refused", _number(lambda row: row.money.refusals), right=True, order="refusals"),
    "lock": Column("locked by", _lock),
    "spark": Column("15 minutes", _spark),
    "state": Column("state", _state, order="danger"),
}

RISING = ("remaining", "time to empty", "name")
"""The orders in which the least, or the first of the alphabet, comes first."""

LAYOUTS: tuple[tuple[int, dict[str, int]], ...] = (
    (
        190,
        {"mark": 1, "name": 0, "bar": 24, "left": 11, "lasts": 7, "burn": 9, "burn15": 9, "held": 9}
        | {"calls": 6, "waits": 6, "refused": 8, "lock": 26, "spark": 22, "state": 16},
    ),
    (
        150,
        {"mark": 1, "name": 0, "bar": 14, "left": 10, "lasts": 6, "burn": 8, "burn15": 8, "held": 8}
        | {"calls": 5, "waits": 5, "refused": 8, "lock": 20, "spark": 15, "state": 15},
    ),
    (
        120,
        {"mark": 1, "name": 0, "bar": 12, "left": 9, "lasts": 6, "burn": 8, "held": 8, "calls": 5}
        | {"waits": 5, "refused": 8, "spark": 10, "state": 15},
    ),
    (
        100,
        {"mark": 1, "name": 0, "bar": 12, "left": 9, "lasts": 6, "burn": 8, "calls": 5, "waits": 5}
        | {"refused": 8, "state": 15},
    ),
    (
        78,
        {"mark": 1, "name": 0, "bar": 8, "left": 8, "lasts": 6, "burn": 8, "calls": 5, "refused": 8}
        | {"state": 15},
    ),
    (56, {"mark": 1, "name": 0, "bar": 8, "left": 8, "lasts": 6, "state": 15}),
    (36, {"mark": 1, "name": 0, "left": 8, "state": 10}),
    (0, {"mark": 1, "name": 0, "left": 8}),
)
"""From so many cells on these columns, the name taking what is left."""


def placed(width: int) -> tuple[Placed, ...]:
    """Return the columns at a width, one blank between two of them; the name takes what the others leave."""
    layout = next(cells for least, cells in LAYOUTS if width >= least)
    rest = max(NAME_CELLS_MIN, width - sum(layout.values()) - len(layout) + 1)
    found: list[Placed] = []
    start = 0
    for name, cells in layout.items():
        found.append(Placed(name, COLUMNS[name], start, cells or rest))
        start += (cells or rest) + 1
    return tuple(found)


def head(width: int, order: str, is_reversed: bool) -> Text:
    """Write what stands above the columns; the one that all are sorted by has ▲ where its values rise, or ▼.

    Where that column is not there at this width, the name of the order stands above the agents.
    """
    arrow = "▲" if (order in RISING) != is_reversed else "▼"
    columns = placed(width)
    is_shown = any(one.column.order == order for one in columns)
    line = Text(no_wrap=True)
    for one in columns:
        word = one.column.head
        if one.column.order == order:
            word = f"{word[: one.cells - 1]}{arrow}"
        elif one.name == "name" and not is_shown:
            word = f"by {order}{arrow}"
        _put(line, Text(word), one)
    return _exact(line, width)


def line(row: Row, now_seconds: float, width: int) -> Text:
    """Write one agent."""
    written = Text(no_wrap=True)
    for one in placed(width):
        _put(written, one.column.cell(row, now_seconds, one.cells), one)
    return _exact(written, width)


def order_at(x: int, width: int) -> str:
    """Return the order that the column at a cell of the head brings; empty where it brings none."""
    hit = [one.column.order for one in placed(width) if one.start <= x <= one.start + one.cells]
    return hit[-1] if hit else ""


def _put(line: Text, cell: Text, place: Placed) -> None:
    """Append a cell, exactly as wide as its column."""
    if line.plain:
        line.append(" ")
    cell.truncate(place.cells, overflow="ellipsis")
    blanks = " " * (place.cells - cell_len(cell.plain))
    if place.column.right:
        line.append(blanks)
    line.append_text(cell)
    if not place.column.right:
        line.append(blanks)


def _exact(line: Text, width: int) -> Text:
    line.truncate(width, pad=True)
    return line
