"""A folder in memory, for tests that sync thousands of times and ask nothing about disks.

What is written, and when it is synced, is the same; only nobody waits for a disk.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 256 * 2**20


@contextmanager
def in_memory(elsewhere: Path) -> Iterator[Path]:
    """Yield an empty folder that is gone afterwards; `elsewhere` where this machine has none in memory."""
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM_BYTES:
        yield elsewhere
        return
    with tempfile.TemporaryDirectory(dir=_MEMORY, prefix="spendguard-test-") as name:
        yield Path(name)
