"""Columns of a list that fit whatever width there is: some give way, one grows, none is ever broken. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

GAP = 2
"""Blank cells between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, `cells` wide at least. One that `grows` takes what is left over.

    Where there is too little room, columns go one after the other, the greatest `yields` first; 0 never goes.
    """

    title: str
    cells: int
    right: bool = False
    grows: bool = False
    yields: int = 0


class Sheet:
    """The columns of one list."""

    def __init__(self, *columns: Column):
        self._columns = columns
        self._fitted: tuple[int, list[tuple[int, int]]] = (-1, [])

    def head(self, width: int) -> Text:
        """Write the titles."""
        return self.line([Text(column.title) for column in self._columns], width)

    def line(self, cells: Sequence[Text | str], width: int) -> Text:
        """Write one line; a cell that is cut ends in an ellipsis. `cells` must be safe already."""
        said = Text(no_wrap=True, end="")
        for place, (index, room) in enumerate(self._fit(width)):
            cell = cells[index]
            text = cell.copy() if isinstance(cell, Text) else Text(cell)
            text.truncate(room, overflow="ellipsis")
            blank = " " * (room - text.cell_len)
            said.append(" " * GAP if place else "")
            if self._columns[index].right:
                said.append(blank).append_text(text)
            else:
                said.append_text(text).append(blank)
        return said

    def _fit(self, width: int) -> list[tuple[int, int]]:
        """Return which columns are shown, and how wide each is."""
        if self._fitted[0] == width:
            return self._fitted[1]
        shown = list(range(len(self._columns)))
        going = sorted((i for i in shown if self._columns[i].yields), key=lambda i: -self._columns[i].yields)
        for index in going:
            if self._least(shown) <= width:
                break
            shown.remove(index)
        spare = max(0, width - self._least(shown))
        growing = [index for index in shown if self._columns[index].grows]
        rooms = []
        for index in shown:
            more = spare // len(growing) if index in growing else 0
            rooms.append((index, self._columns[index].cells + more))
        self._fitted = (width, rooms)
        return rooms

    def _least(self, shown: Sequence[int]) -> int:
        return sum(self._columns[index].cells for index in shown) + GAP * (len(shown) - 1)
