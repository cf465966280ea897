"""What TAB gives: in the shells that are here, as a person types; by the protocol for the others."""

import os
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from shell import PROGRAM, Quick, Terminal
from spendguard_cli.app import app
from spendguard_cli.completing import answer, places, values
from spendguard_cli.completing.line import Word, replacement, words_of, written
from spendguard_cli.completing.scripts import FILES, SCRIPTS, SHELLS
from warm import as_line, is_cold

HERE = Path(__file__).parents[2]
ROOT = typer.main.get_command(app)
ODD = {
    "plain": "plain-agent",
    "spa": "space d agent",
    "quo": 'quo\'te "d" agent',
    "dol": "dol$HOME `id` agent",
    "sta": "sta* [x] agent",
    "ümläut": "ümläut ✓ agent",
    "semi": "semi;colon & pipe|d",
    "back": "back\\slash agent",
    "excl": "excl!am agent",
}
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--private", "-i"],
}
LOADS = {
    "bash": f"source {HERE}/completions/spendguard.bash",
    "zsh": f"autoload -Uz compinit; compinit -u -D; source {HERE}/completions/_spendguard",
    "fish": f"source {HERE}/completions/spendguard.fish",
}


@pytest.fixture(scope="module")
def agents(served: Quick) -> dict[str, str]:
    """Agents with odd names; their ids by the beginnings of those."""
    return {begin: served.agent(name, cents=500) for begin, name in ODD.items()}


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `spendguard`, this tree's."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "spendguard"
    line = shlex.join(PROGRAM) if is_cold(os.environ) else as_line()
    program.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.fixture(params=[name for name in SHELLS if shutil.which(name)])
def keyboard(
    request: pytest.FixtureRequest, served: Quick, bin_folder: Path, tmp_path: Path
) -> Iterator["Keyboard"]:
    """Each shell of this machine with our completions loaded."""
    made = Keyboard(request.param, served, bin_folder, tmp_path)
    yield made
    made.end()


class Keyboard:
    """A person at a shell on a terminal."""

    def __init__(self, name: str, served: Quick, bin_folder: Path, home: Path):
        own = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(home), "PS1": "", "COLUMNS": "400"}
        self.terminal = Terminal.of(START[name], served.env | own)
        self.times = 0
        self.terminal.type(f"{LOADS[name]}; stty cols 400; echo load''ed\r")
        self.terminal.until(b"loaded")

    def words(self, typed: str) -> list[str]:
        """Type a line that ends in TAB, and return the words that the shell makes of it."""
        self.times += 1
        head, tail = f"<{self.times}:", f":{self.times}>"
        self.terminal.type(f"{typed}\t\x01printf '<%s:' {self.times}; printf '%s\\037' \x05; printf ':%s>' ")
        self.terminal.type(f"{self.times}\r")
        self.terminal.until(tail.encode())
        said = self.terminal.said.decode().replace("\r", "").replace("\n", "")
        return said.rpartition(head)[2].partition(tail)[0].rstrip("\x1f").split("\x1f")

    def end(self) -> None:
        """Leave the shell."""
        self.terminal.type("\x15exit\r")
        self.terminal.end()


class Asking(Quick):
    """A shell that asks the program as the scripts do, in this process."""

    def ask(self, *words: str, shell: str = "zsh", line: str = "", word: str = "") -> list[str]:
        """Return the lines of the answer."""
        env = self.env | {answer.ASKED: shell, answer.LINE: line, answer.WORD: word}
        return answer._lines(ROOT, words, env)

    def values(self, *words: str, shell: str = "zsh") -> list[str]:
        """Return what may be typed."""
        kind, *lines = self.ask(*words, shell=shell)
        assert kind == "words"
        return [line.partition("\t")[0] for line in lines]


@pytest.fixture(scope="module")
def asking(served: Quick, agents: dict[str, str]) -> Asking:
    return Asking(served.home)


# -- in the shells themselves ---------------------------------------------------------------------------


def test_a_shell_completes_commands_options_and_values(keyboard: Keyboard) -> None:
    assert keyboard.words("spendguard bud") == ["spendguard", "budget"]
    assert keyboard.words("spendguard agent unf") == ["spendguard", "agent", "unfreeze"]
    assert keyboard.words("spendguard budget set --top") == ["spendguard", "budget", "set", "--topup"]
    assert keyboard.words("spendguard agent create --concurrency sh")[-1] == "shared"
    assert keyboard.words("spendguard agent create --concurrency=ex")[-1] == "--concurrency=exclusive"
    assert keyboard.words("spendguard pricing show openai:gpt-4.1-na")[-1].startswith("openai:gpt-4.1-nano")


def test_a_shell_completes_odd_names_to_one_word(keyboard: Keyboard, agents: dict[str, str]) -> None:
    for begin in ("quo", "dol", "semi"):
        assert keyboard.words(f"spendguard agent get {begin}") == ["spendguard", "agent", "get", ODD[begin]]
    assert keyboard.words("spendguard budget get --agent 'space ")[-1] == "space d agent"
    assert keyboard.words('spendguard budget get "dol')[-1] == ODD["dol"]
    assert keyboard.words("spendguard budget get space\\ d")[-1] == "space d agent"
    assert keyboard.words(f"spendguard agent get {agents['plain'][:13]}")[-1] == agents["plain"]


