"""The program's process: started, waited for, signalled; its streams and its terminal are its own.

All signals are blocked here and taken one by one, so none can end us before the program has ended and its
key is revoked. The program runs in our process group, as if the shell had started it: what the terminal sends
reaches it by itself, and only what was sent to us alone is passed on. With `apart` it leads a group of its
own, which then has the terminal, so that the whole group can be ended. That a terminal is gone is told to the
leader of its session alone: where that is us (`tmux new-window "spendguard exec ..."`), we tell the program.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from spendguard_cli.exec import parent_death
from spendguard_cli.exec.terminal import Terminal
from spendguard_daemon.errors import Code, SpendGuardError

NOT_FOUND, NOT_EXECUTABLE = 127, 126
SIGNALLED = 128
KILL_SECONDS = 10.0
POLL_SECONDS = 0.1
_STEP_SECONDS = 0.05

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PASSED = (*_ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
_AWAITED = frozenset((*_PASSED, signal.SIGCHLD, signal.SIGALRM))
_HELD_BACK = frozenset((*_AWAITED, signal.SIGTTOU))
_IGNORED_BY_DEFAULT = (signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT)
_SUSPENDING = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_BY_KERNEL = 0x80  # SI_KERNEL of Linux: the terminal's own


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code as a shell tells it, and whether `stop` was heeded.

    `interrupted`: Ctrl-C has ended it. A shell that runs us in a loop stops only if we die of it too; one
    that has not had it, as the terminal was the program's, must get it from us: `to_group`.
    """

    code: int
    stopped: bool = False
    interrupted: bool = False
    to_group: bool = False


class NotStartedError(Exception):
    """The command cannot be run: `code` is what a shell would end with."""

    def __init__(self, code: int, why: str):
        super().__init__(why)
        self.code = code


@contextlib.contextmanager
def signals_held_back() -> Iterator[set[signal.Signals]]:
    """Block the signals that are taken one by one later; yield those that were blocked before."""
    before: set[signal.Signals] = set(signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK))  # type: ignore[arg-type]
    handlers = {number: signal.getsignal(number) for number in _IGNORED_BY_DEFAULT}
    for number in _IGNORED_BY_DEFAULT:  # what is ignored may be dropped though it is blocked
        signal.signal(number, _nothing)
    try:
        yield before
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _let_go()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def let_through(mask: set[signal.Signals]) -> Iterator[None]:
    """Put the signals as they were before `signals_held_back`, for as long as another process is started.

    What has come meanwhile is let go: the program that it was for has ended.
    """
    _let_go()
    held_back = signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held_back)


def ended_early() -> Ended | None:
    """Return the end by a signal that has come meanwhile and would have ended us; None without one."""
    pending = signal.sigpending()
    return next((_by_signal(number) for number in _ENDING if number in pending), None)


