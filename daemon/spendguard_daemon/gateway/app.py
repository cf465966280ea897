"""The HTTP server: one handler for every request, whatever the door, and nothing routed by a library.

aiohttp's low-level server is used on purpose: its routers decode and normalise paths, ours (`routes`) must
not.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.gateway import access, pages, respond
from spendguard_daemon.gateway.connections import Connections
from spendguard_daemon.gateway.control import Control
from spendguard_daemon.gateway.counts import CountRoutes
from spendguard_daemon.gateway.door import Door, Doors
from spendguard_daemon.gateway.identity import Identifier
from spendguard_daemon.gateway.models import ANTHROPIC_VERSION, GOOGLE_KEY, ModelList
from spendguard_daemon.gateway.proxy import serve_call
from spendguard_daemon.gateway.routes import MODEL_ROUTES, OPEN, Route, asker, match
from spendguard_daemon.gateway.sockets import BACKLOG, peer_uid
from spendguard_daemon.guard import Guard
from spendguard_daemon.ports import Rng
from spendguard_daemon.providers import FORMATS
from spendguard_daemon.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visit:
    """How a request came in: by which door, and from which web page, None for a program."""

    door: Door
    page: str | None

    @property
    def keys_only(self) -> bool:
        """Whether an agent's id is not enough."""
        return self.door.keys_only or self.page is not None


class Gateway:
    """Checks who is asking and hands over to the guard or to the control API."""

    def __init__(
        self,
        *,
        guard: Guard,
        identifier: Identifier,
        counts: CountRoutes,
        models: ModelList,
        control: Control,
        settings: Settings,
        token: str,
        doors: Doors,
        rng: Rng,
    ):
        self._guard = guard
        self._identifier = identifier
        self._counts = counts
        self._models = models
        self._control = control
        self._settings = settings
        self._token = token
        self._doors = doors
        self._rng = rng

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error becomes an answer here."""
        call_id = self._rng.uuid4()
        route, marks = Route(""), pages.marks(None)
        try:
            visit = self._enter(request)
            if visit.page is not None and request.method == "OPTIONS":
                return web.Response(status=204, headers=_preflight(request, visit.page, visit.door))
            route = match(request.method, request.raw_path, visit.door.served)
            if route.name in MODEL_ROUTES:
                marks = pages.marks(visit.page)
                return _marked(await self._of_agent(request, route, call_id, visit, marks), marks)
            if visit.page is not None:
                raise pages.refused()
            self._check_reader(request, route, visit.door)
            return await self._control.handle(request, route, visit.door)
        except SpendGuardError as error:
            return _marked(respond.refusal(error, call_id, *_asker(request, route)), marks)
        except Exception:  # the last fence: whatever it is, the client gets an answer and the log the trace
            log.exception("internal error", extra={"facts": {"call_id": call_id, "route": route.name}})
            fault = SpendGuardError(Code.INTERNAL, f"Internal error: call {call_id}; see the daemon's log")
            return _marked(respond.refusal(fault, call_id, *_asker(request, route)), marks)

    def _enter(self, request: web.BaseRequest) -> Visit:
        """Return how a request came in; raise MISDIRECTED_HOST, FORBIDDEN_ORIGIN, UNAUTHORIZED."""
        transport, headers = request.transport, request.headers
        door = self._doors.of(None if transport is None else transport.get_extra_info("sockname"))
        if transport is None or door is None:
            raise SpendGuardError(Code.MISDIRECTED_HOST, "Host not served here")
        if door.name == "unix" and peer_uid(transport.get_extra_info("socket")) != os.geteuid():
            raise SpendGuardError(Code.UNAUTHORIZED, "Unauthorized: this socket is another user's")
        page = access.check_transport(
            request.raw_path,
            headers.getall("host", []),
            door.hosts,
            headers.getall("origin", []),
            headers.getall("sec-fetch-site", []),
            door.origins,
        )
        return Visit(door, page)

    def _check_reader(self, request: web.BaseRequest, route: Route, door: Door) -> None:
        """Refuse whom no control route is for; where the door has none, all but an agent's own reads."""
        if route.name in OPEN:
            return
        if self._settings.control == "open-loopback" and door.name == "loopback":
            return
        headers = request.headers
        slots = access.key_slots(headers.getall("authorization", []), headers.getall("x-api-key", []))
        if door.control and access.is_admin(slots, self._token):
            return
        self._identifier.check_reader(headers, route, keys_only=door.keys_only)

    async def _of_agent(
        self, request: web.BaseRequest, route: Route, call_id: str, visit: Visit, marks: Mapping[str, str]
    ) -> web.StreamResponse:
        """Answer what agents ask for: a call, or something free."""
        try:
            identity = self._identifier.of_call(request.headers, route, keys_only=visit.keys_only)
        except SpendGuardError as error:
            if error.code is not Code.MISSING_AGENT or route.name not in ("models", "model"):
                raise
            return self._models.serve(None, request, route)  # who names somebody must be it; nobody may ask
        if route.name in ("models", "model"):
            return self._models.serve(identity, request, route)
        if route.name == "count":
            return await self._counts.serve(identity, request, route, call_id)
        return await serve_call(self._guard, self._settings, identity, request, route, call_id, marks)

    def refuse_broken(self) -> web.Response:
        """Answer what is no HTTP request, or none that two servers would read alike."""
        broken = MalformedError("HTTP request", "one that follows RFC 9112")
        return respond.refusal(broken, self._rng.uuid4())


def _asker(request: web.BaseRequest, route: Route) -> tuple[str, str, str]:
    """Return the provider and endpoint whose error shape the asker understands, and its User-Agent."""
    return *_dialect(request, route), request.headers.get("user-agent", "")


def _dialect(request: web.BaseRequest, route: Route) -> tuple[str, str]:
    if route.endpoint:
        return route.speaker, route.endpoint
    provider, endpoint = asker(request.raw_path)
    if provider:
        return provider, endpoint
    if ANTHROPIC_VERSION in request.headers and ("anthropic", "messages") in FORMATS:
        return "anthropic", "messages"
    if GOOGLE_KEY in request.headers and ("gemini", "generateContent") in FORMATS:
        return "gemini", "generateContent"
    return "openai", "chat/completions"


def _preflight(request: web.BaseRequest, page: str, door: Door) -> Mapping[str, str]:
    """Return what a browser is told about a request that a page wants to send."""
    return pages.preflight(
        page,
        request.raw_path,
        request.headers.getall("access-control-request-method", []),
        request.headers.getall("access-control-request-private-network", []),
        door.served,
    )


def _marked(answer: web.StreamResponse, marks: Mapping[str, str]) -> web.StreamResponse:
    """Return an answer with headers of ours; a streamed one got them when it began."""
    if not answer.prepared:
        answer.headers.update(marks)
    return answer


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


async def serve(gateway: Gateway, sockets: Sequence[socket.socket]) -> web.ServerRunner:
    """Start serving; the caller cleans the runner up."""
    runner = web.ServerRunner(Connections(gateway.handle, gateway.refuse_broken), handle_signals=False)
    await runner.setup()
    for bound in sockets:
        site = _UnixSite if bound.family == socket.AF_UNIX else web.SockSite
        await site(runner, bound, backlog=BACKLOG).start()
    await asyncio.sleep(0)
    return runner
