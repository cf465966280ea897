"""An operator at a shell: types each command as it was printed, and keeps what it changed in the environment.

For tests of remedies: a command that `doctor` prints must do what it says when it is typed as it stands. The
shell is bash, `spendguard` on its PATH is the one under test, and it knows no other sidecar of this machine.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from shell import PATIENCE_SECONDS, Ran, Shell
from warm import as_function, is_cold

PROGRAMS = Path(sys.executable).parent
_THEN = '\nstatus=$?\nenv -0 > "$TYPIST_ENV"\nexit $status\n'


class Typist:
    """A shell that lives on from line to line: its environment, its folder.

    Unless it is `slow`, `spendguard` is a process that has loaded already what it needs.
    """

    def __init__(self, shell: Shell, folder: Path, *, slow: bool = False):
        self.shell, self.folder, self.slow = shell, folder, slow
        folder.mkdir(exist_ok=True)
        self.env = shell.env | {"PATH": f"{PROGRAMS}{os.pathsep}{shell.env['PATH']}"}

    def type(self, line: str, stdin: str = "") -> Ran:
        """Type one line; what it exports, unsets or defines stays for the next."""
        kept = self.folder / ".environment"
        done = subprocess.run(
            ["bash", "-c", ("" if self.slow or is_cold(self.env) else as_function()) + line + _THEN],
            env=self.env | {"TYPIST_ENV": str(kept)},
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if kept.exists():
            pairs = [pair.partition("=") for pair in kept.read_text().split("\0") if pair]
            self.env = {name: value for name, _, value in pairs if name not in ("TYPIST_ENV", "_", "SHLVL")}
            kept.unlink()
        assert "Traceback" not in done.stderr, done.stderr
        assert "error: internal:" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def doctor(self, *arguments: str, stdin: str = "") -> list[dict[str, Any]]:
        """Ask the doctor; return its findings, what to mend first first."""
        ran = self.type(" ".join(["spendguard doctor --json", *arguments]), stdin)
        assert ran.code in (0, 1), ran
        findings: list[dict[str, Any]] = json.loads(ran.out)["findings"]
        return findings

    def look(self, *arguments: str) -> list[dict[str, Any]]:
        """Ask the doctor in this process, which is quicker; its environment is this shell's all the same."""
        quick = self.shell.quick
        quick.env = self.env
        ran = quick.run("doctor", "--json", *arguments)
        assert ran.code in (0, 1), ran
        findings: list[dict[str, Any]] = json.loads(ran.out)["findings"]
        return findings

    def mends(self, finding: dict[str, Any]) -> None:
        """Type a finding's remedy as printed, line by line; each must succeed."""
        assert finding["remedy"], finding
        for line in finding["remedy"]:
            ran = self.type(line)
            assert ran.code == 0, (line, ran)
