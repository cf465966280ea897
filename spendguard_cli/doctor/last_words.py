"""What the last daemon wrote before its end: why it ended, or that it ended without a word."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spendguard_cli import logfile
from spendguard_daemon.plain_files import open_plain
from spendguard_daemon.text import safe

TAIL_BYTES = 256 * 1024
ENDINGS = ("listening", "stopping", "stopped", "ended")


@dataclass(frozen=True, slots=True)
class LastWords:
    """The last record that tells of its life; `code`, `detail`, `remedy` where it ended by an error."""

    message: str
    at: str
    code: str = ""
    detail: str = ""
    remedy: str = ""


def last_words(log: Path) -> LastWords | None:
    """Return them; None where there is no log, or nothing of it tells."""
    for record in _newest_first(log):
        if record.get("message") in ENDINGS:
            said = {name: safe(str(record.get(name, ""))) for name in ("code", "detail", "remedy")}
            return LastWords(str(record["message"]), safe(str(record.get("ts", ""))), **said)
    return None


def _newest_first(log: Path) -> Iterator[logfile.Record]:
    try:
        with open_plain(log) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).splitlines()
    except OSError:
        return
    yield from map(logfile.parse, reversed(lines))
