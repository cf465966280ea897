"""Room on the disk: whether new calls may be admitted, and a ballast to give back when it runs out.

A call whose end may no longer fit on the disk must not begin. So holds are refused while little is free; and
where the disk fills up all the same, the ballast is deleted, in whose place the ends of the calls in flight
fit. Calls are admitted again once there is room for the ballast and for what must stay free beside it.
Sources: ledger-and-security 1.5.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.faults import fault, is_full, says_full
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.ports import Clock, Disk, Rng

MIB = 1024 * 1024
LOOK_NS = NS_PER_SECOND // 2
"""How old a reading of the free space may be that an admission rests on."""


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """Below `free_bytes_min` no call is admitted; `ballast_bytes` are set aside for the ends of calls."""

    free_bytes_min: int = 64 * MIB
    ballast_bytes: int = 16 * MIB


LIMITS = RoomLimits()


class Ballast:
    """The file `ballast`. Once the journal has started, only its thread makes or drops it."""

    def __init__(self, folder: Path, size_bytes: int, *, disk: Disk, rng: Rng) -> None:
        """Look whether the file is there, and whole; raise OSError."""
        self._folder, self._path = folder, folder / "ballast"
        self._size, self._disk, self._rng = size_bytes, disk, rng
        self.present = size_bytes == 0 or self._is_whole()

    def drop(self) -> bool:
        """Give the room back; return whether there was any to give. Raises OSError."""
        if not self.present or self._size == 0:
            return False
        self.present = False
        self._disk.remove(self._path)
        return True

    @contextmanager
    def given_for_recovery(self) -> Iterator[None]:
        """Give the room to recovery where it needs it; and to the next one, where this one finds none."""
        if self._disk.free_bytes(self._folder) < self._size:
            self.drop()
        try:
            yield
        except OSError as error:
            if says_full(error):
                with suppress(OSError):
                    self.drop()
            raise

    def make(self) -> None:
        """Lay the file down, durably, or leave it out where there is no room. Raises OSError."""
        if self.present:
            return
        try:
            self._disk.remove(self._path)
            self._write()
        except OSError as error:
            if not is_full(error):
                raise
            self._disk.remove(self._path)
        else:
            self.present = True

    def _write(self) -> None:
        file = self._disk.open_append(self._path)
        try:
            self._fill(file.write)
            file.sync()
        finally:
            file.close()
        self._disk.sync_folder(self._folder)

    def _fill(self, write: Callable[[bytes], int]) -> None:
        # Chance, not zeros: a file system that compresses would set no room aside for zeros.
        block, left = self._rng.token(min(MIB, self._size)), self._size
        while left:
            taken = write(block[:left])
            if taken <= 0:
                raise OSError(errno.ENOSPC, "the file takes no more bytes")
            left -= taken

    def _is_whole(self) -> bool:
        return self._disk.exists(self._path) and self._disk.size(self._path) == self._size


class Room:
    """Whether a call may begin, as far as the disk is concerned. Lives on the event loop."""

    def __init__(
        self, folder: Path, ballast: Ballast, limits: RoomLimits, *, disk: Disk, clock: Clock
    ) -> None:
        """Take a first look; raise OSError."""
        self.ballast = ballast
        self._folder, self._limits = folder, limits
        self._disk, self._clock = disk, clock
        self._free_bytes = disk.free_bytes(folder)
        self._looked_ns = clock.monotonic_ns()
        self._tried_ns: int | None = None

    def check(self) -> None:
        """Raise LEDGER_FULL where a call's end might not fit, DISK_FAILED where that cannot be told."""
        self._look()
        if not self.ballast.present or self._free_bytes < self._limits.free_bytes_min:
            entry = TABLE[Code.LEDGER_FULL]
            needed = self._limits.free_bytes_min + (0 if self.ballast.present else self._limits.ballast_bytes)
            raise SpendGuardError(
                Code.LEDGER_FULL,
                f"{entry.title}: {self._free_bytes} bytes are free, {needed} are needed",
                remedy=entry.agent_remedy,
                facts={"free_bytes": self._free_bytes, "needed_bytes": needed},
            )

    def wants_ballast(self) -> bool:
        """Tell whether the ballast should be made now: it is gone, and there is room again.

        Says so once for each look, so that a crowd of callers does not write it over and over.
        """
        if self.ballast.present:
            return False
        self._look()
        wanted = self._limits.free_bytes_min + self._limits.ballast_bytes
        if self._free_bytes < wanted or self._tried_ns == self._looked_ns:
            return False
        self._tried_ns = self._looked_ns
        return True

    def _look(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._looked_ns < LOOK_NS:
            return
        try:
            self._free_bytes = self._disk.free_bytes(self._folder)
        except OSError as error:
            raise fault(Code.DISK_FAILED, error) from error
        self._looked_ns = now_ns
