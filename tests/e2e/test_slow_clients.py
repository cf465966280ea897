"""Clients that are slow, silent, deaf or many: each has a deadline, and none of them keeps others out.

Slow in the head, in the body, in reading; a thousand connections at once; more than there is room for; more
than there are file descriptors for.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from raw_http import Answer, leave_now, request, send
from recorded import Act, RecordedUpstream, Reply
from sidecar import DAEMON, Sidecar
from until import until

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hello"}],
}
QUICK = {
    "SPENDGUARD_LIMITS_HEADER_SECONDS": "1",
    "SPENDGUARD_LIMITS_BODY_SECONDS": "1",
    "SPENDGUARD_LIMITS_IDLE_SECONDS": "1",
}
SMALL = {"SPENDGUARD_LIMITS_CONNECTIONS_MAX": "64"}
MANY = 1_000

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon that waits for a second."""
    with Sidecar(tmp_path_factory.mktemp("slow") / "home", upstream.base_url, env=QUICK) as running:
        yield running
        assert_nothing_failed(running)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon with room for 64 connections, and the deadlines that it has by default."""
    with Sidecar(tmp_path_factory.mktemp("small") / "home", upstream.base_url, env=SMALL) as running:
        yield running
        assert_nothing_failed(running)


def assert_nothing_failed(sidecar: Sidecar) -> None:
    """No fault of the daemon's own was logged."""
    lines = [json.loads(line) for line in sidecar.home.log.read_text().splitlines()]
    assert [line for line in lines if line["level"] not in ("info", "warning")] == []


def chat(sidecar: Sidecar, agent: str, **changes: object) -> bytes:
    """Return a chat call as it goes over the wire."""
    return request(
        sidecar.port, CHAT, {"x-cynsta-agent-id": agent}, json.dumps({**HELLO, **changes}).encode()
    )


async def ask(sidecar: Sidecar, agent: str) -> Answer:
    """Make a chat call; return its answer."""
    answer = await send(sidecar.port, chat(sidecar, agent))
    assert answer is not None
    return answer


async def connect(sidecar: Sidecar, first: bytes = b"") -> Opened:
    """Open a connection and send these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    writer.write(first)
    return reader, writer


@asynccontextmanager
async def connected(sidecar: Sidecar, first: bytes = b"") -> AsyncIterator[Opened]:
    """Keep one connection open."""
    reader, writer = await connect(sidecar, first)
    try:
        yield reader, writer
    finally:
        await leave_now(writer)


@asynccontextmanager
async def crowd(sidecar: Sidecar, firsts: list[bytes]) -> AsyncIterator[list[Opened]]:
    """Keep a connection open for each of these beginnings."""
    opened = await asyncio.gather(*(connect(sidecar, first) for first in firsts))
    try:
        yield opened
    finally:
        await asyncio.gather(*(leave_now(writer) for _, writer in opened))


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Return what still comes until the daemon closes."""
    received = bytearray()
    with suppress(ConnectionError):
        async with asyncio.timeout(30):
            while chunk := await reader.read(65_536):
                received += chunk
    return bytes(received)


