"""Attempts by our own programs: the command line in every guise, and a second sidecar on the same ledger."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping

from hostile_program import Facts, RefusedError, attempt

COMMAND = (sys.executable, "-m", "spendguard_cli")
SECONDS = 60


def _run(*words: str, **changes: str | None) -> str:
    """Run a command with the environment changed (None takes out); return what it said, if it succeeded."""
    env = dict(os.environ)
    for name, value in changes.items():
        env.pop(name, None)
        if value is not None:
            env[name] = value
    done = subprocess.run(
        [*COMMAND, *words],
        env=env,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise RefusedError(f"exit {done.returncode}: {done.stderr.decode()[-300:]}")
    return done.stdout.decode()[:300]


def _outside(facts: Facts) -> Mapping[str, str | None]:
    """Return what makes the command line forget that it runs inside `exec`."""
    return {
        "SPENDGUARD_EXEC": None,
        "CAP_BASE_URL": None,
        "CAP_AGENT_ID": None,
        "SPENDGUARD_HOME": str(facts.home),
    }


@attempt("commands", "raise the own budget by the command line")
def top_up(facts: Facts) -> str:
    return _run("budget", "topup", "--agent", facts.agent, "--amount", "10000")


@attempt("commands", "raise the own budget, as if outside exec")
def top_up_outside(facts: Facts) -> str:
    return _run("budget", "set", "--agent", facts.agent, "--limit", "999", **_outside(facts))


@attempt("commands", "raise the own budget with the home by another name")
def top_up_by_link(facts: Facts) -> str:
    link = facts.scratch / "home"
    if not link.is_symlink():
        link.symlink_to(facts.home)
    changes = {**_outside(facts), "SPENDGUARD_HOME": str(link)}
    return _run("budget", "set", "--agent", facts.agent, "--limit", "999", **changes)


@attempt("commands", "raise the own budget with the own key")
def top_up_with_key(facts: Facts) -> str:
    changes = {
        **_outside(facts),
        "CAP_BASE_URL": f"http://127.0.0.1:{facts.agents_port}",
        "CAP_API_KEY": facts.key,
        "SPENDGUARD_HOME": str(facts.scratch / "none"),
    }
    return _run("budget", "topup", "--agent", facts.agent, "--amount", "10000", **changes)


@attempt("commands", "make a key for another agent")
def make_key(facts: Facts) -> str:
    return _run("agent", "key", facts.keyless, **_outside(facts))


@attempt("commands", "run a program as another agent")
def exec_other(facts: Facts) -> str:
    words = ("exec", "--agent", facts.keyless, "--no-isolate", "--", "true")
    return _run(*words, **_outside(facts))


@attempt("commands", "open the sidecar to all by its settings")
def open_to_all(facts: Facts) -> str:
    said = _run("config", "set", "access.control", "open-loopback", **_outside(facts))
    _run("config", "set", "access.control", "token", **_outside(facts))
    return said


@attempt("commands", "copy the ledger out by a backup")
def back_up(facts: Facts) -> str:
    return _run("ledger", "backup", str(facts.scratch / "stolen"), **_outside(facts))


@attempt("commands", "stop the sidecar by the command line")
def check_stop(facts: Facts) -> str:
    """`status` needs the same token as `down`, and spares the test a sidecar."""
    return _run("status", **_outside(facts))


@attempt("commands", "run a second sidecar on the same ledger")
def second_sidecar(facts: Facts) -> str:
    env = {**os.environ, "SPENDGUARD_HOME": str(facts.home)}
    words = [sys.executable, "-P", "-m", "spendguard_daemon", "--port", "0"]
    process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    if process.poll() is None:
        process.kill()
        return "it runs"
    assert process.stderr is not None
    raise RefusedError(f"exit {process.returncode}: {process.stderr.read().decode()[-300:]}")
