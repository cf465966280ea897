"""What stands around every view: link, sums, keys; themes, palette, sizes, and no colour."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.geometry import Offset
from textual.widgets._toast import Toast, ToastHolder

from canned import at, snapshot, world
from looks import look
from spendguard_cli.watch import frame
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.keys import KEYS, SIDES, Side, foot
from spendguard_cli.watch.messages import Away, Message, Snapped
from spendguard_cli.watch.screens.agents import AgentsView
from spendguard_cli.watch.screens.failures import FailuresView
from spendguard_cli.watch.screens.help import HelpScreen
from spendguard_cli.watch.screens.locks import LocksView
from spendguard_cli.watch.screens.prices import PricesView
from spendguard_cli.watch.screens.unconfirmed import UnconfirmedView
from spendguard_cli.watch.themes import ANSI_DARK, ANSI_LIGHT, DARK, LIGHT
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_cli.watch.widgets.top import Top

VIEWS = {"1": AgentsView, "2": LocksView, "3": FailuresView, "4": PricesView, "5": UnconfirmedView}
UP = "spendguard up"


def told(*messages: Message) -> Board:
    """Return a board that was told that."""
    board = Board()
    for message in messages:
        board.hear(message, 0.0)
    return board


def flat(lines: list[object]) -> str:
    """Return lines as one."""
    return " ".join(" ".join(str(line).split()) for line in lines)


@given(st.text(max_size=300), st.text(max_size=60), st.integers(0, 220))
def test_no_reason_breaks_the_head(why: str, remedy: str, cells: int) -> None:
    """Whatever a reason holds, each line is as wide as the terminal, and there are few of them."""
    board = told(Snapped(snapshot()), Away(why, remedy))
    lines = [*frame.banner(board, 12.0, cells), frame.title(board, "locks", cells), frame.sums(board, cells)]
    assert len(lines) <= frame.BANNER_LINES_MAX + 2
    assert all(cell_len(line.plain) == cells for line in lines)
    assert all("\x1b" not in line.plain for line in lines)


def test_silence_is_told_with_its_age_and_its_remedy() -> None:
    """Since when, why, and what to type; the command stays whole."""
    lines = frame.banner(told(Snapped(snapshot()), Away("nobody answers", UP)), 12.0, 60)
    assert flat([line.plain for line in lines]) == (
        "the sidecar is away since 12s: nobody answers; type: spendguard up"
    )
    assert any(UP in line.plain for line in lines)
    never = frame.banner(told(Away("nobody answers")), 99.0, 60)
    assert flat([line.plain for line in never]) == "the sidecar is away: nobody answers"
    assert frame.banner(told(Snapped(snapshot())), 99.0, 60) == []


def test_the_past_is_told() -> None:
    """The past says so, and which moment it is."""
    board = Board(link="past")
    board.hear(Snapped(snapshot()), 0.0)
    assert frame.banner(board, 0.0, 80)[0].plain.startswith(" PAST 03:12:00 of 2026-11-30")
    assert frame.title(board, "agents", 80).plain.rstrip().endswith("PAST")


@pytest.mark.parametrize("cells", [40, 60, 80, 160, 200])
def test_the_views_are_always_named(cells: int) -> None:
    """At each width there are all five numbers, the name of the one in sight, and the link in a word."""
    line = frame.title(told(Snapped(snapshot())), "prices", cells).plain
    assert all(f"{number}" in line for number in range(1, 6))
    assert "4 prices" in line
    assert "live" in line


def test_the_sums_need_no_colour() -> None:
    """All sums in words where there is room; where there is not, whole ones are left out."""
    board = told(Snapped(snapshot()))
    wide = frame.sums(board, 200).plain
    for said in ("9 agents", "settled $60.00", "held $1.30", "cap $440.00 left of $500.00", "4 in flight"):
        assert said in wide
    for said in ("1 waiting", "15 refused in 2h00m", "unconfirmed (1)", "self-signed prices"):
        assert said in wide
    narrow = frame.sums(board, 60).plain
    assert "settled $60.00" in narrow
    assert "1 wait" in narrow
    assert set(narrow.split()) <= set(wide.split()) | {"wait", "calls"}
    assert "nothing is known" in frame.sums(Board(), 60).plain


def test_refusals_are_told_with_the_time_in_which_they_were_counted() -> None:
    """Since the sidecar started: after a restart nobody takes the number for all there ever were."""
    board = told(Snapped(snapshot()))
    for cells in (80, 120, 200):
        assert "15 refused in 2h00m  " in frame.sums(board, cells).plain + "  "
    first = snapshot()
    again = msgspec.structs.replace(
        first,
        epoch="another",
        status=msgspec.structs.replace(first.status, started_at=at(-12)),
        totals=msgspec.structs.replace(first.totals, refusals=0),
    )
    board.hear(Snapped(again), 1.0)
    assert "0 refused in 12s" in frame.sums(board, 200).plain
    unknown = msgspec.structs.replace(again, status=msgspec.structs.replace(first.status, started_at=""))
    board.hear(Snapped(unknown), 2.0)
    assert "0 refused  " in frame.sums(board, 200).plain


def test_warnings_and_draining_are_told() -> None:
    """What the daemon warns of is counted; that it stops is said where `live` would stand."""
    shown = snapshot()
    status = msgspec.structs.replace(shown.status, warnings=["a", "b"])
    totals = msgspec.structs.replace(shown.totals, state="draining")
    board = told(Snapped(msgspec.structs.replace(shown, status=status, totals=totals)))
    assert "2 warnings" in frame.sums(board, 200).plain
    assert "draining" in frame.title(board, "agents", 80).plain


@pytest.mark.parametrize("cells", range(8, 200, 7))
def test_the_foot_fits_and_keeps_its_help(cells: int) -> None:
    """Whole keys or none; help always."""
    line = frame.foot(foot("agents", acts=True, past=True), cells).plain
    assert cell_len(line) == cells
    assert line.rstrip().endswith("? help")
    assert ("filter" in line) == ("/ filter" in line)


def test_the_foot_has_the_keys_that_matter_in_the_view_in_sight() -> None:
    """All from the table, none without a word; others where nothing may be done, or in the past."""
    for side in SIDES:
        assert all(key.short for key in foot(side, acts=True, past=True))

    def written(side: Side, *, acts: bool = True, past: bool = False) -> str:
        return frame.foot(foot(side, acts=acts, past=past), 120).plain.strip()

    assert written("agents") == ("enter open  / filter  s sort  t top up  f freeze  q quit  ? help")
    assert written("agents", acts=False) == "enter open  / filter  s sort  q quit  ? help"
    assert written("locks") == "enter open  t top up  x abort  w let through  q quit  ? help"
    assert written("failures") == "enter open  shift+down scroll  t top up  e explain  q quit  ? help"
    assert written("prices") == "/ filter  q quit  ? help"
    assert written("unconfirmed") == "enter open  c confirm  y copy id  e explain  q quit  ? help"
    assert written("agent") == "tab section  t top up  l limit  f freeze  x abort  e explain  q quit  ? help"
    assert written("prices", acts=False, past=True) == (
        "space pause  ] step  + faster  - slower  / filter  q quit  ? help"
    )


async def test_few_toasts_are_in_sight_and_none_twice() -> None:
    """The newest three; what is said again is said once, as the newest, and how often; no other is left."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for said in ("one", "two", "three", "four", "five", "four", "four", "four"):
            app.notify(said)
            await pilot.pause()
        await pilot.pause()
        told = ["three", "five", "four (4 times)"]
        assert [one.message for one in app._notifications] == told
        assert [str(one.render()) for one in app.screen.query(Toast)] == told
        assert len(app.screen.query(ToastHolder)) == 3
        shown = look(app)
        for said in ("x", "x (2 times)", "x (2 times)"):
            app.notify(said)
            await pilot.pause()
        assert [one.message for one in app._notifications][1:] == ["x", "x (2 times) (2 times)"]
        assert [shown.count(said) for said in ("one", "two", "three", "four", "five")][2:] == [1, 1, 1]


