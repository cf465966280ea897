"""Idempotency-Keys: bound by a record, for one agent and route, and no longer than memory allows."""

from typing import Any

import pytest

from journals import replayed
from ledger_kit import (
    AGENT,
    HEAD,
    SEGMENT,
    funded_book,
    grant,
    hold_call,
    new_agent,
    open_ledger,
    settle,
)
from sim import SimClock, SimDisk
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger import keys as module
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.keys import KEY_TTL_NS
from spendguard_daemon.ledger.times import NS_PER_SECOND

CHAT = "chat/completions"


def key(name: str = "k", body: str = "b1", route: str = CHAT) -> ev.Idempotency:
    """Return a key as it comes with a request."""
    return ev.Idempotency(name, route, body)


def refusal(book: Book, call_id: str, idempotency: ev.Idempotency, **changes: Any) -> SpendGuardError:
    """Return the refusal of a call; it must change nothing."""
    before = repr(book.state)
    with pytest.raises(SpendGuardError) as caught:
        book.execute(hold_call(call_id, idempotency=idempotency, **changes))
    assert repr(book.state) == before
    return caught.value


def test_a_key_stands_for_its_call_while_that_is_in_flight() -> None:
    """The second request is told which call it is, and to wait; another body is another request."""
    book = funded_book(9_000)
    book.execute(hold_call("c1", idempotency=key()))
    again = refusal(book, "c2", key())
    assert again.code is Code.IDEMPOTENCY_IN_FLIGHT
    assert again.facts == {"first_call_id": "c1", "retry_after_ms": 1_000}
    assert "call c1 has not ended" in again.detail
    other = refusal(book, "c2", key(body="b2"))
    assert (other.code, other.facts) == (Code.IDEMPOTENCY_MISMATCH, {"first_call_id": "c1"})


@pytest.mark.parametrize(
    ("end", "cost_usd"),
    [
        (settle("c1", 300), "0.0000003"),
        (cmd.SettleAtWorst("c1", "timeout", None), "0.000001"),
        (settle("c1", 1_001), "0.000001001"),
    ],
)
def test_a_key_stands_for_its_call_once_that_is_paid(end: cmd.EndCommand, cost_usd: str) -> None:
    """The second request hears what the first cost, corrected or not, with no money left too."""
    book = funded_book(1_500)
    book.execute(hold_call("c1", idempotency=key()))
    book.execute(end)
    done = refusal(book, "c2", key())
    assert done.code is Code.IDEMPOTENCY_DONE
    assert done.facts == {"first_call_id": "c1", "cost_usd": cost_usd}
    assert refusal(book, "c2", key(body="b2")).code is Code.IDEMPOTENCY_MISMATCH
    book.execute(cmd.Freeze(AGENT, "mad", "me"))
    assert refusal(book, "c2", key()).code is Code.IDEMPOTENCY_DONE
    book.execute(cmd.AdjustCall("c1", 20, "the bill says so", "me"))
    assert refusal(book, "c2", key()).facts["cost_usd"] == "0.00000002"


