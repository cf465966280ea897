"""Worlds of the doctor's group `daemon`: each broken for real, named first, and mended as it is printed."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from shell import Quick, Shell, Terminal
from spendguard_cli import prove, supervisor
from spendguard_cli.context import Flags
from spendguard_cli.doctor import listeners
from spendguard_cli.doctor.examine import examine
from spendguard_cli.doctor.findings import Check, Finding, Level
from spendguard_cli.doctor.world import World
from spendguard_cli.session import Session
from spendguard_daemon import __version__
from spendguard_daemon.runtime import Home
from typist import PROGRAMS, Typist
from until import until

GROUPS = ("--check", "daemon", "--check", "home", "--check", "ledger")
OLDER = """
import sys, spendguard_daemon
spendguard_daemon.__version__ = "0.2.9"
from spendguard_daemon.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def typist(served: Quick, tmp_path: Path) -> Typist:
    """An operator beside the module's sidecar, with an environment of their own."""
    return Typist(served, tmp_path / "here")


@pytest.fixture
def alone(shell: Shell, tmp_path: Path) -> Typist:
    """An operator on a home of their own."""
    return Typist(shell, tmp_path / "here")


@pytest.fixture
def stranger() -> Iterator[int]:
    """A web server that knows nothing of us; its port."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def first(typist: Typist, *arguments: str) -> tuple[str, str, str]:
    """Return level, check and words of what the doctor says first."""
    found = typist.look(*arguments)[0]
    return found["level"], found["check"], found["finding"]


def test_where_all_is_well_each_check_says_so(typist: Typist) -> None:
    found = typist.look(*GROUPS)
    assert {one["level"] for one in found} == {"ok"}, found
    assert len(found) == 22
    assert all(not one["remedy"] and not one["deed"] for one in found)


def test_a_fresh_machine_has_nothing_red(alone: Typist) -> None:
    found = alone.look(*GROUPS)
    assert [one["check"] for one in found if one["level"] != "ok"] == ["home.there"]
    assert (found[0]["level"], found[0]["remedy"]) == ("note", ["spendguard demo"])
    assert not alone.shell.home.exists(), "a look makes nothing"


def test_cap_base_url_names_nobody(typist: Typist) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        typist.env["CAP_BASE_URL"] = f"http://127.0.0.1:{taken.getsockname()[1]}"
        found = typist.look(*GROUPS)[0]
        assert (found["check"], found["level"]) == ("daemon.address", "red")
        assert found["finding"].startswith("CAP_BASE_URL names nobody: nothing answers at http://127.0.0.1:")
        assert typist.type("spendguard agent list --no-spawn").code == 3
        typist.mends(found)
    assert typist.type("spendguard agent list --no-spawn").code == 0
    assert first(typist, *GROUPS)[0] == "ok"


def test_cap_base_url_names_a_program_that_is_no_sidecar(typist: Typist, stranger: int) -> None:
    typist.env |= {"CAP_BASE_URL": f"http://127.0.0.1:{stranger}", "CAP_API_KEY": "sg_admin_elsewhere"}
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["code"]) == ("daemon.address", "unproven_daemon")
    assert "could not prove that it is your sidecar" in found["finding"]
    assert "sg_admin_elsewhere" not in str(found)
    assert found["remedy"] == ["unset CAP_BASE_URL CAP_API_KEY"]
    typist.mends(found)
    assert first(typist, *GROUPS)[0] == "ok"


def test_cap_api_key_is_wrong(typist: Typist) -> None:
    typist.env["CAP_API_KEY"] = "sg_admin_" + "0" * 64
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["code"]) == ("daemon.address", "unauthorized")
    assert (
        found["finding"]
        == "CAP_API_KEY is not accepted by the sidecar: Unauthorized: the admin token is wrong"
    )
    assert "0" * 64 not in str(found)
    typist.mends(found)
    assert first(typist, *GROUPS)[0] == "ok"


def test_cap_api_key_is_an_agents(typist: Typist) -> None:
    """It is a good key, but no operator's."""
    agent_id = typist.shell.agent("has a key")
    typist.env["CAP_API_KEY"] = typist.shell.ok("agent", "key", agent_id, "--json").json["key"]
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["remedy"]) == ("daemon.address", ["unset CAP_API_KEY"])
    typist.mends(found)
    assert first(typist, *GROUPS)[0] == "ok"


