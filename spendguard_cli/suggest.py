"""The command that was most likely meant: the nearest word, the same word in a group, another tool's word."""

import difflib
from collections.abc import Iterator
from typing import Any

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

ELSEWHERE = {
    "start": "up",
    "serve": "up --foreground",
    "proxy": "up",
    "stop": "down",
    "kill": "down --now",
    "init": "up",
    "install": "up",
    "login": "provider set-key",
    "auth": "provider set-key",
    "key": "agent key",
    "keys": "agent key",
    "create": "agent create",
    "new": "agent create",
    "add": "agent create",
    "ls": "agent list",
    "list": "agent list",
    "agents": "agent list",
    "rm": "agent delete",
    "ps": "status",
    "top": "watch",
    "info": "status",
    "health": "doctor",
    "check": "doctor",
    "diagnose": "doctor",
    "log": "logs",
    "why": "explain",
    "limit": "budget set",
    "balance": "budget get",
    "cost": "ledger export",
    "usage": "ledger export",
    "report": "ledger export",
    "spend": "ledger export",
    "prices": "pricing show",
    "models": "pricing show",
    "price": "pricing show",
    "set": "config set",
    "settings": "config show",
    "wrap": "exec",
    "completion": "completions install",
    "help": "--help",
    "version": "--version",
}
"""What other tools call it."""


NEAR = 0.78
"""How alike a word must be to be taken before the same word in another group."""


def unknown_command(root: Any, path: str, group: Any, word: str) -> SpendGuardError:
    """Return the error for a word that is no command of the group at `path`, with what was meant."""
    meant = _meant(root, path, group, word)
    said = f"No such command: {safe(word)!r}"
    if meant is None:
        return SpendGuardError(Code.USAGE, said, remedy=f"{path} --help")
    remedy = meant if " --" in meant else f"{meant} --help"
    return SpendGuardError(Code.USAGE, f"{said}; did you mean {meant}?", remedy=remedy)


def _meant(root: Any, path: str, group: Any, word: str) -> str | None:
    top = path.partition(" ")[0]
    if group is root and word.lower() in ELSEWHERE:
        return f"{top} {ELSEWHERE[word.lower()]}"
    near = difflib.get_close_matches(word.lower(), list(group.commands), n=1, cutoff=NEAR)
    if near:
        return f"{path} {near[0]}"
    same = sorted((known for known in _leaves(root) if known[-1] == word.lower()), key=len)
    if same and (group is root or len(same) == 1 or len(same[0]) < len(same[1])):
        return " ".join([top, *same[0]])
    near = difflib.get_close_matches(word.lower(), list(group.commands), n=1)
    return f"{path} {near[0]}" if near else None


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, child in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from _leaves(child, (*path, name))
