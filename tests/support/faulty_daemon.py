"""The real daemon on a disk that fails when told: files in $SPENDGUARD_TEST_FAULTS are the orders.

`sync`: every sync fails with EIO, and is counted by a byte in `syncs`. `full`: what is written to the
ledger's segments goes to /dev/full, so that the kernel itself says ENOSPC, and nothing is free; while the
ballast is gone, writes fit, unless the file says `for good`.

    python tests/support/faulty_daemon.py --port 0
"""

import os
import sys
from pathlib import Path

from spendguard_daemon import __main__, system

ORDERS = Path(os.environ["SPENDGUARD_TEST_FAULTS"])
BALLAST = Path(os.environ["SPENDGUARD_HOME"]) / "ledger" / "ballast"

_sync, _write, _free_bytes = system._sync_data, system.SystemFile.write, system.SystemDisk.free_bytes


def _is_full() -> bool:
    order = ORDERS / "full"
    return order.exists() and (BALLAST.exists() or order.read_text() == "for good")


def sync(fd: int) -> None:
    if (ORDERS / "sync").exists():
        with (ORDERS / "syncs").open("ab") as count:
            count.write(b"x")
        raise OSError(5, "Input/output error")
    _sync(fd)


def write(file: system.SystemFile, data: bytes) -> int:
    if "/seg-" in str(Path(f"/proc/self/fd/{file._fd}").readlink()) and _is_full():
        full = os.open("/dev/full", os.O_WRONLY)
        try:
            return os.write(full, data)
        finally:
            os.close(full)
    return _write(file, data)


def free_bytes(disk: system.SystemDisk, folder: Path) -> int:
    return 0 if (ORDERS / "full").exists() else _free_bytes(disk, folder)


system._sync_data = sync
system.SystemFile.write = write  # type: ignore[method-assign]
system.SystemDisk.free_bytes = free_bytes  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(__main__.main())
