"""The files that a person edits: which line or setting of them is wrong, and how it is taken out.

Invariant: no line of secrets.toml is ever repeated; a line is named by its number alone.
"""

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from spendguard_cli.doctor.findings import Finding, Level
from spendguard_cli.doctor.world import World
from spendguard_cli.tomlfiles import without_setting
from spendguard_daemon import settings
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.provider_keys import parse_secrets
from spendguard_daemon.runtime import read_text
from spendguard_daemon.text import safe

_LINE = re.compile(r"at line ([0-9]+)")
_TYPED = re.compile(r"[A-Za-z0-9_.-]+")

Read = Callable[[str], object]


def bad_file(world: World, path: Path, read: Read) -> Finding | None:
    """Return what is wrong with a TOML file, None where `read` takes it.

    It keeps a sidecar from starting; one that runs goes on with what it has read before.
    """
    try:
        text = read_text(path)
    except SpendGuardError as error:
        aside = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.unreadable')}"
        return _finding(world, error.detail, [aside], "What was in it has to be entered again")
    line = broken_line(text)
    if line is not None:
        told = f"{path.name} is not TOML: line {line} cannot be read"
        deed = f"This makes the line a comment; to correct it, open {path}"
        return _finding(world, told, [comment_out(path, line)], deed)
    try:
        read(text)
    except SpendGuardError as error:
        return _told(world, path, text, error, read)
    return None


def broken_line(text: str) -> int | None:
    """Return the number of the line at which a text stops to be TOML; None where it is."""
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of a number that has no end, or nesting
        found = _LINE.search(str(error))
        return int(found[1]) if found else _too_much(text) or max(1, len(text.splitlines()))
    return None


def _too_much(text: str) -> int | None:
    """Return the first line that no reader takes: a number or nesting without end."""
    for number, line in enumerate(text.splitlines(), 1):
        try:
            tomllib.loads(line)
        except tomllib.TOMLDecodeError:
            continue
        except (ValueError, RecursionError):
            return number
    return None


def comment_out(path: Path, line: int) -> str:
    """Return the command that makes a line of a file a comment, the file's mode kept closed."""
    old, new = shlex.quote(str(path)), shlex.quote(f"{path}.new")
    return f"(umask 077; sed '{line}s/^/# /' {old} > {new}) && mv {new} {old}"


def culprit(text: str, read: Read) -> str | None:
    """Return the dotted name without which `read` takes a text, or says something else."""
    said = _said(read, text)
    for name in _names(tomllib.loads(text)):
        if _said(read, without_setting(text, name)) != said:
            return name
    return None


def _told(world: World, path: Path, text: str, error: SpendGuardError, read: Read) -> Finding:
    """Name the setting at fault, and the command that takes it out or sets it right."""
    name = culprit(text, read)
    line = None if name is None else _line_of(text, name.rpartition(".")[2])
    evidence = [f"{path}, line {line}"] if line else [str(path)]
    detail = safe(error.detail)
    told = detail if path.name in detail else f"{path.name}: {detail}"
    if error.remedy.startswith("spendguard config set "):
        return _finding(world, told, [error.remedy], "", evidence)
    if name is not None and path == world.home.config:
        deed = f"Or set it right: spendguard config set {safe(name)} VALUE" if _is_setting(name) else ""
        flag_like = "-- " if name.startswith("-") else ""
        unset = f"spendguard config unset {flag_like}{shlex.quote(name)}"
        return _finding(world, told, [unset], deed, evidence)
    if line is not None:
        return _finding(world, told, [comment_out(path, line)], f"Or correct it in {path}", evidence)
    return _finding(world, told, [], error.remedy or f"Correct {path}", evidence)


def _finding(
    world: World, told: str, remedy: list[str], deed: str, evidence: list[str] | None = None
) -> Finding:
    up = world.control is not None
    shown = list(evidence or [])
    shown += ["the sidecar runs on with what it has read before, and would not start again"] if up else []
    return Finding(
        level=Level.WARNING if up else Level.RED,
        finding=safe(told),
        evidence=shown,
        remedy=[] if any(not line.isprintable() for line in remedy) else remedy,
        deed=deed,
        code=Code.USAGE,
    )


def _is_setting(name: str) -> bool:
    return name in {f"{row.section}.{row.name}" for row in settings.rows()}


def _names(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the dotted names in a table, what is within a table before the table itself."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _names(value, f"{above}{key}.")
        yield f"{above}{key}"


def _said(read: Read, text: str) -> str:
    try:
        read(text)
    except SpendGuardError as error:
        return error.detail
    return ""


def _line_of(text: str, key: str) -> int | None:
    """Return the line on which a key, or the table of this name, begins."""
    if not _TYPED.fullmatch(key):
        return None
    begins = re.compile(rf"""\s*(["']?{re.escape(key)}["']?\s*=|\[+.*{re.escape(key)}["']?\]+)""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if begins.match(line)), None)


def read_config(text: str) -> object:
    """Read config.toml alone, whatever the shell says."""
    return settings.load(text, {})


def read_secrets(text: str) -> object:
    """Read secrets.toml."""
    return parse_secrets(text)


def read_any(text: str) -> object:
    """Read a file of which only that it is TOML matters here."""
    return tomli_w.dumps(tomllib.loads(text))
