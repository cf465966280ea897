"""What a refusal of ours tells a program to do next, in the headers that programs go by."""

import json

import pytest

from spendguard_daemon.codes import TABLE, Money
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.gateway.respond import refusal


def headers_of(code: Code, **facts: int | bool) -> tuple[str | None, str | None, str | None]:
    """Return what a refusal says of trying again: whether, after how many ms, after how many seconds."""
    answer = refusal(SpendGuardError(code, "said", facts=facts), "a call").headers
    return answer.get("x-should-retry"), answer.get("retry-after-ms"), answer.get("retry-after")


@pytest.mark.parametrize("code", [code for code, entry in TABLE.items() if entry.retry is False])
def test_who_tries_again_although_told_not_to_waits_a_second(code: Code) -> None:
    """No program is asked to come back, and one that does all the same does not wait for minutes."""
    assert headers_of(code) == ("false", "1000", None)


def test_a_lock_is_waited_for_as_long_as_that_is_worth_it() -> None:
    """The ledger says how long; both headers name the wait, the second in whole seconds."""
    assert headers_of(Code.BUDGET_LOCKED, worth_waiting=True, retry_after_ms=1_001) == ("true", "1001", "2")
    assert headers_of(Code.BUDGET_LOCKED, worth_waiting=False) == ("false", "1000", None)


def test_held_money_is_waited_for_likewise() -> None:
    """The guard says how long."""
    assert headers_of(Code.BUDGET_HELD, worth_waiting=True, retry_after_ms=500) == ("true", "500", "1")
    assert headers_of(Code.BUDGET_HELD, worth_waiting=False) == ("false", "1000", None)


def test_a_lost_answer_is_asked_for_again_where_the_budget_allows() -> None:
    """Without that fact nothing is said about it."""
    assert headers_of(Code.UPSTREAM_FAILED, affordable=True) == ("true", None, None)
    assert headers_of(Code.UPSTREAM_FAILED, affordable=False) == ("false", "1000", None)
    assert headers_of(Code.UPSTREAM_FAILED) == (None, None, None)


@pytest.mark.parametrize("code", list(TABLE))
def test_what_was_charged_is_nothing_where_the_table_says_so(code: Code) -> None:
    """And what the error itself says stands above it."""
    nothing = {"charged_usd": "0"} if TABLE[code].money is Money.NOTHING else {}
    said: dict[str, Fact] = {"charged_usd": "0.02"}
    for facts, told in (({}, nothing), (said, said)):
        answer = refusal(SpendGuardError(code, "said", facts=facts), "a call")
        assert isinstance(answer.body, bytes)
        body = json.loads(answer.body)["spendguard"]
        assert {name: value for name, value in body.items() if name == "charged_usd"} == told
