"""The doors as an operator meets them: addresses that others reach, and the socket that commands use."""

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shell import Shell, Terminal
from spendguard_cli import supervisor
from spendguard_cli.prove import Found, Place, knock
from spendguard_daemon.runtime import Home, read_admin_token

KEYS = "--require-agent-key"


def test_listening_elsewhere_needs_agent_keys(shell: Shell) -> None:
    """The command is shown whole, as it should have been typed."""
    for verb in ("up", "restart"):
        refused = shell.quick.run(
            verb, "--port", "0", "--listen", "172.17.0.1", "--listen", "fd00::9", "--strict"
        )
        assert refused.code == 2
        assert KEYS in refused.err
        whole = f"spendguard {verb} --port 0 --strict --listen 172.17.0.1 --listen fd00::9 {KEYS}"
        assert f"try: {whole}" in refused.err
    assert not (shell.home / "run" / "daemon.json").exists()


@pytest.mark.parametrize("address", ["localhost", "1.2.3.4:99999", "example.com:80", "", "1.2.3"])
def test_what_is_no_address_is_a_usage_error(shell: Shell, address: str) -> None:
    refused = shell.quick.run("up", "--listen", address, KEYS)
    assert refused.code == 2
    assert "--listen" in refused.err


def test_up_and_status_name_every_address(shell: Shell) -> None:
    up = shell.ok("up", "--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0", KEYS)
    near, far = up.keys["listening"].split(",")
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", near)
    assert re.fullmatch(r"http://0\.0\.0\.0:[0-9]+", far)
    told = f"warning: DANGER: reachable from elsewhere at every address of this machine, {far}:"
    assert told in up.err
    assert "bare_header" not in up.err
    status = shell.quick.ok("status", "--json").json
    assert status["listening"] == [near, far]
    assert status["agents_url"] == up.keys["agents_url"]
    assert status["socket"] == up.keys["socket"] == str(shell.home / "run" / "daemon.sock")
    assert status["keys_required"] is True
    assert any(far in warning for warning in status["warnings"])
    daemon = shell.daemon()
    assert (daemon["agents_url"], daemon["socket"]) == (status["agents_url"], status["socket"])


def test_a_person_sees_in_red_what_others_reach(shell: Shell) -> None:
    shell.ok("up", "--listen", "0.0.0.0:0", KEYS)
    for command in ("status", "up"):
        terminal = Terminal(shell, command)
        assert terminal.end() == 0
        said = terminal.said.decode()
        assert re.search(r"\x1b\[[0-9;]*31m[^\x1b]*http://0\.0\.0\.0:[0-9]+", said), said
        assert "reachable from elsewhere" in said
        assert "run/daemon.sock" in "".join(re.sub(r"\x1b\[[0-9;]*m", "", said).split())


def test_a_running_sidecar_that_does_not_listen_there_is_not_taken_for_one_that_does(shell: Shell) -> None:
    shell.ok("up")
    refused = shell.quick.run("up", "--listen", "127.0.0.1:0", KEYS)
    assert refused.code == 78
    assert "The sidecar runs already, and does not listen on 127.0.0.1:0" in refused.err
    assert "nother daemon" not in refused.err
    assert f"try: spendguard restart --listen 127.0.0.1:0 {KEYS}" in refused.err
    keyless = shell.quick.run("up", KEYS)
    assert (keyless.code, "takes agents without a key" in keyless.err) == (78, True)
    assert shell.ok("restart", "--listen", "127.0.0.1:0", KEYS).keys["listening"]
    assert shell.quick.ok("up", "--listen", "127.0.0.1:0", KEYS).keys["changed"] == "false"


def test_restart_keeps_what_the_sidecar_was_started_with(shell: Shell) -> None:
    """Typed flags go above it, and down drops it."""
    first = shell.ok("up", "--listen", "127.0.0.1:0", KEYS).keys
    again = shell.ok("restart")
    assert again.keys["listening"].startswith("http://127.0.0.1:")
    assert again.keys["base_url"] == first["base_url"]
    assert f"as before: --listen 127.0.0.1:0 {KEYS}; spendguard down, then" in again.err
    assert shell.quick.ok("status", "--json").json["keys_required"] is True
    other = shell.ok("restart", "--listen", "[::1]:0")
    assert other.keys["listening"].startswith("http://[::1]:")
    shell.ok("down")
    assert "listening" not in shell.ok("up").keys
    assert "as before" not in shell.ok("restart").err


