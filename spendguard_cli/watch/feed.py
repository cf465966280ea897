"""The feed of a live sidecar as a source of news: finds it, proves it, reads on, comes back by itself.

Invariants: no token is sent before the proof, at each connection anew; what is posted is in the order of the
sidecar, each event once, all of the epoch of the snapshot before them; and as soon as that cannot be kept,
or nothing comes, it says `Away`. It never starts a sidecar. One thread reads; another one hands on what was
read, a few times a second, and ends the reading where it lasts too long.
"""

import threading
import time
from dataclasses import dataclass

from spendguard_cli.client import Control
from spendguard_cli.connect import peek
from spendguard_cli.context import Connection
from spendguard_cli.watch.absence import absent, away_of, lost
from spendguard_cli.watch.messages import Away, Happened, Message, Post, Snapped
from spendguard_cli.watch.order import LostError, Order
from spendguard_cli.watch.sse import MESSAGE_BYTES_MAX, EndlessError, Parser, Sse
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.feed_wire import TOTALS_SECONDS_MAX, Event

CLOSE_SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long what is waited for, in seconds.

    `silence`: for the next message; `message`: for the end of one that has begun; `gap`: for an event that
    was left out. `flush`: between two batches; `pause` to `pause_max`: before it is tried again.
    """

    silence: float = 2 * TOTALS_SECONDS_MAX + 1
    message: float = 30.0
    gap: float = 1.0
    flush: float = 0.2
    pause: float = 0.2
    pause_max: float = 5.0


PATIENCE = Patience()


class FeedReader:
    """Reads the feed of the sidecar that a connection names, from `start` to `close`."""

    def __init__(self, connection: Connection, patience: Patience = PATIENCE) -> None:
        self._connection, self._patience = connection, patience
        self._order = Order()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        """Guards all that follows."""
        self._post: Post | None = None
        self._pending: list[Event] = []
        self._away: Away | None = None
        self._control: Control | None = None
        self._broken_off = ""
        self._heard = self._gap_since = 0.0
        self._begun = False
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._read, self._beat)]

    def start(self, post: Post) -> None:
        """Begin to look for the sidecar, and to post."""
        self._post = post
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Post no more, and return within a second, also where the sidecar does not answer."""
        self._closed.set()
        with self._lock:
            self._post = None
            if self._control is not None:
                self._control.cut()
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    # -- the thread that reads ----------------------------------------------------------------------------

    def _read(self) -> None:
        """Connect again and again; each time it fails the pause is longer, until one has lasted."""
        pause = self._patience.pause
        try:
            while not self._closed.is_set():
                began = time.monotonic()
                self._say(self._listen())
                if time.monotonic() - began > self._patience.pause_max:
                    pause = self._patience.pause
                self._closed.wait(pause)
                pause = min(2 * pause, self._patience.pause_max)
        finally:  # whatever went wrong here, nobody may take what is shown for live
            self._say(Away("watch has stopped listening through a fault of its own", "spendguard watch"))

    def _listen(self) -> Away:
        """Read the feed until it ends; return why it did."""
        opened = False
        try:
            control = peek(self._connection)
            if control is None:
                return absent(self._connection)
            with control:
                self._hold(control)
                self._order.begin()
                with control.events(self._order.last_event_id, self._patience.message) as chunks:
                    opened, parser = True, Parser(MESSAGE_BYTES_MAX)
                    for chunk in chunks:
                        for message in parser.feed(chunk):
                            self._take(message)
                        self._begun = parser.begun
            return self._ended(None, opened=True)
        except (LostError, EndlessError) as error:
            self._order.forget()
            return lost(error)
        except (SpendGuardError, OSError) as error:
            return self._ended(error, opened=opened)
        finally:
            with self._lock:
                self._control = None

    def _ended(self, error: SpendGuardError | OSError | None, *, opened: bool) -> Away:
        """Return why the feed is heard no more; where it was broken off here, that is why."""
        if not self._broken_off:
            return away_of(error, self._connection, opened=opened)
        if self._order.has_gap:
            self._order.forget()
        return lost(LostError(self._broken_off))

    def _hold(self, control: Control) -> None:
        """Let the other thread end what is read from now on."""
        with self._lock:
            self._control, self._broken_off = control, ""
            self._heard, self._gap_since, self._begun = time.monotonic(), 0.0, False
            if self._closed.is_set():
                control.cut()

    def _take(self, message: Sse) -> None:
        """Take up one message of the feed."""
        before = self._order.seq
        if message.event == "snapshot":
            snapshot = self._order.snapshot(message)
            if snapshot is not None:
                self._say(Snapped(snapshot))
            due: list[Event] = []
        else:
            due = self._order.events(message)
        now = time.monotonic()
        with self._lock:
            self._pending += due
            self._heard = now
            if not self._order.has_gap:
                self._gap_since = 0.0
            elif not self._gap_since or self._order.seq != before:
                self._gap_since = now

    # -- what is handed on --------------------------------------------------------------------------------

    def _say(self, message: Message) -> None:
        """Post at once; what was read before goes first, unless a snapshot makes it old."""
        with self._lock:
            if isinstance(message, Snapped):
                self._pending, self._away = [], None
            else:
                self._flush()
                if message == self._away:
                    return
                self._away = message if isinstance(message, Away) else None
            if self._post is not None:
                self._post(message)

    def _flush(self) -> None:
        if self._pending and self._post is not None:
            events, self._pending, self._away = tuple(self._pending), [], None
            self._post(Happened(events))

    def _beat(self) -> None:
        """Hand on what was read, and end the reading where it lasts too long, until all is closed."""
        while not self._closed.wait(self._patience.flush):
            with self._lock:
                self._flush()
                why = self._too_long(time.monotonic())
                if why and self._control is not None and not self._broken_off:
                    self._broken_off = why
                    self._control.cut()

    def _too_long(self, now: float) -> str:
        """Return what has lasted too long; empty for nothing."""
        if self._gap_since and now - self._gap_since > self._patience.gap:
            return "it left out events"
        waited = now - self._heard
        if waited > (self._patience.message if self._begun else self._patience.silence):
            return f"nothing has come for {waited:.0f} s"
        return ""