@pytest.mark.parametrize(
    ("env", "words", "remedy"),
    [
        ({"CAP_MODE": "hosted"}, "CAP_MODE=hosted needs an address", "unset CAP_MODE"),
        ({"CAP_MODE": "cloud"}, "CAP_MODE: expected sidecar or hosted", "unset CAP_MODE"),
        ({"CAP_BASE_URL": "not an address"}, "CAP_BASE_URL: expected an address", "unset CAP_BASE_URL"),
        (
            {"CAP_BASE_URL": "http://u:p@127.0.0.1:8787"},
            "CAP_BASE_URL: expected an address",
            "unset CAP_BASE_URL",
        ),
        ({"CAP_BASE_URL": "https://elsewhere.invalid"}, "needs an API key", "unset CAP_BASE_URL"),
        ({"CAP_API_KEY": "two words"}, "the API key holds a space", "unset CAP_API_KEY"),
        ({"CAP_API_KEY": "é"}, "the API key holds", "unset CAP_API_KEY"),
    ],
)
def test_whom_to_talk_to_makes_no_sense(typist: Typist, env: dict[str, str], words: str, remedy: str) -> None:
    """Hosted mode without an address, and its like: every other check still looks at what it can."""
    typist.env |= env
    found = typist.look(*GROUPS)
    assert (found[0]["check"], found[0]["level"]) == ("daemon.address", "red")
    assert words in found[0]["finding"]
    assert found[0]["remedy"] == [remedy]
    assert not [one for one in found if "could not be looked at" in one["finding"]]
    typist.mends(found[0])
    assert first(typist, *GROUPS)[0] == "ok"


def test_a_home_that_is_none_is_named(typist: Typist) -> None:
    typist.env["SPENDGUARD_HOME"] = "~nobody-of-this-name/home"
    found = typist.look(*GROUPS)
    assert "SPENDGUARD_HOME: expected a folder" in found[0]["finding"]
    assert found[0]["remedy"] == ["unset SPENDGUARD_HOME"]
    assert not [one for one in found if "could not be looked at" in one["finding"]]


def test_inside_exec_it_says_what_it_cannot_see(typist: Typist) -> None:
    typist.env |= {"SPENDGUARD_EXEC": "1", "SPENDGUARD_AGENT_ID": "an-id"}
    found = typist.look(*GROUPS)
    assert (found[0]["level"], found[0]["check"]) == ("note", "daemon.address")
    assert "inside spendguard exec: only its own agent can be seen" in found[0]["finding"]
    assert {one["level"] for one in found[1:]} == {"ok"}


def test_a_foreign_spendguard_is_first_on_path(typist: Typist) -> None:
    foreign = typist.folder / "bin" / "spendguard"
    foreign.parent.mkdir()
    foreign.write_text("#!/bin/sh\necho another program\n")
    foreign.chmod(0o755)
    typist.env["PATH"] = f"{foreign.parent}{os.pathsep}{typist.env['PATH']}"
    assert typist.type("spendguard status").out == "another program\n"
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("daemon.program", "warning")
    assert found["finding"] == f"The first spendguard on PATH is another program: {foreign}"
    assert "it begins with #!/bin/sh" in found["evidence"]
    typist.mends(found)
    assert "state=up" in typist.type("spendguard status").out
    assert first(typist, *GROUPS)[0] == "ok"


def test_no_spendguard_on_path_is_a_note(typist: Typist) -> None:
    typist.env["PATH"] = "/usr/bin:/bin"
    found = typist.look("--check", "daemon.program")[0]
    assert (found["level"], found["remedy"]) == ("note", [f'export PATH={PROGRAMS}:"$PATH"'])
    typist.mends(found)
    assert first(typist, "--check", "daemon.program")[0] == "ok"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpx leaks one
