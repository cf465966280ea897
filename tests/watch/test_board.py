"""The board: it shows the truth, each thing as it was told last, or it says that it does not know."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canned import NOW, agent, at, call, money, snapshot, uuid, waiting
from feed_history import OPS, History, Op, check_each, check_whole
from spendguard_cli.watch import board as boards
from spendguard_cli.watch.board import Board, seconds
from spendguard_cli.watch.messages import Away, Happened, Snapped
from spendguard_daemon.feed_wire import Event, Progress


def live(history: History, seq: int) -> Board:
    """Return a board that has heard a snapshot."""
    board = Board()
    board.hear(Snapped(history.snapshot(seq)), 0)
    return board


@given(OPS, st.data())
@settings(max_examples=100, deadline=None)
def test_events_late_repeated_and_in_any_order_come_to_the_truth(
    played: list[Op], data: st.DataObject
) -> None:
    """At every moment each thing is as it once was; once all was told, all is as it is."""
    history = History.of(played)
    last = len(history.events)
    board = live(history, data.draw(st.integers(0, last)))
    told = data.draw(st.permutations(history.events + history.events[: last // 2]))
    while told:
        batch, told = told[: (cut := data.draw(st.integers(1, 9)))], told[cut:]
        board.hear(Happened(tuple(batch)), 0)
        check_each(board, history.truths)
    check_whole(board, history.truths[-1])


@given(OPS)
@settings(max_examples=50, deadline=None)
def test_in_order_the_whole_board_is_so_at_every_event(played: list[Op]) -> None:
    """Nothing that is shown belongs to another moment than the rest."""
    history = History.of(played)
    board = live(history, 0)
    for event in history.events:
        board.hear(Happened((event,)), 0)
        assert board.seq == event.seq
        check_whole(board, history.truths[event.seq])


@given(OPS, OPS, st.data())
@settings(max_examples=50, deadline=None)
def test_a_snapshot_makes_all_before_it_void(first: list[Op], then: list[Op], data: st.DataObject) -> None:
    """After a snapshot of another life nothing of the one before is left."""
    before, after = History.of(first), History.of(then, "two")
    board = live(before, 0)
    board.hear(Happened(tuple(data.draw(st.permutations(before.events)))), 0)
    board.hear(Away("the feed has ended"), 1)
    board.hear(Snapped(after.snapshot(len(after.events))), 2)
    check_whole(board, after.truths[-1])
    assert board.epoch == "two"


def test_what_a_snapshot_knew_cannot_come_back() -> None:
    """A call that ended before the snapshot does not fly again where its hold is repeated."""
    board = Board()
    board.hear(Snapped(snapshot()), 0)
    old = Event(seq=99, at=at(-1), kind="hold", agent_id=uuid(2), call=call(999, 2, "held"))
    board.hear(Happened((old,)), 0)
    assert uuid(1999) not in board.flights


def test_it_says_what_it_does_not_know() -> None:
    """Before the first word, while away, and never while it is live."""
    board = Board()
    assert board.doubt() == "looking for the sidecar; nothing is known yet"
    board.hear(Away("no sidecar\x1b[2J is running", "spendguard up"), 0)
    assert board.doubt() == "no sidecar[2J is running; nothing is known yet"
    board.hear(Snapped(snapshot()), 5)
    assert (board.link, board.doubt(), board.remedy) == ("live", "", "")
    board.hear(Away("the feed has ended"), 9)
    assert board.link == "away"
    assert board.doubt() == "the feed has ended; shown as of 2026-11-30 03:12:00Z"


def test_ages_stand_still_while_it_is_away() -> None:
    """Nobody is told that a lock grows older where nobody knows."""
    board = Board()
    board.hear(Snapped(snapshot()), 100)
    assert board.now_seconds(107) == NOW.timestamp() + 7
    board.hear(Away("the feed has ended"), 108)
    assert board.now_seconds(500) == NOW.timestamp()
    board.hear(Happened((Event(seq=101, at=at(30), kind="totals"),)), 600)
    assert board.now_seconds(601) == NOW.timestamp() + 31


def test_a_clock_that_is_set_back_is_followed() -> None:
    """The time is the sidecar's, that of its last event, also where it is earlier than the one before."""
    board = Board()
    board.hear(Snapped(snapshot()), 0)
    board.hear(Happened((Event(seq=101, at=at(-3600), kind="totals"),)), 1)
    assert board.now_seconds(2) == NOW.timestamp() - 3599


def test_the_past_stays_the_past() -> None:
    """What is replayed is never called live, nor away."""
    board = Board(link="past")
    board.hear(Snapped(snapshot()), 0)
    assert (board.link, board.doubt(), board.now_seconds(50)) == ("past", "", NOW.timestamp())
    board.hear(Away("its end"), 1)
    assert board.link == "past"


