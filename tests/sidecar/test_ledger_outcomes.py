"""How calls end, and how a person corrects it."""

from functools import partial

import pytest

from ledger_kit import (
    AGENT,
    funded_book,
    grant,
    hold_call,
    new_agent,
    refused_code,
    settle,
    spend,
)
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.state import ENDED_MAX
from spendguard_daemon.money import NUSD_MAX


@pytest.mark.parametrize(
    ("cost", "frozen"),
    [(1_001, False), (1_010, False), (1_011, True), (5_000, True)],
)
def test_an_overrun_is_booked_whole_and_freezes_when_large(cost: int, frozen: bool) -> None:
    """Above one percent of the hold the agent stops; the rung is distrusted in any case."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    events = book.execute(settle("c", cost))
    assert isinstance(events[-1], ev.Overrun), "of a torn batch it must not be left without its freeze"
    account = book.state.accounts[AGENT]
    assert (account.settled_nusd, account.held_nusd) == (cost, 0)
    assert (account.frozen_reason is not None) == frozen == (len(events) == 2)
    assert book.state.distrusted == {("openai", "gpt-4o-mini", "bytes")}
    assert book.state.unconfirmed["c"].cost_nusd == cost


def test_an_overrun_of_a_percent_is_told_to_the_nano_dollar() -> None:
    """Of a hold of 10,000 nUSD it is 100."""
    for cost, frozen in ((10_100, False), (10_101, True)):
        book = funded_book(50_000)
        book.execute(hold_call("c", output_tokens=100, floor_output_tokens=100))
        assert (len(book.execute(settle("c", cost))) == 2) == frozen


def test_an_overrun_that_spends_the_last_of_the_money_does_not_freeze() -> None:
    """Nothing is left, and nothing is owed."""
    book = funded_book(1_005)
    book.execute(hold_call("c"))
    assert len(book.execute(settle("c", 1_005))) == 1
    assert book.state.accounts[AGENT].remaining_nusd == 0


def test_what_was_spent_since_a_restore_is_an_amount_and_leaves_room_for_what_is_held() -> None:
    """Checked where a person can still correct it."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    book.record(ev.Restored(generation=2, backup_ts="", manifest_sha256="", actor="me"))
    for amount in (-1, NUSD_MAX - 999, NUSD_MAX + 1):
        command = cmd.ConfirmRestored(AGENT, amount, "the page", "me")
        assert refused_code(partial(book.execute, command)) == "malformed_request"
    book.execute(cmd.ConfirmRestored(AGENT, NUSD_MAX - 1_000, "absurd, but it fits", "me"))
    assert book.state.accounts[AGENT].settled_nusd == NUSD_MAX - 1_000


def test_an_overrun_into_the_red_freezes_however_small() -> None:
    """Remaining is shown negative, never clamped; an operator's own freeze is not overwritten."""
    book = funded_book(1_000)
    book.execute(hold_call("c"))
    assert len(book.execute(settle("c", 1_001))) == 2
    assert book.state.accounts[AGENT].remaining_nusd == -1
    assert not book.state.turns.attached("c"), "it has ended, so it has no lock"
    book = funded_book(1_000)
    book.execute(hold_call("c"))
    book.execute(cmd.Freeze(AGENT, "mine", "me"))
    assert len(book.execute(settle("c", 1_001))) == 1
    assert book.state.accounts[AGENT].frozen_reason == "mine"


def test_what_is_unknown_is_charged_at_the_hold_until_adjusted() -> None:
    """I7, and the list of unconfirmed money."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    book.execute(cmd.SettleAtWorst("c", "timeout", 504))
    assert book.state.accounts[AGENT].settled_nusd == 1_000
    assert set(book.state.unconfirmed) == {"c"}
    (event,) = book.execute(cmd.AdjustCall("c", 250, "invoice 7", "me"))
    assert isinstance(event, ev.Adjust)
    assert (event.from_nusd, event.to_nusd, event.settled_nusd) == (1_000, 250, 250)
    assert book.state.unconfirmed == {}
    assert book.execute(cmd.AdjustCall("c", 250, "again", "me")) == ()


def test_adjusting_to_the_same_amount_confirms_it_once() -> None:
    """The operator has seen the bill: the worst case was the cost."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    book.execute(cmd.SettleAtWorst("c", "timeout", None))
    assert len(book.execute(cmd.AdjustCall("c", 1_000, "so it was", "me"))) == 1
    assert book.state.unconfirmed == {}
    assert book.execute(cmd.AdjustCall("c", 1_000, "so it was", "me")) == ()


