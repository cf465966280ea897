"""What a question promises, in numbers: against the ledger's own arithmetic; every kind of subject."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canned import HOSTILE, agent, call, hostile, money, snapshot, standings, uuid, waiting
from spendguard_cli.watch.actions import asked
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.errands import (
    NAMES,
    Abort,
    Confirm,
    Field,
    Freeze,
    Impossible,
    Question,
    SetDaemonLimit,
    SetLimit,
    TopUp,
    TopUpDaemon,
    Unfreeze,
)
from spendguard_cli.watch.messages import Snapped
from spendguard_cli.watch.subject import Subject
from spendguard_daemon.feed_wire import Money, Snapshot, Standing
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.budgets import decide_budget
from spendguard_daemon.ledger.events import BudgetSet
from spendguard_daemon.ledger.state import Account, State
from spendguard_daemon.money import format_usd, from_cents

CENTS = st.integers(0, 3000)


def board_of(told: Snapshot | None = None) -> Board:
    """Return a board that was told the world."""
    board = Board()
    board.hear(Snapped(told or snapshot()), 0.0)
    return board


def one(shown: Money, **more: object) -> Board:
    """Return a board with one agent."""
    return board_of(snapshot([Standing(agent=agent(1, "one", **more), money=shown)]))


def question(name: str, board: Board, subject: Subject, typed: str | None = None) -> Question:
    """Return a question that can be asked."""
    found = asked(name, board, subject, typed)  # type: ignore[arg-type]
    assert isinstance(found, Question), found
    return found


def why(name: str, board: Board, subject: Subject) -> str:
    """Return why something is impossible."""
    found = asked(name, board, subject)  # type: ignore[arg-type]
    assert isinstance(found, Impossible), found
    return found.why


def text(found: Question) -> str:
    """Return all that a question says."""
    return "\n".join((found.title, *found.says, found.wrong))


def ledger(limit_cents: int, funded_nusd: int, settled_nusd: int) -> State:
    """Return a ledger with one agent of such money."""
    account = Account(
        agent_id="a",
        name="one",
        concurrency="shared",
        overflow="clamp",
        mock=False,
        created_ns=0,
        limit_nusd=from_cents(limit_cents),
        funded_nusd=funded_nusd,
        settled_nusd=settled_nusd,
    )
    return State(accounts={"a": account})


@settings(deadline=None)
@given(limit=CENTS, left=CENTS, spent=st.integers(0, 10**10), more=CENTS, new=CENTS)
def test_what_is_promised_is_what_the_ledger_does(
    limit: int, left: int, spent: int, more: int, new: int
) -> None:
    """Of any top-up and any limit, what is said to be left is what the ledger then has."""
    left = min(left, limit)
    settled, funded = spent, from_cents(left)
    remaining = funded - settled
    shown = Money(
        hard_limit_usd=format_usd(from_cents(limit)),
        remaining_usd=format_usd(remaining),
        available_usd=format_usd(remaining),
        funded_usd=format_usd(funded),
        settled_usd=format_usd(settled),
    )
    board, state = one(shown), ledger(limit, funded, settled)
    for name, typed, command in (
        ("topup", str(more), cmd.TopUp("a", from_cents(more), "t")),
        ("limit", str(new), cmd.GrantBudget("a", from_cents(new), None, "t")),
    ):
        done = decide_budget(state, command)
        assert isinstance(done, BudgetSet)
        then = done.funded_nusd - done.settled_nusd
        said = text(question(name, board, Subject(uuid(1)), typed))
        sign = "-" if then < 0 else ""
        amount = f"{sign}${format_usd(abs(then))} "
        assert f"then has {amount}left" in said or f"keeps the {amount}that it has left" in said
        assert ("ignored" in said) == (done.ignored_nusd > 0)
        assert ("taken away" in said) == (done.cut_nusd > 0)


@settings(deadline=None)
@given(limit=CENTS, left=CENTS, lacks=st.integers(1, 3 * 10**10))
def test_what_lets_a_call_through_is_enough_and_less_is_not(limit: int, left: int, lacks: int) -> None:
    """After the errand so much remains as the call may cost; with a cent less it would not."""
    left = min(left, limit)
    worst = from_cents(left) + lacks
    waits = msgspec.structs.replace(waiting(5, 1), worst_case_usd=format_usd(worst))
    shown = Money(
        hard_limit_usd=format_usd(from_cents(limit)),
        remaining_usd=format_usd(from_cents(left)),
        available_usd=format_usd(from_cents(left)),
        calls_waiting=1,
    )
    found = question("let", one(shown, waiting=[waits]), Subject(uuid(1)))
    state = ledger(limit, from_cents(left), 0)
    match found.errand:
        case TopUp(_, cents):
            command: cmd.TopUp | cmd.GrantBudget = cmd.TopUp("a", from_cents(cents), "t")
        case SetLimit(_, cents, topup) if topup is not None:
            assert from_cents(limit) < worst
            command = cmd.GrantBudget("a", from_cents(cents), from_cents(topup), "t")
        case _:
            raise AssertionError(found)
    done = decide_budget(state, command)
    assert isinstance(done, BudgetSet)
    assert worst <= done.funded_nusd < worst + from_cents(1)
    assert f"it then has ${format_usd(done.funded_nusd)} left" in text(found)


def test_each_kind_of_waiting_call() -> None:
    """Money of the agent, its first budget, the cap; a lock and held money are not opened by money."""
    shown = money("2", "1.25", calls_waiting=1, locked_run_id="r1", held_usd="0.5")
    for code, told in (("budget_locked", "r1 holds the lock"), ("budget_held", "hold $0.5")):
        board = one(shown, waiting=[waiting(5, 1, code, None)])
        assert told in why("let", board, Subject(uuid(1)))
    board = one(Money(calls_waiting=1), waiting=[waiting(5, 1, "budget_not_set")])
    assert question("let", board, Subject(uuid(1))).errand == SetLimit(uuid(1), 150)
    told = snapshot([Standing(agent=agent(1, "one", waiting=[waiting(5, 1, "daemon_cap")]), money=shown)])
    for limit, remaining, errand in (
        (50_000, "0.75", TopUpDaemon(75)),
        (100, "0.75", SetDaemonLimit(150, 75)),
    ):
        cap = msgspec.structs.replace(told.totals.cap, hard_limit_cents=limit, remaining_usd=remaining)
        totals = msgspec.structs.replace(told.totals, cap=cap)
        board = board_of(msgspec.structs.replace(told, totals=totals))
        assert question("let", board, Subject(uuid(1))).errand == errand
    cap = msgspec.structs.replace(told.totals.cap, remaining_usd="9")
    board = board_of(msgspec.structs.replace(told, totals=msgspec.structs.replace(told.totals, cap=cap)))
    assert "Nothing is lacking any more" in why("let", board, Subject(uuid(1)))
    assert "does not wait any more" in why("let", board, Subject(uuid(1), uuid(9), waiting=True))
    assert "No call of calm waits" in why("let", board_of(), Subject(uuid(1)))


def test_freezing() -> None:
    """Freezing and its end say what goes on; one that came back with a backup needs a command."""
    board = board_of()
    found = question("freeze", board, Subject(uuid(2)), " loops ")
    assert found.errand == Freeze(uuid(2), "loops")
    assert found.grave
    assert "3 calls in flight go on and settle" in text(found)
    assert "loops at night" in why("freeze", board, Subject(uuid(5)))
    assert question("unfreeze", board, Subject(uuid(5))).errand == Unfreeze(uuid(5))
    assert "is not frozen" in why("unfreeze", board, Subject(uuid(1)))
    over = one(money("1", "1.5", frozen_reason="overrun: call x cost 5 nUSD more than was held for it"))
    assert "more than was held for it" in text(question("unfreeze", over, Subject(uuid(1))))
    assert "it has -$0.50 left" in text(question("unfreeze", over, Subject(uuid(1))))
    restored = one(money(frozen_reason="restored"), restored=True)
    assert f"spendguard agent unfreeze {uuid(1)} --spent" in why("unfreeze", restored, Subject(uuid(1)))


def test_calls() -> None:
    """A call in flight is cut, an unconfirmed one confirmed; what has ended, or waits, says so."""
    board = board_of()
    flying, worst, settled = uuid(1075), uuid(1300), uuid(1015)
    found = question("abort", board, Subject(uuid(3)))
    assert found.errand == Abort(flying)
    assert "charged at its hold, $0.05" in text(found)
    assert "lets go of the lock" in text(found)
    assert "choose one of its calls" in why("abort", board, Subject(uuid(2)))
    assert "it is settled and was charged $0.00045" in why("abort", board, Subject(uuid(2), settled))
    assert "not in flight any more" in why("abort", board, Subject(uuid(2), uuid(9)))
    assert "no hold yet" in why("abort", board, Subject(uuid(6), uuid(2020), waiting=True))
    found = question("confirm", board, Subject(uuid(2), worst))
    assert found.field == Field("what it cost (USD)", "0.05")
    assert found.errand == Confirm(worst, "0.05")
    for typed, told in (("0.01", "$0.04 goes back to spending"), ("$1", "$0.95 more is taken")):
        assert told in text(question("confirm", board, Subject(uuid(2), worst), typed))
    assert "Nothing to confirm" in why("confirm", board, Subject(uuid(2), settled))
    assert "has not ended" in why("confirm", board, Subject(uuid(3), flying))


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_on_nothing_and_what_is_gone(name: str) -> None:
    """Nothing under the cursor, or something that is gone, is said for each action."""
    for subject in (Subject(), Subject(uuid(99)), Subject(uuid(99), uuid(98))):
        assert why(name, board_of(), subject)


@pytest.mark.parametrize("typed", ["", "x", "12.5", "-1", "$0.001", "9" * 30, HOSTILE])
def test_what_is_no_amount_is_not_done(typed: str) -> None:
    """What means nothing, or could mean two things, is said and gives no errand."""
    for name in ("topup", "limit"):
        found = question(name, board_of(), Subject(uuid(1)), typed)
        assert found.errand is None
        assert found.wrong


def test_hostile_names_stay_text() -> None:
    """No escape and no line break of a foreign text gets into a question."""
    board = board_of(hostile())
    for name in NAMES:
        for subject in (Subject(uuid(1)), Subject(uuid(1), uuid(1075)), Subject(uuid(2), uuid(1300))):
            found = asked(name, board, subject)
            said = found.why if isinstance(found, Impossible) else "".join((found.title, *found.says))
            assert not set("\x1b\u202e\x07\n") & set(said), name


def test_every_agent_can_be_asked_about() -> None:
    """Every agent of the canned world can be asked about without an error, by every action."""
    board = board_of()
    for number in range(1, len(standings()) + 1):
        for name in NAMES:
            assert asked(name, board, Subject(uuid(number)))


def test_what_is_offered_is_what_the_refused_call_lacked() -> None:
    """After a refusal for money, l offers the limit it needs, t the money; what adds nothing is no deed."""
    refused = call(
        1,
        1,
        "refused",
        code="insufficient_budget",
        facts={"code": "insufficient_budget", "worst_case_usd": "0.10143"},
    )
    for limit, offered in (("0.05", "$0.11"), ("0.50", "$0.50")):
        shown = Money(hard_limit_usd=limit, remaining_usd="0.05", available_usd="0.05")
        told = snapshot([Standing(agent=agent(1, "one"), money=shown)])
        board = board_of(msgspec.structs.replace(told, ended=[refused]))
        field = question("limit", board, Subject(uuid(1))).field
        assert field is not None
        assert field.default == offered
        topup = question("topup", board, Subject(uuid(1)))
        assert topup.field is not None
        assert topup.field.default == "$0.06"
        assert (topup.errand is None) == (limit == "0.05")
