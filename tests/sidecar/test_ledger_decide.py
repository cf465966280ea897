"""What follows from a command: grants, agents, prices, and the ends of calls."""

import pytest

from ledger_kit import AGENT, NOW, funded_book, grant, hold_call, make_book, new_agent, refused_code, settle
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.apply import ContradictionError, apply
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.decide import decide
from spendguard_daemon.ledger.state import ENDED_MAX
from spendguard_daemon.money import NUSD_MAX


def budget(book: Book, command: cmd.Command) -> tuple[int, int, int, int, int]:
    """Execute a grant; return (remaining, funded, applied, ignored, cut)."""
    (event,) = book.execute(command)
    assert isinstance(event, ev.BudgetSet)
    remaining_nusd = book.state.accounts[AGENT].remaining_nusd
    return remaining_nusd, event.funded_nusd, event.applied_nusd, event.ignored_nusd, event.cut_nusd


def spend(book: Book, call_id: str, cost_nusd: int) -> None:
    """Hold and settle one call."""
    book.execute(hold_call(call_id))
    book.execute(settle(call_id, cost_nusd))


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
    book.execute(cmd.SetDaemonLimit(None, None, "me"))
    assert (daemon.limit_nusd, daemon.remaining_nusd, daemon.available_nusd) == (None, None, None)
    assert refused_code(lambda: book.execute(cmd.TopUpDaemon(1, "me"))) == "budget_not_found"


@pytest.mark.parametrize("amount", [-1, NUSD_MAX + 1, 1.5, True, "5", None])
def test_only_amounts_of_money_are_granted(amount: int) -> None:
    """No negative, no float, no boolean, nothing above 2^53 - 1."""
    book = funded_book(1_000)
    for command in (
        cmd.TopUp(AGENT, amount, "me") if amount is not None else grant(-5),
        cmd.GrantBudget(AGENT, amount, None, "me"),
        cmd.SetDaemonLimit(amount if amount is not None else -7, None, "me"),
    ):
        assert refused_code(lambda command=command: book.execute(command)) == "malformed_request"


def test_lifetime_funds_cannot_pass_what_json_readers_hold() -> None:
    """A grant that would is refused whole."""
    book = funded_book(NUSD_MAX)
    spend(book, "c", 5)
    assert refused_code(lambda: book.execute(cmd.TopUp(AGENT, 5, "me"))) == "malformed_request"
    assert book.state.accounts[AGENT].funded_nusd == NUSD_MAX


def test_repeating_a_setting_records_nothing() -> None:
    """Freeze, unfreeze, change, accept, sent: the second time there is nothing to do."""
    book = funded_book(5_000)
    book.execute(hold_call("c"))
    for command in (
        cmd.Freeze(AGENT, "mad", "me"),
        cmd.Unfreeze(AGENT, "me"),
        cmd.ChangeAgent(AGENT, name="other", concurrency="shared", overflow="refuse"),
        cmd.AcceptPrices(1, "a", "key", "local"),
        cmd.MarkSent("c", []),
    ):
        assert len(book.execute(command)) == 1
        assert book.execute(command) == ()


def test_a_changed_agent_keeps_what_was_not_named() -> None:
    """The record names only what changed."""
    book = funded_book(5_000)
    (event,) = book.execute(cmd.ChangeAgent(AGENT, name="n", overflow="refuse", actor="me"))
    assert event == ev.AgentSet(agent_id=AGENT, actor="me", overflow="refuse")
    account = book.state.accounts[AGENT]
    assert (account.name, account.concurrency, account.overflow) == ("n", "exclusive", "refuse")


def test_prices_never_go_back_for_a_key() -> None:
    """Older, or equal with other content: refused; another key has its own mark."""
    book = make_book()
    book.execute(cmd.AcceptPrices(5, "a", "key-1", "local"))
    for sequence, digest in ((4, "a"), (5, "b")):
        command = cmd.AcceptPrices(sequence, digest, "key-1", "local")
        assert refused_code(lambda command=command: book.execute(command)) == "pricing_rollback"
    book.execute(cmd.AcceptPrices(1, "c", "key-2", "remote"))
    book.execute(cmd.AcceptPrices(5, "a", "key-1", "local"))
    assert book.state.prices is not None
    assert (book.state.prices.key_id, book.state.high_water["key-2"].sequence) == ("key-1", 1)


