"""Every door of a running daemon over raw sockets: what is served there, to whom, under which names.

Whatever is refused, nothing reaches the provider and nothing is written.
"""

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raw_http import Answer, Place, send
from recorded import RecordedUpstream
from shell import Shell
from sidecar import Sidecar
from spendguard_daemon.gateway.routes import OWN_READS, control_patterns
from spendguard_daemon.runtime import is_proof

CHAT = "/v1/chat/completions"
PAGE = "https://app.example.com"
HELLO = json.dumps(
    {"model": "gpt-4o-mini", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
)
NONCE = "0123456789abcdef0123456789abcdef"
NAME = "host.docker.internal"
DOORS = ("loopback", "agents", "listen", "wildcard", "unix")
FOR_AGENTS = ("agents", "listen", "wildcard")


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon with every door open, and a page that may call."""
    env = {
        "SPENDGUARD_ACCESS_LISTEN": "127.0.0.1:0,0.0.0.0:0",
        "SPENDGUARD_ACCESS_BARE_HEADER": "refuse",
        "SPENDGUARD_ACCESS_HOSTS": NAME,
        "SPENDGUARD_ACCESS_ORIGINS": PAGE,
    }
    with Sidecar(tmp_path_factory.mktemp("doors") / "home", upstream.base_url, env=env) as running:
        yield running


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon as it is without settings."""
    with Sidecar(tmp_path_factory.mktemp("plain") / "home", upstream.base_url) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_forwarded(upstream: RecordedUpstream) -> Iterator[None]:
    """What these tests send must never reach a provider."""
    yield
    assert upstream.received == []


def place_of(sidecar: Sidecar, door: str) -> tuple[Place, str]:
    """Return where a door is, and the Host that it takes."""
    told = sidecar.control("GET", "/v1/status")
    if door == "unix":
        return str(told["socket"]), "localhost"
    at = {"loopback": told["addresses"][0], "agents": told["agents_url"]}
    if door in ("listen", "wildcard"):
        at[door] = told["listening"][door == "wildcard"]
    port = int(at[door].rpartition(":")[2])
    return ("127.0.0.1", port), f"127.0.0.1:{port}"


async def ask(
    sidecar: Sidecar, door: str, method: str, path: str, *lines: str, host: str | None = None, body: str = ""
) -> Answer:
    """Send one request to a door; each of `lines` is a header as it is."""
    place, own = place_of(sidecar, door)
    head = [
        f"{method} {path} HTTP/1.1",
        f"host: {own if host is None else host}",
        "connection: close",
        *lines,
    ]
    head += ["content-type: application/json", f"content-length: {len(body)}"] if body else []
    answer = await send(place, "\r\n".join([*head, "", body]).encode("latin-1"))
    assert answer is not None
    return answer


def code(answer: Answer) -> str:
    """Return the code of a refusal."""
    return str(answer.json()["spendguard"]["code"])


def allowed(answer: Answer) -> dict[str, str]:
    """Return what an answer tells a browser."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


# -- what is served -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_health_and_roots_are_served_at_each(sidecar: Sidecar, door: str) -> None:
    for path in ("/health", "/", "/openai", "/v1/agents/a/runs/r/anthropic"):
        assert (await ask(sidecar, door, "GET", path)).status == 200, path
    head = await ask(sidecar, door, "HEAD", "/")
    assert (head.status, head.body) == (200, b"")
    ready = await ask(sidecar, door, "GET", "/ready")
    assert ready.status == (404 if door in FOR_AGENTS else 200)


@pytest.mark.parametrize("door", DOORS)
async def test_the_proof_holds_at_its_own_place_alone(sidecar: Sidecar, door: str) -> None:
    """Else whoever sits on a port that the daemon left could pass on what it says elsewhere."""
    places: dict[str, int | str] = {}
    for name in DOORS:
        at, host = place_of(sidecar, name)
        port = at[1] if isinstance(at, tuple) else sidecar.port
        places[name] = {"unix": f"unix:{port}", "listen": host, "wildcard": host}.get(name, port)
    told = (await ask(sidecar, door, "GET", "/health", f"x-spendguard-nonce: {NONCE}")).headers
    proven = {
        name for name in DOORS if is_proof(sidecar.token, NONCE, places[name], told["x-spendguard-proof"])
    }
    assert proven == {door}


@pytest.mark.parametrize("door", FOR_AGENTS)
async def test_doors_of_agents_have_no_control(sidecar: Sidecar, door: str) -> None:
    """Not even for the admin token; an agent's own reads are there, for who has its key."""
    agent = sidecar.agent()
    before = sidecar.journal()
    for pattern, name in control_patterns().items():
        if name == "health":
            continue
        method, path = pattern.split(" ")
        path = path.format(agent=agent, call="c", provider="openai", key="k")
        for header in (f"authorization: Bearer {sidecar.token}", f"x-api-key: {sidecar.token}", "x: y"):
            body = "{}" if method in ("POST", "PATCH") else ""
            answer = await ask(sidecar, door, method, f"/{path}", header, body=body)
            expected = (401, "key_required") if name in OWN_READS else (404, "route_not_found")
            assert (answer.status, code(answer)) == expected, (pattern, header)
            assert sidecar.token not in answer.body.decode()
    for path in (
        "/metrics",
        "/openapi.json",
        "/v1/nothing",
        "/v1/agents/",
        "//v1/agents",
        "/v1/../v1/agents",
    ):
        assert (await ask(sidecar, door, "GET", path, f"x-api-key: {sidecar.token}")).status in (404, 401), (
            path
        )
    assert sidecar.journal() == before


@pytest.mark.parametrize("door", FOR_AGENTS)
@pytest.mark.parametrize(
    "path",
    [CHAT, "/v1/messages", "/v1/responses/input_tokens", "/v1beta/models/gemini-2.0-flash:generateContent"],
)
async def test_doors_of_agents_take_keys_only(sidecar: Sidecar, door: str, path: str) -> None:
    """A name is not enough, nor is the admin token, nor a key that is none."""
    agent = sidecar.agent()
    named = f"x-cynsta-agent-id: {agent}"
    for lines in (
        [],
        [named],
        [named, f"authorization: Bearer {sidecar.token}"],
        [named, "x-api-key: sk-any"],
    ):
        answer = await ask(sidecar, door, "POST", path, *lines, body=HELLO)
        assert (answer.status, code(answer)) == (401, "key_required"), lines
    for line in ("authorization: Bearer sg_agent_x", "x-api-key: sg_agent_x", "x-goog-api-key: sg_agent_x"):
        assert (await ask(sidecar, door, "POST", path, named, line, body=HELLO)).status == 401
    assert sidecar.calls(agent) == []


@pytest.mark.parametrize("door", FOR_AGENTS)
async def test_models_are_listed_for_who_has_a_key(sidecar: Sidecar, door: str) -> None:
    for path in ("/v1/models", "/v1/models/gpt-4o-mini", "/v1beta/models"):
        answer = await ask(sidecar, door, "GET", path)
        assert (answer.status, code(answer)) == (401, "key_required")


@pytest.mark.parametrize("door", ["loopback", "unix"])
async def test_control_needs_the_token(sidecar: Sidecar, door: str) -> None:
    answer = await ask(sidecar, door, "GET", "/v1/status")
    assert (answer.status, code(answer)) == (401, "unauthorized")
    answer = await ask(sidecar, door, "GET", "/v1/status", f"authorization: Bearer {sidecar.token}")
    assert answer.status == 200


async def test_an_open_sidecar_is_open_on_loopback_alone(tmp_path: Path) -> None:
    """`[access] control="open-loopback"` opens neither the doors of agents nor the socket."""
    with Sidecar(tmp_path / "home", env={"CAP_SIDECAR_OPEN": "1"}) as open_one:
        answers = [await ask(open_one, door, "GET", "/v1/agents") for door in ("loopback", "agents", "unix")]
    assert [answer.status for answer in answers] == [200, 404, 401]


# -- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_other_names_are_misdirected(sidecar: Sidecar, door: str) -> None:
    """DNS rebinding ends at every door; so does a name that two readers would split in two ways."""
    _, own = place_of(sidecar, door)
    bare, _, port = own.partition(":")
    for host in (
        "evil.example",
        f"evil.example:{port}",
        f"{own}@evil.example",
        f"evil.example@{own}",
        f"{own},evil.example",
        f"{bare}.:{port}" if port else "localhost.",
        f"{bare}.evil.example:{port}",
        f"{bare}:{int(port or 0) + 1}",
        f"{bare}:0{port}",
        f"http://{own}",
        f"{own}/",
        "[::]",
        "0.0.0.0",
        "",
    ):
        answer = await ask(sidecar, door, "GET", "/health", host=host)
        assert (answer.status, code(answer)) in ((421, "misdirected_host"), (400, "malformed_request")), host


@pytest.mark.parametrize("door", DOORS)
async def test_odd_forms_of_a_request_are_refused(sidecar: Sidecar, door: str) -> None:
    """Absolute form, two Hosts, none, HTTP/1.0 without one, tunnels."""
    place, own = place_of(sidecar, door)
    secret = f"authorization: Bearer {sidecar.token}\r\n"
    for raw in (
        f"GET http://{own}/health HTTP/1.1\r\nhost: {own}\r\n",
        f"GET http://{own}/v1/agents HTTP/1.1\r\nhost: evil.example\r\n{secret}",
        f"GET http://evil.example/v1/agents HTTP/1.1\r\nhost: {own}\r\n{secret}",
        f"GET /health HTTP/1.1\r\nhost: {own}\r\nhost: evil.example\r\n",
        f"GET /health HTTP/1.1\r\nhost: {own}\r\nhost: {own}\r\n",
        "GET /health HTTP/1.1\r\n",
        "GET /health HTTP/1.0\r\n",
        f"OPTIONS * HTTP/1.1\r\nhost: {own}\r\n",
        f"CONNECT {own} HTTP/1.1\r\nhost: {own}\r\n",
    ):
        answer = await send(place, f"{raw}connection: close\r\n\r\n".encode())
        assert answer is not None, raw
        assert answer.status in (400, 421), raw


async def test_own_names_are_served_in_any_case(sidecar: Sidecar) -> None:
    """The names of `[access] hosts` too, but not at the door of agents, whose address is for this machine."""
    for door in DOORS:
        _, own = place_of(sidecar, door)
        port = own.partition(":")[2]
        served = {own, own.upper()}
        if door in ("loopback", "agents"):
            served |= {f"LocalHost:{port}", f"[::1]:{port}"}
        if door in ("loopback", "listen", "wildcard"):
            served |= {f"{NAME}:{port}", f"{NAME.upper()}:{port}"}
        for host in served:
            assert (await ask(sidecar, door, "GET", "/health", host=host)).status == 200, (door, host)
    port = place_of(sidecar, "agents")[1].partition(":")[2]
    assert (await ask(sidecar, "agents", "GET", "/health", host=f"{NAME}:{port}")).status == 421
    for host in (NAME, f"{NAME}:1", f"x.{NAME}:{sidecar.port}"):
        assert (await ask(sidecar, "loopback", "GET", "/health", host=host)).status == 421, host


# -- web pages ----------------------------------------------------------------------------------------------

ASKING = ("access-control-request-method: POST", "access-control-request-headers: authorization,content-type")


async def test_without_the_setting_no_page_gets_a_word(plain: Sidecar) -> None:
    agent = plain.agent()
    for door in ("loopback", "agents", "unix"):
        for origin in (PAGE, f"http://localhost:{plain.port}", "null", "", "http://127.0.0.1:3000"):
            preflight = await ask(plain, door, "OPTIONS", CHAT, f"origin: {origin}", *ASKING)
            line = f"x-cynsta-agent-id: {agent}"
            call = await ask(plain, door, "POST", CHAT, f"origin: {origin}", line, body=HELLO)
            for answer in (preflight, call):
                assert (answer.status, code(answer)) == (403, "forbidden_origin"), (door, origin)
                assert allowed(answer) == {}
        for site in ("cross-site", "same-site", "same-origin"):
            answer = await ask(plain, door, "GET", "/health", f"sec-fetch-site: {site}")
            assert (answer.status, code(answer)) == (403, "forbidden_origin")
        assert (await ask(plain, door, "GET", "/health", "sec-fetch-site: none")).status == 200


@pytest.mark.parametrize("door", ["loopback", "agents", "listen", "wildcard"])
async def test_a_page_that_may_call_is_told_so(sidecar: Sidecar, door: str) -> None:
    site = "sec-fetch-site: cross-site"
    for method, path in (("POST", CHAT), ("POST", "/anthropic/v1/messages"), ("GET", "/v1/models")):
        asks = f"access-control-request-method: {method}"
        told = await ask(sidecar, door, "OPTIONS", path, f"origin: {PAGE}", site, asks)
        assert (told.status, told.body) == (204, b"")
        assert told.headers["access-control-allow-origin"] == PAGE
        assert told.headers["access-control-allow-methods"] == method
        assert {
            "authorization",
            "x-api-key",
            "x-goog-api-key",
            "anthropic-version",
            "x-stainless-lang",
        } < set(told.headers["access-control-allow-headers"].split(", "))
        assert int(told.headers["access-control-max-age"]) > 0
        assert "Origin" in told.headers["vary"]
        assert not {"access-control-allow-credentials", "access-control-allow-private-network"} & set(
            told.headers
        )
    private = "access-control-request-private-network: true"
    told = await ask(sidecar, door, "OPTIONS", CHAT, f"origin: {PAGE}", private, *ASKING)
    assert told.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize("door", ["loopback", "agents", "listen", "wildcard"])
async def test_a_page_needs_an_agent_key(sidecar: Sidecar, door: str) -> None:
    """Wherever it comes in; and it may read why it was refused."""
    agent = sidecar.agent()
    lines = (f"origin: {PAGE}", "sec-fetch-site: cross-site", f"x-cynsta-agent-id: {agent}")
    for more in ((), (f"authorization: Bearer {sidecar.token}",), ("x-api-key: sk-any",)):
        answer = await ask(sidecar, door, "POST", CHAT, *lines, *more, body=HELLO)
        assert (answer.status, code(answer)) == (401, "key_required")
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "Origin"
        assert "x-spendguard-call-id" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
    answer = await ask(sidecar, door, "POST", CHAT, *lines, "x-api-key: sg_agent_x", body=HELLO)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, PAGE)


