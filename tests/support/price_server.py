"""`spendguard pricing serve` as a process of its own, with the key and the content that it signs."""

import json
import signal
import subprocess
from pathlib import Path

import httpx

from shell import PATIENCE_SECONDS, Quick
from signed_prices import card

CONTENT = {"openai": {"models": {"small": card()}}}


class Server:
    """One `pricing serve` with its files."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.quick = Quick(folder / "home", SPENDGUARD_EXEC="0")
        self.key_path = str(folder / "team.key")
        self.key = self.quick.ok("pricing", "keygen", self.key_path).keys
        self.content = folder / "content.json"
        self.write(CONTENT)
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def write(self, providers: object) -> None:
        """Put content in place in one step, as an operator's deployment does."""
        fresh = self.content.with_suffix(".new")
        fresh.write_text(json.dumps({"providers": providers}, indent=2))
        fresh.replace(self.content)

    def start(self, *words: str) -> None:
        """Start it on a free port; return when it has said where."""
        arguments = ("pricing", "serve", *words, "--listen", "127.0.0.1:0")
        self.process = self.quick.start(*arguments)
        assert self.process.stdout is not None
        told = dict(self.process.stdout.readline().decode().strip().split("=", 1) for _ in range(4))
        self.url = told["url"]

    def signing(self, *words: str) -> None:
        """Start it with the content and the key."""
        self.start(str(self.content), "--key", self.key_path, *words)

    def get(self, **headers: str) -> httpx.Response:
        """Ask it once."""
        return httpx.get(self.url, headers=headers, trust_env=False, verify=False)

    def end(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit code and what it said on stderr."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        code, self.process = self.process.returncode, None
        return code, err.decode()