@pytest.mark.parametrize(
    ("cost", "frozen"),
    [(1_001, False), (1_010, False), (1_011, True), (5_000, True)],
)
def test_an_overrun_is_booked_whole_and_freezes_when_large(cost: int, frozen: bool) -> None:
    """Above one percent of the hold the agent stops; the rung is distrusted in any case."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    events = book.execute(settle("c", cost))
    assert isinstance(events[0], ev.Overrun)
    account = book.state.accounts[AGENT]
    assert (account.settled_nusd, account.held_nusd) == (cost, 0)
    assert (account.frozen_reason is not None) == frozen == (len(events) == 2)
    assert book.state.distrusted == {("openai", "gpt-4o-mini", "bytes")}
    assert book.state.unconfirmed["c"].cost_nusd == cost


def test_an_overrun_into_the_red_freezes_however_small() -> None:
    """Remaining is shown negative, never clamped; an operator's own freeze is not overwritten."""
    book = funded_book(1_000)
    book.execute(hold_call("c"))
    assert len(book.execute(settle("c", 1_001))) == 2
    assert book.state.accounts[AGENT].remaining_nusd == -1
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
        assert refused_code(lambda command=command: book.execute(command)) == "agent_not_found"


def test_a_settlement_beyond_all_money_is_refused_and_the_call_stays_open() -> None:
    """The caller can still settle it at worst."""
    book = funded_book(50_000)
    book.execute(hold_call("c"))
    for cost in (-1, NUSD_MAX + 1):
        assert refused_code(lambda cost=cost: book.execute(settle("c", cost))) == "malformed_request"
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


def test_a_refused_command_changes_nothing_and_uses_no_number() -> None:
    """decide only looks."""
    book = funded_book(1_000)
    book.execute(hold_call("c"))
    before, seq = repr(book.state), book.seq
    for command in (
        hold_call("d"),
        settle("x", 1),
        cmd.MarkSent("x", []),
        cmd.SettleAtWorst("x", "r", None),
        cmd.VoidCall("x", "r", None),
        cmd.ChangeAgent("x"),
        new_agent(),
    ):
        with pytest.raises(SpendGuardError):
            book.execute(command)
    assert (repr(book.state), book.seq) == (before, seq)


def test_deciding_does_not_change_the_state() -> None:
    """Only apply does."""
    book = funded_book(5_000)
    before = repr(book.state)
    assert len(decide(book.state, hold_call("c"), NOW)) == 1
    assert repr(book.state) == before


def contradictions() -> list[ev.Event]:
    """Return events that cannot follow in a book where call c is open and call e has ended at 5 nUSD."""
    balances = {"funded_nusd": 5_000, "settled_nusd": 5, "held_nusd": 0}
    end = {"call_id": "c", "agent_id": AGENT, "hold_nusd": 1_000, "http_status": None, "reason": "r"}
    return [
        ev.Void(**(end | balances | {"call_id": "x"})),
        ev.Void(**(end | balances | {"hold_nusd": 999})),
        ev.Void(**(end | balances | {"agent_id": "x"})),
        ev.Void(**(end | balances | {"held_nusd": 1})),
        ev.Void(**(end | balances | {"settled_nusd": 4})),
        ev.Void(**(end | balances | {"funded_nusd": 4})),
        ev.Sent(call_id="x", agent_id=AGENT, changed=[]),
        ev.Adjust(call_id="e", agent_id=AGENT, from_nusd=4, to_nusd=5, reason="", actor="", **balances),
        ev.Adjust(call_id="c", agent_id=AGENT, from_nusd=0, to_nusd=0, reason="", actor="", **balances),
        ev.Freeze(agent_id="x", reason="r", actor="me"),
        ev.AgentNew(agent_id=AGENT, name="n", concurrency="shared", overflow="clamp", mock=False, actor="me"),
        ev.DaemonLimitSet(
            limit_nusd=5,
            applied_nusd=5,
            ignored_nusd=0,
            cut_nusd=0,
            actor="me",
            funded_nusd=5,
            settled_nusd=0,
            held_nusd=0,
        ),
    ]


@pytest.mark.parametrize("event", contradictions())
def test_an_event_that_cannot_follow_is_a_contradiction(event: ev.Event) -> None:
    """Replay checks each record against those before it."""
    book = funded_book(5_000)
    spend(book, "e", 5)
    book.execute(hold_call("c"))
    with pytest.raises(ContradictionError):
        apply(book.state, event, NOW.wall_ns)


def test_a_second_hold_of_an_open_call_is_a_contradiction() -> None:
    """A call has one hold."""
    book = funded_book(5_000)
    (hold,) = book.execute(hold_call("c"))
    with pytest.raises(ContradictionError):
        apply(book.state, hold, NOW.wall_ns)
