"""The reader of the feed against a sidecar that is played: it tells the truth, or why it is away."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feed_history import History, check_whole, sse
from played_feed import STREAM, Caller, Listener, Play, PlayedFeed, answered
from spendguard_cli.watch.feed import FeedReader, Patience
from spendguard_cli.watch.messages import Away, Happened, Message, Snapped
from spendguard_daemon.feed_wire import Event
from until import until

QUICK = Patience(silence=0.6, message=1.2, gap=0.3, flush=0.02, pause=0.02, pause_max=0.1)
HISTORY = History.of(
    [(what, whom, 5 * whom + what) for _ in range(4) for whom in range(3) for what in range(7)]
)
LAST = len(HISTORY.events)


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[PlayedFeed]:
    """A sidecar that is played."""
    with PlayedFeed(tmp_path / "home") as played:
        yield played


@pytest.fixture
def heard(feed: PlayedFeed) -> Iterator[Callable[..., Listener]]:
    """Let it play, and return who listens to it through a reader."""
    readers = []

    def listen(*plays: Play, patience: Patience = QUICK) -> Listener:
        feed.plays(*plays)
        readers.append(FeedReader(feed.connection, patience))
        listener = Listener()
        readers[-1].start(listener)
        return listener

    yield listen
    for reader in readers:
        reader.close()


def snapshot(seq: int = 0) -> bytes:
    """Return a snapshot as it is sent."""
    return sse(HISTORY.snapshot(seq), HISTORY.epoch)


def events(first: int, last: int = LAST) -> list[bytes]:
    """Return the events of these numbers as they are sent."""
    return [sse(event, HISTORY.epoch) for event in HISTORY.events[first - 1 : last]]


def whole(caller: Caller) -> None:
    """Tell all, and stay."""
    caller.say(STREAM, snapshot(LAST))
    caller.stay()


def is_whole(listener: Listener) -> bool:
    """Tell whether the board is live and has come to the end of the history, where it must be the truth."""
    if listener.board.seq != LAST or listener.board.link != "live":
        return False
    check_whole(listener.board, HISTORY.truths[-1])
    return True


def away(listener: Listener) -> list[Away]:
    """Return all reasons that were given for not knowing."""
    return [one for one in list(listener.messages) if isinstance(one, Away)]


def happened(messages: list[Message]) -> list[Event]:
    """Return all events that were handed on, in their order."""
    return [event for one in messages if isinstance(one, Happened) for event in one.events]


def test_all_that_is_told_is_shown(heard: Callable[..., Listener]) -> None:
    """A snapshot and what follows, cut anywhere, with comments, CRLF and kinds of a later version between."""

    def play(caller: Caller) -> None:
        later = b"event: weather\r\nid: one.%d\r\ndata: {\r\n\r\n" % (LAST + 1)
        raw = STREAM + snapshot() + b": still here\n\n" + b"".join(events(1)) + later
        for start in range(0, len(raw), 997):
            caller.say(raw[start : start + 997])
        caller.stay()

    listener = heard(play)
    until(lambda: is_whole(listener))
    assert [event.seq for event in happened(listener.messages)] == list(range(1, LAST + 1))


def test_few_messages_for_many_events(heard: Callable[..., Listener]) -> None:
    """Whatever happens, the screen is told a few times a second."""

    def play(caller: Caller) -> None:
        caller.say(STREAM, snapshot())
        for one in events(1):
            caller.say(one)
        caller.stay()

    listener = heard(play, patience=Patience(flush=0.2))
    until(lambda: is_whole(listener))
    assert len([one for one in listener.messages if isinstance(one, Happened)]) <= 5


def test_repeated_and_early_events_are_put_right(heard: Callable[..., Listener]) -> None:
    """Each goes on once, and in its order, without a new snapshot."""

    def play(caller: Caller) -> None:
        told = events(1)
        caller.say(STREAM, snapshot(), *told[:4], *told[2:6], *reversed(told[6:20]), *told[20:], told[0])
        caller.stay()

    listener = heard(play)
    until(lambda: is_whole(listener))
    assert [event.seq for event in happened(listener.messages)] == list(range(1, LAST + 1))
    assert len([one for one in listener.messages if isinstance(one, Snapped)]) == 1


def test_a_gap_that_stays_is_mended_by_a_snapshot(feed: PlayedFeed, heard: Callable[..., Listener]) -> None:
    """What was left out is not guessed: nothing behind it is shown, and all is asked for anew."""
    asked: list[str | None] = []

    def play(caller: Caller) -> None:
        asked.append(caller.last_event_id)
        caller.say(STREAM, snapshot(), *events(1, 5), *events(7))
        caller.stay()

    def again(caller: Caller) -> None:
        asked.append(caller.last_event_id)
        whole(caller)

    listener = heard(play, again)
    until(lambda: is_whole(listener))
    assert asked == [None, None]
    assert [event.seq for event in happened(listener.messages)] == [1, 2, 3, 4, 5]
    assert "left out" in away(listener)[0].why


def test_a_cut_in_the_middle_of_a_message_resumes_behind_the_last_whole_one(
    heard: Callable[..., Listener],
) -> None:
    """It says that it is away, and comes back without losing or repeating anything."""
    asked: list[str | None] = []

    def cut(caller: Caller) -> None:
        asked.append(caller.last_event_id)
        caller.say(STREAM, snapshot(), *events(1, 9), events(10)[0][:-30])

    def resumed(caller: Caller) -> None:
        asked.append(caller.last_event_id)
        caller.say(STREAM, *events(10))
        caller.stay()

    listener = heard(cut, resumed)
    until(lambda: is_whole(listener))
    assert asked == [None, "one.9"]
    assert [event.seq for event in happened(listener.messages)] == list(range(1, LAST + 1))
    assert away(listener) == [Away("the feed has ended; looking for the sidecar")]


def silent(caller: Caller) -> None:
    """Begin, and say nothing more."""
    caller.say(STREAM, snapshot(3))
    caller.stay()


def trickle(caller: Caller) -> None:
    """Say a little again and again, which never becomes a message."""
    caller.say(STREAM, snapshot(3), b"data: ")
    while caller.wait(0.05):
        caller.say(b"x")


def comments(caller: Caller) -> None:
    """Say that it is there, and nothing else."""
    caller.say(STREAM, snapshot(3))
    while caller.wait(0.05):
        caller.say(b":\n\n")


def slow_head(caller: Caller) -> None:
    """Never come to the end of the head."""
    caller.say(STREAM[:-2])
    while caller.wait(0.05):
        caller.say(b"a: b\r\n")


@pytest.mark.parametrize("play", [silent, trickle, comments, slow_head])
def test_who_says_nothing_is_away(play: Play, heard: Callable[..., Listener]) -> None:
    """Silence is no news, however it is dressed; and it comes back when there is some."""
    listener = heard(play, whole)
    until(lambda: is_whole(listener))
    assert "nothing has come for" in away(listener)[0].why


def raw(*said: bytes) -> Play:
    """Return a play that says this behind a snapshot, and stays."""

    def play(caller: Caller) -> None:
        caller.say(STREAM, *said)
        caller.stay()

    return play


SNAPSHOT = snapshot(3)
FOREIGN = sse(History.of([(0, 0, 1)] * 9, "two").events[6], "two")
NEXT = events(4)[0]


@pytest.mark.parametrize(
    ("play", "why"),
    [
        (raw(SNAPSHOT, b"event: totals\nid: one.4\ndata: \xff\xfe\x00\n\n"), "not of the form"),
        (raw(SNAPSHOT, b"event: totals\nid: one.4\ndata: [1, 2\n\n"), "not of the form"),
        (raw(SNAPSHOT, b"event: totals\nid: one.4\ndata: " + b"[" * 100_000 + b"\n\n"), "not of the form"),
        (raw(SNAPSHOT, NEXT.replace(b'_usd":"0.', b'_usd":"x.')), "not of the form"),
        (raw(SNAPSHOT, NEXT.replace(b'"seq":4', b'"seq":5')), "number of another"),
        (raw(SNAPSHOT, NEXT.replace(b"id: one.4", b"id: one.x")), "no number"),
        (raw(SNAPSHOT.replace(b"id: one.3", b"id: one.4")), "id of another"),
        (raw(SNAPSHOT.replace(b'"agents"', b'"gents"')), "not of the form"),
        (raw(SNAPSHOT, FOREIGN), "another life"),
        (raw(NEXT), "before it said"),
        (answered("200 OK", b"<html>", "content-type: text/html"), "no event stream"),
        (answered("302 Found", b"", "location: http://127.0.0.1:9/"), "HTTP 302"),
        (answered("500 Oh", b"\xff" * 100_000), "HTTP 500"),
        (answered("503 Later", b""), "stopping"),
    ],
)
def test_what_makes_no_sense_is_said_and_asked_for_again(
    play: Play, why: str, feed: PlayedFeed, heard: Callable[..., Listener]
) -> None:
    """Nothing of it reaches the board; the next connection brings the truth."""
    listener = heard(play, whole)
    until(lambda: is_whole(listener))
    assert why in away(listener)[0].why
    assert not happened(listener.messages)
    assert feed.asked == 2


@pytest.mark.parametrize(
    ("play", "why", "remedy"),
    [
        (answered("401 No", b'{"detail": "Unknown token"}'), "refuses the key", ""),
        (answered("404 Gone", b'{"detail": "Not found"}'), "older version", "spendguard restart"),
    ],
)
def test_what_only_a_person_can_mend_is_said_once(
    play: Play, why: str, remedy: str, feed: PlayedFeed, heard: Callable[..., Listener]
) -> None:
    """With what to type; it is tried on, and not said again and again."""
    listener = heard(play)
    until(lambda: feed.asked >= 3)
    (said,) = away(listener)
    assert why in said.why
    assert remedy in said.remedy


def test_a_message_without_an_end(heard: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up at its bound, and memory with it."""
    monkeypatch.setattr("spendguard_cli.watch.feed.MESSAGE_BYTES_MAX", 1_000_000)

    def endless(caller: Caller) -> None:
        caller.say(STREAM, b"data: ")
        while caller.wait(0):
            caller.say(b"x" * 65536)

    listener = heard(endless, whole, patience=Patience(flush=0.02, pause=0.02))
    until(lambda: is_whole(listener))
    assert "no end" in away(listener)[0].why


