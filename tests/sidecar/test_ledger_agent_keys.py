"""Agents' keys: who may add, rotate and revoke one, what a call may spend with it, what is forgotten when."""

import copy
import hashlib
from functools import partial
from typing import Any

import pytest

from ledger_kit import (
    AGENT,
    add_key,
    funded_book,
    grant,
    held,
    hold_call,
    new_agent,
    offer,
    refused,
    refused_code,
    settle,
)
from spendguard_daemon.codes import NOTHING_FITS
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import agent_keys, key_ring
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.admission import fits, refusal
from spendguard_daemon.ledger.agent_keys import live_key
from spendguard_daemon.ledger.apply import apply
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.lines import encode_body
from spendguard_daemon.ledger.sealed import go_on
from spendguard_daemon.ledger.snapshot import SnapshotError, decode, encode, snapshot_of
from spendguard_daemon.ledger.state import AgentKey, ContradictionError
from spendguard_daemon.ledger.times import NS_PER_SECOND, format_time_ms

HOUR_NS = 3600 * NS_PER_SECOND


def keyed_book(limit_nusd: int | None = None, child_limit_nusd: int | None = None) -> Book:
    """Return a book whose shared agent has 100,000 nUSD, a key and a child of it that is good for an hour."""
    book = funded_book(100_000, concurrency="shared")
    book.execute(add_key("root", limit_nusd=limit_nusd))
    ends_ns = book.now().wall_ns + HOUR_NS
    book.execute(add_key("child", parent_id="root", limit_nusd=child_limit_nusd, expires_ns=ends_ns))
    return book


def tick(book: Book, seconds: float) -> None:
    """Let time pass for a book."""
    book._clock.advance(seconds)  # type: ignore[attr-defined]


def money(book: Book) -> dict[str, tuple[int, int]]:
    """Return what each key has settled and holds."""
    return {key_id: (key.settled_nusd, key.held_nusd) for key_id, key in book.state.agent_keys.items()}


# -- adding ------------------------------------------------------------------------------------------------


def test_a_key_is_added_with_all_that_narrows_it() -> None:
    """The record says it, and the state has it."""
    book = funded_book(5_000)
    now_ns = book.now().wall_ns
    command = add_key(
        limit_nusd=70,
        expires_ns=now_ns + HOUR_NS + 999_999,
        models=("openai/*",),
        label="nightly",
        run_id="run-9",
    )
    (event,) = book.execute(command)
    assert event == ev.KeyAdd(
        agent_id=AGENT,
        key_id="root",
        public="public of root",
        kind="agent",
        actor="test",
        limit_nusd=70,
        expires_at=format_time_ms(now_ns + HOUR_NS),
        models=["openai/*"],
        label="nightly",
        run_id="run-9",
    )
    assert b'"crit":true' in encode_body(event)
    assert book.state.agent_keys["root"] == AgentKey(
        key_id="root",
        agent_id=AGENT,
        parent_id=None,
        public="public of root",
        kind="agent",
        limit_nusd=70,
        expires_ns=now_ns + HOUR_NS,
        models=["openai/*"],
        label="nightly",
        run_id="run-9",
        created_ns=now_ns,
    )
    assert book.state.agent_keys["root"].available_nusd == 70


def test_a_key_that_is_known_is_not_added_twice() -> None:
    """The same one is no news; with another secret, agent or parent it is nobody's."""
    book = keyed_book()
    book.execute(new_agent("other"))
    seq = book.seq
    assert book.execute(add_key("root")) == ()
    assert book.seq == seq
    ends_ns = book.now().wall_ns + HOUR_NS
    for command in (
        add_key("root", public="x"),
        add_key("root", agent_id="other"),
        add_key("child", public="public of child", parent_id=None),
        add_key("grandchild", agent_id="other", parent_id="root", expires_ns=ends_ns),
        add_key("grandchild", parent_id="nobody", expires_ns=ends_ns),
    ):
        assert refused_code(partial(book.execute, command)) == "key_unknown"
    book.execute(cmd.RevokeKey(AGENT, "root", "me"))
    assert refused_code(partial(book.execute, add_key("root"))) == "key_unknown"
    assert refused_code(partial(book.execute, add_key("new", agent_id="nobody"))) == "agent_not_found"