def test_an_agent_of_which_something_was_told_before_it_was() -> None:
    """Its row begins with the newest that was told, not with what its birth said."""
    board = Board()
    board.hear(Snapped(snapshot([])), 0)
    later = Event(seq=102, at=at(2), kind="end", agent_id=uuid(70), money=money(settled="3"))
    born = Event(
        seq=101, at=at(1), kind="agent", agent_id=uuid(70), money=money(settled="0"), agent=agent(70, "new")
    )
    board.hear(Happened((later,)), 0)
    assert not board.rows
    board.hear(Happened((born,)), 0)
    assert board.rows[uuid(70)].money.settled_usd == "3"


def test_what_waited_before_a_later_change_still_waits() -> None:
    """The change of an agent says nothing of its waiting calls, also where it is heard before they are."""
    board = Board()
    board.hear(Snapped(snapshot([])), 0)
    changed = Event(seq=103, at=at(3), kind="agent", agent_id=uuid(70), money=money(), agent=agent(70, "new"))
    waits = Event(
        seq=102, at=at(2), kind="waiting", agent_id=uuid(70), money=money(), waiting=[waiting(1, 70)]
    )
    board.hear(Happened((changed, waits)), 0)
    assert board.rows[uuid(70)].waiting == [waiting(1, 70)]


def test_the_last_calls_of_an_agent_that_was_deleted_end() -> None:
    """They fly on after it is gone, and their ends are told with its deletion."""
    board = Board()
    board.hear(Snapped(snapshot()), 0)
    gone = Event(seq=101, at=at(1), kind="agent", agent_id=uuid(3), deleted=True)
    board.hear(Happened((gone,)), 0)
    assert uuid(3) not in board.rows
    assert uuid(1075) in board.flights
    over = Event(seq=102, at=at(2), kind="agent", agent_id=uuid(3), deleted=True, call=call(75, 3, "settled"))
    board.hear(Happened((over,)), 0)
    assert uuid(1075) not in board.flights
    assert uuid(1075) in board.ended


def test_the_newest_calls_of_an_agent_come_first() -> None:
    """By the time of their end, whatever was told last."""
    board = Board()
    board.hear(Snapped(snapshot()), 0)
    fixed = call(300, 2, "settled_worst", cost_usd="0.04")
    board.hear(Happened((Event(seq=101, at=at(1), kind="adjust", agent_id=uuid(2), call=fixed),)), 0)
    ends = [one.ended_at for one in board.of_agent(uuid(2))]
    assert ends == sorted(ends, reverse=True, key=lambda iso: seconds(iso or ""))
    assert board.of_agent(uuid(2))[-1].cost_usd == "0.04"


def test_memory_is_flat() -> None:
    """An hour of calls of agents that come and go leaves no more behind than a minute of them."""
    board = Board()
    board.hear(Snapped(snapshot([])), 0)

    def minute(first: int) -> None:
        for seq in range(first, first + 12_000, 4):
            of, when = 10_000 + seq, at(seq / 200)
            held, gone = call(seq, of, "held"), call(seq, of, "settled")
            told = Progress(call_id=uuid(900_000 + seq), agent_id=uuid(of), answer_bytes=9)
            board.hear(
                Happened(
                    (
                        Event(seq=seq, at=when, kind="hold", agent_id=uuid(of), call=held, money=money()),
                        Event(seq=seq + 1, at=when, kind="progress", agent_id=uuid(of), progress=[told]),
                        Event(seq=seq + 2, at=when, kind="end", agent_id=uuid(of), call=gone, money=money()),
                        Event(seq=seq + 3, at=when, kind="agent", agent_id=uuid(of), deleted=True),
                    )
                ),
                0,
            )

    minute(101)
    tracemalloc.start()
    minute(20_000)
    first = tracemalloc.get_traced_memory()[0]
    for number in range(2, 5):
        minute(number * 20_000)
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert grown < 500_000
    assert len(board.ended) == boards.ENDED_MAX
    assert not board.rows
    assert not board.flights


@pytest.mark.parametrize(
    "iso", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "soon", ""]
)
def test_a_time_at_the_end_of_all_times_is_none(iso: str) -> None:
    """What is no date any more a second later is not reckoned with: it is shown as not known."""
    board = Board()
    board.hear(Snapped(msgspec.structs.replace(snapshot(), at=iso)), 0.0)
    board.hear(Away("it ended"), 1.0)
    assert board.now_seconds(1e6) == 0
    assert "nothing is known yet" in board.doubt()