def test_a_shell_completes_files_where_files_are_meant(keyboard: Keyboard, tmp_path: Path) -> None:
    (tmp_path / "ledger-copy").mkdir()
    assert keyboard.words(f"spendguard ledger verify {tmp_path}/ledg")[-1].rstrip("/") == (
        f"{tmp_path}/ledger-copy"
    )


# -- by the protocol ------------------------------------------------------------------------------------


def test_agents_are_offered_by_name_and_by_id_where_one_is_begun(
    asking: Asking, agents: dict[str, str]
) -> None:
    assert set(asking.values("agent", "get", "")) == set(ODD.values())
    assert asking.values("budget", "set", "--limit", "5", "--agent", "pl") == ["plain-agent"]
    assert asking.values("agent", "freeze", agents["semi"][:20]) == [agents["semi"]]
    assert asking.values("agent", "get", "--agent=pl") == ["--agent=plain-agent"]
    assert asking.values("agent", "rename", "plain-agent", "") == []
    assert asking.values("agent", "get", "--agent", "plain-agent", "") == []


def test_agents_of_one_name_are_offered_by_id(asking: Asking, served: Quick) -> None:
    twins = {served.agent("twin"), served.agent("twin")}
    offered = set(asking.values("agent", "get", ""))
    assert "twin" not in offered
    served.ok("agent", "create", "--name=-dash")
    assert "-dash" not in asking.values("agent", "get", "")
    assert all(asking.values("agent", "get", agent_id[:20]) == [agent_id] for agent_id in twins)
    for agent_id in twins:
        served.ok("agent", "delete", agent_id, "--yes")


def test_runs_calls_keys_and_models_come_from_the_sidecar(asking: Asking, served: Quick) -> None:
    agent_id = served.agent("caller", cents=500)
    call_id = served.call(agent_id).headers["x-spendguard-call-id"]
    served.ok("run", "create", "caller", "--run-id", "nightly:1")
    key_id = served.ok("agent", "key", "caller", "--label", "ci").keys["key_id"]
    assert asking.values("run", "create", "caller", "--run-id", "night") == ["nightly:1"]
    assert asking.values("explain", call_id[:8]) == [call_id]
    assert asking.values("budget", "adjust", "--call", "") == [call_id]
    assert asking.values("agent", "key", "caller", "--revoke", "") == [key_id]
    assert "mock:mock-small" in asking.values("pricing", "show", "mock")
    assert asking.ask("explain", call_id[:8])[1].startswith(f"{call_id}\tsettled mock-small ")


def test_what_is_known_without_a_sidecar_is_offered_without_one(bare: Quick) -> None:
    asking = Asking(bare.home)
    assert asking.values("provider", "set-key", "") == ["openai", "grok", "anthropic", "gemini"]
    assert asking.values("config", "set", "daemon.p") == ["daemon.port"]
    assert asking.values("config", "set", "providers.op") == ["providers.openai.base_url"]
    assert "openai:gpt-4.1-nano" in asking.values("pricing", "show", "")
    assert "prices" in asking.values("doctor", "--check", "") or asking.values("doctor", "--check", "") == []
    assert asking.values("doctor", "40") == ["402", "409", "400"]
    assert asking.values("agent", "get", "") == []
    assert asking.values("no-such", "") == []
    assert asking.values("budget", "set", "--no-such=") == []
    assert not bare.home.exists()


def test_options_typed_already_are_not_offered_again_and_hidden_never(asking: Asking) -> None:
    assert "--limit" not in asking.values("budget", "set", "--limit", "5", "--")
    assert "--allow" in asking.values("agent", "set", "--allow", "x", "--")
    assert "-f" in asking.values("logs", "-")
    assert asking.ask("exec", "--agent", "plain-agent", "--", "")[0] == "files"
    assert asking.ask("exec", "prog", "--lim")[0] == "files"
    assert asking.ask("ledger", "export", "--output", "")[0] == "files"


