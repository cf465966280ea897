"""Ending a sidecar: ask it, wait for its ledger's lock to be free, and only if told so, make it.

The lock is the witness, not the pid: a zombie has a pid but no lock, and a pid may be another program's.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from spendguard_cli.supervisor import Running, find, is_held, steps
from spendguard_daemon import runtime
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import Home

GRACE_SECONDS = 60.0
NOW_SECONDS = 10.0
SIGNAL_SECONDS = 5.0

_OURS = re.compile(r"\s-P -m spendguard_daemon(\s|$)")


def stop(home: Home, *, now: bool) -> bool:
    """End the sidecar of a home and return when its ledger is closed; False if none was running.

    Raises NO_DAEMON where it does not end in time: it is draining calls, or it hangs.
    """
    running = find(home)
    if running:
        _ask(running, now=now)
    elif not is_held(home):
        return False
    if _is_free(home, NOW_SECONDS if now else GRACE_SECONDS):
        return True
    if now and _force(home):
        return True
    info = runtime.read_daemon_info(home)
    who = f" (pid {info.pid})" if info else ""
    raise SpendGuardError(
        Code.NO_DAEMON,
        f"The sidecar{who} has not ended yet: it waits for calls in flight, or it hangs",
        remedy="wait, or spendguard down --now, which charges calls in flight at their hold",
    )


def _ask(running: Running, *, now: bool) -> None:
    from spendguard_cli.client import Control

    with Control(running.place.base_url, running.token, local=True) as control:
        try:
            control.shut_down(now=now)
        except SpendGuardError as error:
            if error.code not in (Code.SHUTTING_DOWN, Code.NO_DAEMON):  # it is ending, or has just ended
                raise


def _is_free(home: Home, seconds: float) -> bool:
    return any(not is_held(home) for _ in steps(time.monotonic() + seconds))


def _force(home: Home) -> bool:
    """Signal the process that wrote daemon.json, if it still is a sidecar; kill -9 harms no ledger."""
    info = runtime.read_daemon_info(home)
    if info is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _is_ours(info.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(info.pid, number)
        if _is_free(home, SIGNAL_SECONDS):
            return True
    return False


def _is_ours(pid: int) -> bool:
    """Tell whether `pid` runs the daemon: a number in a file may long belong to another program."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # no such process, or a system without /proc
        line = _ps(pid)
    return bool(_OURS.search(line))


def _ps(pid: int) -> str:
    asked = ["ps", "-o", "command=", "-p", str(pid)]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False, timeout=10).stdout
    except OSError:  # a system without ps: nothing is certain, so nothing is signalled
        return ""
