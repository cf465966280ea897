"""Verifying a ledger's folder, while nobody or somebody writes on it: reads everything, changes nothing.

Every record from the first on, through archive and live segments: form, hash, chain, balances, the promises
that `audit` knows, what each checkpoint says, the head; and every snapshot against the state made from the
records. A line that is just being written is not damage. Holds one segment in memory at a time.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.audit import Auditor
from spendguard_daemon.ledger.basis import Basis, genesis
from spendguard_daemon.ledger.events import Checkpoint
from spendguard_daemon.ledger.folder import LedgerFolder, SegmentFile, snapshot_name
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.lines import Envelope
from spendguard_daemon.ledger.recovery import Place, Walk
from spendguard_daemon.ledger.replay import Replayer
from spendguard_daemon.ledger.snapshot import SnapshotError, decode
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ports import Disk

FINDINGS_MAX = 100
_PROGRESS_EVERY = 1_024
_PROMISE = re.compile(r"I[0-9]+: ")

Progress = Callable[[int, int], None]
"""Is told from time to time how many bytes are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be: in which file, on which line, at which byte, and what."""

    file: str
    line: int
    byte: int
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `findings` begins with the first bad byte; money in nUSD.

    `unfinished_bytes` is what stands after the last whole record: a write under way, or a torn one, that
    nobody was told was done. `snapshots` are those that agree with the records.
    """

    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]
    first_seq: int
    last_seq: int
    generation: int
    segments: int
    bytes: int
    unfinished_bytes: int
    snapshots: tuple[str, ...]
    agents: int
    calls: int
    calls_open: int
    unconfirmed_calls: int
    unconfirmed_nusd: int
    settled_nusd: int
    held_nusd: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings are no findings."""
        return not self.findings

    @property
    def damage(self) -> Finding | None:
        """The first finding for which the ledger is not whole.

        A record that breaks a promise is none: it was written so, it is there to stay, and no backup could
        ever be made again.
        """
        return next((finding for finding in self.findings if not _PROMISE.match(finding.what)), None)

    def to_json(self) -> dict[str, object]:
        """Return the report as plain values."""
        return {"ok": self.ok, **asdict(self)}


def verify(path: Path, *, disk: Disk, on_progress: Progress | None = None) -> Report:
    """Verify the ledger in `path`. Blocks; raises OSError where it cannot be read."""
    # The head first: what it says to be durable is then in whatever is read later, however much that grows.
    head_raw = LedgerFolder(path, disk).read_head()
    folder = LedgerFolder(path, disk)
    return _Verification(folder, head_raw, on_progress or _ignore).run()


def _ignore(_: int, __: int) -> None:
    pass


class _Verification:
    def __init__(self, folder: LedgerFolder, head_raw: bytes | None, on_progress: Progress) -> None:
        self._folder, self._on_progress = folder, on_progress
        self._findings: list[Finding] = []
        self._warnings: list[str] = []
        self._digests: dict[int, str] = {}
        basis = self._first_basis()
        self._state = basis.state
        self._auditor = Auditor.of(basis.state)
        self._replayer = Replayer(basis.state, None, basis.wall_ns)
        self._walk = Walk(head_raw, basis.origin, folder.begun_seq)
        self._first_seq = basis.origin.seq + 1
        self._hashes = {basis.origin.seq: basis.origin.h}
        self._done_bytes = self._total_bytes = 0

    def run(self) -> Report:
        files = self._folder.after(self._first_seq - 1)
        self._total_bytes = sum(self._folder.size(file) for file in files)
        unfinished_bytes = 0
        try:
            for file in files:
                self._segment(file)
            found = self._walk.finish()
            unfinished_bytes = len(found.torn.raw) if found.torn else 0
            self._warnings.extend(found.warnings)
        except SpendGuardError as error:
            self._note(_place(error), _what(error))
        return self._report(len(files), unfinished_bytes)

    def _first_basis(self) -> Basis:
        """Return where to begin: before the first record, or at a snapshot where older records were moved."""
        folder = self._folder
        if not folder.segments or folder.segments[0].first_seq == 1:
            return genesis()
        seq = folder.segments[0].first_seq - 1
        try:
            snapshot, self._digests[seq] = decode(folder.read_snapshot(seq))
        except (FileNotFoundError, SnapshotError):
            return genesis()
        self._warnings.append(f"records 1 to {seq} are not here: verified from {snapshot_name(seq)} on")
        return Basis(snapshot.origin, snapshot.wall_ns, snapshot.state(), History())

    def _segment(self, file: SegmentFile) -> None:
        segment = self._folder.read(file)
        self._walk.feed(segment, self._follow)
        self._done_bytes += len(segment.raw)
        self._on_progress(self._done_bytes, max(self._done_bytes, self._total_bytes))
        self._hashes[self._walk.seq] = self._walk.h
        place = Place(file.name, 1, 0)
        for what in self._auditor.sums():
            self._note(place, what)
        if self._walk.seq in self._folder.snapshots:
            self._snapshot(self._walk.seq)

    def _follow(self, place: Place, envelope: Envelope, line: bytes) -> None:
        event = self._replayer.follow(place, envelope, line)
        if event is not None:
            for what in self._auditor.check(event, self._replayer.wall_ns):
                self._note(place, what)
        if isinstance(event, Checkpoint):
            self._checkpoint(place, event)
        if envelope.seq % _PROGRESS_EVERY == 0:
            done_bytes = self._done_bytes + place.byte
            self._on_progress(done_bytes, max(done_bytes, self._total_bytes))

    def _checkpoint(self, place: Place, event: Checkpoint) -> None:
        if self._hashes.get(event.through_seq, event.through_h) != event.through_h:
            self._note(place, f"the checkpoint names another record {event.through_seq}")
        if self._digests.get(event.through_seq, event.sha256) != event.sha256:
            self._note(Place(event.snapshot, 1, 0), "not the snapshot that its checkpoint names")

    def _snapshot(self, seq: int) -> None:
        name = snapshot_name(seq)
        place = Place(name, 1, 0)
        try:
            snapshot, self._digests[seq] = decode(self._folder.read_snapshot(seq))
        except FileNotFoundError:  # the daemon has dropped it meanwhile
            return
        except SnapshotError as error:
            self._note(place, str(error))
            return
        if (snapshot.h, snapshot.generation) != (self._walk.h, self._walk.generation):
            self._note(place, f"not the snapshot of this journal's record {seq}")
        elif not _same(snapshot.state(), self._state):
            self._note(place, f"not the state that the records up to {seq} make")

    def _note(self, place: Place, what: str) -> None:
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(Finding(place.file, place.line, place.byte, what))

    def _report(self, segments: int, unfinished_bytes: int) -> Report:
        bad = {finding.file for finding in self._findings}
        names = (snapshot_name(seq) for seq in self._digests)
        state = self._state
        return Report(
            findings=tuple(self._findings),
            warnings=tuple(self._warnings),
            first_seq=self._first_seq,
            last_seq=self._walk.seq,
            generation=self._walk.generation,
            segments=segments,
            bytes=self._done_bytes,
            unfinished_bytes=unfinished_bytes,
            snapshots=tuple(name for name in names if name not in bad),
            agents=len(state.accounts),
            calls=self._auditor.calls,
            calls_open=len(state.open_calls),
            unconfirmed_calls=state.unconfirmed_calls,
            unconfirmed_nusd=state.unconfirmed_nusd,
            settled_nusd=state.daemon.settled_nusd,
            held_nusd=state.daemon.held_nusd,
        )


def _same(one: State, other: State) -> bool:
    """Compare states, the order of what is forgotten first included."""
    tables = ("ended", "unconfirmed", "keys", "answers", "agent_keys")
    orders = ([list(getattr(state, name)) for name in tables] for state in (one, other))
    return one == other and next(orders) == next(orders)


def _what(error: SpendGuardError) -> str:
    """Return what a refusal says, without the place, which a finding has beside it."""
    place = _place(error)
    said = error.detail.replace(f"{place.file}, line {place.line}, byte {place.byte}: ", "", 1)
    return said.removeprefix(f"{TABLE[Code.LEDGER_DAMAGED].title}: ")


def _place(error: SpendGuardError) -> Place:
    facts = error.facts
    return Place(str(facts["file"]), int(str(facts["line"])), int(str(facts["byte"])))