def test_a_hanging_sidecar_is_waited_for_a_second_and_nothing_is_said(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setitem(values.LIVE, values.Kind.AGENTS, lambda *_: time.sleep(60) or [])
    monkeypatch.setitem(values.LIVE, values.Kind.MODELS, lambda *_: time.sleep(60) or [])
    assert asking.values("agent", "get", "") == []
    assert "openai:gpt-4.1-nano" in asking.values("pricing", "show", "openai:")


def test_no_candidate_can_steer_a_terminal(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = [("a\x1b[2Jb", ""), ("a\nb", ""), ("a\u202eb", ""), ("good", "text \x1b]8;;x\x07\u2066 end")]
    monkeypatch.setitem(values.LIVE, values.Kind.AGENTS, lambda *_: bad)
    assert asking.ask("agent", "get", "") == ["words", "good\ttext ]8;;x end"]


@pytest.mark.parametrize("words", [("",), ("budget", "set", "--"), ("config", "set", "")])
def test_httpx_is_loaded_only_for_names_of_the_sidecar(words: tuple[str, ...], served: Quick) -> None:
    code = (
        "import os, sys; from spendguard_cli import app\n"
        "try: app.main()\nexcept SystemExit: pass\n"
        "sys.stderr.write(' '.join({'httpx', 'rich'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=served.env | {answer.ASKED: "fish"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ran.stderr, ran.stdout.partition("\n")[0]) == ("", "words")


# -- bash's line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("spendguard agent get ", ["spendguard", "agent", "get", ""]),
        ("a 'b c", ["a", "b c"]),
        ('a "b\\" \\c', ["a", 'b" \\c']),
        ("a b\\ c", ["a", "b c"]),
        ("ls; spendguard up", ["spendguard", "up"]),
        ("x | spendguard 'a;b' c", ["spendguard", "a;b", "c"]),
        ("a ''", ["a", ""]),
        ("a \\", ["a", ""]),
        ("", [""]),
    ],
)
def test_a_line_is_read_as_bash_reads_it(line: str, expected: list[str]) -> None:
    assert [word.text for word in words_of(line)] == expected


@pytest.mark.parametrize("name", ODD.values())
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_what_is_written_reads_back_as_itself(name: str, quote: str) -> None:
    assert words_of(f"x {quote}{written(name, quote)}{quote}")[-1].text == name


def test_only_the_part_that_bash_replaces_is_written() -> None:
    assert replacement("openai:gpt", Word("openai:g", "openai:g"), "g") == "gpt"
    assert replacement("--agent=a b", Word("--agent=", "--agent="), "") == "a\\ b"
    assert replacement("a b", Word('"a', "a", '"'), "a") == "a b"


# -- files and installation -----------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_the_files_of_the_repository_are_what_show_prints(shell: str, bare: Quick) -> None:
    shown = bare.ok("completions", "show", shell).out
    assert (HERE / "completions" / FILES[shell]).read_text(encoding="utf-8") == shown == SCRIPTS[shell]
    assert bare.ok("completions", "show", shell, "--json").json == {"script": shown, "shell": shell}


def test_the_wheel_brings_them_where_shells_look() -> None:
    target = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert target["shared-data"] == {
        "completions/spendguard.bash": "share/bash-completion/completions/spendguard",
        "completions/_spendguard": "share/zsh/site-functions/_spendguard",
        "completions/spendguard.fish": "share/fish/vendor_completions.d/spendguard.fish",
    }
    assert all((HERE / source).is_file() for source in target["shared-data"])


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".local/share/bash-completion/completions/spendguard"),
        ("zsh", ".zfunc/_spendguard"),
        ("fish", ".config/fish/completions/spendguard.fish"),
    ],
)
def test_install_writes_once_and_says_what_to_type(
    shell: str, place: str, bare: Quick, tmp_path: Path
) -> None:
    home = tmp_path / "a home"
    env = {"HOME": str(home), "SHELL": f"/usr/bin/{shell}", "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
    env |= {"ZDOTDIR": "", "BASH_COMPLETION_USER_DIR": ""}
    first = bare.ok("completions", "install", "--json", **env).json
    assert (first["shell"], first["path"], first["changed"]) == (shell, str(home / place), True)
    assert (home / place).read_text(encoding="utf-8") == SCRIPTS[shell]
    assert first["next"][-1] in (f"exec {shell}", f"source '{home / place}'")
    assert bare.ok("completions", "install", shell, "--json", **env).json == first | {"changed": False}
    assert {path.name for path in home.iterdir()} == {place.partition("/")[0]}, (
        "the user's own are not touched"
    )
    (home / place).write_text(f"# {places.MARK}: an older one\n")
    assert bare.ok("completions", "install", shell, **env).keys["changed"] == "true"


def test_install_touches_no_file_that_is_not_ours(bare: Quick, tmp_path: Path) -> None:
    foreign = tmp_path / "bashrc"
    foreign.write_text("alias x=y\n")
    ran = bare.run("completions", "install", "bash", "--path", str(foreign))
    assert (ran.code, foreign.read_text()) == (2, "alias x=y\n")
    ran = bare.run("completions", "install", SHELL="/bin/tcsh")
    assert (ran.code, "'tcsh'" in ran.err) == (2, True)
    assert bare.run("completions", "install", SHELL="").code == 2
    rc = tmp_path / ".zshrc"
    env = {"HOME": str(tmp_path), "ZDOTDIR": ""}
    assert len(bare.ok("completions", "install", "zsh", "--json", **env).json["next"]) == 2
    rc.write_text("fpath=(~/.zfunc $fpath)\n")
    assert bare.ok("completions", "install", "zsh", "--json", **env).json["next"] == ["exec zsh"]
    ran = bare.ok("completions", "install", "bash", "--path", str(tmp_path / "x y"), "--json")
    assert ran.json["next"] == [f"source '{tmp_path}/x y'"]
