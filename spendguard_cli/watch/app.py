"""The program: one board, a source that feeds it, screens that show it, and deeds where acting is allowed.

The source posts from its own thread; the board is touched on the loop alone. The screen in sight is drawn at
most four times a second, and once a second for what time alone changes.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.message import Message as TextualMessage
from textual.notifications import Notify
from textual.screen import Screen
from textual.widgets._toast import ToastHolder, ToastRack

from spendguard_cli.watch.asked import Begin
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.keys import HARMLESS, KEYS
from spendguard_cli.watch.messages import Message, Source
from spendguard_cli.watch.screens.agents import AgentsView
from spendguard_cli.watch.screens.failures import FailuresView
from spendguard_cli.watch.screens.help import HelpScreen
from spendguard_cli.watch.screens.locks import LocksView
from spendguard_cli.watch.screens.prices import PricesView
from spendguard_cli.watch.screens.unconfirmed import UnconfirmedView
from spendguard_cli.watch.screens.view import View, bindings
from spendguard_cli.watch.themes import ANSI_DARK, ANSI_LIGHT, DARK, LIGHT

if TYPE_CHECKING:
    from spendguard_cli.watch.stories import Teller

DRAW_SECONDS = 0.25
TICK_SECONDS = 1.0
TOASTS_MAX = 3


class Told(TextualMessage):
    """The source has told something."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self.message = message


