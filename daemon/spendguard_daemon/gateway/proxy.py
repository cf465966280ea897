"""Model calls over HTTP: from the request to an `Arrival`, from the guard's answer to the response."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from aiohttp import web

from spendguard_daemon.call import Answer, AnswerTornError, Arrival, ClientGoneError
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.gateway import access
from spendguard_daemon.gateway.fairness import Fairness, OverLimitError, Stay
from spendguard_daemon.gateway.identity import Identity
from spendguard_daemon.gateway.routes import Route
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger.refusals import Refusal
from spendguard_daemon.planner import IMPLICIT_RUN
from spendguard_daemon.settings import Settings

Sent = TypeVar("Sent")


class HttpClient:
    """The client of one streamed call. A client that takes no byte for the idle time counts as gone."""

    def __init__(self, request: web.BaseRequest, idle_seconds: int, stay: Stay, marks: Mapping[str, str]):
        self.response: web.StreamResponse | None = None
        self._marks = marks
        self._request = request
        self._stay = stay
        self._idle_seconds = idle_seconds

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of an answer; the request's body has been sent on and let go of by then."""
        self._stay.free_body()
        self.response = web.StreamResponse(status=status, headers={**headers, **self._marks})
        await self._within(self.response.prepare, self._request)

    async def write(self, data: bytes) -> None:
        """Send a part of the body; return when there is room for more."""
        if self.response is None:
            raise ClientGoneError("nothing was started")
        await self._within(self.response.write, data)

    def break_off(self) -> None:
        """Cut the connection, so that nobody takes a torn answer for a whole one."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _within(self, send: Callable[[Sent], Awaitable[object]], what: Sent) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ClientGoneError("the connection is closed")
        try:
            async with asyncio.timeout(self._idle_seconds):
                await send(what)
        except (ConnectionError, TimeoutError, RuntimeError) as error:
            # RuntimeError is aiohttp's word for a write to a connection that it has given up.
            raise ClientGoneError(type(error).__name__) from error


async def read_body(
    request: web.BaseRequest, bytes_max: int, seconds: int, stay: Stay | None = None
) -> bytes:
    """Return a request's JSON body; raise UNSUPPORTED_MEDIA, BODY_TOO_LARGE or MALFORMED_REQUEST.

    Of an agent's request, `stay` has room for the body, or raises RATE_LIMITED: for all that is announced
    before it is read, and for chunks as they come.
    """
    reserve = stay.reserve if stay else _no_limit
    bytes_max = min(bytes_max, stay.body_bytes_max) if stay else bytes_max
    encodings = request.headers.getall("content-encoding", [])
    if any(encoding.strip().lower() != "identity" for encoding in encodings):
        raise SpendGuardError(
            Code.UNSUPPORTED_MEDIA, "Unsupported content type or encoding: send it uncompressed"
        )
    if request.content_type != "application/json":
        raise SpendGuardError(
            Code.UNSUPPORTED_MEDIA, "Unsupported content type or encoding: expected application/json"
        )
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    reserve(request.content_length or 0)
    if request.headers.get("expect", "").lower() == "100-continue":
        with suppress(ConnectionError):  # who is gone already is noticed where its body is read
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
                reserve(len(body))
    except TimeoutError:
        raise MalformedError("body", f"whole within {seconds} s") from None
    except web.RequestPayloadError:
        raise MalformedError("body", "chunks that follow RFC 9112") from None
    return bytes(body)


def _no_limit(_: int) -> None:
    """Have room for whatever an operator sends, which is small."""


def _too_large(bytes_max: int) -> SpendGuardError:
    # Not kept in a variable of the reader: an error that its own frame names keeps the whole body alive.
    return SpendGuardError(
        Code.BODY_TOO_LARGE, f"Body too large: at most {bytes_max} bytes", facts={"body_bytes_max": bytes_max}
    )


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by names in lower case; one sent several times is one list (RFC 9110 5.3)."""
    joined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


async def serve_call(
    guard: Guard,
    fairness: Fairness,
    settings: Settings,
    identity: Identity,
    request: web.BaseRequest,
    route: Route,
    call_id: str,
    marks: Mapping[str, str],
) -> web.StreamResponse:
    """Serve one model call of `identity`; `marks` are headers of ours that a streamed answer gets.

    Raises SpendGuardError where nothing was sent to the client yet.
    """
    headers = request.headers
    key = access.idempotency_key(headers.getall(access.IDEMPOTENCY_HEADER, []))
    wait_seconds = access.wait_seconds(headers.getall(access.WAIT_HEADER, []))
    guard.check_agent(identity.agent_id)
    try:
        with fairness.enter(identity.agent_id) as stay:
            client = HttpClient(request, settings.idle_seconds, stay, marks)
            # The arrival gets no name here: its body must not live as long as the call.
            called = guard.call(
                Arrival(
                    call_id=call_id,
                    agent_id=identity.agent_id,
                    run_id=identity.run_id,
                    keys=identity.keys,
                    root_public=identity.root_public,
                    provider=route.provider,
                    endpoint=route.endpoint,
                    headers=lower(headers),
                    body=await read_body(request, settings.body_bytes_max, settings.body_seconds, stay),
                    idempotency_key=key,
                    query=route.query,
                    model=route.params.get("model", ""),
                    stream=route.stream,
                    wait_seconds=wait_seconds,
                ),
                client,
            )
            return await _answered(called, client)
    except OverLimitError as error:
        error.facts |= {"agent_id": identity.agent_id, "run_id": identity.run_id or IMPLICIT_RUN}
        fairness.note(_refused(error, route, call_id))
        raise


async def _answered(called: Awaitable[Answer | None], client: HttpClient) -> web.StreamResponse:
    """Return what is still to be sent of a call's answer."""
    try:
        answer = await called
    except (AnswerTornError, SpendGuardError):
        if client.response is None:
            raise
        client.break_off()
        return client.response
    if answer is not None:
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
    if client.response is None:
        raise SpendGuardError(Code.INTERNAL, "Internal error: a call ended without an answer")
    return client.response


def _refused(error: OverLimitError, route: Route, call_id: str) -> Refusal:
    return Refusal(
        call_id=call_id,
        agent_id=str(error.facts["agent_id"]),
        run_id=str(error.facts["run_id"]),
        provider=route.provider,
        endpoint=route.endpoint,
        model="",
        code=error.code,
        detail=error.detail,
        facts=error.facts,
    )
