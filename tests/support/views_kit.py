"""One view of `watch` over a canned world, drawn at a size: what tests of views begin with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from canned import Tap, snapshot
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Snapped
from spendguard_cli.watch.screens.view import View
from spendguard_daemon.feed_wire import Snapshot


def board_of(shown: Snapshot | None = None, *, past: bool = False) -> Board:
    """Return a board that was told a world, the canned one unless another is given."""
    board = Board(link="past" if past else "connecting")
    board.hear(Snapped(snapshot() if shown is None else shown), 0.0)
    return board


@asynccontextmanager
async def opened(
    view: View,
    shown: Snapshot | None = None,
    *,
    size: tuple[int, int] = (80, 24),
    theme: str = "dark",
    past: bool = False,
    desk: object | None = None,
    read_only: bool = False,
) -> AsyncIterator[tuple[WatchApp, Pilot[None]]]:
    """Run the program with a view in sight; its time stands still."""
    tap = Tap(Snapped(snapshot() if shown is None else shown))
    board = Board(link="past" if past else "connecting")
    app = WatchApp(tap, board, local_seconds=lambda: 0.0, desk=desk, read_only=read_only)
    async with app.run_test(size=size) as pilot:
        app.theme = f"spendguard-{theme}"
        await pilot.pause()
        await app.push_screen(view)
        await pilot.pause()
        yield app, pilot


def text_of(app: WatchApp) -> str:
    """Return what stands on the screen, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(one.text for one in strip if not one.control).rstrip() for strip in strips)
