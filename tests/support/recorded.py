"""A provider on loopback that answers from `tests/recordings`, invents the rest, and misbehaves when told.

It is a real HTTP server (aiohttp) in a thread with its own event loop, so that a daemon in another process,
or the test's own loop, can call it and be killed while it lives on:

    with RecordedUpstream() as upstream:
        settings = {"SPENDGUARD_OPENAI_BASE_URL": upstream.base_url}     # http://127.0.0.1:<port>/v1
        ...
        upstream.received[0].body                                        # the bytes that really came

**What is answered.** A request whose path and (model, messages, stream) are a recording's gets that
recording: status, headers, content encoding and the exact body bytes, whatever else the sidecar changed in
it. Any other chat request is answered with an invented completion, plain or streaming, as OpenAI would (the
usage chunk only if it was asked for). What it uses is `usage(body)`, by default a quarter of the message
bytes and 20 tokens for each choice but never above the cap. Other paths get 404.

**Its own till.** With `bill=lambda model, prompt, completion: <nUSD>`, each invented answer's price is added
to `billed_nusd` at the moment the whole request has arrived, before any byte goes back: what a provider may
charge even if the caller dies right then. Recorded answers, and those an act replaces, are not billed.

**Holding open.** After `hold_open()` requests are received, counted in `arrived`, and wait; `release()` lets
them all go on. `wait_arrived(n)` blocks until n requests have come.

**Misbehaving.** `script(Act(...), ...)` gives the next requests, in their order of arrival, one act each;
`upstream.director = lambda received: Act(...) or None` decides by request. An `Act` can reset the connection
before the head, cut the body after some bytes, hang before the head or after some bytes, send any status,
headers and body, or cut the body in chunks of a size (1 = byte by byte). `pieces` is the cycle of chunk sizes
used otherwise for streams.
"""

import asyncio
import itertools
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

from replies import (
    Received,
    Recording,
    Reply,
    default_usage,
    invented,
    invented_stream,
    load,
    load_all,
    refusal,
)

__all__ = ["Act", "Received", "RecordedUpstream", "Recording", "Reply", "default_usage", "load", "load_all"]

PIECES = (61, 7, 1, 300, 13, 2)
ENDLESS_SECONDS = 0.02
"""Between two pieces of an answer that never ends."""

_BODY_BYTES_MAX = 64 * 2**20

UsageOf = Callable[[dict[str, Any]], tuple[int, int]]
"""From a chat request to the tokens it is billed: (prompt, completion of all choices)."""

Bill = Callable[[str, int, int], int]
"""From (model, prompt tokens, completion tokens) to nUSD."""


@dataclass(frozen=True, slots=True)
class Act:
    """How to treat one request; by default as any other.

    `reset`: drop the connection (RST) before the head. `hang`: never answer. `hang_after`, `cut_after`: stop,
    or drop the connection, after so many body bytes. `pause_after`: stop there until `resume()`.
    `chunk_bytes`: send the body in pieces of this size.
    `endless`: after the body send this again and again, until the caller has had enough.
    `reply`: send this in place of the recorded or invented answer.
    """

    reset: bool = False
    hang: bool = False
    hang_after: int | None = None
    cut_after: int | None = None
    pause_after: int | None = None
    chunk_bytes: int | None = None
    endless: bytes = b""
    reply: Reply | None = None


