"""The HTTP server: one handler for every request, both loopback addresses, nothing routed by a library.

aiohttp's low-level server is used on purpose: its routers decode and normalise paths, ours (`routes`) must
not.
"""

import asyncio
import errno
import logging
import socket
from typing import cast

from aiohttp import web

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.gateway import access, descriptors, respond
from spendguard_daemon.gateway.connections import Connection, Connections
from spendguard_daemon.gateway.control import Control
from spendguard_daemon.gateway.counts import CountRoutes
from spendguard_daemon.gateway.crowd import Crowd
from spendguard_daemon.gateway.fairness import AGAIN_MS, Brake, Fairness
from spendguard_daemon.gateway.models import ANTHROPIC_VERSION, GOOGLE_KEY, ModelList
from spendguard_daemon.gateway.proxy import serve_call
from spendguard_daemon.gateway.routes import MODEL_ROUTES, OPEN, Route, asker, match
from spendguard_daemon.guard import Guard
from spendguard_daemon.ports import Clock, Rng
from spendguard_daemon.providers import FORMATS
from spendguard_daemon.settings import Settings

LOOPBACK = ("127.0.0.1", "::1")
BACKLOG = 1024

STRANGE = frozenset(
    {
        Code.MISDIRECTED_HOST,
        Code.FORBIDDEN_ORIGIN,
        Code.ROUTE_NOT_FOUND,
        Code.METHOD_NOT_ALLOWED,
        Code.MISSING_AGENT,
        Code.IDENTITY_CONFLICT,
        Code.AGENT_NOT_FOUND,
        Code.UNAUTHORIZED,
        Code.KEY_UNKNOWN,
        Code.KEY_EXPIRED,
        Code.KEY_REQUIRED,
    }
)
"""Refusals of requests that named nobody whose share they could be counted on."""

LEFT_ALONE = frozenset({Code.MISDIRECTED_HOST, Code.FORBIDDEN_ORIGIN})
"""Refusals after which nothing more is read from a connection: it is a page's, or meant for somebody else."""

FREE = OPEN | {"models", "model"}
"""Routes that need no name."""

log = logging.getLogger(__name__)


class Gateway:
    """Checks who is asking and hands over to the guard or to the control API."""

    def __init__(
        self,
        *,
        guard: Guard,
        counts: CountRoutes,
        models: ModelList,
        control: Control,
        fairness: Fairness,
        settings: Settings,
        token: str,
        port: int,
        rng: Rng,
        clock: Clock,
    ):
        self._guard = guard
        self._counts = counts
        self._models = models
        self._control = control
        self._settings = settings
        self._token = token
        self._served = access.served_hosts(port)
        self._rng = rng
        self._fairness = fairness
        self._brake = Brake(clock)
        self._crowd = Crowd[Connection](
            settings.connections_max, settings.header_seconds, settings.idle_seconds
        )

    def connections(self) -> Connections:
        """Make a server of connections; all that are made share the room there is."""
        return Connections(self.handle, self.refuse_broken, self.refuse_full, self._crowd)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error becomes an answer here."""
        call_id = self._rng.uuid4()
        route = Route("")
        try:
            headers = request.headers
            access.check_transport(
                request.raw_path,
                headers.getall("host", []),
                self._served,
                headers.getall("origin", []),
                headers.getall("sec-fetch-site", []),
            )
            route = match(request.method, request.raw_path)
            if route.name in FREE:
                await self._slow_down(request)
            if route.name in MODEL_ROUTES:
                return await self._of_agent(request, route, call_id)
            if route.name not in OPEN and self._settings.control != "open-loopback":
                slots = access.key_slots(headers.getall("authorization", []), headers.getall("x-api-key", []))
                access.require_admin(slots, self._token)
            return await self._control.handle(request, route)
        except SpendGuardError as error:
            answer = respond.refusal(error, call_id, *_asker(request, route))
            if error.code in STRANGE:
                await self._slow_down(request)
                if cast("Connection", request.protocol).note_strange() or error.code in LEFT_ALONE:
                    answer.force_close()
            elif error.code is Code.RATE_LIMITED:
                await self._slow_down(request, str(error.facts.get("agent_id", "")))
            return answer
        except Exception:  # the last fence: whatever it is, the client gets an answer and the log the trace
            log.exception("internal error", extra={"facts": {"call_id": call_id, "route": route.name}})
            fault = SpendGuardError(Code.INTERNAL, f"Internal error: call {call_id}; see the daemon's log")
            return respond.refusal(fault, call_id, *_asker(request, route))

    async def _of_agent(self, request: web.BaseRequest, route: Route, call_id: str) -> web.StreamResponse:
        """Answer what agents ask for: a call, or something free."""
        if route.name == "call":
            return await serve_call(self._guard, self._fairness, self._settings, request, route, call_id)
        if route.name == "count":
            return await self._counts.serve(request, route, call_id)
        return self._models.serve(request, route)

    async def _slow_down(self, request: web.BaseRequest, agent_id: str = "") -> None:
        """Let an answer that costs its asker nothing wait; who waits for it keeps nobody out."""
        wait_seconds = self._brake.wait_seconds(agent_id)
        if wait_seconds:
            cast("Connection", request.protocol).rest(request)
            await asyncio.sleep(wait_seconds)

    def refuse_full(self) -> web.Response:
        """Answer where there is no room for one more connection."""
        full = SpendGuardError(
            Code.CONNECTIONS_FULL, TABLE[Code.CONNECTIONS_FULL].title, facts={"retry_after_ms": AGAIN_MS}
        )
        return respond.refusal(full, self._rng.uuid4())

    def refuse_broken(self) -> web.Response:
        """Answer what is no HTTP request, or none that two servers would read alike."""
        broken = MalformedError("HTTP request", "one that follows RFC 9112")
        return respond.refusal(broken, self._rng.uuid4())


def _asker(request: web.BaseRequest, route: Route) -> tuple[str, str]:
    """Return the provider and endpoint whose error shape the asker understands."""
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


def listen(port: int) -> list[socket.socket]:
    """Bind both loopback addresses to one port (a free one for 0); raise PORT_TAKEN.

    Both, because a stranger on the other one would be reached by whoever says `localhost`. A machine without
    IPv6 has only one.
    """
    for attempt in range(20):
        sockets: list[socket.socket] = []
        try:
            for address in LOOPBACK:
                bound = _bind(address, sockets[0].getsockname()[1] if sockets else port)
                sockets += [bound] if bound else []
            return sockets
        except OSError as error:
            for bound in sockets:
                bound.close()
            if error.errno != errno.EADDRINUSE or (port == 0 and attempt < 19):
                continue
            break
    raise SpendGuardError(
        Code.PORT_TAKEN,
        f"The port is taken: {port} on a loopback address",
        remedy="spendguard up --port <another>",
        facts={"port": port},
    )


def _bind(address: str, port: int) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None  # no IPv6 in this kernel
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None  # IPv6 is there, its loopback is not
        raise
    bound.setblocking(False)
    return bound


async def serve(gateway: Gateway, sockets: list[socket.socket]) -> web.ServerRunner:
    """Start serving; the caller cleans the runner up."""
    descriptors.hear_no_accept_twice(asyncio.get_running_loop())
    runner = web.ServerRunner(gateway.connections(), handle_signals=False)
    await runner.setup()
    for bound in sockets:
        await web.SockSite(runner, bound, backlog=BACKLOG).start()
    await asyncio.sleep(0)
    return runner
