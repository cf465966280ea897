"""`watch --serve`: the same screens in a browser of this machine, by textual-serve where that is installed.

Loopback alone, read only, and behind a key that is drawn for each start and begins every path below the
address that is printed: neither another user of the machine nor a page on the web that the browser shows can
look. The key is in no cookie: a browser would send one to every port of this machine, whoever listens there.
The page loads nothing from any other host.
"""

import asyncio
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING

from spendguard_cli.watch.served_page import headers, page
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from aiohttp.web import Application, Request, StreamResponse, WebSocketResponse
    from textual_serve.app_service import AppService

    Handler = Callable[[Request], Awaitable[StreamResponse]]

HOST = "127.0.0.1"
END_SECONDS = 10.0
"""So long a program may take to quit, when its tab is closed or all ends."""

WARNING = "who has this address, and reaches this machine's loopback, can look; nobody can act"
INSTALL = "pip install 'textual-serve>=1.1,<1.2'"
PATIENT_TIMES, PATIENCE_SECONDS = 3, 2.0


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
    gate, screens = Gate(key, port), Screens()

    @web.middleware
    async def passed(request: "Request", handler: "Handler") -> "StreamResponse":
        return await gate.pass_through(request, handler)

    async def guarded(_: "Request", response: "StreamResponse") -> None:
        response.headers.update(headers(gate.place))

    class Served(Server):
        """Prints nothing by itself, shows a page of ours, and ends its screens when it ends."""

        async def on_startup(self, app: "Application") -> None:
            """Print no banner."""

        async def on_shutdown(self, _: "Application") -> None:
            """End what is open: it would be waited for."""
            await screens.end()

        async def handle_index(self, request: "Request") -> "StreamResponse":
            """Give the page."""
            text = page(f"ws://{gate.place}{request.path}ws")
            return web.Response(text=text, content_type="text/html")

        async def handle_websocket(self, request: "Request") -> "WebSocketResponse":
            """Open a screen."""
            return await screens.show(super().handle_websocket(request))

        async def _process_messages(self, websocket: "WebSocketResponse", app_service: "AppService") -> None:
            """Pass on keys until one of both ends: then the other one does, and shows no longer what was."""
            closing = asyncio.create_task(_close_after(app_service, websocket))
            try:
                await super()._process_messages(websocket, app_service)
            finally:
                closing.cancel()
                await _end(app_service)

        async def made(self) -> "Application":
            """Return the application, all of it below the key and behind the gate."""
            outer = web.Application(middlewares=[passed])
            outer.on_response_prepare.append(guarded)
            outer.add_subapp(f"/{key}", await self._make_app())
            return outer

    command = "exec " + shlex.join([sys.executable, "-P", "-m", "spendguard_cli", *words])
    server = Served(command, host=HOST, port=port)
    web.run_app(server.made(), host=HOST, port=port, print=lambda *_: on_ready())


async def _close_after(program: "AppService", screen: "WebSocketResponse") -> None:
    """Close a screen as soon as its program has ended."""
    if program._task is not None:
        await asyncio.wait([program._task])
    await screen.close()


async def _end(program: "AppService") -> None:
    """Tell a program to quit, and wait until it has; one that does not is killed."""
    process = program._process
    if process is None:
        return
    try:
        async with asyncio.timeout(END_SECONDS):
            await program.stop()
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def new_key() -> str:
    """Return a key that nobody can guess."""
    return secrets.token_urlsafe(24)


def address(port: int, key: str) -> str:
    """Return what to open in a browser."""
    return f"http://{HOST}:{port}/{key}/"


class Screens:
    """The screens that are open, one for each tab."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[WebSocketResponse]] = set()

    async def show(self, screen: "Coroutine[object, object, WebSocketResponse]") -> "WebSocketResponse":
        """Wait for a screen until it ends, or is ended."""
        task = asyncio.create_task(screen)
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        return await task

    async def end(self) -> None:
        """End all screens: each tells its program to quit, and then its browser.

        Who hears nothing is left after a while: a program ends by itself once nobody serves it.
        """
        for _ in range(PATIENT_TIMES):
            if self._open:
                for one in self._open:
                    one.cancel()  # what it waits for now: a key, then its program, then its browser
                await asyncio.wait(self._open, timeout=PATIENCE_SECONDS)


class Gate:
    """Who comes in: with the key, to our own name, and from our own page or none."""

    def __init__(self, key: str, port: int) -> None:
        self._key, self.place = key, f"{HOST}:{port}"

    def knows(self, text: str) -> bool:
        """Tell whether this is the key; in the same time, however much of it is right."""
        return secrets.compare_digest(text.encode(), self._key.encode())

    def is_own(self, origin: str | None) -> bool:
        """Tell whether a request comes of our own page, or of none."""
        return origin in (None, f"http://{self.place}")

    async def pass_through(self, request: "Request", handler: "Handler") -> "StreamResponse":
        """Answer 403 to who has no key, comes from a foreign page, or calls us by another name."""
        from aiohttp import web

        if request.host != self.place or not self.is_own(request.headers.get("origin")):
            raise web.HTTPForbidden(text="not from here")
        if not self.knows(request.path.removeprefix("/").partition("/")[0]):
            raise web.HTTPForbidden(text="open the address that spendguard watch --serve has printed")
        return await handler(request)


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port
