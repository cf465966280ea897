"""One listener's connection: the head of the answer, then whatever the feed tells, until one of both ends."""

from contextlib import suppress
from typing import cast

from aiohttp import web

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.gateway.connections import Connection
from spendguard_daemon.gateway.feed import Feed
from spendguard_daemon.gateway.routes import Route

LAST_ID_HEADER = "last-event-id"
LAST_ID_LENGTH_MAX = 100


async def serve(feed: Feed, request: web.BaseRequest, route: Route) -> web.StreamResponse:
    """Answer `GET /v1/events`. Raises MALFORMED_REQUEST or CONNECTIONS_FULL before anything is sent."""
    last_ids = [*request.headers.getall(LAST_ID_HEADER, []), *route.query.values()]
    if len(last_ids) > 1 or any(len(one) > LAST_ID_LENGTH_MAX for one in last_ids):
        raise MalformedError(LAST_ID_HEADER, "once, here or as `after`, the id of a message of the feed")
    feed.check_room()
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
    await response.prepare(request)
    try:
        with suppress(ConnectionError):  # it left
            await feed.listen(last_ids[0] if last_ids else "", response.write)
    except (TimeoutError, SpendGuardError):  # it takes nothing, or another one took its place meanwhile
        cast("Connection", request.protocol).cut()
    return response
