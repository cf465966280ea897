"""One agent's share of the sidecar over HTTP: requests at a time, a second, bytes of bodies; others go on."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from in_memory import in_memory
from raw_http import Answer, Leave, leave_now, request, send
from recorded import RecordedUpstream
from sidecar import Sidecar
from until import until

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hello"}],
}
MEBIBYTE = 2**20
LIMITS = {
    "SPENDGUARD_LIMITS_AGENT_CALLS_MAX": "4",
    "SPENDGUARD_LIMITS_AGENT_REQUESTS_PER_SECOND": "3",
    "SPENDGUARD_LIMITS_AGENT_BYTES_MAX": str(2 * MEBIBYTE),
    "SPENDGUARD_LIMITS_BYTES_MAX": str(5 * MEBIBYTE // 2),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon in which an agent may have little."""
    with Sidecar(tmp_path_factory.mktemp("fair") / "home", upstream.base_url, env=LIMITS) as running:
        yield running


def chat(sidecar: Sidecar, agent: str, body: bytes = b"") -> bytes:
    """Return a chat call as it goes over the wire."""
    return request(sidecar.port, CHAT, {"x-cynsta-agent-id": agent}, body or json.dumps(HELLO).encode())


async def ask(sidecar: Sidecar, agent: str, body: bytes = b"") -> Answer:
    """Make a chat call; return its answer."""
    answer = await send(sidecar.port, chat(sidecar, agent, body))
    assert answer is not None
    return answer


def over(answer: Answer, limit: str) -> dict[str, Any]:
    """Check that an answer tells of this limit, and when to come again; return its facts."""
    said: dict[str, Any] = answer.json()["spendguard"]
    assert (answer.status, said["code"], said["limit"]) == (429, "rate_limited", limit), said
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["retry-after-ms"] == str(said["retry_after_ms"])
    assert "config set" not in answer.body.decode()
    return said


async def at_work(sidecar: Sidecar, upstream: RecordedUpstream, agent: str, count: int) -> Any:
    """Make calls that the provider does not answer yet; return their tasks."""
    before = upstream.arrived
    upstream.hold_open()
    calls = [asyncio.create_task(ask(sidecar, agent)) for _ in range(count)]
    await asyncio.to_thread(upstream.wait_arrived, before + count)
    return calls


