"""Simulated clock, chance and disk behind the ports: a test decides what time it is and what is lost.

`SimDisk` keeps for each file what was written and what was synced, and for each folder the names that were
synced; `crash` makes the disk that a power cut leaves. `hook` sees every operation before it happens, and may
block, or raise OSError.
"""

import errno
import os
import random
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from spendguard_daemon.ports import SyncError

SECTOR_BYTES = 512

Hook = Callable[[str, Path], None]


@dataclass
class SimClock:
    """Time that moves only when told to."""

    wall: int = 1_800_000_000 * 10**9
    monotonic: int = 10**9

    def wall_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.monotonic

    def advance(self, seconds: float) -> None:
        self.wall += int(seconds * 10**9)
        self.monotonic += int(seconds * 10**9)


class SimRng:
    """Chance from a seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def token(self, n_bytes: int) -> bytes:
        return self._random.randbytes(n_bytes)

    def uuid4(self) -> str:
        return str(uuid.UUID(bytes=self._random.randbytes(16), version=4))


@dataclass
class _Node:
    """A file: its bytes as any reader sees them, and those that a power cut leaves."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    locked: bool = False


class SimFile:
    """An open file of a SimDisk."""

    def __init__(self, disk: "SimDisk", path: Path, node: _Node, *, holds_lock: bool = False) -> None:
        self._disk, self._path, self._node, self._holds_lock = disk, path, node, holds_lock
        self.closed = False
        disk.opened.append(self)

    def write(self, data: bytes) -> int:
        self._before("write")
        taken = data[: self._disk.takes(len(data))]
        self._node.data += taken
        return len(taken)

    def write_at(self, offset: int, data: bytes) -> int:
        self._before("write_at")
        grown = max(0, offset + len(data) - len(self._node.data))
        room = len(data) - grown + self._disk.takes(grown)
        taken = data[: min(room, self._disk.write_bytes_max)]
        grown = offset + len(taken) - len(self._node.data)
        self._node.data += bytes(max(0, grown))
        self._node.data[offset : offset + len(taken)] = taken
        return len(taken)

    def sync(self) -> None:
        self._before("sync")
        self._node.durable = bytes(self._node.data)

    def size(self) -> int:
        return len(self._node.data)

    def truncate(self, size: int) -> None:
        self._before("truncate")
        del self._node.data[size:]

    def close(self) -> None:
        self.closed = True
        if self._holds_lock:
            self._node.locked = False

    def _before(self, operation: str) -> None:
        if self.closed:
            raise OSError("the file is closed")
        self._disk.before(operation, self._path)


