"""The past, played: pause, steps, speed, and no key that acts."""

import asyncio
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import pytest
from textual.widgets._toast import Toast

from ledger_files import put_down
from ledger_kit import AGENT, grant, hold_call, new_agent, open_ledger, settle
from looks import check_look, look
from sim import SimClock, SimDisk
from spendguard_cli.ledger.past import Past
from spendguard_cli.watch import replay as replay_module
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.keys import of
from spendguard_cli.watch.messages import Happened, Message, Snapped
from spendguard_cli.watch.modals import Explained
from spendguard_cli.watch.past_app import PastApp
from spendguard_cli.watch.replay import Player, Replay
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.system import SystemDisk
from until import until

SECOND = 10**9
FIRST_NS = SimClock().wall
"""When the ledger of these tests begins: the agent is made, and has a call every ten seconds."""

HOSTILE = "evil\x1b]0;owned\x07[red]name"


@pytest.fixture
def past(tmp_path: Path) -> Past:
    """Return a past of five calls: held at 10, 20, 30... seconds, each settled two seconds later."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock)
    ledger.post(new_agent(name=HOSTILE))
    ledger.post(grant(100_000))
    ledger.post(cmd.AcceptPrices(7, "d" * 64, "key-1", "local"))
    for number in range(1, 6):
        clock.advance(10)
        ledger.post(hold_call(f"c{number}"))
        clock.advance(2)
        ledger.post(settle(f"c{number}", 500))
        clock.advance(-2)
    put_down(disk, tmp_path / "ledger")
    return Past.read(tmp_path / "ledger", SystemDisk(), lambda done, of: None)


async def seen(look: Callable[[], object]) -> None:
    """Wait for what the player brings about, while the program runs."""
    await asyncio.to_thread(until, look)


class Turned:
    """A player whose time a test moves, and a board that is told what it posts."""

    def __init__(self, past: Past, after_seconds: float, *, playing: bool = False) -> None:
        self.player = Player(past, FIRST_NS + round(after_seconds * SECOND), playing=playing)
        self.board, self.posted = Board(link="past"), [""]
        self.seconds = 1_000.0
        self.turn(0)

    def turn(self, seconds: float = 0.0) -> list[Message]:
        """Let so much time pass, and return what was posted."""
        self.seconds += seconds
        told = self.player.turn(self.seconds)
        for message in told:
            self.board.hear(message, self.seconds)
        return told

    @property
    def settled(self) -> str:
        """What the agent has spent there."""
        return self.board.rows[AGENT].money.settled_usd

    @property
    def after_seconds(self) -> float:
        """The time there, since the ledger began."""
        return (self.player.at_ns - FIRST_NS) / SECOND


def test_one_moment_stands_still(past: Past) -> None:
    """`--at` shows the moment that was asked for, and no time passes there."""
    here = Turned(past, 21)
    assert (here.settled, list(here.board.flights)) == ("0.0000005", ["c2"])
    assert here.turn(60) == []
    assert here.after_seconds == 21
    assert here.board.link == "past"


def test_it_plays_at_its_speed(past: Past) -> None:
    """A second there is a second here, or less, or more; pausing holds it, and going on makes up nothing."""
    here = Turned(past, 15, playing=True)
    here.turn(4)
    assert (here.after_seconds, list(here.board.flights)) == (19, [])
    here.turn(2)
    assert list(here.board.flights) == ["c2"]
    here.player.pause()
    here.turn(100)
    assert here.after_seconds == 21
    here.player.pause()
    here.player.faster(2)
    here.turn(2)
    assert (here.after_seconds, here.settled) == (25, "0.000001")
    for _ in range(20):
        here.player.faster(0.5)
    assert here.player.speed == 0.25
    here.turn(4)
    assert here.after_seconds == 26
    for _ in range(20):
        here.player.faster(2)
    assert here.player.speed == 64


def test_it_ends_with_the_last_record(past: Past) -> None:
    """Nothing is known of what came after it: time stands still there, and it says why."""
    here = Turned(past, 45, playing=True)
    here.turn(3600)
    assert (here.after_seconds, here.player.at_end, here.player.paused) == (52, True, True)
    assert here.settled == "0.0000025"
    here.player.pause()
    assert here.turn(10) in ([], [Happened(())])
    assert (here.after_seconds, here.player.paused) == (52, True)
    here.player.step(1)
    assert here.turn() == []
    later = Turned(past, 500, playing=True)
    assert (later.after_seconds, later.player.at_end, later.settled) == (500, True, "0.0000025")


def test_steps(past: Past) -> None:
    """One event on is the next record's time; one back undoes it; both stand still, and say what happened."""
    here = Turned(past, 15, playing=True)
    here.player.step(1)
    (told,) = here.turn(0.1)
    assert isinstance(told, Happened)
    assert (here.after_seconds, list(here.board.flights), here.player.paused) == (20, ["c2"], True)
    assert here.player.said.startswith("after a hold of evil")
    assert "\x1b" not in here.player.said
    here.player.step(1)
    here.player.step(1)
    here.turn()
    assert (here.after_seconds, here.settled, list(here.board.flights)) == (30, "0.000001", ["c3"])
    here.player.step(-1)
    (told,) = here.turn()
    assert isinstance(told, Snapped)
    assert (here.after_seconds, list(here.board.flights), here.settled) == (22, [], "0.000001")
    here.player.step(-100)
    here.turn()
    assert (here.after_seconds < 0, here.board.rows) == (True, {})
    here.player.step(-1)
    assert here.turn() == []
    here.player.step(2)
    here.turn()
    assert list(here.board.rows) == [AGENT]


