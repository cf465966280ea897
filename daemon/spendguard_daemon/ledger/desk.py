"""Refusals between their call and the journal: shown at once, recorded soon, and nobody waits for them.

Lives on the event loop; what is counted together, and how much is written, `refusals` decides. Invariant: no
refusal is recorded while the disk is full or has failed; they are counted until it is well again.
"""

import asyncio
from collections.abc import Callable

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.refusals import Refusal, Refusals, recorded
from spendguard_daemon.ledger.room import Room
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.text import without_keys

BLOCKED_SECONDS = 1.0
"""How long to wait before looking again whether records can be written."""


class RefusalDesk:
    """Where refusals are handed in. `may_write` tells whether the journal takes records."""

    def __init__(self, book: Book, room: Room, may_write: Callable[[], bool]) -> None:
        self._book, self._room, self._may_write = book, room, may_write
        self._refusals = Refusals()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self.listener: Callable[[Refusal], None] = _nobody
        """Hears of each refusal as soon as it is shown."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write what is due also when nobody is refused any more."""
        self._loop = loop

    def note(self, refusal: Refusal) -> None:
        """Show a refused call, and count it for the journal."""
        now = self._book.now()
        self._book.history.note_refusal(
            call_id=refusal.call_id,
            agent_id=refusal.agent_id,
            run_id=refusal.run_id,
            provider=refusal.provider,
            endpoint=refusal.endpoint,
            model=without_keys(refusal.model),
            code=refusal.code.value,
            detail=without_keys(refusal.detail),
            http_status=TABLE[refusal.code].status,
            wall_ns=now.wall_ns,
            facts=recorded(refusal.facts),
        )
        self._refusals.note(refusal, now)
        self.listener(refusal)
        self.write_due()

    def write_due(self) -> None:
        """Record what is due, and come back for the rest."""
        now, blocked = self._book.now(), self._is_blocked()
        if not blocked:
            for record in self._refusals.due(now):
                self._book.record(record)
        due_ns = self._refusals.next_due_ns()
        if due_ns is not None:
            wait_seconds = max(0.0, (due_ns - now.monotonic_ns) / NS_PER_SECOND)
            self._come_back(due_ns, max(wait_seconds, BLOCKED_SECONDS) if blocked else wait_seconds)

    def close(self) -> None:
        """Record all there is; the rest is shown no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = None
        if not self._is_blocked():
            for record in self._refusals.all():
                self._book.record(record)

    def _is_blocked(self) -> bool:
        if not self._may_write():
            return True
        try:
            self._room.check()
        except SpendGuardError:
            return True
        return False

    def _come_back(self, due_ns: int, wait_seconds: float) -> None:
        if self._loop is None or (self._timer is not None and self._timer_ns <= due_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_ns = self._loop.call_later(wait_seconds, self._on_timer), due_ns

    def _on_timer(self) -> None:
        self._timer = None
        self.write_due()


def _nobody(_: Refusal) -> None:
    """Hear nothing."""