class WatchApp(App[None]):
    """`spendguard watch`. `local_seconds` is the clock by which silence is measured.

    `desk` carries out what is done here, and is asked for what the feed does not tell; None in the past.
    With `read_only` it is only asked.
    `teller` has the journal, where it is the past that is shown.
    `unanswered` are the titles of what was asked of the sidecar and not answered when the program ended.
    """

    TITLE = "spendguard watch"
    CSS = "Toast { width: auto; max-width: 90%; }"
    MODES: ClassVar[dict[str, type[View]]] = {  # type: ignore[assignment]
        "agents": AgentsView,
        "locks": LocksView,
        "failures": FailuresView,
        "prices": PricesView,
        "unconfirmed": UnconfirmedView,
    }
    DEFAULT_MODE = "agents"
    BINDINGS: ClassVar[list[BindingType]] = bindings("everywhere", "acts")

    def __init__(
        self,
        source: Source,
        board: Board | None = None,
        local_seconds: Callable[[], float] = time.monotonic,
        desk: object | None = None,
        begin: Begin | None = None,
        read_only: bool = False,
    ) -> None:
        super().__init__()
        self.begin = begin or Begin()
        self._agent_ref = self.begin.agent_ref
        self.board = board or Board()
        self.board.is_read_only = read_only
        self.desk = desk
        self.teller: Teller | None = None
        self._source, self.local_seconds = source, local_seconds
        self._drawn, self._drawn_seconds = -1, 0.0
        self.unanswered: list[str] = []
        self._said: dict[str, tuple[str, int]] = {}
        self.ansi_theme_dark, self.ansi_theme_light = ANSI_DARK, ANSI_LIGHT
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name

    def on_mount(self) -> None:
        """Begin to listen, and to draw."""
        self._source.start(lambda message: void(self.post_message(Told(message))))
        self.set_interval(DRAW_SECONDS, self.redraw)

    @property
    def may_act(self) -> bool:
        """Tell whether keys change anything here."""
        return self.desk is not None and not self.board.is_read_only

    @property
    def fault(self) -> Exception | None:
        """Return what the program failed with; None where all is well."""
        return self._exception

    def _fatal_error(self) -> None:
        """End, and draw no traceback: it would show what stands in variables. Who runs us says the fault."""
        self._close_messages_no_wait()

    def _print_error_renderables(self) -> None:
        """Print nothing of a fault, neither what says more of itself than one line."""
        self._exit_renderables.clear()

    def on_unmount(self) -> None:
        """Listen no more."""
        self._source.close()

    def on_told(self, told: Told) -> None:
        """Take up what the source has told."""
        self.board.hear(told.message, self.local_seconds())
        if self._agent_ref is not None and self.board.epoch:
            ref, self._agent_ref = self._agent_ref, None
            found = [one for one, row in self.board.rows.items() if ref in (one, row.agent.name)]
            if len(found) == 1:
                self.open_agent(found[0])

    def on_notify(self, told: Notify) -> None:
        """Make room for a toast: few are in sight at once; what is said again is counted, and said once."""
        new = told.notification
        same = [one for one in self._notifications if self._said[one.identity][0] == new.message]
        times = 1 + sum(self._said[one.identity][1] for one in same)
        self._said = {one.identity: self._said[one.identity] for one in self._notifications}
        self._said[new.identity] = new.message, times
        if same:  # another deed may have the same words
            new.message += f" ({times} times)"
        kept = [one for one in self._notifications if one not in same][1 - TOASTS_MAX :]
        gone = [one for one in self._notifications if one not in kept]
        for one in gone:
            del self._notifications[one]
        ids = {ToastRack._toast_id(one) for one in gone}
        for screen in self.screen_stack:  # with what held it: textual would leave that
            for holder in screen.query(ToastHolder):
                if holder.id in ids:
                    holder.remove()

    def now_seconds(self) -> float:
        """Return the time of what is shown."""
        return self.board.now_seconds(self.local_seconds())

    def silent_seconds(self) -> float:
        """Return for how long nothing was heard; it means nothing before the first word."""
        return max(0.0, self.local_seconds() - self.board.heard_seconds)

    def banner(self) -> str:
        """Return what stands above every screen; empty where it shows what is so now."""
        return ""

    def redraw(self) -> None:
        """Draw the screen in sight, where there is anything new to see."""
        now = self.local_seconds()
        is_known = self.board.version == self._drawn and now - self._drawn_seconds < TICK_SECONDS
        if is_known or not self.is_running:
            return
        self._drawn, self._drawn_seconds = self.board.version, now
        if isinstance(self.screen, View):
            self.screen.show_all()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Return what the command palette finds: whatever has a key here."""
        for key in KEYS:
            owner = self._who_can(key.action, screen)
            if owner is not None and key.action != "command_palette":
                said = key.says[0].upper() + key.says[1:]
                yield SystemCommand(said, f"key: {key.key}", partial(self.run_action, key.action, owner))

    def _who_can(self, action: str, screen: Screen[object]) -> "Screen[object] | App[None] | None":
        """Return who has an action: the list with the keys, the screen, or the program."""
        method = f"action_{action.partition('(')[0]}"
        owners = (screen.focused, screen, self)
        return next((one for one in owners if hasattr(one, method)), None)  # type: ignore[return-value]

    def open_agent(self, agent_id: str) -> None:
        """Show one agent; back is where one came from."""
        from spendguard_cli.watch.screens.agent import AgentView  # who never opens one never loads it

        self.push_screen(AgentView(agent_id))

    def action_view(self, name: str) -> None:
        """Show one of the views; what was opened above it is closed."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.switch_mode(name)

    def action_help(self) -> None:
        """Show all keys."""
        self.push_screen(HelpScreen())

    def action_theme(self) -> None:
        """Change from dark to light, and back."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    async def action_back(self) -> None:
        """Go back to where one came from; on the first screen nothing happens."""
        if len(self.screen_stack) > 1:
            self.pop_screen()

    def action_act(self, name: str) -> None:
        """Do something about what the cursor stands on; copying and explaining change nothing."""
        if not isinstance(self.screen, View):
            return
        if not self.may_act and f"act({name!r})" not in HARMLESS:
            is_past = self.board.link == "past"
            where = "This is the past" if is_past else "This is a place to look only"
            self.notify(f"{where}: nothing can be done here", severity="warning", markup=False)
            return
        from spendguard_cli.watch.acting import begin  # who does nothing never loads it

        begin(self, name, self.screen.subject())


def void(_: object) -> None:
    """Drop a value that says nothing."""
