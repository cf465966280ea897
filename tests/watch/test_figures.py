"""Money, ages and bars in few cells: they never flatter, and never outgrow their cells."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canned import NOW, agent, money
from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.board import Row
from spendguard_cli.watch.danger import LEVELS, MARKS, danger, mark, reason
from spendguard_cli.watch.figures import FREE, HELD, SETTLED, bar, short_age, short_usd
from spendguard_cli.watch.rates import Spend
from spendguard_daemon.feed_wire import Money
from spendguard_daemon.money import NUSD_MAX

amounts = st.one_of(
    st.integers(-NUSD_MAX, NUSD_MAX),
    st.integers(0, 10).map(lambda digits: 10**digits),
    st.integers(0, 2_000_000_000),
)
UNITS = {"k": 1_000, "M": 1_000_000}


def read(text: str) -> Decimal:
    """Read back what was written, in USD."""
    plain = text.replace("$", "")
    return Decimal(plain.rstrip("kM")) * UNITS.get(plain[-1], 1)


@pytest.mark.parametrize(
    ("usd", "cells", "down", "up"),
    [
        ("12.345", 8, "$12.34", "$12.35"),
        ("0.0021", 8, "$0.0021", "$0.0021"),
        ("0.0021", 6, "$0.002", "$0.003"),
        ("0.00000015", 12, "$0.00000015", "$0.00000015"),
        ("0.999999", 6, "$0.99", "$1.00"),
        ("1234.5", 5, "$1234", "$1235"),
        ("12345.67", 5, "$12k", "$13k"),
        ("12345.67", 6, "$12345", "$12346"),
        ("-0.503", 6, "-$0.51", "-$0.50"),
        ("0.00", 6, "$0.00", "$0.00"),
        ("9000000", 4, "$9M", "$9M"),
        ("123.00", 2, "…", "…"),
    ],
)
def test_short_money(usd: str, cells: int, down: str, up: str) -> None:
    """As exact as its cells allow, and rounded to the side that does not flatter."""
    assert short_usd(nusd(usd), cells) == down
    assert short_usd(nusd(usd), cells, up=True) == up


@given(amounts, st.integers(0, 14))
def test_short_money_never_flatters(amount_nusd: int, cells: int) -> None:
    """What is left is never shown as more, what is gone never as less; and the cell is never too small."""
    down, up = short_usd(amount_nusd, cells), short_usd(amount_nusd, cells, up=True)
    assert len(down) <= cells
    assert len(up) <= cells
    true_usd = Decimal(amount_nusd) / 10**9
    assert "…" in down or not down or read(down) <= true_usd
    assert "…" in up or not up or read(up) >= true_usd


@given(st.integers(0, 2_000_000_000))
def test_short_money_that_is_there_is_seen(amount_nusd: int) -> None:
    """In twelve cells no amount below two dollars is shown as nothing, but nothing."""
    assert (read(short_usd(amount_nusd, 12)) == 0) == (amount_nusd == 0)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0.9, "0s"),
        (59.99, "59s"),
        (75, "1m15s"),
        (3600, "1h00m"),
        (7500, "2h05m"),
        (90_000, "1d01h"),
    ],
)
def test_short_ages(seconds: float, shown: str) -> None:
    """Two units at most, rounded down."""
    assert short_age(seconds) == shown


parts = st.integers(0, 10**13)


@given(parts, parts, st.integers(-(10**12), 10**13), parts, st.integers(1, 60))
def test_a_bar(settled: int, held: int, free: int, limit: int, cells: int) -> None:
    """It fills its cells, shows each hold, and draws as free no more than is."""
    shown = bar(settled, held, free, limit, cells).plain
    assert len(shown) == cells
    assert (HELD in shown) == (held > 0)
    assert free > 0 or FREE not in shown
    whole = max(limit, settled + held + max(0, free), 1)
    assert shown.count(FREE) * whole <= max(0, free) * cells
    assert settled > 0 or SETTLED not in shown


def test_a_bar_of_a_quarter_each() -> None:
    """What is spent stands left, then what is held, then what is free; what is not funded is blank."""
    assert bar(25, 25, 25, 100, 8).plain == f"{SETTLED * 2}{HELD * 2}{FREE * 2}  "


def row(standing_money: Money, spent: tuple[int, ...] = (), **more: object) -> Row:
    """Return the row of an agent."""
    spend = Spend.of(nusd(standing_money.settled_usd), spent, NOW.timestamp())
    return Row(agent(1, "a", **more), standing_money, spend, [], 1, 1, 1)


@pytest.mark.parametrize(
    ("shown", "level", "why"),
    [
        (row(money()), "calm", ""),
        (row(money("5", "4.9")), "care", "below 10 %"),
        (row(money("5", "1"), (10**9,)), "care", "empty in 4m00s"),
        (row(money("1", "1.5")), "bad", "overdrawn"),
        (row(money("1", "1")), "bad", "empty"),
        (row(money("1", "0.5", "0.5")), "bad", "all held"),
        (row(money("9", "1", frozen_reason="")), "stopped", "frozen"),
        (row(money(), frozen=True), "calm", ""),
        (row(Money()), "stopped", "no budget"),
    ],
)
def test_danger(shown: Row, level: str, why: str) -> None:
    """Each reason to look has its level, its mark and its words."""
    now = NOW.timestamp()
    assert danger(shown, now) == level
    assert reason(shown, now) == why
    assert mark(shown, now) == MARKS[danger(shown, now)]


def test_who_was_just_refused_is_told() -> None:
    """For a minute, where nothing worse is to be said; not by a refusal of the future."""
    now, shown = NOW.timestamp(), row(money("9", "1"))
    for since, said in ((16, "refused 16s ago"), (59, "refused 59s ago"), (60, ""), (-5, "")):
        shown.refused_seconds = now - since
        assert reason(shown, now) == said
        assert danger(shown, now) == ("care" if said else "calm")


def test_marks_need_no_colour() -> None:
    """Every level has a mark of its own, one cell wide."""
    assert len({MARKS[level] for level in LEVELS}) == len(LEVELS)
    assert all(len(MARKS[level]) == 1 for level in LEVELS)
