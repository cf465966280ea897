"""A program that ends with us, however we end: asked of Linux, as nobody else is there after a SIGKILL.

Elsewhere there is no such thing, and a program goes on. The number is from the kernel's `uapi/linux/prctl.h`.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def ending_with(parent: int) -> Callable[[], None]:
    """Return what lets a child, between fork and exec, get SIGTERM when `parent`, a process id, ends.

    It reaches this child alone, not what that starts; and not a program with other rights than ours (setuid).
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)

    def put_on() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it has ended before it was asked
            os.kill(os.getpid(), signal.SIGKILL)

    return put_on