def test_the_sidecar_is_down_and_why(alone: Typist) -> None:
    """Stopped, killed, and ended at its start by what it could not read: each is told from the other."""
    assert alone.type("spendguard up").code == 0
    assert alone.type("spendguard down").code == 0
    found = alone.look(*GROUPS)[0]
    assert (found["check"], found["level"], found["finding"]) == (
        "daemon.up",
        "warning",
        "The sidecar is down",
    )
    assert "it was stopped at 20" in found["evidence"][0]
    alone.mends(found)
    assert first(alone, *GROUPS)[0] == "ok"

    alone.shell.crash()
    until(lambda: first(alone, *GROUPS)[0] == "warning")
    found = alone.look(*GROUPS)[0]
    assert found["finding"] == "The sidecar is down: it was killed, or the machine went down with it"

    nowhere = {"CAP_PRICING_SOURCE": "remote", "CAP_PRICING_URL": "http://127.0.0.1:9/prices"}
    alone.env |= nowhere | {"CAP_PRICING_SIGNING_PUBLIC_KEY": "A" * 43 + "="}
    assert alone.type("spendguard up").code == 8
    found = alone.look(*GROUPS)[0]
    assert (found["check"], found["code"]) == ("daemon.up", "pricing_unavailable")
    assert "this is what it ended of: Remote pricing request failed" in found["finding"]
    for name in (*nowhere, "CAP_PRICING_SIGNING_PUBLIC_KEY"):
        alone.type(f"unset {name}")
    alone.mends(found)
    assert first(alone, *GROUPS)[0] == "ok"


def test_the_sidecar_hangs(alone: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "ANSWER_SECONDS", 0.5)
    assert alone.type("spendguard up").code == 0
    pid = alone.shell.daemon()["pid"]
    os.kill(pid, 19)  # SIGSTOP
    found = alone.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("daemon.hung", "red")
    assert f"The sidecar hangs: the process (pid {pid}) has the ledger open" in found["finding"]
    assert found["evidence"] == ["the process is stopped, as by SIGSTOP or a debugger"]
    assert found["deed"].endswith(f"kill -CONT {pid}")
    probed = alone.shell.quick.run("doctor", "--probe")
    assert (probed.code, "The sidecar hangs" in probed.err) == (3, True), "it is not waited for again"
    alone.mends(found)
    assert first(alone, *GROUPS)[0] == "ok"
    assert "message=stopped" in alone.shell.quick.ok("logs").out, "it closed its ledger, once it went on"


def test_the_sidecar_drains(alone: Typist) -> None:
    agent_id = alone.shell.agent("busy", cents=100)

    def wait() -> None:
        with contextlib.suppress(httpx.HTTPError):
            alone.shell.call(agent_id, max_tokens=5, metadata={"mock": "hang"})

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: alone.shell.quick.ok("status").keys["calls_in_flight"] == "1")
    running = supervisor.find(Home(alone.shell.home))
    assert running is not None
    with running.control() as control:
        control.shut_down(now=False)
    found = alone.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("daemon.draining", "warning")
    assert "stopping, and takes no new calls: 1 are in flight" in found["finding"]
    alone.mends(found)
    waiting.join()
    assert first(alone, *GROUPS)[0] == "ok"


def test_the_sidecar_is_of_another_version(alone: Typist) -> None:
    command = [sys.executable, "-P", "-c", OLDER, "--port", "0"]
    older = subprocess.Popen(command, env=alone.env, start_new_session=True)
    try:
        until(lambda: alone.shell.quick.run("status").code == 0)
        found = alone.look(*GROUPS)[0]
        assert (found["check"], found["remedy"]) == ("daemon.version", ["spendguard restart"])
        assert found["finding"].startswith("The sidecar is of version 0.2.9, this command line of version ")
        alone.mends(found)
        assert older.wait(20) == 0
    finally:
        older.kill()
        older.wait()
    assert alone.shell.daemon()["version"] == __version__
    assert first(alone, *GROUPS)[0] == "ok"


def test_the_port_is_squatted(alone: Typist, stranger: int) -> None:
    """The one in config.toml; the remedy takes another for good."""
    del alone.env["SPENDGUARD_DAEMON_PORT"]
    assert alone.type(f"spendguard config set daemon.port {stranger}").code == 0
    assert alone.type("spendguard up").code == 1
    found = alone.look(*GROUPS)[0]
    assert (found["check"], found["code"]) == ("daemon.port", "port_taken")
    assert f"another program has port {stranger}" in found["finding"]
    if sys.platform == "linux":
        assert found["evidence"][0].startswith(f"process {os.getpid()}: ")
    assert found["remedy"][0].startswith("spendguard config set daemon.port ")
    alone.mends(found)
    assert first(alone, *GROUPS)[0] == "ok"


