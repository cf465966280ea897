"""A client that speaks HTTP by hand, one connection for each call, and can leave at any byte.

`send` returns the answer, None where the client left or the connection broke before there was one; it raises
TimeoutError where none comes.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANSWER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Leave:
    """When a client leaves: after so many bytes of its request, of the answer or of the answer's body, or so
    long after asking; `answered`: with the answer, which is returned, though the connection may stay open.
    """

    after_sent: int | None = None
    after_received: int | None = None
    after_body: int | None = None
    after_seconds: float | None = None
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `whole` is False where the connection broke before its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


STAY = Leave()


def request(port: int, path: str, headers: Mapping[str, str], body: bytes, *, method: str = "POST") -> bytes:
    """Return a request as bytes, for a connection that is closed after its answer."""
    lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{port}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += ["content-type: application/json", f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


Place = int | tuple[str, int] | str
"""Where to connect: a port of 127.0.0.1, an address and port, or the path of a Unix socket."""


async def send(place: Place, raw: bytes, leave: Leave = STAY) -> Answer | None:
    """Send a request and read the answer to its end, or leave where told."""
    try:
        if isinstance(place, str):
            reader, writer = await asyncio.open_unix_connection(place)
        else:
            address = ("127.0.0.1", place) if isinstance(place, int) else place
            reader, writer = await asyncio.open_connection(*address)
    except ConnectionError:
        return None
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _talk(reader, writer, raw, leave)
    except ConnectionError:
        return None
    finally:
        await leave_now(writer)


async def leave_now(writer: asyncio.StreamWriter) -> None:
    """Drop a connection, and return when the socket is closed."""
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes, leave: Leave
) -> Answer | None:
    if leave.after_sent is not None:
        writer.write(raw[: leave.after_sent])
        await writer.drain()
        return None
    writer.write(raw)
    await writer.drain()
    try:
        async with asyncio.timeout(leave.after_seconds):
            return await _read(reader, leave)
    except TimeoutError:
        return None


async def _read(reader: asyncio.StreamReader, leave: Leave) -> Answer | None:
    received, broken = bytearray(), False
    while leave.after_received is None or len(received) < leave.after_received:
        try:
            chunk = await reader.read(65536)
        except ConnectionError:
            broken, chunk = True, b""
        if not chunk:
            return _answer(bytes(received), broken=broken)
        received += chunk
        if leave.answered:
            so_far = _answer(bytes(received), broken=False)
            if so_far is not None and so_far.whole and "content-length" in so_far.headers:
                return so_far
        if leave.after_body is not None:
            so_far = _answer(bytes(received), broken=False)
            if so_far is not None and len(so_far.body) >= leave.after_body:
                return None
    return None


def _answer(received: bytes, *, broken: bool) -> Answer | None:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body, whole = _dechunk(body)
    else:
        whole = len(body) == int(headers.get("content-length", len(body)))
    return Answer(int(first.split(" ")[1]), headers, body, whole and not broken)


def _dechunk(raw: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        size, end, raw = raw.partition(b"\r\n")
        if not end:
            return body, False
        count = int(size, 16)
        if count == 0:
            return body, True
        body, raw = body + raw[:count], raw[count + 2 :]
