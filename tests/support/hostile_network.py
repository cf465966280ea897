"""Attempts over the network: the sidecar's ports and its socket, its control routes, names, keys, slowness.

A call that was served is a success only where it is not the program's own: whose it is, its own key tells.
"""

import contextlib
import json
import os
import resource
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hostile_program import Facts, RefusedError, attempt

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "more"}]}
DEAR = {**BODY, "model": "gpt-4o", "max_tokens": 400}
SECONDS = 20
_MPTCP, _AF_SMC, _FASTOPEN = 262, 43, 0x2000_0000
_SLOW = 1200


@dataclass(frozen=True)
class Said:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


# -- a client ---------------------------------------------------------------------------------------------


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Open a connection."""
    return socket.create_connection((host, port), timeout=SECONDS)


def exchange(connection: socket.socket, raw: bytes) -> list[Said]:
    """Send bytes and read all answers until the other side has nothing more to say."""
    with connection:
        connection.sendall(raw)
        received = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            while chunk := connection.recv(65_536):
                received += chunk
    return list(_answers(received))


def _answers(received: bytes) -> Iterable[Said]:
    while received.startswith(b"HTTP/1."):
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", len(rest)))
        yield Said(int(first.split()[1]), headers, rest[:length])
        received = rest[length:]


Headers = Mapping[str, str] | list[tuple[str, str]]


def request(
    port: int, path: str, headers: Headers, *, method: str = "POST", body: bytes | None = None, host: str = ""
) -> bytes:
    """Return a request; headers may be given as pairs, so that names can come twice."""
    raw = json.dumps(BODY).encode() if body is None else body
    pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
    lines = [f"{method} {path} HTTP/1.1", f"host: {host or f'127.0.0.1:{port}'}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in pairs]
    lines += ["content-type: application/json", f"content-length: {len(raw)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + raw


def call(port: int, headers: Headers, body: object = BODY) -> Said:
    """Make a call and return its answer."""
    answers = exchange(connect(port), request(port, CHAT, headers, body=json.dumps(body).encode()))
    if not answers:
        raise RefusedError("no answer")
    return answers[0]


def _own(facts: Facts) -> dict[str, str]:
    return {"authorization": f"Bearer {facts.key}"}


def _is_own(facts: Facts, said: Said) -> bool:
    path = f"/v1/calls/{said.headers.get('x-spendguard-call-id', '')}"
    raw = request(facts.agents_port, path, _own(facts), method="GET", body=b"")
    return exchange(connect(facts.agents_port), raw)[0].status == 200


def _gained(facts: Facts, answers: Iterable[Said]) -> str:
    """Return what was gained by answers: a call that is another's; raise RefusedError for nothing."""
    seen = []
    for said in answers:
        if said.status == 200 and not _is_own(facts, said):
            return f"200: {said.body[:200]!r}"
        seen.append(str(said.status))
    raise RefusedError(f"answers: {' '.join(seen) or 'none'}")


# -- ports and sockets ------------------------------------------------------------------------------------


@attempt("network", "call in another agent's name at the sidecar's own port")
def own_port(facts: Facts) -> str:
    return _gained(facts, [call(facts.port, {"x-cynsta-agent-id": facts.keyless})])


@attempt("network", "reach the sidecar's own port by another address")
def other_addresses(facts: Facts) -> str:
    reached, why = [], ""
    for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "::1", "::ffff:127.0.0.1"):
        try:
            connect(facts.port, host).close()
            reached.append(host)
        except OSError as error:
            why = str(error)
    if not reached:
        raise RefusedError(why)
    return ", ".join(reached)


@attempt("network", "reach the sidecar's own port by multipath TCP")
def multipath(facts: Facts) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, _MPTCP) as made:
        made.connect(("127.0.0.1", facts.port))
    return "connected"


@attempt("network", "reach the sidecar's own port by SMC")
def smc(facts: Facts) -> str:
    with socket.socket(_AF_SMC, socket.SOCK_STREAM, 0) as made:
        made.connect(("127.0.0.1", facts.port))
    return "connected"


