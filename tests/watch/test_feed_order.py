"""The feed as bytes, cut, repeated, out of order and of several lives: what passes is what was told."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_history import OPS, History, Op, check_whole, sse
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Away, Happened, Snapped
from spendguard_cli.watch.order import LostError, Order
from spendguard_cli.watch.sse import EndlessError, Parser, Sse

SHUFFLE_MAX = 6
"""By how many places an event is late at most."""


class Desk:
    """Reads as the reader does, without its threads; `lives` are all histories there are, by their epoch."""

    def __init__(self, *lives: History) -> None:
        self.order, self.board = Order(), Board()
        self._lives = {life.epoch: life for life in lives}

    def connect(self, *chunks: bytes) -> None:
        """Hear one connection to its end; after each message what is live is true."""
        self.order.begin()
        parser = Parser()
        try:
            for chunk in chunks:
                for message in parser.feed(chunk):
                    self._take(message)
                    self.check()
            self.board.hear(Away("the feed has ended"), 0)
        except LostError as error:
            self.order.forget()
            self.board.hear(Away(str(error)), 0)

    def check(self) -> None:
        """Assert that all that is shown as live was so together, at one moment of one life."""
        if self.board.link == "live":
            check_whole(self.board, self._lives[self.board.epoch].truths[self.board.seq])

    def _take(self, message: Sse) -> None:
        if message.event == "snapshot":
            snapshot = self.order.snapshot(message)
            if snapshot is not None:
                self.board.hear(Snapped(snapshot), 0)
        elif due := self.order.events(message):
            self.board.hear(Happened(tuple(due)), 0)


@st.composite
def deliveries(draw: st.DrawFn, told: list[bytes]) -> list[bytes]:
    """Bytes of messages that come late, twice, not at all, or between others, cut anywhere."""
    places = [(number + draw(st.integers(0, SHUFFLE_MAX)), one) for number, one in enumerate(told)]
    places += [
        (number + draw(st.integers(0, 9)), one) for number, one in enumerate(told) if draw(st.booleans())
    ]
    kept = [one for _, one in sorted(places, key=lambda place: place[0])]
    if kept and draw(st.integers(0, 3)) == 0:
        kept.pop(draw(st.integers(0, len(kept) - 1)))
    raw = b"".join(kept)
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    return [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


@given(OPS, OPS, st.data())
@settings(max_examples=30, deadline=None)
def test_what_is_live_is_true_whatever_happens_on_the_way(
    first: list[Op], then: list[Op], data: st.DataObject
) -> None:
    """Two lives, each over two connections with faults; a whole one at the end brings the whole truth."""
    lives = (History.of(first), History.of(then, "two"))
    desk = Desk(*lives)
    for life in lives:
        last = len(life.events)
        for _ in range(2):
            start = data.draw(st.integers(0, last))
            told = [sse(event, life.epoch) for event in life.events[data.draw(st.integers(0, start)) :]]
            stray = [sse(event, "one") for event in lives[0].events[:1]]
            hello = [sse(life.snapshot(start), life.epoch)] if data.draw(st.booleans()) else []
            desk.connect(*hello, *data.draw(deliveries(told + stray)))
            desk.check()
    whole = lives[1].snapshot(len(lives[1].events))
    desk.order.forget()
    desk.connect(sse(whole, "two"))
    check_whole(desk.board, lives[1].truths[-1])


@given(OPS, st.data())
@settings(max_examples=25, deadline=None)
def test_an_order_that_is_only_muddled_needs_no_new_snapshot(played: list[Op], data: st.DataObject) -> None:
    """Late and repeated events, none lost: the whole truth comes out, over one connection."""
    life = History.of(played)
    desk = Desk(life)
    told = data.draw(st.permutations([sse(event, "one") for event in life.events] * 2))
    desk.connect(sse(life.snapshot(0), "one"), *told)
    check_whole(desk.board, life.truths[-1])
    assert not desk.order.has_gap


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_bytes_of_any_kind_end_in_messages_or_in_a_word(chunks: list[bytes]) -> None:
    """Nothing but LostError and EndlessError ever leaves."""
    order, parser = Order(), Parser(500)
    try:
        for chunk in [*chunks, b"\n\n"]:
            for message in parser.feed(chunk):
                assert order.events(message) == []
                order.snapshot(message)
    except (LostError, EndlessError):
        pass


@given(st.lists(st.integers(0, 60), max_size=8))
def test_messages_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    """Also between CR and LF, and in the middle of a character."""
    raw = ": hi\r\nevent: totals\r\nid: one.1\r\ndata: ü\r\ndata: b\r\n\r\nid: x\n\ndata:c\n\n".encode()
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    parser = Parser()
    found = [one for a, b in itertools.pairwise(places) for one in parser.feed(raw[a:b])]
    assert found == [Sse("totals", "one.1", "ü\nb".encode()), Sse("", "", b"c")]
    assert not parser.begun


@pytest.mark.parametrize("raw", [b"x" * 400, b"data: y\n" * 40, b":\n" * 200])
def test_a_message_has_a_bound(raw: bytes) -> None:
    """However it is made endless: as a line, as lines, as comments."""
    parser = Parser(300)
    with pytest.raises(EndlessError):
        list(parser.feed(raw))


@pytest.mark.parametrize("cents", [2**53, -(2**63), 10**30])
def test_a_cap_beyond_all_amounts_is_not_understood(cents: int) -> None:
    """Money that no ledger can hold loses the feed, before anything reckons with it."""
    told = History([])
    snapshot = told.snapshot(0)
    cap = msgspec.structs.replace(snapshot.totals.cap, hard_limit_cents=cents)
    totals = msgspec.structs.replace(snapshot.totals, cap=cap)
    data = msgspec.json.encode(msgspec.structs.replace(snapshot, totals=totals))
    with pytest.raises(LostError):
        Order().snapshot(Sse("snapshot", f"{snapshot.epoch}.{snapshot.seq}", data))
