"""Which door a connection came in by, what a browser is told, and the words that warn of it."""

import socket
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from sim import SimClock
from spendguard_daemon import runtime
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway import pages
from spendguard_daemon.gateway.door import Doors, Opened, reach_warnings
from spendguard_daemon.gateway.fairness import Fairness
from spendguard_daemon.gateway.proxy import HttpClient
from spendguard_daemon.gateway.routes import control_patterns, match
from spendguard_daemon.gateway.sockets import peer_uid
from spendguard_daemon.runtime import Home
from spendguard_daemon.setting_values import DANGER, split_listen
from spendguard_daemon.settings import Settings, load
from spendguard_daemon.system import SystemDisk

PAGE = "https://app.example.com"
DOORS = Doors(
    Opened(
        port=8787,
        agents_port=8788,
        listening=[("172.17.0.1", 8787), ("fd00::1", 80), ("0.0.0.0", 8790)],
        hosts=["host.docker.internal"],
        origins=[PAGE],
    )
)


@pytest.mark.parametrize(
    ("local", "name", "place"),
    [
        (("127.0.0.1", 8787), "loopback", "8787"),
        (("::1", 8787, 0, 0), "loopback", "8787"),
        (("127.0.0.1", 8788), "agents", "8788"),
        (("::1", 8788, 0, 0), "agents", "8788"),
        (("172.17.0.1", 8787), "listen", "172.17.0.1:8787"),
        (("fd00::1", 80, 0, 0), "listen", "[fd00::1]:80"),
        (("10.0.0.5", 8790), "listen", "10.0.0.5:8790"),
        (("127.0.0.1", 8790), "listen", "127.0.0.1:8790"),
        ("/home/me/.spendguard/run/daemon.sock", "unix", "unix:8787"),
        (b"", "unix", "unix:8787"),
    ],
)
def test_the_socket_tells_the_door(local: object, name: str, place: str) -> None:
    door = DOORS.of(local)
    assert door is not None
    assert (door.name, door.place) == (name, place)
    assert door.control is (name in ("loopback", "unix"))
    assert door.keys_only is (name != "loopback"), "isolated programs reach the Unix socket too"
    assert (door.served is None) is door.control
    assert door.origins == (frozenset() if name == "unix" else {PAGE})


@pytest.mark.parametrize(
    "local",
    [None, (), ("127.0.0.1", 9), ("127.0.0.2", 8787), ("fd00::2", 8790, 0, 0), ("fe80::1%eth0", 8787)],
)
def test_what_was_not_opened_is_no_door(local: object) -> None:
    assert DOORS.of(local) is None


def test_a_door_takes_its_own_names_and_those_of_the_operator() -> None:
    def hosts(local: object) -> frozenset[str]:
        door = DOORS.of(local)
        assert door is not None
        return door.hosts

    own = {"127.0.0.1:8787", "localhost:8787", "[::1]:8787"}
    assert hosts(("127.0.0.1", 8787)) == own | {"host.docker.internal:8787"}
    assert hosts(("127.0.0.1", 8788)) == {"127.0.0.1:8788", "localhost:8788", "[::1]:8788"}
    assert hosts(("10.0.0.5", 8790)) == {"10.0.0.5:8790", "host.docker.internal:8790"}
    named = {"[fd00::1]:80", "[fd00::1]", "host.docker.internal:80", "host.docker.internal"}
    assert hosts(("fd00::1", 80, 0, 0)) == named
    assert hosts("") == {"localhost"}


def test_the_wildcard_on_the_own_port_leaves_loopback_what_it_is() -> None:
    doors = Doors(Opened(port=8787, agents_port=1, listening=[("0.0.0.0", 8787)]))
    found = [doors.of((host, 8787)) for host in ("127.0.0.1", "127.0.0.2", "192.168.1.7")]
    assert [door.name for door in found if door] == ["loopback", "listen", "listen"]


@pytest.mark.parametrize("asked", sorted(control_patterns()))
def test_of_the_control_table_agents_doors_have_own_reads_and_health(asked: str) -> None:
    method, path = asked.split(" ")
    target = "/" + path.format(agent="a", call="c", provider="openai", key="k")
    door = DOORS.of(("127.0.0.1", 8788))
    assert door is not None
    if match(method, target).name in (door.served or ()):
        assert method == "GET"
        assert match(method, target, door.served) == match(method, target)
        return
    with pytest.raises(SpendGuardError) as refused:
        match(method, target, door.served)
    assert refused.value.code is Code.ROUTE_NOT_FOUND


