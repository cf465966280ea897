"""Whether a call gets its hold: the order of refusals, the clamp, and the numbers that explain."""

from typing import Any

import pytest

from ledger_kit import (
    AGENT,
    NOW,
    funded_book,
    grant,
    hold_call,
    make_book,
    new_agent,
    offer,
    refused_code,
    settle,
)
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.events import Hold


def held(book: Book, call_id: str = "c", **changes: Any) -> Hold:
    """Execute a hold that must be admitted."""
    (hold,) = book.execute(hold_call(call_id, **changes))
    assert isinstance(hold, Hold)
    return hold


def refused(book: Book, **changes: Any) -> SpendGuardError:
    """Execute a hold that must be refused, and check that it changed nothing."""
    before = repr(book.state)
    with pytest.raises(SpendGuardError) as caught:
        book.execute(hold_call("refused", **changes))
    assert repr(book.state) == before
    return caught.value


def test_the_hold_records_all_that_it_rests_on() -> None:
    """What was asked, what was held, by which bound, at which prices, and the account after it."""
    hold = held(funded_book(5_000), rates={"input": 1})
    assert hold == Hold(
        call_id="c",
        agent_id=AGENT,
        run_id="run-1",
        provider="openai",
        endpoint="chat/completions",
        model="gpt-4o-mini",
        amount_nusd=1_000,
        rung="bytes",
        input_tokens=100,
        choices=1,
        asked_output_tokens=10,
        output_tokens=10,
        document_sha256="d" * 64,
        rates={"input": 1},
        funded_nusd=5_000,
        settled_nusd=0,
        held_nusd=1_000,
    )


def test_refusals_come_from_cheap_to_dear() -> None:
    """Unknown agent, deleted, frozen, no budget, locked, then money: each hides those after it."""
    book = make_book()
    assert refused(book).code is Code.AGENT_NOT_FOUND
    book.execute(new_agent())
    assert refused(book).code is Code.BUDGET_NOT_SET
    book.execute(grant(1_500))
    held(book, "c1", run_id="run-2")
    assert refused(book, run_id="run-1").code is Code.BUDGET_LOCKED
    assert refused(book, run_id="run-2").code is Code.BUDGET_HELD
    book.execute(cmd.Freeze(AGENT, "mad", "me"))
    frozen = refused(book)
    assert (frozen.code, frozen.detail) == (Code.AGENT_FROZEN, "Agent is frozen: mad")
    book.execute(cmd.DeleteAgent(AGENT, "me"))
    assert refused(book).code is Code.AGENT_NOT_FOUND


def test_a_hold_of_exactly_what_is_free_is_admitted_and_one_more_is_not() -> None:
    """The cap is the cap to the nano-dollar."""
    assert held(funded_book(1_000)).amount_nusd == 1_000
    assert refused(funded_book(999), floor_output_tokens=10).code is Code.INSUFFICIENT_BUDGET


def test_an_exact_number_of_worst_cases_is_admitted() -> None:
    """Ten fit into ten; the eleventh is told that the money is held."""
    book = funded_book(10_000, overflow="refuse")
    for index in range(10):
        held(book, f"c{index}")
    assert refused(book).code is Code.BUDGET_HELD
    assert book.state.accounts[AGENT].available_nusd == 0


def test_the_first_offer_that_fits_is_taken() -> None:
    """In the order given, also where a later one would be cheaper."""
    offers = (offer(500, 100, "count"), offer(0, 100, "bytes"))
    assert held(funded_book(1_500), offers=offers).rung == "count"
    assert held(funded_book(1_499), offers=offers).rung == "bytes"


def test_a_cap_is_clamped_to_what_is_free() -> None:
    """To the token, with the offer that leaves most tokens, and never below the floor."""
    offers = (offer(300, 100, "window"), offer(100, 100, "bytes"))
    hold = held(funded_book(750), offers=offers, floor_output_tokens=6)
    assert (hold.rung, hold.output_tokens, hold.amount_nusd) == ("bytes", 6, 700)
    assert refused(funded_book(699), offers=offers, floor_output_tokens=6).code is Code.INSUFFICIENT_BUDGET


