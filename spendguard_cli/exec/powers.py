"""What root could do round the rules: read the memory of processes, make packets by hand, read the raw disk.

A program of root is root still, but for these capabilities, which it cannot get back. Whoever is not root has
none of them. Numbers are from the kernel's `uapi/linux/capability.h`.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _CLEAR_ALL = 24, 47, 4
_DROPPED = {
    "dac_read_search": 2,
    "net_admin": 12,
    "net_raw": 13,
    "sys_module": 16,
    "sys_rawio": 17,
    "sys_ptrace": 19,
    "sys_admin": 21,
    "sys_boot": 22,
    "mknod": 27,
    "perfmon": 38,  # with it /proc/<pid>/environ opens, whatever Landlock says
    "bpf": 39,
    "checkpoint_restore": 40,
}


def drop() -> Callable[[], None]:
    """Return what takes these capabilities from what the calling process becomes by exec. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)

    def put_on() -> None:
        libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)  # none are kept by who is not root
        for number in _DROPPED.values():
            if libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) and os.geteuid() == 0:
                said = ctypes.get_errno()
                if said != errno.EINVAL:  # a kernel that does not know it has no such power either
                    raise OSError(said, f"capabilities: {os.strerror(said)}")

    return put_on


def disks(folder: Path = Path("/dev")) -> list[Path]:
    """Return the raw disks that we could read, and a program with us."""
    found = []
    for path in [*folder.glob("*"), *folder.glob("mapper/*")]:
        with suppress(OSError):
            if stat.S_ISBLK(path.lstat().st_mode) and os.access(path, os.R_OK):
                found.append(path)
    return sorted(found)
