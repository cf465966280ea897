"""What lies in a ledger's folder: which segments and snapshots there are, and how each is read.

Owns the names. Knows nothing of what the files say. Reads only, so it is safe beside a running daemon: a
segment that is moved to the archive between two looks is found there.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon.ledger.recovery import HEAD, Segment, segment_name
from spendguard_daemon.ports import Disk

ARCHIVE = "archive"
LOCK = "lock"

_SEGMENT = re.compile(r"seg-([0-9]{12})\.jsonl")
_SNAPSHOT = re.compile(r"snap-([0-9]{12})\.json")


def snapshot_name(through_seq: int) -> str:
    """Return the name of the snapshot of the state after record `through_seq`."""
    return f"snap-{through_seq:012d}.json"


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment on disk, not read yet; `archived` tells where it was seen."""

    name: str
    first_seq: int
    archived: bool


class LedgerFolder:
    """The folder as it is now: every segment once, in order, and the seqs of its snapshots, in order."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path, self.archive = path, path / ARCHIVE
        self._disk = disk
        # The live folder first: what is archived in between is then seen twice, and not missed.
        live = disk.names(path)
        archived = disk.names(self.archive) if disk.exists(self.archive) else []
        found = {file.first_seq: file for file in _segments(archived, archived=True)}
        found |= {file.first_seq: file for file in _segments(live, archived=False)}
        self.segments = tuple(found[first_seq] for first_seq in sorted(found))
        self.snapshots = tuple(_numbers(_SNAPSHOT, live))

    @property
    def begun_seq(self) -> int:
        """The last record that was durable because a segment was begun after it; 0 where there is none."""
        return self.segments[-1].first_seq - 1 if self.segments else 0

    def after(self, seq: int) -> tuple[SegmentFile, ...]:
        """Return the segments with the records after `seq`, which is the last record of a segment."""
        return tuple(file for file in self.segments if file.first_seq > seq)

    def read_all(self, files: Iterable[SegmentFile]) -> Iterator[Segment]:
        """Yield segments, one in memory at a time."""
        return map(self.read, files)

    def read(self, file: SegmentFile) -> Segment:
        """Return a segment; raise FileNotFoundError where it is gone."""
        try:
            return Segment(file.name, self._disk.read(self.where(file)))
        except FileNotFoundError:
            return Segment(file.name, self._disk.read(self.archive / file.name))

    def size(self, file: SegmentFile) -> int:
        """Return how many bytes a segment has; raise FileNotFoundError where it is gone."""
        try:
            return self._disk.size(self.where(file))
        except FileNotFoundError:
            return self._disk.size(self.archive / file.name)

    def read_snapshot(self, through_seq: int) -> bytes:
        """Return a snapshot's bytes; raise FileNotFoundError."""
        return self._disk.read(self.path / snapshot_name(through_seq))

    def read_head(self) -> bytes | None:
        """Return the head file's bytes, None where there is none."""
        path = self.path / HEAD
        return self._disk.read(path) if self._disk.exists(path) else None

    def where(self, file: SegmentFile) -> Path:
        """Return where a segment was when the folder was looked at."""
        return (self.archive if file.archived else self.path) / file.name


def _segments(names: Iterable[str], *, archived: bool) -> Iterator[SegmentFile]:
    return (SegmentFile(segment_name(seq), seq, archived) for seq in _numbers(_SEGMENT, names))


def _numbers(form: re.Pattern[str], names: Iterable[str]) -> Iterator[int]:
    matches = (form.fullmatch(name) for name in names)
    return (int(match[1]) for match in matches if match)
