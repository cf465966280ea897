"""One quits: the screen goes part by part, and whatever still wants to draw meanwhile finds nothing amiss."""

import asyncio

import pytest
from textual.widgets import Button

from canned import Tap, uuid
from canned import snapshot as canned_snapshot
from spendguard_cli.client import Control
from spendguard_cli.watch.acting import Desk, begin
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.messages import Snapped
from spendguard_cli.watch.modals import Ask
from spendguard_cli.watch.screens.agent import AgentView
from spendguard_cli.watch.screens.agents import AgentsView
from spendguard_cli.watch.screens.failures import FailuresView
from spendguard_cli.watch.screens.locks import LocksView
from spendguard_cli.watch.screens.prices import PricesView
from spendguard_cli.watch.screens.unconfirmed import UnconfirmedView
from spendguard_cli.watch.screens.view import View
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_cli.watch.widgets.top import Top
from views_kit import opened

SIBLINGS_GONE = 200
"""Turns of the loop in which the other parts of a screen are surely gone."""


@pytest.mark.parametrize(
    "view",
    [AgentsView, LocksView, FailuresView, PricesView, UnconfirmedView, lambda: AgentView(uuid(1))],
    ids=["agents", "locks", "failures", "prices", "unconfirmed", "agent"],
)
async def test_no_view_draws_while_it_is_taken_down(
    view: type[View], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its table is gone, its head is not yet, and the clock of the program ticks once more."""
    ticked: list[bool] = []

    async def go_last(top: Top) -> None:
        screen = top.screen
        assert isinstance(screen, View)
        for _ in range(SIBLINGS_GONE):
            await asyncio.sleep(0)
        ticked.append(bool(screen.query(LineTable)))
        program = screen.program
        program._drawn = -1
        program.redraw()
        screen.show_all()
        screen.draw()

    monkeypatch.setattr(Top, "on_unmount", go_last, raising=False)
    async with opened(view()):
        pass
    assert False in ticked  # once at least the table was gone before the head


def unasked() -> Control:
    """Return nothing: no question here comes to its deed."""
    raise AssertionError


async def test_no_question_reckons_while_it_is_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text is gone, a button is not yet, and its clock ticks once more."""
    ticked: list[bool] = []

    async def go_last(button: Button) -> None:
        ask = button.screen
        assert isinstance(ask, Ask)
        for _ in range(SIBLINGS_GONE):
            await asyncio.sleep(0)
        ticked.append(bool(ask.query("#says")))
        ask.reckon()

    app = WatchApp(Tap(Snapped(canned_snapshot())), local_seconds=lambda: 0.0, desk=Desk(unasked))
    async with app.run_test() as pilot:
        await pilot.pause()
        begin(app, "topup", Subject(uuid(1)))
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        monkeypatch.setattr(Button, "on_unmount", go_last, raising=False)
    assert False in ticked
