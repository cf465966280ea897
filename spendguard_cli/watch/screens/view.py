"""What all screens have in common: they show one board, now and then, and know what the cursor is on."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from spendguard_cli.watch.board import Board
from spendguard_cli.watch.keys import Key, Side, Where, foot, of
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.widgets.foot import Foot
from spendguard_cli.watch.widgets.top import Top

if TYPE_CHECKING:
    from spendguard_cli.watch.app import WatchApp


def bindings(*wheres: Where) -> list[BindingType]:
    """Return the bindings of the keys that work there."""
    return [
        Binding(key.key, key.action, key.says, show=bool(key.short), priority=key.key == "ctrl+c")
        for key in of(*wheres)
    ]


class View(Screen[None]):
    """One side of the board, between a head and a foot. `SIDE` is its name in the table of keys."""

    BINDINGS: ClassVar[list[BindingType]] = []
    SIDE: ClassVar[Side]

    _is_made = False

    @property
    def program(self) -> "WatchApp":
        """The program."""
        return cast("WatchApp", self.app)

    @property
    def board(self) -> Board:
        """What is known."""
        return self.program.board

    def compose(self) -> ComposeResult:
        """Head, body, foot."""
        yield Top()
        yield from self.body()
        yield Foot()

    def body(self) -> ComposeResult:
        """The widgets of this view, beside what all have."""
        yield from ()

    def on_mount(self) -> None:
        """Show what is so, now that all parts are there; textual calls this after a subclass's own."""
        self._is_made = True
        self.show_all()

    def on_screen_resume(self) -> None:
        """Show what is so now, after another screen was shown."""
        self.show_all()

    @property
    def stands(self) -> bool:
        """Whether all its parts are there: it is neither being made nor, part by part, taken down."""
        return self._is_made and self.display

    def show_all(self) -> None:
        """Draw the head, the view and the foot as the board is now."""
        if self.stands:
            self.query_one(Top).show()
            self.query_one(Foot).show()
            self.paint()

    def draw(self) -> None:
        """Draw the view alone, as the board is now."""
        if self.stands:
            self.paint()

    def paint(self) -> None:
        """Show the board as it is. The widgets are there."""

    def keys(self) -> tuple[Key, ...]:
        """Return the keys that matter here, those of the views left out: they stand in the head."""
        return foot(self.SIDE, acts=self.program.may_act, past=self.board.link == "past")

    def subject(self) -> Subject:
        """Return what the cursor stands on."""
        return Subject()