@pytest.mark.parametrize("door", DOORS)
async def test_pages_get_nothing_else(sidecar: Sidecar, door: str) -> None:
    """Neither control nor roots, with the admin token or without; and no other page gets anything."""
    token, site = f"authorization: Bearer {sidecar.token}", "sec-fetch-site: cross-site"
    before = sidecar.journal()
    for method, path in (
        ("GET", "/v1/agents"),
        ("POST", "/v1/agents"),
        ("GET", "/health"),
        ("GET", "/ready"),
    ):
        body = "{}" if method == "POST" else ""
        answer = await ask(sidecar, door, method, path, f"origin: {PAGE}", token, body=body)
        assert answer.status in (403, 404), path
        asks = f"access-control-request-method: {method}"
        preflight = await ask(sidecar, door, "OPTIONS", path, f"origin: {PAGE}", asks)
        assert preflight.status in (403, 404), path
        assert allowed(answer) == allowed(preflight) == {}
    strangers: tuple[tuple[str, ...], ...] = (
        ("origin: https://evil.example", site),
        (f"origin: {PAGE}.evil.example", site),
        (f"origin: {PAGE.upper()}",),
        (f"origin: {PAGE}/",),
        (f"origin: {PAGE}:443",),
        (f"origin: {PAGE.replace('https', 'http')}",),
        ("origin: null", site),
        (f"origin: {PAGE} https://evil.example",),
        (f"origin: {PAGE}", "origin: https://evil.example"),
        (f"origin: {PAGE}", f"origin: {PAGE}"),
        (site,),
        (f"referer: {PAGE}/", site),
    )
    for lines in strangers:
        for method, more in (("POST", ("x-api-key: sg_agent_x",)), ("OPTIONS", ASKING)):
            body = HELLO if method == "POST" else ""
            answer = await ask(sidecar, door, method, CHAT, *lines, *more, body=body)
            assert (answer.status, code(answer)) == (403, "forbidden_origin"), lines
            assert allowed(answer) == {}
    assert sidecar.journal() == before


