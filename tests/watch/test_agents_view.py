"""The agents view: its keys, its mouse, its calm, its looks."""

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from canned import Tap, agent, at, call, crowd, money, snapshot, uuid, world
from looks import SIZES, check_looks, look
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Away, Happened, Snapped
from spendguard_cli.watch.ranking import ORDERS
from spendguard_cli.watch.screens import agent_columns
from spendguard_cli.watch.screens.agent import AgentView
from spendguard_cli.watch.screens.agents import SORT_SECONDS, AgentsView
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon.feed_wire import Event


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


async def draw(pilot: Pilot[None], app: WatchApp, clock: Clock | None = None, seconds: float = 1.0) -> None:
    """Let time pass and what was told be seen."""
    if clock is not None:
        clock.seconds += seconds
    await pilot.pause()
    app.redraw()
    await pilot.pause()


def table(app: WatchApp) -> LineTable:
    """Return the list in sight."""
    return app.screen.query_one(LineTable)


def names(app: WatchApp) -> list[str]:
    """Return the agents in their order."""
    return [app.board.rows[key].agent.name for key in table(app).keys]


def spends(number: int, seq: int, settled: str, limit: str = "10") -> Event:
    """Return the event that an agent has spent."""
    return Event(seq=seq, at=at(0), kind="end", agent_id=uuid(number), money=money(limit, settled))


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys, and let them be seen."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause()


async def test_the_cursor_moves_and_stays_on_its_agent() -> None:
    """Down goes down; when the order changes the cursor keeps its agent, and keeps it in sight."""
    tap, clock = Tap(Snapped(crowd(50))), Clock()
    app = WatchApp(tap, local_seconds=clock)
    async with app.run_test(size=(80, 16)) as pilot:
        await draw(pilot, app, clock)
        await press(pilot, "down", "down")
        key = table(app).key
        assert key == table(app).keys[2]
        assert app.screen.subject() == Subject(agent_id=key)  # type: ignore[attr-defined]
        await press(pilot, "r")
        assert table(app).key == key
        assert table(app).keys[-3] == key
        assert app.board.rows[str(key)].agent.name in look(app)


async def test_what_is_worst_stays_in_sight_until_one_moves() -> None:
    """Who only watches sees the top of the list, whatever becomes of the agent that stood there first."""
    tap, clock = Tap(Snapped(crowd(50))), Clock()
    app = WatchApp(tap, local_seconds=clock)
    async with app.run_test(size=(80, 16)) as pilot:
        await draw(pilot, app, clock)
        first = names(app)[0]
        await press(pilot, "r")
        assert first not in look(app)
        assert names(app)[0] in look(app)


async def test_s_goes_through_all_orders() -> None:
    """Each press brings the next; the head tells by what; after the last comes the first."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(60, 20)) as pilot:
        await draw(pilot, app)
        for order in (*ORDERS[1:], ORDERS[0]):
            await press(pilot, "s")
            view = app.screen
            assert isinstance(view, AgentsView)
            assert view.order == order
            assert ("▲" if order in ("remaining", "time to empty", "name") else "▼") in look(app)
        assert names(app)[0] == "frozen"
        await press(pilot, "r")
        assert "▲" in look(app)
        assert names(app)[-1] == "frozen"


async def test_the_order_changes_every_few_seconds_at_most() -> None:
    """A new value moves no line at once; who is new stands at the end until then; who is gone goes."""
    tap, clock = world(), Clock()
    app = WatchApp(tap, local_seconds=clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await draw(pilot, app, clock)
        before = names(app)
        newest = Event(
            seq=102, at=at(0), kind="agent", agent_id=uuid(77), agent=agent(77, "a-new"), money=money()
        )
        gone = Event(seq=103, at=at(0), kind="agent", agent_id=uuid(8), deleted=True)
        tap.tell(Happened((spends(1, 101, "10"), newest, gone)))
        await draw(pilot, app, clock)
        assert names(app) == [*(name for name in before if name != "new"), "a-new"]
        assert "EMPTY" in look(app)
        await draw(pilot, app, clock, SORT_SECONDS)
        assert names(app).index("calm") < names(app).index("nearly-empty")


async def test_a_filter_is_typed_kept_and_dropped() -> None:
    """/ asks, letters narrow the list and act on nothing, Enter keeps, Esc shows all again."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await draw(pilot, app)
        await press(pilot, "slash", *"fr")
        assert names(app) == ["frozen"]
        assert "1 of 9" in look(app)
        await press(pilot, "enter")
        assert table(app).has_focus
        assert names(app) == ["frozen"]
        await press(pilot, "escape")
        assert len(names(app)) == 9
        assert "of 9" not in look(app)
        await press(pilot, "slash", *"zz")
        assert "Esc shows all agents again" in look(app)
        assert table(app).key is None
        await press(pilot, "escape", "slash", "enter")
        assert not app.screen.has_class("-filtered")
        assert not app.screen.query_one(Input).has_focus


