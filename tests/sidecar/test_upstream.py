"""The one door to the providers, on real sockets: what left, what did not, and whose answer it is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from spendguard_daemon.gateway.upstream import HttpUpstream
from spendguard_daemon.ports import NotSentError, UpstreamLostError, UpstreamRequest

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def provider(serve: Serve) -> AsyncIterator[HttpUpstream]:
    """Run a provider that answers by hand, and the door to it."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = HttpUpstream({"openai": f"http://127.0.0.1:{port}/v1"})
    try:
        yield upstream
    finally:
        await upstream.close()
        server.close()


def request(body: bytes = b"{}") -> UpstreamRequest:
    """Return a request."""
    return UpstreamRequest("openai", "POST", "/chat/completions", (("x-a", "1"),), body)


def answer(body: bytes, head: bytes = b"") -> bytes:
    """Return an HTTP answer."""
    return b"HTTP/1.1 200 OK\r\n" + head + b"content-length: %d\r\n\r\n" % len(body) + body


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request with its body; empty where the connection ended."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def body_of(upstream: HttpUpstream) -> bytes:
    """Send a request and return the answer's body."""
    response = await upstream.send(request())
    try:
        return b"".join([chunk async for chunk in response.chunks()])
    finally:
        await response.close()


async def test_a_request_goes_out_as_it_is_and_connections_are_kept() -> None:
    """The path below the base URL, the headers given and no others of a library's choosing."""
    seen: list[bytes] = []
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while raw := await read_request(reader):
            seen.append(raw)
            writer.write(answer(b"ok", b"set-cookie: a=b\r\n"))
        writer.close()

    async with provider(serve) as upstream:
        assert [await body_of(upstream) for _ in range(3)] == [b"ok"] * 3
    assert connections == 1
    assert all(raw.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n") for raw in seen)
    names = {line.split(b":")[0].lower() for line in seen[-1].split(b"\r\n\r\n")[0].split(b"\r\n")[1:]}
    assert names == {b"host", b"x-a", b"content-length"}


async def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    """A second answer on an idle connection must not become the answer to the next call."""
    sent_extra = asyncio.Event()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(answer(b"mine"))
        await writer.drain()
        if connections == 1:
            await asyncio.sleep(0.05)
            writer.write(answer(b"another's"))
            await writer.drain()
            sent_extra.set()
        await read_request(reader)
        writer.close()

    async with provider(serve) as upstream:
        assert await body_of(upstream) == b"mine"
        await sent_extra.wait()
        await asyncio.sleep(0.05)
        assert await body_of(upstream) == b"mine"
    assert connections == 2


async def test_no_connection_means_not_sent() -> None:
    """A closed port: no byte left."""
    upstream = HttpUpstream({"openai": "http://127.0.0.1:9/v1"})
    with pytest.raises(NotSentError, match="refused"):
        await upstream.send(request())
    await upstream.close()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200", b"garbage\r\n\r\n", answer(b"whole")[:-2]])
async def test_whatever_breaks_after_the_request_is_lost(sent: bytes) -> None:
    """Nobody knows what the provider did."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(sent)
        await writer.drain()
        writer.close()

    async with provider(serve) as upstream:
        with pytest.raises(UpstreamLostError):
            await body_of(upstream)


async def test_redirects_are_not_followed() -> None:
    """The key stays where the operator sent it."""
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        while await read_request(reader):
            served += 1
            writer.write(b"HTTP/1.1 307 x\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with provider(serve) as upstream:
        response = await upstream.send(request())
        assert response.status == 307
        await response.close()
    assert served == 1