async def test_the_socket_is_no_door_for_pages(sidecar: Sidecar) -> None:
    answer = await ask(sidecar, "unix", "OPTIONS", CHAT, f"origin: {PAGE}", *ASKING)
    assert (answer.status, code(answer)) == (403, "forbidden_origin")


# -- the Unix socket ----------------------------------------------------------------------------------------

KNOCK = """
import os, socket, sys
os.setgid(65534), os.setuid(65534)
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.sendall(sys.argv[2].encode())
    print(client.makefile().read())
"""


def test_the_socket_is_the_owners_alone(sidecar: Sidecar) -> None:
    found = sidecar.home.socket.lstat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == os.geteuid()
    assert stat.S_IMODE(sidecar.home.socket.parent.stat().st_mode) == 0o700


def test_another_user_is_refused_even_where_the_modes_let_it_in(sidecar: Sidecar) -> None:
    """Only root can play another user; everybody else has the modes above."""
    if os.geteuid() != 0:
        return
    closed = [folder for folder in sidecar.home.socket.parents if not folder.stat().st_mode & 0o001]
    modes = [(path, stat.S_IMODE(path.stat().st_mode)) for path in (sidecar.home.socket, *closed)]
    lines = ["GET /v1/status HTTP/1.1", "host: localhost", f"x-api-key: {sidecar.token}", "connection: close"]
    try:
        for path, mode in modes:
            path.chmod(mode | (0o006 if path == sidecar.home.socket else 0o001))
        raw = "\r\n".join([*lines, "", ""])
        command = [sys.executable, "-P", "-c", KNOCK, str(sidecar.home.socket), raw]
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout
    finally:
        for path, mode in modes:
            path.chmod(mode)
    assert said.startswith("HTTP/1.1 401")
    assert "another user" in said


