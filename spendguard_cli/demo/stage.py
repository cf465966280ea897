"""The demo's private stage: a temporary home, a sidecar that is ours to kill, and nothing left of either.

Invariant: whatever happens between `with` and its end, Ctrl-C and SIGTERM included, the process is gone and
the folder is removed. Signals that arrive while one of them comes into being are kept until it is known.
"""

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from spendguard_cli import supervisor
from spendguard_cli.client import Control
from spendguard_cli.supervisor import START_SECONDS, Running
from spendguard_daemon.addresses import BASE_URL_NAMES
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import Home
from spendguard_daemon.settings import KEY_NAMES

Handler = Callable[[int, FrameType | None], object] | int | None

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PREFIX = "spendguard-demo-"


class Stage:
    """A sidecar on a home of its own. `control` is always that of the one running now."""

    def __init__(self, env: Mapping[str, str]):
        self._env = private(env)
        self._folder: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._control: Control | None = None
        self._handlers: dict[signal.Signals, Handler] = {}
        self._undisturbed = False
        self._interrupted = False

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            with self._birth():
                self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    @property
    def control(self) -> Control:
        """The running sidecar."""
        if self._control is None:
            raise SpendGuardError(Code.NO_DAEMON, "The demo's sidecar is not running")
        return self._control

    @property
    def pid(self) -> int:
        """The process id of the running sidecar, 0 without one."""
        return self._child.pid if self._child else 0

    def start(self) -> None:
        """Start the sidecar on a free port and wait until it proves itself."""
        home = Home(self._folder or Path())
        with tempfile.TemporaryFile() as stderr:
            with self._birth():
                self._child = supervisor.spawn(home, 0, self._env, stderr)
            running = _proven(home, self._child, stderr)
        self._control = running.control()

    def kill(self) -> None:
        """End the sidecar as a power cut would: kill -9, no word of farewell."""
        if self._control:
            self._control.close()
            self._control = None
        if self._child:
            self._child.kill()
            self._child.wait()

    @contextlib.contextmanager
    def _birth(self) -> Iterator[None]:
        """Keep signals back until what is made here is known to `_clear`."""
        self._undisturbed = True
        try:
            yield
        finally:
            self._undisturbed = False
        if self._interrupted:
            raise KeyboardInterrupt

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Interrupt once: a second Ctrl-C must not disturb the clearing up."""
        first, self._interrupted = not self._interrupted, True
        if first and not self._undisturbed:
            raise KeyboardInterrupt

    def _clear(self) -> None:
        self._interrupted = True
        self.kill()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def _proven(home: Home, child: "subprocess.Popen[bytes]", stderr: IO[bytes]) -> Running:
    for _ in supervisor.steps(time.monotonic() + START_SECONDS):
        running = supervisor.find_quietly(home)
        if running and running.info.pid == child.pid:
            return running
        if child.poll() is not None:
            raise supervisor.death(child.returncode, stderr)
    raise SpendGuardError(Code.NO_DAEMON, "The demo's sidecar did not start in time")


def private(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without any key, address or setting of ours: the demo needs none."""
    foreign = {name for names in (*KEY_NAMES.values(), *BASE_URL_NAMES.values()) for name in names}
    return {
        name: value
        for name, value in env.items()
        if name not in foreign and not name.startswith(("SPENDGUARD_", "CAP_"))
    }
