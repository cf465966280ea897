"""The segment that is being written, and the next one once it is large enough.

Invariant: a segment is begun only when all that stands in the one before is durable, so its name proves the
records before it; and its own name is durable before anything in it can be.
"""

from pathlib import Path

from spendguard_daemon.ledger.faults import is_full
from spendguard_daemon.ledger.recovery import segment_name
from spendguard_daemon.ports import Disk, DiskFile

SEGMENT_BYTES = 8 * 1024 * 1024


class RollingSegment:
    """An append-only file that continues in another; satisfies `ports.DiskFile` but for `write_at`."""

    def __init__(self, folder: Path, disk: Disk, *, first_seq: int, limit_bytes: int = SEGMENT_BYTES) -> None:
        """Open the segment that begins with record `first_seq`, made if it is not there; raise OSError."""
        self._folder, self._disk, self._limit_bytes = folder, disk, limit_bytes
        self._first_seq = first_seq
        self._file: DiskFile = disk.open_append(folder / segment_name(first_seq))
        self._size = self._file.size()

    @property
    def closed_seq(self) -> int:
        """The last record of the segments that are closed, 0 where none is."""
        return self._first_seq - 1

    def begin(self, seq: int) -> None:
        """Go on in a new segment if this one is large enough; `seq` is the next record, all others durable.

        Where there is no room for its name, this one goes on. Raises OSError, above all where a sync fails.
        """
        if self._size < self._limit_bytes:
            return
        try:
            file = self._disk.open_append(self._folder / segment_name(seq))
            file.sync()
            self._disk.sync_folder(self._folder)
        except OSError as error:
            if not is_full(error):
                raise
            return  # the empty file that may be left is passed over by recovery
        self._file.close()
        self._file, self._first_seq, self._size = file, seq, 0

    def write(self, data: bytes) -> int:
        """Append some of `data`, return how many bytes were taken."""
        taken = self._file.write(data)
        self._size += taken
        return taken

    def sync(self) -> None:
        """Return when all that was written is durable."""
        self._file.sync()

    def size(self) -> int:
        """Return how many bytes the open segment has now."""
        return self._size

    def truncate(self, size: int) -> None:
        """Cut the open segment to `size` bytes."""
        self._file.truncate(size)
        self._size = size

    def close(self) -> None:
        """Close the open segment, without syncing it."""
        self._file.close()