def test_a_call_that_is_forgotten_is_told_at_the_cost_it_ended_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys outlive the calls at hand."""
    monkeypatch.setattr("spendguard_daemon.ledger.apply.ENDED_MAX", 1)
    book = funded_book(9_000)
    for call_id in ("c1", "c2"):
        book.execute(hold_call(call_id, idempotency=key(call_id)))
        book.execute(settle(call_id, 300))
    assert refusal(book, "c3", key("c1")).facts["cost_usd"] == "0.0000003"


def test_a_voided_call_gives_its_key_back() -> None:
    """Nothing was paid, so the request may be made again, with any body."""
    book = funded_book(9_000)
    book.execute(hold_call("c1", idempotency=key()))
    book.execute(cmd.VoidCall("c1", "never sent", None))
    assert book.state.keys == {}
    book.execute(hold_call("c2", idempotency=key(body="b2")))
    assert refusal(book, "c3", key(body="b2")).facts["first_call_id"] == "c2"


def test_a_refused_call_binds_no_key() -> None:
    """Money may be there the next time."""
    book = funded_book(500)
    refused = refusal(book, "c1", key())
    assert refused.code is Code.INSUFFICIENT_BUDGET
    assert book.state.keys == {}


def test_keys_of_other_agents_and_routes_are_other_keys() -> None:
    """And so is a call without one."""
    book = funded_book(9_000, concurrency="shared")
    book.execute(new_agent("agent-2"))
    book.execute(grant(9_000, agent_id="agent-2"))
    book.execute(hold_call("c1", idempotency=key()))
    book.execute(hold_call("c2", agent_id="agent-2", idempotency=key()))
    book.execute(hold_call("c3", idempotency=key(route="responses")))
    book.execute(hold_call("c4"))
    assert len(book.state.keys) == 3
    book.execute(cmd.VoidCall("c4", "never sent", None))
    assert len(book.state.keys) == 3


def test_an_operators_request_made_again_is_not_carried_out_again() -> None:
    """It gets the event that it led to the first time; nothing is recorded."""
    book = funded_book(1_000)
    book.execute(grant(50_000, 1))
    requests: list[cmd.Command] = [
        cmd.TopUp(AGENT, 500, "me", key("k1", route="top_up")),
        cmd.GrantBudget(AGENT, 60_000, 700, "me", key("k1", route="grant_budget")),
        cmd.SetDaemonLimit(90_000, None, "me", key("k1", route="grant_daemon_budget")),
        cmd.TopUpDaemon(40, "me", key("k1", route="top_up_daemon")),
        cmd.NewAgent("agent-9", "n", "shared", "clamp", False, "me", key("k1", route="create_agent")),
    ]
    first = [book.execute(request) for request in requests]
    book.execute(hold_call("c1"))
    book.execute(settle("c1", 10))
    correct = cmd.AdjustCall("c1", 5, "r", "me", key("k1", route="adjust_call/c1"))
    first.append(book.execute(correct))
    assert {f"{AGENT} top_up k1", "- create_agent k1", "- adjust_call/c1 k1"} <= set(book.state.answers)
    before, seq = repr(book.state), book.seq
    made_again = requests[4]
    assert isinstance(made_again, cmd.NewAgent)
    requests[4] = cmd.NewAgent("agent-10", "n", "shared", "clamp", False, "me", made_again.idempotency)
    assert [book.execute(request) for request in [*requests, correct]] == first
    assert (repr(book.state), book.seq) == (before, seq)
    assert [type(events[0]).__name__ for events in first] == [
        "BudgetSet",
        "BudgetSet",
        "DaemonLimitSet",
        "DaemonLimitSet",
        "AgentNew",
        "Adjust",
    ]
    other = cmd.TopUp(AGENT, 501, "me", key("k1", "b2", route="top_up"))
    with pytest.raises(SpendGuardError) as caught:
        book.execute(other)
    assert (caught.value.code, caught.value.facts) == (Code.IDEMPOTENCY_MISMATCH, {})


def test_a_request_without_a_key_is_carried_out_each_time() -> None:
    """As ever."""
    book = funded_book(1_000)
    book.execute(grant(50_000, 1))
    for _ in range(2):
        book.execute(cmd.TopUp(AGENT, 500, "me"))
    assert book.state.accounts[AGENT].funded_nusd == 2_001


def aged_book(clock: SimClock) -> Book:
    """Return a book on a clock of the test's."""
    from ledger_kit import make_book

    book = make_book(clock)
    book.execute(new_agent(concurrency="shared"))
    book.execute(grant(90_000))
    return book