async def dribble(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send byte by byte, so that something always comes, for as long as it is taken."""
    with suppress(ConnectionError):
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)


# -- deadlines ----------------------------------------------------------------------------------------------


async def test_a_head_that_does_not_come_whole(sidecar: Sidecar) -> None:
    """Silent from the first moment, or in the middle of it: closed."""
    firsts = [b"", b"\r\n", b"POST ", f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n".encode()]
    async with crowd(sidecar, firsts) as opened:  # each waits for a second, all for the same
        rests = await asyncio.gather(*(rest_of(reader) for reader, _ in opened))
    assert dict(zip(firsts, rests, strict=True)) == dict.fromkeys(firsts, b"")


async def test_a_head_that_comes_byte_by_byte(sidecar: Sidecar) -> None:
    """Its deadline runs from the first byte on, whatever comes after it."""
    async with connected(sidecar) as (reader, writer):
        sending = asyncio.create_task(dribble(writer, b"GET /health HTTP/1.1\r\nx: " + b"y" * 1_000))
        assert await rest_of(reader) == b""
        sending.cancel()


async def test_a_connection_that_rests_between_two_requests_may_do_so(sidecar: Sidecar) -> None:
    """Pools of SDKs keep connections: the deadline of a head does not run while there is none."""
    one = f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{sidecar.port}\r\n\r\n".encode()
    async with connected(sidecar, one) as (reader, writer):
        assert b'"ok"' in await reader.readuntil(b"}")
        async with connected(sidecar) as (silent, _):
            await rest_of(silent)  # by then more than the deadline of a head has passed
        writer.write(one)
        assert b'"ok"' in await reader.readuntil(b"}")
        writer.write(b"GET")
        assert await rest_of(reader) == b""


async def test_a_body_that_comes_byte_by_byte(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Refused when its time is over, and nothing was held for it."""
    agent, before = sidecar.agent(), upstream.arrived
    raw = chat(sidecar, agent)
    head = raw[: raw.index(b"\r\n\r\n") + 4]
    async with connected(sidecar, head) as (reader, writer):
        sending = asyncio.create_task(dribble(writer, raw[len(head) :]))
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        sending.cancel()
    assert upstream.arrived == before
    assert sidecar.budget(agent)["held_usd"] == "0.00"


async def test_a_whole_answer_that_nobody_takes(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """The call is paid; the connection is cut, for its answer would lie in memory for ever."""
    agent = sidecar.agent()
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    body = json.dumps({"choices": [{}], "usage": usage, "x": "y" * 6 * 2**20}).encode()
    upstream.script(Act(reply=Reply(200, {"content-type": "application/json"}, body)))
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", sidecar.port))
        deaf.sendall(chat(sidecar, agent))
        await asyncio.to_thread(until, lambda: sidecar.budget(agent)["settled_usd"] != "0.00")
        for _ in range(2):  # each of these has the same deadline, and was begun later
            async with connected(sidecar) as (reader, _):
                await rest_of(reader)
        taken = await asyncio.to_thread(all_of, deaf)
    assert 0 < len(taken) < len(body)


def all_of(client: socket.socket) -> bytes:
    """Read what lies in this machine's own buffers, to the end."""
    client.settimeout(30)
    received = bytearray()
    with suppress(ConnectionError):
        while chunk := client.recv(65_536):
            received += chunk
    return bytes(received)


# -- heads without end, requests ahead of their turn --------------------------------------------------------


async def test_a_head_has_a_size(sidecar: Sidecar) -> None:
    """64 KiB in all, however it is cut into lines and packets."""
    head = f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{sidecar.port}\r\n".encode()
    lines = b"".join(b"x-%d: %s\r\n" % (number, b"y" * 4_000) for number in range(30))
    async with connected(sidecar, head + lines[: 12 * 4_000] + b"\r\n\r\n") as (reader, _):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    for pieces in ([lines + b"\r\n"], [lines[at : at + 9_000] for at in range(0, 120_000, 9_000)]):
        async with connected(sidecar, head) as (reader, writer):
            with suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            assert (await rest_of(reader)).partition(b" ")[2][:3] in (b"", b"400")


async def test_what_comes_ahead_of_its_turn_has_a_size(small: Sidecar, upstream: RecordedUpstream) -> None:
    """Behind an open call no head without end piles up: its client is gone for us. The call is paid."""
    agent, before = small.agent(), upstream.arrived
    ahead = b"GET /health HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 4_000) for n in range(100))
    upstream.hold_open()
    try:
        async with connected(small, chat(small, agent).replace(b"connection: close\r\n", b"")) as opened:
            reader, writer = opened
            await asyncio.to_thread(upstream.wait_arrived, before + 1)
            with suppress(ConnectionError):
                for at in range(0, len(ahead), 8_192):
                    writer.write(ahead[at : at + 8_192])
                    await writer.drain()
            assert await rest_of(reader) == b""
    finally:
        upstream.release()
    await asyncio.to_thread(until, lambda: [c["state"] for c in small.calls(agent)] == ["settled"])


async def test_large_bodies_one_after_another_on_one_connection_are_none_of_that(small: Sidecar) -> None:
    """What belongs to a body is not taken for a head, nor for what comes ahead of its turn."""
    agent = small.agent()
    body = json.dumps(HELLO).encode() + b" " * 2**20
    raw = request(small.port, CHAT, {"x-cynsta-agent-id": agent}, body).replace(b"connection: close\r\n", b"")
    async with connected(small) as (reader, writer):
        for _ in range(10):
            writer.write(raw)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))


async def test_ten_thousand_requests_at_once_on_one_connection(sidecar: Sidecar) -> None:
    """They are read as they are answered; another agent is served meanwhile."""
    agent = sidecar.agent()
    one = f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{sidecar.port}\r\n\r\n".encode()
    async with connected(sidecar, one * 10_000) as (reader, _):
        answered = 0
        while answered < 1_200:
            answered += (await reader.read(65_536)).count(b"HTTP/1.1 200")
            if answered % 100 == 0:
                assert (await ask(sidecar, agent)).status == 200
        assert (await ask(sidecar, agent)).status == 200


