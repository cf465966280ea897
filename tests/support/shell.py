"""The command line as a person or a script drives it: a real process on a home of its own.

Every sidecar listens on a free port, so tests run side by side; `Shell.end` leaves no process behind.
"""

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from unittest import mock

import httpx

from spendguard_cli.app import _outcome
from warm import Warm, is_cold

PROGRAM = (sys.executable, "-m", "spendguard_cli")
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Ran:
    """What a command did. `key` reads one of its `key=value` lines."""

    code: int
    out: str
    err: str

    @property
    def keys(self) -> dict[str, str]:
        """The `key=value` lines of stdout."""
        return dict(line.split("=", 1) for line in self.out.splitlines())

    @property
    def json(self) -> Any:
        """Stdout, which must be one JSON value."""
        return json.loads(self.out)


class Shell:
    """A shell with an environment that knows nothing of this machine's SpendGuard."""

    def __init__(self, home: Path, **env: str):
        self.home = home
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("SPENDGUARD_", "CAP_"))
        }
        for name in ("OPENAI_API_KEY", "XAI_API_KEY", "GROK_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
            kept.pop(name, None)
        own = {"SPENDGUARD_HOME": str(home), "SPENDGUARD_DAEMON_PORT": "0", "COLUMNS": "100"}
        self.env = kept | own | env

    def start(self, *arguments: str | bytes, **env: str) -> "Warm | subprocess.Popen[bytes]":
        """Start a command without waiting for it: warm, wherever that makes no difference."""
        if not is_cold(self.env | env):
            return Warm(arguments, self.env | env)
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            env=self.env | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str | bytes, stdin: str = "", **env: str) -> Ran:
        """Run a command to its end; a traceback is never an answer."""
        return finish(self.start(*arguments, **env), stdin)

    def ok(self, *arguments: str, stdin: str = "", **env: str) -> Ran:
        """Run a command that must succeed."""
        ran = self.run(*arguments, stdin=stdin, **env)
        assert ran.code == 0, ran
        return ran

    @property
    def quick(self) -> "Quick":
        """The same shell for commands that start nothing, without a process for each."""
        return Quick(self.home)

    def agent(self, name: str, *, cents: int | None = None, mock: bool = True) -> str:
        """Create an agent, with a budget where `cents` are given; return its id."""
        made = self.ok("agent", "create", "--name", name, *(["--mock"] if mock else []))
        agent_id = made.keys["agent_id"]
        if cents is not None:
            self.ok("budget", "set", "--agent", agent_id, "--limit", str(cents))
        return agent_id

    def call(self, agent_id: str, **fields: object) -> httpx.Response:
        """Make one mock call, as an unmodified client would."""
        body = {"model": "mock-small", "messages": [{"role": "user", "content": "hello"}], **fields}
        url = f"http://127.0.0.1:{self.daemon()['port']}/v1/chat/completions"
        headers = {"x-cynsta-agent-id": agent_id}
        return httpx.post(url, json=body, headers=headers, trust_env=False, verify=False)

    def daemon(self) -> Mapping[str, Any]:
        """What the last daemon of this home wrote of itself."""
        found: Mapping[str, Any] = json.loads((self.home / "run" / "daemon.json").read_text())
        return found

    def crash(self) -> None:
        """End the daemon as a power cut would."""
        os.kill(self.daemon()["pid"], signal.SIGKILL)

    def end(self) -> None:
        """Leave no sidecar behind."""
        if self.home.exists():
            self.quick.run("down", "--now")


class Quick(Shell):
    """The same, in this process: for the many commands of which only what they say is in question.

    Its sidecar must be up already; `start` still makes a process.
    """

    def run(self, *arguments: str | bytes, stdin: str = "", **env: str) -> Ran:
        """Run a command to its end; an exception other than an exit fails the test."""
        words = [word.decode() if isinstance(word, bytes) else word for word in arguments]
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.env | env, clear=True),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = _outcome(words)
        return Ran(int(code), out.getvalue(), err.getvalue())


class Terminal:
    """A command on a terminal of its own, as a person has it before them."""

    def __init__(self, shell: Shell, *arguments: str):
        self._open([*PROGRAM, *arguments], shell.env)

    @classmethod
    def of(cls, command: Sequence[str], env: Mapping[str, str]) -> Self:
        """Run any command on a terminal that it leads, as a login has it: a shell with its jobs."""
        made = cls.__new__(cls)
        made._open(command, env)
        return made

    def _open(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a command in a session of its own, so that the terminal's keys reach it."""
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            env={**env, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.said = b""

    def until(self, text: bytes) -> None:
        """Read until `text` was said; fail at the end of what is said."""
        while text not in self.said:
            assert self._read(), self.said

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait(PATIENCE_SECONDS)

    def hang_up(self) -> int:
        """Close the terminal, as when its window is closed; return the exit code."""
        os.close(self._master)
        return self.process.wait(PATIENCE_SECONDS)

    def _read(self) -> bytes:
        ready, _, _ = select.select([self._master], [], [], PATIENCE_SECONDS)
        assert ready, f"nothing more came after: {self.said!r}"
        try:
            chunk = os.read(self._master, 4096)
        except OSError:  # how Linux says that nobody holds the other end any more
            return b""
        self.said += chunk
        return chunk


def finish(process: "Warm | subprocess.Popen[bytes]", stdin: str = "") -> Ran:
    """Wait for a command's end."""
    out, err = process.communicate(stdin.encode(), PATIENCE_SECONDS)
    said = "".join(line for line in (err or b"").decode().splitlines(keepends=True) if not _is_patience(line))
    ran = Ran(process.returncode, (out or b"").decode(), said)
    assert "Traceback" not in ran.err, ran.err
    assert "error: internal:" not in ran.err, ran.err
    return ran


def _is_patience(line: str) -> bool:
    """Tell whether a line is there only because the machine is slow: a command's word after two seconds."""
    return line.startswith("waiting for the sidecar (pid ")