async def test_so_many_at_a_time_while_another_agent_is_served(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """What is too many holds no money and reaches no provider; when one has ended, one is let in."""
    greedy, other = sidecar.agent(), sidecar.agent()
    calls = await at_work(sidecar, upstream, greedy, 4)
    try:
        before, budget = upstream.arrived, sidecar.budget(greedy)
        answers = await asyncio.gather(*(ask(sidecar, greedy) for _ in range(20)))
        for answer in answers:
            assert over(answer, "agent_calls_max")["limit_value"] == 4
        assert (upstream.arrived, sidecar.budget(greedy)) == (before, budget)
        served = asyncio.create_task(ask(sidecar, other))
        await asyncio.to_thread(upstream.wait_arrived, before + 1)
    finally:
        upstream.release()
    assert [answer.status for answer in [*await asyncio.gather(*calls), await served]] == [200] * 5
    assert (await ask(sidecar, greedy)).status == 200
    # Seen by the operator; in the journal they are counted together.
    assert [call["code"] for call in sidecar.calls(greedy)].count("rate_limited") == 20
    told = until(lambda: [r for r in sidecar.journal() if r["t"] == "refused" and r["agent_id"] == greedy])
    assert len(told) < 10
    assert until(lambda: sum(r["count"] for r in sidecar.journal() if r["t"] == "refused") >= 20)


async def test_leaving_makes_no_room_for_more(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A call whose client is gone goes on at the provider: an agent that leaves and comes back is held."""
    agent = sidecar.agent()
    calls = await at_work(sidecar, upstream, agent, 4)
    try:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.to_thread(until, lambda: sidecar.budget(agent)["locked_run_id"] is None)
        over(await ask(sidecar, agent), "agent_calls_max")
    finally:
        upstream.release()
    await asyncio.to_thread(until, lambda: sidecar.budget(agent)["held_usd"] == "0.00")
    assert (await ask(sidecar, agent)).status == 200


async def test_so_many_a_second_and_free_routes_count(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Sixty at once, then three a second; told to wait for as long as it takes."""
    agent, other = sidecar.agent(), sidecar.agent()
    listing = request(sidecar.port, "/v1/models", {"x-cynsta-agent-id": agent}, b"", method="GET")
    answers = []
    for _ in range(80):
        answer = await send(sidecar.port, listing)
        assert answer is not None
        answers.append(answer)
    assert [answer.status for answer in answers[:60]] == [200] * 60
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    for answer in refused:
        said = over(answer, "agent_requests_per_second")
        assert said["limit_value"] == 3
        assert 1 <= said["retry_after_ms"] <= 334
    assert (await ask(sidecar, other)).status == 200
    before = len(upstream.received)
    statuses = Counter()
    for _ in range(100):
        answer = await ask(sidecar, agent)
        statuses[answer.status] += 1
        if answer.status == 429:
            await asyncio.sleep(int(answer.headers["retry-after-ms"]) / 1000)
            assert (await ask(sidecar, agent)).status == 200  # the wait that it named was enough
            break
    assert statuses[429] == 1
    assert len(upstream.received) == before + statuses[200] + 1


def head_of(sidecar: Sidecar, agent: str, length: str) -> bytes:
    """Return the head of a call, whose body is still to come."""
    lines = [f"POST {CHAT} HTTP/1.1", f"host: 127.0.0.1:{sidecar.port}", f"x-cynsta-agent-id: {agent}"]
    return "\r\n".join([*lines, "content-type: application/json", length, "", ""]).encode()


async def announced(sidecar: Sidecar, agent: str, n_bytes: int) -> asyncio.StreamWriter:
    """Announce a body of this size and send none of it; return the open connection."""
    _, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    writer.write(head_of(sidecar, agent, f"content-length: {n_bytes}"))
    await writer.drain()
    return writer


async def test_bytes_are_counted_before_they_come_and_given_back(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """What is announced is reserved; another agent has its own share, and all of them have one together."""
    agent, other, before = sidecar.agent(), sidecar.agent(), len(upstream.received)
    padded = json.dumps(HELLO).encode() + b" " * MEBIBYTE
    waiting = await announced(sidecar, agent, 3 * MEBIBYTE // 2)
    try:
        async with asyncio.timeout(20):
            while (answer := await ask(sidecar, agent, padded)).status == 200:
                await asyncio.sleep(0.05)  # the other's head may not have been read yet
        assert over(answer, "agent_bytes_max")["limit_value"] == 2 * MEBIBYTE
        seen = len(upstream.received)
        assert (await ask(sidecar, agent)).status == 200  # a small one fits
        over(await ask(sidecar, other, padded + b" "), "bytes_max")
        chunks = b"100000\r\n" + b" " * MEBIBYTE + b"\r\n0\r\n\r\n"
        answer = await send(
            sidecar.port, head_of(sidecar, agent, "transfer-encoding: chunked\r\nconnection: close") + chunks
        )
        assert answer is not None
        over(answer, "agent_bytes_max")
        assert len(upstream.received) == seen + 1
    finally:
        await leave_now(waiting)
    async with asyncio.timeout(20):
        while (answer := await ask(sidecar, other, padded)).status != 200:
            await asyncio.sleep(0.05)
    assert len(upstream.received) > before


async def test_a_body_above_the_share_is_too_large_for_ever(sidecar: Sidecar) -> None:
    """No wait would help, so none is named."""
    answer = await ask(sidecar, sidecar.agent(), b" " * (2 * MEBIBYTE + 1))
    said = answer.json()["spendguard"]
    assert (answer.status, said["code"], said["body_bytes_max"]) == (413, "body_too_large", 2 * MEBIBYTE)


async def test_strangers_get_no_share_and_are_let_go(sidecar: Sidecar) -> None:
    """Who names nobody, or somebody who is not there, is answered a hundred times on one connection."""
    for headers in ({}, {"x-cynsta-agent-id": "nobody"}):
        one = request(sidecar.port, CHAT, headers, b"{}").replace(b"connection: close\r\n", b"")
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        async with asyncio.timeout(60):
            writer.write(one * 150)
            received = await reader.read()
        assert received.count(b"HTTP/1.1 40") == 100
        await leave_now(writer)
    agent = sidecar.agent()
    assert (await ask(sidecar, agent)).status == 200


def test_more_runs_than_anybody_has_leave_little_behind(tmp_path: Path, upstream: RecordedUpstream) -> None:
    """An agent that names another run in each call: the list of runs has an end."""
    env = {"SPENDGUARD_LIMITS_AGENT_REQUESTS_PER_SECOND": "1000"}
    with in_memory(tmp_path) as folder, Sidecar(folder / "home", upstream.base_url, env=env) as sidecar:
        agent = sidecar.agent()

        async def flood() -> None:
            for number in range(1_100):
                headers = {"x-cynsta-agent-id": agent, "x-cynsta-run-id": f"run-{number}"}
                raw = request(sidecar.port, CHAT, headers, json.dumps(HELLO).encode())
                answer = await send(sidecar.port, raw, Leave())
                assert answer is not None and answer.status == 200

        asyncio.run(flood())
        runs = sidecar.control("GET", f"/v1/agents/{agent}/runs")["runs"]
        assert len(runs) == 1_000
        assert {run["run_id"] for run in runs} == {f"run-{number}" for number in range(100, 1_100)}