# -- a thousand of them -------------------------------------------------------------------------------------


def beginnings(sidecar: Sidecar, agent: str) -> list[bytes]:
    """Return a thousand: silent ones, half heads, bodies that do not come, answers that nobody reads."""
    host = f"host: 127.0.0.1:{sidecar.port}\r\n"
    head = f"POST {CHAT} HTTP/1.1\r\n{host}content-type: application/json\r\ncontent-length: 5000\r\n"
    kinds = [
        b"",
        head.encode(),
        (head + "\r\n{").encode(),  # of nobody: refused at once, the rest is waited for no longer
        (head + f"x-cynsta-agent-id: {agent}\r\n\r\n{{").encode(),
        f"GET /health HTTP/1.1\r\n{host}\r\n".encode(),
    ]
    return [kinds[number % len(kinds)] for number in range(MANY)]


async def test_a_thousand_slow_connections_keep_nobody_out(
    tmp_path: Path, upstream: RecordedUpstream
) -> None:
    """With the limits that there are by default, and with room for far fewer: others are served at once."""
    for room in ("1024", "256"):
        env = {"SPENDGUARD_LIMITS_CONNECTIONS_MAX": room, "SPENDGUARD_LIMITS_AGENT_CALLS_MAX": "64"}
        with Sidecar(tmp_path / room, upstream.base_url, env=env) as sidecar:
            slow, other = sidecar.agent(), sidecar.agent()
            async with crowd(sidecar, beginnings(sidecar, slow)):
                for _ in range(10):
                    assert (await ask(sidecar, other)).status == 200
                    assert sidecar.control("GET", "/v1/status")["calls_in_flight"] == 0
            assert_nothing_failed(sidecar)


async def test_a_connection_with_a_call_under_way_gives_way_to_nobody(
    small: Sidecar, upstream: RecordedUpstream
) -> None:
    """Silent ones come and go; what was asked before them is answered."""
    agent, before = small.agent(), upstream.arrived
    upstream.hold_open()
    calls = [asyncio.create_task(ask(small, agent)) for _ in range(32)]
    await asyncio.to_thread(upstream.wait_arrived, before + 32)
    async with crowd(small, [b"GET"] * 200):
        upstream.release()
        assert [answer.status for answer in await asyncio.gather(*calls)] == [200] * 32


async def test_where_all_are_at_work_the_next_is_told_so(small: Sidecar, upstream: RecordedUpstream) -> None:
    """503, worth another try, and the connection is closed; when work has ended there is room."""
    agent, before = small.agent(), upstream.arrived
    upstream.hold_open()
    try:
        calls = [asyncio.create_task(ask(small, agent)) for _ in range(64)]
        await asyncio.to_thread(upstream.wait_arrived, before + 64)
        for raw in (chat(small, agent), chat(small, agent).replace(b"connection: close\r\n", b"")):
            async with connected(small, raw) as (reader, _):
                head, _, body = (await rest_of(reader)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"connection: close" in head.lower() and b"x-should-retry: true" in head.lower()
            assert json.loads(body)["spendguard"]["code"] == "connections_full"
        async with crowd(small, [b""] * 200):  # who is too late waits for nothing, and not without end
            pass
        assert upstream.arrived == before + 64
    finally:
        upstream.release()
    assert [answer.status for answer in await asyncio.gather(*calls)] == [200] * 64
    assert (await ask(small, agent)).status == 200


async def test_file_descriptors_are_kept_for_the_journal_and_for_providers(
    tmp_path: Path, upstream: RecordedUpstream
) -> None:
    """With 160 of them and 400 clients: calls are held, sent and settled; said once in the log."""
    command = ("sh", "-c", 'ulimit -n 160; exec "$@"', "sh", *DAEMON)
    with Sidecar(tmp_path / "home", upstream.base_url, command=command) as sidecar:
        agent = sidecar.agent()
        for _ in range(2):
            async with crowd(sidecar, [b"", b"GET /health HTTP/1.1\r\n"] * 200):
                served = 0
                async with asyncio.timeout(30):
                    while served < 5:
                        answer = await send(sidecar.port, chat(sidecar, agent))
                        served += answer is not None and answer.status == 200
        lines = [json.loads(line) for line in sidecar.home.log.read_text().splitlines()]
        assert [line["message"] for line in lines].count("file descriptors are short") == 1
        assert_nothing_failed(sidecar)
        assert sidecar.budget(agent)["held_usd"] == "0.00"
