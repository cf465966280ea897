"""The HTTP server on sockets that are bound already; all doors share one, and so the room that it has."""

import asyncio
import socket
from collections.abc import Sequence

from aiohttp import web

from spendguard_daemon.gateway import descriptors
from spendguard_daemon.gateway.connections import Connections
from spendguard_daemon.gateway.sockets import BACKLOG


class _UnixSite(web.BaseSite):
    """A Unix socket that is bound already; aiohttp's own would bind it, and open to others for a moment."""

    def __init__(self, runner: web.ServerRunner, bound: socket.socket, *, backlog: int):
        super().__init__(runner, backlog=backlog)
        self._bound = bound

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"unix:{self._bound.getsockname()}"

    async def start(self) -> None:
        """Take connections."""
        await super().start()
        if self._runner.server is None:
            raise RuntimeError("the runner was not set up")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            self._runner.server, sock=self._bound, backlog=self._backlog
        )


async def serve(connections: Connections, sockets: Sequence[socket.socket]) -> web.ServerRunner:
    """Start serving; the caller cleans the runner up."""
    descriptors.hear_no_accept_twice(asyncio.get_running_loop())
    runner = web.ServerRunner(connections, handle_signals=False)
    await runner.setup()
    for bound in sockets:
        site = _UnixSite if bound.family == socket.AF_UNIX else web.SockSite
        await site(runner, bound, backlog=BACKLOG).start()
    await asyncio.sleep(0)
    return runner
