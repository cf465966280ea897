"""Who has the ledger open: the flock is the witness, and a pid is only believed where it fits the flock.

A pid in a file may long belong to another program. So a process counts as the sidecar of a home only while
the lock is held, if it runs the daemon, and, where /proc can tell, if it has that very lock file open.
"""

import contextlib
import fcntl
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon import runtime
from spendguard_daemon.runtime import Home

_OURS = re.compile(r"\s-P -m spendguard_daemon(\s|$)")


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that has a home's ledger open. `is_sidecar` tells whether it may be signalled."""

    pid: int
    is_sidecar: bool


def is_held(home: Home) -> bool:
    """Tell whether a live process has the ledger open, be it starting, serving, draining or hung."""
    try:
        descriptor = os.open(home.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder(home: Home) -> Holder | None:
    """Return who holds the lock of a home: the kernel's word first, then what the holder wrote of itself."""
    if not is_held(home):
        return None
    pids = list(_candidates(home))
    ours = next((pid for pid in pids if _is_sidecar(pid, home)), None)
    if ours is not None:
        return Holder(ours, is_sidecar=True)
    return Holder(pids[0], is_sidecar=False) if pids else None


def named(home: Home) -> str:
    """Return how a message names whoever holds the lock: ` (pid 1234)`, or nothing where that is unknown."""
    found = holder(home)
    return f" (pid {found.pid})" if found else ""


def _candidates(home: Home) -> Iterator[int]:
    yield from _by_kernel(home)
    for info in (runtime.read_lock_info(home), runtime.read_daemon_info(home)):
        if info is not None:
            yield info.pid


def _by_kernel(home: Home) -> Iterator[int]:
    """Yield the pids that Linux lists as having a flock on this file, by its inode number."""
    with contextlib.suppress(OSError):
        inode = str(home.lock.stat().st_ino)
        for line in Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
            # `1: FLOCK  ADVISORY  WRITE 4242 08:01:131 0 EOF`; waiters have `->` in the second place
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode:
                with contextlib.suppress(ValueError):
                    yield int(words[4])


def _is_sidecar(pid: int, home: Home) -> bool:
    return bool(_OURS.search(_command_line(pid))) and _has_open(pid, home)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # no such process, or a system without /proc
        return _ps(pid)


def _ps(pid: int) -> str:
    asked = ["ps", "-o", "command=", "-p", str(pid)]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):  # nothing is certain, so nothing is signalled
        return ""


def _has_open(pid: int, home: Home) -> bool:
    """Tell whether a process has the lock file open; a system without /proc cannot say, and is believed."""
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return not Path("/proc/self/fd").exists()
    for link in links:
        with contextlib.suppress(OSError):
            if link.stat().st_ino == home.lock.stat().st_ino and link.samefile(home.lock):
                return True
    return False