def die_interrupted(ended: Ended) -> None:
    """Die of SIGINT, as the program has; returns only where whoever started us has it blocked."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if ended.to_group:
        os.killpg(0, signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)


class Child:
    """One program. Made within `signals_held_back`, whose value is `mask`."""

    def __init__(self, mask: set[signal.Signals], *, apart: bool):
        self._mask = mask
        self._apart = apart
        self._terminal = Terminal.ours()
        self._pid = 0
        self._kill_at: float | None = None
        self._passed_interrupt = False

    def start(
        self, words: Sequence[str], env: Mapping[str, str], restrict: Callable[[], None] | None
    ) -> None:
        """Start the program; `restrict` is put on before it. Raises NotStartedError, or EXEC_FAILED."""

        end_with_us = parent_death.ending_with(os.getpid())

        def prepare() -> None:
            if self._apart:
                os.setpgid(0, 0)
                self._terminal.give(os.getpid())
            if restrict is not None:
                restrict()
            end_with_us()
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

        try:
            # What the caller's shell has opened for the program (<(...), a job server) stays open.
            process = subprocess.Popen(words, env=env, preexec_fn=prepare, close_fds=False)  # noqa: PLW1509
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            self._terminal.take_back()
            raise _not_started(error) from None
        self._pid = process.pid
        process.returncode = 0  # it is waited for here, not by this object

    def wait(self, stop: Callable[[], bool] | None) -> Ended:
        """Wait for the program's end. `stop` is asked ten times a second; once it says so, all are ended."""
        if stop is not None:
            signal.setitimer(signal.ITIMER_REAL, POLL_SECONDS, POLL_SECONDS)
        try:
            while True:
                number, by_terminal = self._next_signal()
                if number == signal.SIGALRM:
                    self._look(stop)
                elif number == signal.SIGCHLD:
                    ended = self._ended()
                    if ended is not None:
                        return self._over(ended)
                else:
                    self._pass_on(number, by_terminal=by_terminal)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._terminal.take_back()

    def _next_signal(self) -> tuple[int, bool]:
        """Return a signal, and whether the terminal sent it to all of our group."""
        if sys.platform == "linux":
            info = signal.sigwaitinfo(_AWAITED)
            return info.si_signo, info.si_code == _BY_KERNEL
        number = signal.sigwait(_AWAITED)
        return number, self._terminal.is_ours()

    def _look(self, stop: Callable[[], bool] | None) -> None:
        if self._kill_at is None and stop is not None and stop():
            self._kill_at = time.monotonic() + KILL_SECONDS
            self._send(signal.SIGTERM)
            self._send(signal.SIGCONT)  # who is stopped would not hear it
        elif self._kill_at is not None and time.monotonic() > self._kill_at:
            self._send(signal.SIGKILL)

    def _ended(self) -> Ended | None:
        """Return how the program has ended, if it has; stop with it where it was suspended."""
        pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
        if not pid:
            return None
        if os.WIFSTOPPED(status):
            if os.WSTOPSIG(status) in _SUSPENDING and self._kill_at is None:
                self._suspend()
            return None
        if os.WIFSIGNALED(status):
            ended = _by_signal(os.WTERMSIG(status))
            by_terminal = self._apart and self._terminal.descriptor is not None and not self._passed_interrupt
            return replace(ended, to_group=ended.interrupted and by_terminal)
        return Ended(os.WEXITSTATUS(status))

    def _suspend(self) -> None:
        """Stop as the program has, so that the shell has its prompt back; go on with SIGCONT."""
        if self._apart and self._terminal.is_ours():
            self._resume()  # it asked for a terminal that it has not got yet
            return
        self._terminal.take_back()
        self._stop()

    def _stop(self) -> None:
        """Stop here. Once let go on, the program goes on first, lest it be taken for stopped again."""
        if self._apart:
            os.killpg(0, signal.SIGSTOP)
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        self._resume()

    def _resume(self) -> None:
        if self._apart and self._terminal.is_ours():
            self._terminal.give(self._pid)
        self._send(signal.SIGCONT)

    def _pass_on(self, number: int, *, by_terminal: bool) -> None:
        if number == signal.SIGCONT:
            self._resume()
        elif self._apart or not by_terminal or (number == signal.SIGHUP and os.getsid(0) == os.getpid()):
            self._send(number)
            self._passed_interrupt |= number == signal.SIGINT
        if number == signal.SIGTSTP and not self._apart:
            self._stop()

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._apart:
                os.killpg(self._pid, number)
            else:
                os.kill(self._pid, number)

    def _over(self, ended: Ended) -> Ended:
        """Return how it ended; of a group that was to end, nothing goes on."""
        if self._kill_at is None:
            return ended
        with contextlib.suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < self._kill_at:
                os.killpg(self._pid, 0)
                time.sleep(_STEP_SECONDS)
            os.killpg(self._pid, signal.SIGKILL)
        return Ended(ended.code, stopped=True)


def _by_signal(number: int) -> Ended:
    return Ended(SIGNALLED + number, interrupted=number == signal.SIGINT)


def _let_go() -> None:
    while signal.sigpending() & _AWAITED:
        signal.sigwait(_AWAITED)


def _not_started(error: Exception) -> Exception:
    if isinstance(error, FileNotFoundError):
        return NotStartedError(NOT_FOUND, "no such command")
    if isinstance(error, OSError):
        return NotStartedError(NOT_EXECUTABLE, error.strerror or str(error))
    return SpendGuardError(
        Code.EXEC_FAILED,
        f"exec failed: the program could not be prepared: {error}",
        remedy="--no-isolate runs it without isolation",
    )


def _nothing(_number: int, _frame: object) -> None:
    """Heed nothing: that a handler is there keeps the signal from being dropped."""