def test_a_key_is_forgotten_after_a_day() -> None:
    """By the time of the records: at the first record with a key after that day."""
    clock = SimClock()
    book = aged_book(clock)
    book.execute(hold_call("c1", idempotency=key("k1")))
    clock.advance(KEY_TTL_NS / NS_PER_SECOND - 1)
    book.execute(hold_call("c2", idempotency=key("k2")))
    assert refusal(book, "c3", key("k1")).code is Code.IDEMPOTENCY_IN_FLIGHT
    clock.advance(1)
    book.execute(hold_call("c3", idempotency=key("k1")))
    assert list(book.state.keys) == [f"{AGENT} {CHAT} k2", f"{AGENT} {CHAT} k1"]
    # The end of the first call says nothing about the second call of that key.
    book.execute(settle("c1", 7))
    assert refusal(book, "c4", key("k1")).facts == {"first_call_id": "c3", "retry_after_ms": 1_000}
    clock.advance(KEY_TTL_NS / NS_PER_SECOND)
    book.execute(hold_call("c5", idempotency=key("k3")))
    assert list(book.state.keys) == [f"{AGENT} {CHAT} k3"]
    book.execute(settle("c3", 7))
    assert list(book.state.keys) == [f"{AGENT} {CHAT} k3"]


def test_the_number_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten first."""
    monkeypatch.setattr(module, "KEYS_MAX", 2)
    book = funded_book(9_000)
    for index in range(4):
        book.execute(hold_call(f"c{index}", idempotency=key(f"k{index}")))
    assert list(book.state.keys) == [f"{AGENT} {CHAT} k2", f"{AGENT} {CHAT} k3"]


@pytest.mark.parametrize("how", ["killed", "crash"])
def test_a_key_outlives_a_restart(how: str) -> None:
    """The call that was in flight is paid at worst by then, so it is done."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock)
    ledger.post(new_agent())
    ledger.post(grant(9_000))
    ledger.post(cmd.GrantBudget(AGENT, 9_000, 9, "me", key("g", route="grant_budget")))
    ledger.post(hold_call("c1", idempotency=key()))
    assert b'"idempotency":{"key":"k","route":"chat/completions","body":"b1"}' in disk.read(SEGMENT)
    found, state = replayed(disk.read(SEGMENT), disk.read(HEAD))
    assert found.torn is None
    assert state == ledger.state
    again = open_ledger(getattr(disk, how)(), clock)
    with pytest.raises(SpendGuardError) as caught:
        again.post(hold_call("c2", idempotency=key()))
    assert caught.value.facts == {"first_call_id": "c1", "cost_usd": "0.000001"}
    (event,) = again.post(cmd.GrantBudget(AGENT, 9_000, 9, "me", key("g", route="grant_budget")))
    assert isinstance(event, ev.BudgetSet)
    assert (event.applied_nusd, event.ignored_nusd) == (0, 9)


def test_unconfirmed_money_is_counted_in_full_and_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not at hand any more is still in the sums; correcting a call takes it out of both."""
    monkeypatch.setattr("spendguard_daemon.ledger.apply.UNCONFIRMED_MAX", 2)
    monkeypatch.setattr("spendguard_daemon.ledger.apply.ENDED_MAX", 1)
    book = funded_book(90_000)
    for index in range(3):
        book.execute(hold_call(f"c{index}"))
        book.execute(cmd.SettleAtWorst(f"c{index}", "timeout", None))
    book.execute(hold_call("c3"))
    book.execute(settle("c3", 1_001))
    state = book.state
    assert list(state.unconfirmed) == ["c2", "c3"]
    assert (state.unconfirmed_calls, state.unconfirmed_nusd) == (4, 4_001)
    book.execute(cmd.AdjustCall("c2", 400, "r", "me"))
    assert (state.unconfirmed_calls, state.unconfirmed_nusd) == (3, 3_001)
    book.execute(cmd.AdjustCall("c2", 300, "r", "me"))
    assert (state.unconfirmed_calls, state.unconfirmed_nusd, list(state.unconfirmed)) == (3, 3_001, ["c3"])
    with pytest.raises(SpendGuardError) as caught:
        book.execute(cmd.AdjustCall("c0", 1, "r", "me"))
    assert caught.value.code is Code.CALL_NOT_FOUND
