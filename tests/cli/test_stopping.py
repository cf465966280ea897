"""Ending a sidecar: with calls in flight, with its files lost or broken; never somebody else's process."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shell import Shell, Terminal, finish
from spendguard_cli import holder, prove, stopping, supervisor
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import DaemonInfo, Home, read_lock_info, write_daemon_info
from spendguard_daemon.system import SystemDisk
from until import until

GARBAGE = [None, b"", b"\xff\xfe{", b"{}", b'{"pid":"x"}', b'{"pid":-1,"port":99999999}']


class InFlight:
    """A call that hangs at its provider, made by a client that waits for it."""

    def __init__(self, shell: Shell, agent_id: str):
        self._thread = threading.Thread(target=self._wait, args=(shell, agent_id))
        self._thread.start()
        until(lambda: shell.quick.ok("status").keys["calls_in_flight"] != "0")

    def _wait(self, shell: Shell, agent_id: str) -> None:
        with contextlib.suppress(httpx.HTTPError):
            shell.call(agent_id, max_tokens=5, metadata={"mock": "hang"})

    def end(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def hanging(shell: Shell) -> Iterator[InFlight]:
    """A shell's sidecar with one call in flight."""
    agent_id = shell.agent("busy", cents=100)
    made = InFlight(shell, agent_id)
    yield made
    shell.end()
    made.end()


def spoil(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def test_a_sidecar_whose_daemon_json_is_lost_or_garbage_is_found_and_stopped(shell: Shell) -> None:
    pid = shell.ok("up").keys["pid"]
    path = shell.home / "run" / "daemon.json"
    for content in GARBAGE:
        path.touch()
        spoil(path, content)
        assert shell.quick.ok("status").keys["pid"] == pid
        again = shell.quick.ok("up").keys
        assert (again["pid"], again["changed"]) == (pid, "false")
    assert shell.quick.ok("down").keys["changed"] == "true"
    assert not holder.is_held(Home(shell.home))


def test_a_sidecar_that_no_file_tells_of_is_ended_by_its_lock(shell: Shell) -> None:
    pid = int(shell.ok("up").keys["pid"])
    for name in ("run/daemon.json", "ledger/lock"):
        spoil(shell.home / name, b"\xff")
    told = shell.quick.run("status")
    assert (told.code, told.keys) == (
        3,
        {"state": "unresponsive", "home": str(shell.home), "pid": str(pid)},
    )
    assert "try: spendguard down --now\n" in told.err
    assert shell.quick.ok("down", "--now").keys["changed"] == "true"
    assert not holder.is_held(Home(shell.home))


@pytest.mark.parametrize("content", [b"", b"no token", b"\xff\xfe"])
def test_a_broken_token_makes_no_sidecar_unstoppable(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(stopping, "ASK_SECONDS", 0.1)
    pid = shell.ok("up").keys["pid"]
    (shell.home / "admin.token").write_bytes(content)
    for line in (["status"], ["agent", "list"], ["up"]):
        refused = shell.quick.run(*line)
        assert refused.code == 78
        assert "admin.token" in refused.err
        assert "spendguard down --now" in refused.err
    polite = shell.quick.run("down")
    assert polite.code == 3
    assert f"pid {pid}" in polite.err
    assert "admin.token" in polite.err
    assert "try: spendguard down --now" in polite.err
    ended = shell.quick.ok("down", "--now")
    assert f"(pid {pid})" in ended.err
    (shell.home / "admin.token").unlink()
    assert shell.ok("up").code == 0


def test_a_pid_in_a_file_is_not_enough_to_be_signalled(shell: Shell, tmp_path: Path) -> None:
    """Another home's sidecar is a sidecar, but it does not have this home's lock open."""
    other = Shell(tmp_path / "other")
    try:
        pid = int(other.ok("up").keys["pid"])
        home, disk = Home(tmp_path / "mine"), SystemDisk()
        disk.make_folder(home.ledger)
        disk.make_folder(home.daemon_json.parent)
        write_daemon_info(home, disk, DaemonInfo(pid=pid, port=1, version="0", started_at="", addresses=[]))
        assert holder.holder(home) is None
        held = disk.lock(home.lock)
        assert held is not None
        found = holder.holder(home)
        held.close()
        assert found is not None
        assert not found.is_sidecar
        theirs = holder.holder(Home(other.home))
        assert theirs == holder.Holder(pid, is_sidecar=True)
    finally:
        other.end()


def test_the_lock_file_tells_who_holds_it(shell: Shell) -> None:
    shell.ok("up")
    assert json.loads((shell.home / "ledger" / "lock").read_text()) == shell.daemon()
    shell.crash()
    assert shell.ok("up").keys["pid"] == str(shell.daemon()["pid"])
    assert read_lock_info(Home(shell.home)) == supervisor.find(Home(shell.home)).info  # type: ignore[union-attr]


def test_down_with_calls_in_flight_says_what_it_waits_for(shell: Shell, hanging: InFlight) -> None:
    waiting = Terminal(shell, "down")
    waiting.until(b"waiting for 1 call to end (Ctrl-C to stop waiting, spendguard down --now to cut it)")
    drains = shell.quick.ok("status")
    assert (drains.keys["state"], drains.keys["calls_in_flight"]) == ("draining", "1")
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.end() == 130
    assert shell.quick.ok("status").keys["state"] == "draining"
    starting = shell.start("up")
    assert starting.stderr is not None
    assert starting.stderr.readline() == (b"the sidecar is stopping; it is started again when it has ended\n")
    assert b"waiting for 1 call to end" in starting.stderr.readline()
    assert shell.quick.ok("down", "--now").keys["changed"] == "true"
    hanging.end()
    assert finish(starting).keys["changed"] == "true"
    assert "message=stopping calls_in_flight=1" in shell.quick.ok("logs").out
    told = shell.quick.ok("status")
    assert (told.keys["unconfirmed_calls"], told.keys["state"]) == ("1", "up")
    assert "try: spendguard budget adjust --call " in told.err


def test_deleting_an_agent_with_calls_in_flight_says_so(shell: Shell, hanging: InFlight) -> None:
    deleted = shell.quick.ok("agent", "delete", "busy", "--yes")
    assert "warning: 1 call of this agent in flight will still end and settle" in deleted.err


INTERRUPTED_UP = """
import spendguard_cli.supervisor as supervisor
from spendguard_cli.app import main

def interrupt(home):
    raise KeyboardInterrupt

supervisor.find_quietly = interrupt
main()
"""


def test_ctrl_c_in_the_middle_of_up_says_what_becomes_of_the_sidecar(shell: Shell) -> None:
    told = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_UP, "up"],
        env=shell.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 130
    assert "goes on starting; spendguard status tells when it is up\ninterrupted\n" in told.stderr
    until(lambda: shell.quick.run("status").code == 0)


INTERRUPTED_LOADING = """
import os, signal, sys

class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Hook())
from spendguard_cli.entry import main
main()
"""


def test_ctrl_c_while_the_program_loads_is_no_traceback() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_LOADING], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted\n")


