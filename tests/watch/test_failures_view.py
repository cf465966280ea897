"""The failures view: what was refused, why, and what to do, from the screen alone."""

import msgspec
import pytest

from canned import HOSTILE, SUM, at, call, hostile, money, snapshot, standings, uuid
from looks import check_looks
from spendguard_cli.watch.messages import Happened
from spendguard_cli.watch.screens.agent import AgentView
from spendguard_cli.watch.screens.failures import FailuresView
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon.feed_wire import Event
from views_kit import opened, text_of


async def test_a_newcomer_learns_why_and_what_to_press() -> None:
    """The screen says whose call was refused, the sum, how much is lacking, and the key that gives it."""
    async with opened(FailuresView(), size=(100, 30)) as (app, _):
        told = text_of(app)
    assert "insufficient_budget: Insufficient budget (402)" in told
    assert "agent nearly-empty needs $0.75 more; press t to top it up" in told
    assert "it can cost $0.85 = input $0.25 + output $0.6" in told
    assert "spendguard budget topup --agent nearly-empty --amount 75" in told


async def test_the_advice_follows_the_money() -> None:
    """As soon as there is enough, the same line says that it is, and asks for nothing more."""
    async with opened(FailuresView(), size=(100, 30)) as (app, pilot):
        told = Event(seq=101, at=at(1), kind="agent", agent_id=uuid(4), money=money("10", "4.9"))
        app.board.hear(Happened((told,)), 0.0)
        app.redraw()
        await pilot.pause()
        assert "has $5.1 now, which is enough: send it again" in text_of(app)


async def test_the_cursor_goes_down_the_codes() -> None:
    """Each line has its own explanation, and is what keys act upon: its latest call."""
    view = FailuresView()
    async with opened(view, size=(100, 30)) as (app, pilot):
        assert view.subject() == Subject(uuid(4), uuid(1010))
        await pilot.press("down")
        await pilot.pause()
        assert view.subject() == Subject(uuid(5), uuid(1030))
        assert "agent frozen is frozen; press u to unfreeze it" in text_of(app)
        await pilot.press("end")
        await pilot.pause()
        assert view.subject() == Subject()
        assert "4 requests that named no agent" in text_of(app)
        assert "of curl to openai chat/completions, last 2 min ago" in text_of(app)


async def test_a_code_of_several_agents() -> None:
    """The code has one line with all, then one for each agent; a count stands for many."""
    calls = [
        call(5, 1, "refused", code="budget_not_set", cost_usd="0", count=40),
        call(9, 2, "refused", code="budget_not_set", cost_usd="0"),
    ]
    view = FailuresView()
    async with opened(view, msgspec.structs.replace(snapshot(), ended=calls)) as (app, _):
        table = view.query_one(LineTable)
        assert list(table.keys)[:3] == [
            "budget_not_set", f"budget_not_set/{uuid(1)}", f"budget_not_set/{uuid(2)}",
        ]  # fmt: skip
        told = text_of(app)
    assert "2 agents" in told
    assert "41" in told
    assert "agents calm (40), spending (1); the latest of calm" in told


async def test_enter_opens_the_agent() -> None:
    """Enter shows the agent whose call it was."""
    async with opened(FailuresView()) as (app, pilot):
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, AgentView)
        assert app.screen.agent_id == uuid(4)


async def test_nothing_failed() -> None:
    """An empty list says so in words."""
    calm = snapshot(standings()[:1])
    bare = msgspec.structs.replace(calm, status=msgspec.structs.replace(calm.status, strangers=[]))
    async with opened(FailuresView(), bare) as (app, _):
        assert "no call was refused, and none failed" in text_of(app)


async def test_the_past_names_no_key() -> None:
    """In the past nothing can be pressed; what was lacking is told all the same."""
    async with opened(FailuresView(), size=(100, 30), past=True) as (app, _):
        told = text_of(app)
    assert "needs $0.75 more" in told
    assert "press t" not in told


async def test_the_pane_scrolls() -> None:
    """Where it is longer than its place, shift+down shows the rest."""
    view = FailuresView()
    async with opened(view, size=(60, 20)) as (_, pilot):
        await pilot.press("shift+down")
        await pilot.pause()
        assert view.query_one("#scroll").scroll_y > 0
        await pilot.press("shift+up")
        await pilot.pause()
        assert view.query_one("#scroll").scroll_y == 0


async def test_hostile_names() -> None:
    """No name steers the terminal or breaks a line."""
    async with opened(FailuresView(), hostile(), size=(100, 40)) as (app, _):
        told = text_of(app)
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "[red]" in told
    assert "\x07" not in told
    assert HOSTILE not in told
    assert SUM["short_usd"] == "0.75"


async def test_looks(request: pytest.FixtureRequest) -> None:
    """It looks as it did, at every size and in both colours."""
    async with opened(FailuresView()) as (app, pilot):
        await check_looks(app, pilot, "failures-{0}-{2}", request)


async def test_of_the_past_no_command_is_told() -> None:
    """What happened and its sum are told; what to type was of use then."""
    for past in (False, True):
        async with opened(FailuresView(), size=(100, 40), past=past) as (app, _):
            told = text_of(app)
        assert "why: " in told
        assert ("$ spendguard " in told) is not past
