"""Tables without frames that fit their terminal, however narrow it is, and keep ids whole."""

from collections.abc import Mapping
from copy import copy
from enum import Enum

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

GAP = 2
"""Cells between two columns."""
NAME_CELLS_MIN = 4
"""What is left of a name where even then there is no room."""


class Kind(Enum):
    """What a column of a table holds, with the least width it is given where the terminal is narrow."""

    NAME = 10
    PROSE = 20
    ID = 18
    NUMBER = 0
    WHOLE = -1


class Columns(Table):
    """A table that fits its terminal: names are cut, prose is folded, then what is `less` is left out.

    Before anything is left out, the columns `above` get a line of their own above the rest of their row.
    Numbers and what is `whole` are never cut; ids are folded where they alone are wider than the terminal.
    """

    def __init__(self, kinds: Mapping[str, Kind], less: tuple[str, ...], above: tuple[str, ...] = ()):
        super().__init__(box=None, padding=(0, GAP, 0, 0), header_style="dim", pad_edge=False)
        self._kinds, self._less, self._above = kinds, less, above

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
        everything, width = self.columns, options.max_width
        if not self._above or self._has_room(wanted, width):
            yield from self._drawn(self._fitting(everything, wanted, width), console, options)
            return
        over = [one for one in everything if str(one.header) in self._above]
        tops = self._fitting(over, wanted, width)
        rests = self._fitting([one for one in everything if one not in over], wanted, width - GAP)
        for index in range(-1, self.row_count):
            yield _line(tops, index)
            yield Padding(_line(rests, index), (0, 0, 0, GAP))

    def _drawn(self, columns: list[Column], console: Console, options: ConsoleOptions) -> RenderResult:
        everything, self.columns = self.columns, columns
        try:
            yield from super().__rich_console__(console, options)
        finally:
            self.columns = everything

    def _has_room(self, wanted: Mapping[str, int], width: int) -> bool:
        """Tell whether nothing would have to be left out, or folded."""
        least = {
            header: min(cells, kind.value) if kind in (Kind.NAME, Kind.PROSE) else cells
            for header, cells, kind in ((one, wanted[one], self.kind(one)) for one in wanted)
        }
        return sum(least.values()) + GAP * (len(least) - 1) <= width

    def _fitting(self, columns: list[Column], wanted: Mapping[str, int], width: int) -> list[Column]:
        """Return the columns that are shown, as wide as they are to be."""
        kept = [str(column.header) for column in columns]
        less = [header for header in self._less if header in kept]
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
        chosen = [copy(column) for column in columns if str(column.header) in widths]
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


def _line(columns: list[Column], index: int) -> Table:
    """Return one row of these columns, or their heads for -1, as wide as they are."""
    made = Table.grid(padding=(0, GAP, 0, 0))
    for column in columns:
        made.add_column(
            justify=column.justify, width=column.width, no_wrap=column.no_wrap, overflow=column.overflow
        )
    if index < 0:
        made.add_row(*(Text(str(column.header), style="dim") for column in columns))
    else:
        made.add_row(*([*column.cells][index] for column in columns))
    return made
