"""A text in a frame over what was in sight: it scrolls where it does not fit, and closes."""

from typing import ClassVar

from rich.console import RenderableType
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static


class Page(ModalScreen[None]):
    """The frame; whoever derives from it gives the text, a title, and the keys that close it."""

    DEFAULT_CSS = """
    Page { align: center middle; }
    Page VerticalScroll {
        width: 72; max-width: 100%; height: auto; max-height: 100%;
        background: $panel; padding: 0 1; border: round $primary; scrollbar-size-vertical: 1;
    }
    Page Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Close"),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def __init__(self, title: str, text: RenderableType) -> None:
        super().__init__()
        self._name, self._text = title, text

    def compose(self) -> ComposeResult:
        """A frame with the text in it."""
        with VerticalScroll() as box:
            box.border_title = self._name
            box.border_subtitle = "esc closes"
            yield Static(self._text, markup=False)

    def on_mount(self) -> None:
        """The keys go to the text: arrows scroll it."""
        self.query_one(VerticalScroll).focus()

    def action_down(self) -> None:
        """Scroll on."""
        self.query_one(VerticalScroll).scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll back."""
        self.query_one(VerticalScroll).scroll_up(animate=False)