def test_a_floor_above_the_asked_cap_does_not_raise_it() -> None:
    """What the client asked for is never exceeded."""
    assert held(funded_book(5_000), floor_output_tokens=64).output_tokens == 10


def test_an_agent_that_refuses_overflow_is_never_clamped() -> None:
    """Whole or not at all."""
    book = funded_book(999, overflow="refuse")
    assert refused(book, floor_output_tokens=1).code is Code.INSUFFICIENT_BUDGET
    assert held(funded_book(1_000, overflow="refuse"), injected=True).output_tokens == 10


@pytest.mark.parametrize(
    ("concurrency", "others", "injected", "output_tokens"),
    [
        ("shared", 0, True, 5),
        ("shared", 0, False, 10),
        ("exclusive", 0, True, 10),
        ("exclusive", 1, True, 5),
        ("exclusive", 1, False, 10),
    ],
)
def test_an_injected_cap_takes_half_of_what_others_may_want(
    concurrency: str, others: int, injected: bool, output_tokens: int
) -> None:
    """In a shared agent, or beside a call in flight; never a cap that the client chose itself."""
    book = funded_book(1_000 + others * 100, concurrency=concurrency)
    for index in range(others):
        held(book, f"other-{index}", output_tokens=1)
    assert held(book, injected=injected, floor_output_tokens=1).output_tokens == output_tokens


def test_half_gives_way_to_the_floor() -> None:
    """Where half of what is free is below the floor, the floor is held if it fits."""
    assert (
        held(funded_book(1_000, concurrency="shared"), injected=True, floor_output_tokens=7).output_tokens
        == 7
    )
    book = funded_book(699, concurrency="shared")
    assert refused(book, injected=True, floor_output_tokens=7).code is Code.INSUFFICIENT_BUDGET


def test_a_refusal_for_lack_of_money_carries_the_whole_sum() -> None:
    """Which budget, what it would cost, what there is, and what would fit."""
    book = funded_book(2_000)
    held(book, "c1", output_tokens=3, floor_output_tokens=3)
    book.execute(settle("c1", 250))
    error = refused(
        book,
        offers=(offer(300, 100, "window"), offer(200, 100, "bytes")),
        output_tokens=40,
        floor_output_tokens=16,
        asked_output_tokens=40,
    )
    assert error.code is Code.INSUFFICIENT_BUDGET
    assert error.facts == {
        "budget": "agent",
        "worst_case_usd": "0.0000042",
        "limit_usd": "0.000002",
        "remaining_usd": "0.00000175",
        "available_usd": "0.00000175",
        "held_usd": "0.00",
        "input_tokens_bound": 100,
        "rung": "bytes",
        "asked_output_tokens": 40,
        "floor_output_tokens": 16,
        "affordable_max_tokens": 15,
    }
    assert error.detail == (
        "Insufficient budget: this call can cost up to $0.0000042, $0.00000175 remains; max_tokens 15 would fit"
    )


def test_what_is_said_to_fit_does_fit() -> None:
    """A client that takes the advice is admitted."""
    book = funded_book(1_750)
    error = refused(book, output_tokens=40, floor_output_tokens=40)
    advised = error.facts["affordable_max_tokens"]
    assert advised == 17
    assert held(book, output_tokens=advised, floor_output_tokens=advised).output_tokens == advised


def test_a_refusal_says_when_nothing_would_fit() -> None:
    """The input alone is too dear."""
    error = refused(funded_book(50), offers=(offer(300, 100),))
    assert error.facts["affordable_max_tokens"] == 0
    assert error.detail.endswith("$0.00000005 remains; no max_tokens would fit")


def test_held_money_is_a_refusal_worth_a_retry() -> None:
    """It fits what remains, not what is free."""
    book = funded_book(1_500)
    held(book, "c1")
    error = refused(book)
    assert (error.code, error.facts["retry_after_ms"]) == (Code.BUDGET_HELD, 500)
    assert (error.facts["held_usd"], error.facts["available_usd"]) == ("0.000001", "0.0000005")
    assert error.detail == (
        "Budget is held by calls in flight: this call can cost up to $0.000001, $0.0000015 remains, "
        "but only $0.0000005 is free"
    )


