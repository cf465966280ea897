"""Which hold a call gets: the offer, the clamp, the halving, to the nano-dollar."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_kit import (
    AGENT,
    funded_book,
    held,
    hold_call,
    offer,
    refused,
    refused_code,
    settle,
)
from spendguard_daemon.errors import Code
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.events import Hold
from spendguard_daemon.money import format_usd, parse_usd


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
    for concurrency in ("exclusive", "shared"):
        book = funded_book(1_000, overflow="refuse", concurrency=concurrency)
        assert held(book, injected=True).output_tokens == 10


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


def test_a_call_that_has_ended_halves_nothing() -> None:
    """Only calls in flight may want the other half."""
    book = funded_book(1_100)
    held(book, "other", output_tokens=1)
    book.execute(settle("other", 100))
    assert held(book, injected=True, floor_output_tokens=1).output_tokens == 10


def test_the_better_offer_is_taken_down_to_the_floor_itself() -> None:
    """Within half of what is free, though the first offer would reach the floor with all of it."""
    offers = (offer(300, 100, "window"), offer(0, 100, "bytes"))
    hold = held(funded_book(1_000, concurrency="shared"), offers=offers, injected=True, floor_output_tokens=5)
    assert (hold.rung, hold.amount_nusd) == ("bytes", 500)


def test_half_gives_way_to_the_floor() -> None:
    """Where half of what is free is below the floor, the floor is held if it fits, to the nano-dollar."""
    book = funded_book(700, concurrency="shared")
    assert held(book, injected=True, floor_output_tokens=7).amount_nusd == 700
    assert (
        held(funded_book(1_000, concurrency="shared"), injected=True, floor_output_tokens=7).output_tokens
        == 7
    )
    book = funded_book(699, concurrency="shared")
    assert refused(book, injected=True, floor_output_tokens=7).code is Code.INSUFFICIENT_BUDGET


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
        hold_call("c", offers=(offer(1, 1), offer(-1, 1))),
    ):
        assert refused_code(partial(book.execute, command)) == "ledger_refused"


def test_an_overdrawn_agent_is_not_admitted_even_for_nothing() -> None:
    """Available below zero admits nothing, not even a free call."""
    book = funded_book(1_000)
    held(book, "c1")
    book.execute(settle("c1", 1_001))
    book.execute(cmd.Unfreeze(AGENT, "me"))
    assert refused(book, offers=(offer(0, 0),)).code is Code.INSUFFICIENT_BUDGET


@given(
    costs=st.lists(st.tuples(st.integers(1, 3_000), st.integers(0, 300)), min_size=1, max_size=3),
    output_tokens=st.integers(1, 40),
    floor=st.integers(1, 40),
    injected=st.booleans(),
    overflow=st.sampled_from(["clamp", "refuse"]),
    runs=st.sampled_from(["exclusive", "shared"]),
)
def test_exactly_what_is_needed_is_admitted_and_one_nano_dollar_less_is_not(
    costs: list[tuple[int, int]], output_tokens: int, floor: int, overflow: str, runs: str, *, injected: bool
) -> None:
    """Whatever is clamped, halved or offered; and a worst case that fits lacks nothing."""
    offers = tuple(offer(fixed, token) for fixed, token in costs)
    ask: dict[str, Any] = {"offers": offers, "output_tokens": output_tokens, "floor_output_tokens": floor}
    ask |= {"injected": injected}
    worst_nusd = hold_call("w", **ask).worst_nusd
    empty = funded_book(0, overflow=overflow, concurrency=runs)
    facts = refused(empty, **ask).facts
    needed_nusd = parse_usd(str(facts["needed_usd"]))
    assert facts["short_usd"] == format_usd(worst_nusd)
    short = refused(funded_book(needed_nusd - 1, overflow=overflow, concurrency=runs), **ask)
    assert parse_usd(str(short.facts["short_usd"])) == worst_nusd - needed_nusd + 1
    assert (
        held(funded_book(needed_nusd, overflow=overflow, concurrency=runs), **ask).amount_nusd <= needed_nusd
    )