def test_only_ended_calls_are_adjusted() -> None:
    """Open ones have their hold; unknown ones are unknown; absurd amounts are none."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    assert refused_code(lambda: book.execute(cmd.AdjustCall("c", 1, "r", "me"))) == "ledger_refused"
    assert refused_code(lambda: book.execute(cmd.AdjustCall("x", 1, "r", "me"))) == "call_not_found"
    assert refused_code(lambda: book.execute(cmd.AdjustCall("c", -1, "r", "me"))) == "malformed_request"


def test_calls_of_a_deleted_agent_still_end_and_count() -> None:
    """Deleting hides; it does not forgive."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    book.execute(hold_call("d"))
    book.execute(cmd.DeleteAgent(AGENT, "me"))
    book.execute(settle("c", 9))
    book.execute(cmd.SettleAtWorst("d", "r", None))
    book.execute(cmd.AdjustCall("d", 90, "r", "me"))
    assert book.state.daemon.settled_nusd == book.state.accounts[AGENT].settled_nusd == 99
    assert refused_code(lambda: book.execute(new_agent())) == "ledger_refused"
    for command in (
        grant(5),
        cmd.TopUp(AGENT, 5, "me"),
        cmd.Freeze(AGENT, "r", "me"),
        cmd.DeleteAgent(AGENT, "me"),
    ):
        assert refused_code(partial(book.execute, command)) == "agent_not_found"


def test_a_settlement_beyond_all_money_is_refused_and_the_call_stays_open() -> None:
    """The caller can still settle it at worst."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    for cost in (-1, NUSD_MAX + 1):
        assert refused_code(partial(book.execute, settle("c", cost))) == "malformed_request"
    assert "c" in book.state.open_calls


def test_reasons_are_cut_to_fit_a_record() -> None:
    """A provider's long error does not keep a call from ending."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    (event,) = book.execute(cmd.VoidCall("c", "x" * 100_000, 400))
    assert isinstance(event, ev.Void)
    assert event.reason == "x" * 500


def test_ended_calls_are_bounded_but_unconfirmed_ones_are_kept() -> None:
    """The oldest confirmed call is forgotten; what a person has yet to judge never is."""
    book = funded_book(NUSD_MAX // 2)
    for call_id in ("worst", "known"):
        book.execute(hold_call(call_id))
    book.execute(cmd.SettleAtWorst("worst", "r", None))
    book.execute(settle("known", 5))
    for index in range(ENDED_MAX):
        spend(book, f"c{index}", 0)
    assert len(book.state.ended) == ENDED_MAX
    assert refused_code(lambda: book.execute(cmd.AdjustCall("known", 1, "r", "me"))) == "call_not_found"
    book.execute(cmd.AdjustCall("worst", 1, "r", "me"))
    assert len(book.state.ended) == ENDED_MAX
    assert book.execute(cmd.AdjustCall("worst", 1, "r", "me")) == ()


def test_an_end_is_never_refused_however_large_the_sums() -> None:
    """A refused end would leave its hold open for ever, and a ledger that cannot be opened again."""
    book = funded_book(50_000)
    book.execute(hold_call("a"))
    book.execute(hold_call("b"))
    book.execute(hold_call("c"))
    book.execute(settle("a", NUSD_MAX))
    book.execute(settle("b", NUSD_MAX))
    book.execute(cmd.SettleAtWorst("c", "crash", None))
    account = book.state.accounts[AGENT]
    assert (account.settled_nusd, account.held_nusd) == (2 * NUSD_MAX + 1_000, 0)


def test_an_adjustment_leaves_room_for_what_is_held() -> None:
    """What a person enters is checked where the person can still correct it."""
    book = funded_book(50_000)
    book.execute(hold_call("a"))
    book.execute(settle("a", 1_000))
    book.execute(hold_call("b"))
    assert (
        refused_code(lambda: book.execute(cmd.AdjustCall("a", NUSD_MAX, "typo", "me"))) == "malformed_request"
    )
    book.execute(cmd.AdjustCall("a", NUSD_MAX - 1_000, "absurd, but it fits", "me"))
    book.execute(cmd.SettleAtWorst("b", "crash", None))
    assert book.state.accounts[AGENT].settled_nusd == NUSD_MAX
