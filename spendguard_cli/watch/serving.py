"""`watch --serve`: the same screens in a browser of this machine, by textual-serve where that is installed.

Loopback alone, read only, and behind a key that is drawn for each start and stands in the address that is
printed: neither another user of the machine nor a page on the web that the browser shows can look. The page
loads nothing from any other host.
"""

import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from aiohttp.web import StreamResponse
    from aiohttp.web_request import Request

    Handler = Callable[[Request], Awaitable[StreamResponse]]

HOST = "127.0.0.1"
PARAMETER = "key"
COOKIE = "spendguard-watch"
POLICY = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
POLICY += "img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws:; frame-ancestors 'none'"
WARNING = "who has this address, and reaches this machine's loopback, can look; nobody can act"
INSTALL = "pip install textual-serve"


def serve(words: list[str], port: int, key: str, on_ready: Callable[[], None]) -> None:
    """Show every visitor with the key a `spendguard` of these words of its own, until a signal ends it.

    `on_ready` is called once it listens. Raises USAGE without textual-serve, OSError where the port is taken.
    """
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError as error:
        raise SpendGuardError(
            Code.USAGE, "watch --serve needs textual-serve, which is not installed", remedy=INSTALL
        ) from error
    gate = Gate(key, port)

    @web.middleware
    async def passed(request: web.Request, handler: "Handler") -> web.StreamResponse:
        return await gate.pass_through(request, handler)

    class Quiet(Server):
        """Prints nothing by itself, and lets nobody in without the key."""

        async def on_startup(self, app: web.Application) -> None:
            """Print no banner."""

        async def made(self) -> web.Application:
            """Return the application behind its gate."""
            made = await self._make_app()
            made.middlewares.append(passed)
            return made

    command = shlex.join([sys.executable, "-P", "-m", "spendguard_cli", *words])
    address = f"http://{HOST}:{port}"
    server = Quiet(command, host=HOST, port=port, title="spendguard watch", public_url=address)
    web.run_app(server.made(), host=HOST, port=port, print=lambda *_: on_ready())


def new_key() -> str:
    """Return a key that nobody can guess."""
    return secrets.token_urlsafe(24)


def address(port: int, key: str) -> str:
    """Return what to open in a browser."""
    return f"http://{HOST}:{port}/?{PARAMETER}={key}"


class Gate:
    """Who comes in: with the key in the address, from then on with the cookie that it was changed for."""

    def __init__(self, key: str, port: int) -> None:
        self._key, self._place = key, f"{HOST}:{port}"

    def knows(self, text: str) -> bool:
        """Tell whether this is the key; in the same time, however much of it is right."""
        return secrets.compare_digest(text.encode(), self._key.encode())

    def is_own(self, origin: str | None) -> bool:
        """Tell whether a request comes of our own page, or of none."""
        return origin is None or urlsplit(origin).netloc == self._place

    async def pass_through(self, request: "Request", handler: "Handler") -> "StreamResponse":
        """Answer 403 to who has no key, comes from a foreign page, or calls us by another name."""
        from aiohttp import web

        if request.host != self._place or not self.is_own(request.headers.get("origin")):
            raise web.HTTPForbidden(text="not from here")
        if self.knows(request.query.get(PARAMETER, "")):
            found = web.HTTPFound(request.path)
            found.set_cookie(COOKIE, self._key, httponly=True, samesite="Strict")
            raise found
        if not self.knows(request.cookies.get(COOKIE, "")):
            raise web.HTTPForbidden(text="open the address that spendguard watch --serve has printed")
        answer = await handler(request)
        if not answer.prepared:
            answer.headers["content-security-policy"] = POLICY
            answer.headers["referrer-policy"] = "no-referrer"
        return answer


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port
