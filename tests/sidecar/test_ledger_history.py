"""The bounded view of calls and runs."""

from dataclasses import replace

import pytest

from ledger_kit import AGENT, funded_book, grant, hold_call, make_book, new_agent, settle
from sim import SimClock
from spendguard_daemon.errors import Code
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import history as module
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.views import CallView


def view(book: Book, call_id: str) -> CallView:
    """Return a call that must be there."""
    found = book.history.call(call_id)
    assert found is not None
    return found


def refuse(history: History, call_id: str, agent_id: str = AGENT) -> None:
    """Note a refusal."""
    history.note_refusal(
        call_id=call_id,
        agent_id=agent_id,
        run_id="run-1",
        provider="openai",
        endpoint="chat/completions",
        model="m",
        code=Code.INSUFFICIENT_BUDGET,
        detail="Insufficient budget: no",
        http_status=402,
        wall_ns=5,
        facts={"needed_usd": "0.01"},
    )


def test_a_call_is_followed_from_hold_to_end() -> None:
    """Held with its bound, sent with its changes, settled with usage and lines, adjusted with its reason."""
    book = funded_book(10_000)
    book.execute(hold_call("c1"))
    held = view(book, "c1")
    assert (held.state, held.hold_nusd, held.cost_nusd, held.ended_ns) == ("held", 1_000, None, None)
    assert (held.rung, held.input_tokens, held.output_tokens, held.choices) == ("bytes", 100, 10, 1)
    assert (held.sent, held.count) == (False, 1)
    book.execute(cmd.MarkSent("c1", ["max_tokens"]))
    assert (view(book, "c1").sent, view(book, "c1").changed) == (True, ["max_tokens"])
    book.execute(settle("c1", 70))
    ended = view(book, "c1")
    assert (ended.state, ended.cost_nusd, ended.http_status, ended.reason) == ("settled", 70, 200, "reported")
    assert ended.usage == {"input_tokens": 3, "output_tokens": 4}
    assert ended.lines[0]["name"] == "output"
    assert ended.ended_ns is not None
    assert ended.ended_ns >= ended.created_ns > 0
    book.execute(cmd.AdjustCall("c1", 60, "credit", "me"))
    adjusted = view(book, "c1")
    assert (adjusted.state, adjusted.cost_nusd, adjusted.adjusted_from_nusd) == ("settled", 60, 70)
    assert adjusted.reason == "credit"
    (run,) = book.history.runs(AGENT)
    assert run.cost_nusd == 60


def test_a_run_was_seen_last_when_its_last_call_ended() -> None:
    """Not when that began; and an end that comes late does not set it back."""
    clock = SimClock()
    book = make_book(clock)
    book.execute(new_agent())
    book.execute(grant(9_000))
    first_ns = clock.wall
    for call_id in ("c1", "c2"):
        book.execute(hold_call(call_id))
    clock.advance(5)
    book.execute(settle("c1", 1))
    (run,) = book.history.runs(AGENT)
    assert (run.first_ns, run.last_ns) == (first_ns, first_ns + 5 * 10**9)
    book.history.note_run(AGENT, "run-1", clock.wall + 7)
    book.execute(settle("c2", 1))
    assert run.last_ns == clock.wall + 7


def test_each_end_has_its_state_and_cost() -> None:
    """Voided costs nothing, at worst the hold, an overrun all of it."""
    book = funded_book(10_000)
    for call_id, command in (
        ("void", cmd.VoidCall("void", "never sent", None)),
        ("worst", cmd.SettleAtWorst("worst", "timeout", 504)),
        ("over", settle("over", 1_001)),
    ):
        book.execute(hold_call(call_id))
        book.execute(command)
    seen = {name: (view(book, name).state, view(book, name).cost_nusd) for name in ("void", "worst", "over")}
    assert seen == {"void": ("voided", 0), "worst": ("settled_worst", 1_000), "over": ("overrun", 1_001)}
    (run,) = book.history.runs(AGENT)
    assert (run.run_id, run.calls, run.cost_nusd) == ("run-1", 3, 2_001)


def test_calls_come_newest_first_in_pages() -> None:
    """A page begins before the call named; refusals stand among the calls where they happened."""
    book = funded_book(10_000)
    for index in range(5):
        book.execute(hold_call(f"c{index}"))
        if index == 2:
            refuse(book.history, "r2")
    ids = [call.call_id for call in book.history.calls(AGENT, 10)]
    assert ids == ["c4", "c3", "r2", "c2", "c1", "c0"]
    assert [call.call_id for call in book.history.calls(AGENT, 2, "c3")] == ["r2", "c2"]
    assert [call.call_id for call in book.history.calls(AGENT, 2, "r2")] == ["c2", "c1"]
    assert book.history.calls(AGENT, 2, "c0") == []
    assert book.history.calls(AGENT, 2, "forgotten") == []
    assert book.history.calls("nobody", 2) == []


