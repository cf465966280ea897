"""A price server on loopback that does whatever a test tells it, on raw sockets, and notes what it was asked.

    with HostilePrices() as server:
        settings = {"CAP_PRICING_URL": server.url, ...}
        server.behave = body(document, etag='"a"')
        server.asked[-1].headers["if-none-match"]

A behaviour takes the request and the connection and writes bytes, which need be no HTTP; afterwards the
connection is closed. One that never ends is ended by its peer, or by the end of the `with` block. `written`
counts the bytes that the peer's socket took from the last behaviour.
"""

import contextlib
import gzip
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

PATH = "/v1/public/pricing"
PIECE = b" " * 65_536
HEAD_BYTES_MAX = 65_536
SLOW_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its first line's path, and its headers by lower-case name."""

    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wire:
    """A connection that counts what it sends, and knows when the server closes."""

    peer: socket.socket
    closing: threading.Event
    count: Callable[[int], None]

    def send(self, data: bytes) -> None:
        """Send all of it; raises ConnectionError once the peer or the server has gone."""
        if self.closing.is_set():
            raise ConnectionResetError
        self.peer.sendall(data)
        self.count(len(data))


Behaviour = Callable[[Asked, Wire], None]


class HostilePrices:
    """The server. `behave` may be set at any time, and holds for requests that come from then on."""

    def __init__(self, behave: Behaviour | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.written = 0
        self.behave: Behaviour = behave or status(404)
        self._closing = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self._tls = tls
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}{PATH}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(10)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                peer, _ = self._socket.accept()
                peer.settimeout(20)
                thread = threading.Thread(target=self._answer, args=(peer,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _answer(self, peer: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            peer if self._tls is None else self._tls.wrap_socket(peer, server_side=True) as peer,
        ):
            asked = _read(peer)
            if asked is None:
                return
            self.asked.append(asked)
            self.written = 0
            self.behave(asked, Wire(peer, self._closing, self._count))

    def _count(self, n_bytes: int) -> None:
        self.written += n_bytes


def head(code: int = 200, headers: Mapping[str, str] | None = None, n_bytes: int | None = None) -> bytes:
    """Return the head of an answer, with a length if one is given."""
    lines = [f"HTTP/1.1 {code} As told", "connection: close", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [] if n_bytes is None else [f"content-length: {n_bytes}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def body(document: bytes, *, etag: str = "", code: int = 200, **headers: str) -> Behaviour:
    """Answer with these bytes, whoever asks; header names have `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()} | (
        {"etag": etag} if etag else {}
    )
    return raw(head(code, named, len(document)) + document)


def conditional(document: bytes, etag: str) -> Behaviour:
    """Answer as an honest server: 304 to whom has this one."""
    fresh, known = body(document, etag=etag), raw(head(304, {"etag": etag}))
    return lambda asked, wire: (known if asked.headers.get("if-none-match") == etag else fresh)(asked, wire)


def raw(data: bytes) -> Behaviour:
    """Answer with these bytes and nothing else."""
    return lambda _asked, wire: wire.send(data)


def status(code: int, document: bytes = b"{}") -> Behaviour:
    """Answer with a status."""
    return body(document, code=code)


def not_modified(etag: str = "") -> Behaviour:
    """Answer 304, whoever asks."""
    return raw(head(304, {"etag": etag} if etag else {}))


def redirect(location: str, code: int = 302) -> Behaviour:
    """Send whoever asks elsewhere."""
    return body(b"", code=code, location=location)


def compressed(document: bytes, encoding: str = "gzip") -> Behaviour:
    """Answer in gzip, though nobody asked for it."""
    return body(gzip.compress(document), content_encoding=encoding)


def bomb(n_bytes: int = 2**30) -> Behaviour:
    """Answer with zeros that unpack to `n_bytes`."""
    squeezed = _bomb(n_bytes)
    return body(squeezed, content_encoding="gzip")


def endless(piece: bytes = PIECE, *, start: bytes = b"{", n_bytes: int | None = None) -> Behaviour:
    """Answer with a body that does not end, or only after `n_bytes`, which the head promises."""

    def behave(_asked: Asked, wire: Wire) -> None:
        wire.send(head(200, n_bytes=n_bytes) + start)
        left = n_bytes
        while left is None or left > 0:
            wire.send(piece)
            left = None if left is None else left - len(piece)

    return behave


def slow(document: bytes) -> Behaviour:
    """Answer a byte a second: each read is quick, the whole never comes."""

    def behave(_asked: Asked, wire: Wire) -> None:
        wire.send(head(200, n_bytes=len(document)))
        for at in range(len(document)):
            wire.send(document[at : at + 1])
            wire.closing.wait(SLOW_SECONDS)

    return behave


def silent() -> Behaviour:
    """Take the request, say nothing."""

    def behave(_asked: Asked, wire: Wire) -> None:
        while not wire.closing.wait(SLOW_SECONDS):
            wire.peer.sendall(b"")

    return behave


def many_headers(n_bytes: int, document: bytes) -> Behaviour:
    """Answer with more header than anybody needs."""
    lines = "".join(f"x-{n}: {'y' * 990}\r\n" for n in range(n_bytes // 1000 + 1)).encode()
    return raw(head(200, n_bytes=len(document))[:-2] + lines + b"\r\n" + document)


def long_header(n_bytes: int, document: bytes) -> Behaviour:
    """Answer with one header of this length."""
    return raw(head(200, {"x-long": "y" * n_bytes}, len(document)) + document)


def reset(after: bytes = b"") -> Behaviour:
    """Drop the connection so that the peer sees a reset, after these bytes."""

    def behave(_asked: Asked, wire: Wire) -> None:
        if after:
            wire.send(after)
        wire.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return behave


def cut(document: bytes) -> Behaviour:
    """Promise the whole, send half, close."""
    return raw(head(200, n_bytes=len(document)) + document[: len(document) // 2])


def _read(peer: socket.socket) -> Asked | None:
    received = b""
    while b"\r\n\r\n" not in received and len(received) < HEAD_BYTES_MAX:
        chunk = peer.recv(65_536)
        if not chunk:
            return None
        received += chunk
    first, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Asked(first.split(" ")[1], headers)


def _bomb(n_bytes: int) -> bytes:
    """Return one gzip stream of zeros. After a full flush the same bytes may be said again and again."""
    zeros, squeezer = bytes(2**24), zlib.compressobj(9, zlib.DEFLATED, 31)
    first, again = (squeezer.compress(zeros) + squeezer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (n_bytes // len(zeros) - 1)
