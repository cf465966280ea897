"""What people type for money: whole cents, or dollars that are marked as such."""

import pytest

from spendguard_cli.amounts import cents, dollars
from spendguard_daemon.errors import Code, SpendGuardError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5000", 5000), ("0", 0), ("$50", 5000), ("50usd", 5000), ("$0.01", 1), ("1_000", 1000)],
)
def test_amounts_are_whole_cents(text: str, expected: int) -> None:
    assert cents("--limit", text) == expected


def test_a_bare_point_shows_both_readings() -> None:
    with pytest.raises(SpendGuardError) as caught:
        cents("--limit", "50.00")
    assert caught.value.code is Code.USAGE
    assert caught.value.detail.startswith("--limit: ")
    assert "dollars" in caught.value.remedy
    assert "cents" in caught.value.remedy


@pytest.mark.parametrize(
    "text", ["", "-5", "5e3", "fifty", "$", "$0.001", "10" * 20, "99999999999999", "5,000", "\u0665"]
)
def test_what_is_no_amount_is_a_usage_error_naming_the_option(text: str) -> None:
    with pytest.raises(SpendGuardError) as caught:
        cents("--topup", text)
    assert caught.value.code is Code.USAGE
    assert "--topup" in caught.value.detail


@pytest.mark.parametrize("text", ["0.0123", "$0.0123", "0.0123usd", "0.0123 USD"])
def test_adjust_takes_dollars(text: str) -> None:
    assert dollars("--to", text) == 12_300_000


@pytest.mark.parametrize("text", ["", "-1", "1e-3", "0.0000000001", "$$1", "99999999999"])
def test_adjust_refuses_what_is_no_amount_in_dollars(text: str) -> None:
    with pytest.raises(SpendGuardError) as caught:
        dollars("--to", text)
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize(
    ("text", "without"), [("$1,000", "'$1000'"), ("1,000", "'1000'"), ("1,000,000.50usd", "'1000000.50usd'")]
)
def test_commas_are_named_and_left_out(text: str, without: str) -> None:
    with pytest.raises(SpendGuardError) as caught:
        cents("--limit", text)
    assert caught.value.remedy == f"write it without commas: {without}"


def test_the_largest_amount_is_told_in_dollars() -> None:
    with pytest.raises(SpendGuardError) as caught:
        cents("--limit", "$99999999")
    assert caught.value.remedy == "the largest amount is $9007199.25"
    assert cents("--limit", "$9007199.25") == 900719925
