"""Money: exact, rounded up once, read and written without a float."""

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import (
    CENTS_MAX,
    NUSD_MAX,
    NUSD_PER_CENT,
    NUSD_PER_USD,
    PUSD_PER_NUSD,
    LinearCost,
    ceil_div,
    cents_ceil,
    cents_floor,
    checked,
    exact_usd,
    format_usd,
    from_cents,
    parse_amount,
    parse_usd,
)

AMOUNTS = st.integers(-NUSD_MAX, NUSD_MAX)
COSTS = st.builds(
    LinearCost, st.integers(0, 10**15), st.integers(0, 10**9), st.sampled_from([1, PUSD_PER_NUSD, 10**7])
)


def test_the_units() -> None:
    """1 USD = 100 cents = 10^9 nUSD; the largest amount is 2^53 - 1 nUSD."""
    assert (NUSD_PER_CENT, NUSD_PER_USD) == (10_000_000, 1_000_000_000)
    assert (NUSD_MAX, CENTS_MAX) == (2**53 - 1, 900_719_925)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_division_rounds_towards_plus_infinity(numerator: int, denominator: int) -> None:
    """Exactly."""
    assert ceil_div(numerator, denominator) == ceil(Fraction(numerator, denominator))


@given(COSTS, st.integers(0, 10**6))
def test_a_linear_cost_is_rounded_up_once(cost: LinearCost, tokens: int) -> None:
    """The exact sum, then the ceiling."""
    assert cost.at(tokens) == ceil(Fraction(cost.fixed + cost.per_token * tokens, cost.divisor))


def test_a_cost_by_hand() -> None:
    """812 input at $0.15/M and 100 output at $0.60/M: 121,800 + 60,000 nUSD... in pUSD, /1000."""
    cost = LinearCost(fixed=812 * 150_000, per_token=600_000, divisor=PUSD_PER_NUSD)
    assert cost.at(100) == 181_800
    assert cost.at(0) == 121_800
    assert LinearCost(1, 0, PUSD_PER_NUSD).at(5) == 1


@given(COSTS, st.integers(-(10**6), 10**15))
def test_most_tokens_is_the_largest_cap_that_fits(cost: LinearCost, budget_nusd: int) -> None:
    """That many fit, one more does not; -1 where nothing does."""
    most = cost.most_tokens(budget_nusd)
    if most < 0:
        assert most == -1
        assert cost.at(0) > budget_nusd
    else:
        assert cost.at(most) <= budget_nusd
        assert cost.per_token == 0 or cost.at(most + 1) > budget_nusd


@pytest.mark.parametrize("amount", [NUSD_MAX + 1, -NUSD_MAX - 1, 10**30])
def test_amounts_beyond_json_integers_are_malformed(amount: int) -> None:
    """In either direction."""
    with pytest.raises(SpendGuardError) as caught:
        checked(amount)
    assert caught.value.code is Code.MALFORMED_REQUEST
    assert "$9007199.254740991" in caught.value.detail


@pytest.mark.parametrize("amount", [0, NUSD_MAX, -NUSD_MAX])
def test_amounts_within_pass(amount: int) -> None:
    """Unchanged."""
    assert checked(amount) == amount


def test_cents() -> None:
    """Exact one way; the other way rounded to the safe side."""
    assert from_cents(5_000) == 50 * NUSD_PER_USD
    assert from_cents(CENTS_MAX) <= NUSD_MAX
    with pytest.raises(SpendGuardError):
        from_cents(CENTS_MAX + 1)
    assert (cents_floor(19_999_999), cents_ceil(19_999_999)) == (1, 2)
    assert (cents_floor(-1), cents_ceil(-1)) == (-1, 0)
    assert (cents_floor(20_000_000), cents_ceil(20_000_000)) == (2, 2)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (49_999_914_500, "49.9999145"),
        (50 * NUSD_PER_USD, "50.00"),
        (500_000_000, "0.50"),
        (-1, "-0.000000001"),
        (-500_000_000, "-0.50"),
        (-1_234_567_890, "-1.23456789"),
        (NUSD_MAX, "9007199.254740991"),
    ],
)
def test_dollars_are_written_exactly(amount: int, text: str) -> None:
    """At least two decimals, no more than needed."""
    assert format_usd(amount) == text


@given(AMOUNTS)
def test_what_is_written_is_exact_and_can_be_read(amount: int) -> None:
    """As any decimal reader sees it, and as ours does."""
    text = format_usd(amount)
    assert Decimal(text) * NUSD_PER_USD == amount
    if amount >= 0:
        assert parse_usd(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "1e3",
        ".5",
        "5.",
        "1,000",
        "0x10",
        "1.0000000001",
        "1234567890",
        "٣",
        "NaN",
        " 1",
        "1\n",
    ],
)
def test_what_is_no_amount_of_dollars_is_refused(text: str) -> None:
    """Digits, a point, at most nine decimals: nothing else."""
    with pytest.raises(SpendGuardError) as caught:
        parse_usd(text)
    assert caught.value.code is Code.USAGE


def test_dollars_beyond_the_largest_amount_are_refused() -> None:
    """Nine digits can say more than we hold."""
    with pytest.raises(SpendGuardError):
        parse_usd("999999999")


@pytest.mark.parametrize(
    ("text", "nusd"),
    [
        ("5000", 50 * NUSD_PER_USD),
        (" 5_000 ", 50 * NUSD_PER_USD),
        ("$50", 50 * NUSD_PER_USD),
        ("50usd", 50 * NUSD_PER_USD),
        ("0.25 USD", 250_000_000),
        ("$0.000000001", 1),
        ("0", 0),
    ],
)
def test_amounts_as_people_type_them(text: str, nusd: int) -> None:
    """Whole cents, or dollars marked as such."""
    assert parse_amount(text) == nusd


def test_a_bare_point_is_ambiguous_and_shows_both_readings() -> None:
    """Nobody should guess a factor of 100."""
    with pytest.raises(SpendGuardError, match="dollars or cents") as caught:
        parse_amount("12.50")
    assert caught.value.code is Code.USAGE
    assert "'$12.50'" in caught.value.remedy
    assert caught.value.remedy.endswith("a whole number such as 12")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("1,000", "'1000'"), ("$1,234,567.50", "'$1234567.50'"), ("12,345 usd", "'12345 usd'")],
)
def test_an_amount_with_commas_is_refused_and_shown_without(text: str, remedy: str) -> None:
    """Elsewhere a comma is a point."""
    with pytest.raises(SpendGuardError, match="written with commas") as caught:
        parse_amount(text)
    assert caught.value.code is Code.USAGE
    assert caught.value.remedy.endswith(remedy)


@pytest.mark.parametrize(
    "text", ["", "abc", "1,00", "1234,567", "1,000,00", "-5", "5 eur", "$", "usd", "²", "1e9", "1.5.2"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """With a hint of what is."""
    with pytest.raises(SpendGuardError) as caught:
        parse_amount(text)
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize("text", ["900719926", "999999999999999"])
def test_cents_beyond_the_largest_amount_are_refused(text: str) -> None:
    """They are well formed, and too much."""
    with pytest.raises(SpendGuardError) as caught:
        parse_amount(text)
    assert caught.value.code is Code.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("amount", "per_nusd", "text"),
    [
        (0, 1_000, "0.00"),
        (150, 1_000, "0.00000000015"),
        (10**12, 1_000, "1.00"),
        (1_234_567, 1, "0.001234567"),
    ],
)
def test_a_part_is_written_exactly(amount: int, per_nusd: int, text: str) -> None:
    assert exact_usd(amount, per_nusd) == text
