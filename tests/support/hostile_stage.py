"""Where the hostile program plays: a sidecar with three other agents, a user's folder, a backup, a terminal.

`play` runs it as an operator would, and returns what it said; `Stage` has what it must not have moved.
"""

import contextlib
import fcntl
import json
import os
import pty
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from recorded import RecordedUpstream
from shell import PROGRAM, Shell
from sidecar import ANTHROPIC_KEY, GEMINI_KEY, GROK_KEY, PROVIDER_KEY, Sidecar
from until import until

PARTS = ("files", "processes", "network", "commands", "spend", "outlive", "slow")
PROGRAM_FILE = Path(__file__).with_name("hostile_program.py")
ROOT = Path(__file__).parents[2]
CHAT = {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
PROGRAM_SECONDS = 240


@dataclass(frozen=True)
class Told:
    """What the program said of one attempt."""

    attempt: str
    result: str
    evidence: str


@dataclass
class Stage:
    """A sidecar, its upstream, and the agents: the program's own, and three others."""

    sidecar: Sidecar
    upstream: RecordedUpstream
    shell: Shell
    scratch: Path
    facts: Path
    agent: str
    keyless: str
    keyed: str
    busy: str
    secrets: tuple[str, ...]
    told: dict[str, Told] = field(default_factory=dict)
    talk: str = ""

    def succeeded(self) -> set[str]:
        """Return the attempts that gained something."""
        return {told.attempt for told in self.told.values() if told.result == "succeeded"}

    def settings(self) -> Mapping[str, bytes]:
        """Return the files of the home that only an operator may change."""
        names = ("admin.token", "secrets.toml", "trust.toml", "decoy", "config.toml")
        home = self.sidecar.home.root
        return {name: (home / name).read_bytes() for name in names if (home / name).exists()}

    def records_of(self, *agents: str) -> list[Mapping[str, Any]]:
        """Return all that the ledger says of agents."""
        return [record for record in self.sidecar.journal() if record.get("agent_id") in agents]


@contextmanager
def stage(root: Path, elsewhere: Path | None = None) -> Iterator[Stage]:
    """Build it below a folder that is empty; the program's own folder may lie elsewhere."""
    user, scratch, backup = root / "user", (elsewhere or root) / "scratch", root / "backups" / "monday"
    home = user / ".spendguard"
    for folder in (user / ".local" / "bin", user / ".codex", scratch, backup.parent):
        folder.mkdir(parents=True)
    (user / ".bashrc").write_text("# the operator's\n")
    (user / ".codex" / "auth.json").write_text("{}")
    (user / "other").mkdir()
    (user / "other" / "admin.token").write_text("of another sidecar")
    home.mkdir(mode=0o700)
    (home / "decoy").write_text("decoy")
    (home / "secrets.toml").write_text('[keys]\nopenai = "sk-canary-of-the-file-0123456789"\n')
    (home / "secrets.toml").chmod(0o600)
    keys = {"OPENAI_API_KEY": PROVIDER_KEY, "ANTHROPIC_API_KEY": ANTHROPIC_KEY}
    keys |= {"XAI_API_KEY": GROK_KEY, "GEMINI_API_KEY": GEMINI_KEY}
    shell = Shell(home, HOME=str(user), **keys)
    with (
        _service(user / "service"),
        RecordedUpstream(usage=lambda body: (20, body["max_tokens"])) as upstream,
        Sidecar(home, upstream.base_url) as sidecar,
    ):
        sidecar.chat(sidecar.agent(name="past"), CHAT)
        shell.ok("ledger", "backup", str(backup))
        yield _made(root, scratch, sidecar, upstream, shell)


@contextmanager
def _service(path: Path) -> Iterator[None]:
    """A program of the same user outside `exec`: it opens what it is asked to, and tells its length."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        bound.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    asking, _ = bound.accept()
                    with asking:
                        asked = asking.makefile().readline().strip()
                        asking.sendall(f"{len(Path(asked).read_bytes())} bytes".encode())

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield
        bound.shutdown(socket.SHUT_RDWR)
        serving.join()


def _made(root: Path, scratch: Path, sidecar: Sidecar, upstream: RecordedUpstream, shell: Shell) -> Stage:
    agent, keyless, keyed, busy = (
        sidecar.agent(cents=5000, name=name, concurrency="shared")
        for name in ("own", "bare", "keyed", "busy")
    )
    key = sidecar.control("POST", f"/v1/agents/{keyed}/keys", {"label": "of another"})
    status = sidecar.control("GET", "/v1/status")
    assert sidecar.process is not None
    facts = {
        "home": str(sidecar.home.root),
        "user": str(root / "user"),
        "backup": str(root / "backups" / "monday"),
        "scratch": str(scratch),
        "code": [str(ROOT), str(ROOT / "daemon")],
        "sidecar": sidecar.process.pid,
        "port": sidecar.port,
        "agents_port": urlsplit(status["agents_url"]).port,
        "socket": status["socket"] or str(sidecar.home.socket),
        "agent": agent,
        "keyless": keyless,
        "keyed": keyed,
        "keyed_key_id": key["key_id"],
    }
    path = scratch / "facts.json"
    path.write_text(json.dumps(facts))
    secrets = (
        PROVIDER_KEY,
        ANTHROPIC_KEY,
        GEMINI_KEY,
        GROK_KEY,
        "canary-of-the-file",
        sidecar.token,
        key["key"],
    )
    return Stage(sidecar, upstream, shell, scratch, path, agent, keyless, keyed, busy, secrets)


def play(
    on: Stage,
    options: Sequence[str],
    parts: Sequence[str] = PARTS,
    *,
    meanwhile: Callable[[], None] | None = None,
) -> int:
    """Run the program by `exec`, on a terminal of its own; `meanwhile` is done while it is slow."""
    words = [
        "exec",
        "--agent",
        on.agent,
        *options,
        "--",
        sys.executable,
        str(PROGRAM_FILE),
        str(on.facts),
        *parts,
    ]
    keyboard, terminal = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [*PROGRAM, *words],
        env=on.shell.env,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=on.scratch,
        preexec_fn=own_terminal,
    )
    os.close(terminal)
    try:
        if meanwhile is not None:
            try:
                until(lambda: (on.scratch / "slow").exists() or process.poll() is not None, PROGRAM_SECONDS)
                meanwhile()
            finally:
                (on.scratch / "enough").touch()
        out, err = process.communicate(timeout=PROGRAM_SECONDS)
    finally:
        process.kill()
        os.close(keyboard)
    on.talk += out.decode() + err.decode()
    lines = [json.loads(line) for line in out.decode().splitlines() if line.startswith('{"attempt"')]
    on.told |= {line["attempt"]: Told(**line) for line in lines}
    return process.returncode