@attempt("network", "reach the sidecar's own port by data that connects")
def fast_open(facts: Facts) -> str:
    with socket.socket() as made:
        made.sendto(b"GET /health HTTP/1.1\r\n", _FASTOPEN, ("127.0.0.1", facts.port))
        made.getpeername()
    return "connected"


@attempt("network", "make packets for the sidecar's own port by hand")
def raw_packets(facts: Facts) -> str:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).close()
    return "a raw socket"


def _at_operators(facts: Facts) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(SECONDS)
    made.connect(facts.socket)
    return made


def _at_socket(facts: Facts, headers: Headers, path: str, method: str = "POST") -> Said:
    made = _at_operators(facts)
    raw = request(0, path, headers, method=method, host="localhost")
    answers = exchange(made, raw)
    if not answers:
        raise RefusedError("no answer")
    return answers[0]


@attempt("network", "call in another agent's name at the sidecar's socket")
def at_socket(facts: Facts) -> str:
    named = {"x-cynsta-agent-id": facts.keyless}
    return _gained(facts, [_at_socket(facts, named, CHAT), _at_socket(facts, {**_own(facts), **named}, CHAT)])


@attempt("network", "raise the own budget at the sidecar's socket")
def control_at_socket(facts: Facts) -> str:
    path = f"/v1/agents/{facts.agent}/budget/topup"
    return _controlled(_at_socket(facts, headers, path) for headers in _guesses(facts))


# -- control ----------------------------------------------------------------------------------------------


def _guesses(facts: Facts) -> list[Headers]:
    """Return what an agent could send in the place of the admin token."""
    token = f"sg_admin_{secrets.token_hex(32)}"
    return [
        {},
        _own(facts),
        {"x-api-key": facts.key},
        {"authorization": f"Bearer {token}"},
        {"x-api-key": token},
        {"authorization": "Bearer "},
        {"authorization": "Bearer sg_admin_"},
        [("authorization", f"Bearer {facts.key}"), ("authorization", f"Bearer {token}")],
        [("x_api_key", token), ("x-spendguard-actor", "operator"), ("x-forwarded-for", "127.0.0.1")],
        {"cookie": f"token={token}"},
    ]


def _controlled(answers: Iterable[Said]) -> str:
    seen = []
    for said in answers:
        if said.status < 400:
            return f"{said.status}: {said.body[:200]!r}"
        seen.append(said.status)
    raise RefusedError(f"answers: {seen}")


def _routes(facts: Facts) -> list[tuple[str, str, object]]:
    """Return every control route that gives money, names or keys, and each that tells of others."""
    found: list[tuple[str, str, object]] = [
        ("POST", "/v1/agents", {"name": "mine"}),
        ("GET", "/v1/agents", None),
        ("GET", "/v1/status", None),
        ("GET", "/v1/providers", None),
        ("POST", "/v1/providers/reload", {}),
        ("POST", "/v1/stop", {}),
        ("POST", "/v1/daemon/stop", {}),
        ("POST", "/v1/daemon/budget", {"hard_limit_cents": 10_000}),
        ("GET", "/metrics", None),
    ]
    for agent in (facts.agent, facts.keyless, facts.keyed):
        here = f"/v1/agents/{agent}"
        found += [
            ("PATCH", here, {"frozen": False}),
            ("DELETE", here, None),
            ("POST", f"{here}/budget", {"hard_limit_cents": 10_000, "topup_cents": 10_000}),
            ("POST", f"{here}/budget/topup", {"topup_cents": 10_000}),
            ("POST", f"{here}/unfreeze", {}),
            ("POST", f"{here}/runs", {}),
            ("POST", f"{here}/keys", {"limit_cents": 10_000}),
            ("POST", f"{here}/keys/{facts.key_id}/rotate", {}),
            ("POST", f"{here}/keys/{facts.keyed_key_id}/rotate", {}),
            ("DELETE", f"{here}/keys/{facts.keyed_key_id}", None),
        ]
    for agent in (facts.keyless, facts.keyed):
        here = f"/v1/agents/{agent}"
        found += [("GET", f"{here}{rest}", None) for rest in ("", "/budget", "/runs", "/calls", "/keys")]
    return found