def test_the_daemons_cap_binds_beside_the_agents() -> None:
    """Too small: DAEMON_CAP; held by another agent: BUDGET_HELD; both name the daemon's balances."""
    book = funded_book(50_000)
    book.execute(cmd.SetDaemonLimit(999, None, "me"))
    error = refused(book)
    assert (error.code, error.facts["budget"], error.facts["limit_usd"]) == (
        Code.DAEMON_CAP,
        "daemon",
        "0.000000999",
    )
    book.execute(cmd.SetDaemonLimit(1_500, 501, "me"))
    book.execute(new_agent("agent-2"))
    book.execute(grant(50_000, agent_id="agent-2"))
    held(book, "c1", agent_id="agent-2")
    error = refused(book)
    assert (error.code, error.facts["budget"], error.facts["held_usd"]) == (
        Code.BUDGET_HELD,
        "daemon",
        "0.000001",
    )
    book.execute(settle("c1", 100))
    assert held(book).held_nusd == 1_000


def test_an_agent_too_poor_is_told_so_even_under_a_daemon_cap() -> None:
    """The agent's own budget is the nearer reason."""
    book = funded_book(500)
    book.execute(cmd.SetDaemonLimit(400, None, "me"))
    error = refused(book)
    assert (error.code, error.facts["limit_usd"]) == (Code.INSUFFICIENT_BUDGET, "0.0000005")


def test_a_lock_names_its_holder_its_age_and_its_deadline() -> None:
    """So that an agent can wait, or join."""
    book = funded_book(50_000)
    held(book, "c1", run_id="run-9", deadline_ns=NOW.wall_ns + 3_600 * 10**9)
    error = refused(book, run_id="run-1")
    assert error.facts == {
        "locked_run_id": "run-9",
        "locked_age_seconds": 0,
        "locked_expires_at": "2027-01-15T09:00:00.000Z",
        "next_run_id": None,
        "retry_after_ms": 1_000,
    }
    assert error.detail == "Agent budget is locked by an in-flight run: run run-9 has it for 0 s"


def test_a_shared_agent_has_no_lock() -> None:
    """Only the money counts."""
    book = funded_book(50_000, concurrency="shared")
    held(book, "c1", run_id="run-9")
    assert held(book, "c2", run_id="run-1").held_nusd == 2_000


def test_a_call_whose_client_left_keeps_its_hold_but_not_the_lock() -> None:
    """The next run gets in, with what is left."""
    book = funded_book(1_999)
    held(book, "c1", run_id="run-9")
    book.state.turns.detach("c1", 0)
    assert refused(book, run_id="run-1").code is Code.BUDGET_HELD
    assert held(book, "c2", run_id="run-1", output_tokens=9, floor_output_tokens=9).held_nusd == 1_900


def test_commands_that_make_no_sense_are_refused() -> None:
    """A call id twice, no offer, a negative cap or cost, no choice."""
    book = funded_book(50_000)
    held(book, "open")
    held(book, "ended")
    book.execute(settle("ended", 1))
    for command in (
        hold_call("open"),
        hold_call("ended"),
        hold_call("c", offers=()),
        hold_call("c", output_tokens=-1),
        hold_call("c", choices=0),
        hold_call("c", offers=(offer(-1, 1),)),
        hold_call("c", offers=(offer(1, -1),)),
    ):
        assert refused_code(lambda command=command: book.execute(command)) == "ledger_refused"


def test_an_overdrawn_agent_is_not_admitted_even_for_nothing() -> None:
    """Available below zero admits nothing, not even a free call."""
    book = funded_book(1_000)
    held(book, "c1")
    book.execute(settle("c1", 1_001))
    book.execute(cmd.Unfreeze(AGENT, "me"))
    assert refused(book, offers=(offer(0, 0),)).code is Code.INSUFFICIENT_BUDGET
