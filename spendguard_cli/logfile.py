"""Reading `run/daemon.log`: the last lines, then those that come, across rotation. Text in, records out."""

import json
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from spendguard_daemon.plain_files import open_plain

POLL_SECONDS = 0.2
LINE_BYTES_MAX = 1024 * 1024

Record = dict[str, object]


def lines(path: Path, number: int, *, follow: bool) -> Iterator[Record]:
    """Yield the last `number` records, and with `follow` every later one, for ever."""
    file = open_plain(path)
    try:
        yield from map(parse, deque(file, maxlen=number))
        while follow:
            line = file.readline(LINE_BYTES_MAX)
            if line.endswith(b"\n"):
                yield parse(line)
                continue
            file.seek(-len(line), 1)
            if _is_replaced(file, path):
                file.close()
                file = open_plain(path)
            else:
                time.sleep(POLL_SECONDS)
    finally:
        file.close()


def parse(line: bytes) -> Record:
    """Read one line; what is no JSON object is shown as a message."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"message": line.decode(errors="replace").strip()}


def _is_replaced(file: IO[bytes], path: Path) -> bool:
    """Tell whether the log was rotated: the name now belongs to another, readable file."""
    try:
        return path.stat().st_ino != _inode(file)
    except FileNotFoundError:
        return False


def _inode(file: IO[bytes]) -> int:
    import os

    return os.fstat(file.fileno()).st_ino
