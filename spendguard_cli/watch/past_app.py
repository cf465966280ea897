"""`watch --at` and `--replay`: the same program about the past, in which nothing can be done."""

import time
from collections.abc import Callable
from datetime import tzinfo
from typing import ClassVar

from textual.binding import BindingType

from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.asked import Begin
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.replay import Replay
from spendguard_cli.watch.screens.view import bindings
from spendguard_cli.watch.when import shown


class PastApp(WatchApp):
    """`spendguard watch` about the past; there is no desk, so that no key acts.

    Moments are shown in `zone`; None is this machine's.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("past")

    def __init__(
        self,
        replay: Replay,
        local_seconds: Callable[[], float] = time.monotonic,
        zone: tzinfo | None = None,
        begin: Begin | None = None,
    ) -> None:
        super().__init__(replay, Board(link="past"), local_seconds=local_seconds, begin=begin)
        self.player, self._zone = replay.player, zone
        self.teller = replay.player

    def banner(self) -> str:
        """Say which moment is shown, how fast time goes there, and that nothing can be done."""
        player = self.player
        pace = f"x{player.speed:g}" if player.speed >= 1 else f"x1/{1 / player.speed:g}"
        stands = ("end of the journal" if player.at_end else "paused") if player.paused else "playing"
        said = player.trouble or player.said
        parts = ["PAST", shown(player.at_ns, self._zone), pace, f"{stands} {said}".rstrip()]
        return "  ".join(parts) + " — nothing can be done here"

    def now_seconds(self) -> float:
        """Return the time there, by which ages and rates are reckoned."""
        return max(self.board.at_seconds, self.player.at_seconds)

    def action_pause(self) -> None:
        """Stand still, or go on."""
        self.player.pause()
        self._show()

    def action_step(self, records: int) -> None:
        """Stand still one record on, or back."""
        self.player.step(records)
        self._show()

    def action_speed(self, times: float) -> None:
        """Play faster, or slower."""
        self.player.faster(times)
        self._show()

    def _show(self) -> None:
        """Let the banner answer a key at once, whether or not the player has anything to post."""
        self._drawn = -1
        self.redraw()
