"""No text from outside steers a terminal, whichever command prints it: on a terminal, on a pipe, as JSON.

One real sidecar with a provider that answers in hostile words. Its agents, keys, calls, log, files and
settings are named as badly as they can be; then every command is typed, with hostile words wherever one of
its own goes, and all that there is to be read is read.
"""

import contextlib
import io
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
import typer

from shell import PROGRAM, Quick, Ran, Shell, Terminal, finish
from spendguard_cli.app import _outcome, app
from spendguard_daemon.text import is_safe

SHORT = (
    "w\x1b[2J\x1b]8;;http://x/\x07y\x1b]52;c;Zm9v\x07\x9b31m\x90q\x9c\u202eb\u2066c\u200bd\u2028e\x00\x7f\x08"
    "[bold]f[/bold][link=http://x]g[/link][/nothing]\r\nerror=forged\ttab'\"\\$(id)"
)
LONG = SHORT.replace("\x00", "") + "h" * 5_000
MARKUP = "[bold red]loud[/bold red] [link=http://x]here[/link] [/none] \\[x] :smile:"
SGR = re.compile(r"\x1b\[[0-9;]*m")
OURS = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|2K|1A)|\r(?=\x1b\[)|\r(?=\n)")
"""What a terminal gets of us: colours, and the moves of a progress bar. None of it is in the words above."""

ROOT = typer.main.get_command(app)
UNTYPED = {"demo", "exec"}
"""`demo` takes no words; `exec` starts a program, so it is typed in processes of its own below."""

SHARED = {"json", "home", "base_url", "api_key", "no_spawn"}
TYPED = SHORT.replace("\x00", "")
"""What a command line can hold."""


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Scene:
    """The sidecar, and what was made in it."""

    shell: Quick
    agent_id: str
    refused_id: str
    failed_id: str

    def run(self, form: str, *words: str, stdin: str = "", **env: str) -> Ran:
        """Run a command in one of the three forms, and hold what it says against the rule."""
        if form == "json":
            words = ("--json", *words)
        stream = Tty if form == "terminal" else io.StringIO
        out, err = stream(), stream()
        with (
            mock.patch.dict(os.environ, self.shell.env | {"TERM": "xterm-256color", "COLUMNS": "200"} | env),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = int(_outcome(list(words)))
        ran = Ran(code, out.getvalue(), err.getvalue())
        check(ran.out, form, words)
        check(ran.err, form, words)
        assert "internal" not in ran.err
        return ran


def check(said: str, form: str, words: Any) -> None:
    """Fail where something was said that does not print as itself."""
    shown = OURS.sub("", said) if form == "terminal" else said
    bad = sorted({character for character in shown if character != "\n" and not is_safe(character)})
    assert not bad, (words, bad, said)
    assert "\nerror=forged" not in said
    if form == "json":
        assert said.isascii()


@contextlib.contextmanager
def hostile_provider() -> Iterator[str]:
    """A provider whose every answer is hostile; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.dumps({"error": {"message": SHORT, "type": SHORT, "code": SHORT, "param": SHORT}})
            self.send_response(500 if "fail" in self.path else 429, "\x9b2J [bold]no[/bold]")
            self.send_header("content-type", "application/json")
            self.send_header("x-request-id", "\x9b2J[bold]")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST  # noqa: N815 - the name http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A sidecar in which whatever can be named badly is."""
    with hostile_provider() as url:
        shell = Quick(tmp_path_factory.mktemp("hostile") / "home")
        shell.env |= {"OPENAI_API_KEY": "sk-test-of-words"}
        assert finish(shell.start("config", "set", "providers.openai.base_url", url)).code == 0
        assert finish(shell.start("up")).code == 0
        try:
            yield _made(shell)
        finally:
            shell.end()


def _made(shell: Quick) -> Scene:
    agent_id = shell.agent(MARKUP, cents=500, mock=False)
    for name in ("[", "x" * 200, "ünï [/red] 漢字", "[bold]" * 30):
        shell.agent(name, cents=5)
    port = shell.daemon()["port"]
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    body = {"model": "gpt-4.1-nano", "messages": [{"role": "user", "content": SHORT}], "max_tokens": 5}
    headers = {"x-cynsta-agent-id": agent_id}
    failed = httpx.post(url, json=body, headers=headers, trust_env=False)
    refused = httpx.post(url, json=body | {"model": SHORT}, headers=headers, trust_env=False)
    for extra in ({SHORT: 1}, {"messages": SHORT}, {"model": f"openai:{SHORT}"}, {"service_tier": SHORT}):
        httpx.post(url, json=body | extra, headers=headers, trust_env=False)
    raw = headers | {"x-request-id": "[bold]", "user-agent": MARKUP}
    httpx.post(url, json=body, headers=raw, trust_env=False)
    hostile = [(b"x-cynsta-agent-id", b"\x9b2J"), (b"x-cynsta-run-id", b"\x9b2J")]
    for name, value in hostile:
        httpx.post(url, json=body, headers=[*headers.items(), (name, value)], trust_env=False)
    httpx.post(url, content=SHORT.encode(), headers=headers, trust_env=False)
    token = (shell.home / "admin.token").read_text().strip()
    control = {"authorization": f"Bearer {token}"}
    base = f"http://127.0.0.1:{port}/v1/agents/{agent_id}"
    httpx.post(f"{base}/keys", json={"label": MARKUP}, headers=control, trust_env=False)
    httpx.post(f"{base}/runs", json={"run_id": "run:[bold]"}, headers=control, trust_env=False)
    httpx.patch(base, json={"frozen": True, "reason": SHORT}, headers=control, trust_env=False)
    httpx.patch(base, json={"frozen": True, "reason": MARKUP}, headers=control, trust_env=False)
    log = next((shell.home / "logs").glob("*.log")) if (shell.home / "logs").exists() else None
    log = log or next(shell.home.rglob("*.log"))
    with log.open("a", encoding="utf-8") as lines:
        for line in (SHORT, json.dumps({"event": SHORT, SHORT: SHORT, "level": MARKUP, "n": [SHORT]})):
            lines.write(line.replace("\n", " ").replace("\r", " ") + "\n")
        lines.write(json.dumps({"at": SHORT, "event": LONG}) + "\n")
    return Scene(
        shell,
        agent_id,
        refused.headers.get("x-spendguard-call-id", "x"),
        failed.headers.get("x-spendguard-call-id", "x"),
    )


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from _leaves(child, (*path, name))
    if not getattr(command, "commands", None):
        yield path, command


LEAVES = {path: command for path, command in _leaves(ROOT) if path[0] not in UNTYPED}
FORMS = ("terminal", "pipe", "json")


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_hostile_words_typed_after_a_command_come_back_harmless(
    path: tuple[str, ...], scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its options in turn is hostile, then all its arguments are."""
    monkeypatch.chdir(tmp_path)  # whatever is written where it is told to
    monkeypatch.setitem(
        scene.shell.env, "SPENDGUARD_EXEC", "1" if path[0] in ("up", "restart", "down") else ""
    )
    params = [param for param in LEAVES[path].params if param.name not in SHARED]
    arguments = [TYPED for param in params if param.param_type_name == "argument"]
    for option in params:
        if option.param_type_name == "option" and not option.is_flag:
            scene.run("terminal", *path, option.opts[0], TYPED, *["x" for _ in arguments], stdin="n")
    if arguments:
        scene.run("terminal", *path, "--", *arguments, stdin=SHORT)
        scene.run("pipe", *path, "--", *[LONG for _ in arguments], stdin=SHORT)
        scene.run("json", *path, "--", *[f"/tmp/{word[:90]}" for word in arguments], stdin=SHORT)


READS = [
    "",
    "status",
    "agent list",
    "agent get AGENT",
    "budget get AGENT",
    "budget daemon get",
    "run list AGENT",
    "agent key AGENT --list --all",
    "provider list",
    "provider test openai",
    "pricing show",
    "pricing show gpt-4.1-nano",
    "config show",
    "logs -n 500",
    "ledger verify",
    "ledger export",
    "ledger export --by agent",
    "ledger export --format jsonl",
    "ledger export --unconfirmed",
    "watch --once",
    "watch --once --agent AGENT",
    "watch --once --at 0s",
    "watch --compact",
    "doctor",
    "doctor --agent AGENT",
    "explain REFUSED",
    "explain FAILED",
    "budget adjust --call FAILED --to 0 --reason MARKUP",
    "agent unfreeze AGENT --reason MARKUP",
    "agent freeze AGENT --reason MARKUP",
    "--help",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("line", READS)
def test_hostile_words_that_lie_there_are_read_out_harmless(line: str, form: str, scene: Scene) -> None:
    known = {"AGENT": scene.agent_id, "REFUSED": scene.refused_id, "FAILED": scene.failed_id}
    ran = scene.run(form, *({**known, "MARKUP": MARKUP}.get(word, word) for word in line.split()))
    if line in ("agent list", "agent get AGENT") and form == "pipe":
        assert "[bold red]loud[/bold red] [link=http://x]here[/link] [/none]" in ran.out
    if line == "agent get AGENT" and form == "terminal":
        assert "[bold red]loud[/bold red] [link=http://x]here[/link] [/none]" in SGR.sub("", ran.out)


@pytest.mark.parametrize("form", FORMS)
def test_hostile_surroundings_are_told_harmless(form: str, scene: Scene) -> None:
    word = TYPED
    for name in ("CAP_BASE_URL", "CAP_MODE", "CAP_API_KEY", "SPENDGUARD_DAEMON_PORT", "SPENDGUARD_HOME"):
        for line in (["status"], ["config", "show"], ["doctor"]):
            scene.run(form, *line, "--no-spawn", **{name: word})
    scene.run(form, "completions", "install", SHELL=word)
    scene.run(form, "doctor", "-", stdin=json.dumps({"detail": SHORT, "spendguard": {"code": SHORT}}))
    scene.run(form, "status", "--home", word, "--no-spawn")
    scene.run(form, "status", "--base-url", word)
    scene.run(form, "status", "--api-key", word)
    scene.run(form, word)
    scene.run(form, f"--{word}")
    scene.run(form, "agent", word)


@pytest.mark.parametrize("form", FORMS)
def test_hostile_files_are_told_harmless(form: str, scene: Scene, tmp_path: Path) -> None:
    name = TYPED.replace("/", "")[:60]
    folder = tmp_path / name
    folder.mkdir()
    document = folder / f"{name}.json"
    card = {"input_cents_per_1m": 1, SHORT: SHORT}
    for content in (
        SHORT,
        json.dumps({"schema_version": SHORT}),
        json.dumps({"schema_version": "1", "rates": {SHORT: {SHORT: card}}, "signature": SHORT, SHORT: 1}),
        json.dumps({"schema": 2, "key_id": SHORT, "models": {f"{SHORT}:{SHORT}": card}}),
    ):
        document.write_text(content, encoding="utf-8")
        for line in (
            ["verify", str(document)],
            ["diff", str(document), str(document)],
            ["sign", str(document)],
        ):
            scene.run(form, "pricing", *line, "--no-spawn")
    scene.run(form, "ledger", "verify", str(folder))
    scene.run(form, "ledger", "restore", str(folder), "--yes", "--no-spawn")
    scene.run(form, "ledger", "backup", str(folder))
    scene.run(form, "completions", "install", "bash", "--path", str(document))
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(f"[daemon]\nport = {json.dumps(SHORT)}\n[{json.dumps(SHORT)}]\nx = 1\n")
    for line in (["config", "show"], ["status"], ["doctor"], ["config", "set", "daemon.port", "5"]):
        scene.run(form, *line, "--no-spawn", "--home", str(home))
    (home / "config.toml").write_text(SHORT.replace("\x00", ""))
    (home / "secrets.toml").write_text(f"[keys]\n{json.dumps(SHORT)} = {json.dumps(SHORT)}\n")
    for line in (["config", "show"], ["doctor"], ["provider", "list"]):
        scene.run(form, *line, "--no-spawn", "--home", str(home))


def test_exec_says_hostile_words_harmless(scene: Scene) -> None:
    shell, word = Shell(scene.shell.home), TYPED
    agent_id = shell.agent(f"{MARKUP} again", cents=5)
    for words in (["--agent", agent_id], ["--agent", agent_id, "--run-id", word]):
        for flag in ([], ["--json"])[: len(words) // 2]:
            ran = shell.run("exec", *words, *flag, "--", word)
            check(ran.err + ran.out, "pipe", words)


@pytest.mark.parametrize("line", ["agent get AGENT", "agent get HOSTILE", "HOSTILE", "logs -n 500", ""])
def test_a_real_terminal_gets_colours_and_nothing_else(line: str, scene: Scene) -> None:
    known = {"AGENT": scene.agent_id, "HOSTILE": TYPED}
    words = [known.get(word, word) for word in line.split()]
    made = Terminal.of([*PROGRAM, *words], scene.shell.env)
    made.end()
    check(made.said.decode().replace("\r\n", "\n"), "terminal", line)
