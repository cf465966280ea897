"""How a call is refused: in which order, and with which numbers."""

from ledger_kit import (
    AGENT,
    NOW,
    funded_book,
    grant,
    held,
    make_book,
    new_agent,
    offer,
    refused,
    settle,
)
from sim import SimClock
from spendguard_daemon.errors import Code
from spendguard_daemon.ledger import commands as cmd


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
        "needed_usd": "0.0000018",
        "short_usd": "0.00000245",
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
        "Insufficient budget: this call can cost up to $0.0000042, $0.00000175 remains; "
        "max_tokens 15 would fit"
    )


def test_what_is_said_to_fit_does_fit() -> None:
    """A client that takes the advice is admitted."""
    book = funded_book(1_750)
    error = refused(book, output_tokens=40, floor_output_tokens=40)
    advised = error.facts["affordable_max_tokens"]
    assert advised == 17
    assert held(book, output_tokens=advised, floor_output_tokens=advised).output_tokens == advised


def test_what_the_provider_would_refuse_is_not_said_to_fit() -> None:
    """17 tokens are affordable: named where the provider takes so few, else nothing is."""
    book = funded_book(1_750)
    for least, advised in ((17, 17), (18, 0)):
        error = refused(book, output_tokens=40, floor_output_tokens=40, least_output_tokens=least)
        assert error.facts["affordable_max_tokens"] == advised


def test_a_refusal_says_when_nothing_would_fit() -> None:
    """The input alone is too dear."""
    error = refused(funded_book(50), offers=(offer(300, 100),))
    assert error.facts["affordable_max_tokens"] == 0
    assert error.detail.endswith("$0.00000005 remains; no max_tokens would fit")


def test_nothing_at_all_is_shown_as_nothing() -> None:
    """A limit of 0, and all that follows from it, of an agent and of the daemon."""
    nothing = {"limit_usd": "0.00", "remaining_usd": "0.00", "available_usd": "0.00", "held_usd": "0.00"}
    facts = refused(funded_book(0)).facts
    assert {name: facts[name] for name in nothing} == nothing
    book = funded_book(5_000)
    book.execute(cmd.SetDaemonLimit(0, None, "me"))
    error = refused(book)
    assert error.code is Code.DAEMON_CAP
    assert {name: error.facts[name] for name in nothing} == nothing


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


def test_the_cheapest_way_tells_whether_a_retry_may_help() -> None:
    """Where only that one fits what remains, money that is held may still be enough."""
    book = funded_book(1_500)
    held(book, "c1")
    offers = (offer(900, 100, "window"), offer(0, 100, "bytes"))
    assert refused(book, offers=offers).code is Code.BUDGET_HELD
    assert refused(book, offers=offers[:1]).code is Code.INSUFFICIENT_BUDGET


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


def test_an_agent_with_just_enough_is_told_of_the_daemons_cap() -> None:
    """Its own budget would have done."""
    book = funded_book(1_000)
    book.execute(cmd.SetDaemonLimit(999, None, "me"))
    assert refused(book).code is Code.DAEMON_CAP


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
        "locked_calls": 1,
        "locked_age_seconds": 0,
        "locked_expires_at": "2027-01-15T09:00:00.000Z",
        "next_run_id": None,
        "waited_seconds": 0,
        "worth_waiting": True,
        "retry_after_ms": 1_000,
    }
    assert error.detail == "Agent budget is locked by an in-flight run: run run-9 has it for 0 s"


def test_a_run_that_has_waited_for_long_is_told_to_stop() -> None:
    """It names the seconds, and no time after which to try again."""
    clock = SimClock()
    book = make_book(clock)
    book.execute(new_agent())
    book.execute(grant(50_000))
    held(book, "c1", run_id="run-9")
    book.state.turns.claim(AGENT, "run-1", clock.monotonic_ns())
    clock.advance(20)
    book.state.turns.claim(AGENT, "run-1", clock.monotonic_ns())
    clock.advance(18.5)
    error = refused(book, run_id="run-1")
    assert (error.facts["waited_seconds"], error.facts["worth_waiting"]) == (38, False)
    assert "retry_after_ms" not in error.facts
    assert error.detail.endswith(
        ": run run-9 has it for 38 s; run run-1 is next; this run has waited 38 s, long enough for now"
    )


def test_the_age_of_a_lock_is_told_in_whole_seconds() -> None:
    """As many as have passed."""
    clock = SimClock()
    book = make_book(clock)
    book.execute(new_agent())
    book.execute(grant(50_000))
    held(book, "c1", run_id="run-9")
    clock.advance(61.9)
    error = refused(book, run_id="run-1")
    assert error.facts["locked_age_seconds"] == 61
    assert error.detail.endswith("run run-9 has it for 61 s")
