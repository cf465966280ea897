"""Starting, finding, proving, stopping the sidecar: also several at once, also with a stranger there."""

import json
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from shell import Shell, finish
from spendguard_cli import supervisor
from spendguard_daemon.runtime import DaemonInfo, Home, write_daemon_info
from spendguard_daemon.system import SystemDisk


class Squatter:
    """Somebody else's program on the sidecar's port: it answers everything and remembers what it was told."""

    def __init__(self, relay_to: str | None = None):
        self.heard: list[str] = []
        squatter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                squatter.heard.append(str(self.headers))
                proof = squatter.relay(relay_to, self.headers.get("x-spendguard-nonce", ""))
                self.send_response(200)
                self.send_header("x-spendguard-proof", proof)
                self.end_headers()
                self.wfile.write(b'{"status":"ok"}')

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names http.server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def relay(to: str | None, nonce: str) -> str:
        if to is None:
            return "0" * 64
        answer = httpx.get(f"{to}/health", headers={"x-spendguard-nonce": nonce}, trust_env=False)
        return str(answer.headers["x-spendguard-proof"])

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def squatter() -> Iterator[Squatter]:
    made = Squatter()
    yield made
    made.end()


def opened(shell: Shell) -> int:
    """How often a daemon opened this home's ledger."""
    lines = [
        line for path in (shell.home / "ledger").glob("seg-*.jsonl") for line in path.read_text().splitlines()
    ]
    return sum(json.loads(line)["t"] == "open" for line in lines)


def test_five_command_lines_at_once_start_one_sidecar(shell: Shell) -> None:
    ran = [finish(process) for process in [shell.start("agent", "list", "--json") for _ in range(5)]]
    assert [one.code for one in ran] == [0] * 5, ran
    assert opened(shell) == 1


def test_a_sidecar_that_somebody_else_is_starting_is_waited_for(shell: Shell) -> None:
    """Whoever comes second finds the ledger locked, and then the one that has it."""
    supervisor.prepare(Home(shell.home))
    with tempfile.TemporaryFile() as stderr:
        other = supervisor.spawn(Home(shell.home), 0, shell.env, stderr)
        assert shell.ok("agent", "list").code == 0
    assert opened(shell) == 1
    if shell.daemon()["pid"] != other.pid:
        assert other.wait(30) == 78
    shell.quick.ok("down")
    other.wait(30)
    assert not supervisor.is_held(Home(shell.home))


def test_up_twice_is_up_once(shell: Shell) -> None:
    first, second = shell.ok("up"), shell.quick.ok("up")
    assert (first.keys["changed"], second.keys["changed"]) == ("true", "false")
    assert first.keys["pid"] == second.keys["pid"]


def test_down_stops_it_and_down_again_is_no_error(shell: Shell) -> None:
    shell.ok("up")
    assert shell.quick.ok("down").keys == {"state": "down", "home": str(shell.home), "changed": "true"}
    assert shell.quick.ok("down").keys["changed"] == "false"
    assert shell.quick.run("status").code == 3


def test_restart_keeps_the_port_and_the_money(shell: Shell) -> None:
    agent_id = shell.agent("a", cents=100)
    before = shell.quick.ok("status").keys
    after = shell.ok("restart").keys
    assert after["base_url"] == before["base_url"]
    assert after["pid"] != before["pid"]
    assert shell.quick.ok("budget", "get", "--agent", agent_id).keys["remaining_cents"] == "100"


def test_up_on_another_port_names_the_way_there(shell: Shell) -> None:
    shell.ok("up")
    refused = shell.quick.run("up", "--port", "1")
    assert refused.code == 78
    assert "spendguard restart --port 1" in refused.err


def test_after_a_crash_the_next_command_starts_it_again(shell: Shell) -> None:
    shell.agent("a")
    shell.crash()
    assert shell.ok("agent", "list").keys
    assert opened(shell) == 2


def test_no_spawn_starts_nothing(shell: Shell) -> None:
    refused = shell.run("agent", "list", "--no-spawn")
    assert (refused.code, refused.out) == (3, "")
    assert "try: spendguard up" in refused.err
    assert not shell.home.exists()


def test_status_starts_nothing(shell: Shell) -> None:
    told = shell.run("status", "--json")
    assert (told.code, told.json["state"]) == (3, "down")
    assert not shell.home.exists()


def test_a_stranger_on_the_named_port_never_gets_the_token(shell: Shell, squatter: Squatter) -> None:
    shell.ok("up")
    refused = shell.run("agent", "list", CAP_BASE_URL=f"http://127.0.0.1:{squatter.port}")
    assert refused.code == 3
    assert "could not prove" in refused.err
    assert squatter.heard
    assert not any("authorization" in heard.lower() or "sg_admin" in heard for heard in squatter.heard)


def test_a_stranger_on_the_configured_port_is_named_with_a_remedy(shell: Shell, squatter: Squatter) -> None:
    refused = shell.run("up", SPENDGUARD_DAEMON_PORT=str(squatter.port))
    assert refused.code == 1
    assert "port" in refused.err
    assert "spendguard up --port" in refused.err
    assert not any("sg_admin" in heard for heard in squatter.heard)


