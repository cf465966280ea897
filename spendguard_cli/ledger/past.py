"""The whole past of a ledger, at any moment, from its journal; beside a running sidecar or without one.

`Past.read` checks and replays everything once and leaves marks; a moment is then reached by going on from the
nearest mark before it. Memory is bounded by `MARKS_MAX` states, however long the history: of more marks every
second one is dropped. What is written after `read` is not seen.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path

from spendguard_cli.explain.life import Life
from spendguard_cli.ledger.journal import Journal, Progress, Record
from spendguard_cli.ledger.moment import Change, Moment
from spendguard_cli.ledger.one_call import search
from spendguard_cli.ledger.told import events, snapshot
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.feed_wire import Event, Snapshot
from spendguard_daemon.ledger.folder import LedgerFolder
from spendguard_daemon.ports import Disk

MARK_RECORDS = 1_000
"""At first a mark stands after so many records; in long histories after many times as many."""

MARKS_MAX = 16

BACK_RECORDS = 500
"""A moment so long before the last one that was looked for is kept, so that steps back cost little."""


class Reel:
    """A place in the past from which it goes on, record by record. `moment` is what is so there."""

    def __init__(self, moment: Moment, records: Iterator[Record]) -> None:
        self.moment, self._records = moment, records
        self._next = next(records, None)

    @property
    def next_ns(self) -> int | None:
        """When the next record is due (wall ns), never before this moment; None at the end of the journal."""
        return None if self._next is None else max(self._next.wall_ns, self.moment.wall_ns)

    def skip(self) -> tuple[Change, ...]:
        """Go on by one record, and return what it changed; raise LEDGER_DAMAGED or OSError."""
        if self._next is None:
            return ()
        changes = self.moment.follow(self._next)
        self._next = next(self._records, None)
        return changes

    def step(self) -> list[Event]:
        """Go on by one record, and return its events; raise LEDGER_DAMAGED or OSError."""
        return list(events(self.moment, self.skip()))


class Past:
    """A ledger's past: `first_ns` and `last_ns` are the times of its first and last record, None without."""

    def __init__(self, journal: Journal, path: Path, disk: Disk) -> None:
        self._journal, self._path, self._disk = journal, path, disk
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.records = 0
        self._marks = [Moment.before(journal.earlier, journal.earlier_deeds, journal.first_seq)]
        self._near: Moment | None = None
        self._apart = MARK_RECORDS

    @classmethod
    def read(cls, path: Path, disk: Disk, on_progress: Progress) -> "Past":
        """Check and replay the ledger in a folder.

        Raises NO_DAEMON where none was ever begun, LEDGER_DAMAGED or LEDGER_NEWER with the place, OSError.
        """
        if not path.is_dir() or not LedgerFolder(path, disk).segments:
            raise SpendGuardError(
                Code.NO_DAEMON,
                f"There is no ledger in {path}: no sidecar was ever started there",
                remedy="spendguard up",
            )
        told = _Told(on_progress)
        past = cls(Journal.read(path, disk=disk, on_progress=told), path, disk)
        past._leave_marks()
        told.on_progress = _nobody_looks
        return past

    def at(self, at_ns: int) -> Reel:
        """Return the place after all records up to a time (wall ns)."""
        number = bisect_right(self._marks, at_ns, key=lambda mark: mark.wall_ns)
        near = self._near if self._near is not None and self._near.wall_ns <= at_ns else None
        return self._go_on(self._marks[max(0, number - 1)], near, lambda reel: _is_due(reel, at_ns))

    def after(self, records: int) -> Reel:
        """Return the place after so many records, counted from the first that is there."""
        number = bisect_right(self._marks, records, key=lambda mark: mark.records)
        near = self._near if self._near is not None and self._near.records <= records else None
        return self._go_on(self._marks[number - 1], near, lambda reel: reel.moment.records < records)

    def snapshot(self, at_ns: int) -> Snapshot:
        """Return all there was to see at a time (wall ns)."""
        return snapshot(self.at(at_ns).moment, at_ns)

    def events(self, after_ns: int) -> Iterator[tuple[int, Event]]:
        """Yield what happened after a time, each with when (wall ns); their seqs follow its snapshot's."""
        reel = self.at(after_ns)
        while reel.next_ns is not None:
            for event in reel.step():
                yield reel.moment.wall_ns, event

    def life(self, call_id: str, journal_seq: int) -> tuple[Life | None, list[str]]:
        """Return what was written of a call up to a record, None for nothing; and what is damaged by now.

        Reads the files anew, on whatever thread it is asked; raises OSError.
        """
        found = search(
            self._path, call_id, disk=self._disk, on_progress=_nobody_looks, through_seq=journal_seq
        )
        return found.life(call_id), found.damage

    def _go_on(self, mark: Moment, near: Moment | None, is_before: Callable[[Reel], bool]) -> Reel:
        """Go on from the later one of a mark and the place kept, and keep one a little before the end."""
        begin = near if near is not None and near.records > mark.records else mark
        reel = self._reel(begin)
        kept = [begin, begin]
        while reel.next_ns is not None and is_before(reel):
            reel.skip()
            if reel.moment.records - kept[1].records >= BACK_RECORDS:
                kept = [kept[1], reel.moment.copy()]
        self._near = kept[0]
        return reel

    def _reel(self, moment: Moment) -> Reel:
        return Reel(moment.copy(), self._journal.records(moment.journal_seq))

    def _leave_marks(self) -> None:
        reel = self._reel(self._marks[0])
        while reel.next_ns is not None:
            self.first_ns = reel.next_ns if self.first_ns is None else self.first_ns
            reel.skip()
            if reel.moment.records - self._marks[-1].records >= self._apart:
                self._marks.append(reel.moment.copy())
            if len(self._marks) > MARKS_MAX:
                self._marks, self._apart = self._marks[::2], self._apart * 2
        self.records = reel.moment.records
        self.last_ns = reel.moment.wall_ns if self.records else None


class _Told:
    """Says how far the reading is, until nobody looks any more."""

    def __init__(self, on_progress: Progress) -> None:
        self.on_progress = on_progress

    def __call__(self, done: int, of: int) -> None:
        self.on_progress(done, of)


def _is_due(reel: Reel, at_ns: int) -> bool:
    return reel.next_ns is not None and reel.next_ns <= at_ns


def _nobody_looks(_: int, __: int) -> None:
    pass
