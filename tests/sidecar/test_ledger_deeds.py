"""What people did to agents' budgets: as it was journaled, bounded, and the same after a restart."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compacting import AGENTS, SEGMENT_BYTES, busy, compact, first_steps
from ledger_kit import AGENT, grant, hold_call, make_book, new_agent, open_ledger, settle
from sim import SimClock, SimDisk
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import deeds as module
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.deeds import Deed, Deeds
from spendguard_daemon.ledger.sealed import go_on
from spendguard_daemon.ledger.snapshot import decode, encode, snapshot_of
from spendguard_daemon.shown import deeds as shown

SECOND = 10**9


def frozen(agent_id: str) -> ev.Freeze:
    """Return a freeze."""
    return ev.Freeze(agent_id=agent_id, reason="r", actor="a")


def test_each_deed_with_its_numbers() -> None:
    """Who did what and when: grants, limits, freezes, settings; what a call does is none."""
    clock = SimClock()
    book = make_book(clock)
    first_ns = clock.wall
    for command in (
        new_agent(),
        cmd.GrantBudget(AGENT, 1_000, 700, "anna"),
        cmd.GrantBudget(AGENT, 1_000, 400, "bert"),
        cmd.GrantBudget(AGENT, 200, None, "cleo"),
        cmd.ChangeAgent(AGENT, "new name", actor="dora"),
        cmd.Freeze(AGENT, "loops", "emil"),
        cmd.Unfreeze(AGENT, "fritz"),
    ):
        book.execute(command)
        clock.advance(1)
    book.execute(grant(100_000, 50_000))
    book.execute(hold_call("c1"))
    book.execute(settle("c1", 1_500))
    assert book.history.deeds.of(AGENT)[:7] == tuple(
        Deed(agent_id=AGENT, at_ns=first_ns + number * SECOND, **deed)  # type: ignore[arg-type]
        for number, deed in enumerate(
            [
                {"kind": "made", "actor": "test"},
                {"kind": "budget", "actor": "anna", "limit_nusd": 1_000, "applied_nusd": 700},
                {
                    "kind": "budget",
                    "actor": "bert",
                    "limit_nusd": 1_000,
                    "applied_nusd": 300,
                    "ignored_nusd": 100,
                },
                {"kind": "budget", "actor": "cleo", "limit_nusd": 200, "cut_nusd": 800},
                {"kind": "settings", "actor": "dora"},
                {"kind": "frozen", "actor": "emil", "reason": "loops"},
                {"kind": "unfrozen", "actor": "fritz"},
            ]
        )
    )
    made = book.history.deeds.of(AGENT)[0]
    assert (made.applied_nusd, made.ignored_nusd, made.cut_nusd, made.spent_nusd) == (0, 0, 0, 0)
    later = book.history.deeds.of(AGENT)[7:]
    assert [(deed.kind, deed.actor) for deed in later] == [("budget", "test"), ("frozen", "ledger")]
    assert book.history.deeds.of("nobody") == ()


def test_a_backup_that_was_put_back() -> None:
    """Every agent of which anything is known has it, and what was entered of each as spent since."""
    deeds = Deeds()
    deeds.note(frozen("a"), 1)
    deeds.note(frozen("b"), 2)
    deeds.note(ev.Restored(generation=2, backup_ts="t", manifest_sha256="0", actor="op"), 3)
    confirmed = ev.RestoreConfirmed(
        agent_id="a", spent_nusd=7, reason="the bill", actor="me", funded_nusd=0, settled_nusd=7, held_nusd=0
    )
    deeds.note(confirmed, 4)
    assert deeds.of("b")[1] == Deed(agent_id="b", at_ns=3, kind="restored", actor="op")
    assert deeds.of("a")[1:] == (
        Deed(agent_id="a", at_ns=3, kind="restored", actor="op"),
        Deed(agent_id="a", at_ns=4, kind="confirmed", actor="me", spent_nusd=7, reason="the bill"),
    )


def test_who_is_deleted_is_forgotten() -> None:
    """An id is never used again; nobody can ask."""
    deeds = Deeds()
    deeds.note(frozen("a"), 1)
    deeds.note(ev.AgentDel(agent_id="a", actor="op"), 2)
    deeds.note(ev.AgentDel(agent_id="never known", actor="op"), 2)
    assert (deeds.of("a"), list(deeds.agents()), deeds.kept()) == ((), [], [])


def test_the_bounds_are_these() -> None:
    """Thirty-two of each agent."""
    deeds = Deeds()
    for number in range(33):
        deeds.note(frozen("a"), number)
    assert [deed.at_ns for deed in deeds.of("a")] == list(range(1, 33))
    assert (module.DEEDS_MAX, module.KEPT_DEEDS) == (20_000, 5_000)


@given(
    deeds=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("ffffd")), max_size=60),
    most=st.integers(1, 9),
    kept=st.integers(1, 9),
)
def test_the_view_is_bounded_for_an_agent_and_in_all(
    deeds: list[tuple[str, str]], most: int, kept: int
) -> None:
    """As reckoned in the plainest way: the agent that was left alone the longest loses its first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DEEDS_PER_AGENT_MAX", 4)
        patch.setattr(module, "DEEDS_MAX", most)
        patch.setattr(module, "KEPT_DEEDS", kept)
        view, plain, last = Deeds(), defaultdict[str, list[int]](list), dict[str, int]()
        for now, (agent_id, what) in enumerate(deeds):
            if what == "d":
                view.note(ev.AgentDel(agent_id=agent_id, actor="op"), now)
                plain.pop(agent_id, None)
                continue
            view.note(frozen(agent_id), now)
            plain[agent_id] = [*plain[agent_id], now][-4:]
            last[agent_id] = now
            while sum(map(len, plain.values())) > most:
                loser = min(plain, key=lambda one: last[one])
                plain[loser] = plain[loser][1:]
                if not plain[loser]:
                    del plain[loser]
        assert {one: [deed.at_ns for deed in view.of(one)] for one in view.agents()} == dict(plain)
        told = sorted(now for times in plain.values() for now in times)[-kept:]
        assert [deed.at_ns for deed in view.kept()] == told
        patch.setattr(module, "DEEDS_MAX", 100)
        again = Deeds(view.kept())
        assert again.kept() == view.kept()
        copied = again.copy()
        copied.note(frozen("e"), 99)
        assert again.kept() == view.kept()
        assert copied.of("e")


