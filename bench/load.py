"""The load: so many connections, each asking again as soon as it was answered. Prints one JSON object.

    load.py <port> <kind> <connections> <seconds> [<agent id>]

A bare asyncio protocol in a process of its own, so that it is not what is measured. Anything but a whole
answer with status 200 ends it with an error.
"""

import asyncio
import json
import re
import sys
import time
from typing import cast

import traffic
import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"


class Run:
    """What all connections share: what they send, when to stop, what they have seen."""

    def __init__(self, request: bytes, seconds: float, connections: int) -> None:
        self.request = request
        self.busy = connections
        self.first_byte_ns: list[int] = []
        self.whole_ns: list[int] = []
        self.ended = asyncio.get_running_loop().create_future()
        self.stop_at = time.perf_counter() + seconds

    def end_one(self) -> None:
        """Note that a connection has its last answer; nobody is cut off in the middle of one."""
        self.busy -= 1
        if not self.busy and not self.ended.done():
            self.ended.set_result(None)

    def fail(self, why: str) -> None:
        """End the run: a benchmark of errors is none."""
        if not self.ended.done():
            self.ended.set_exception(RuntimeError(why))


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._received = b""
        self._asked_ns = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has no common base with it
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.fail(f"the connection was closed: {exc}")

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self._first_byte_ns = time.perf_counter_ns() - self._asked_ns
        self._received += data
        if not self._whole():
            return
        if not self._received.startswith(b"HTTP/1.1 200"):
            self._run.fail(self._received.decode("latin-1"))
        self._run.first_byte_ns.append(self._first_byte_ns)
        self._run.whole_ns.append(time.perf_counter_ns() - self._asked_ns)
        if time.perf_counter() < self._run.stop_at:
            self._ask()
        else:
            self._run.end_one()

    def _ask(self) -> None:
        self._received = b""
        self._asked_ns = time.perf_counter_ns()
        self._transport.write(self._run.request)

    def _whole(self) -> bool:
        if self._received.endswith(_LAST_CHUNK):
            return b"[DONE]" in self._received[-64:]
        head_end = self._received.find(b"\r\n\r\n")
        length = _LENGTH.search(self._received, 0, head_end) if head_end > 0 else None
        return length is not None and len(self._received) == head_end + 4 + int(length[1])


async def main(port: int, kind: str, connections: int, seconds: float, agent_id: str) -> None:
    """Put the load on, print what came of it."""
    body = traffic.request_body(kind)
    lines = ["POST /v1/chat/completions HTTP/1.1", f"host: 127.0.0.1:{port}", "user-agent: bench"]
    lines += ["content-type: application/json", "accept: */*", "authorization: Bearer sk-none"]
    lines += [f"x-cynsta-agent-id: {agent_id}", f"content-length: {len(body)}", "", ""]
    run = Run("\r\n".join(lines).encode() + body, seconds, connections)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(run), "127.0.0.1", port)
    await run.ended
    elapsed = time.perf_counter() - started
    print(
        json.dumps(
            {
                "calls": len(run.whole_ns),
                "per_second": len(run.whole_ns) / elapsed,
                "p50_us": sorted(run.whole_ns)[len(run.whole_ns) // 2] / 1000,
                "first_byte_p50_us": sorted(run.first_byte_ns)[len(run.first_byte_ns) // 2] / 1000,
            }
        )
    )


if __name__ == "__main__":
    port, kind, connections, seconds, *agent = sys.argv[1:]
    uvloop.run(main(int(port), kind, int(connections), float(seconds), agent[0] if agent else "none"))
