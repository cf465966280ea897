"""The one door to real providers: an aiohttp client that sends each request once and decodes nothing.

It translates aiohttp's exceptions into the two that matter for money: no byte left (NotSentError), or nobody
knows (UpstreamLostError). It follows no redirect, keeps no cookie, obeys no proxy variable, and aiohttp
re-sends idempotent methods only, never a POST.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from spendguard_daemon.gateway import descriptors
from spendguard_daemon.ports import NotSentError, UpstreamLostError, UpstreamRequest, UpstreamResponse
from spendguard_daemon.skew import NoteHeaders

CONNECT_SECONDS = 10
IDLE_CONNECTION_SECONDS = 15
"""Below every provider's own keep-alive, so that a call is rarely written to a connection just closed."""

PIECE_BYTES = 256 * 1024
"""Larger bodies are sent in pieces of this size, so that they are let go of once they were sent."""


class HttpResponse:
    """An answer from a provider, relayed as it comes."""

    def __init__(self, response: aiohttp.ClientResponse):
        self._response = response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, keys compared without case."""
        return self._response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; raise UpstreamLostError where it is torn."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamLostError(f"the connection broke: {type(error).__name__}") from error

    async def close(self) -> None:
        """Drop the connection unless its answer was read whole, in which case it goes back to the pool."""
        self._response.close()


class _Handler(ResponseHandler):
    """One connection to a provider. An answer that nobody asked for must not become the next call's."""

    def is_connected(self) -> bool:
        """Tell whether the connection may be used; aiohttp asks before it takes one from its pool."""
        return super().is_connected() and not (self._buffer or self._tail)


class _Connector(aiohttp.TCPConnector):
    """aiohttp's connector, with connections of our own kind; it has no public way to name one."""

    def __init__(self) -> None:
        super().__init__(limit=0, keepalive_timeout=IDLE_CONNECTION_SECONDS)
        self._factory = cast("partial[ResponseHandler]", partial(_Handler, loop=self._loop))


class HttpUpstream:
    """Sends requests to the pinned base address of each provider. Make it inside a running loop.

    `note` is told the headers of each answer.
    """

    def __init__(self, base_urls: Mapping[str, str], note: NoteHeaders = lambda _: None):
        self._base_urls = dict(base_urls)
        self._note = note
        self._descriptors_max = descriptors.first_but(descriptors.JOURNALS_RESERVE)
        self._session = aiohttp.ClientSession(
            connector=_Connector(),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
        )

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send one request, once; return when the answer's head is there."""
        provider = request.provider
        if descriptors.next_free() >= self._descriptors_max:
            raise NotSentError(f"{provider}: no file descriptor is left for a connection")
        sending = self._session.request(
            request.method,
            URL(self._base_urls[provider] + request.path, encoded=True),
            headers=[*request.headers, *_length(request.body)],
            data=_in_pieces(request.body) if len(request.body) > PIECE_BYTES else request.body or None,
            allow_redirects=False,
        )
        del request  # with its body, which nobody else has a name for
        try:
            response = await sending
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Raised only while the connection is made, before the request line.
            raise NotSentError(f"{provider}: {_in_words(error)}") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise UpstreamLostError(f"the connection broke: {type(error).__name__}") from error
        self._note(response.headers)
        return HttpResponse(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def _length(body: bytes) -> list[tuple[str, str]]:
    """Return the header without which a body in pieces would be sent chunked."""
    return [("content-length", str(len(body)))] if body else []


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), PIECE_BYTES):
        yield body[at : at + PIECE_BYTES]


def _in_words(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its name could not be resolved"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate could not be verified"
        case aiohttp.ClientSSLError():
            return "TLS failed"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {CONNECT_SECONDS} s"
        case _:
            return "the connection was refused or reset"