async def draw(app: WatchApp, pilot: object) -> str:
    """Draw, and return what is on the screen."""
    await pilot.pause()  # type: ignore[attr-defined]
    app._drawn = -1
    app.redraw()
    await pilot.pause()  # type: ignore[attr-defined]
    return look(app)


async def test_each_number_shows_its_view() -> None:
    """1 to 5, each with head and foot, the name of the one in sight marked; also by a click on the name."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await draw(app, pilot)
        for key in "234512":
            await pilot.press(key)
            seen = await draw(app, pilot)
            assert isinstance(app.screen, VIEWS[key])
            assert "? help" in seen
            assert "live" in seen
        line = frame.title(app.board, "locks", 80).plain
        await pilot.click(Top, offset=Offset(line.index("failures"), 0))
        await pilot.pause()
        assert isinstance(app.screen, FailuresView)


async def test_the_link_is_told_as_it_changes() -> None:
    """Away comes as a banner over the view that stays; when the sidecar is back it goes by itself."""
    tap, seconds = world(), [0.0]
    app = WatchApp(tap, local_seconds=lambda: seconds[0])
    async with app.run_test(size=(60, 20)) as pilot:
        assert "the sidecar is away" not in await draw(app, pilot)
        tap.tell(Away("nobody answers", UP))
        seconds[0] = 12.0
        seen = await draw(app, pilot)
        assert "away since 12s" in seen
        assert UP in seen
        assert "frozen" in seen
        tap.tell(Snapped(snapshot()))
        assert "the sidecar is away" not in await draw(app, pilot)


async def test_d_changes_light_and_dark() -> None:
    """And back."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        for theme in (LIGHT, DARK):
            await pilot.press("d")
            await pilot.pause()
            assert app.theme == theme.name


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_quit(key: str) -> None:
    """Each of them ends the program."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(key)
        await pilot.pause()
        assert not app.is_running or app._exit


async def test_ctrl_c_quits_from_anywhere() -> None:
    """Also while a filter is typed, and over the help screen."""
    for before in ("slash", "question_mark", "ctrl+p"):
        app = WatchApp(world(), local_seconds=lambda: 0.0)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press(before)
            await pilot.press("ctrl+c")
            await pilot.pause()
            assert app._exit


async def test_the_palette_knows_every_key_that_works_here() -> None:
    """What has a key has a name in the palette, and the name does what the key does."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await draw(app, pilot)
        named = {one.title.casefold() for one in app.get_system_commands(app.screen)}
        for key in KEYS:
            if key.where in ("everywhere", "lists", "agents", "acts") and key.action != "command_palette":
                assert key.says.casefold() in named
        assert not any("twice as fast" in one for one in named)
        for words, screen in (("refusals and failures", FailuresView), ("all agents", AgentsView)):
            await pilot.press("ctrl+p")
            await pilot.press(*("space" if one == " " else one for one in words))
            await app.workers.wait_for_complete()
            await pilot.pause()
            await pilot.press("enter")
            await pilot.pause()
            await pilot.pause()
            assert isinstance(app.screen, screen)