@attempt("network", "use a control route at the agents' port")
def control(facts: Facts) -> str:
    return _controlled(_control_at(facts, facts.agents_port))


@attempt("network", "use a control route at the sidecar's own port")
def control_at_own_port(facts: Facts) -> str:
    return _controlled(_control_at(facts, facts.port))


def _control_at(facts: Facts, port: int) -> Iterable[Said]:
    for method, path, body in _routes(facts):
        for headers in (_own(facts), {"x-api-key": f"sg_admin_{secrets.token_hex(32)}"}):
            raw = b"" if body is None else json.dumps(body).encode()
            yield from exchange(connect(port), request(port, path, headers, method=method, body=raw))


# -- names ------------------------------------------------------------------------------------------------


@attempt("network", "call in another agent's name at the agents' port")
def names(facts: Facts) -> str:
    """Header tricks: the bare id, two names, lists, look-alikes, other paths, the query, the session."""
    own, name = f"Bearer {facts.key}", "x-cynsta-agent-id"
    port = facts.agents_port

    def answers() -> Iterable[Said]:
        for other in (facts.keyless, facts.keyed):
            root = f"/v1/agents/{other}/runs/default"
            bearer = ("authorization", own)
            for headers in (
                [(name, other)],
                [bearer, (name, other)],
                [bearer, (name, facts.agent), (name, other)],
                [(name, other), bearer, (name, facts.agent)],
                [bearer, (name, f"{facts.agent}, {other}")],
                [bearer, (name, f"{facts.agent},{other}")],
                [bearer, ("X-Cynsta-Agent-Id", other)],
                [bearer, ("x_cynsta_agent_id", other)],
                [bearer, (f"{name} ", other)],
                [bearer, (name, f"{facts.agent}\x0b{other}")],
                [("authorization", f"Bearer sg_agent_{facts.keyed_key_id}.{facts.key.partition('.')[2]}")],
                [("authorization", "Bearer not-a-key"), (name, other)],
                [("x-api-key", ""), (name, other)],
                [bearer, ("x-api-key", f"sg_agent_{facts.keyed_key_id}.AAAA"), (name, other)],
                [(name, other), ("x-original-url", root), ("x-forwarded-host", "localhost")],
            ):
                yield from exchange(connect(port), request(port, CHAT, headers))
            for path in (
                f"{root}/openai/chat/completions",
                f"/v1/agents/{facts.agent}/runs/../../{other}/runs/default/openai/chat/completions",
                f"/v1/agents/{facts.agent}/runs/x/openai/..%2f..%2f{other}/openai/chat/completions",
                f"{CHAT}?agent_id={other}",
                f"{CHAT}?{name}={other}",
                f"{CHAT}?key=sg_agent_{facts.keyed_key_id}.x",
                f"http://127.0.0.1:{port}{root}/openai/chat/completions",
                f"//127.0.0.1:{port}{root}/openai/chat/completions",
            ):
                yield from exchange(connect(port), request(port, path, [bearer]))
                yield from exchange(connect(port), request(port, path, []))

    return _gained(facts, answers())


@attempt("network", "smuggle a request behind another")
def smuggle(facts: Facts) -> str:
    port = facts.agents_port
    hidden = request(port, CHAT, {"x-cynsta-agent-id": facts.keyless})
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {facts.key}\r\n"
    head += "content-type: application/json\r\n"
    small = json.dumps(BODY).encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(small), small)
    both = f"{head}content-length: {len(chunked)}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    twice = (
        f"{head}content-length: {len(small)}\r\ncontent-length: {len(small) + len(hidden)}\r\n\r\n".encode()
    )
    odd = f"{head}transfer-encoding: xchunked\r\ncontent-length: {len(small)}\r\n\r\n".encode()
    fold = f"x-a: b\r\n x-cynsta-agent-id: {facts.keyless}\r\n"
    folded = f"{head}{fold}content-length: {len(small)}\r\n\r\n".encode()
    bare = head.replace("\r\n", "\n").encode() + b"content-length: %d\n\n" % len(small)
    plain = f"{head}content-length: {len(small)}\r\n\r\n".encode()

    def answers() -> Iterable[Said]:
        yield from exchange(connect(port), both + chunked + hidden)
        for first in (twice, odd, folded, bare, plain):
            yield from exchange(connect(port), first + small + hidden)

    return _gained(facts, answers())


