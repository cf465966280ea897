"""The journal as a source of news: one moment of the past, from which time goes on as fast as one likes.

`Player` owns the place in the past and what was asked of it (play, pause, speed, steps). It reads no clock:
`turn` says what there is to post now. `Replay` turns it from a thread of its own. What happens faster than
anybody can look at is posted as one snapshot.
"""

import threading
import time
from collections.abc import Callable

from spendguard_cli.explain.life import Life
from spendguard_cli.ledger.past import Past, Reel
from spendguard_cli.ledger.told import Doings, snapshot
from spendguard_cli.watch.messages import Happened, Message, Post, Snapped
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.feed_wire import Event
from spendguard_daemon.text import safe

TURN_SECONDS = 0.1
"""How often there is something new while it plays."""

SPEED_MIN, SPEED_MAX = 0.25, 64.0

EVENTS_MAX = 300
"""So many events of one turn are told one by one."""

RECORDS_MAX = 5_000
"""So many records are followed in one turn; where there are more, time goes slower than was asked."""

NAME_LENGTH_MAX = 24

TOLD_KEPT = 100
"""So many of the last moments that were posted are remembered, each by the number of its last event."""

CLOSE_SECONDS = 1.0
"""For so long is waited for a turn under way, which may have much to read."""

NS_PER_SECOND = 1_000_000_000


class Player:
    """A place in the past. `at_ns` is the time there, `speed` how fast it goes while it is not `paused`.

    `at_end`: no record follows. `said` tells what the last step did, `trouble` why the journal cannot be read
    on; both are safe to show. May be asked from any thread; `asked` is set then.
    """

    def __init__(self, past: Past, at_ns: int, *, playing: bool = False) -> None:
        self._past = past
        self._reel: Reel | None = None
        self._steps, self._lock = 0, threading.Lock()
        self._then_seconds = 0.0
        self._told: dict[int, int] = {}
        self._doings = Doings()
        self.at_ns, self.paused, self.speed = at_ns, not playing, 1.0
        self.at_end, self.said, self.trouble = False, "", ""
        self.asked = threading.Event()

    @property
    def at_seconds(self) -> float:
        """The time there, in seconds since the epoch."""
        return self.at_ns / NS_PER_SECOND

    def pause(self) -> None:
        """Stand still, or go on."""
        self.paused = not self.paused
        self.asked.set()

    def faster(self, times: float) -> None:
        """Play so many times as fast, within the bounds; a half is half as fast."""
        self.speed = min(SPEED_MAX, max(SPEED_MIN, self.speed * times))
        self.asked.set()

    def step(self, records: int) -> None:
        """Stand still, so many records later, or earlier where it is negative."""
        with self._lock:
            self._steps += records
            self.paused = True
        self.asked.set()

    def life(self, call_id: str, seq: int) -> tuple[Life | None, list[str]]:
        """Return what the journal had of a call at the moment whose last event was `seq`, and its damage.

        Nothing that was written later. Reads files, from any thread; raises OSError.
        """
        told = list(self._told.items())
        return self._past.life(call_id, max((record for event, record in told if event <= seq), default=0))

    def turn(self, local_seconds: float) -> list[Message]:
        """Do what was asked and what is due, and return what there is to post; `local_seconds` monotonic."""
        passed_seconds = max(0.0, local_seconds - self._then_seconds)
        self._then_seconds = local_seconds
        with self._lock:
            steps, self._steps = self._steps, 0
        try:
            return self._turn(steps, passed_seconds)
        except (SpendGuardError, OSError) as error:
            self._reel, self.paused = None, True
            self.trouble = safe(error.detail if isinstance(error, SpendGuardError) else str(error))
            return [Happened(())]

    def _turn(self, steps: int, passed_seconds: float) -> list[Message]:
        told: list[Message] = []
        if self._reel is None:
            self._reel, passed_seconds = self._past.at(self.at_ns), 0.0
            told.append(self._snapped(self._reel))
        if steps:
            told += self._stepped(self._reel, steps)
        elif not self.paused:
            told += self._played(self._reel, self.at_ns + round(passed_seconds * self.speed * NS_PER_SECOND))
        self._remember(self._reel)
        self.at_end, self.trouble = self._reel.next_ns is None, ""
        self.paused = self.paused or self.at_end
        return told

    def _stepped(self, reel: Reel, steps: int) -> list[Message]:
        if steps > 0:
            events: list[Event] = []
            for _ in range(min(steps, EVENTS_MAX)):
                events += reel.step()
            if not events:
                return []
            self.at_ns = reel.moment.wall_ns
            self.said = _said(reel, events)
            return [self._happened(reel, events)]
        before = max(0, reel.moment.records + steps)
        if before == reel.moment.records:
            return []
        self._reel = reel = self._past.after(before)
        self.at_ns = reel.moment.wall_ns if before else (reel.next_ns or self.at_ns) - 1
        self.said = ""
        return [self._snapped(reel)]

    def _played(self, reel: Reel, due_ns: int) -> list[Message]:
        self.said = ""
        events: list[Event] = []
        records = 0
        while _is_due(reel, due_ns) and records < RECORDS_MAX:
            records += 1
            if records <= EVENTS_MAX:
                events += reel.step()
            else:
                reel.skip()
        if reel.next_ns is not None and not _is_due(reel, due_ns):
            self.at_ns = due_ns
        elif records:
            # There is more to do than a turn has time for; or nothing is known of what came later.
            self.at_ns = reel.moment.wall_ns
        return [self._happened(reel, events) if records <= EVENTS_MAX else self._snapped(reel)]

    def _remember(self, reel: Reel) -> None:
        """Note of which record the last event of what is posted now is."""
        moment = reel.moment
        self._told.pop(moment.seq, None)
        self._told[moment.seq] = moment.journal_seq
        if len(self._told) > TOLD_KEPT:
            del self._told[next(iter(self._told))]

    def _snapped(self, reel: Reel) -> Snapped:
        self._remember(reel)
        return Snapped(snapshot(reel.moment, self.at_ns), self._doings.at(reel.moment))

    def _happened(self, reel: Reel, events: list[Event]) -> Happened:
        return Happened(tuple(events), self._doings.at(reel.moment) if events else None)


class Replay:
    """A source that turns a player from its own thread, and posts what it says."""

    def __init__(self, player: Player, clock: Callable[[], float] = time.monotonic) -> None:
        self.player, self._clock = player, clock
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self, post: Post) -> None:
        """Begin to post."""
        self._thread = threading.Thread(target=self._run, args=(post,), name="replay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Post no more."""
        self._closed = True
        self.player.asked.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(self, post: Post) -> None:
        while not self._closed:
            self.player.asked.clear()
            for message in self.player.turn(self._clock()):
                post(message)
            self.player.asked.wait(None if self.player.paused else TURN_SECONDS)


def _is_due(reel: Reel, due_ns: int) -> bool:
    return reel.next_ns is not None and reel.next_ns <= due_ns


def _said(reel: Reel, events: list[Event]) -> str:
    """Say what happened last: its kind, and whose it was."""
    last = events[-1]
    account = reel.moment.state.accounts.get(last.agent_id or "")
    what = _KINDS.get(last.kind, "a record")
    return (
        f"after {what} of {safe(account.name or account.agent_id, NAME_LENGTH_MAX)}"
        if account
        else f"after {what}"
    )


_KINDS = {
    "hold": "a hold",
    "end": "the end of a call",
    "adjust": "a correction",
    "refused": "a refusal",
    "agent": "a change",
    "price": "a record of the daemon",
    "totals": "a change of the cap",
}
