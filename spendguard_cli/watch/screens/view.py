"""What all screens have in common: they show one board, now and then, and know what the cursor is on."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from spendguard_cli.watch.board import Board
from spendguard_cli.watch.keys import Where, of
from spendguard_cli.watch.subject import Subject

if TYPE_CHECKING:
    from spendguard_cli.watch.app import WatchApp


def bindings(*wheres: Where) -> list[BindingType]:
    """Return the bindings of the keys that work there."""
    return [Binding(key.key, key.action, key.says, show=bool(key.short)) for key in of(*wheres)]


class View(Screen[None]):
    """One side of the board."""

    BINDINGS: ClassVar[list[BindingType]] = []

    @property
    def program(self) -> "WatchApp":
        """The program."""
        return cast("WatchApp", self.app)

    @property
    def board(self) -> Board:
        """What is known."""
        return self.program.board

    def compose(self) -> ComposeResult:
        """What this view is made of."""
        yield from self.body()

    def body(self) -> ComposeResult:
        """The widgets of this view, beside what all have."""
        yield from ()

    def on_screen_resume(self) -> None:
        """Show what is so now, after another screen was shown."""
        self.draw()

    def draw(self) -> None:
        """Show the board as it is: it has changed, or a second has passed."""

    def subject(self) -> Subject:
        """Return what the cursor stands on."""
        return Subject()