def test_the_port_is_that_of_a_sidecar_of_another_home(typist: Typist, alone: Typist) -> None:
    """As where SPENDGUARD_HOME was forgotten: no second sidecar is offered first, and no home is made."""
    port = str(typist.shell.daemon()["port"])
    alone.env |= {"SPENDGUARD_DAEMON_PORT": port}
    ran = alone.type("spendguard agent list")
    assert (ran.code, "The port is taken" in ran.err) == (1, True), ran
    assert "spendguard doctor, which names who has it" in ran.err
    assert not alone.shell.home.exists()
    found = alone.look(*GROUPS)[0]
    assert (found["check"], found["code"]) == ("daemon.port", "port_taken")
    if sys.platform != "linux":
        return
    assert "another home" in found["finding"]
    assert found["evidence"][0] == f"it is the sidecar of {typist.shell.home}"
    assert found["remedy"] == [f"export SPENDGUARD_HOME={typist.shell.home}"]
    assert (
        "spendguard config set daemon.port" in found["deed"]
        or "export SPENDGUARD_DAEMON_PORT=" in (found["deed"])
    )
    alone.mends(found)
    assert alone.type("spendguard agent list").code == 0


def test_the_port_of_the_environment_is_squatted(alone: Typist, stranger: int) -> None:
    alone.env["SPENDGUARD_DAEMON_PORT"] = str(stranger)
    found = alone.look(*GROUPS)[0]
    assert found["check"] == "daemon.port"
    export, up = found["remedy"]
    assert alone.type(export).code == 0
    assert listeners.is_free(int(alone.env["SPENDGUARD_DAEMON_PORT"]))
    assert up == "spendguard up"
    assert first(alone, "--check", "daemon.port")[0] == "ok"


def test_an_address_to_listen_on_is_not_this_machines(alone: Typist) -> None:
    """The daemon ends at its start; the doctor names the setting."""
    alone.shell.home.mkdir(mode=0o700)
    config = alone.shell.home / "config.toml"
    config.touch(mode=0o600)
    config.write_text('[access]\nbare_header = "refuse"\nlisten = ["203.0.113.7"]\n')
    assert alone.type("spendguard up").code == 2
    found = alone.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("daemon.listen", "red")
    assert found["finding"] == "[access] listen names what this machine has not: 203.0.113.7"
    alone.mends(found)
    assert first(alone, *GROUPS)[0] == "ok"


def test_words_of_a_program_are_no_escape_on_a_terminal(typist: Typist) -> None:
    """The name of a foreign program may hold anything."""
    odd = typist.folder / "\x1b[31m\u202e"
    odd.mkdir()
    (odd / "spendguard").write_text("#!/bin/sh\x1b[31m\n")
    (odd / "spendguard").chmod(0o755)
    shell = Shell(typist.shell.home)
    shell.env = typist.env | {"PATH": f"{odd}{os.pathsep}{typist.env['PATH']}"}
    terminal = Terminal(shell, "doctor", "--check", "daemon.program")
    assert terminal.end() == 0
    assert b"another program" in terminal.said
    assert "\u202e".encode() not in terminal.said
    assert b"\x1b[31m\xe2" not in terminal.said


def test_what_keeps_a_home_from_use_comes_before_the_port(alone: Typist, stranger: int) -> None:
    """Two things are broken: the first remedy must work while the second still is."""
    alone.shell.home.mkdir(mode=0o755)
    alone.shell.home.chmod(0o755)
    alone.env["SPENDGUARD_DAEMON_PORT"] = str(stranger)
    found = alone.look(*GROUPS)
    assert [one["check"] for one in found[:2]] == ["home.modes", "daemon.port"]
    alone.mends(found[0])
    assert alone.look(*GROUPS)[0]["check"] == "daemon.port"


def test_only_the_last_remedy_starts_the_sidecar() -> None:
    """A start before all is mended would fail."""
    remedies = {"ledger.whole": ["restore", "spendguard up"], "daemon.port": ["move", "spendguard up"]}

    def world(name: str) -> Check:
        red = Finding(level=Level.RED, finding="It is so", remedy=remedies[name])
        return Check(name, "it", lambda _: [red])

    looked = examine(World(Session(Flags())), [world(name) for name in remedies])
    assert [one.remedy for one in looked] == [["restore"], ["move", "spendguard up"]]
    alone = examine(World(Session(Flags())), [world("ledger.whole")])
    assert alone[0].remedy == ["restore", "spendguard up"]