def test_a_request_that_comes_again_adds_no_second_key() -> None:
    """It gets the first answer, which names the first key; for another agent it is another request."""
    book = funded_book(5_000)
    book.execute(new_agent("other"))
    again = ev.Idempotency("k", "create_key", "b")
    (first,) = book.execute(add_key("one", idempotency=again))
    assert book.execute(add_key("two", idempotency=again)) == (first,)
    assert list(book.state.agent_keys) == ["one"]
    (other,) = book.execute(add_key("three", agent_id="other", idempotency=again))
    assert isinstance(other, ev.KeyAdd)
    assert other.key_id == "three"
    assert sorted(book.state.answers) == [f"{AGENT} create_key k", "other create_key k"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"limit_nusd": -1}, "malformed_request"),
        ({"limit_nusd": 2**53}, "malformed_request"),
        ({"label": "x" * 101}, "malformed_request"),
        ({"models": ["m"] * 33}, "malformed_request"),
        ({"models": ["a", ""]}, "malformed_request"),
        ({"models": ["m" * 101]}, "malformed_request"),
        ({"models": ['"']}, "malformed_request"),
        ({"models": ["\\"]}, "malformed_request"),
        ({"models": ["a b"]}, "malformed_request"),
        ({"expires_ns": -1}, "malformed_request"),
        ({"expires_ns": agent_keys.EXPIRES_NS_MAX}, "malformed_request"),
        ({"kind": "child"}, "ledger_refused"),
        ({"parent_id": "root", "kind": "agent", "expires_ns": 2**62}, "ledger_refused"),
        ({"parent_id": "root", "kind": "child"}, "ledger_refused"),
        ({"expires_ns": 0}, "key_expired"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_added(changes: dict[str, Any], code: str) -> None:
    """Bounds of what is kept of it, and a child that could not be forgotten."""
    book = keyed_book()
    assert refused_code(partial(book.execute, add_key("new", **changes))) == code
    assert "new" not in book.state.agent_keys


def test_the_widest_key_there_can_be_is_added() -> None:
    """Each bound itself is allowed."""
    book = keyed_book()
    widest = add_key(
        "widest",
        limit_nusd=2**53 - 1,
        label="x" * 100,
        models=["m" * 100] * 32,
        expires_ns=agent_keys.EXPIRES_NS_MAX - 1,
    )
    (event,) = book.execute(widest)
    assert isinstance(event, ev.KeyAdd)
    assert event.expires_at == "9999-12-31T23:59:59.999Z"
    assert len(book.execute(add_key("narrowest", limit_nusd=0, models=()))) == 1
    assert book.state.agent_keys["narrowest"].models == []


def test_a_key_is_as_small_as_the_format_says() -> None:
    """In a snapshot, the longest that may come, each character as long as it can be in JSON."""
    book, agent_id = funded_book(5_000), "a" * 36
    book.execute(new_agent(agent_id))
    ends_ns = agent_keys.EXPIRES_NS_MAX - 1
    longest = {
        "agent_id": agent_id,
        "public": "f" * 64,
        "label": "\N{GRINNING FACE}" * 100,
        "models": ["~" * 100] * 32,
        "run_id": "\N{GRINNING FACE}" * 20 + "r" * 108,
        "limit_nusd": 2**53 - 1,
        "expires_ns": ends_ns,
    }
    book.execute(add_key("f" * 16, idempotency=ev.Idempotency('"' * 128, "create_key", "f" * 32), **longest))
    book.execute(add_key("e" * 16, agent_id=agent_id, public="f" * 64, label="nightly"))
    raw, _ = encode(snapshot_of(book.state, book.history, 1, "0" * 32, 1), go_on)
    sizes = [len(line) for line in raw.splitlines() if line.startswith(b'{"key_id"')]
    assert sizes[0] <= 5_500
    assert sizes[1] <= 400
    (answer,) = [line for line in raw.splitlines() if line.startswith(b'{"scope"')]
    assert len(answer) <= 7_500


def test_a_child_ends_when_its_parent_ends() -> None:
    """All expiries of a lineage count, so the earliest is each one's own."""
    book = funded_book(5_000)
    now_ns = book.now().wall_ns
    book.execute(add_key("root", expires_ns=now_ns + HOUR_NS))
    book.execute(add_key("short", parent_id="root", expires_ns=now_ns + HOUR_NS - NS_PER_SECOND))
    book.execute(add_key("long", parent_id="root", expires_ns=now_ns + 9 * HOUR_NS))
    book.execute(add_key("longer", parent_id="long", expires_ns=now_ns + 9 * HOUR_NS))
    ends = {key_id: key.expires_ns for key_id, key in book.state.agent_keys.items()}
    assert ends == {
        "root": now_ns + HOUR_NS,
        "short": now_ns + HOUR_NS - NS_PER_SECOND,
        "long": now_ns + HOUR_NS,
        "longer": now_ns + HOUR_NS,
    }
    tick(book, 3600)
    late = add_key("late", parent_id="root", expires_ns=now_ns + 9 * HOUR_NS)
    assert refused_code(partial(book.execute, late)) == "key_expired"


def test_the_number_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each agent; one that has ended makes room, unless its signature would bring it back."""
    monkeypatch.setattr(agent_keys, "KEYS_MAX", 3)
    book = keyed_book()
    book.execute(new_agent("other"))
    book.execute(add_key("third"))
    fourth = add_key("fourth")
    with pytest.raises(SpendGuardError) as caught:
        book.execute(fourth)
    assert (caught.value.code, caught.value.facts["key_id"]) == (Code.KEYS_TOO_MANY, "fourth")
    assert len(book.execute(add_key("of-other", agent_id="other"))) == 1
    book.execute(cmd.RevokeKey(AGENT, "child", "me"))
    assert refused_code(partial(book.execute, fourth)) == "keys_too_many"
    book.execute(cmd.RevokeKey(AGENT, "third", "me"))
    assert len(book.execute(fourth)) == 1
    assert refused_code(partial(book.execute, add_key("fifth"))) == "keys_too_many"
    tick(book, 3600)
    assert len(book.execute(add_key("fifth"))) == 1


# -- rotating and revoking ---------------------------------------------------------------------------------


def test_rotation_keeps_the_key_and_ends_its_children() -> None:
    """Id, limit and spend stay; who has the old secret, and what was made from it, is out."""
    book = keyed_book(limit_nusd=5_000)
    ends_ns = book.now().wall_ns + HOUR_NS
    book.execute(add_key("grandchild", parent_id="child", expires_ns=ends_ns))
    book.execute(add_key("beside"))
    held(book, "c", keys=("root", "child"))
    (event,) = book.execute(cmd.RotateKey(AGENT, "root", "new", "me"))
    assert event == ev.KeyRotate(agent_id=AGENT, key_id="root", public="new", actor="me")
    assert book.execute(cmd.RotateKey(AGENT, "root", "new", "me")) == ()
    assert {key_id: key.revoked for key_id, key in book.state.agent_keys.items()} == {
        "root": False,
        "child": True,
        "grandchild": True,
        "beside": False,
    }
    root = book.state.agent_keys["root"]
    assert (root.public, root.limit_nusd, root.held_nusd) == ("new", 5_000, 1_000)
    assert refused(book, keys=("root", "child")).code is Code.KEY_UNKNOWN
    assert held(book, "d", keys=("root",)).keys == ["root"]
    book.execute(settle("c", 400))
    assert money(book)["child"] == (400, 0)
    assert money(book)["root"] == (400, 1_000)


def test_only_a_live_key_of_an_operator_is_rotated() -> None:
    """A child's id is the name of its secret; what has ended stays so."""
    book = keyed_book()
    book.execute(add_key("gone"))
    book.execute(cmd.RevokeKey(AGENT, "gone", "me"))
    book.execute(add_key("short", expires_ns=book.now().wall_ns + HOUR_NS))
    book.execute(new_agent("other"))
    tick(book, 3600)
    for key_id, code in (
        ("child", "ledger_refused"),
        ("gone", "key_unknown"),
        ("short", "key_expired"),
        ("nobody", "key_not_found"),
    ):
        command = cmd.RotateKey(AGENT, key_id, "new", "me")
        assert refused_code(partial(book.execute, command)) == code
    of_other = cmd.RotateKey("other", "root", "new", "me")
    assert refused_code(partial(book.execute, of_other)) == "key_not_found"
    assert refused_code(partial(book.execute, cmd.RevokeKey("other", "root", "me"))) == "key_not_found"
    assert refused_code(partial(book.execute, cmd.RevokeKey("nobody", "root", "me"))) == "agent_not_found"


def test_a_revoked_key_ends_with_its_descendants_and_their_calls_settle() -> None:
    """An end is never refused."""
    book = keyed_book()
    book.execute(add_key("beside"))
    held(book, "c", keys=("root", "child"))
    (event,) = book.execute(cmd.RevokeKey(AGENT, "root", "me"))
    assert event == ev.KeyRevoke(agent_id=AGENT, key_id="root", actor="me")
    assert book.execute(cmd.RevokeKey(AGENT, "root", "me")) == ()
    assert book.execute(cmd.RevokeKey(AGENT, "child", "me")) == ()
    for keys in (("root",), ("root", "child")):
        error = refused(book, keys=keys)
        assert (error.code, error.facts) == (Code.KEY_UNKNOWN, {"key_id": "root"})
    assert held(book, "d", keys=("beside",)).keys == ["beside"]
    book.execute(settle("c", 300))
    assert money(book) == {"root": (300, 0), "child": (300, 0), "beside": (0, 1_000)}
    assert live_key(book.state, AGENT, "root") is None


def test_the_keys_of_a_deleted_agent_end_with_it() -> None:
    """Its calls still settle."""
    book = keyed_book()
    held(book, "c", keys=("root",))
    book.execute(cmd.DeleteAgent(AGENT, "me"))
    assert all(key.revoked for key in book.state.agent_keys.values())
    assert refused_code(partial(book.execute, cmd.RevokeKey(AGENT, "root", "me"))) == "agent_not_found"
    book.execute(settle("c", 300))
    assert money(book)["root"] == (300, 0)


def test_which_key_is_live_and_whose() -> None:
    """Of its own agent, until it is revoked."""
    book = keyed_book()
    assert live_key(book.state, AGENT, "root") is book.state.agent_keys["root"]
    assert live_key(book.state, "other", "root") is None
    assert live_key(book.state, AGENT, "nobody") is None
    book.execute(cmd.RevokeKey(AGENT, "root", "me"))
    assert live_key(book.state, AGENT, "root") is None


def test_an_agent_needs_a_key_from_its_first_one_on() -> None:
    """Whatever becomes of that: revoking a key that leaked does not open the agent. Only an operator does."""
    book = funded_book(5_000)
    book.execute(new_agent("other"))
    account, other = book.state.accounts[AGENT], book.state.accounts["other"]
    book.execute(add_key("exec", kind="exec"))
    book.execute(add_key("of-exec", parent_id="exec", expires_ns=book.now().wall_ns + HOUR_NS))
    assert not account.needs_key, "made for one program, they bind nobody else"
    book.execute(add_key("root", expires_ns=book.now().wall_ns + HOUR_NS))
    assert (account.needs_key, other.needs_key) == (True, False)
    tick(book, 3600)
    book.execute(add_key("second"))
    book.execute(cmd.RevokeKey(AGENT, "second", "me"))
    book.execute(cmd.ChangeAgent(AGENT, overflow="refuse"))
    book.execute(add_key("exec-2", kind="exec"))
    assert account.needs_key
    (event,) = book.execute(cmd.ChangeAgent(AGENT, needs_key=False))
    assert event == ev.AgentSet(agent_id=AGENT, actor="operator", needs_key=False)
    assert book.execute(cmd.ChangeAgent(AGENT, needs_key=False)) == ()
    book.execute(cmd.ChangeAgent(AGENT, name="renamed"))
    book.execute(add_key("exec-3", kind="exec"))
    assert not account.needs_key
    book.execute(add_key("third"))
    assert account.needs_key, "a new key counts as the first one did"
    book.execute(cmd.ChangeAgent("other", needs_key=True))
    assert other.needs_key, "also where it never had one"


# -- what a call may spend ---------------------------------------------------------------------------------


def test_each_key_of_the_lineage_pays_for_the_call() -> None:
    """On hold, settle, at worst, void, overrun and correction alike."""
    book = keyed_book()
    held(book, "none")
    for call_id in ("a", "b", "c", "d"):
        held(book, call_id, keys=("root", "child"))
    assert money(book) == {"root": (0, 4_000), "child": (0, 4_000)}
    book.execute(settle("a", 400))
    book.execute(cmd.SettleAtWorst("b", "timeout", None))
    book.execute(cmd.VoidCall("c", "never sent", None))
    book.execute(settle("d", 1_001))
    assert money(book) == {"root": (2_401, 0), "child": (2_401, 0)}
    assert book.state.ended["d"].keys == ("root", "child")
    book.execute(cmd.AdjustCall("b", 100, "the bill", "me"))
    book.execute(settle("none", 7))
    assert money(book) == {"root": (1_501, 0), "child": (1_501, 0)}
    view = book.history.call("a")
    assert view is not None
    assert view.keys == ["root", "child"]


@pytest.mark.parametrize("limits", [(1_999, None), (None, 1_999), (1_999, 9_999), (9_999, 1_999)])
def test_a_hold_fits_every_key_to_the_nano_dollar(limits: tuple[int | None, int | None]) -> None:
    """The tightest one counts, wherever in the lineage it stands."""
    book = keyed_book(*limits)
    held(book, "a", keys=("root", "child"))
    error = refused(book, keys=("root", "child"))
    tight = "root" if limits[0] == 1_999 else "child"
    assert (error.code, error.facts["worth_waiting"]) == (Code.BUDGET_HELD, True)
    assert (error.facts["budget"], error.facts["key_id"]) == ("key", tight)
    assert (error.facts["limit_usd"], error.facts["available_usd"]) == ("0.000001999", "0.000000999")
    assert (error.facts["held_usd"], error.facts["remaining_usd"]) == ("0.000001", "0.000001999")
    book.execute(settle("a", 1_000))
    error = refused(book, keys=("root", "child"))
    assert (error.code, error.facts["key_id"]) == (Code.KEY_LIMIT, tight)
    assert error.facts["affordable_max_tokens"] == 9
    assert "max_tokens 9 would fit" in error.detail
    assert held(book, "b", keys=("root", "child"), floor_output_tokens=5).output_tokens == 9
    assert held(book, "others").keys == []


def test_the_last_nano_dollar_of_a_key_is_spent() -> None:
    """A hold of exactly what is left."""
    book = keyed_book(1_000, 1_000)
    assert held(book, "a", keys=("root", "child")).amount_nusd == 1_000
    book.execute(settle("a", 1_000))
    error = refused(book, keys=("root", "child"))
    assert (error.code, error.facts["remaining_usd"]) == (Code.KEY_LIMIT, "0.00")
    assert error.facts["remedy"] == NOTHING_FITS


def test_of_two_keys_that_are_short_the_one_with_less_is_told() -> None:
    """And the agent's own budget first of all, the daemon's cap last."""
    book = keyed_book(900, 500)
    assert refused(book, keys=("root", "child")).facts["key_id"] == "child"
    book.execute(cmd.SetDaemonLimit(400, None, "me"))
    assert refused(book, keys=("root", "child")).code is Code.KEY_LIMIT
    assert refused(book).code is Code.DAEMON_CAP
    book.execute(grant(450))
    assert refused(book, keys=("root", "child")).code is Code.INSUFFICIENT_BUDGET
    assert refused(book, keys=("root", "child")).facts["affordable_max_tokens"] == 4


def test_only_what_is_the_agents_own_has_its_remedy() -> None:
    """Where the cap above all agents pays for no output, a shorter prompt is not what helps."""
    book = keyed_book()
    book.execute(cmd.SetDaemonLimit(50, None, "me"))
    error = refused(book, keys=("root",))
    assert (error.code, error.facts["affordable_max_tokens"]) == (Code.DAEMON_CAP, 0)
    assert "remedy" not in error.facts


def test_whether_a_call_fits_is_asked_without_a_hold() -> None:
    """Whole, or clamped; by what its key has left, too."""
    book = keyed_book(limit_nusd=900)
    now = book.now()
    with_key = hold_call("c", keys=("root",), floor_output_tokens=9)
    for command, clamped, whole in (
        (with_key, True, False),
        (hold_call("c", keys=("root",)), False, False),
        (hold_call("c"), True, True),
    ):
        assert fits(book.state, command, now, whole=False) is clamped
        assert fits(book.state, command, now, whole=True) is whole


def test_an_agent_that_refuses_overflow_is_not_clamped_to_its_key() -> None:
    """Whole or not at all; and an injected cap takes half of what the key has free."""
    book = keyed_book(900)
    assert held(book, "a", keys=("root",), injected=True, floor_output_tokens=1).output_tokens == 4
    book.execute(settle("a", 0))
    book.execute(cmd.ChangeAgent(AGENT, overflow="refuse"))
    assert refused(book, keys=("root",), floor_output_tokens=1).code is Code.KEY_LIMIT


def test_a_lineage_is_the_real_one_root_first() -> None:
    """No key of another agent, none left out, none turned round, none twice; and none whose time is over."""
    book = keyed_book()
    book.execute(new_agent("other"))
    book.execute(grant(5_000, agent_id="other"))
    for keys in (("child",), ("child", "root"), ("root", "root"), ("root", "nobody"), ("nobody",)):
        assert refused(book, keys=keys).code is Code.KEY_UNKNOWN
    assert refused(book, keys=("root",), agent_id="other").code is Code.KEY_UNKNOWN
    tick(book, 3599)
    held(book, "a", keys=("root", "child"))
    tick(book, 1)
    error = refused(book, keys=("root", "child"))
    assert (error.code, error.facts) == (Code.KEY_EXPIRED, {"key_id": "child"})
    assert held(book, "b", keys=("root",)).keys == ["root"]


def test_a_key_that_has_ended_is_told_before_all_else_of_the_agent() -> None:
    """Who has none does not hear whether the agent is frozen, or what became of a call."""
    book = keyed_book()
    again = ev.Idempotency("k", "chat/completions", "b")
    held(book, "a", keys=("root",), idempotency=again)
    book.execute(cmd.Freeze(AGENT, "mad", "me"))
    assert refused(book, keys=("nobody",), idempotency=again).code is Code.KEY_UNKNOWN
    assert refused(book, keys=("root",), idempotency=again).code is Code.IDEMPOTENCY_IN_FLIGHT
    assert refused(book, keys=("root",)).code is Code.AGENT_FROZEN
    assert refused(book, keys=("nobody",), agent_id="x").code is Code.AGENT_NOT_FOUND


def test_an_overrun_takes_a_key_below_nothing() -> None:
    """Booked in full; then the key has nothing left, not even for a free call."""
    book = keyed_book(limit_nusd=1_000)
    held(book, "a", keys=("root",))
    book.execute(settle("a", 1_500))
    root = book.state.agent_keys["root"]
    assert (root.remaining_nusd, root.available_nusd) == (-500, -500)
    assert book.state.agent_keys["child"].remaining_nusd is None
    assert book.state.agent_keys["child"].available_nusd is None
    book.execute(cmd.Unfreeze(AGENT, "me"))
    error = refused(book, keys=("root",), offers=(offer(0, 0),))
    assert (error.code, error.facts["remaining_usd"]) == (Code.KEY_LIMIT, "-0.0000005")
    assert held(book, "b").keys == []


def restored(book: Book) -> None:
    """Note that all before this came back with a backup."""
    book.record(ev.Restored(generation=2, backup_ts="", manifest_sha256="", actor="me"))


def test_a_restore_ends_every_key_of_every_agent() -> None:
    """What they hold still settles, on them too; what is entered is no key's; new keys are as any."""
    book = keyed_book(limit_nusd=5_000)
    book.execute(new_agent("other"))
    book.execute(new_agent("deleted"))
    for agent_id in ("other", "deleted"):
        book.execute(add_key(f"of-{agent_id}", agent_id=agent_id, kind="exec"))
    book.execute(cmd.DeleteAgent("deleted", "me"))
    held(book, "c", keys=("root", "child"))
    restored(book)
    assert all(key.revoked and key.orphan for key in book.state.agent_keys.values())
    assert (book.state.accounts[AGENT].needs_key, book.state.accounts["other"].needs_key) == (True, False)
    book.execute(settle("c", 300))
    book.execute(add_key("new"))
    book.execute(cmd.ConfirmRestored(AGENT, 4_500, "the bill", "me"))
    zero = (0, 0)
    assert money(book) == {
        "root": (300, 0),
        "child": (300, 0),
        "of-other": zero,
        "of-deleted": zero,
        "new": zero,
    }
    for keys in (("root",), ("root", "child")):
        assert refused(book, keys=keys).code is Code.KEY_UNKNOWN
    assert held(book, "d", keys=("new",)).keys == ["new"]


def test_a_restore_forgets_ended_keys_as_a_new_key_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the newest, and those that hold something."""
    monkeypatch.setattr(key_ring, "DEAD_KEPT", 1)
    book = keyed_book()
    book.execute(add_key("last"))
    held(book, "c", keys=("root",))
    restored(book)
    assert list(book.state.agent_keys) == ["root", "last"]
    book.execute(settle("c", 7))
    assert money(book)["root"] == (7, 0)


def test_a_child_that_was_taken_up_after_the_backup_does_not_come_back() -> None:
    """Its record is not in the backup, so that it would begin with nothing spent."""
    book = funded_book(50_000, concurrency="shared")
    book.execute(add_key("root"))
    backup = copy.deepcopy(book.state)
    ends_ns = book.now().wall_ns + HOUR_NS
    child = add_key("child", parent_id="root", limit_nusd=1_000, expires_ns=ends_ns)
    book.execute(child)
    held(book, "c", keys=("root", "child"))
    book.execute(settle("c", 1_000))
    book.state = backup
    restored(book)
    book.execute(cmd.ConfirmRestored(AGENT, 1_000, "the bill", "me"))
    assert refused_code(partial(book.execute, child)) == "key_unknown"
    assert refused(book, keys=("root", "child")).code is Code.KEY_UNKNOWN
    assert refused_code(partial(book.execute, cmd.RotateKey(AGENT, "root", "p", "me"))) == "key_unknown"


def test_a_key_that_is_forgotten_while_its_call_waits_is_let_be() -> None:
    """The refusal that ends the wait is about what is left."""
    book = keyed_book(limit_nusd=500)
    command = hold_call("w", keys=("root", "child"))
    assert refusal(book.state, command).facts["budget"] == "key"
    book.state.forget_key(book.state.agent_keys["root"])
    assert refusal(book.state, command).facts["budget"] == "agent"


# -- forgetting --------------------------------------------------------------------------------------------


def test_dead_keys_are_forgotten_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each agent, when it gets a new one."""
    monkeypatch.setattr(key_ring, "DEAD_KEPT", 2)
    book = funded_book(100_000, concurrency="shared")
    book.execute(new_agent("other"))
    book.execute(add_key("of-other", agent_id="other"))
    book.execute(cmd.RevokeKey("other", "of-other", "me"))
    ends_ns = book.now().wall_ns + HOUR_NS
    for key_id in ("a", "b", "c", "d"):
        book.execute(add_key(key_id, expires_ns=ends_ns if key_id == "b" else None))
    for key_id in ("d", "c", "a"):
        book.execute(cmd.RevokeKey(AGENT, key_id, "me"))
    assert list(book.state.agent_keys) == ["of-other", "a", "b", "c", "d"]
    book.execute(add_key("e"))
    assert list(book.state.agent_keys) == ["of-other", "b", "c", "d", "e"]
    tick(book, 3600)
    book.execute(add_key("f"))
    assert list(book.state.agent_keys) == ["of-other", "c", "d", "e", "f"]
    assert [key.key_id for key in book.state.keys_of(AGENT)] == ["c", "d", "e", "f"]


def test_a_key_that_holds_money_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its call may still settle; a correction that comes later finds no key, and is made all the same."""
    monkeypatch.setattr(key_ring, "DEAD_KEPT", 1)
    book = funded_book(100_000, concurrency="shared")
    for key_id in ("a", "b"):
        book.execute(add_key(key_id))
    held(book, "c", keys=("a",))
    for key_id in ("a", "b"):
        book.execute(cmd.RevokeKey(AGENT, key_id, "me"))
    book.execute(add_key("d"))
    assert list(book.state.agent_keys) == ["a", "b", "d"]
    book.execute(settle("c", 400))
    book.execute(add_key("e"))
    assert list(book.state.agent_keys) == ["b", "d", "e"]
    book.execute(cmd.AdjustCall("c", 9, "the bill", "me"))
    assert (money(book)["b"], book.state.accounts[AGENT].settled_nusd) == ((0, 0), 9)


def test_a_revoked_child_is_remembered_for_as_long_as_its_signature_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forgotten, it could be taken up again with nothing spent."""
    monkeypatch.setattr(key_ring, "DEAD_KEPT", 1)
    book = keyed_book(child_limit_nusd=1_000)
    child = add_key("child", parent_id="root", limit_nusd=1_000, expires_ns=book.now().wall_ns + HOUR_NS)
    book.execute(cmd.RevokeKey(AGENT, "child", "me"))
    for key_id in ("a", "b"):
        book.execute(add_key(key_id))
        book.execute(cmd.RevokeKey(AGENT, key_id, "me"))
    book.execute(add_key("c"))
    assert list(book.state.agent_keys) == ["root", "child", "b", "c"]
    assert refused_code(partial(book.execute, child)) == "key_unknown"
    tick(book, 3600)
    book.execute(add_key("d"))
    assert list(book.state.agent_keys) == ["root", "b", "c", "d"]
    assert refused_code(partial(book.execute, child)) == "key_expired"


def test_what_was_made_from_a_key_that_ended_may_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """No signature holds for it any more, and its parent is no parent any more."""
    monkeypatch.setattr(key_ring, "DEAD_KEPT", 1)
    book = keyed_book()
    ends_ns = book.now().wall_ns + HOUR_NS
    book.execute(add_key("grandchild", parent_id="child", expires_ns=ends_ns))
    book.execute(cmd.RevokeKey(AGENT, "grandchild", "me"))
    assert not book.state.agent_keys["grandchild"].over(book.now().wall_ns)
    book.execute(cmd.RevokeKey(AGENT, "child", "me"))
    assert book.state.agent_keys["grandchild"].over(book.now().wall_ns)
    assert not book.state.agent_keys["child"].over(book.now().wall_ns)
    again = add_key("grandchild", parent_id="child", expires_ns=ends_ns)
    book.execute(cmd.RotateKey(AGENT, "root", "new", "me"))
    assert book.state.agent_keys["child"].over(book.now().wall_ns)
    book.execute(add_key("a"))
    assert list(book.state.agent_keys) == ["root", "grandchild", "a"]
    assert refused_code(partial(book.execute, again)) == "key_unknown"


def test_a_deleted_agent_keeps_only_the_last_of_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that hold money besides."""
    monkeypatch.setattr(key_ring, "DEAD_KEPT", 1)
    book = keyed_book()
    book.execute(add_key("a"))
    held(book, "c", keys=("root",))
    book.execute(cmd.DeleteAgent(AGENT, "me"))
    assert list(book.state.agent_keys) == ["root", "a"]


# -- what contradicts itself -------------------------------------------------------------------------------


def _key_add(**changes: Any) -> ev.KeyAdd:
    values: dict[str, Any] = {"agent_id": AGENT, "key_id": "new", "public": "p", "kind": "agent"}
    return ev.KeyAdd(**(values | {"actor": "me"} | changes))


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (_key_add(agent_id="x"), "no agent x"),
        (_key_add(key_id="root"), "exists already"),
        (_key_add(expires_at="soon"), "not a time"),
        (_key_add(parent_id="x"), "no key x"),
        (_key_add(parent_id="gone"), "no key gone"),
        (_key_add(parent_id="of-other"), "no key of-other"),
        (_key_add(parent_id="child"), "outlives"),
        (_key_add(parent_id="child", expires_at="2100-01-01T00:00:00.000Z"), "outlives"),
        (ev.KeyRotate(agent_id=AGENT, key_id="x", public="p", actor="me"), "no key x"),
        (ev.KeyRotate(agent_id=AGENT, key_id="gone", public="p", actor="me"), "no key gone"),
        (ev.KeyRevoke(agent_id=AGENT, key_id="of-other", actor="me"), "no key of-other"),
        (ev.KeyRevoke(agent_id=AGENT, key_id="gone", actor="me"), "no key gone"),
        (ev.KeyRevoke(agent_id="x", key_id="root", actor="me"), "no agent x"),
    ],
)
def test_a_key_record_that_cannot_follow_is_a_contradiction(event: ev.Event, why: str) -> None:
    """Replay checks each against those before it."""
    book = keyed_book()
    book.execute(new_agent("other"))
    book.execute(add_key("of-other", agent_id="other"))
    book.execute(add_key("gone"))
    book.execute(cmd.RevokeKey(AGENT, "gone", "me"))
    with pytest.raises(ContradictionError, match=why):
        apply(book.state, event, book.now().wall_ns)


@pytest.mark.parametrize("keys", [["child"], ["root", "root"], ["nobody"], ["of-other"], ["root", "gone"]])
def test_a_hold_whose_keys_are_no_lineage_is_a_contradiction(keys: list[str]) -> None:
    """However its sums fit."""
    book = keyed_book()
    book.execute(new_agent("other"))
    book.execute(add_key("of-other", agent_id="other"))
    book.execute(add_key("gone", parent_id="root", expires_ns=book.now().wall_ns + HOUR_NS))
    book.execute(cmd.RevokeKey(AGENT, "gone", "me"))
    first = held(book, "a", keys=("root", "child"))
    changed = {name: getattr(first, name) for name in first.__struct_fields__}
    second = ev.Hold(**(changed | {"call_id": "b", "held_nusd": 2_000, "keys": keys}))
    with pytest.raises(ContradictionError, match="key"):
        apply(book.state, second, book.now().wall_ns)


# -- snapshots ---------------------------------------------------------------------------------------------


def test_keys_come_back_with_a_snapshot() -> None:
    """All of them, their money and their order."""
    book = keyed_book(limit_nusd=9_000)
    held(book, "a", keys=("root", "child"))
    held(book, "b", keys=("root",))
    held(book, "free", keys=("root", "child"), offers=(offer(0, 0),))
    book.execute(settle("a", 400))
    raw, _ = encode(snapshot_of(book.state, book.history, 1, "0" * 32, 1), go_on)
    state = decode(raw)[0].state()
    assert state == book.state
    assert list(state.agent_keys) == ["root", "child"]
    assert [key.key_id for key in state.keys_of(AGENT)] == ["root", "child"]
    assert state.agent_keys["root"] is next(iter(state.keys_of(AGENT)))
    assert decode(raw)[0].history().kept() == book.history.kept()


def test_a_snapshot_whose_keys_do_not_hold_what_their_calls_do_is_refused() -> None:
    """More, less, or of a key that is not there."""
    book = keyed_book()
    held(book, "a", keys=("root", "child"))
    for change in (
        lambda state: setattr(state.agent_keys["root"], "held_nusd", 999),
        lambda state: setattr(state.agent_keys["child"], "held_nusd", 1),
        lambda state: state.forget_key(state.agent_keys["child"]),
    ):
        raw, _ = encode(snapshot_of(book.state, book.history, 1, "0" * 32, 1), go_on)
        state = decode(raw)[0].state()
        change(state)
        changed, _ = encode(snapshot_of(state, book.history, 1, "0" * 32, 1), go_on)
        with pytest.raises(SnapshotError, match="agents' keys"):
            decode(changed)


def sealed(body: bytes) -> bytes:
    """Return a snapshot's bytes with the hash at their end."""
    return body + f',\n"sha256":"{hashlib.sha256(body).hexdigest()}"}}\n'.encode()


def test_a_snapshot_of_a_reader_without_keys_is_read() -> None:
    """It had none: they are the one member that may be missing."""
    book = funded_book(5_000)
    raw, _ = encode(snapshot_of(book.state, book.history, 1, "0" * 32, 1), go_on)
    body = raw[: raw.rindex(b',\n"sha256"')].replace(b',\n"agent_keys":[]', b"")
    older = body.replace(b'"min_reader":2', b'"min_reader":1')
    assert b"agent_keys" not in older
    snapshot, _ = decode(sealed(older))
    assert snapshot.state() == book.state
    assert snapshot.state().agent_keys == {}
    with pytest.raises(SnapshotError, match="answers"):
        decode(sealed(older.replace(b'"answers":[],\n', b"")))
