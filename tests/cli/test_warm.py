"""What begins warm is what begins cold: the same words, streams, surroundings and end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shell import PROGRAM, Shell, finish
from typist import Typist
from warm import Warm, is_cold

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="every command is cold there")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["config", "show", "--json"], ""),
        (["status", "--no-spawn"], ""),
        (["no-such-command"], ""),
        (["agent", "get", b"\xff"], ""),
        (["doctor", "-"], '{"error": {"code": "budget_exhausted"}}'),
        (["--help"], ""),
    ],
)
def test_the_same_is_said_and_the_end_is_the_same(
    words: list[str | bytes], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell(Path("beside"), SPENDGUARD_LIMITS_IDLE_SECONDS="77")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    cold = subprocess.Popen([*PROGRAM, *words], env=shell.env, **pipes)
    warm = shell.start(*words)
    assert isinstance(warm, Warm)
    assert finish(warm, said) == finish(cold, said)
    assert warm.returncode == cold.returncode


def test_it_is_a_process_that_can_be_signalled(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home")
    try:
        process = shell.start("exec", "--limit", "5", "--no-isolate", "--", "sh", "-c", "echo on; read _")
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        assert process.poll() is None
        assert process.pid != os.getpid()
        process.send_signal(signal.SIGKILL)
        assert finish(process).code == process.wait(20) == -signal.SIGKILL
    finally:
        shell.end()


def test_what_python_reads_as_it_begins_is_read(tmp_path: Path) -> None:
    """So such a command is cold."""
    shell = Shell(tmp_path / "home")
    assert is_cold(shell.env | {"PYTHONUTF8": "0"})
    assert is_cold({name: value for name, value in shell.env.items() if name != "PYTHONPATH"} | {"LANG": "C"})
    assert "import time:" in shell.run("--version", PYTHONPROFILEIMPORTTIME="1").err


def test_a_shell_that_finds_another_program_first_runs_that(tmp_path: Path) -> None:
    typist = Typist(Shell(tmp_path / "home"), tmp_path / "at")
    assert typist.type("spendguard --version > out; cat out").out.startswith("spendguard ")
    assert typist.type("spendguard no-such-command").code == 2
    other = tmp_path / "at" / "spendguard"
    other.write_text("#!/bin/sh\necho another program\n")
    other.chmod(0o755)
    typist.env["PATH"] = f"{other.parent}:{typist.env['PATH']}"
    assert typist.type("spendguard --version").out == "another program\n"