class SimDisk:
    """A file system in memory that forgets what was not synced."""

    def __init__(self) -> None:
        self.files: dict[Path, _Node] = {}
        self.durable_names: dict[Path, _Node] = {}
        self.folders: set[Path] = set()
        self.hook: Hook | None = None
        self.write_bytes_max = 2**30
        self.capacity_bytes: int | None = None
        self.unsafe: str | None = None
        self.operations: list[tuple[str, str]] = []
        self.opened: list[SimFile] = []

    def before(self, operation: str, path: Path) -> None:
        self.operations.append((operation, path.name))
        if self.hook is not None:
            try:
                self.hook(operation, path)
            except OSError as error:
                if operation in ("sync", "sync_folder"):
                    raise SyncError(error.errno, error.strerror) from error
                raise

    def read(self, path: Path) -> bytes:
        self.before("read", path)
        if path not in self.files:
            raise FileNotFoundError(path)
        return bytes(self.files[path].data)

    def exists(self, path: Path) -> bool:
        return path in self.files or path in self.folders

    def names(self, folder: Path) -> list[str]:
        return sorted(path.name for path in _within(folder, self.files))

    def make_folder(self, path: Path) -> None:
        self.before("make_folder", path)
        self.folders |= {path, *path.parents}

    def open_append(self, path: Path) -> SimFile:
        return self._open(path)

    def open_update(self, path: Path) -> SimFile:
        return self._open(path)

    def replace(self, path: Path, data: bytes) -> None:
        self.before("replace", path)
        node = _Node(bytearray(data), data)
        self.files[path] = self.durable_names[path] = node

    def size(self, path: Path) -> int:
        if path not in self.files:
            raise FileNotFoundError(path)
        return len(self.files[path].data)

    def rename(self, source: Path, target: Path) -> None:
        self.before("rename", source)
        if source in self.files:
            self.files[target] = self.files.pop(source)
            return
        if source not in self.folders:
            raise FileNotFoundError(source)
        if _within(target, self.files):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(target))
        # A whole folder moves at once, and the power cannot part it from what is in it.
        for paths in (self.files, self.durable_names):
            for path in _below(source, paths):
                paths[target / path.relative_to(source)] = paths.pop(path)
        moved = {source, *_below(source, self.folders)}
        self.folders = (self.folders - moved) | {target / path.relative_to(source) for path in moved}

    def sync_folder(self, folder: Path) -> None:
        self.before("sync_folder", folder)
        for path in _within(folder, self.durable_names):
            del self.durable_names[path]
        self.durable_names |= {path: self.files[path] for path in _within(folder, self.files)}

    def remove(self, path: Path) -> None:
        self.before("remove", path)
        self.files.pop(path, None)

    def free_bytes(self, folder: Path) -> int:
        self.before("free_bytes", folder)
        return 2**60 if self.capacity_bytes is None else self.capacity_bytes - self.used_bytes()

    def used_bytes(self) -> int:
        return sum(len(node.data) for node in self.files.values())

    def takes(self, wanted: int) -> int:
        """Return how many bytes one write may add; a disk without any room left says ENOSPC."""
        if self.capacity_bytes is not None and wanted > 0:
            wanted = min(wanted, max(0, self.capacity_bytes - self.used_bytes()))
            if wanted == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return min(wanted, self.write_bytes_max)

    def unsafe_file_system(self, folder: Path) -> str | None:
        return self.unsafe

    def lock(self, path: Path) -> SimFile | None:
        self.before("lock", path)
        node = self.files.setdefault(path, _Node())
        if node.locked:
            return None
        node.locked = True
        return SimFile(self, path, node, holds_lock=True)

    def put(self, path: Path, data: bytes) -> None:
        """Lay a file down, durably, past all hooks."""
        self.files[path] = self.durable_names[path] = _Node(bytearray(data), data)
        self.folders |= set(path.parents)

    def killed(self) -> "SimDisk":
        """Return the disk as kill -9 leaves it: all that was written is there, the locks are free."""
        after = SimDisk()
        for path, node in self.files.items():
            after.files[path] = _Node(bytearray(node.data), node.durable)
        for path, node in self.durable_names.items():
            # A name whose removal is not durable yet is gone now, but not after a power cut.
            after.durable_names[path] = after.files.get(path) or _Node(bytearray(node.data), node.durable)
        after.folders = set(self.folders)
        return after

    def crash(self, chance: random.Random | None = None) -> "SimDisk":
        """Return the disk as a power cut leaves it: what was synced, and by chance parts of what was not."""
        after = SimDisk()
        for path, node in self.durable_names.items():
            left = _survivor(node, chance) if chance else node.durable
            after.files[path] = after.durable_names[path] = _Node(bytearray(left), left)
        after.folders = set(self.folders)
        return after

    def _open(self, path: Path) -> SimFile:
        self.before("open", path)
        return SimFile(self, path, self.files.setdefault(path, _Node()))


def _below(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Return what is in a folder, at any depth; by their texts, for `parents` are made anew each time."""
    start = f"{folder}/"
    return [path for path in paths if str(path).startswith(start)]


def _within(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Return what is right in a folder."""
    size = len(f"{folder}/")
    return [path for path in _below(folder, paths) if "/" not in str(path)[size:]]


def _survivor(node: _Node, chance: random.Random) -> bytes:
    """Return what may be left of a file: each sector of what was not synced is there, or is not."""
    written = bytes(node.data)
    size = chance.randint(min(len(node.durable), len(written)), max(len(node.durable), len(written)))
    raw = bytearray(node.durable[:size].ljust(size, b"\0"))
    for start in range(0, size, SECTOR_BYTES):
        if chance.random() < 0.5:
            sector = written[start : min(start + SECTOR_BYTES, size)]
            raw[start : start + len(sector)] = sector
    return bytes(raw)


class Gate:
    """A disk hook whose syncs wait until they are let through, one by one."""

    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def __call__(self, operation: str, path: Path) -> None:
        if operation == "sync":
            self.reached.release()
            assert self.open.acquire(timeout=20)
