"""Command lines drawn from the tree itself: every command, each of its options, hostile values everywhere.

A command that joins the tree is drawn from then on. What would go on for ever or start a program is drawn
with an option that nobody has, so that its other options are read all the same.
"""

import contextlib
import os
import random
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from spendguard_cli.app import app
from spendguard_daemon import settings

NEVER_DONE = {
    ("up",): "it would start a sidecar that outlives the line",
    ("restart",): "it would start a sidecar that outlives the line",
    ("down",): "it would end the sidecar that other lines are about",
    ("demo",): "it would play itself out",
    ("exec",): "it would run a program",
    ("watch",): "it goes on until it is ended",
    ("pricing", "serve"): "it goes on until it is ended",
}
NEVER_GIVEN = {"follow"}
"""Options with which a command goes on until it is ended."""

WORDS = (
    "",
    " ",
    "x",
    "x" * 10_000,
    "-",
    "--",
    "---",
    "=",
    "a=b",
    "@file",
    "@missing",
    "--help",
    "\ud800",
    os.fsdecode(b"\xff\xfe"),
    "\x1b[2J",
    "line\nline",
    "[bold]x[/]",
    "$(id)",
    "\u0663\u0664",
    "\u00bd",
    "\U0001f991" * 300,
    "0",
    "-0",
    "-1",
    "1",
    "5000",
    "$50",
    "50.00",
    "1e9",
    "0x10",
    "NaN",
    "inf",
    "9" * 30,
    "-" + "9" * 30,
    "9" * 5_000,
    "true",
    "openai",
    "worker",
    "all",
    "policy.overflow",
    "refuse",
    "402",
    "last",
    "7d",
    "http://127.0.0.1:9",
    "http://[",
    "::::",
    "00000000-0000-4000-8000-000000000000",
    "00000000-0000-4000-8000-00000000000g",
    ".",
    "..",
    "~nobody-of-this-name/x",
)
"""Nothing here names a place outside the folder that lines are typed in, nor another machine."""

TERMINALS = {
    "COLUMNS": ("", "0", "-1", "1", "x", "9" * 30),
    "LINES": ("0", "x"),
    "TERM": ("", "dumb", "nonsense"),
    "NO_COLOR": ("", "1"),
    "FORCE_COLOR": ("1",),
    "LANG": ("", "C", "xx_YY.NOPE"),
    "LC_ALL": ("C", "tr_TR.UTF-8"),
    "PATH": ("", "."),
}
ENVIRONMENT = tuple(
    sorted(
        {name for row in settings.rows() for name in row.env}
        | {f"SPENDGUARD_{provider.upper()}_BASE_URL" for provider in settings.PROVIDERS}
        | {"CAP_MODE", "CAP_BASE_URL", "CAP_API_KEY", "CAP_AGENT_ID", "CAP_SIDECAR_OPEN", "HOME", "EDITOR"}
        | {"SPENDGUARD_HOME", "SPENDGUARD_AGENT_ID", "SPENDGUARD_AGENT_KEY", "CAP_PRICING_URL", "SHELL"}
    )
)


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from _leaves(child, (*path, name))
    if not getattr(command, "commands", None):
        yield path, command


LEAVES: dict[tuple[str, ...], Any] = dict(_leaves(typer.main.get_command(app)))
OPTIONS = sorted(
    {name for leaf in LEAVES.values() for one in leaf.params for name in one.opts if name[0] == "-"}
)


def furnish(folder: Path) -> list[str]:
    """Put files, folders and devices of its own into a folder; return their names as words for lines."""
    (folder / "folder").mkdir()
    (folder / "file").write_text("{}")
    (folder / "empty").touch()
    (folder / "binary").write_bytes(random.Random(1).randbytes(10_000))
    (folder / "deep").write_bytes(b"[" * 100_000)
    (folder / "loop").symlink_to("loop")
    (folder / "secret").write_text("sg_agent_x\n")
    (folder / "secret").chmod(0o600)
    for name, minor in (("null", 3), ("zero", 5), ("full", 7)):
        with contextlib.suppress(PermissionError):  # who is not root has no devices of their own
            os.mknod(folder / name, stat.S_IFCHR | 0o600, os.makedev(1, minor))
    names = sorted(path.name for path in folder.iterdir())
    return [*names, "missing", "missing/below", "file/below", "folder/new", str(folder / "folder"), "n" * 300]


def drawn(rng: random.Random, words: Sequence[str]) -> list[str]:
    """Return a command line, without the program's name."""
    path = rng.choice(list(LEAVES))
    leaf = LEAVES[path]
    line = list(path) if rng.random() < 0.97 else list(path[:-1])
    line += ["--no-such-option"] if path in NEVER_DONE else []
    arguments = [one for one in leaf.params if one.param_type_name == "argument"]
    options = [one for one in leaf.params if one.param_type_name == "option" and one.name not in NEVER_GIVEN]
    rest: list[list[str]] = []
    for _ in arguments:
        rest += [[rng.choice(words)] for _again in range(rng.choice((0, 1, 1, 1, 2)))]
    for one in options:
        needed = one.required and rng.random() < 0.8
        for _ in range(1 if needed else rng.choice((0, 0, 0, 1, 1, 2)) if rng.random() < 0.5 else 0):
            rest.append(_given(rng, one, words))
    if rng.random() < 0.1:
        rest.append([rng.choice(OPTIONS)])
    if rng.random() < 0.1:
        rest.append([rng.choice(("--", "-", "--=", "-x", "@file", rng.choice(words)))])
    rng.shuffle(rest)
    line += [word for one in rest for word in one]
    return [word for word in line if word not in ("-f", "--follow")]


def _given(rng: random.Random, option: Any, words: Sequence[str]) -> list[str]:
    name = rng.choice([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return [name] if rng.random() < 0.95 else [f"{name}=x"]
    if rng.random() < 0.05:
        return [name]
    value = rng.choice(words)
    return [f"{name}={value}"] if name.startswith("--") and rng.random() < 0.2 else [name, value]


def surroundings(rng: random.Random, words: Sequence[str]) -> dict[str, str]:
    """Return variables for an environment, one to three of them with values that make no sense."""
    found = {}
    for name in rng.sample(ENVIRONMENT, rng.choice((0, 1, 1, 2))):
        found[name] = rng.choice([word for word in words if word != "\ud800"])  # which no variable can be
    for name in rng.sample(sorted(TERMINALS), rng.choice((0, 0, 1, 2))):
        found[name] = rng.choice(TERMINALS[name])
    return found
