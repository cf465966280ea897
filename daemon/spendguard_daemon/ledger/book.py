"""The book: state, history and numbering together; a command becomes events, applied and numbered at once.

Synchronous and without a disk: records leave through `sink`, whatever that is. Invariant: a command that is
refused, or whose records could not be written as lines, changes nothing and uses no number.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.apply import apply
from spendguard_daemon.ledger.commands import Command, HoldCall, Now
from spendguard_daemon.ledger.decide import decide
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.journal import Entry
from spendguard_daemon.ledger.keys import first_answer
from spendguard_daemon.ledger.lines import encode_body
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ports import Clock


class Booked(NamedTuple):
    """An event with its number and its wall time in ns, as listeners hear of it."""

    event: ev.Event
    seq: int
    wall_ns: int


class Book:
    """What is so now, and the last number given. `fresh` are the events that nobody was told of yet."""

    def __init__(self, state: State, history: History, clock: Clock, *, seq: int, wall_ns: int) -> None:
        self.state, self.history, self.seq = state, history, seq
        self.fresh: deque[Booked] = deque()
        self.sink: Callable[[Sequence[Entry]], None] = self._keep
        self.kept: list[Entry] = []
        self._clock = clock
        self._wall_ns = wall_ns

    def now(self) -> Now:
        """Read both clocks. A wall clock that was set back stands still here: seq is the order of things."""
        self._wall_ns = max(self._wall_ns, self._clock.wall_ns())
        return Now(self._wall_ns, self._clock.monotonic_ns())

    def execute(self, command: Command) -> tuple[ev.Event, ...]:
        """Carry out a command; the same request of an operator, made again, gets its first answer once more.

        Raises IDEMPOTENCY_MISMATCH, what `decide` raises, or MALFORMED_REQUEST where a line cannot hold the
        record.
        """
        now = self.now()
        first = first_answer(self.state, command, now)
        if first is not None:
            return (first,)
        events = decide(self.state, command, now)
        if events:
            self._record(events, now)
            self._follow(command, events[-1], now)
        return events

    def check(self, command: Command) -> None:
        """Raise what `execute` would raise; change nothing."""
        decide(self.state, command, self.now())

    def record(self, event: ev.Event) -> None:
        """Note what was no command: open, close, torn, refused."""
        self._record((event,), self.now())

    def _record(self, events: tuple[ev.Event, ...], now: Now) -> None:
        bodies = [encode_body(event) for event in events]  # may refuse, so before the first change
        entries = []
        for event, body in zip(events, bodies, strict=True):
            apply(self.state, event, now.wall_ns)
            self.history.note(event, now.wall_ns)
            self.seq += 1
            entries.append(Entry(self.seq, now.wall_ns, body))
            self.fresh.append(Booked(event, self.seq, now.wall_ns))
        self.sink(entries)

    def _follow(self, command: Command, event: ev.Event, now: Now) -> None:
        turns = self.state.turns
        if isinstance(command, HoldCall):
            turns.attach(
                command.agent_id, command.run_id, command.call_id, command.deadline_ns, now.monotonic_ns
            )
        elif isinstance(event, ev.EndEvent):
            turns.detach(event.call_id, now.monotonic_ns)

    def _keep(self, entries: Sequence[Entry]) -> None:
        self.kept.extend(entries)
