"""Questions and explanations over a view: which keys answer, what the mouse does, and how they look."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.widgets import Input

from canned import Tap, hostile, uuid, world
from canned import snapshot as canned_snapshot
from looks import check_looks, look
from spendguard_cli.client import Control
from spendguard_cli.watch.acting import Desk, begin
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Away, Snapped
from spendguard_cli.watch.modals import Ask, Explained
from spendguard_cli.watch.screens.view import View
from spendguard_cli.watch.subject import Subject
from spendguard_daemon.errors import Code, SpendGuardError


class Doorless:
    """A sidecar that cannot be reached; it counts how often that was tried."""

    def __init__(self) -> None:
        self.tried = 0

    def __call__(self) -> Control:
        """Count one more, and fail."""
        self.tried += 1
        raise SpendGuardError(Code.NO_DAEMON, "The sidecar does not listen", remedy="spendguard status")


def program(tap: Tap, door: Callable[[], Control], *, dark: bool = True) -> WatchApp:
    """Return the program, with a desk."""
    app = WatchApp(tap, local_seconds=lambda: 0.0, desk=Desk(door))
    if not dark:
        app.action_theme()
    return app


async def shown(pilot: Pilot[None], app: WatchApp) -> None:
    """Let what was told be seen."""
    await pilot.pause()
    app.redraw()
    await pilot.pause()


async def begun(pilot: Pilot[None], app: WatchApp, name: str, subject: Subject, kind: type[object]) -> None:
    """Begin an action, and wait for what it shows."""
    await shown(pilot, app)
    begin(app, name, subject)
    await app.workers.wait_for_complete()
    await shown(pilot, app)
    assert isinstance(app.screen, kind)


@pytest.mark.parametrize("name", ["topup", "freeze", "abort", "let", "explain"])
async def test_looks(name: str, request: pytest.FixtureRequest) -> None:
    """All that is asked, and both buttons, are in sight at every size."""
    subjects = {"abort": Subject(uuid(3), uuid(1075)), "let": Subject(uuid(6))}
    subjects |= {"explain": Subject(uuid(4), uuid(1010)), "freeze": Subject(uuid(2))}
    app = program(world(), Doorless())
    async with app.run_test(size=(80, 24)) as pilot:
        kind = Explained if name == "explain" else Ask
        await begun(pilot, app, name, subjects.get(name, Subject(uuid(1))), kind)
        for field in app.screen.query(Input):
            field.cursor_blink = False
        await shown(pilot, app)
        if kind is Ask:
            assert "do nothing" in look(app)
        await check_looks(app, pilot, f"modal-{name}-{{0}}x{{1}}-{{2}}", request)


async def test_nothing_is_tried_until_yes_and_then_once() -> None:
    """Esc, n and the mouse try nothing; y tries once; what became of it is told, and not tried again."""
    door = Doorless()
    app = program(world(), door)
    async with app.run_test(size=(80, 24)) as pilot:
        for answer in ("escape", "n", "enter"):
            await begun(pilot, app, "abort", Subject(uuid(3), uuid(1075)), Ask)
            await pilot.press(answer)
            await pilot.pause()
            assert isinstance(app.screen, View)
        await begun(pilot, app, "freeze", Subject(uuid(2)), Ask)
        await pilot.click("#no")
        await pilot.pause()
        assert isinstance(app.screen, View)
        assert door.tried == 0
        await begun(pilot, app, "freeze", Subject(uuid(2)), Ask)
        ask = app.screen
        assert isinstance(ask, Ask)
        ask.action_yes()
        ask.action_yes()
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert door.tried == 1
        (toast,) = app._notifications
        assert "The sidecar does not listen" in toast.message
        assert "look before you do it again" in toast.message
        assert "spendguard status" in toast.message


async def test_enter_in_a_grave_question_only_goes_to_the_button() -> None:
    """What is typed at once is the reason; Enter goes on to the button, and Enter there does it."""
    door = Doorless()
    app = program(world(), door)
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(pilot, app, "freeze", Subject(uuid(2)), Ask)
        await pilot.press("y", "e", "s", "enter")
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        assert app.screen.query_one(Input).value == "yes"
        assert door.tried == 0
        await pilot.press("enter")
        await pilot.pause()
        await app.workers.wait_for_complete()
        assert door.tried == 1


async def test_away_and_past_are_said() -> None:
    """While the sidecar is away nothing is asked; in the past only copying and explaining work."""
    tap = world()
    door = Doorless()
    app = program(tap, door)
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, app)
        tap.tell(Away("it was stopped"))
        await shown(pilot, app)
        begin(app, "topup", Subject(uuid(1)))
        await pilot.pause()
        assert isinstance(app.screen, View)
        assert "The sidecar is away: nothing was done" in [*app._notifications][-1].message
    past = WatchApp(world(), board=Board(link="past"), local_seconds=lambda: 0.0)
    async with past.run_test(size=(80, 24)) as pilot:
        await begun(pilot, past, "explain", Subject(uuid(4), uuid(1010)), Explained)
        await pilot.press("escape")
        await pilot.pause()
        begin(past, "topup", Subject(uuid(1)))
        await pilot.pause()
        assert "This is the past" in [*past._notifications][-1].message
        begin(past, "copy", Subject(uuid(1)))
        await pilot.pause()
        assert past.clipboard == uuid(1)
    assert door.tried == 0


@pytest.mark.parametrize(
    "name", ["topup", "limit", "freeze", "unfreeze", "abort", "let", "confirm", "explain"]
)
async def test_hostile_names_in_a_modal(name: str) -> None:
    """Markup and escapes of foreign texts are shown as text, in titles too."""
    subjects = {"confirm": Subject(uuid(2), uuid(1300)), "explain": Subject(uuid(1), uuid(1010))}
    app = program(Tap(Snapped(hostile())), Doorless())
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, app)
        begin(app, name, subjects.get(name, Subject(uuid(1))))
        await app.workers.wait_for_complete()
        await shown(pilot, app)
        assert "\x1b[2J" not in look(app)
        assert "\u202e" not in look(app)
        if name in ("topup", "limit"):
            assert "[red]" in look(app).split("\n- ")[0]


@pytest.mark.parametrize(
    "name", ["[$panel on $panel]calm", "[Bold]x", "[ bold]x", "[@click=app.quit]x", "a\\"]
)
async def test_the_title_shows_a_name_as_it_is(name: str) -> None:
    """No name hides itself, or a part of it, in the title of a question: the deed is about who is named."""
    snapshot = canned_snapshot()
    first = snapshot.agents[0]
    other = replace(first, agent=replace(first.agent, name=name))
    app = program(Tap(Snapped(replace(snapshot, agents=[other]))), Doorless())
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(pilot, app, "topup", Subject(uuid(1)), Ask)
        assert f"Top up {name} " in look(app)
