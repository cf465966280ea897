"""The columns of the agents view, and the orders in which agents stand: pure, for any name and any width."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from canned import NOW, agent, money, snapshot, uuid, waiting
from spendguard_cli.views.ink import nusd
from spendguard_cli.watch import ranking
from spendguard_cli.watch.board import Board, Row
from spendguard_cli.watch.messages import Snapped
from spendguard_cli.watch.rates import Spend
from spendguard_cli.watch.screens.agent_columns import LAYOUTS, head, line, order_at, placed
from spendguard_daemon.feed_wire import Money

NOW_SECONDS = NOW.timestamp()
WIDTHS = st.integers(0, 220)
HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "[red]markup[/red]",
    "\u202eevil",
    "x" * 200,
    "名前" * 100,
    "e\u0301" * 50,
    "",
)


def row(name: str = "a", shown: Money | None = None, number: int = 1, **more: object) -> Row:
    """Return the row of an agent."""
    seen = shown or money(locked_run_id=name or None, locked_since="2026-11-30T03:11:00Z", calls_in_flight=1)
    spend = Spend.of(nusd(seen.settled_usd), [10**7] * 30, NOW_SECONDS)
    return Row(agent(number, name, **more), seen, spend, [], 1, 1, 1)


def world() -> dict[str, Row]:
    """Return an agent of every kind, by name."""
    board = Board()
    board.hear(Snapped(snapshot()), 0.0)
    return {one.agent.name: one for one in board.rows.values()}


def names(order: str, is_reversed: bool = False) -> list[str]:
    """Return the names of the world's agents in an order."""
    rows = world()
    by_id = {one.agent.agent_id: name for name, one in rows.items()}
    return [by_id[one] for one in ranking.ranked(rows.values(), order, is_reversed, NOW_SECONDS)]


@given(st.one_of(st.text(max_size=200), st.sampled_from(HOSTILE)), WIDTHS)
def test_no_name_breaks_a_line(name: str, width: int) -> None:
    """Whatever an agent is called, its line is as wide as it should be, and holds nothing that steers."""
    written = line(row(name), NOW_SECONDS, width)
    assert cell_len(written.plain) == width
    assert "\x1b" not in written.plain
    assert "\u202e" not in written.plain


@given(st.integers(0, 400_000), st.integers(0, 400_000), st.integers(0, 10**9), WIDTHS)
def test_no_sum_breaks_a_line(limit: int, settled: int, calls: int, width: int) -> None:
    """However much money and however many calls: every column keeps its place."""
    shown = money(str(limit), str(settled), calls_in_flight=calls, calls_waiting=calls, refusals=calls)
    written = line(row("a", shown), NOW_SECONDS, width).plain
    assert cell_len(written) == width
    for one in placed(width)[1:]:
        assert written[one.start - 1 : one.start].strip() == ""


@pytest.mark.parametrize("width", [*range(19, 221, 3), *(least for least, _ in LAYOUTS)])
def test_columns_stand_side_by_side(width: int) -> None:
    """Columns fill the width, one blank between two; the head says by what all are sorted at any width."""
    columns = placed(width)
    for left, right in pairwise(columns):
        assert right.start == left.start + left.cells + 1
    if width >= 19:
        assert columns[-1].start + columns[-1].cells == width
    for order in ranking.ORDERS:
        assert cell_len(head(width, order, False).plain) == width
        if width >= 56:
            first, turned = ("▲", "▼") if order in ("remaining", "time to empty", "name") else ("▼", "▲")
            assert first in head(width, order, False).plain
            assert turned in head(width, order, True).plain


def test_what_stands_at_which_width() -> None:
    """The narrow terminal has what one must know, the wide one all."""
    assert [one.name for one in placed(59)] == ["mark", "name", "bar", "left", "lasts", "state"]
    assert {"burn", "calls", "refused"} <= {one.name for one in placed(79)}
    assert {"burn15", "held", "lock", "waits", "spark"} <= {one.name for one in placed(159)}
    wide, wider = ({one.name: one.cells for one in placed(width)} for width in (159, 199))
    assert wider["name"] > wide["name"]
    assert wider["bar"] > wide["bar"]