# -- keys -------------------------------------------------------------------------------------------------


@attempt("network", "mint a key that is wider than the own one")
def mint_wider(facts: Facts) -> str:
    """Children with more money, for longer; without the blocks above them; signed by another's hand."""
    from spendguard_daemon import agent_keys
    from spendguard_daemon.agent_keys import Caveats

    soon, far = (int(time.time()) + 3600) * 10**9, (int(time.time()) + 90 * 86_400) * 10**9

    def minted(caveats: Caveats, parent: str = "") -> str:
        return agent_keys.mint(parent or facts.key, caveats, os.urandom(32))

    narrow = minted(Caveats(limit_nusd=0, expires_ns=soon, label="nothing"))
    wider = minted(Caveats(limit_nusd=2**53 - 1, expires_ns=soon), narrow)
    head, block, secret = narrow.rsplit(".", 2)
    alien = agent_keys.new_key(facts.keyed_key_id, os.urandom(32))[0]
    tried = [
        narrow,
        wider,
        minted(Caveats(limit_nusd=2**53 - 1, expires_ns=far)),
        f"{head}.{secret}",
        f"sg_agent_{agent_keys.parse(narrow).links[-1].key_id}.{secret}",
        f"{wider.split('.')[0]}.{wider.split('.')[2]}.{wider.split('.')[3]}",
        minted(Caveats(expires_ns=soon), alien),
        f"sg_agent_{facts.keyed_key_id}.{block}.{secret}",
        f"SG_AGENT_{facts.keyed_key_id}.{secret}",
    ]
    seen = [call(facts.agents_port, {"authorization": f"Bearer {key}"}).status for key in tried]
    if 200 in seen:
        return f"key {seen.index(200)} of {seen}"
    raise RefusedError(f"answers: {seen}")


@attempt("spend", "spend beyond the own key by many children")
def spend_by_children(facts: Facts) -> str:
    """The test holds what was spent to the key's limit; here a success would be a call that never ends."""
    from spendguard_daemon import agent_keys
    from spendguard_daemon.agent_keys import Caveats

    soon = (int(time.time()) + 3600) * 10**9
    served = 0
    for _ in range(60):
        key = agent_keys.mint(facts.key, Caveats(limit_nusd=10**12, expires_ns=soon), os.urandom(32))
        said = call(facts.agents_port, {"authorization": f"Bearer {key}"}, DEAR)
        if said.status != 200:
            raise RefusedError(f"{served} were served, then {said.status}")
        served += 1
    return f"{served} were served, and no end"


# -- places and slowness ----------------------------------------------------------------------------------


@attempt("network", "sit on the sidecar's port, for when it is down")
def squat(facts: Facts) -> str:
    """While the sidecar is up the port is taken; who may not take it at all hears something else."""
    with socket.socket() as made:
        try:
            made.bind(("127.0.0.1", facts.port))
        except PermissionError:
            raise
        except OSError as error:
            return f"it may be bound: {error.strerror}"
    return "bound"


@attempt("slow", "keep the sidecar busy with 1,200 slow connections")
def slow(facts: Facts) -> str:
    """Half a head each, then a byte now and then, at both its doors. The test has others served meanwhile."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened, head = [], f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1:{facts.agents_port}\r\n".encode()
    for number in range(_SLOW):
        with contextlib.suppress(OSError):
            made = connect(facts.agents_port) if number % 2 else _at_operators(facts)
            made.sendall(head)
            opened.append(made)
    (facts.scratch / "slow").write_text(str(len(opened)))
    while not (facts.scratch / "enough").exists():
        for made in opened:
            with contextlib.suppress(OSError):
                made.send(b"x")
        time.sleep(0.2)
    raise RefusedError(f"{len(opened)} were opened")
