"""A server in the place of the sidecar that answers as none does: raw bytes, or right shapes of wrong values.

`RawServer` sends what its script returns for a method and path, and hangs up. `filled` draws a value of a
`wire` shape whose types are right and whose values make no sense.
"""

import contextlib
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import msgspec

from spendguard_daemon import wire

Script = Callable[[str, str], bytes]

HEAD_BYTES_MAX = 65_536
LISTS = (0, 1, 1, 2)
INTEGERS = (0, 1, -1, 3, 2**31, 2**53, -(2**53), 2**63 - 1, 9_999_999_999_999_999)
TEXTS = (
    "",
    "x",
    "-1",
    "NaN",
    "1e400",
    "0.000000000000001",
    "9" * 400,
    "x" * 10_000,
    "2026-13-45T99:99:99Z",
    "2026-11-30T04:00:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "http://[",
    "\x1b[2J\x07[bold]b[/] \u202e \u2028",
    "'; $(id)\n\n",
    "00000000-0000-4000-8000-000000000000",
    "\U0001f991" * 50,
)
SHAPES: tuple[tuple[str, type], ...] = (
    (r"GET /v1/status", wire.Status),
    (r"GET /v1/agents", wire.Agents),
    (r"(GET|PATCH) /v1/agents/[^/]+|POST /v1/agents/[^/]+/confirm", wire.Agent),
    (r"POST /v1/agents", wire.AgentCreated),
    (r"DELETE /v1/agents/[^/]+", wire.AgentDeleted),
    (r"(GET|POST) /v1/agents/[^/]+/budget(/topup)?", wire.Budget),
    (r"GET /v1/agents/[^/]+/budget/history", wire.Deeds),
    (r"GET /v1/agents/[^/]+/keys", wire.AgentKeys),
    (r"(GET|DELETE) /v1/agents/[^/]+/keys/[^/]+", wire.AgentKey),
    (r"POST /v1/agents/[^/]+/keys(/[^/]+/rotate)?", wire.KeyMade),
    (r"GET /v1/agents/[^/]+/runs", wire.Runs),
    (r"POST /v1/agents/[^/]+/runs", wire.Run),
    (r"GET /v1/agents/[^/]+/calls.*", wire.Calls),
    (r"(GET|POST) /v1/calls/[^/]+(/adjust|/abort)?", wire.Call),
    (r"(GET|POST) /v1/daemon/budget(/topup)?", wire.DaemonBudget),
    (r"GET /v1/pricing|POST /v1/pricing/refresh", wire.Pricing),
    (r"GET /v1/providers|POST /v1/providers/reload", wire.Providers),
    (r"POST /v1/providers/[^/]+/test", wire.ProviderTest),
    (r"POST /v1/daemon/shutdown", wire.Stopping),
)


def shape_of(method: str, path: str) -> type | None:
    """Return the shape of the answer to this request, None for a route that has none."""
    asked = f"{method} {path}"
    return next((shape for form, shape in SHAPES if re.fullmatch(form, asked)), None)


def filled(rng: random.Random, shape: type) -> Any:
    """Return a value of a shape as JSON has it, drawn at random."""
    return _fill(rng, msgspec.inspect.type_info(shape), 0)


def _fill(rng: random.Random, kind: msgspec.inspect.Type, depth: int) -> Any:
    match kind:
        case msgspec.inspect.StructType(fields=fields):
            drawn = [one for one in fields if one.required or rng.random() < 0.8]
            return {one.encode_name: _fill(rng, one.type, depth + 1) for one in drawn}
        case msgspec.inspect.UnionType(types=types):
            return _fill(rng, rng.choice(types), depth)
        case msgspec.inspect.ListType(item_type=item):
            return [_fill(rng, item, depth + 1) for _ in range(rng.choice(LISTS) if depth < 5 else 0)]
        case msgspec.inspect.DictType(value_type=value):
            return {rng.choice(TEXTS): _fill(rng, value, depth + 1) for _ in range(rng.choice(LISTS))}
        case msgspec.inspect.LiteralType(values=values):
            return rng.choice(sorted(values, key=str))
        case msgspec.inspect.EnumType(cls=members):
            return rng.choice([member.value for member in members])
        case msgspec.inspect.IntType(ge=least, le=most):
            fitting = [
                one for one in INTEGERS if (least is None or one >= least) and (most is None or one <= most)
            ]
            return rng.choice(fitting)
        case msgspec.inspect.BoolType():
            return rng.random() < 0.5
        case msgspec.inspect.NoneType():
            return None
        case msgspec.inspect.FloatType():
            return rng.choice((0.0, -1.5, 1e300))
        case _:
            return rng.choice(TEXTS)


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return an answer as bytes."""
    lines = [f"HTTP/1.1 {status}", "connection: close", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class RawServer:
    """Listens on a port of loopback while its `with` block runs; says what `script` returns, and hangs up."""

    def __init__(self, script: Script):
        self.script = script
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        for client in self._clients():
            with client, contextlib.suppress(OSError):
                client.settimeout(5)
                words = _request(client).split(b" ", 2)
                if len(words) == 3:
                    client.sendall(self.script(words[0].decode("latin-1"), words[1].decode("latin-1")))

    def _clients(self) -> Iterator[socket.socket]:
        while True:
            try:
                yield self._socket.accept()[0]
            except OSError:  # closed: the block is over
                return


def _request(client: socket.socket) -> bytes:
    """Read a request whole, so that hanging up resets no connection before its answer was read."""
    raw = b""
    while b"\r\n\r\n" not in raw and len(raw) < HEAD_BYTES_MAX:
        chunk = client.recv(65_536)
        if not chunk:
            return raw
        raw += chunk
    head, _, body = raw.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: *([0-9]+)", head)
    while found and len(body) < int(found[1]):
        body += client.recv(65_536)
    return raw
