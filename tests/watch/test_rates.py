"""The pace of spending: from absolute sums, by a clock that may go back, and never changed by a look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_cli.watch.rates import SPARKS, Spend
from spendguard_daemon.feed_wire import SPEND_STEP_SECONDS, SPEND_STEPS

START = 1_800_000_000.0
times = st.floats(-7200, 7200, allow_nan=False)


def test_a_dollar_a_minute() -> None:
    """What was spent lately is the pace; over fifteen minutes it is the average of them."""
    spend = Spend.of(0, (), START)
    for minute in range(1, 4):
        spend.settle(minute * 10**9, START + minute * 60)
    now = START + 185
    assert spend.per_minute_nusd(1, now) == 10**9
    assert spend.per_minute_nusd(15, now) == 3 * 10**9 // 15
    assert spend.seconds_to_empty(5 * 10**9, now) == 300
    assert spend.seconds_to_empty(-1, now) == 0


def test_nothing_spent_lasts_for_ever() -> None:
    """There is no time to empty where nothing is spent; fifteen minutes on, nothing is."""
    spend = Spend.of(0, [1], START)
    assert spend.seconds_to_empty(100, START) is not None
    assert spend.seconds_to_empty(100, START + SPEND_STEP_SECONDS * SPEND_STEPS) is None


def test_a_correction_is_no_earning() -> None:
    """What was charged less afterwards is not spending, and what follows is counted from there."""
    spend = Spend.of(1000, (), START)
    spend.settle(400, START + 1)
    assert spend.per_minute_nusd(1, START + 1) == 0
    spend.settle(460, START + 2)
    assert spend.per_minute_nusd(1, START + 2) == 60


def test_a_clock_that_goes_back() -> None:
    """What was spent stays in its steps, and the pace goes on from the time of then."""
    spend = Spend.of(0, (), START)
    spend.settle(60, START)
    spend.settle(120, START - 3600)
    assert spend.per_minute_nusd(1, START - 3600) == 120
    assert spend.per_minute_nusd(1, START - 3600 + 90) == 0
    assert spend.per_minute_nusd(15, START - 3600 + 90) == 8


@given(st.lists(st.tuples(times, st.integers(0, 10**12)), max_size=40), times)
def test_no_look_changes_anything(told: list[tuple[float, int]], looked: float) -> None:
    """Whenever it is looked at, it says the same again; it never shows more than was told."""
    spend = Spend.of(0, (), START)
    most = 0
    for when, settled in told:
        most += max(0, settled - spend.settled_nusd)
        spend.settle(settled, START + when)
        before = (spend.step, list(spend.steps))
        spend.spark(12, START + looked)
        spend.per_minute_nusd(1, START + looked)
        spend.seconds_to_empty(10**9, START + looked)
        assert (spend.step, spend.steps) == before
    assert len(spend.steps) == SPEND_STEPS
    assert 0 <= spend.per_minute_nusd(15, START + looked) * 15 <= most
    assert min(spend.steps) >= 0


@given(st.lists(st.integers(0, 10**12), max_size=120), st.integers(1, 40))
def test_a_spark(spent: list[int], cells: int) -> None:
    """It fills its cells; a cell is blank only where nothing was spent, and the most stands tallest."""
    shown = Spend.of(0, spent, START).spark(cells, START)
    assert len(shown) == cells
    assert set(shown) <= {" ", *SPARKS}
    assert (SPARKS[-1] in shown) == any(spent[-SPEND_STEPS:])


@pytest.mark.parametrize("told", [0, 1])
def test_told_twice_is_spent_once(told: int) -> None:
    """Sums are absolute: to repeat one changes nothing."""
    spend = Spend.of(0, (), START)
    for _ in range(told + 1):
        spend.settle(500, START + 1)
    assert spend.per_minute_nusd(1, START + 1) == 500


@given(st.lists(st.integers(0, 10**12), max_size=SPEND_STEPS), st.integers(-60, 2000), st.integers(0, 10**12))
def test_it_lasts_at_the_faster_pace(spent: list[int], later: int, left: int) -> None:
    """Of the last minute's and that of the last fifteen, whenever one looks."""
    spend, now = Spend.of(0, spent, START), START + later
    pace = max(spend.per_minute_nusd(1, now), spend.per_minute_nusd(15, now))
    assert spend.seconds_to_empty(left, now) == (left * 60 // pace if pace else None)
