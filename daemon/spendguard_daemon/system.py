"""The real clock, disk and chance: the ports as this machine has them, for POSIX systems.

Knows nothing of what is stored. Invariants: files are 0600 and folders 0700, none is inherited by a child
that we start; what `sync` and `sync_folder` returned for survives a power cut; a lock file is never unlinked.
"""

import errno
import fcntl
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spendguard_daemon.plain_files import read_plain
from spendguard_daemon.ports import SyncError

FILE_MODE = 0o600
FOLDER_MODE = 0o700

DESCRIPTOR_TRIES, DESCRIPTOR_WAIT_SECONDS = 200, 0.025
"""Five seconds for a file descriptor to come free."""

UNSAFE_FILE_SYSTEMS = {
    0x6969: "NFS",
    0x01021997: "9p",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB",
    0x65735546: "FUSE",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x00C36400: "Ceph",
    0x73757245: "Coda",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x786F4256: "a VirtualBox folder",
}
"""By `f_type` of statfs(2) (source: its manual page): there flock or fsync may not mean what they say."""


# Durations count the time that the machine slept: a deadline passes in its sleep too. The monotonic clock of
# macOS does so by itself, that of Linux does not.
_CLOCK = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC


class SystemClock:
    """The machine's clocks."""

    def wall_ns(self) -> int:
        """Return UTC as nanoseconds since the epoch."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return nanoseconds that only ever grow, from an arbitrary start; sleep counts."""
        return time.clock_gettime_ns(_CLOCK)


class SystemRng:
    """The kernel's randomness."""

    def token(self, n_bytes: int) -> bytes:
        """Return `n_bytes` fit for secrets."""
        return os.urandom(n_bytes)

    def uuid4(self) -> str:
        """Return a random UUID in its usual text form."""
        return str(uuid.uuid4())


class SystemFile:
    """An open file descriptor; `close` may be called twice."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> int:
        """Append some of `data`, return how many bytes were taken."""
        return os.write(self._fd, data)

    def write_at(self, offset: int, data: bytes) -> int:
        """Write some of `data` at `offset`, return how many bytes were taken."""
        return os.pwrite(self._fd, data, offset)

    def sync(self) -> None:
        """Return when all that was written is durable; raise SyncError."""
        with _as_sync_error():
            _sync_data(self._fd)

    def size(self) -> int:
        """Return how many bytes the file has now."""
        return os.fstat(self._fd).st_size

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(self._fd, size)

    def close(self) -> None:
        """Close the file, without syncing it."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class SystemDisk:
    """The file system. Descriptors that Python opens are close-on-exec, so no child inherits them."""

    def read(self, path: Path) -> bytes:
        """Return a file's bytes; raise FileNotFoundError where there is none."""
        return read_plain(path)

    def exists(self, path: Path) -> bool:
        """Tell whether there is a file or folder at `path`."""
        return path.exists()

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, sorted."""
        return sorted(path.name for path in folder.iterdir())

    def make_folder(self, path: Path) -> None:
        """Make a folder, with its parents, if it is not there; sync the parent of each one made."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        try:
            path.mkdir(FOLDER_MODE)
        except FileExistsError:
            if not path.is_dir():
                raise
        self.sync_folder(path.parent)

    def open_append(self, path: Path) -> SystemFile:
        """Open a file for appending, made if it is not there."""
        return SystemFile(_opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))

    def open_update(self, path: Path) -> SystemFile:
        """Open a file for `write_at`, made if it is not there."""
        return SystemFile(_opened(path, os.O_WRONLY | os.O_CREAT))

    def replace(self, path: Path, data: bytes) -> None:
        """Put `data` at `path`, whole or not at all, and durably."""
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        file = SystemFile(fd)
        try:
            while data:
                data = data[file.write(data) :]
            # A rename may reach the disk before the bytes do, so these are synced first.
            file.sync()
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        finally:
            file.close()
        self.sync_folder(path.parent)

    def size(self, path: Path) -> int:
        """Return how many bytes a file has; raise FileNotFoundError where there is none."""
        return path.stat().st_size

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or folder another name, at once."""
        source.rename(target)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable; raise SyncError."""
        fd = _opened(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with _as_sync_error():
                os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def free_bytes(self, folder: Path) -> int:
        """Return how many bytes this user may still write to the file system of `folder`."""
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize

    def unsafe_file_system(self, folder: Path) -> str | None:
        """Name the file system of `folder` if it is a network or user-space one, as far as Linux tells."""
        return UNSAFE_FILE_SYSTEMS.get(_file_system_type(folder))

    def lock(self, path: Path) -> SystemFile | None:
        """Take the exclusive flock on `path`; None if another open file has it, in this process or any other.

        flock, not lockf: a second attempt in the same process must fail too. The file stays when the lock is
        given up, for whoever unlinked it could lock a new file while another holds the old one.
        """
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A restore may have moved the folder away since the file was opened: what is locked then is
                # the lock of another ledger, and the one at `path` is anybody's.
                if _is_at(fd, path):
                    return SystemFile(fd)
            except BlockingIOError:
                os.close(fd)
                return None
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)


def _opened(path: Path, flags: int) -> int:
    """Open a file; wait a while where descriptors are short, as a burst of clients gives them back soon.

    Else the disk would count as failed, and the daemon stop, for connections that it closes anyway. Where a
    pipe has its name, O_NONBLOCK makes this fail instead of waiting for a reader.
    """
    for _ in range(DESCRIPTOR_TRIES - 1):
        try:
            return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, FILE_MODE)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        time.sleep(DESCRIPTOR_WAIT_SECONDS)
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, FILE_MODE)


def _is_at(fd: int, path: Path) -> bool:
    """Tell whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _as_sync_error() -> Iterator[None]:
    """Raise as SyncError what goes wrong in a sync."""
    try:
        yield
    except OSError as error:
        raise SyncError(error.errno, error.strerror) from error


if sys.platform == "darwin":

    def _sync_data(fd: int) -> None:
        # On macOS fsync leaves the data in the drive's own cache; only this empties it.
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)

else:

    def _sync_data(fd: int) -> None:
        os.fdatasync(fd)


if sys.platform == "linux":

    def _file_system_type(folder: Path) -> int:
        # os.statvfs does not tell the type. It is the first word of struct statfs, which fits 256 bytes.
        import ctypes

        found = ctypes.create_string_buffer(256)
        if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(folder), found) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
        return ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF

else:

    def _file_system_type(_: Path) -> int:
        return 0
