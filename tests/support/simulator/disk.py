"""A disk that keeps apart what was written and what was synced, down to the sector and the name.

A power cut leaves of each file its synced bytes and any of the sectors that were written since; of the names
in a folder those that were synced, and any of the changes made since, each of them whole or not at all. A
rename is one change. `hook` sees every operation before it happens, and may raise OSError or PowerCut.
"""

import errno
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from simulator.inode import Inode, survivor
from spendguard_daemon.ports import SyncError

Hook = Callable[[str, Path], None]


class PowerCut(BaseException):
    """The machine is off. Not an Exception: nothing in the program may catch it and go on."""


@dataclass(frozen=True)
class Change:
    """One change of names, whole or not at all: path to inode, None where the name goes."""

    names: dict[Path, Inode | None]


class SimFile:
    """An open file of a SimDisk."""

    def __init__(self, disk: "SimDisk", path: Path, inode: Inode, *, holds_lock: bool = False) -> None:
        self._disk, self._path, self._inode, self._holds_lock = disk, path, inode, holds_lock
        self._closed = False

    def write(self, data: bytes) -> int:
        self._before("write")
        taken = data[: self._disk.room(self._path, len(data), len(data))]
        self._inode.write_at(len(self._inode.data), taken)
        return len(taken)

    def write_at(self, offset: int, data: bytes) -> int:
        self._before("write_at")
        taken = data[
            : self._disk.room(self._path, len(data), max(0, offset + len(data) - len(self._inode.data)))
        ]
        self._inode.write_at(offset, taken)
        return len(taken)

    def size(self) -> int:
        return len(self._inode.data)

    def sync(self) -> None:
        self._before("sync")
        start = self._inode.synced_bytes
        self._inode.sync()
        if self._disk.on_sync is not None:
            self._disk.on_sync(self._path, bytes(self._inode.data[start:]))

    def truncate(self, size: int) -> None:
        self._before("truncate")
        self._inode.truncate(size)

    def close(self) -> None:
        if self._holds_lock and not self._closed:
            self._inode.locked = False
        self._closed = True

    def _before(self, operation: str) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "the file is closed")
        self._disk.before(operation, self._path)