@pytest.mark.parametrize("key", ["t", "l", "f", "u", "x", "w", "c"])
async def test_where_one_only_looks_no_key_acts(key: str) -> None:
    """It says so, and why."""
    for link, said in (("past", "This is the past"), ("connecting", "look only")):
        app = WatchApp(world(), Board(link=link), local_seconds=lambda: 0.0)  # type: ignore[arg-type]
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await draw(app, pilot)
            await pilot.press(key)
            await pilot.pause()
            assert any(said in note.message for note in app._notifications)
            assert isinstance(app.screen, AgentsView)


async def test_every_size_is_survived() -> None:
    """From wide to tiny and back the screen is laid out anew, in every view, without a traceback."""
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(200, 50)) as pilot:
        await draw(app, pilot)
        for width, height in ((60, 20), (40, 10), (1, 1), (200, 50)):
            await pilot.resize_terminal(width, height)
            for key in VIEWS:
                await pilot.press(key)
            await pilot.press("question_mark", "escape", "1")
            seen = await draw(app, pilot)
            lines = [line for line in seen.splitlines() if line.startswith("|")]
            assert all(cell_len(line) <= width + 1 for line in lines)
        assert "15 minutes" in seen
        assert not isinstance(app.screen, HelpScreen)


async def test_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR all is grey, and the cursor's line stands out by being reversed."""
    monkeypatch.setenv("NO_COLOR", "1")
    app = WatchApp(world(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await draw(app, pilot)
        strips = app.screen._compositor.render_strips()
        colours = {
            colour.triplet
            for strip in strips
            for segment in strip
            if segment.style
            for colour in (segment.style.color, segment.style.bgcolor)
            if colour is not None and colour.triplet is not None
        }
        assert all(one.red == one.green == one.blue for one in colours)
        table = app.screen.query_one(LineTable)
        first, second = (strips[table.region.y + place] for place in (1, 2))
        assert any(segment.style and segment.style.reverse for segment in first)
        assert not any(segment.style and segment.style.reverse for segment in second)


@pytest.mark.parametrize(("theme", "ansi"), [(DARK, ANSI_DARK), (LIGHT, ANSI_LIGHT)], ids=["dark", "light"])
def test_colours_can_be_read(theme: object, ansi: object) -> None:
    """Each colour of words has a contrast of at least 4.5 to 1 on its background (WCAG AA)."""

    def light(rgb: tuple[int, int, int]) -> float:
        parts = [one / 255 for one in rgb]
        linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    ground = light(tuple(ansi.background_color))  # type: ignore[attr-defined, arg-type]
    for number in range(1, 7):
        colour = light(ansi.ansi_colors._colors[number])  # type: ignore[attr-defined]
        low, high = sorted((ground, colour))
        assert (high + 0.05) / (low + 0.05) >= 4.5
