"""A list of many lines of which only those in sight are ever drawn: 500 agents cost what a screen costs.

The one list of `watch`: every table is one. It knows no board: who owns it hands in the keys of its lines in
their order, and a function that draws one line. The line under the cursor stays the same thing, not the same
place, when others come, go, or change their order. The list follows it there once it was led by a person;
until then, and after Home, what is first stays in sight.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

Draw = Callable[[str, int], Text]
"""Draws the line of a key in so many cells; what comes from outside must be made `safe` by it. Who returns
the same text again saves the work of making it visible again.
"""

STRIPS_KEPT_MAX = 500


class LineTable(ScrollView, can_focus=True):
    """Lines under a head that stays. Posts `Chosen` on Enter or a click on the line under the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--head", "lines--cursor"}
    DEFAULT_CSS = """
    LineTable { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    LineTable .lines--head { text-style: bold; color: $text-muted; }
    LineTable .lines--cursor { background: $boost; text-style: bold; }
    LineTable:focus .lines--cursor { background: $accent 30%; text-style: bold; }
    LineTable:nocolor .lines--cursor { text-style: reverse bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end", "move(1000000)", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]
    key: reactive[str | None] = reactive(None)
    """The key of the line under the cursor; None where there is no line."""

    class Chosen(Message):
        """A line was opened."""

        def __init__(self, table: "LineTable", key: str) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> "LineTable":
            """The table."""
            return self.table

    class Moved(Message):
        """The cursor stands on another line."""

        def __init__(self, table: "LineTable", key: str | None) -> None:
            super().__init__()
            self.table, self.key = table, key

    class HeadClicked(Message):
        """The head was clicked, at a cell of so many."""

        def __init__(self, table: "LineTable", x: int, width: int) -> None:
            super().__init__()
            self.table, self.x, self.width = table, x, width

    def __init__(self, head: Callable[[int], Text] | None, draw: Draw, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._head, self._draw = head, draw
        self._keys: list[str] = []
        self._place: dict[str, int] = {}
        self._is_led = False
        self._head_drawn: Text | None = None
        self._strips: dict[str, tuple[Text, tuple[Style, int], Strip]] = {}

    @property
    def keys(self) -> Sequence[str]:
        """The keys of all lines, in their order."""
        return self._keys

    def show(self, keys: Sequence[str]) -> None:
        """Show these lines; of those that are in sight, the ones that have changed are drawn again."""
        before = self._place.get(self.key or "", 0)
        was_seen = self._is_led and 0 <= before - int(self.scroll_offset.y) < self.size.height
        is_same = list(keys) == self._keys and self.key in (*self._place, None)
        if not is_same:
            self._keys = list(keys)
            self._place = {key: place for place, key in enumerate(self._keys)}
            self.virtual_size = Size(self.size.width, len(self._keys) + self._head_lines)
        if self.key not in self._place:
            self.key = self._keys[min(before, len(self._keys) - 1)] if self._keys else None
        elif was_seen:
            self._bring_into_sight(self._place[self.key or ""])
        if is_same:
            self._refresh_changed()
        else:
            self.refresh()

    def point(self, key: str) -> None:
        """Put the cursor on a line and bring it into sight; nothing happens where it is not there."""
        if key in self._place:
            self.key = key

    def watch_key(self, _: str | None, key: str | None) -> None:
        """Bring the line under the cursor into sight."""
        place = self._place.get(key or "")
        if place is not None:
            self._bring_into_sight(place)
        self.refresh()
        self.post_message(self.Moved(self, key))

    def action_move(self, lines: int) -> None:
        """Move the cursor by so many lines."""
        self._is_led = lines > -len(self._keys)  # who goes to the first line wants to see what is first
        if self._keys:
            place = self._place.get(self.key or "", 0) + lines
            self.key = self._keys[max(0, min(place, len(self._keys) - 1))]

    def action_page(self, pages: int) -> None:
        """Move the cursor by so many screens of lines."""
        self.action_move(pages * max(1, self.size.height - self._head_lines - 1))

    def action_choose(self) -> None:
        """Open the line under the cursor."""
        if self.key is not None:
            self.post_message(self.Chosen(self, self.key))

    def on_click(self, event: Click) -> None:
        """Put the cursor where it was clicked; a click on the cursor opens."""
        if event.y < self._head_lines:
            self.post_message(self.HeadClicked(self, event.x, self.scrollable_content_region.width))
            return
        place = event.y + self.scroll_offset.y - self._head_lines
        if not 0 <= place < len(self._keys):
            return
        if self._keys[place] == self.key:
            self.action_choose()
        else:
            self._is_led, self.key = True, self._keys[place]

    def on_resize(self, event: Resize) -> None:
        """Keep to the width that there is."""
        self.virtual_size = Size(event.size.width, len(self._keys) + self._head_lines)

    def render_line(self, y: int) -> Strip:
        """Draw one line of the screen."""
        width = self.scrollable_content_region.width
        if self._head is not None and y == 0:
            self._head_drawn = self._head(width)
            return self._strip(self._head_drawn, width, "lines--head")
        place = y + self.scroll_offset.y - self._head_lines
        if not 0 <= place < len(self._keys):
            return Strip.blank(width, self.rich_style)
        key = self._keys[place]
        line, component = self._draw(key, width), "lines--cursor" if key == self.key else ""
        style = self.get_component_rich_style(component) if component else self.rich_style
        known = self._strips.get(key)
        if known is None or known[0] is not line or known[1] != (style, width):
            if len(self._strips) > STRIPS_KEPT_MAX:
                self._strips.clear()
            known = self._strips[key] = (line, (style, width), self._strip(line, width, component))
        return known[2]

    def _refresh_changed(self) -> None:
        """Draw again the lines in sight that are not what they were when they were drawn last."""
        width, first = self.scrollable_content_region.width, int(self.scroll_offset.y)
        if self._head is not None and self._head(width) != self._head_drawn:
            self.refresh(Region(0, 0, self.size.width, 1))
        for key in self._keys[first : first + self.size.height]:
            known, line = self._strips.get(key), self._draw(key, width)
            if known is None or not (known[0] is line or (known[0], known[0].style) == (line, line.style)):
                self.refresh_line_of(key)

    @property
    def _head_lines(self) -> int:
        return 0 if self._head is None else 1

    def _bring_into_sight(self, place: int) -> None:
        seen = max(1, self.size.height - self._head_lines)
        first = int(self.scroll_offset.y)
        if place < first:
            self.scroll_to(y=place, animate=False)
        elif place >= first + seen:
            self.scroll_to(y=place - seen + 1, animate=False)

    def _strip(self, line: Text, width: int, component: str) -> Strip:
        style = self.get_component_rich_style(component) if component else self.rich_style
        line.truncate(width, overflow="ellipsis")
        segments = line.render(self.app.console)
        return Strip(segments).adjust_cell_length(width).apply_style(style)

    def refresh_line_of(self, key: str) -> None:
        """Draw one line again."""
        place = self._place.get(key)
        if place is not None:
            self.refresh(Region(0, place + self._head_lines - int(self.scroll_offset.y), self.size.width, 1))
