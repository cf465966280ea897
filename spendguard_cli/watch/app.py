"""The program: one board, a source that feeds it, screens that show it, and deeds where acting is allowed.

The source posts from its own thread; the board is touched on the loop alone. The screen in sight is drawn at
most four times a second, and once a second for what time alone changes.
"""

import time
from collections.abc import Callable
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.message import Message as TextualMessage

from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Message, Source
from spendguard_cli.watch.screens.agents import AgentsView
from spendguard_cli.watch.screens.view import View, bindings

DRAW_SECONDS = 0.25
TICK_SECONDS = 1.0


class Told(TextualMessage):
    """The source has told something."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self.message = message


class WatchApp(App[None]):
    """`spendguard watch`. `local_seconds` is the clock by which silence is measured."""

    TITLE = "spendguard watch"
    MODES: ClassVar[dict[str, type[View]]] = {"agents": AgentsView}  # type: ignore[assignment]
    DEFAULT_MODE = "agents"
    BINDINGS: ClassVar[list[BindingType]] = bindings("everywhere", "acts")

    def __init__(
        self, source: Source, board: Board | None = None, local_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.board = board or Board()
        self._source, self._local_seconds = source, local_seconds
        self._drawn, self._drawn_seconds = -1, 0.0

    def on_mount(self) -> None:
        """Begin to listen, and to draw."""
        self._source.start(lambda message: void(self.post_message(Told(message))))
        self.set_interval(DRAW_SECONDS, self.redraw)

    def on_unmount(self) -> None:
        """Listen no more."""
        self._source.close()

    def on_told(self, told: Told) -> None:
        """Take up what the source has told."""
        self.board.hear(told.message, self._local_seconds())

    def now_seconds(self) -> float:
        """Return the time of what is shown."""
        return self.board.now_seconds(self._local_seconds())

    def banner(self) -> str:
        """Return what stands above every screen; empty where it shows what is so now."""
        return ""

    def redraw(self) -> None:
        """Draw the screen in sight, where there is anything new to see."""
        now = self._local_seconds()
        if self.board.version == self._drawn and now - self._drawn_seconds < TICK_SECONDS:
            return
        self._drawn, self._drawn_seconds = self.board.version, now
        if isinstance(self.screen, View):
            self.screen.draw()

    def action_view(self, name: str) -> None:
        """Show one of the views."""
        self.switch_mode(name)


def void(_: object) -> None:
    """Drop a value that says nothing."""
