"""What `watch --once` says of what is known: the same facts as the agents view, and what to type."""

import io

import msgspec
import pytest
from rich.console import Console

from canned import NOW, at, call, snapshot, standings, uuid
from spendguard_cli.views import view
from spendguard_cli.watch.asked import Order
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Snapped
from spendguard_cli.watch.once import Wanted, glance, without_steps
from spendguard_cli.watch.seen import Glance
from spendguard_daemon.feed_wire import Snapshot


def seen(told: Snapshot, wanted: Wanted | None = None, *, past: bool = False) -> Glance:
    """Return what is to be said of a snapshot, as of its own time."""
    board = Board(link="past" if past else "connecting")
    board.hear(Snapped(told), 0.0)
    return glance(board, NOW.timestamp(), wanted)


def names(shown: Glance) -> list[str]:
    """Return the agents in their order."""
    return [one.name for one in shown.agents]


def drawn(shown: Glance, width: int) -> str:
    """Return what a terminal of that width shows."""
    stream = io.StringIO()
    Console(file=stream, width=width, markup=False).print(view(shown), crop=False)
    return stream.getvalue()


def test_whom_to_look_at_comes_first() -> None:
    """Who is stopped, then who has nothing left, then who soon has nothing."""
    first = ["frozen", "new", "overdrawn", "nearly-empty"]
    assert names(seen(snapshot()))[:4] == first


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("name", "calm"),
        ("remaining", "overdrawn"),
        ("burn", "spending"),
        ("empty", "overdrawn"),
        ("refusals", "nearly-empty"),
        ("held", "spending"),
    ],
)
def test_the_order_that_was_asked_for(order: Order, first: str) -> None:
    """Each of them has its own first."""
    assert names(seen(snapshot(), Wanted(order=order)))[0] == first


def test_only_what_was_asked_for() -> None:
    """One agent, or those with a text in their name; the sums are theirs."""
    one = seen(snapshot(), Wanted(agent_id=uuid(2)))
    assert names(one) == ["spending"]
    assert (one.sums.left_usd, one.sums.calls_in_flight, one.sums.unconfirmed_calls) == ("60.00", 3, 1)
    assert names(seen(snapshot(), Wanted(text="NEARLY"))) == ["nearly-empty"]
    assert names(seen(snapshot(), Wanted(text="nobody"))) == []


def test_what_to_type_next_is_told_once() -> None:
    """For who waits first, then for refusals, then for what is unconfirmed."""
    shown = seen(snapshot())
    first, second, *rest = shown.next
    assert first == "spendguard budget topup --agent waiting --amount 75"
    assert second.startswith("spendguard budget ")
    assert "--agent nearly-empty" in second
    assert rest == ["spendguard agent unfreeze frozen", "spendguard ledger export --unconfirmed"]
    assert {one.code: one.name for one in shown.refused} == {
        "insufficient_budget": "nearly-empty",
        "agent_frozen": "frozen",
    }


def test_refusals_of_long_ago_are_not_told() -> None:
    """After a quarter of an hour it is the number alone that tells of them."""
    old = call(3600, 4, "refused", code="insufficient_budget", ended_at=at(-3600))
    shown = seen(msgspec.structs.replace(snapshot(), ended=[old]))
    assert shown.refused == []
    assert (shown.sums.refusals, shown.sums.refusals_since) == (15, at(-7200))
    assert "15 refused in 2h00m" in drawn(shown, 200)


def test_the_past_tells_of_nothing_to_type() -> None:
    """Nothing can be done about it."""
    shown = seen(snapshot(), past=True)
    assert (shown.state, shown.next) == ("past", [])
    assert [one.next for one in shown.refused] == [[], []]
    assert drawn(shown, 100).startswith("the past, 2026-11-30 03:12:00Z")


@pytest.mark.parametrize("width", [60, 80, 160, 200])
def test_a_terminal_of_any_width(width: int) -> None:
    """Every agent has its line with its money; nothing is wider than the terminal."""
    said = drawn(seen(snapshot()), width)
    assert max(len(text) for text in said.splitlines() if not text.startswith("  $ ")) <= width
    for standing in standings()[:-1]:
        assert standing.agent.name[:9] in said
    assert "! empty in 1m40s" in said
    assert "-$0.5" in said


def test_lines_have_no_steps() -> None:
    """They are for programs that read JSON."""
    shown = seen(snapshot())
    assert any(one.spent_usd for one in shown.agents)
    assert not any(one.spent_usd for one in without_steps(shown).agents)


def test_nobody_is_a_sentence() -> None:
    """An empty table says so."""
    assert "no agents" in drawn(seen(snapshot([])), 80)


def test_where_there_is_no_agent_the_first_is_made() -> None:
    """What to type is told, but not of the past, nor where a filter lets nobody through."""
    assert "$ spendguard agent create --name my-agent" in drawn(seen(snapshot([])), 80)
    assert seen(snapshot([])).next[0] == "spendguard agent create --name my-agent"
    assert seen(snapshot([]), past=True).next == []
    assert "spendguard agent create --name my-agent" not in seen(snapshot(), Wanted(text="nobody")).next


def test_the_columns_are_called_as_on_the_screen() -> None:
    """Who reads of `waits` in the reference finds it here too; nothing of a heading is cut at 80 cells."""
    wide = drawn(seen(snapshot()), 250)
    for name in ("LEFT", "LASTS", "HELD", "$/MIN", "15 MIN", "CALLS", "WAITS", "REFUSED", "LOCKED BY"):
        assert name in wide
    assert "UNCONFIRMED" in drawn(seen(snapshot()), 80)
