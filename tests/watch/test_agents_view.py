"""The agents view."""

import pytest

from canned import Tap, crowd, world
from looks import look
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.messages import Snapped
from spendguard_cli.watch.widgets.lines import LineTable


async def test_the_cursor_moves_and_stays_on_its_agent() -> None:
    """Down goes down, and a line that comes in above moves nothing."""
    tap = world()
    app = WatchApp(tap, local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.redraw()
        await pilot.press("down", "down")
        await pilot.pause()
        table = app.screen.query_one(LineTable)
        assert table.key == table.keys[2]
        assert "locked" in look(app)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 50)])
async def test_many_agents(size: tuple[int, int]) -> None:
    """Only what is in sight is drawn."""
    app = WatchApp(Tap(Snapped(crowd(500))), local_seconds=lambda: 0.0)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        app.redraw()
        await pilot.press("end")
        await pilot.pause()
        assert "agent-500" in look(app)
