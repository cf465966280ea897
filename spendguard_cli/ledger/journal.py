"""All records of a ledger, streamed from its files: archive and live segments, however long the history.

Reads only, and beside a running sidecar. `Journal.read` follows the chain through every segment first, so
that nothing is told from a ledger that is not whole; `records` then yields them again, up to the last one
that was found. Invariant: no more than one segment is in memory, and of the calls only the corrected ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.deeds import Deeds
from spendguard_daemon.ledger.folder import LedgerFolder, SegmentFile
from spendguard_daemon.ledger.lines import Envelope, LineError, read_envelope, read_event, read_time
from spendguard_daemon.ledger.recovery import Origin, Place, Walk, damaged
from spendguard_daemon.ledger.snapshot import SnapshotError, decode
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ports import Disk

Progress = Callable[[int, int], None]

_LEARNED = frozenset({"agent_new", "agent_set", "agent_del", "adjust"})


@dataclass(frozen=True, slots=True)
class Record:
    """One record: what happened, when (wall ns), its number, and where it is written."""

    event: ev.Event
    wall_ns: int
    seq: int
    place: Place


@dataclass(slots=True)
class Journal:
    """A ledger that is whole up to record `last_seq`, and what must be known before its calls can be told.

    `names` are the agents' latest names by id, `gone` those that were deleted; `corrected_nusd` is what a
    call was adjusted to in the end. `earlier` is the state before the first record that is still there, and
    `first_seq` its number: above 1 where somebody took old segments away. `earlier_deeds` is what is known of
    what had been done to agents by then.
    """

    first_seq: int
    earlier: State
    earlier_deeds: Deeds
    last_seq: int = 0
    names: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    corrected_nusd: dict[str, int] = field(default_factory=dict)
    _folder: LedgerFolder = field(kw_only=True)
    _files: tuple[SegmentFile, ...] = field(kw_only=True)
    _on_progress: Progress = field(kw_only=True)

    @classmethod
    def read(cls, path: Path, *, disk: Disk, on_progress: Progress) -> "Journal":
        """Check and learn; raise LEDGER_DAMAGED or LEDGER_NEWER with the place, OSError where it fails."""
        # The head first: what it says to be durable is then in whatever is read later.
        head_raw = LedgerFolder(path, disk).read_head()
        folder = LedgerFolder(path, disk)
        origin, earlier, earlier_deeds = _beginning(folder)
        journal = cls(
            first_seq=origin.seq + 1,
            earlier=earlier,
            earlier_deeds=earlier_deeds,
            _folder=folder,
            _files=folder.after(origin.seq),
            _on_progress=on_progress,
        )
        journal._check(Walk(head_raw, origin, folder.begun_seq))
        return journal

    def records(self, after_seq: int = 0) -> Iterator[Record]:
        """Yield every record that this version knows, from the first on or from the one after `after_seq`."""
        ends = [file.first_seq - 1 for file in self._files[1:]] + [self.last_seq]
        for number, (file, end_seq) in enumerate(zip(self._files, ends, strict=True)):
            if end_seq > after_seq:
                yield from self._records_of(file, after_seq)
            self._progress(len(self._files) + number + 1)

    def _records_of(self, file: SegmentFile, after_seq: int) -> Iterator[Record]:
        byte = 0
        for index, line in enumerate(self._folder.read(file).raw.splitlines()):
            seq = file.first_seq + index
            if seq > self.last_seq:
                return
            if seq > after_seq:
                place, envelope = Place(file.name, index + 1, byte), read_envelope(line)
                event = _event(place, envelope, line)
                if event is not None:
                    yield Record(event, _time_ns(place, envelope), seq, place)
            byte += len(line) + 1

    def _check(self, walk: Walk) -> None:
        for account in self.earlier.accounts.values():
            self.names[account.agent_id] = account.name or ""
            self.gone |= {account.agent_id} if account.deleted else set()
        for number, file in enumerate(self._files):
            walk.feed(self._folder.read(file), self._learn)
            self._progress(number + 1)
        self.last_seq = walk.finish().seq

    def _progress(self, files_done: int) -> None:
        self._on_progress(files_done, 2 * len(self._files))

    def _learn(self, place: Place, envelope: Envelope, line: bytes) -> None:
        match _event(place, envelope, line) if envelope.t in _LEARNED else None:
            case ev.AgentNew(agent_id=agent_id, name=name):
                self.names[agent_id] = name or ""
            case ev.AgentSet(agent_id=agent_id, name=str(name)):
                self.names[agent_id] = name
            case ev.AgentDel(agent_id=agent_id):
                self.gone.add(agent_id)
            case ev.Adjust(call_id=call_id, to_nusd=to_nusd):
                self.corrected_nusd[call_id] = to_nusd


def _beginning(folder: LedgerFolder) -> tuple[Origin, State, Deeds]:
    """Return where to begin: before record 1, or at a snapshot where older records were taken away.

    Where none serves, the walk will say which record is missing.
    """
    first_seq = folder.segments[0].first_seq
    if first_seq == 1:
        return Origin(), State(), Deeds()
    try:
        snapshot, _ = decode(folder.read_snapshot(first_seq - 1))
    except (FileNotFoundError, SnapshotError):
        return Origin(), State(), Deeds()
    return snapshot.origin, snapshot.state(), Deeds(snapshot.deeds)


def _event(place: Place, envelope: Envelope, line: bytes) -> ev.Event | None:
    try:
        return read_event(line, envelope)
    except LineError as error:
        raise damaged(place, str(error)) from None


def _time_ns(place: Place, envelope: Envelope) -> int:
    try:
        return read_time(envelope)
    except LineError as error:
        raise damaged(place, str(error)) from None
