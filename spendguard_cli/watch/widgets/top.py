"""The head of every view: a banner where the source is not heard, the views, the sums."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from rich.text import Text
from textual.events import Click

from spendguard_cli.watch import frame
from spendguard_cli.watch.widgets.rows import Rows

if TYPE_CHECKING:
    from spendguard_cli.watch.app import WatchApp


class Top(Rows):
    """Draws the head; a click on a view's name shows it."""

    DEFAULT_CSS = "Top { dock: top; background: $panel; }"

    def lines(self, width: int) -> Sequence[Text]:
        """Return the banner, if any, the views and the sums."""
        program = cast("WatchApp", self.app)
        board = program.board
        return [
            *frame.banner(board, program.silent_seconds(), width, program.banner()),
            frame.title(board, program.current_mode, width),
            frame.sums(board, width),
        ]

    def on_click(self, event: Click) -> None:
        """Show the view whose name was clicked."""
        if event.y != len(self._shown) - 2:
            return
        line, name_at = self._shown[event.y].plain, 0
        for tab in frame.tabs():
            name_at = line.find(f"{tab.key} ", name_at)
            word = f"{tab.key} {tab.name}"
            whole = word if line.startswith(word, name_at) else tab.key
            if name_at <= event.x < name_at + cell_len(whole):
                self.app.call_later(self.app.run_action, f"app.view('{tab.mode}')")
                return
            name_at += len(whole)
