"""Where backups were made, newest first: a note in the home, outside the ledger, for whoever needs one.

A note is no proof: whoever uses a backup looks whether it is there and whole.
"""

import contextlib
from pathlib import Path

import msgspec

from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.plain_files import open_plain
from spendguard_daemon.runtime import Home
from spendguard_daemon.system import SystemDisk

KEPT = 20
FILE_BYTES_MAX = 256 * 1024


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A backup as it was made: its folder, when, and the hash of its manifest."""

    path: str
    created: str
    sha256: str


def note(home: Home, known: Known) -> None:
    """Remember a backup; one that cannot be remembered is no worse for it."""
    others = [one for one in read(home) if one.path != known.path]
    raw = msgspec.json.format(msgspec.json.encode([known, *others][:KEPT]))
    with contextlib.suppress(OSError, SpendGuardError):
        SystemDisk().replace(_path(home), raw + b"\n")


def read(home: Home) -> list[Known]:
    """Return the backups that were noted, the newest first; none where the note is not one."""
    try:
        with open_plain(_path(home)) as file:
            return msgspec.json.decode(file.read(FILE_BYTES_MAX), type=list[Known])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _path(home: Home) -> Path:
    return home.daemon_json.with_name("backups.json")
