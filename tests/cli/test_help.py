"""Every command explains itself, its examples are real commands, and help costs no heavy import."""

import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from spendguard_cli import verbs
from spendguard_cli.app import _outcome, app
from spendguard_daemon import __version__

ROOT = typer.main.get_command(app)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, (*path, name))
    if not getattr(command, "commands", None):
        yield path, command


LEAVES = dict(leaves(ROOT))
EXAMPLES = [
    (path, example)
    for path, command in LEAVES.items()
    for example in re.findall(r"^  \$ (.+)$", command.help.replace("\\[", "["), re.MULTILINE)
]


def test_the_commands_of_the_design_are_there() -> None:
    wanted = """up down restart status logs agent:create agent:list agent:get agent:rename agent:delete
    agent:set agent:freeze agent:unfreeze budget:set budget:get budget:topup budget:adjust budget:daemon:set
    budget:daemon:topup budget:daemon:get run:create run:list run:abort provider:list provider:set-key
    provider:test config:show config:set config:unset config:allow ledger:verify ledger:export ledger:backup
    ledger:restore demo
    pricing:show pricing:refresh pricing:verify pricing:diff pricing:recompute pricing:keygen pricing:sign
    pricing:serve pricing:trust:add pricing:trust:revoke pricing:trust:list agent:key agent:mint exec
    doctor explain watch completions:show completions:install"""
    assert {":".join(path) for path in LEAVES} == set(wanted.split())


@pytest.mark.parametrize("path", LEAVES)
def test_help_has_purpose_examples_and_exit_codes(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _outcome([*path, "--help"]) == 0
    said = capsys.readouterr().out
    purpose = LEAVES[path].help.splitlines()[0]
    assert purpose.endswith((".", ":"))
    assert "Examples:" in said
    assert "Exit codes: 0 done" in said
    assert "--json" in said


@pytest.mark.parametrize(("path", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_examples_are_commands_that_parse(path: tuple[str, ...], example: str) -> None:
    words = shlex.split(example.rpartition("| ")[2])
    assert words[0] == "spendguard"
    assert tuple(words[1 : 1 + len(path)]) == path
    LEAVES[path].make_context("spendguard", words[1 + len(path) :])


def test_every_command_has_at_least_two_examples() -> None:
    counted = Counter(path for path, _ in EXAMPLES)
    assert not [path for path in LEAVES if counted[path] < 2]


@pytest.mark.parametrize(
    "path", [(), ("agent",), ("budget",), ("budget", "daemon"), ("ledger",), ("pricing",)]
)
def test_groups_explain_themselves(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert _outcome([*path, "--help"]) == 0
    said = capsys.readouterr().out
    assert ("Commands:" if path else "Start here:") in said


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert _outcome(["budget"]) == 2
    assert "topup" in capsys.readouterr().out


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert _outcome(["--version"]) == 0
    assert capsys.readouterr().out == f"spendguard {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["budget", "set", "--help"], ["nonsense"]])
def test_help_and_version_load_neither_httpx_nor_the_daemons_parts(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom spendguard_cli.app import _outcome\n_outcome(sys.argv[1:])\n"
        "sys.exit(' '.join({'httpx', 'aiohttp', 'textual', 'nacl', 'tomli_w'} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


SCREENS = "__main__|watch[.](app|past_app|modals|screens|themes|widgets)"
"""What textual draws with, and is loaded where it does."""


def test_the_whole_command_line_loads_neither_aiohttp_nor_textual() -> None:
    """But for the screens of `watch`."""
    code = (
        "import sys, re, pkgutil, importlib, spendguard_cli\n"
        "for found in pkgutil.walk_packages(spendguard_cli.__path__, 'spendguard_cli.'):\n"
        f"    if not re.search('{SCREENS}', found.name): importlib.import_module(found.name)\n"
        "sys.exit(' '.join({'aiohttp', 'textual', 'uvloop'} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_brackets_in_help_are_text_and_no_markup() -> None:
    assert "\\[limits]" in verbs.explain("Set [limits].", (), ())


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_brackets_are_shown(path: tuple[str, ...]) -> None:
    """Where they are not escaped, `[policy]` is taken for a style, and is not there to be read."""
    texts = [LEAVES[path].help, *(getattr(param, "help", None) for param in LEAVES[path].params)]
    assert not [text for text in texts if text and re.search(r"(?<!\\)\[[a-z]", text)]
