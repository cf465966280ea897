"""The real ledger with a pen that is moved by hand: nothing is written or compacted before it is told."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from simulator.disk import SimDisk
from simulator.journal import SimLedger
from simulator.watch import FOLDER
from spendguard_daemon.ledger.compaction import archive_covered, make_snapshot
from spendguard_daemon.ledger.journal import Entry, Journal


class HandJournal(Journal):
    """Writes when told to."""

    on_entries: ClassVar[Callable[[Sequence[Entry]], None]]

    def append(self, entries: Sequence[Entry]) -> None:
        type(self).on_entries(entries)
        self._queue.extend(entries)

    def write_all(self) -> None:
        """Write what is queued as one batch, and tell the ledger."""
        if self._queue:
            batch, self._queue = self._queue, []
            self._on_durable(self._writer.write(batch))


class HandLedger(SimLedger):
    """The real ledger with a pen that is moved by hand."""

    journal_kind = HandJournal

    compacted_seq = 0

    @property
    def pen(self) -> HandJournal:
        assert isinstance(self._journal, HandJournal)
        return self._journal

    def compact(self, disk: SimDisk) -> bool:
        """Compact as the daemon does aside, if a segment was closed; tell whether one was."""
        closed_seq = self.pen.closed_seq
        if closed_seq <= self.compacted_seq:
            return False
        made = make_snapshot(FOLDER, disk, closed_seq, lambda: None)
        self._book.record(made.checkpoint(self.state))
        self.pen.write_all()
        archive_covered(FOLDER, disk, closed_seq)
        self.compacted_seq = closed_seq
        return True
