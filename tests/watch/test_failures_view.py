"""The failures view: what was refused, why, and what to do, from the screen alone."""

import pytest

from canned import Tap, snapshot, world
from looks import check_look, look
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.messages import Snapped
from spendguard_cli.watch.screens.failures import FailuresView


async def test_smoke() -> None:
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        from spendguard_cli.watch.screens.locks import LocksView
        from spendguard_cli.watch.screens.prices import PricesView
        from spendguard_cli.watch.screens.unconfirmed import UnconfirmedView

        for view in (FailuresView(), LocksView(), PricesView(), UnconfirmedView()):
            app.push_screen(view)
            await pilot.pause()
            view.draw()
            await pilot.pause()
            print(look(app))
    assert 0
