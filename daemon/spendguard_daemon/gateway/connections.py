"""Connections of aiohttp's low-level server: bounded in number, time and memory, with our own answers.

What is no HTTP gets the same error shape as every refusal: aiohttp repeats the offending line in its answer
and in the log, and that line may hold a prompt or a key. `crowd` says who may stay; here they are closed.

Bounds of one connection: a head of `HEAD_BYTES_MAX` within `header_seconds`, a whole answer taken within
`idle_seconds`, as many bytes sent ahead of an open request, and 32 requests that wait in aiohttp's queue.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import StreamReader, web

from spendguard_daemon.gateway import descriptors
from spendguard_daemon.gateway.crowd import Crowd

HEAD_BYTES_MAX = 64 * 1024
STRANGE_ANSWERS_MAX = 100
"""Refusals of requests that named nobody, after which a connection is closed."""

SWEEP_SECONDS = 0.5
LOG_SECONDS = 60

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Refuse = Callable[[], web.StreamResponse]

log = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """One connection from a client."""

    def __init__(self, server: "Connections", refuse: Refuse):
        # The body is taken as it comes, since what is compressed is refused. No access log, as it has paths:
        # None is what `web.Server` itself passes for that, whatever the annotation says.
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, auto_decompress=False, access_log=None)  # type: ignore[arg-type]
        self._refuse = refuse
        self._crowd = server.crowd
        self._wire: asyncio.Transport | None = None
        self._has_room, self._under_way = True, False
        self._body: StreamReader | None = None
        self._head_bytes = self._ahead_bytes = self._strange_answers = 0
        self._maybe_large = False

    @property
    def has_room(self) -> bool:
        """Whether there was room for the request that is under way."""
        return self._has_room

    @property
    def maybe_large(self) -> bool:
        """Whether a head may have come in that is larger than it may be."""
        return self._maybe_large

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up a connection."""
        self._wire = cast("asyncio.Transport", transport)  # uvloop's has no common base with it
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Read on; what is a head, and what comes ahead of its turn, is counted."""
        if self._force_close:
            return
        # All that is asked before the data is read on, as with it the body may come to its end.
        body = self._current_request.content if self._current_request else self._body
        in_body = body is not None and not body.is_eof()
        ahead = body is not None and not in_body
        if not self._under_way and self._head_bytes + len(data) > HEAD_BYTES_MAX:
            self._maybe_large = True
        requests = self._request_count
        super().data_received(data)
        if self._request_count > requests:
            self._head_bytes, self._body = 0, None
            if not self._under_way:
                self._under_way, self._has_room = True, self._crowd.ask(self)
        elif self._under_way:
            self._ahead_bytes += len(data) if ahead else 0
        elif data and not in_body:
            if not self._head_bytes:
                self._crowd.begin(self, self._loop.time())
            self._head_bytes += len(data)
        if max(self._head_bytes, self._ahead_bytes) > HEAD_BYTES_MAX:
            self.cut()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send what is left of an answer; a client that does not take it in time is cut off."""
        # A client that asks on as soon as it has its answer may be heard before this is over.
        self._body = None if self._messages else request.content
        self._crowd.answer(self, self._loop.time())
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._ahead_bytes, self._maybe_large = 0, False
            self._crowd.answered(self)
            if not self._messages:
                self.rest(request)

    def rest(self, request: web.BaseRequest) -> None:
        """Note that nothing is under way after a request, or nothing that others should be kept out for.

        What of its body is still to come is read for a while, and dropped.
        """
        self._under_way, self._body = False, request.content
        self._crowd.rest(self, self._loop.time())

    def note_strange(self) -> bool:
        """Count a refusal of a request that named nobody; return whether there were enough of them."""
        self._strange_answers += 1
        return self._strange_answers >= STRANGE_ANSWERS_MAX

    def cut(self) -> None:
        """Close the connection now, whether or not the client takes what is on its way."""
        self.force_close()
        if self._wire is not None:
            self._wire.abort()

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
    """Makes a `Connection` for each client, and closes those whose time is over or whose place is needed.

    `handler_cancellation`: a client that leaves cancels its handler, which is how a call learns of it; what
    must not be cancelled runs in the guard's own tasks. `full` answers where there is no room.
    """

    def __init__(self, handle: Handle, refuse: Refuse, full: Refuse, crowd: Crowd[Connection]):
        super().__init__(self._serve, handler_cancellation=True)
        self.crowd = crowd
        self._serve_request = handle
        self._refuse, self._full = refuse, full
        self._descriptors_max = descriptors.first_but(descriptors.RESERVE)
        self._logged_at: float | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    def __call__(self) -> Connection:
        """Make one."""
        return Connection(self, self._refuse)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Let a connection in, for which another may have to go."""
        super().connection_made(handler, transport)
        loop = asyncio.get_running_loop()
        connection = cast("Connection", handler)  # as `__call__` makes them
        leaving = self.crowd.enter(connection, loop.time())
        if leaving is not None:
            leaving.cut()
        if _number(transport) >= self._descriptors_max:
            self._give_up(connection, loop)
        elif self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep, loop)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self.crowd.leave(cast("Connection", handler))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        if not connection.has_room:
            answer = self._full()
        elif connection.maybe_large and _head_bytes(request) > HEAD_BYTES_MAX:
            answer = self._refuse()
        else:
            return await self._serve_request(request)
        answer.force_close()
        return answer

    def _give_up(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Close a connection that has a descriptor of the reserve, and the idlest one, for the next."""
        self.crowd.leave(connection)
        idlest = self.crowd.idlest()
        for closing in (connection, idlest):
            if closing is not None:
                closing.cut()
        if self._logged_at is None or loop.time() - self._logged_at > LOG_SECONDS:
            self._logged_at = loop.time()
            log.warning("file descriptors are short", extra={"facts": {"for_clients": self._descriptors_max}})

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        for connection in self.crowd.due(loop.time()):
            connection.cut()
        self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep, loop) if len(self.crowd) else None


def _number(transport: asyncio.Transport) -> int:
    """Return the number of a connection's descriptor."""
    number: int = transport.get_extra_info("socket").fileno()
    return number


def _head_bytes(request: web.BaseRequest) -> int:
    names = sum(len(name) + len(value) for name, value in request.raw_headers)
    return len(request.raw_path) + names