def test_the_entry_leaves_an_ignored_signal_ignored() -> None:
    """As a shell has it for `command &`."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.argv[1:] = ['--version'];"
        "import atexit; atexit.register(lambda: print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN));"
        "from spendguard_cli.entry import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.endswith("True\n"), ran


def test_a_ledger_held_by_a_process_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither `up` nor `down` waits for ever, nor kills a process that is not a sidecar."""
    home = Home(tmp_path / "home")
    for module, name in (
        (stopping, "GRACE_SECONDS"),
        (stopping, "NOW_SECONDS"),
        (stopping, "ASK_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 1.0)
    # Time enough for a daemon to start and to find the ledger held, on a busy machine too.
    monkeypatch.setattr(supervisor, "START_SECONDS", 5.0)
    monkeypatch.setattr(stopping, "SIGNAL_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "SILENT_SECONDS", 0.1)
    said: list[str] = []
    disk = SystemDisk()
    disk.make_folder(home.ledger)
    disk.make_folder(home.daemon_json.parent)
    mine = DaemonInfo(pid=os.getpid(), port=1, version="0", started_at="", addresses=[])
    write_daemon_info(home, disk, mine)
    held = disk.lock(home.ledger / "lock")
    assert held is not None
    try:
        assert supervisor.is_held(home)
        with pytest.raises(SpendGuardError) as caught:
            supervisor.ensure(home, 0, dict(os.environ), said.append)
        assert caught.value.code is Code.LEDGER_LOCKED
        assert "down --now" in caught.value.remedy
        for now in (False, True):
            with pytest.raises(SpendGuardError) as caught:
                stopping.stop(home, now=now, say=said.append)
            assert caught.value.code is Code.NO_DAEMON
            assert f"Process {os.getpid()} " in caught.value.detail
    finally:
        held.close()
    assert any(f"(pid {os.getpid()})" in line and "waiting" in line for line in said)
    assert not stopping.stop(home, now=False, say=said.append)


def test_down_now_ends_a_sidecar_that_hangs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process answers nothing; SIGKILL reaches it all the same."""
    monkeypatch.setattr(prove, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(stopping, "NOW_SECONDS", 0.2)
    monkeypatch.setattr(stopping, "SIGNAL_SECONDS", 0.5)
    shell.ok("up")
    os.kill(shell.daemon()["pid"], 19)  # SIGSTOP
    home = Home(shell.home)
    assert supervisor.find(home) is None
    hung = shell.quick.run("status")
    assert (hung.code, hung.keys["state"]) == (3, "unresponsive")
    assert stopping.stop(home, now=True, say=lambda _: None)
    assert not supervisor.is_held(home)


def test_a_lock_is_seen_only_while_it_is_held(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert not supervisor.is_held(home)
    home.ledger.mkdir()
    with (home.ledger / "lock").open("w") as file:
        assert not supervisor.is_held(home)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert supervisor.is_held(home)
    assert not supervisor.is_held(home)
