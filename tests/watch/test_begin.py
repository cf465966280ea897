"""What the screen shows first is what was asked for: one agent, an order, a filter."""

from canned import uuid, world
from looks import look
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.asked import Asked
from spendguard_cli.watch.widgets.lines import LineTable


def begun(asked: Asked) -> WatchApp:
    """Return the program as `ways_to_look` makes it."""
    return WatchApp(world(), local_seconds=lambda: 0.0, begin=asked.begin)


async def test_an_order_and_a_filter() -> None:
    """Only who is found, the emptiest first; escape shows all again."""
    app = begun(Asked(sort="remaining", text="e"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        app.redraw()
        await pilot.pause()
        keys = app.screen.query_one(LineTable).keys
        assert keys[0] == uuid(7)
        assert "filter" in look(app)


async def test_an_agent_is_opened() -> None:
    """By its name or its id; back is where all agents are."""
    for ref in ("spending", uuid(2)):
        app = begun(Asked(agent=ref))
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            app.redraw()
            await pilot.pause()
            assert app.screen.subject().agent_id == uuid(2)
            await pilot.press("escape")
            await pilot.pause()
            app.redraw()
            assert "nearly-empty" in look(app)
