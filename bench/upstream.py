"""A fast stand-in for a provider: prints its port, then answers every request at once.

A bare asyncio protocol: it must cost little beside what it measures. It reads just enough HTTP to know where
a request ends (content-length or chunked) and which of the prepared answers is wanted.
"""

import asyncio
import re
from typing import cast

import traffic
import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_PLAIN = traffic.plain_answer()
_STREAMS = {wanted: traffic.stream_answer(with_usage=wanted) for wanted in (True, False)}
_BURSTS = {wanted: b"".join(pieces) for wanted, pieces in _STREAMS.items()}


class Provider(asyncio.Protocol):
    """One connection, kept alive; one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has no common base with it

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = _LENGTH.search(self._received, 0, head_end)
        if length is not None:
            whole = len(self._received) >= head_end + 4 + int(length[1])
        else:
            whole = self._received.endswith(b"0\r\n\r\n")
        if whole:
            body, self._received = self._received[head_end:], b""
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        with_usage = b'"include_usage"' in body
        if b'"drip"' in body:
            self._drip(_STREAMS[with_usage], 0)
        elif b'"burst"' in body:
            self._transport.write(_BURSTS[with_usage])
        else:
            self._transport.write(_PLAIN)

    def _drip(self, pieces: list[bytes], at: int) -> None:
        self._transport.write(pieces[at])
        if at + 1 < len(pieces) and not self._transport.is_closing():
            asyncio.get_running_loop().call_soon(self._drip, pieces, at + 1)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
