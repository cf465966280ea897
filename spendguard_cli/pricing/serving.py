"""A real price server on the standard library: one signed document, served until somebody stops it.

Knows HTTP and nothing of prices: `Shelf` says what to serve now. Answers GET and HEAD on two paths, with an
ETag, 304 for who has it already, and a time to live; everything else is refused. It holds nothing secret in
its answers. Invariant: what is served was verified by `signing` when it was made.
"""

import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from spendguard_daemon.errors import Code, SpendGuardError

PATHS = ("/v1/public/pricing", "/")
"""The public one of the original service, and the root for who types only the address."""

IDLE_SECONDS = 10
"""How long a client may be silent; so no crowd of slow ones fills the server up."""

CLIENTS_MAX = 64


@dataclass(frozen=True, slots=True)
class Served:
    """What is served now: the bytes, their hash, and for how many seconds it is fresh."""

    raw: bytes
    document_sha256: str
    ttl_seconds: int

    @property
    def etag(self) -> str:
        """Its strong ETag."""
        return f'"{self.document_sha256}"'


class PriceServer(ThreadingHTTPServer):
    """Listens; asks `current` for the document at each request, one request at a time."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, current: Callable[[], Served]):
        self._current = current
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(CLIENTS_MAX)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise SpendGuardError(
                Code.USAGE,
                f"--listen: cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
                remedy="name another address or port; :0 takes a free port",
            ) from None

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        named = f"[{host!s}]" if self.address_family == socket.AF_INET6 else f"{host!s}"
        return f"http://{named}:{port}{PATHS[0]}"

    def served(self) -> Served:
        """Return what to serve now."""
        with self._lock:
            return self._current()

    def process_request(self, request: object, client_address: object) -> None:
        """Give a client a thread of its own, or wait for one to be free."""
        self._room.acquire()
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Serve one client, then make room for the next."""
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Let a client that broke off go; anything else is a fault of ours, and said."""
        del request, client_address
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            sys.stderr.write(f"warning: a request failed: {type(error).__name__}\n")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "spendguard-pricing"
    sys_version = ""
    timeout = IDLE_SECONDS
    server: PriceServer

    def do_GET(self) -> None:
        self._answer(whole=True)

    def do_HEAD(self) -> None:
        self._answer(whole=False)

    def _refuse_method(self) -> None:
        self.close_connection = True  # its body, if it has one, is not read
        self._head(405, {"Allow": "GET, HEAD", "Content-Length": "0"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse_method  # noqa: N815

    def _answer(self, *, whole: bool) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        if self.path.partition("?")[0] not in PATHS:
            self._head(404, {"Content-Length": "0"})
            return
        served = self.server.served()
        fields = {"ETag": served.etag, "Cache-Control": f"public, max-age={served.ttl_seconds}"}
        if self._has(served.etag):
            self._head(304, fields)
            return
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(served.raw))}
        self._head(200, fields)
        if whole:
            self.wfile.write(served.raw)

    def _has(self, etag: str) -> bool:
        """Tell whether the client has this document (RFC 9110 13.1.2: weak comparison, a list, or any)."""
        asked = [part.strip().removeprefix("W/") for part in self.headers.get("If-None-Match", "").split(",")]
        return etag in asked or "*" in asked

    def _head(self, status: int, fields: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**fields, "X-Content-Type-Options": "nosniff"}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """Say nothing: who asks for public prices is nobody's business."""


def address(text: str) -> tuple[str, int]:
    """Read HOST:PORT, with an IPv6 host in brackets; raise USAGE."""
    host, mark, port = text.rpartition(":")
    if not mark or not host or not (port.isascii() and port.isdigit() and len(port) <= len("65535")):
        raise SpendGuardError(
            Code.USAGE, f"--listen: {text!r} is not HOST:PORT", remedy="write --listen 127.0.0.1:8790"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)