@pytest.mark.parametrize("text", ["locked", "waiting", "empty", "frozen"])
async def test_words_for_what_is_so(text: str) -> None:
    """How an agent stands can be typed, too."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await draw(pilot, app)
        await press(pilot, "slash", *text)
        assert 1 <= len(names(app)) < 9


async def test_enter_opens_and_esc_leads_back() -> None:
    """One agent, and all of them again, the cursor where it was."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await draw(pilot, app)
        await press(pilot, "down", "enter")
        assert isinstance(app.screen, AgentView)
        await press(pilot, "escape")
        assert isinstance(app.screen, AgentsView)
        assert table(app).key == table(app).keys[1]
        await press(pilot, "enter", "1")
        assert isinstance(app.screen, AgentsView)


async def test_the_mouse() -> None:
    """A click moves, one more opens; on a head it sorts, and again turns it round; the wheel scrolls."""
    app = WatchApp(Tap(Snapped(crowd(60))), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await draw(pilot, app)
        name = next(one for one in agent_columns.placed(79) if one.name == "name")
        await pilot.click(LineTable, offset=(name.start, 0))
        await pilot.pause()
        view = app.screen
        assert isinstance(view, AgentsView)
        assert (view.order, view.is_reversed) == ("name", False)
        await pilot.click(LineTable, offset=(name.start, 0))
        await pilot.pause()
        assert view.is_reversed
        assert names(app)[0] == "agent-060"
        await pilot.click(LineTable, offset=(3, 4))
        await pilot.pause()
        assert table(app).key == table(app).keys[3]
        table(app).scroll_relative(y=5, animate=False)
        await pilot.pause()
        assert "agent-060" not in look(app)
        await pilot.click(LineTable, offset=(3, 1))
        await pilot.click(LineTable, offset=(3, 1))
        await pilot.pause()
        assert isinstance(app.screen, AgentView)


@pytest.mark.parametrize("size", SIZES)
async def test_many_agents(size: tuple[int, int]) -> None:
    """Of 500 agents only those in sight are drawn, and the last is one key away."""
    app = WatchApp(Tap(Snapped(crowd(500))), local_seconds=lambda: 0.0)
    async with app.run_test(size=size) as pilot:
        await draw(pilot, app)
        drawn: list[str] = []
        table(app)._draw = counted(table(app)._draw, drawn)
        await press(pilot, "end")
        last = names(app)[-1]
        assert last in look(app)
        assert len(set(drawn)) <= size[1]


def counted(drawing: "object", drawn: list[str]) -> "object":
    """Return a function that draws, and notes whom."""

    def draw_one(key: str, width: int) -> object:
        drawn.append(key)
        return drawing(key, width)  # type: ignore[operator]

    return draw_one


@pytest.mark.parametrize(
    ("tap", "said"),
    [
        (Tap(Snapped(snapshot([]))), "spendguard agent create --name my-agent"),
        (Tap(), "Nothing is known yet"),
        (Tap(Away("nobody answers", "spendguard up")), "type: spendguard up"),
    ],
    ids=["none", "silence", "away"],
)
async def test_what_to_type_where_there_is_nothing(tap: Tap, said: str) -> None:
    """An empty screen says why it is empty, and what to do."""
    app = WatchApp(tap, local_seconds=lambda: 0.0)
    async with app.run_test(size=(60, 20)) as pilot:
        await draw(pilot, app)
        assert said in look(app)


async def test_how_it_looks(request: pytest.FixtureRequest) -> None:
    """Each agent on a line, the worst first, the cursor on the first."""
    app = WatchApp(world(), local_seconds=lambda: 0.0, desk=object())
    async with app.run_test(size=(80, 24)) as pilot:
        await draw(pilot, app)
        assert names(app)[0] == "frozen"
        await check_looks(app, pilot, "agents-{0}x{1}-{2}", request)


async def test_the_age_of_a_refusal_grows_with_each_second() -> None:
    """It is drawn anew while it is told, in each width with the word `ago`."""
    clock = Clock()
    refused = call(2, 1, "refused", code="insufficient_budget", created_at=at(-12))
    world = msgspec.structs.replace(snapshot(), ended=[refused], calls=[])
    for size in SIZES:
        clock.seconds = 0.0
        app = WatchApp(Tap(Snapped(world)), local_seconds=clock)
        async with app.run_test(size=size) as pilot:
            await draw(pilot, app)
            assert "refused 12s ago" in look(app)
            await draw(pilot, app, clock, 3.0)
            assert "refused 15s ago" in look(app)


async def test_where_there_were_no_agents_yet_none_is_to_be_made() -> None:
    """In the past nothing is advised; now the first command is."""
    for link, said in (("past", "There were no agents yet."), ("connecting", "spendguard agent create")):
        app = WatchApp(Tap(Snapped(snapshot([]))), Board(link=link), local_seconds=lambda: 0.0)
        async with app.run_test(size=(60, 20)) as pilot:
            await draw(pilot, app)
            assert said in look(app)
            assert ("agent create" in look(app)) is (link != "past")
