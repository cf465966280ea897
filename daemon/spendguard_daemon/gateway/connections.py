"""Connections of aiohttp's low-level server, with our own answer to what is no HTTP.

aiohttp repeats the offending line in its answer and in the log; that line may hold a prompt or a key. Here it
gets the same error shape as every refusal, and nothing of it is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Refuse = Callable[[], web.StreamResponse]


class Connection(web.RequestHandler):
    """One connection from a client."""

    def __init__(self, server: "Connections", refuse: Refuse):
        # The body is taken as it comes, since what is compressed is refused. No access log, as it has paths:
        # None is what `web.Server` itself passes for that, whatever the annotation says.
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, auto_decompress=False, access_log=None)  # type: ignore[arg-type]
        self._refuse = refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that the HTTP reader refused, and close the connection."""
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        answer = self._refuse()
        answer.force_close()
        return answer


class Connections(web.Server):
    """Makes a `Connection` for each client.

    `handler_cancellation`: a client that leaves cancels its handler, which is how a call learns of it; what
    must not be cancelled runs in the guard's own tasks.
    """

    def __init__(self, handle: Handle, refuse: Refuse):
        super().__init__(handle, handler_cancellation=True)
        self._refuse = refuse

    def __call__(self) -> Connection:
        """Make one."""
        return Connection(self, self._refuse)
