"""The doors: one to the clock, one to the disk, one to chance, one to the providers.

Everything that is not pure goes through one of these, passed in from `daemon`; a simulator implements the
same Protocols. The real Clock, Disk and Rng are in `system`; the real Upstream is `gateway.upstream`.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations; never one for the other."""

    def wall_ns(self) -> int:
        """Return UTC as nanoseconds since the epoch."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds that only ever grow, from an arbitrary start, also while the machine sleeps."""


class Rng(Protocol):
    """Chance: ids, nonces, keys."""

    def token(self, n_bytes: int) -> bytes:
        """Return `n_bytes` fit for secrets."""

    def uuid4(self) -> str:
        """Return a random UUID in its usual text form."""


class SyncError(OSError):
    """A sync failed, for want of room or whatever else: what it was for may not be durable, ever.

    A kind of its own, because a failed write may be tried again where there is room, a failed sync never: the
    kernel may have dropped the pages, and the next sync would say that all is well.
    """


class DiskFile(Protocol):
    """An open file. Every method may raise OSError, and after one nothing about the file is certain."""

    def write(self, data: bytes) -> int:
        """Append some of `data`, return how many bytes were taken (possibly fewer than given)."""

    def write_at(self, offset: int, data: bytes) -> int:
        """Write some of `data` at `offset`, return how many bytes were taken."""

    def sync(self) -> None:
        """Return when all that was written is durable (fdatasync; F_FULLFSYNC on macOS); raise SyncError."""

    def size(self) -> int:
        """Return how many bytes the file has now."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""

    def close(self) -> None:
        """Close the file, without syncing it."""


class Disk(Protocol):
    """The file system below the home. All calls block; they run on start-up or on the writer thread."""

    def read(self, path: Path) -> bytes:
        """Return a file's bytes; raise FileNotFoundError where there is none."""

    def exists(self, path: Path) -> bool:
        """Tell whether there is a file or folder at `path`."""

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, sorted."""

    def make_folder(self, path: Path) -> None:
        """Make a folder of mode 0700, with its parents, if it is not there; sync its parent."""

    def open_append(self, path: Path) -> DiskFile:
        """Open a file for appending, mode 0600, made if it is not there."""

    def open_update(self, path: Path) -> DiskFile:
        """Open a file for `write_at`, mode 0600, made if it is not there."""

    def replace(self, path: Path, data: bytes) -> None:
        """Put `data` at `path`, whole or not at all: temporary file, sync, rename, sync of the folder."""

    def size(self, path: Path) -> int:
        """Return how many bytes a file has; raise FileNotFoundError where there is none."""

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or folder another name, at once; durable when the folders of both names are synced."""

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable; raise SyncError."""

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there; its name may come back after a power cut."""

    def free_bytes(self, folder: Path) -> int:
        """Return how many bytes this user may still write to the file system of `folder`."""

    def unsafe_file_system(self, folder: Path) -> str | None:
        """Name the file system of `folder` if its locks and syncs cannot be trusted, else return None."""

    def lock(self, path: Path) -> DiskFile | None:
        """Take the exclusive flock on `path` (made if absent, never unlinked); None if another has it.

        The lock lives as long as the file returned stays open, and dies with the process.
        """


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One request to a provider, complete: nothing is added below this line but transport framing.

    `provider` picks the pinned base address; `path` is from our own table, never from the client.
    """

    provider: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class NotSentError(Exception):
    """No byte of the request left this machine: DNS, connect or TLS failed. Says which, for a person."""


class UpstreamLostError(Exception):
    """The connection failed after bytes may have left: what the provider did is unknown."""


class UpstreamResponse(Protocol):
    """An answer whose head has arrived."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers as received, keys compared without case."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, not decoded; raise UpstreamLostError where it is torn."""

    async def close(self) -> None:
        """Drop the connection; safe to call twice."""


class Upstream(Protocol):
    """The one door to the providers."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send one request, once; return when the answer's head is there.

        Raises NotSentError or UpstreamLostError. Never follows a redirect, never sends a POST twice.
        """
