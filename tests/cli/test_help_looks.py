"""Help at any width with nothing cut, no escapes where none are wanted, and the command that was meant."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from shell import PROGRAM, Quick, Ran, Shell, Terminal
from spendguard_cli.app import app
from spendguard_cli.asked import is_json_asked
from spendguard_cli.helptext import PANELS
from spendguard_cli.suggest import ELSEWHERE

ROOT = typer.main.get_command(app)
ESCAPE = re.compile(rb"\x1b.")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


ALL = dict(commands(ROOT))


@pytest.mark.parametrize("columns", [60, 80, 160, 200])
def test_every_help_fits_and_nothing_in_it_is_cut(columns: int, bare: Quick) -> None:
    for path, command in ALL.items():
        said = bare.ok(*path, "--help", COLUMNS=str(columns)).out
        lines = said.splitlines()
        assert max(map(len, lines)) <= columns, (path, max(lines, key=len))
        assert "…" not in said
        assert "\x1b" not in said
        for param in command.params:
            assert all(
                re.search(rf"(?<!\S){re.escape(name)}(?![\w-])", said)
                for name in param.opts
                if name[0] == "-"
            )
            if param.metavar and " " not in param.metavar:
                assert param.metavar in said, (path, param.metavar)
            for choice in param.type_descriptor.choices or ():
                assert str(choice) in said


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_examples_in_help_are_whole_commands_at_any_width(columns: int, bare: Quick) -> None:
    """A long one goes on behind a backslash, so what is copied is what was meant."""
    for path, command in ALL.items():
        wanted = re.findall(r"^  \$ (.+)$", (command.help or "").replace("\\[", "["), re.MULTILINE)
        said = bare.ok(*path, "--help", COLUMNS=str(columns)).out.replace("\\\n", "")
        shown = re.findall(r"^  \$ (.+)$", said, re.MULTILINE)
        assert [shlex.split(line) for line in shown] == [shlex.split(line) for line in wanted]


def test_the_first_help_groups_the_commands(bare: Quick) -> None:
    said = bare.ok("--help").out
    headings = [line.rstrip(":") for line in said.splitlines() if re.fullmatch(r"[A-Z][^.]*:", line)]
    assert headings[: len(PANELS)] == list(PANELS)
    assert "Commands" not in headings, "a command without a heading: add it to PANELS"


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("line", [("agent", "set", "--help"), (), ("nonsense",), ("status",)])
def test_a_terminal_that_wants_no_escapes_gets_none(
    line: tuple[str, ...], plain: dict[str, str], served: Quick
) -> None:
    said = on_terminal(served, *line, **plain)
    assert said
    assert not ESCAPE.findall(said), said


def test_a_terminal_gets_colours_otherwise(served: Quick) -> None:
    for line in (("agent", "set", "--help"), (), ("nonsense",)):
        assert ESCAPE.search(on_terminal(served, *line))


def test_a_pipe_gets_no_escapes_whatever_is_asked(served: Quick) -> None:
    for line in (("--help",), (), ("nonsense",), ("status",), ("status", "--json")):
        ran = served.run(*line, FORCE_COLOR="1", CLICOLOR_FORCE="1", TERM="xterm-256color")
        assert "\x1b" not in ran.out + ran.err


def on_terminal(shell: Shell, *line: str, **env: str) -> bytes:
    """Return what a command says on a terminal."""
    words = [f"{name}={value}" for name, value in env.items()]
    made = Terminal.of(["env", *words, *PROGRAM, *line], shell.env)
    made.end()
    return made.said


# -- the command that was meant -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("buget", "spendguard budget"),
        ("agent craete", "spendguard agent create"),
        ("budget daemon topp", "spendguard budget daemon topup"),
        ("STATUS", "spendguard status"),
        ("start", "spendguard up"),
        ("stop", "spendguard down"),
        ("create", "spendguard agent create"),
        ("ls", "spendguard agent list"),
        ("ps", "spendguard status"),
        ("top", "spendguard watch" if ("watch",) in ALL else "spendguard status"),
        ("serve", "spendguard up --foreground"),
        ("topup", "spendguard budget topup"),
        ("init", "spendguard up"),
        ("login", "spendguard provider set-key"),
        ("freeze", "spendguard agent freeze"),
        ("agent topup", "spendguard budget topup"),
        ("help", "spendguard --help"),
    ],
)
def test_the_command_that_was_meant_is_named(typed: str, meant: str, bare: Quick) -> None:
    ran = bare.run(*typed.split())
    error, remedy = ran.err.splitlines()
    assert (ran.code, ran.out) == (2, "")
    assert error == f"error: No such command: {typed.rsplit(maxsplit=1)[-1]!r}; did you mean {meant}?"
    assert bare.run(*remedy.removeprefix("try: spendguard ").split(), *["--help"]).code == 0


def test_every_word_of_another_tool_leads_to_a_command(bare: Quick) -> None:
    for word, meant in ELSEWHERE.items():
        assert (word,) not in ALL, "it is a command of ours"
        if meant != "watch" and not meant.startswith("--"):
            assert tuple(meant.split(" --")[0].split()) in ALL


def test_a_word_like_no_command_is_only_refused(bare: Quick) -> None:
    ran = bare.run("xyzzy\x1b[2J\u202e")
    assert (ran.code, ran.err) == (2, "error: No such command: 'xyzzy[2J'\ntry: spendguard --help\n")


def test_an_option_that_was_meant_is_named(bare: Quick) -> None:
    ran = bare.run("budget", "set", "--limt", "5")
    assert ran.err.splitlines()[0] == "error: No such option: --limt; did you mean --limit?"
    assert ran.code == 2


# -- errors as JSON -------------------------------------------------------------------------------------


def refused(ran: Ran) -> Any:
    """Return the error of a command that failed with `--json`: the one line of stderr."""
    assert (ran.out, ran.err.count("\n")) == ("", 1)
    assert ran.err.isascii()
    built = json.loads(ran.err)
    assert ran.err == json.dumps(built, sort_keys=True) + "\n"
    assert built["error"]["exit"] == ran.code
    return built["error"]


def test_errors_are_json_where_json_is_asked_for(served: Quick) -> None:
    error = refused(served.run("agent", "get", "no-süch", "--json"))
    assert (error["code"], error["exit"]) == ("agent_not_found", 4)
    assert error["detail"].startswith("Agent not found: 'no-süch'")
    assert error["remedy"] == "spendguard agent list"
    assert refused(served.run("--json", "budget", "set", "--limt", "5"))["code"] == "usage"
    assert refused(served.run("agent", "--json"))["code"] == "usage"
    assert refused(served.run("buget", "--json"))["remedy"] == "spendguard budget --help"
    assert refused(served.run("budget", "set", "--json", "--agent", "x", "--limit", "1.5"))["exit"] == 2


def test_facts_of_a_refusal_stand_beside_it_and_never_hide_it(served: Quick) -> None:
    ids = [served.agent("same"), served.agent("same")]
    error = refused(served.run("agent", "get", "same", "--json"))
    assert error["code"] == "ambiguous_name"
    assert sorted(error["agent_ids"]) == sorted(ids)


def test_without_a_sidecar_the_error_is_json_too(bare: Quick) -> None:
    error = refused(bare.run("agent", "list", "--json", SPENDGUARD_EXEC="", CAP_MODE="hosted"))
    assert (error["code"], error["remedy"]) == ("usage", "set CAP_BASE_URL, or pass --base-url")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("status --json", True),
        ("--json status", True),
        ("agent get x --json", True),
        ("agent get x -- --json", False),
        ("exec --limit 5 prog --json", False),
        ("exec --limit 5 --json prog", True),
        ("exec --limit 5 -- prog --json", False),
        ("--home --json status", False),
        ("agent create --name=--json", False),
        ("buget --json", True),
        ("", False),
    ],
)
def test_json_is_asked_for_by_words_of_ours_alone(words: str, expected: bool) -> None:
    assert is_json_asked(ROOT, words.split()) is expected
