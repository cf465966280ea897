"""Grants: limit, top-up, cut, and the cap above all agents."""

from functools import partial

import pytest

from ledger_kit import (
    AGENT,
    funded_book,
    grant,
    hold_call,
    make_book,
    new_agent,
    refused_code,
    settle,
    spend,
)
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.money import NUSD_MAX


def budget(book: Book, command: cmd.Command) -> tuple[int, int, int, int, int]:
    """Execute a grant; return (remaining, funded, applied, ignored, cut)."""
    (event,) = book.execute(command)
    assert isinstance(event, ev.BudgetSet)
    remaining_nusd = book.state.accounts[AGENT].remaining_nusd
    return remaining_nusd, event.funded_nusd, event.applied_nusd, event.ignored_nusd, event.cut_nusd


@pytest.mark.parametrize(
    ("limit", "topup", "expected"),
    [
        (500, None, (500, 500, 500, 0, 0)),
        (500, 0, (500, 500, 500, 0, 0)),
        (500, 200, (200, 200, 200, 0, 0)),
        (500, 900, (500, 500, 500, 400, 0)),
        (0, None, (0, 0, 0, 0, 0)),
    ],
)
def test_the_first_grant(limit: int, topup: int | None, expected: tuple[int, ...]) -> None:
    """Remaining becomes min(limit, topup or limit)."""
    book = make_book()
    book.execute(new_agent())
    assert budget(book, grant(limit, topup)) == expected


@pytest.mark.parametrize(
    ("limit", "topup", "expected"),
    [
        (1_000, None, (700, 1_000, 0, 0, 0)),
        (1_000, 200, (900, 1_200, 200, 0, 0)),
        (1_000, 500, (1_000, 1_300, 300, 200, 0)),
        (2_000, 500, (1_200, 1_500, 500, 0, 0)),
        (600, None, (600, 900, 0, 0, 100)),
        (600, 50, (600, 900, 0, 50, 100)),
        (0, None, (0, 300, 0, 0, 700)),
    ],
)
def test_a_later_grant(limit: int, topup: int | None, expected: tuple[int, ...]) -> None:
    """Of 1,000, 300 are spent: remaining becomes min(limit, remaining + topup)."""
    book = funded_book(1_000)
    spend(book, "c", 300)
    assert budget(book, grant(limit, topup)) == expected


def test_topping_up_stops_at_the_limit() -> None:
    """What does not fit is ignored, and said so."""
    book = funded_book(1_000)
    spend(book, "c", 300)
    assert budget(book, cmd.TopUp(AGENT, 200, "me")) == (900, 1_200, 200, 0, 0)
    assert budget(book, cmd.TopUp(AGENT, 200, "me")) == (1_000, 1_300, 100, 100, 0)


def test_lowering_a_limit_below_what_is_held_shows_available_negative() -> None:
    """Running holds are left to settle; nothing new is admitted."""
    book = funded_book(5_000)
    book.execute(hold_call("c"))
    book.execute(grant(400))
    account = book.state.accounts[AGENT]
    assert (account.remaining_nusd, account.available_nusd) == (400, -600)
    assert refused_code(lambda: book.execute(hold_call("d", output_tokens=0))) == "budget_held"
    book.execute(settle("c", 1_000))
    assert account.remaining_nusd == -600
    assert budget(book, grant(400, 100))[0] == -500


def test_the_first_daemon_cap_counts_from_now() -> None:
    """What was spent before it is not charged to it; lifting it forgets it."""
    book = funded_book(9_000)
    spend(book, "c", 700)
    book.execute(cmd.SetDaemonLimit(1_000, None, "me"))
    daemon = book.state.daemon
    assert (daemon.funded_nusd, daemon.remaining_nusd, daemon.available_nusd) == (1_700, 1_000, 1_000)
    spend(book, "d", 400)
    book.execute(cmd.TopUpDaemon(250, "me"))
    assert daemon.remaining_nusd == 850
    book.execute(cmd.SetDaemonLimit(100, None, "me"))
    assert daemon.remaining_nusd == 100
    (event,) = book.execute(cmd.SetDaemonLimit(None, None, "me"))
    assert isinstance(event, ev.DaemonLimitSet)
    assert (event.applied_nusd, event.ignored_nusd, event.cut_nusd, event.funded_nusd) == (0, 0, 0, None)
    lifted = (daemon.limit_nusd, daemon.remaining_nusd, daemon.available_nusd)
    assert set(lifted) == {None}
    assert refused_code(lambda: book.execute(cmd.TopUpDaemon(1, "me"))) == "budget_not_found"


def test_a_daemon_cap_that_is_spent_to_the_end_is_filled_again() -> None:
    """From exactly nothing to exactly the limit."""
    book = funded_book(9_000)
    book.execute(cmd.SetDaemonLimit(1_000, None, "me"))
    spend(book, "c", 1_000)
    assert book.state.daemon.remaining_nusd == 0
    (event,) = book.execute(cmd.TopUpDaemon(1_001, "me"))
    assert isinstance(event, ev.DaemonLimitSet)
    assert (event.applied_nusd, event.ignored_nusd, event.cut_nusd) == (1_000, 1, 0)
    assert book.state.daemon.remaining_nusd == 1_000


@pytest.mark.parametrize("amount", [-1, NUSD_MAX + 1, 1.5, True, "5", None])
def test_only_amounts_of_money_are_granted(amount: int) -> None:
    """No negative, no float, no boolean, nothing above 2^53 - 1."""
    book = funded_book(1_000)
    for command in (
        cmd.TopUp(AGENT, amount, "me") if amount is not None else grant(-5),
        cmd.GrantBudget(AGENT, amount, None, "me"),
        cmd.SetDaemonLimit(amount if amount is not None else -7, None, "me"),
    ):
        assert refused_code(partial(book.execute, command)) == "malformed_request"


def test_lifetime_funds_cannot_pass_what_json_readers_hold() -> None:
    """A grant that would is refused whole."""
    book = funded_book(NUSD_MAX)
    spend(book, "c", 5)
    assert refused_code(lambda: book.execute(cmd.TopUp(AGENT, 5, "me"))) == "malformed_request"
    assert book.state.accounts[AGENT].funded_nusd == NUSD_MAX