def test_a_stale_socket_is_replaced_and_removed_at_stop(tmp_path: Path) -> None:
    with Sidecar(tmp_path / "home") as sidecar:
        assert sidecar.control("GET", "/v1/status")["socket"] == str(sidecar.home.socket)
        before = sidecar.home.socket.lstat()
        sidecar.kill()
        assert sidecar.home.socket.lstat().st_ino == before.st_ino
        sidecar.start()
        answer = asyncio.run(ask(sidecar, "unix", "GET", "/health"))
        assert answer.status == 200
        sidecar.stop()
        assert not os.path.lexists(sidecar.home.socket)


def test_a_second_daemon_touches_neither_socket_nor_port(tmp_path: Path) -> None:
    with Sidecar(tmp_path / "home") as sidecar:
        before, port = sidecar.home.socket.lstat(), sidecar.home.agents_port.read_text()
        second = Shell(sidecar.home.root).run("up", "--foreground")
        daemon = subprocess.run(
            [sys.executable, "-P", "-m", "spendguard_daemon", "--port", "0"],
            env={**os.environ, "SPENDGUARD_HOME": str(sidecar.home.root)},
            capture_output=True,
            check=False,
        )
        assert json.loads(daemon.stderr.splitlines()[-1])["code"] == "ledger_locked"
        assert second.code != 0
        assert sidecar.home.socket.lstat().st_ino == before.st_ino
        assert sidecar.home.agents_port.read_text() == port
        assert asyncio.run(ask(sidecar, "unix", "GET", "/health")).status == 200


