"""Files that have an end: a pipe or a device in the place of one must not make its reader wait for ever."""

import errno
import os
import stat
from pathlib import Path
from typing import IO


def open_plain(path: Path) -> IO[bytes]:
    """Open a plain file for reading; raise OSError for whatever else has this name."""
    file = open(path, "rb", opener=_at_once)  # noqa: SIM115 (whoever asked for it closes it)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is no plain file", str(path))


def read_plain(path: Path) -> bytes:
    """Return the bytes of a plain file; raise OSError for whatever else has this name."""
    with open_plain(path) as file:
        return file.read()


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for who writes into a pipe; for plain files O_NONBLOCK means nothing."""
    return os.open(path, flags | os.O_NONBLOCK)
