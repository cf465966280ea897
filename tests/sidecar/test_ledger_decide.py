"""Agents, prices, and what decide must never do."""

from functools import partial

import pytest

from ledger_kit import (
    AGENT,
    NOW,
    funded_book,
    hold_call,
    make_book,
    new_agent,
    refused_code,
    settle,
)
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.decide import decide


def test_repeating_a_setting_records_nothing() -> None:
    """Freeze, unfreeze, change, accept, sent: the second time there is nothing to do."""
    book = funded_book(5_000)
    book.execute(hold_call("c"))
    for command in (
        cmd.Freeze(AGENT, "mad", "me"),
        cmd.Unfreeze(AGENT, "me"),
        cmd.ChangeAgent(AGENT, name="other", concurrency="shared", overflow="refuse"),
        cmd.ChangeAgent(AGENT, needs_key=True),
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
    book.execute(cmd.ChangeAgent(AGENT, concurrency="shared"))
    assert (account.name, account.concurrency, account.overflow) == ("n", "shared", "refuse")
    book.execute(cmd.ChangeAgent(AGENT, name="other"))
    assert (account.name, account.concurrency, account.overflow) == ("other", "shared", "refuse")


def test_prices_never_go_back_for_a_key() -> None:
    """Older, or equal with other content: refused; another key has its own mark."""
    book = make_book()
    book.execute(cmd.AcceptPrices(5, "a", "key-1", "local"))
    for sequence, digest in ((4, "a"), (5, "b")):
        command = cmd.AcceptPrices(sequence, digest, "key-1", "local")
        assert refused_code(partial(book.execute, command)) == "pricing_rollback"
    book.execute(cmd.AcceptPrices(6, "b", "key-1", "local"))
    assert (
        refused_code(lambda: book.execute(cmd.AcceptPrices(5, "a", "key-1", "local"))) == "pricing_rollback"
    )
    book.execute(cmd.AcceptPrices(1, "c", "key-2", "remote"))
    book.execute(cmd.AcceptPrices(6, "b", "key-1", "local"))
    assert book.state.prices is not None
    assert (book.state.prices.key_id, book.state.high_water["key-2"].sequence) == ("key-1", 1)


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