def test_a_method_of_no_route_names_only_what_the_door_has() -> None:
    door = DOORS.of(("127.0.0.1", 8788))
    assert door is not None
    with pytest.raises(SpendGuardError) as refused:
        match("PUT", "/v1/agents/a/budget", door.served)
    assert (refused.value.code, refused.value.facts["allow"]) == (Code.METHOD_NOT_ALLOWED, ["GET"])
    with pytest.raises(SpendGuardError) as unknown:
        match("PUT", "/v1/agents", door.served)
    assert unknown.value.code is Code.ROUTE_NOT_FOUND


def test_only_what_others_reach_is_warned_of() -> None:
    assert reach_warnings([]) == []
    assert reach_warnings(["http://127.0.0.1:8790", "http://[::1]:8790", "http://127.0.0.2:1"]) == []
    (warning,) = reach_warnings(["http://127.0.0.1:8790", "http://172.17.0.1:8787"])
    assert warning.startswith(DANGER)
    assert "http://172.17.0.1:8787" in warning
    assert "8790" not in warning
    (everywhere,) = reach_warnings(["http://[::]:8787"])
    assert "every address of this machine" in everywhere


@pytest.mark.parametrize(
    ("item", "read"),
    [
        ("172.17.0.1", ("172.17.0.1", None)),
        ("172.17.0.1:8790", ("172.17.0.1", 8790)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("::", ("::", None)),
        ("FD00:0::1", ("fd00::1", None)),
        ("[fd00::1]", ("fd00::1", None)),
        ("[fd00::1]:8790", ("fd00::1", 8790)),
    ],
)
def test_addresses_to_listen_on_are_read(item: str, read: tuple[str, int | None]) -> None:
    env = {"SPENDGUARD_ACCESS_LISTEN": item, "SPENDGUARD_ACCESS_BARE_HEADER": "refuse"}
    assert load("", env).listen == (item,)
    assert split_listen(item) == read


@pytest.mark.parametrize(
    "item", ["localhost", "1.2.3", "1.2.3.4:65536", "[::1", "::1]:9", "1.2.3.4:x", ":80"]
)
def test_what_is_no_address_is_refused_by_name(item: str) -> None:
    env = {"SPENDGUARD_ACCESS_LISTEN": item, "SPENDGUARD_ACCESS_BARE_HEADER": "refuse"}
    with pytest.raises(SpendGuardError) as refused:
        load("", env)
    assert (refused.value.code, "LISTEN" in refused.value.detail) == (Code.USAGE, True)


@pytest.mark.parametrize(("written", "read"), [("8790\n", 8790), ("", 0), ("0", 0), ("x", 0), ("70000", 0)])
def test_a_kept_port_that_is_none_is_none(tmp_path: Path, written: str, read: int) -> None:
    home = Home(tmp_path)
    runtime.prepare(home, SystemDisk())
    assert runtime.read_agents_port(home) == 0
    home.agents_port.write_text(written)
    assert runtime.read_agents_port(home) == read


def test_the_other_end_of_a_socket_is_this_user(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        client.connect(str(tmp_path / "s"))
        accepted, _ = listening.accept()
        with accepted:
            assert peer_uid(accepted) == tmp_path.stat().st_uid


def test_a_preflight_is_answered_for_model_routes_alone() -> None:
    told = pages.preflight(PAGE, "/v1/messages", ["POST"], ["true"], None)
    assert told["access-control-allow-origin"] == PAGE
    assert told["access-control-allow-private-network"] == "true"
    assert "access-control-allow-credentials" not in told
    assert "access-control-allow-private-network" not in pages.preflight(
        PAGE, "/v1/models", ["GET"], [], None
    )
    for target, methods in (
        ("/v1/agents", ["GET"]),
        ("/", ["GET"]),
        ("/v1/messages", []),
        ("/health", ["GET"]),
    ):
        with pytest.raises(SpendGuardError) as refused:
            pages.preflight(PAGE, target, methods, [], None)
        assert refused.value.code is Code.FORBIDDEN_ORIGIN


async def test_a_streamed_answer_gets_the_marks_when_it_begins() -> None:
    """Its headers leave before the gateway sees the answer."""

    shares = Fairness(Settings(), SimClock(), calls_open=lambda _: 0, note=lambda _: None)
    stay = shares.enter("an agent")

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        client = HttpClient(request, 5, stay, pages.marks(PAGE))
        await client.start(200, {"content-type": "text/event-stream"})
        await client.write(b"data: x\n\n")
        assert client.response is not None
        return client.response

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with (
            ClientSession() as session,
            session.get(f"http://127.0.0.1:{runner.addresses[0][1]}") as got,
        ):
            assert got.headers["access-control-allow-origin"] == PAGE
            assert got.headers["vary"] == "Origin"
            assert await got.read() == b"data: x\n\n"
    finally:
        await runner.cleanup()
