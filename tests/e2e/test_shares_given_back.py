"""Whatever becomes of a request, its agent's share is given back: after each kind of failure all is free.

The agent may have two requests at a time, and one mebibyte of bodies: what leaks is missed at the third.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from raw_http import Leave, request, send
from recorded import Act, RecordedUpstream, Reply
from sidecar import Sidecar

CHAT, COUNT = "/v1/chat/completions", "/openai/v1/responses/input_tokens"
PAD = "x" * 600_000
HELLO: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hello"}],
}
LIMITS = {
    "SPENDGUARD_LIMITS_AGENT_CALLS_MAX": "2",
    "SPENDGUARD_LIMITS_AGENT_BYTES_MAX": str(2**20),
    "SPENDGUARD_LIMITS_BYTES_MAX": str(2**20),
    "SPENDGUARD_LIMITS_BODY_SECONDS": "1",
    "SPENDGUARD_LIMITS_IDLE_SECONDS": "1",
}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon in which an agent may have little."""
    with Sidecar(tmp_path_factory.mktemp("back") / "home", upstream.base_url, env=LIMITS) as running:
        yield running


class Stage:
    """One agent that does everything wrong, with bodies that fit only one at a time."""

    def __init__(self, sidecar: Sidecar, upstream: RecordedUpstream):
        self.sidecar, self.upstream = sidecar, upstream
        self.agent = sidecar.agent(concurrency="shared")

    def raw(self, path: str = CHAT, body: object = None, **headers: str) -> bytes:
        said = body if isinstance(body, bytes) else json.dumps(body or HELLO | {"user": PAD}).encode()
        return request(self.sidecar.port, path, {"x-cynsta-agent-id": self.agent} | headers, said)

    async def send(self, raw: bytes, leave: Leave | None = None) -> None:
        await send(self.sidecar.port, raw, leave or Leave())

    async def scripted(self, act: Act, leave: Leave | None = None, **more: object) -> None:
        self.upstream.script(act)
        await self.send(self.raw(body=HELLO | {"user": PAD} | more), leave)


def chunked(stage: Stage, body: bytes) -> bytes:
    """Return a call whose body comes in chunks, as these bytes."""
    head = [f"POST {CHAT} HTTP/1.1", f"host: 127.0.0.1:{stage.sidecar.port}", "connection: close"]
    head += [f"x-cynsta-agent-id: {stage.agent}", "content-type: application/json"]
    return "\r\n".join([*head, "transfer-encoding: chunked", "", ""]).encode() + body


ANSWERED = Leave(after_received=12)
"""As soon as there is an answer: of a body that is not taken, the rest is awaited for a while."""

PIECE = b"%x\r\n" % len(PAD) + PAD.encode() + b"\r\n"
KINDS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "no json": lambda stage: stage.send(stage.raw(body=b"{" + PAD.encode())),
    "no such model": lambda stage: stage.send(stage.raw(body=HELLO | {"model": "none", "user": PAD})),
    "an odd field": lambda stage: stage.send(stage.raw(body=HELLO | {"odd": PAD})),
    "too large": lambda stage: stage.send(stage.raw(body=HELLO | {"user": PAD * 2})),
    "compressed": lambda stage: stage.send(stage.raw(**{"content-encoding": "gzip"})),
    "no such wait": lambda stage: stage.send(stage.raw(**{"x-spendguard-wait": "soon"})),
    "leaves in the body": lambda stage: stage.send(stage.raw(), Leave(after_sent=300_000)),
    "leaves at once": lambda stage: stage.send(stage.raw(), Leave(after_seconds=0)),
    "stops in the body": lambda stage: stage.send(stage.raw()[:300_000], ANSWERED),
    "expects": lambda stage: stage.send(stage.raw(expect="100-continue"), Leave(after_received=20)),
    "broken chunks": lambda stage: stage.send(chunked(stage, PIECE + b"nonsense\r\n"), ANSWERED),
    "too many chunks": lambda stage: stage.send(chunked(stage, PIECE * 3), ANSWERED),
    "leaves in chunks": lambda stage: stage.send(chunked(stage, PIECE), Leave(after_sent=len(PIECE) // 2)),
    "no money": lambda stage: stage.send(
        stage.raw(body=HELLO | {"max_tokens": 10**6, "n": 100, "user": PAD})
    ),
    "leaves while it waits": lambda stage: stage.send(
        stage.raw(body=HELLO | {"max_tokens": 10**6, "n": 100, "user": PAD}, **{"x-spendguard-wait": "600"}),
        Leave(after_seconds=0.2),
    ),
    "provider fails": lambda stage: stage.scripted(Act(reply=Reply(500, JSON, b"{}"))),
    "provider refuses": lambda stage: stage.scripted(Act(reply=Reply(400, JSON, b'{"error": {}}'))),
    "leaves in the answer": lambda stage: stage.scripted(Act(), Leave(after_received=10)),
    "leaves in the stream": lambda stage: stage.scripted(Act(), Leave(after_received=10), stream=True),
    "a count that is none": lambda stage: stage.send(stage.raw(COUNT, body=b"[" + PAD.encode())),
    "leaves a count": lambda stage: stage.send(stage.raw(COUNT), Leave(after_sent=300_000)),
    "a read of itself": lambda stage: stage.send(
        request(
            stage.sidecar.port,
            f"/v1/agents/{stage.agent}",
            {"x-cynsta-agent-id": stage.agent},
            b"",
            method="GET",
        )
    ),
    "a read with a body": lambda stage: stage.send(
        request(
            stage.sidecar.port,
            f"/v1/agents/{stage.agent}",
            {"x-cynsta-agent-id": stage.agent},
            PAD.encode(),
            method="GET",
        )
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_all_is_given_back(sidecar: Sidecar, upstream: RecordedUpstream, kind: str) -> None:
    """Three times the same, then a call with as large a body as ever."""
    stage = Stage(sidecar, upstream)
    for _ in range(3):
        await KINDS[kind](stage)
    deadline = asyncio.get_running_loop().time() + 20
    while True:
        answer = await send(sidecar.port, stage.raw(body=HELLO | {"user": PAD}))
        assert answer is not None
        if answer.status != 429:
            break
        assert asyncio.get_running_loop().time() < deadline, answer.body
        await asyncio.sleep(0.1)
    assert answer.status == 200, answer.body
