"""Commands that begin with everything loaded: that is most of the half second that one takes.

A process beside each worker of the tests loads the command line once and forks for every command. What it
forks is a process like any other: its own pid, streams, environment, folder, signals and exit code, from the
program's entry to the interpreter's end. Only how Python begins is not seen. So whoever sets what is read
only then (`is_cold`) gets a new one; terminals, README.md, and all that names the program itself always do.
"""

import atexit
import contextlib
import functools
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from warm_client import number, wish

OURS = Path(sys.executable).with_name("spendguard")
_CLIENT = Path(__file__).with_name("warm_client.py")
_NURSERY = Path(__file__).with_name("nursery.py")
_READ_AT_THE_BEGINNING = ("PYTHON", "LANG", "LC_", "TZ", "LD_", "COVERAGE_")


def is_cold(env: Mapping[str, str]) -> bool:
    """Tell whether a command needs a Python of its own: what is read only as one begins differs from ours."""
    return sys.platform != "linux" or _beginning(env) != _beginning(os.environ)


def _beginning(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_THE_BEGINNING)}


def as_line() -> str:
    """Return the words that stand for our `spendguard` at a shell."""
    return shlex.join([sys.executable, "-I", "-S", str(_CLIENT), str(_nursery()), str(OURS)])


def as_function() -> str:
    """Return what makes `spendguard` quick in bash, as long as ours is the first of that name on PATH."""
    return (
        f'spendguard() {{ if [ "$(type -P spendguard)" = {shlex.quote(str(OURS))} ]; '
        f'then {as_line()} "$@"; else command spendguard "$@"; fi; }}\n'
    )


class Warm:
    """One command, with as much of `subprocess.Popen` as tests use: all three streams are pipes of bytes."""

    def __init__(self, words: Sequence[str | bytes], env: Mapping[str, str]):
        (reads, says), (hears, writes), (minds, warns) = os.pipe(), os.pipe(), os.pipe()
        self.stdin: IO[bytes] | None = os.fdopen(says, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(hears, "rb")
        self.stderr: IO[bytes] | None = os.fdopen(minds, "rb")
        self.returncode: int | None = None
        self._readers: list[threading.Thread] = []
        self._read = [b"", b""]
        name, raw = Path(__file__).parents[2] / "spendguard_cli" / "__main__.py", dict(env)
        encoded = {os.fsencode(key): os.fsencode(value) for key, value in raw.items()}
        theirs = (reads, writes, warns)
        self._line = wish(str(_nursery()), [os.fsencode(word) for word in (name, *words)], encoded, theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self.pid = number(self._line)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit code, or the number of a signal below 0."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("spendguard", timeout or 0)
        return code

    def communicate(self, said: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Say something, read to the end of both streams, and wait; after a timeout it may go on."""
        if not self._readers:
            self._readers = [
                threading.Thread(target=self._drain, args=(place, stream), daemon=True)
                for place, stream in enumerate((self.stdout, self.stderr))
                if stream is not None
            ]
            for reader in self._readers:
                reader.start()
            if self.stdin is not None:
                with contextlib.suppress(BrokenPipeError), self.stdin:  # it may not read
                    self.stdin.write(said or b"")
        for reader in self._readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired("spendguard", timeout or 0)
        self.wait(timeout)
        return self._read[0], self._read[1]

    def _drain(self, place: int, stream: IO[bytes]) -> None:
        with stream:
            self._read[place] = stream.read()

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._line], [], [], timeout)[0]:
            self.returncode = number(self._line)
            self._line.close()
        return self.returncode


@functools.cache
def _nursery() -> Path:
    """Start the process that forks; return its socket. It ends when this process does."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    process = subprocess.Popen(
        [sys.executable, _NURSERY, folder / "socket"],
        stdin=subprocess.PIPE,  # as what it forks has them: Python's own streams are made for what they are
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    atexit.register(shutil.rmtree, folder)
    atexit.register(process.wait)
    atexit.register(process.stdin.close)
    assert process.stdout.readline() == b"ready\n", process.communicate()
    return folder / "socket"
