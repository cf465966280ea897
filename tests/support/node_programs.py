"""Programs of npm in a clean place: a home and an environment that know nothing of this machine.

Nothing but loopback may be reached: every proxy variable names a `DeadEnd`, a proxy on loopback that notes
what it was asked for and refuses it. A program that heeds no proxy would not be noticed.
"""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from routing_page import Block

FOLDER = Path(os.environ.get("SPENDGUARD_CLIENTS") or Path(__file__).parents[1] / "node")
PACKAGES = FOLDER / "node_modules"
INSTALL = "`npm install` in tests/node installs them, as `.ci/run --clients` does"

HANGS_SECONDS = 120
"""No refusal keeps a program for a minute; what runs for two is ended, and has failed."""

_HEAD_BYTES = 4_096
_REFUSED = b"HTTP/1.1 502 Nothing beyond\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program did. `beyond` are the addresses off this machine that it asked for."""

    code: int
    out: str
    err: str
    seconds: float
    beyond: tuple[str, ...]


class DeadEnd:
    """A proxy that leads nowhere; `asked` are the first lines of what came."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, name="dead end", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(5)
                try:
                    self.asked.append(peer.recv(_HEAD_BYTES).split(b"\r\n")[0].decode("latin-1"))
                    peer.sendall(_REFUSED)
                except OSError:
                    self.asked.append("a connection that broke")


class Place:
    """A home with a working folder in it; `variables` are put into the environment of what runs there."""

    def __init__(self, home: Path, dead_end: DeadEnd, variables: Mapping[str, str]) -> None:
        self.home = home
        self.work = home / "work"
        self._dead_end = dead_end
        for folder in (self.work, home / "tmp"):
            folder.mkdir(parents=True)
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), dead_end.url)
        proxies["NO_PROXY"] = "127.0.0.1,localhost"
        own = {"HOME": str(home), "TMPDIR": str(home / "tmp"), "LANG": "C.UTF-8", "TERM": "dumb"}
        own["PATH"] = f"{PACKAGES / '.bin'}{os.pathsep}{os.environ['PATH']}"
        lower = {name.lower(): value for name, value in proxies.items()}
        self._environment = own | proxies | lower | dict(variables)

    def put(self, name: str, text: str) -> None:
        """Write a file of the home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, block: Block, base: str, agent_id: str) -> Ended:
        """Run a block of the page as its user would: commands in a shell, a program with Node.

        Raises AssertionError where the packages are missing, or the program does not end.
        """
        assert PACKAGES.is_dir(), f"no packages in {PACKAGES}: {INSTALL}"
        text = block.at(base, agent_id)
        if block.language == "sh":
            return self._run("sh", "-ec", text)
        modules = self.work / "node_modules"
        if not modules.exists():
            modules.symlink_to(PACKAGES)
        self.put("work/block.mjs", text)
        return self._run("node", "block.mjs")

    def execute(self, *command: str, **variables: str) -> Ended:
        """Run a command in the working folder, with more in its environment."""
        assert PACKAGES.is_dir(), f"no packages in {PACKAGES}: {INSTALL}"
        return self._run(*command, **variables)

    def _run(self, *command: str, **variables: str) -> Ended:
        asked, started = len(self._dead_end.asked), time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=self.work,
            env=self._environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=HANGS_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"{command} did not end: {out.decode()}\n{err.decode()}") from None
        took, beyond = time.monotonic() - started, tuple(self._dead_end.asked[asked:])
        return Ended(process.returncode, _plain(out), _plain(err), took, beyond)


def _plain(said: bytes) -> str:
    """Return what was said, without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode())