def test_each_state_has_its_word() -> None:
    """Who cannot see colours reads what is wrong."""
    lines = {name: line(one, NOW_SECONDS, 159).plain for name, one in world().items()}
    for name, words in {
        "frozen": ("■ frozen", "$17.00", "  2 "),
        "overdrawn": ("x overdrawn", "EMPTY", "-$0.50"),
        "new": ("■ new", "no budget"),
        "waiting": ("1 waiting",),
        "locked": ("nightly-7 1m15s", "locked", "$0.060"),
        "spending": ("in flight", "$1.20", "50m00s", "▒"),
        "nearly-empty": ("! nearly", "empty in 1m40s", "  12 "),
    }.items():
        assert all(word in lines[name] for word in words), lines[name]


@pytest.mark.parametrize("width", [59, 79, 159, 199])
def test_a_click_on_a_head_finds_its_order(width: int) -> None:
    """Where a column stands, its head brings its order."""
    for one in placed(width):
        assert order_at(one.start, width) == one.column.order
    assert order_at(width + 50, width) == ""


def test_the_orders() -> None:
    """The worst comes first; who has no end comes last; reversed is the other way round, but for these."""
    assert names("danger")[:5] == ["frozen", "new", "overdrawn", "nearly-empty", "waiting"]
    assert names("burn")[:3] == ["spending", "locked", "nearly-empty"]
    assert names("remaining")[:3] == ["overdrawn", "nearly-empty", "waiting"]
    assert names("remaining")[-1] == "new"
    assert names("time to empty")[:2] == ["overdrawn", "nearly-empty"]
    assert names("held")[:2] == ["spending", "locked"]
    assert names("refusals")[:2] == ["nearly-empty", "frozen"]
    assert names("name") == sorted(names("name"))
    for order in ranking.ORDERS:
        turned = names(order, is_reversed=True)
        if order in ("remaining", "time to empty"):
            assert sorted(turned) == sorted(names(order))
        else:
            assert turned == names(order)[::-1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", 9),
        ("frozen", 1),
        ("LOCKED nightly", 1),
        ("waiting", 1),
        ("empty", 2),
        ("no budget", 1),
        ("名前", 1),
        (uuid(3), 1),
        ("locked frozen", 0),
    ],
)
def test_a_filter(text: str, found: int) -> None:
    """All words of it must be found: in the name, the id, or in how the agent stands."""
    shown = ranking.matching(world().values(), text, NOW_SECONDS)
    assert len(shown) >= found if text == "empty" else len(shown) == found


def test_more_than_a_cell_holds() -> None:
    """A number that does not fit is not cut to a smaller one."""
    shown = line(row("a", money(refusals=10**12)), NOW_SECONDS, 79).plain
    assert "9999999+" in shown
    for left, said in (("300000", "3472d"), ("9000000", "9999d+")):
        shown = line(row("a", money(remaining_usd=left)), NOW_SECONDS, 160).plain
        assert f" {said} " in shown


def test_a_waiting_call_is_worth_seeing() -> None:
    """Of two calm agents the one whose call waits stands first."""
    calm, waits = row("a", money()), row("b", money(calls_waiting=1), 2, waiting=[waiting(1, 2)])
    assert ranking.ranked([calm, waits], "danger", False, NOW_SECONDS)[0] == uuid(2)


def test_what_has_no_value_stays_last_when_the_order_is_turned() -> None:
    """An agent without a budget has neither the least nor the most left."""
    for is_reversed in (False, True):
        assert names("remaining", is_reversed)[-1] == "new"
        nothing_lasts = names("time to empty", is_reversed)
        assert nothing_lasts.index("calm") > nothing_lasts.index("nearly-empty")
    assert names("remaining", True)[0] == "spending"