class RecordedUpstream:
    """The server; use it in a `with` block. Its methods may be called from any thread."""

    def __init__(
        self, *, usage: UsageOf = default_usage, bill: Bill | None = None, pieces: tuple[int, ...] = PIECES
    ) -> None:
        self.received: list[Received] = []
        self.arrived = 0
        self.billed_nusd = 0
        self.director: Callable[[Received], Act | None] = lambda _: None
        self.base_url = ""
        self._usage = usage
        self._bill = bill
        self._pieces = pieces
        self._script: deque[Act] = deque()
        self._recordings = {_key(r.path, r.request): r for r in load_all()}
        self._arrival = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Event()
        self._closing = asyncio.Event()
        self._resumed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorded upstream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._runner = self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def script(self, *acts: Act) -> None:
        """Give the next requests one act each."""
        self._script.extend(acts)

    def hold_open(self) -> None:
        """Let requests that come from now on wait before they are answered."""
        self._run(self._set_gate(open_gate=False))

    def release(self) -> None:
        """Answer the requests that wait, and those to come."""
        self._run(self._set_gate(open_gate=True))

    def resume(self) -> None:
        """Let the answers that pause now go on."""
        self._loop.call_soon_threadsafe(self._resume)

    def wait_arrived(self, count: int, seconds: float = 20) -> None:
        """Block until `count` requests in all have arrived; raise TimeoutError after `seconds`."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: self.arrived >= count, seconds):
                raise TimeoutError(f"{self.arrived} of {count} requests arrived")

    # -- the server's own thread ------------------------------------------------------------------------

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self) -> web.AppRunner:
        self._gate.set()
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5, auto_decompress=False)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    async def _stop(self) -> None:
        self._gate.set()
        self._resume()
        self._closing.set()
        await self._runner.cleanup()

    def _resume(self) -> None:
        self._resumed.set()
        self._resumed = asyncio.Event()

    async def _set_gate(self, *, open_gate: bool) -> None:
        if open_gate:
            self._gate.set()
        else:
            self._gate.clear()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        received = Received(request.method, request.path, dict(request.headers), body, request.query_string)
        act = self.director(received) or (self._script.popleft() if self._script else Act())
        reply = act.reply or self._answer(received)
        with self._arrival:
            self.received.append(received)
            self.arrived += 1
            self._arrival.notify_all()
        await self._gate.wait()
        if act.hang:
            await self._closing.wait()
        if act.reset:
            _reset(request)
        return await self._send(request, reply, act)

    async def _send(self, request: web.Request, reply: Reply, act: Act) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        if not _flows(reply, act):
            response.content_length = len(reply.body)
        sent = 0
        try:
            await response.prepare(request)
            for piece in self._cut(reply, act):
                await response.write(piece)
                sent += len(piece)
                if sent == act.hang_after:
                    await self._closing.wait()
                if sent == act.pause_after:
                    await self._resumed.wait()
                if sent == act.cut_after:
                    if request.transport is not None:
                        request.transport.close()
                    return response
            while act.endless and not self._closing.is_set():
                await response.write(act.endless)
                await asyncio.sleep(ENDLESS_SECONDS)
            await response.write_eof()
        except ConnectionError:
            pass  # the caller has left, which many a test wants
        return response

    def _cut(self, reply: Reply, act: Act) -> Iterator[bytes]:
        """Cut the body in pieces, with one border exactly where the act wants to stop."""
        stops = (act.cut_after, act.hang_after, act.pause_after)
        stop = next((stop for stop in stops if stop is not None), None)
        stream = reply.headers.get("content-type", "").startswith("text/event-stream")
        sizes = (act.chunk_bytes,) if act.chunk_bytes else self._pieces if stream else (len(reply.body) or 1,)
        if stop == 0:
            yield b""
        at = 0
        for size in itertools.cycle(sizes):
            end = min(at + size, len(reply.body))
            if stop is not None and at < stop < end:
                end = stop
            if at == end:
                return
            yield reply.body[at:end]
            at = end

    # -- answers ----------------------------------------------------------------------------------------

    def _answer(self, received: Received) -> Reply:
        try:
            body = json.loads(received.body)
        except ValueError:
            return refusal(400, "not JSON")
        recording = self._recordings.get(_key(received.path, body))
        if recording is not None:
            return recording.reply
        if received.path != "/v1/chat/completions":
            return refusal(404, "no such route")
        prompt, completion = self._usage(body)
        self._book(body, prompt, completion)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        return invented_stream(body, usage) if body.get("stream") else invented(body, usage)

    def _book(self, body: dict[str, Any], prompt: int, completion: int) -> None:
        if self._bill is not None:
            self.billed_nusd += self._bill(body.get("model", ""), prompt, completion)


def _flows(reply: Reply, act: Act) -> bool:
    """Tell whether an answer has no length in its head: streams, Google's arrays, what is stopped on its way.

    With a length, a caller may take the connection for free while the answer still pauses at its end.
    """
    if reply.headers.get("content-type", "").startswith("text/event-stream") or reply.body.startswith(b"[{"):
        return True
    return bool(act.endless) or act.pause_after is not None


def _key(path: str, body: dict[str, Any]) -> str:
    """Return what of a request the sidecar never changes, as text."""
    said = body.get("messages", body.get("input", body.get("contents")))
    kept = [body.get("model"), said, bool(body.get("stream"))]
    return path + json.dumps(kept, sort_keys=True)


def _reset(request: web.Request) -> None:
    """Drop the connection so that the peer sees a reset."""
    transport = request.transport
    if transport is not None:
        linger_zero = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        transport.abort()
