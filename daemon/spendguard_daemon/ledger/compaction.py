"""Compaction: closed segments become a snapshot, so that a start need not replay them, and go to the archive.

The live state is not touched: the snapshot before and the closed segments are replayed into a state of their
own, aside from the event loop. Order of things: the snapshot is durable under its name, then a `checkpoint`
record that names it is durable in the journal, and only then is a segment moved. So a crash at any point
leaves a folder in which the records since the newest checkpoint are all in place. Nothing is deleted but
snapshots older than the latest two, which the archive can make again.
"""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.basis import newest_basis
from spendguard_daemon.ledger.events import Checkpoint, Event
from spendguard_daemon.ledger.faults import is_full
from spendguard_daemon.ledger.folder import LedgerFolder, snapshot_name
from spendguard_daemon.ledger.lines import READER, Envelope
from spendguard_daemon.ledger.recovery import Place, Walk
from spendguard_daemon.ledger.replay import Replayer
from spendguard_daemon.ledger.sealed import Pause
from spendguard_daemon.ledger.snapshot import encode, snapshot_of
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ports import Disk

SNAPSHOTS_KEPT = 2

P = ParamSpec("P")
T = TypeVar("T")

_PAUSE_EVERY = 128
_PAUSE_SECONDS = 0.001


class StoppedError(Exception):
    """The daemon stops; a compaction that is under way is left for the next time."""


@dataclass(frozen=True, slots=True)
class Made:
    """A snapshot that is durable: what its checkpoint will say of it."""

    through_seq: int
    through_h: str
    sha256: str
    bytes: int
    generation: int

    def checkpoint(self, state: State) -> Checkpoint:
        """Return the record that names it, with the sums of the state as it is now."""
        return Checkpoint(
            through_seq=self.through_seq,
            through_h=self.through_h,
            snapshot=snapshot_name(self.through_seq),
            bytes=self.bytes,
            sha256=self.sha256,
            generation=self.generation,
            min_reader=READER,
            agents=len(state.accounts),
            calls_open=len(state.open_calls),
            settled_nusd=state.daemon.settled_nusd,
            held_nusd=state.daemon.held_nusd,
        )


def make_snapshot(path: Path, disk: Disk, through_seq: int, pause: Pause) -> Made:
    """Make the snapshot of the state after `through_seq`, the last record of a closed segment. Blocks.

    Raises LEDGER_DAMAGED where the segments do not read as they were written, OSError where the disk fails.
    """
    folder = LedgerFolder(path, disk)
    basis = newest_basis(folder, [], pause)
    replayer = Replayer(basis.state, basis.history, basis.wall_ns)

    def follow(place: Place, envelope: Envelope, line: bytes) -> None:
        replayer.follow(place, envelope, line)
        if envelope.seq % _PAUSE_EVERY == 0:
            pause()

    walk = Walk(None, basis.origin, through_seq)
    for file in folder.after(basis.origin.seq):
        if file.first_seq <= through_seq:
            walk.feed(folder.read(file), follow)
    found = walk.finish()
    snapshot = snapshot_of(basis.state, basis.history, found.seq, found.h, replayer.wall_ns)
    raw, digest = encode(snapshot, pause)
    disk.replace(path / snapshot_name(found.seq), raw)
    return Made(found.seq, found.h, digest, len(raw), found.generation)


def archive_covered(path: Path, disk: Disk, through_seq: int) -> None:
    """Move the segments up to `through_seq` to the archive, and drop snapshots that no start needs. Blocks.

    Safe to repeat: what a crash left undone is done the next time.
    """
    folder = LedgerFolder(path, disk)
    disk.make_folder(folder.archive)
    for file in folder.segments:
        if file.first_seq <= through_seq and not file.archived:
            disk.rename(path / file.name, folder.archive / file.name)
    # First where they went, then where they were: no order of events loses a name.
    disk.sync_folder(folder.archive)
    disk.sync_folder(path)
    for seq in folder.snapshots[:-SNAPSHOTS_KEPT]:
        disk.remove(path / snapshot_name(seq))
    for name in disk.names(path):
        if name.startswith(".snap-"):  # the beginning of a snapshot, cut short by a crash
            disk.remove(path / name)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the garbage collector off: it would walk the second state again and again, and stop the loop."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Compaction:
    """Runs one compaction at a time beside the event loop, whenever a segment was closed."""

    def __init__(
        self,
        path: Path,
        disk: Disk,
        *,
        covered_seq: int,
        record: Callable[[Callable[[State], Event]], Awaitable[None]],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """`record` writes an event made from the state as it is then, and returns when it is durable."""
        self._path, self._disk, self._covered_seq = path, disk, covered_seq
        self._record, self._on_failure = record, on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = threading.Event()

    @property
    def running(self) -> bool:
        """Whether a compaction is under way."""
        return self._task is not None and not self._task.done()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Compact from now on."""
        self._loop = loop

    def poll(self, closed_seq: int) -> None:
        """Begin a compaction if there are closed segments that no snapshot covers. Called on the loop."""
        if closed_seq <= self._covered_seq or self._loop is None or self.running or self._stopping.is_set():
            return
        self._task = self._loop.create_task(self._run(closed_seq))

    async def stop(self) -> None:
        """Return when no compaction runs, and let none begin; what is half done is given up."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work off the loop; a simulator does it in place."""
        return await asyncio.to_thread(work, *args, **kwargs)

    async def _run(self, closed_seq: int) -> None:
        try:
            await self._compact(closed_seq)
        except StoppedError:
            return
        except OSError as error:
            # A full disk has no room for a snapshot: the next closed segment is the time to try again.
            self._covered_seq = closed_seq
            if not is_full(error):
                self._on_failure(error)
        except SpendGuardError as error:
            # What was durable is not there: no call may rest on it. A failed journal was told before.
            if error.code is not Code.DISK_FAILED:
                self._on_failure(error)

    async def _compact(self, closed_seq: int) -> None:
        with _no_collections():
            made = await self.aside(make_snapshot, self._path, self._disk, closed_seq, self._pause)
        await self._record(made.checkpoint)
        self._covered_seq = closed_seq
        await self.aside(archive_covered, self._path, self._disk, closed_seq)

    def _pause(self) -> None:
        # Sleeping gives the interpreter to the event loop at once, which would wait for it otherwise.
        if self._stopping.wait(_PAUSE_SECONDS):
            raise StoppedError
