"""Which ledger is meant: the home's own, or a folder that was named, a backup for instance.

Looks at names only. Invariant: what it returns has at least one segment.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.folder import ARCHIVE, LOCK, LedgerFolder
from spendguard_daemon.ledger.manifest import MANIFEST
from spendguard_daemon.ports import Disk
from spendguard_daemon.runtime import Home


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """A folder with a ledger; `is_backup` tells that it has a manifest, `named` that it was asked for."""

    path: Path
    is_backup: bool
    named: bool

    def file(self, name: str) -> Path:
        """Return where a file of the ledger is: in the folder, or in its archive."""
        archived = self.path / ARCHIVE / name
        return archived if archived.exists() else self.path / name


def home_ledger(home: Home, disk: Disk) -> LedgerPlace:
    """Return the ledger of a home; raise NO_DAEMON where none was ever begun."""
    if not _has_segments(home.ledger, disk):
        raise SpendGuardError(
            Code.NO_DAEMON,
            f"There is no ledger in {home.root}: no sidecar was ever started there",
            remedy="spendguard up",
        )
    return LedgerPlace(home.ledger, is_backup=False, named=False)


def named_ledger(text: str, disk: Disk) -> LedgerPlace:
    """Return the ledger at a path: its folder, a file in it, or the home that it belongs to; raise USAGE."""
    path = Path(text).absolute()
    if path.is_file():
        path = path.parent.parent if path.parent.name == ARCHIVE else path.parent
    for folder in (path, path / "ledger"):
        if _has_segments(folder, disk):
            return LedgerPlace(folder, is_backup=disk.exists(folder / MANIFEST), named=True)
    what = "has no ledger in it" if path.exists() else "does not exist"
    raise SpendGuardError(
        Code.USAGE,
        f"{text} {what}",
        remedy="name the folder of a backup, or none for the ledger of this home",
    )


def new_folder(text: str, home: Home, disk: Disk) -> Path:
    """Return the path for a new backup; raise USAGE where something is there, or where it must not be."""
    path = Path(text).absolute()
    taken = path.is_file() or (disk.exists(path) and bool(set(disk.names(path)) - {LOCK}))
    if taken:
        raise SpendGuardError(
            Code.USAGE, f"{text} is there already", remedy="name a folder that is new or empty"
        )
    if _inside(path, home):
        raise SpendGuardError(
            Code.USAGE,
            f"{text} is in the ledger itself",
            remedy="name a folder elsewhere, best on another disk",
        )
    return path


def new_file(text: str, home: Home) -> Path:
    """Return the path of a file to write; raise USAGE where it cannot be one, or must not."""
    path = Path(text).absolute()
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "is in no folder that exists"
        raise SpendGuardError(Code.USAGE, f"--output: {text} {what}", remedy="name a file")
    if _inside(path, home):
        raise SpendGuardError(
            Code.USAGE, f"--output: {text} is in the ledger itself", remedy="name a file elsewhere"
        )
    return path


def _inside(path: Path, home: Home) -> bool:
    real = Path(os.path.realpath(path))  # where `resolve` would not know what to do about links in a circle
    return Path(os.path.realpath(home.ledger)) in (real, *real.parents)


def _has_segments(folder: Path, disk: Disk) -> bool:
    return folder.is_dir() and bool(LedgerFolder(folder, disk).segments)