class SimDisk:
    """The file system. `operations` counts what was asked of it; `capacity_bytes` is what fits in all."""

    def __init__(self) -> None:
        self.names_seen: dict[Path, Inode] = {}
        self.names_synced: dict[Path, Inode] = {}
        self.pending: list[Change] = []
        self.folders: set[Path] = set()
        self.hook: Hook | None = None
        self.on_sync: Callable[[Path, bytes], None] | None = None
        self.write_bytes_max = 2**30
        self.capacity_bytes: int | None = None
        self.operations = 0
        self.dead = False
        self._limited = Path("/")
        self._temporary = 0

    # -- the port ---------------------------------------------------------------------------------------

    def read(self, path: Path) -> bytes:
        if path not in self.names_seen:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(path))
        return bytes(self.names_seen[path].data)

    def exists(self, path: Path) -> bool:
        return path in self.names_seen or path in self.folders

    def names(self, folder: Path) -> list[str]:
        inside = [path.name for path in self.names_seen if path.parent == folder]
        return sorted(inside + [path.name for path in self.folders if path.parent == folder])

    def make_folder(self, path: Path) -> None:
        if path not in self.folders:
            self.before("make_folder", path)
            self.folders |= {path, *path.parents}

    def open_append(self, path: Path) -> SimFile:
        return self._open(path)

    def open_update(self, path: Path) -> SimFile:
        return self._open(path)

    def replace(self, path: Path, data: bytes) -> None:
        self._temporary += 1
        temporary = path.with_name(f".{path.name}.{self._temporary}.tmp")
        file = self._open(temporary)
        try:
            while data:
                data = data[file.write(data) :]
            file.sync()
            self.rename(temporary, path)
        except OSError:
            self._change({temporary: None})
            raise
        self.sync_folder(path.parent)

    def size(self, path: Path) -> int:
        return len(self.read(path))

    def rename(self, source: Path, target: Path) -> None:
        self.before("rename", target)
        if source in self.names_seen:
            self._change({target: self.names_seen[source], source: None})
            return
        if source not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(source))
        inside = {path: inode for path, inode in self.names_seen.items() if source in path.parents}
        moved = {target / path.relative_to(source): inode for path, inode in inside.items()}
        self._change({**moved, **dict.fromkeys(inside)})
        folders = {path for path in self.folders if path == source or source in path.parents}
        self.folders = (self.folders - folders) | {target / path.relative_to(source) for path in folders}

    def remove(self, path: Path) -> None:
        self.before("remove", path)
        if path in self.names_seen:
            self._change({path: None})

    def free_bytes(self, folder: Path) -> int:
        return 2**60 if self.capacity_bytes is None else max(0, self.capacity_bytes - self._used_bytes())

    def unsafe_file_system(self, folder: Path) -> str | None:
        return None

    def sync_folder(self, folder: Path) -> None:
        self.before("sync_folder", folder)
        kept = []
        for change in self.pending:
            if any(path.parent == folder for path in change.names):
                _apply(change, self.names_synced)
            else:
                kept.append(change)
        self.pending = kept

    def lock(self, path: Path) -> SimFile | None:
        self.before("lock", path)
        inode = self._inode(path)
        if inode.locked:
            return None
        inode.locked = True
        return SimFile(self, path, inode, holds_lock=True)

    # -- what happens to it -----------------------------------------------------------------------------

    def before(self, operation: str, path: Path) -> None:
        if self.dead:
            raise OSError(errno.EIO, "this machine is no more")
        self.operations += 1
        if self.hook is not None:
            try:
                self.hook(operation, path)
            except OSError as error:
                if operation in ("sync", "sync_folder"):
                    raise SyncError(error.errno, error.strerror) from error
                raise

    def limit(self, folder: Path, left_bytes: int | None) -> None:
        """Let so many bytes more be written in this folder, and below it; None: any number."""
        self._limited = folder
        self.capacity_bytes = None if left_bytes is None else self._used_bytes() + left_bytes

    def room(self, path: Path, wanted: int, growth: int) -> int:
        """Return how many of so many bytes one write takes; raise ENOSPC where it is none."""
        if self.capacity_bytes is not None and growth > 0 and self._limited in path.parents:
            left = max(0, self.capacity_bytes - self._used_bytes())
            wanted -= max(0, growth - left)
            if wanted <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        return min(wanted, self.write_bytes_max)

    def put(self, path: Path, data: bytes) -> None:
        """Lay a file down, durably, past all hooks."""
        self._lay(path, data)
        self.folders |= set(path.parents)

    def _lay(self, path: Path, data: bytes) -> None:
        self.names_seen[path] = self.names_synced[path] = Inode(bytearray(data), len(data))

    def clone(self) -> "SimDisk":
        """Return a copy as the next process would find it; this disk goes on."""
        after = SimDisk()
        for path in sorted(self.names_seen):
            after._lay(path, bytes(self.names_seen[path].data))
        after.folders = set(self.folders)
        return after

    def killed(self) -> "SimDisk":
        """Return the disk as the next process finds it: all that was written is there, locks are free."""
        after = SimDisk()
        after.names_seen, after.names_synced = dict(self.names_seen), dict(self.names_synced)
        after.pending, after.folders = list(self.pending), set(self.folders)
        after.capacity_bytes, after._limited = self.capacity_bytes, self._limited
        for inode in after.names_seen.values():
            inode.locked = False
        self.dead = True
        return after

    def cut(self, chance: random.Random | None = None, *, prefix: bool | None = None) -> "SimDisk":
        """Return the disk as a power cut leaves it; without `chance`, only what was synced.

        `prefix`: of what was written since, the first bytes are left; False: any sectors; None: either.
        """
        after = SimDisk()
        names = self.names_after_cut(chance)
        for path in sorted(names):
            after._lay(path, survivor(names[path], chance, prefix=prefix))
        after.folders = set(self.folders)
        return after

    def names_after_cut(self, chance: random.Random | None) -> dict[Path, Inode]:
        """Return the names that are left: those synced, and an ordered part, or any part, of the changes."""
        names = dict(self.names_synced)
        if chance is None:
            return names
        if chance.random() < 0.5:
            left = self.pending[: chance.randint(0, len(self.pending))]
        else:
            left = [change for change in self.pending if chance.random() < 0.5]
        for change in left:
            _apply(change, names)
        return names

    def _used_bytes(self) -> int:
        return sum(len(file.data) for path, file in self.names_seen.items() if self._limited in path.parents)

    def _change(self, names: dict[Path, Inode | None]) -> None:
        change = Change(names)
        _apply(change, self.names_seen)
        self.pending.append(change)

    def _inode(self, path: Path) -> Inode:
        if path not in self.names_seen:
            self._change({path: Inode()})
        return self.names_seen[path]

    def _open(self, path: Path) -> SimFile:
        self.before("open", path)
        return SimFile(self, path, self._inode(path))


def _apply(change: Change, names: dict[Path, Inode]) -> None:
    for path, inode in change.names.items():
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode
