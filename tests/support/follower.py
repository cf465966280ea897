"""Somebody who follows a page word by word on a clean machine: types each command, runs each program.

The machine is a home folder that is empty, a checkout, and providers on loopback. What stands for what is
said in `FILLED` and `PROGRAMS`; what cannot be done here, or is done by another test, in `LEFT`, each with
its reason. Anything else that a page tells to type is typed, and must succeed.
"""

import contextlib
import json
import re
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import typer

from pages import ROOT, Block
from peers import peer
from recorded import Act, Received, RecordedUpstream, Reply
from scripted import ScriptedProvider
from shell import Quick, Ran, Shell
from spendguard_cli.app import app
from typist import Typist

FILLED: Mapping[str, str] = {
    "http://127.0.0.1:8787": "http://127.0.0.1:{port}",  # 8787 may be somebody's on the machine of the tests
    "<agent id>": "{agent_id}",
    "<call id>": "{call_id}",
    "8c1f0a77d2b94e10": "{key_id}",
    "/mnt/backups": "{folder}",
    "172.17.0.1": "127.0.0.2",  # an address of every machine, in place of Docker's bridge
    "spendguard ledger restore": "spendguard ledger restore --yes",  # as a person answers at a terminal
}
"""What a page writes, and what its reader puts there."""

ANSWERED: Mapping[str, str] = {
    "spendguard provider set-key": "sk-0123456789abcdef0123456789abcdef",
}
"""What is typed when a command asks."""

BEFORE: Mapping[str, tuple[str, ...]] = {
    "references/agent-keys.md": (
        "spendguard agent create --name my-agent",
        "spendguard budget set --agent my-agent --limit 5000",
        "export SPENDGUARD_AGENT_KEY=$(spendguard agent key my-agent | sed -n 's/^key=//p')",
    ),
    "references/error-playbook.md": (
        "spendguard agent create --name my-agent",
        "spendguard budget set --agent my-agent --limit 5000",
        "spendguard provider set-key openai",
        "spendguard exec --agent my-agent -- python my_script.py",
    ),
}
"""What the reader of a page has done before, where the page does not say it."""

EXITS: Mapping[str, tuple[int, ...]] = {
    "spendguard doctor 402": (0, 1),  # 1 where the refusal would come again
    "spendguard doctor 409": (0, 1),
    "spendguard doctor 400": (0, 1),
    "spendguard doctor signature": (0, 1),
}
"""Commands that may end with another code than 0, by how they begin."""

OTHERS = ("XDG_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "XAI_", "GROK_", "CLAUDE_", "CODEX_")
"""Variables that a clean machine lacks, by how they begin."""

_PLAIN = re.compile(r"spendguard (?!up|down|restart|exec|completions)[^|&;$`~*?\\\\]+")
"""What a shell passes on word for word, and what neither starts nor ends anything."""

_OPENAI = """\
import json, os, urllib.request

request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions",
    json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}).encode(),
    {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"},
)
print(json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"])
"""
_CURL = """\
#!/bin/sh
exec curl -sSf "{url}" -H "content-type: application/json" -H "{header}" -H "{key}" -d '{body}'
"""
_CLAUDE = _CURL.format(
    url="$ANTHROPIC_BASE_URL/v1/messages?beta=true",
    header="${ANTHROPIC_CUSTOM_HEADERS:-accept: */*}",
    key="x-api-key: ${ANTHROPIC_API_KEY:-$ANTHROPIC_AUTH_TOKEN}",
    body='{"model": "claude-haiku-4-5", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi."}]}',
)
_CODEX = _CURL.format(
    url="$OPENAI_BASE_URL/responses",
    header="accept: */*",
    key="authorization: Bearer $OPENAI_API_KEY",
    body='{"model": "gpt-5.5", "max_output_tokens": 1000, "input": "Hello."}',
)
PROGRAMS: Mapping[str, str] = {"my_script.py": _OPENAI, "bin/claude": _CLAUDE, "bin/codex": _CODEX}
"""What stands for programs that are not ours: each makes one call; `tests/agents` runs the real ones."""

LEFT: Mapping[str, str] = {
    "python3 -m venv .venv && .venv/bin/pip": "installs from the network; .ci/run types both commands",
    "spendguard pricing sign": "needs a content file of one's own: tests/cli/test_pricing_authority.py",
    "spendguard pricing diff": "the same",
    "spendguard pricing serve": "serves until it is stopped: tests/cli/test_pricing_serve.py",
    "spendguard pricing keygen": "goes with sign",
    "spendguard pricing verify": "goes with sign",
    "spendguard pricing trust add": "goes with sign",
    "spendguard pricing recompute": "goes with sign",
}
"""Commands that are not typed, by how they begin, and why; ours must parse all the same."""

ELSEWHERE: Mapping[str, str] = {
    "run: ": "tests/e2e/test_python_clients.py",
    "file: ": "the same",
    "node: ": "tests/node and tests/agents, with Node",
    "node file: ": "the same",
}
"""Blocks that another test runs as they stand, by the comment above them."""


def is_left(command: str) -> bool:
    """Tell whether a command is not typed."""
    return command.startswith(tuple(LEFT))


class Follower:
    """One reader of one page, from an empty home to its last line.

    `quickly`: a command that needs no shell, while a sidecar is up for it, is given none.
    """

    def __init__(self, folder: Path, upstream: RecordedUpstream, *, quickly: bool):
        self.folder, self.quickly = folder, quickly
        user, checkout = folder / "user", folder / "checkout"
        for made in (user, checkout / "bin"):
            made.mkdir(parents=True)
        for name, text in PROGRAMS.items():
            (checkout / name).write_text(text, encoding="utf-8")
            (checkout / name).chmod(0o755)
        (checkout / "scripts").symlink_to(ROOT / "scripts")
        (checkout / ".venv").symlink_to(sys.prefix)
        self.port = _free_port()
        roots = {"OPENAI": "/v1", "GROK": "/v1", "ANTHROPIC": "", "GEMINI": ""}
        origin = upstream.base_url.removesuffix("/v1")
        env = {f"SPENDGUARD_{name}_BASE_URL": origin + root for name, root in roots.items()}
        env |= {"HOME": str(user), "SPENDGUARD_DAEMON_PORT": str(self.port), "NO_PROXY": "127.0.0.1"}
        env["SHELL"] = "/bin/bash"
        self.shell = Shell(user / ".spendguard", **env)
        self.quick = Quick(user / ".spendguard")
        self.typist = Typist(self.shell, checkout, slow=not quickly)
        self.typist.env["PATH"] = f"{checkout / 'bin'}:{self.typist.env['PATH']}"
        for name in list(self.typist.env):
            if name == "SPENDGUARD_HOME" or name.startswith(OTHERS):  # ~/.spendguard, as the pages have it
                del self.typist.env[name]
        assert self.typist.env["HOME"] == str(user)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shell.end()

    def follow(self, block: Block) -> None:
        """Type what a block tells to type; what the page shows below a command must be its answer."""
        for line in block.commands:
            command = line.partition("  #")[0].strip()
            if is_left(command):
                continue
            ran = self.type(command)
            shown = block.answer(line)
            assert shown is None or ran.out.strip() == shown.strip(), (command, ran)

    def type(self, command: str) -> Ran:
        """Type one command, with what the reader puts into it."""
        said = next((text for begins, text in ANSWERED.items() if command.startswith(begins)), "")
        filled, stdin = self.filled(command), f"{said}\n" if said else ""
        if self.quickly and _PLAIN.fullmatch(command) and self._is_up():
            ran = self._in_process(filled, stdin)
        else:
            ran = self.typist.type(filled, stdin)
        allowed = next((codes for begins, codes in EXITS.items() if command.startswith(begins)), (0,))
        assert ran.code in allowed, (command, ran)
        return ran

    def _is_up(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _in_process(self, command: str, stdin: str) -> Ran:
        """Do what a shell does with a command that it passes on word for word, without two processes."""
        quick = Quick(self.shell.home)
        quick.env = self.typist.env
        with contextlib.chdir(self.typist.folder):
            return quick.run(*shlex.split(command)[1:], stdin=stdin)

    def run(self, program: str) -> Ran:
        """Run a program of a page as a file; the public client lies apart (`tests/peers.txt`)."""
        (self.typist.folder / "program.py").write_text(self.filled(program), encoding="utf-8")
        beside = peer("cynsta-spendguard", "0.2.0") if "spendguard_sdk" in program else ""
        ran = self.typist.type(f'PYTHONPATH="{beside}:$PYTHONPATH" python program.py')
        assert ran.code == 0, ran
        return ran

    def filled(self, text: str) -> str:
        """Put in what the reader of a page puts in."""
        for written, meant in FILLED.items():
            if written in text:
                text = text.replace(written, meant.replace(meant, self._meant(meant)))
        return text

    def _meant(self, meant: str) -> str:
        if meant == "{agent_id}":
            return str(self._agents()[0]["agent_id"])
        if meant == "{call_id}":
            return next(str(call["call_id"]) for call in self._calls() if call["ended_at"])
        if meant == "{key_id}":
            keys = self.quick.ok("agent", "key", "my-agent", "--list", "--json").json
            return str(keys[-1]["key_id"])
        return meant.format(port=self.port, folder=self.folder)

    def _agents(self) -> list[dict[str, Any]]:
        agents: list[dict[str, Any]] = self.quick.ok("agent", "list", "--json").json
        return [agent for agent in agents if agent["name"] == "my-agent"]

    def settled_usd(self) -> Decimal:
        """Return what the agent of the page has spent."""
        return Decimal(self.quick.ok("budget", "get", "--agent", "my-agent", "--json").json["settled_usd"])

    def _calls(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self.quick.ok("agent", "get", "my-agent", "--json").json["calls"]
        return calls


@contextlib.contextmanager
def providers() -> Iterator[RecordedUpstream]:
    """All providers at one address: a list of models, and hello to everyone. What they refuse fails."""
    scripted = ScriptedProvider()

    def answer(received: Received) -> Act:
        if received.method == "GET":
            return Act(
                reply=Reply(200, {"content-type": "application/json"}, json.dumps({"data": []}).encode())
            )
        return scripted(received)

    with RecordedUpstream() as upstream:
        upstream.director = answer
        yield upstream
        assert scripted.refused == []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# -- commands that are only read ----------------------------------------------------------------------------

_MEANT = {"<provider>": "openai", "<url>": "https://models.example.com", "PROVIDER": "openai"}
_ROOT: Any = typer.main.get_command(app)
_HOLE = re.compile(r"<[a-z][^<>\n]*>")


def parse(text: str, *, whole: bool = True) -> None:
    """Read each `spendguard ...` of a line as the program does; raise AssertionError where it takes it not.

    A mention that ends with the command's own words needs no more, unless it is a `whole` command.
    """
    for hole, meant in _MEANT.items():
        text = text.replace(hole, meant)
    lexer = shlex.shlex(_HOLE.sub("1", text), posix=True, punctuation_chars="|&;")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = [*lexer, ";"]
    while words:
        end = next(i for i, word in enumerate(words) if set(word) <= set("|&;"))
        piece, words = words[:end], words[end + 1 :]
        while piece and re.match(r"[A-Z_]+=", piece[0]):
            piece = piece[1:]
        if piece and Path(piece[0]).name == "spendguard":
            _parse_one(piece[1:], text, whole=whole)


def _parse_one(words: list[str], text: str, *, whole: bool) -> None:
    command = _ROOT
    while words and getattr(command, "commands", None) and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no such command: {text}"
        command, words = command.commands[words[0]], words[1:]
    if not words and not whole:
        return
    try:
        command.make_context("spendguard", list(words))
    except typer.Exit:
        return
    except typer.TyperException as error:
        raise AssertionError(f"{text}: {error.format_message()}") from None