def test_who_cannot_prove_itself_gets_no_token(tmp_path: Path) -> None:
    """Not the token, not even the question for the feed."""
    with PlayedFeed(tmp_path / "home", proves=False) as squatter:
        squatter.plays(whole)
        reader, listener = FeedReader(squatter.connection, QUICK), Listener()
        reader.start(listener)
        until(lambda: len(squatter.heard) >= 3)
        reader.close()
        assert squatter.asked == 0
        assert not any("authorization" in head.lower() or squatter.token in head for head in squatter.heard)
    (said,) = away(listener)
    assert "could not prove" in said.why
    assert said.remedy


def test_it_is_proven_anew_at_each_connection(feed: PlayedFeed, heard: Callable[..., Listener]) -> None:
    """Before each question for the feed, and the token goes with that alone."""
    listener = heard(raw(SNAPSHOT[:50]), whole)
    until(lambda: is_whole(listener))
    kinds = [head.split(" ")[1] for head in feed.heard]
    assert kinds[:4] == ["/health", "/v1/events", "/health", "/v1/events"]
    assert all((feed.token in head) == ("/v1/events" in head) for head in feed.heard)


def test_nobody_is_there(tmp_path: Path) -> None:
    """It says so, and what to type; it starts nothing."""
    played = PlayedFeed(tmp_path / "home")
    played.__exit__()
    reader, listener = FeedReader(played.connection, QUICK), Listener()
    reader.start(listener)
    until(lambda: listener.board.link == "away")
    reader.close()
    assert away(listener)[0].remedy == "spendguard up"


@pytest.mark.parametrize("play", [silent, slow_head, trickle])
def test_close_returns_soon(play: Play, feed: PlayedFeed) -> None:
    """Also in the middle of a read; and that it was closed is no news."""
    feed.plays(play)
    reader, listener = FeedReader(feed.connection), Listener()
    reader.start(listener)
    until(lambda: feed.asked)
    began = time.monotonic()
    reader.close()
    assert time.monotonic() - began < 2
    assert not any(thread.is_alive() for thread in reader._threads)
    assert not away(listener)
