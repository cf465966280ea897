"""Ending a sidecar: ask it, wait for its ledger's lock to be free, and only if told so, make it.

The lock is the witness, not the pid: a zombie has a pid but no lock, and a pid may be another program's.
Whoever waits is told what for.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable

from spendguard_cli.holder import holder, is_held, named
from spendguard_cli.render import count
from spendguard_cli.supervisor import Running, find, steps
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import Home

GRACE_SECONDS = 60.0
ASK_SECONDS = 5.0
NOW_SECONDS = 10.0
SIGNAL_SECONDS = 5.0

Say = Callable[[str], None]


def stop(home: Home, *, now: bool, say: Say) -> bool:
    """End the sidecar of a home and return when its ledger is closed; False if none was running.

    `say` is told what is waited for. Raises NO_DAEMON where it does not end in time, or cannot be asked to.
    """
    if not is_held(home):
        return False
    running, why = _found(home)
    if running is None and not now:
        return _wait_for_one_that_answers(home, why, say)
    if running is not None:
        _tell(_ask(running, now=now), say, now=now)
    if running is not None and _is_free(home, NOW_SECONDS if now else GRACE_SECONDS):
        return True
    if now and _force(home, say):
        return True
    raise _still_there(home, now=now)


def await_end(home: Home, calls: int, say: Say) -> bool:
    """Wait for a sidecar that drains already; tell whether it has ended."""
    say(waiting(calls))
    return _is_free(home, GRACE_SECONDS)


def waiting(calls: int) -> str:
    """Say what a drain waits for, and how not to."""
    return (
        f"waiting for {count(calls, 'call')} to end (Ctrl-C to stop waiting, spendguard down --now to cut "
        f"{'it' if calls == 1 else 'them'})"
    )


def _found(home: Home) -> tuple[Running | None, str]:
    """Return the sidecar, or why it cannot be asked: a broken token must not keep it from being ended."""
    try:
        return find(home), "it does not answer"
    except SpendGuardError as error:
        return None, error.detail


def _tell(answer: wire.Stopping | None, say: Say, *, now: bool) -> None:
    if answer is None or not answer.calls_in_flight:
        return
    if now:
        say(f"cutting {count(answer.calls_in_flight, 'call')}, charged at the hold")
        return
    say(waiting(answer.calls_in_flight))
    say(f"after {answer.grace_seconds} s what is still in flight is cut and charged at its hold")


def _wait_for_one_that_answers(home: Home, why: str, say: Say) -> bool:
    """It may be starting, or be at its very end; what stays is nothing that this command may end."""
    say(
        f"the ledger is held by a process{named(home)} that cannot be asked: {why}; waiting {ASK_SECONDS:g} s"
    )
    for _ in steps(time.monotonic() + ASK_SECONDS):
        if not is_held(home):
            return True
        running, why = _found(home)
        if running is not None:
            _tell(_ask(running, now=False), say, now=False)
            if _is_free(home, GRACE_SECONDS):
                return True
            break
    raise _still_there(home, now=False)


def _ask(running: Running, *, now: bool) -> wire.Stopping | None:
    with running.control() as control:
        try:
            return control.shut_down(now=now)
        except SpendGuardError as error:
            if error.code not in (Code.SHUTTING_DOWN, Code.NO_DAEMON):  # it is ending, or has just ended
                raise
            return None


def _is_free(home: Home, seconds: float) -> bool:
    return any(not is_held(home) for _ in steps(time.monotonic() + seconds))


def _force(home: Home, say: Say) -> bool:
    """Signal the process that holds the lock, if it is a sidecar; kill -9 harms no ledger."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        found = holder(home)
        if found is None:
            return not is_held(home)
        if not found.is_sidecar:
            return False
        say(f"the sidecar (pid {found.pid}) was not asked or did not end: sending it {number.name}")
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(found.pid, number)
            os.kill(found.pid, signal.SIGCONT)  # one that was only stopped hears nothing before it goes on
        if _is_free(home, SIGNAL_SECONDS):
            return True
    return False


def _still_there(home: Home, *, now: bool) -> SpendGuardError:
    found = holder(home)
    if found is not None and not found.is_sidecar:
        return SpendGuardError(
            Code.NO_DAEMON,
            f"Process {found.pid} has the ledger of {home.root} open, and it is no sidecar of this home",
            remedy=f"see what it is: ps -p {found.pid}; when it has ended, spendguard up",
        )
    who = f" (pid {found.pid})" if found else ""
    if now:
        return SpendGuardError(
            Code.NO_DAEMON,
            f"The sidecar{who} did not end, not even by SIGKILL",
            remedy="end it as the user who started it" + (f": kill -9 {found.pid}" if found else ""),
        )
    return SpendGuardError(
        Code.NO_DAEMON,
        f"The sidecar{who} has not ended yet",
        remedy="spendguard down --now, which charges calls in flight at their hold",
    )