def test_a_stranger_on_the_port_of_a_dead_sidecar_is_passed_by(shell: Shell, squatter: Squatter) -> None:
    shell.ok("up")
    shell.quick.ok("down")
    stale = DaemonInfo(pid=1, port=squatter.port, version="0", started_at="", addresses=[])
    write_daemon_info(Home(shell.home), SystemDisk(), stale)
    assert shell.ok("agent", "create").keys["agent_id"]
    assert not any("authorization" in heard.lower() for heard in squatter.heard)


def test_the_proof_of_the_real_sidecar_does_not_hold_on_another_port(shell: Shell) -> None:
    """A squatter may pass our nonce on to the sidecar; the port is part of what is signed."""
    relaying = Squatter(relay_to=shell.ok("up").keys["base_url"])
    try:
        refused = shell.run("agent", "list", CAP_BASE_URL=f"http://127.0.0.1:{relaying.port}")
    finally:
        relaying.end()
    assert refused.code == 3
    assert not any("authorization" in heard.lower() for heard in relaying.heard)


def test_only_the_homes_own_address_is_where_a_sidecar_is_started(shell: Shell) -> None:
    """An address given by hand is a claim that one is there; a typo in it must not start one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    for words, env in (([], {"CAP_BASE_URL": address}), (["--base-url", address], {})):
        refused = shell.run("agent", "list", *words, **env)
        assert (refused.code, refused.out) == (3, "")
        assert f"error: Nothing answers at {address}" in refused.err
        assert ("--base-url" if words else "CAP_BASE_URL") in refused.err
    assert not shell.home.exists()
    own = {"CAP_BASE_URL": address, "SPENDGUARD_DAEMON_PORT": str(port)}
    assert shell.ok("agent", "list", **own).code == 0
    assert shell.daemon()["port"] == port
    elsewhere = shell.run("agent", "list", CAP_BASE_URL="http://127.0.0.1:1")
    assert elsewhere.code == 3
    assert f"on port {port}" in elsewhere.err


def test_what_the_daemon_died_of_is_relayed(shell: Shell) -> None:
    shell.home.mkdir(mode=0o700)
    config = shell.home / "config.toml"
    config.write_text("[limits]\nidle_seconds = 0\n")
    config.chmod(0o600)
    refused = shell.run("up")
    assert refused.code == 2
    assert "idle_seconds" in refused.err


def test_a_home_open_to_others_is_refused_with_the_chmod(shell: Shell) -> None:
    shell.home.mkdir()
    shell.home.chmod(0o755)
    refused = shell.run("up")
    assert refused.code == 78
    assert f"try: chmod 700 {shell.home}" in refused.err


def test_a_damaged_ledger_is_named_with_its_file(shell: Shell) -> None:
    shell.agent("a")
    shell.quick.ok("down")
    segment = next((shell.home / "ledger").glob("seg-*.jsonl"))
    raw = segment.read_bytes()
    segment.write_bytes(raw.replace(b'"agent_new"', b'"agent_NEW"', 1))
    refused = shell.run("agent", "list")
    assert refused.code == 78
    assert segment.name in refused.err
    segment.write_bytes(raw)


def test_foreground_is_the_daemon_itself(shell: Shell) -> None:
    process = shell.start("up", "--foreground")
    deadline = time.monotonic() + 30
    while shell.quick.run("status").code != 0:
        assert time.monotonic() < deadline
        assert process.poll() is None
    assert shell.daemon()["pid"] == process.pid
    assert shell.run("up", "--foreground").code == 78
    process.terminate()
    assert finish(process).code == 0


def test_a_started_sidecar_has_a_session_of_its_own_and_no_key_of_its_clients(shell: Shell) -> None:
    shell.ok("agent", "list", SPENDGUARD_DEBUG="1")
    pid = shell.daemon()["pid"]
    assert os.getsid(pid) == pid
    environ = Path(f"/proc/{pid}/environ")
    if environ.exists():
        assert b"SPENDGUARD_DEBUG" not in environ.read_bytes()
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")


def test_the_log_can_be_read_and_followed(shell: Shell) -> None:
    assert shell.quick.run("logs").code == 3
    shell.ok("up")
    assert json.loads(shell.quick.ok("logs", "-n", "1", "--json").out)["level"] == "info"
    assert "message=listening" in shell.quick.ok("logs").out
    following = shell.start("logs", "-f", "-n", "1")
    try:
        heard = following.stdout
        assert heard is not None
        assert b"message=listening" in heard.readline()
        shell.ok("restart")
        assert b"message=stopping calls_in_flight=0" in heard.readline()
        assert b"message=stopped" in heard.readline()
    finally:
        following.kill()
        finish(following)


def test_files_of_ours_are_for_their_owner_only(shell: Shell) -> None:
    shell.ok("up")
    for name in ("start.lock", "daemon.json"):
        assert stat.S_IMODE((shell.home / "run" / name).stat().st_mode) == 0o600