def test_steps_there_and_back_show_the_same(past: Past) -> None:
    """Whatever way leads to a moment, it shows the same."""
    here, last = Turned(past, 0), past.records
    here.player.step(-100)
    here.turn()
    seen = []
    for _ in range(last):
        here.player.step(1)
        here.turn()
        seen.append((here.settled if here.board.rows else "", sorted(here.board.flights), here.board.totals))
    for expected in reversed(seen):
        assert expected == (
            here.settled if here.board.rows else "",
            sorted(here.board.flights),
            here.board.totals,
        )
        here.player.step(-1)
        here.turn()


def test_more_than_anybody_can_look_at(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Much at once comes as one snapshot; what a turn has no time for comes in the next."""
    monkeypatch.setattr(replay_module, "EVENTS_MAX", 3)
    here = Turned(past, 5, playing=True)
    (told,) = here.turn(37.5)
    assert isinstance(told, Snapped)
    assert (here.after_seconds, here.settled) == (42.5, "0.000002")
    monkeypatch.setattr(replay_module, "RECORDS_MAX", 2)
    slow = Turned(past, 5, playing=True)
    slow.turn(100)
    assert (slow.after_seconds, slow.settled) == (12, "0.0000005")
    slow.turn(100)
    assert slow.after_seconds == 22


def test_a_ledger_that_goes_away(past: Past, tmp_path: Path) -> None:
    """It says so and stands still; once the ledger is back, it goes on."""
    here = Turned(past, 15, playing=True)
    path = next((tmp_path / "ledger").glob("seg-*"))
    path.rename(tmp_path / "aside")
    here.player.step(-1)
    here.turn()
    assert "No such file" in here.player.trouble
    assert (here.player.paused, here.after_seconds) == (True, 15)
    (tmp_path / "aside").rename(path)
    here.player.step(1)
    here.turn()
    assert (here.player.trouble, here.after_seconds) == ("", 20)


async def test_the_keys_of_the_past(past: Past) -> None:
    """Space, [ and ], + and - do what the help says; the banner tells where one is."""
    app = PastApp(Replay(Player(past, FIRST_NS + 21 * SECOND)), zone=UTC)
    async with app.run_test(size=(100, 24)) as pilot:
        await seen(lambda: AGENT in app.board.rows)
        assert app.banner().startswith("PAST  2027-01-15 08:00:21 UTC")
        assert "x1  paused" in app.banner()
        assert app.banner().endswith("nothing can be done here")
        assert app.board.link == "past"
        await pilot.press("right_square_bracket")
        await seen(lambda: not app.board.flights)
        assert "paused after the end of a call of evil" in app.banner()
        await pilot.press("left_square_bracket")
        await seen(lambda: list(app.board.flights) == ["c2"])
        await pilot.press("minus", "minus", "minus")
        assert "x1/4" in app.banner()
        await pilot.press(*["plus"] * 9)
        assert "x64" in app.banner()
        await pilot.press("space")
        await seen(lambda: "end of the journal" in app.banner())
        await seen(lambda: app.board.rows[AGENT].money.settled_usd == "0.0000025")
        assert app.now_seconds() == app.player.at_seconds
        await pilot.press("left_square_bracket", "space")
        await pilot.pause()


async def test_what_the_journal_does_not_tell(past: Past) -> None:
    """The views say that it is not known: which calls waited, when prices expire, keys and runs."""
    app = PastApp(Replay(Player(past, FIRST_NS + 21 * SECOND)), zone=UTC)
    async with app.run_test(size=(100, 24)) as pilot:
        await seen(lambda: AGENT in app.board.rows)
        for key, says in (
            ("2", "1 agent locked; which calls waited the journal does not tell"),
            ("4", "not known: the journal does not tell"),
        ):
            await pilot.press(key)
            await pilot.pause()
            assert says in look(app)
            assert "EXPIRED" not in look(app)
        assert " waiting" not in look(app)


async def test_no_key_acts(past: Past) -> None:
    """Each key that would act says that nothing can be done about the past, and does nothing."""
    app = PastApp(Replay(Player(past, FIRST_NS + 21 * SECOND)), zone=UTC)
    acts = [key for key in of("acts") if key.action not in ("act('copy')", "act('explain')")]
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await seen(lambda: AGENT in app.board.rows)
        for key in acts:
            app.clear_notifications()
            await pilot.press(key.key)
            await pilot.pause()
            assert [one.message for one in app._notifications] == [
                "This is the past: nothing can be done here"
            ]
        assert len(app.screen_stack) == 1
        assert app.screen.query(Toast)


async def test_what_was_done_by_then(past: Past) -> None:
    """The history of an agent is that of the moment that is shown; a step back takes what a step on adds."""
    app = PastApp(Replay(Player(past, FIRST_NS + SECOND)), zone=UTC)
    async with app.run_test(size=(100, 24)) as pilot:
        await seen(lambda: AGENT in app.board.rows)
        app.open_agent(AGENT)
        await pilot.pause()
        await pilot.press("shift+tab")
        assert "[history 2]" in look(app)
        assert "set the limit to $0.0001, granted $0.0001" in look(app)
        await pilot.press("left_square_bracket", "left_square_bracket")
        await seen(lambda: app.board.deeds[AGENT].deeds[0].kind == "made")
        app.redraw()
        await pilot.pause()
        assert "[history 1]" in look(app)
        await pilot.press("right_square_bracket")
        await seen(lambda: len(app.board.deeds[AGENT].deeds) == 2)


async def test_a_call_of_the_past_is_explained(past: Past) -> None:
    """Explaining changes nothing: it tells the call's life from the journal."""
    app = PastApp(Replay(Player(past, FIRST_NS + 21 * SECOND)), zone=UTC)
    async with app.run_test(size=(100, 40)) as pilot:
        await seen(lambda: AGENT in app.board.rows)
        app.redraw()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("e")
        await seen(lambda: isinstance(app.screen, Explained))
        await pilot.pause()
        assert "c2" in look(app)


@pytest.mark.parametrize("theme", ["spendguard-dark", "spendguard-light"])
@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 50)])
async def test_how_the_past_looks(
    past: Past, size: tuple[int, int], theme: str, request: pytest.FixtureRequest
) -> None:
    """The banner over the usual agents view: when, how fast, and that nothing can be done."""
    replay = Replay(Player(past, FIRST_NS + 21 * SECOND))
    app = PastApp(replay, local_seconds=lambda: 0.0, zone=UTC)
    async with app.run_test(size=size) as pilot:
        app.theme = theme
        await seen(lambda: AGENT in app.board.rows)
        await pilot.press("right_square_bracket", "plus")
        await seen(lambda: not app.board.flights)
        await pilot.pause()
        app.action_speed(2)
        await pilot.pause()
        assert "PAST 2027-01-15 08:00:22 UTC x4 paused" in look(app)
        check_look(app, f"past-{size[0]}x{size[1]}-{theme.removeprefix('spendguard-')}", request)


def test_a_replay_ends_with_its_program(past: Past) -> None:
    """After `close` nothing is posted."""
    told: list[Message] = []
    replay = Replay(Player(past, FIRST_NS + 21 * SECOND))
    replay.start(told.append)
    replay.close()
    before = len(told)
    replay.player.step(1)
    assert len(told) == before
    assert replay._thread is not None
    assert not replay._thread.is_alive()
