"""The help screen, and that the table of keys is true."""

import pytest
from textual.containers import VerticalScroll

from canned import world
from looks import check_looks, look
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.frame import named
from spendguard_cli.watch.keys import KEYS
from spendguard_cli.watch.past_app import PastApp
from spendguard_cli.watch.screens.agent import AgentView
from spendguard_cli.watch.screens.agents import AgentsView
from spendguard_cli.watch.screens.help import GROUPS, HelpScreen, written
from spendguard_cli.watch.screens.paned import PanedView
from spendguard_cli.watch.widgets.lines import LineTable

OWNERS = (WatchApp, PastApp, AgentsView, AgentView, PanedView, LineTable)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.key)
def test_every_key_is_explained_and_does_something(key: object) -> None:
    """No key without a line on the help screen, none whose action nobody has."""
    shown = next(one for one in KEYS if one is key)
    lines = written().plain.splitlines()
    assert any(line.split()[:1] == [named(shown.key)] and line.endswith(shown.says) for line in lines)
    assert shown.where in GROUPS
    method = f"action_{shown.action.partition('(')[0]}"
    assert any(hasattr(owner, method) for owner in OWNERS), method


async def test_the_help_screen(request: pytest.FixtureRequest) -> None:
    """All keys in groups, over what was in sight."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.redraw()
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        assert "esc closes" in look(app)
        await check_looks(app, pilot, "help-{0}x{1}-{2}", request)


@pytest.mark.parametrize("key", ["escape", "q", "question_mark"])
async def test_help_goes_away(key: str) -> None:
    """Esc, q and ? lead back; q does not quit from here."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("question_mark")
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(app.screen, AgentsView)
        assert app.is_running


async def test_help_scrolls_where_it_does_not_fit() -> None:
    """At 60x20 every key can be reached: by arrows, j and k, pages and End."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        box = app.screen.query_one(VerticalScroll)
        await pilot.press("j", "j", "k")
        await pilot.pause()
        assert box.scroll_y == 1
        await pilot.press("end")
        await pilot.pause()
        await pilot.wait_for_scheduled_animations()
        assert box.scroll_y == box.max_scroll_y
        assert "sorts by it" in look(app)