def test_a_refusal_is_shown_with_its_code() -> None:
    """It cost nothing and held nothing."""
    history = History()
    refuse(history, "r1")
    refused = history.call("r1")
    assert refused is not None
    assert (refused.state, refused.code, refused.cost_nusd, refused.hold_nusd) == (
        "refused",
        "insufficient_budget",
        0,
        0,
    )
    assert (refused.count, refused.facts) == (1, {"needed_usd": "0.01"})


def test_the_view_is_bounded_for_an_agent_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest calls go first, and an agent that is refused in a loop pushes out no real call."""
    monkeypatch.setattr(module, "CALLS_PER_AGENT_MAX", 3)
    monkeypatch.setattr(module, "CALLS_MAX", 4)
    monkeypatch.setattr(module, "REFUSALS_PER_AGENT_MAX", 2)
    monkeypatch.setattr(module, "REFUSALS_MAX", 3)
    book = funded_book(100_000)
    book.history = History()
    for index in range(5):
        book.execute(hold_call(f"c{index}"))
        for part in range(4):
            refuse(book.history, f"r{index}.{part}", f"agent-{index}")
            refuse(book.history, f"s{index}.{part}")
    kept = [call.call_id for call in book.history.calls(AGENT, 100)]
    assert kept == ["s4.3", "s4.2", "c4", "c3", "c2"]
    assert len(book.history._refusals.by_id) == 3
    book.execute(cmd.NewAgent("agent-2", "n", "shared", "clamp", False, "me"))
    book.execute(cmd.GrantBudget("agent-2", 10_000, None, "me"))
    for index in range(2):
        book.execute(hold_call(f"d{index}", agent_id="agent-2"))
    assert len(book.history._calls.by_id) == 4
    assert book.history.call("c2") is None
    book.execute(settle("c2", 1))
    assert set(book.history._refusals._by_agent) == {AGENT, "agent-4"}, "nothing is left of those forgotten"


def test_the_bounds_of_the_view_are_what_the_api_shows_at_most() -> None:
    """Calls, refusals and runs, in all and of one agent."""
    assert (module.CALLS_MAX, module.CALLS_PER_AGENT_MAX) == (20_000, 1_000)
    assert (module.REFUSALS_MAX, module.REFUSALS_PER_AGENT_MAX) == (4_000, 200)
    assert module.RUNS_PER_AGENT_MAX == 1_000


def test_runs_are_listed_by_when_they_were_last_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may be made before its first call; the one not seen for longest is forgotten first."""
    monkeypatch.setattr(module, "RUNS_PER_AGENT_MAX", 2)
    history = History()
    history.note_run(AGENT, "r1", 10)
    history.note_run(AGENT, "r2", 20)
    assert [run.run_id for run in history.runs(AGENT)] == ["r2", "r1"]
    history.note_run(AGENT, "r1", 30)
    assert [run.run_id for run in history.runs(AGENT)] == ["r1", "r2"]
    history.note_run(AGENT, "r3", 40)
    assert [run.run_id for run in history.runs(AGENT)] == ["r3", "r1"]
    assert history.runs("nobody") == []


def test_an_answer_is_found_by_its_name_as_long_as_its_call_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the agent that got it alone; of two answers of one name the later."""
    monkeypatch.setattr(module, "CALLS_PER_AGENT_MAX", 2)
    book = funded_book(10_000)
    for call_id, answer_id in (("c1", "resp_1"), ("c2", "resp_2"), ("c3", "resp_2")):
        book.execute(hold_call(call_id))
        book.execute(replace(settle(call_id, 70), answer_id=answer_id))
    history = book.history
    assert history.answered(AGENT, "resp_1") is None, "its call was the oldest of three, and two are kept"
    found = history.answered(AGENT, "resp_2")
    assert found is not None
    assert found.call_id == "c3"
    assert history.answered("agent-2", "resp_2") is None
    book.execute(hold_call("c4"))
    assert history.answered(AGENT, "resp_2") is found, "another call of its name went"
    book.execute(hold_call("c5"))
    assert history.answered(AGENT, "resp_2") is None


def test_the_latest_are_those_of_all_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls and refusals together, newest first, as many as are asked for; those forgotten are not among them."""
    monkeypatch.setattr(module, "CALLS_MAX", 4)
    book = make_book()
    assert book.history.latest(10) == []
    for agent_id in ("a", "b"):
        book.execute(new_agent(agent_id, concurrency="shared"))
        book.execute(grant(100_000, agent_id=agent_id))
    for number in range(3):
        for agent_id in ("a", "b"):
            book.execute(hold_call(f"{agent_id}{number}", agent_id=agent_id))
            refuse(book.history, f"no {agent_id}{number}", agent_id)
    book.execute(settle("a0", 70))
    found = [one.call_id for one in book.history.latest(100)]
    expected = [f"{kind}{agent_id}{number}" for number in range(3) for agent_id in "ab" for kind in ("", "no ")]
    assert found == [call_id for call_id in reversed(expected) if book.history.call(call_id)]
    assert found[:2] == ["no b2", "b2"]
    assert [one.call_id for one in book.history.latest(3)] == found[:3]
    assert book.history.latest(0) == []
