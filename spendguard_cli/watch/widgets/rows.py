"""A few lines that are drawn as they are, at whatever width there is: what a head and a foot are made of."""

from collections.abc import Sequence

from rich.text import Text
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget


class Rows(Widget):
    """Lines of text, as high as there are lines; `lines(width)` makes them, each of that many cells."""

    DEFAULT_CSS = "Rows { height: auto; width: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._shown: Sequence[Text] = ()
        self._shown_cells = -1

    def lines(self, width: int) -> Sequence[Text]:
        """Return the lines."""
        raise NotImplementedError

    def show(self) -> None:
        """Draw what is so now; the screen is laid out anew only where there are more or fewer lines."""
        width, before = self.size.width, (self._shown, self._shown_cells)
        self._shown, self._shown_cells = self.lines(width), width
        if (self._shown, width) != before:
            self.refresh(layout=len(self._shown) != len(before[0]))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """Return how many lines there are."""
        self._shown, self._shown_cells = self.lines(width), width
        return len(self._shown)

    def render_line(self, y: int) -> Strip:
        """Draw one of them."""
        width = self.size.width
        if width != self._shown_cells:
            self._shown, self._shown_cells = self.lines(width), width
        if y >= len(self._shown):
            return Strip.blank(width, self.rich_style)
        segments = self._shown[y].render(self.app.console)
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)
