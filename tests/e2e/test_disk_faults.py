"""The real daemon and the faults of ledger-and-security 1.5: full disk, lost sync, locks, modes, time."""

import asyncio
import hashlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from full_disk import chat, scenario
from namespaces import SUPPORT, environment, namespace
from raw_http import send
from recorded import RecordedUpstream
from sidecar import DAEMON, Sidecar
from spendguard_daemon.ledger.lines import Slot, encode_slot, open_line, seal
from spendguard_daemon.patience import STALL_SECONDS

FAULTY = (sys.executable, str(SUPPORT / "faulty_daemon.py"))
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, /dev/full or mount namespaces")


def start_refused(home: Path, *flags: str, env: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Start a daemon that must not come up; return its exit code and what it says."""
    done = subprocess.run(
        [*DAEMON, "--port", "0", *flags],
        env=environment() | {"SPENDGUARD_HOME": str(home)} | (env or {}),
        capture_output=True,
        timeout=60,
        check=False,
    )
    said: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    assert said["detail"]
    assert said["remedy"]
    return done.returncode, said


# -- a full disk ------------------------------------------------------------------------------------------


class DevFull:
    """A disk that the faulty daemon takes for full: what it writes goes to /dev/full."""

    def __init__(self, orders: Path) -> None:
        self._order = orders / "full"

    def fill(self) -> None:
        self._order.write_text("until the ballast is gone")

    def fill_again(self) -> None:
        self._order.write_text("for good")

    def free(self) -> None:
        self._order.unlink(missing_ok=True)


@linux_only
async def test_a_disk_that_says_enospc(tmp_path: Path) -> None:
    """Without any privilege: the kernel's own answer to a write to /dev/full."""
    env = {"SPENDGUARD_TEST_FAULTS": str(tmp_path)}
    await scenario(tmp_path / "home", DevFull(tmp_path), FAULTY, env)


@linux_only
def test_a_real_full_tmpfs(tmp_path: Path) -> None:
    """In a mount namespace, as root or not. Where none may be made, the test above stands for this one."""
    inside = namespace()
    if inside is None:
        pytest.skip("no mount namespaces here: /dev/full has to do, in the test above")
    mount = f"mount -t tmpfs -o size=112m none '{tmp_path}'"
    done = subprocess.run(
        [*inside, "sh", "-c", f"{mount} && exec '{sys.executable}' full_disk.py '{tmp_path}'"],
        cwd=SUPPORT,
        env=environment(),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3_000:]
    assert done.stdout.decode().splitlines()[-1] == "tmpfs was full"


# -- a sync that fails ------------------------------------------------------------------------------------


@linux_only
async def test_a_failed_sync_ends_the_daemon_before_anything_leaves(tmp_path: Path) -> None:
    """One attempt, exit 74; the call in flight is cut off, and charged at the next start."""
    env = {"SPENDGUARD_TEST_FAULTS": str(tmp_path)}
    with RecordedUpstream() as upstream:
        sidecar = Sidecar(tmp_path / "home", upstream.base_url, env=env, command=FAULTY)
        sidecar.start()
        agent_id = sidecar.agent(cents=500, concurrency="shared")
        upstream.hold_open()
        before = asyncio.create_task(send(sidecar.port, chat(sidecar.port, agent_id, 1)))
        await asyncio.to_thread(upstream.wait_arrived, 1)
        (tmp_path / "sync").touch()
        raw = chat(sidecar.port, agent_id, 2)
        answers = await asyncio.gather(before, *(send(sidecar.port, raw) for _ in range(10)))
        # The process may answer the last of them before it is gone, with the refusal and nothing else.
        assert answers[0] is None
        assert all(
            answer is None or answer.json()["spendguard"]["code"] == "disk_failed" for answer in answers
        )
        code, said = await asyncio.to_thread(sidecar.died)
        assert (code, said["code"]) == (74, "disk_failed")
        assert (tmp_path / "syncs").read_bytes() == b"x", "a failed sync is not tried again"
        assert upstream.arrived == 1, "nothing was forwarded after it"
        upstream.release()
        (tmp_path / "sync").unlink()
        sidecar.start()
        ends = {call["state"] for call in sidecar.calls(agent_id)}
        assert ends == {"settled_worst"}
        assert (await send(sidecar.port, chat(sidecar.port, agent_id, 3))) is not None
        sidecar.stop()


# -- two of them ------------------------------------------------------------------------------------------


def test_a_second_daemon_is_refused_and_the_first_is_not_disturbed(tmp_path: Path) -> None:
    """By the lock; daemon.json still names the first."""
    with Sidecar(tmp_path / "home") as sidecar:
        info = sidecar.home.daemon_json.read_bytes()
        code, said = start_refused(tmp_path / "home")
        assert (code, said["code"]) == (78, "ledger_locked")
        assert sidecar.home.daemon_json.read_bytes() == info
        assert sidecar.http.get("/health").text == '{"status":"ok"}'


def test_a_stale_daemon_json_is_overwritten_and_its_pid_left_alone(tmp_path: Path) -> None:
    """It may name a process, even a live one, that has nothing to do with us."""
    sidecar = Sidecar(tmp_path / "home")
    sidecar.start()
    sidecar.kill()
    stale = json.loads(sidecar.home.daemon_json.read_bytes()) | {"pid": os.getpid(), "port": 1}
    sidecar.home.daemon_json.write_text(json.dumps(stale))
    done = subprocess.Popen(
        [*DAEMON, "--port", "0"],
        env=environment() | {"SPENDGUARD_HOME": str(tmp_path / "home")},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while json.loads(sidecar.home.daemon_json.read_bytes())["pid"] != done.pid:
            assert done.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        done.terminate()
        assert done.wait(30) == 0


def test_the_lock_file_is_never_unlinked(tmp_path: Path) -> None:
    """Not by a stop, not by a kill."""
    sidecar = Sidecar(tmp_path / "home")
    inodes = set()
    for end in (sidecar.stop, sidecar.kill, sidecar.stop):
        sidecar.start()
        end()
        inodes.add((sidecar.home.ledger / "lock").stat().st_ino)
    assert len(inodes) == 1


# -- what it finds at the start ---------------------------------------------------------------------------


def add_record(ledger: Path, body: bytes, *, version: int = 1) -> None:
    """Append a record that a later version might have written, with a head that knows it."""
    segment = max(ledger.glob("seg-*.jsonl"))
    last = open_line(segment.read_bytes().splitlines()[-1])
    line, digest = seal(last.seq + 1, last.seq, last.h, time.time_ns(), body)
    if version != 1:
        start = line.replace(b'{"v":1,', b'{"v":%d,' % version).rpartition(b',"h":')[0]
        digest = hashlib.sha256(start).hexdigest()[:32]
        line = start + f',"h":"{digest}"}}\n'.encode()
    with segment.open("ab") as file:
        file.write(line)
    (ledger / "head").write_bytes(encode_slot(Slot(last.seq + 1, digest, 1)) + bytes(128))


@pytest.mark.parametrize(
    ("body", "version", "why"),
    [
        (b'{"t":"splice","crit":true}', 1, "critical record of the unknown type 'splice'"),
        (
            b'{"t":"open","version":"9","min_reader":9,"generation":1,"session":""}',
            1,
            "readers of version 9",
        ),
        (b'{"t":"close","reason":"shutdown"}', 2, "a record of version 2"),
    ],
)
def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path, body: bytes, version: int, why: str) -> None:
    """Exit 78; the remedy is an upgrade, and nothing on the disk is touched."""
    with Sidecar(tmp_path / "home") as sidecar:
        pass
    add_record(sidecar.home.ledger, body, version=version)
    segment = max(sidecar.home.ledger.glob("seg-*.jsonl"))
    before = segment.read_bytes()
    code, said = start_refused(tmp_path / "home")
    assert (code, said["code"]) == (78, "ledger_newer")
    assert why in said["detail"]
    assert "upgrade" in said["remedy"]
    assert segment.read_bytes() == before


def test_a_note_of_a_newer_version_is_passed_over(tmp_path: Path) -> None:
    """What is not critical need not be understood."""
    with Sidecar(tmp_path / "home") as sidecar:
        pass
    add_record(sidecar.home.ledger, b'{"t":"remark","text":"hello"}')
    with Sidecar(tmp_path / "home") as sidecar:
        assert sidecar.warnings() == []


@pytest.mark.parametrize(
    ("name", "mode"), [("ledger", 0o750), ("ledger/head", 0o640), ("admin.token", 0o644)]
)
def test_modes_that_let_others_in_are_refused(tmp_path: Path, name: str, mode: int) -> None:
    """Exit 78, with the chmod that mends it."""
    with Sidecar(tmp_path / "home") as sidecar:
        pass
    path = sidecar.home.root / name
    path.chmod(mode)
    code, said = start_refused(tmp_path / "home")
    assert (code, said["code"]) == (78, "home_unsafe")
    assert said["remedy"] == f"chmod {'700' if path.is_dir() else '600'} {shlex.quote(str(path))}"


@linux_only
def test_a_read_only_home_is_refused(tmp_path: Path) -> None:
    """On a read-only mount, which stops root as well; without namespaces, by its mode."""
    home = tmp_path / "home"
    with Sidecar(home):
        pass
    inside = namespace()
    if inside is not None:
        python = f"'{sys.executable}' -P -m spendguard_daemon --port 0"
        script = f"mount --bind '{home}' '{home}' && mount -o remount,bind,ro '{home}' && exec {python}"
        done = subprocess.run(
            [*inside, "sh", "-c", script],
            env=environment() | {"SPENDGUARD_HOME": str(home)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        code, said = done.returncode, json.loads(done.stderr.splitlines()[-1])
    elif os.geteuid() != 0:
        home.chmod(0o500)
        code, said = start_refused(home)
        home.chmod(0o700)
    else:
        pytest.skip("root without namespaces can write everywhere; test_system_faults.py has it")
    assert (code, said["code"]) == (78, "home_unsafe")
    assert "cannot be written" in said["detail"]


@linux_only
def test_a_file_system_that_is_not_to_be_trusted_needs_a_flag(tmp_path: Path) -> None:
    """The flag, or the setting. There is no NFS here, so its number is put where the kernel's answer is."""
    program = tmp_path / "on_nfs.py"
    program.write_text(
        "import sys\nfrom spendguard_daemon import __main__, system\n"
        "system._file_system_type = lambda _: 0x6969\nsys.exit(__main__.main())\n"
    )
    done = subprocess.run(
        [sys.executable, str(program), "--port", "0"],
        env=environment() | {"SPENDGUARD_HOME": str(tmp_path / "home")},
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = json.loads(done.stderr.splitlines()[-1])
    assert (done.returncode, said["code"]) == (78, "home_unsafe")
    assert "is on NFS" in said["detail"]
    for command, env in (
        ((sys.executable, str(program), "--unsafe-fs"), {}),
        ((sys.executable, str(program)), {"SPENDGUARD_DAEMON_UNSAFE_FS": "allow"}),
    ):
        with Sidecar(tmp_path / "home", command=command, env=env) as sidecar:
            assert sidecar.http.get("/health").status_code == 200


# -- time -------------------------------------------------------------------------------------------------


async def at_rest(pid: int) -> None:
    """Return once a process only waits: stopped in the middle of a step, it would read before it looks up."""
    before, now = -1, 0
    while before != now:
        before = now
        await asyncio.sleep(0.05)
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        (now,) = (int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))


async def test_a_daemon_that_was_stopped_past_a_deadline_ends_the_call_at_worst(tmp_path: Path) -> None:
    """Though the provider's answer came in the meantime: by the clock it came too late."""
    env = {"SPENDGUARD_LIMITS_IDLE_SECONDS": "1"}
    with (
        RecordedUpstream() as upstream,
        Sidecar(tmp_path / "home", upstream.base_url, env=env) as sidecar,
    ):
        agent_id = sidecar.agent(cents=500)
        upstream.hold_open()
        call = asyncio.create_task(send(sidecar.port, chat(sidecar.port, agent_id, 1)))
        await asyncio.to_thread(upstream.wait_arrived, 1)
        assert sidecar.process is not None
        await at_rest(sidecar.process.pid)
        os.kill(sidecar.process.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(1.3 + STALL_SECONDS)
            upstream.release()
            code, said = await asyncio.to_thread(start_refused, sidecar.home.root)
            assert (code, said["code"]) == (78, "ledger_locked"), "it keeps its lock meanwhile"
        finally:
            os.kill(sidecar.process.pid, signal.SIGCONT)
        answer = await call
        assert answer is not None
        assert (answer.status, answer.json()["spendguard"]["code"]) == (504, "upstream_timeout")
        (ended,) = sidecar.calls(agent_id)
        assert (ended["state"], ended["cost_usd"]) == ("settled_worst", ended["hold_usd"])
        listed = sidecar.control("GET", "/v1/status")
        assert listed["unconfirmed_calls"] == 1
        assert listed["unconfirmed_usd"] == ended["hold_usd"]
        assert [call["call_id"] for call in listed["unconfirmed"]] == [ended["call_id"]]


def test_a_port_that_is_taken_leaves_the_ledger_in_order(tmp_path: Path) -> None:
    """It fails late, after the ledger was opened; the next start finds nothing amiss."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*DAEMON, "--port", port],
            env=environment() | {"SPENDGUARD_HOME": str(tmp_path / "home")},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert json.loads(done.stderr.splitlines()[-1])["code"] == "port_taken"
    with Sidecar(tmp_path / "home") as sidecar:
        assert sidecar.warnings() == []