def test_settings_keep_it(shell: Shell) -> None:
    """`listen` alone is refused, as the flag is; with keys required it needs no flag."""
    refused = shell.quick.run("config", "set", "access.listen", "127.0.0.1:0")
    assert (refused.code, "agent keys" in refused.err) == (2, True)
    assert "try: spendguard config set access.bare_header refuse\n" in refused.err
    shell.quick.ok("config", "set", "access.bare_header", "refuse")
    shell.quick.ok("config", "set", "access.listen", "127.0.0.1:0")
    shell.quick.ok("config", "set", "access.hosts", "host.docker.internal")
    shell.quick.ok("config", "set", "access.origins", "https://app.example.com,http://localhost:3000")
    assert shell.ok("up").keys["listening"].startswith("http://127.0.0.1:")


# -- the socket ---------------------------------------------------------------------------------------------


@pytest.fixture
def up(shell: Shell) -> Iterator[Shell]:
    """A shell whose sidecar is up."""
    shell.ok("up")
    yield shell


def test_commands_use_the_socket_and_show_the_port(up: Shell) -> None:
    home = Home(up.home)
    running = supervisor.find(home)
    assert running is not None
    assert running.place.socket == str(home.socket)
    assert up.quick.ok("status").keys["base_url"] == f"http://127.0.0.1:{running.info.port}"
    with running.control() as control:
        assert control.base_url == running.place.base_url
        assert control.status().pid == running.info.pid


def test_without_the_socket_commands_use_the_port(up: Shell) -> None:
    home = Home(up.home)
    home.socket.unlink()
    running = supervisor.find(home)
    assert running is not None
    assert running.place.socket is None
    assert up.quick.ok("agent", "create", "--name", "a").keys["agent_id"]
    assert up.quick.ok("down").keys["state"] == "down"


def test_a_stranger_at_the_sockets_path_is_told_nothing(up: Shell) -> None:
    """Who answers there without proof gets no token, and the sidecar is found by its port."""
    home = Home(up.home)
    home.socket.unlink()
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(home.socket))
        stranger.listen()

        def answer() -> None:
            while True:
                try:
                    accepted, _ = stranger.accept()
                except OSError:
                    return
                with accepted, contextlib.suppress(OSError):  # the first only looks whether somebody is there
                    heard.append(accepted.recv(65536))
                    proof = "x-spendguard-proof: " + "0" * 64
                    accepted.sendall(f"HTTP/1.1 200 OK\r\n{proof}\r\ncontent-length: 0\r\n\r\n".encode())

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        assert up.quick.ok("agent", "list").code == 0
        stranger.shutdown(socket.SHUT_RDWR)
        answering.join(10)
    said = b"".join(heard)
    assert b"x-spendguard-nonce" in said
    assert read_admin_token(home).encode() not in said
    assert b"authorization" not in said.lower()
    up.quick.ok("down")
    assert os.path.lexists(home.socket)  # it is not the sidecar's, so it is not the sidecar's to remove


def test_the_proof_over_the_socket_is_of_that_socket_and_of_that_port(up: Shell) -> None:
    home = Home(up.home)
    token, port = read_admin_token(home), up.daemon()["port"]
    path = str(home.socket)
    assert knock(Place.at(port, path), [token]) is Found.PROVEN
    assert knock(Place.at(port + 1, path), [token]) is Found.UNPROVEN
    assert knock(Place.at(port, path), ["sg_admin_" + "0" * 64]) is Found.UNPROVEN
    assert knock(Place.at(port, str(up.home / "none.sock")), [token]) is Found.NOTHING
    assert knock(Place.at(port, "/" + "x" * 200), [token]) is Found.NOTHING
    up.quick.ok("down")
    assert not Path(path).exists()
