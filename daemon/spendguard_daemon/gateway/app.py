"""One handler for every request, whatever the door, and nothing routed by a library.

aiohttp's low-level server is used on purpose: its routers decode and normalise paths, ours (`routes`) must
not.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.gateway import access, pages, respond
from spendguard_daemon.gateway.asker import asker_of
from spendguard_daemon.gateway.connections import Connection, Connections
from spendguard_daemon.gateway.control import Control
from spendguard_daemon.gateway.counts import CountRoutes
from spendguard_daemon.gateway.crowd import Crowd
from spendguard_daemon.gateway.door import Door, Doors
from spendguard_daemon.gateway.fairness import AGAIN_MS, Brake, Fairness
from spendguard_daemon.gateway.identity import Identifier
from spendguard_daemon.gateway.models import ModelList
from spendguard_daemon.gateway.proxy import serve_call
from spendguard_daemon.gateway.routes import MODEL_ROUTES, OPEN, Route, match
from spendguard_daemon.gateway.sockets import peer_uid
from spendguard_daemon.gateway.strangers import Strangers
from spendguard_daemon.gateway.tally import Tally
from spendguard_daemon.guard import Guard
from spendguard_daemon.ports import Clock, Rng
from spendguard_daemon.settings import Settings

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
        Code.SUBSCRIPTION_TOKEN,
    }
)
"""Refusals of requests that named nobody whose share they could be counted on."""

LEFT_ALONE = frozenset({Code.MISDIRECTED_HOST, Code.FORBIDDEN_ORIGIN})
"""Refusals after which nothing more is read from a connection: it is a page's, or meant for somebody else."""

FREE = OPEN | {"models", "model"}
"""Routes that need no name."""

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
        fairness: Fairness,
        settings: Settings,
        token: str,
        doors: Doors,
        rng: Rng,
        clock: Clock,
        strangers: Strangers,
        tally: Tally,
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
        self._fairness = fairness
        self._strangers = strangers
        self._tally = tally
        self._brake = Brake(clock)
        self._crowd = Crowd[Connection](
            settings.connections_max, settings.header_seconds, settings.idle_seconds
        )

    def end_feeds(self) -> None:
        """Let who listens to the feed go: the daemon ends."""
        self._control.feed.close()

    def connections(self) -> Connections:
        """Make a server of connections; all that are made share the room there is."""
        return Connections(self.handle, self.refuse_broken, self.refuse_full, self._crowd)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error becomes an answer here."""
        call_id = self._rng.uuid4()
        route, marks = Route(""), pages.marks(None)
        try:
            visit = self._enter(request)
            if visit.page is not None and request.method == "OPTIONS":
                return web.Response(status=204, headers=_preflight(request, visit.page, visit.door))
            route = match(request.method, request.raw_path, visit.door.served)
            if route.name in FREE:
                await self._slow_down(request)
            if route.name in MODEL_ROUTES:
                marks = pages.marks(visit.page)
                return _marked(await self._of_agent(request, route, call_id, visit, marks), marks)
            if visit.page is not None:
                raise pages.refused()
            reader = self._check_reader(request, route, visit.door)
            with nullcontext() if reader is None else self._fairness.enter(reader):
                return await self._control.handle(request, route, visit.door)
        except SpendGuardError as error:
            answer = respond.refusal(error, call_id, *asker_of(request, route))
            self._tally.refusals[error.code] += 1
            if error.code in STRANGE:
                self._strangers.note(error, _program(request), route, request.raw_path)
                await self._slow_down(request)
                if cast("Connection", request.protocol).note_strange() or error.code in LEFT_ALONE:
                    answer.force_close()
            elif error.code is Code.RATE_LIMITED:
                await self._slow_down(request, str(error.facts.get("agent_id", "")))
            return _marked(answer, marks)
        except Exception:  # the last fence: whatever it is, the client gets an answer and the log the trace
            log.exception("internal error", extra={"facts": {"call_id": call_id, "route": route.name}})
            self._tally.refusals[Code.INTERNAL] += 1
            fault = SpendGuardError(Code.INTERNAL, f"Internal error: call {call_id}; see the daemon's log")
            return _marked(respond.refusal(fault, call_id, *asker_of(request, route)), marks)

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

    def _check_reader(self, request: web.BaseRequest, route: Route, door: Door) -> str | None:
        """Refuse whom no control route is for; where the door has none, all but an agent's own reads.

        Returns the agent that reads, None where it is an operator or anybody.
        """
        if route.name in OPEN:
            return None
        if self._settings.control == "open-loopback" and door.name == "loopback":
            return None
        headers = request.headers
        slots = access.key_slots(headers.getall("authorization", []), headers.getall("x-api-key", []))
        if door.control and access.is_admin(slots, self._token):
            return None
        return self._identifier.check_reader(headers, route, keys_only=door.keys_only)

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
        if self._strangers:
            self._strangers.forget(_program(request), route.endpoint)
        if route.name in ("models", "model"):
            return self._models.serve(identity, request, route)
        if route.name == "count":
            return await self._counts.serve(identity, request, route, call_id)
        return await serve_call(
            self._guard, self._fairness, self._settings, identity, request, route, call_id, marks
        )

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
        self._tally.refusals[full.code] += 1
        return respond.refusal(full, self._rng.uuid4())

    def refuse_broken(self) -> web.Response:
        """Answer what is no HTTP request, or none that two servers would read alike."""
        broken = MalformedError("HTTP request", "one that follows RFC 9112")
        self._tally.refusals[broken.code] += 1
        return respond.refusal(broken, self._rng.uuid4())


def _program(request: web.BaseRequest) -> str:
    return request.headers.get("user-agent", "")


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
