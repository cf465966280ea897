"""Which `spendguard` the shell would run, and whether that is the program that runs now."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from spendguard_daemon.text import safe

HEAD_BYTES = 1024
NAME = "spendguard"


def first_on_path(env: Mapping[str, str]) -> Path | None:
    """Return the first `spendguard` on PATH."""
    found = shutil.which(NAME, path=env.get("PATH", ""))
    return Path(found) if found else None


def own() -> Path | None:
    """Return the script that starts this program, beside its interpreter; None where there is none."""
    path = Path(sys.executable).with_name(NAME)
    return path if path.exists() else None


def is_own(path: Path) -> bool:
    """Tell whether a program is this one: the same file behind all links, or a script of our interpreter."""
    mine = own()
    if mine is not None and path.resolve() == mine.resolve():
        return True
    head = _head(path)
    return b"spendguard_cli" in head and sys.executable.encode() in head


def first_line(path: Path) -> str:
    """Return how a script begins, for people; empty for what is no text."""
    line = _head(path).split(b"\n")[0]
    return safe(line.decode()) if line.isascii() and line.startswith(b"#!") else ""


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""