def log_of(sidecar: Sidecar) -> list[dict[str, Any]]:
    """Return the records of a daemon's log."""
    return [json.loads(line) for line in sidecar.home.log.read_text().splitlines()]


def test_what_is_no_socket_stays_and_is_told(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "home")
    sidecar.home.socket.parent.mkdir(parents=True, mode=0o700)
    sidecar.home.root.chmod(0o700)
    sidecar.home.socket.write_text("a note")
    with sidecar:
        assert sidecar.control("GET", "/v1/status")["socket"] is None
        assert Shell(sidecar.home.root).quick.ok("agent", "list").code == 0
    assert sidecar.home.socket.read_text() == "a note"
    assert any(line["message"].startswith("no Unix socket") for line in log_of(sidecar))


def test_a_path_too_long_for_a_socket_is_told_and_gone_without(tmp_path: Path) -> None:
    with Sidecar(tmp_path / ("long-" * 20) / "home") as sidecar:
        assert sidecar.control("GET", "/v1/status")["socket"] is None
        assert Shell(sidecar.home.root).quick.ok("status").keys["base_url"] == sidecar.base
        assert any("too long" in line["message"] for line in log_of(sidecar))


# -- ports --------------------------------------------------------------------------------------------------


def test_the_agents_port_is_kept_until_a_stranger_has_it(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "home")
    urls = []
    for _ in range(2):
        with sidecar:
            urls.append(sidecar.control("GET", "/v1/status")["agents_url"])
    assert urls[0] == urls[1]
    port = int(urls[0].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), sidecar:
        other = sidecar.control("GET", "/v1/status")["agents_url"]
        assert other != urls[0]
        assert json.loads(sidecar.home.daemon_json.read_text())["agents_url"] == other
        assert asyncio.run(ask(sidecar, "agents", "GET", "/health")).status == 200
        taken = [line for line in log_of(sidecar) if "taken" in line["message"]]
        assert [line["port"] for line in taken] == [port]
    with sidecar:
        assert sidecar.control("GET", "/v1/status")["agents_url"] == other


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_stranger_on_either_loopback_address_refuses_the_start(tmp_path: Path, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as stranger:
        stranger.bind((address, 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        refused = Shell(tmp_path / "home").run("up", "--port", str(port))
        assert refused.code == 1
        assert f"The port is taken: {port}" in refused.err


async def test_the_wildcard_on_the_own_port_leaves_loopback_to_the_operator(tmp_path: Path) -> None:
    env = {"SPENDGUARD_ACCESS_LISTEN": "0.0.0.0", "SPENDGUARD_ACCESS_BARE_HEADER": "refuse"}
    with Sidecar(tmp_path / "home", env=env) as sidecar:
        told = sidecar.control("GET", "/v1/status")
        assert told["listening"] == [f"http://0.0.0.0:{sidecar.port}"]
        assert f"http://127.0.0.1:{sidecar.port}" in told["addresses"]
        own = f"127.0.0.2:{sidecar.port}"
        for host, path, status in (
            (own, "/health", 200),
            (own, "/v1/status", 404),
            (own, "/v1/models", 401),
            (f"127.0.0.1:{sidecar.port}", "/health", 421),
        ):
            head = f"GET {path} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {sidecar.token}\r\n"
            answer = await send(("127.0.0.2", sidecar.port), f"{head}connection: close\r\n\r\n".encode())
            assert answer is not None
            assert answer.status == status, (host, path)


@pytest.mark.parametrize(("listen", "refused"), [("192.0.2.77", "usage"), ("127.0.0.1", "port_taken")])
def test_an_address_that_cannot_be_had_refuses_the_start(tmp_path: Path, listen: str, refused: str) -> None:
    env = {"SPENDGUARD_ACCESS_LISTEN": listen, "SPENDGUARD_ACCESS_BARE_HEADER": "refuse"}
    sidecar = Sidecar(tmp_path / "home", env=env)
    with pytest.raises(AssertionError, match=refused):
        sidecar.start()
    sidecar.stop()
    assert not os.path.lexists(sidecar.home.socket)