def test_what_was_dropped_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what went first nor who was deleted counts any more."""
    monkeypatch.setattr(module, "DEEDS_MAX", 3)
    deeds = Deeds()
    for now in range(4):
        deeds.note(frozen("a"), now)
    assert [deed.at_ns for deed in deeds.of("a")] == [1, 2, 3]
    deeds.note(ev.AgentDel(agent_id="a", actor="op"), 4)
    for now in range(5, 8):
        deeds.note(frozen("b"), now)
    assert [deed.at_ns for deed in deeds.of("b")] == [5, 6, 7]


def test_it_outlives_a_compaction_and_a_restart() -> None:
    """What a snapshot does not have is not made up: then the list does not begin with the agent's making."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    busy(ledger, clock, 120, 5)
    compact(ledger, disk)
    ledger.post(cmd.Freeze("agent-1", "late", "op"))
    before = ledger.history.deeds.kept()
    again = open_ledger(disk.killed(), clock, segment_bytes=SEGMENT_BYTES)
    assert again.history.deeds.kept() == before
    assert shown(again.history.deeds.of("agent-1")).whole
    assert {deed.agent_id for deed in before} == set(AGENTS)


def test_a_snapshot_of_before() -> None:
    """One that has no deeds is read as ever; nothing is known then, and nobody says that it is all."""
    book = make_book()
    book.execute(new_agent())
    raw, _ = encode(snapshot_of(book.state, book.history, 1, "0" * 32, book.now().wall_ns), go_on)
    assert [deed.kind for deed in decode(raw)[0].history().deeds.of(AGENT)] == ["made"]
    assert b"spent_nusd" not in raw
    body = raw[: raw.index(b',\n"deeds":')].decode()
    earlier, _ = decode(f'{body},\n"sha256":"{sha256_hex(body.encode())}"}}\n'.encode())
    history = earlier.history()
    told = shown(history.deeds.of(AGENT))
    assert (told.deeds, told.whole) == ([], False)
    history.note(frozen(AGENT), 9)
    told = shown(history.deeds.of(AGENT))
    assert ([one.kind for one in told.deeds], told.whole) == (["frozen"], False)


def test_how_it_is_shown() -> None:
    """Newest first; amounts where they mean something."""
    deeds = Deeds()
    deeds.note(
        ev.AgentNew(agent_id="a", name=None, concurrency="shared", overflow="clamp", mock=False, actor="me"),
        SECOND,
    )
    book = make_book()
    book.execute(new_agent())
    (event,) = book.execute(grant(5_000, 2_000))
    deeds.note(event, 2 * SECOND)
    told = shown((*deeds.of("a"), *deeds.of(AGENT)))
    assert told.whole
    newest, oldest = told.deeds
    assert (oldest.kind, oldest.actor, oldest.at) == ("made", "me", "1970-01-01T00:00:01.000000Z")
    assert (oldest.hard_limit_usd, oldest.granted_usd, oldest.spent_usd, oldest.reason) == (None,) * 4
    assert (newest.kind, newest.hard_limit_usd, newest.granted_usd) == ("budget", "0.000005", "0.000002")
    assert (newest.ignored_usd, newest.taken_usd) == ("0.00", "0.00")
    assert not shown(deeds.of(AGENT)).whole
