"""How `watch` ends: the terminal is given back, a fault is one line, and a deed without answer is told of."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time

import pytest

from canned import uuid, world
from spendguard_cli.client import Control
from spendguard_cli.watch.acting import Desk, begin
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.modals import Ask
from spendguard_cli.watch.running import aside
from spendguard_cli.watch.subject import Subject
from spendguard_daemon.errors import Code, SpendGuardError

PATIENCE_SECONDS = 30
SEEN, LEFT = b"calm", b"\x1b[?1049l"
PROGRAM = """
import sys
from canned import world
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.running import run

class Faulty(WatchApp):
    def action_help(self):
        secret = "sk-" + "x" * 30
        raise RuntimeError("a fault")

try:
    code = run(Faulty(world()), print)
except RuntimeError as error:
    print(f"raised: {error}")
    code = 1
sys.exit(code)
"""


class Terminal:
    """A terminal with the program on it."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        self.before = termios.tcgetattr(self._slave)
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm-256color"}
        self.program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=env | {"COLUMNS": "80", "LINES": "24"},
            start_new_session=True,
        )
        self.written = b""

    def close(self) -> None:
        """End it all."""
        self.program.kill()
        self.program.wait()
        os.close(self._master)
        os.close(self._slave)

    def until(self, words: bytes) -> None:
        """Read on until this was written."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while words not in self.written:
            assert time.monotonic() < deadline, self.written[-2000:]
            if select.select([self._master], [], [], 0.1)[0]:
                self.written += os.read(self._master, 65_536)

    def press(self, key: bytes) -> None:
        """Type a key."""
        os.write(self._master, key)

    def end(self) -> int:
        """Read until the program has ended; return its exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.program.poll() is None or select.select([self._master], [], [], 0.1)[0]:
            assert time.monotonic() < deadline, self.written[-2000:]
            if select.select([self._master], [], [], 0.1)[0]:
                self.written += os.read(self._master, 65_536)
        return self.program.wait()

    def is_as_before(self) -> bool:
        """Tell whether lines are read, echoed and shown as before."""
        return termios.tcgetattr(self._slave)[:4] == self.before[:4] and LEFT in self.written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(number: signal.Signals) -> None:
    """SIGTERM, and SIGHUP of a tmux that is killed, end it as q does, with the code of the signal."""
    terminal = Terminal()
    try:
        terminal.until(SEEN)
        terminal.program.send_signal(number)
        assert terminal.end() == 128 + number
        assert terminal.is_as_before()
    finally:
        terminal.close()


def test_a_fault_is_raised_and_no_traceback_drawn() -> None:
    """A fault of ours ends the program, gives the terminal back, and shows nothing of any variable."""
    terminal = Terminal()
    try:
        terminal.until(SEEN)
        terminal.press(b"?")
        assert terminal.end() == 1
        assert terminal.is_as_before()
        left = terminal.written.rpartition(LEFT)[2]
        assert b"raised: a fault" in left
        assert b"Traceback" not in left
        assert b"sk-" not in terminal.written
    finally:
        terminal.close()


async def test_who_leaves_before_the_answer_is_told_so_and_does_not_wait() -> None:
    """A sidecar that does not answer holds nobody; what was asked of it is named at the end."""
    reached, over = threading.Event(), threading.Event()

    def door() -> Control:
        reached.set()
        over.wait(PATIENCE_SECONDS)
        raise SpendGuardError(Code.NO_DAEMON, "nothing came")

    app = WatchApp(world(), local_seconds=lambda: 0.0, desk=Desk(door))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        begin(app, "topup", Subject(uuid(1)))
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        await pilot.press("enter")
        while not reached.is_set():
            await pilot.pause(0.01)
        assert app.unanswered == []
    over.set()
    assert app.unanswered == ["Top up calm"]


async def test_a_thread_aside_hands_on_what_it_raised() -> None:
    """What is done aside returns, or raises, where it is waited for."""

    def fails() -> int:
        raise ValueError("no")

    assert await aside(lambda: 7) == 7
    with pytest.raises(ValueError, match="no"):
        await aside(fails)
    waiting = asyncio.ensure_future(aside(lambda: 8))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
