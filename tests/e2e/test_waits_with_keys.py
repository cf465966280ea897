"""Where calls that wait meet keys, limits and other agents: a real daemon, and the verdict of its ledger."""

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from raw_http import leave_now, request, send
from recorded import Act, RecordedUpstream, Reply
from shell import Shell
from sidecar import Sidecar
from spendguard_daemon.agent_keys import Caveats, mint
from spendguard_daemon.system import SystemClock
from until import until

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "hello"}],
}
SMALL = {"SPENDGUARD_LIMITS_CONNECTIONS_MAX": "64", "SPENDGUARD_LIMITS_AGENT_CALLS_MAX": "64"}
NS = 10**9


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon with little room; its ledger must be whole in the end."""
    with Sidecar(tmp_path_factory.mktemp("waits") / "home", upstream.base_url, env=SMALL) as running:
        yield running
        running.stop()
        done = Shell(running.home.root).run("ledger", "verify")
        assert done.code == 0, done


def raw(sidecar: Sidecar, headers: dict[str, str], **changes: object) -> bytes:
    """Return a chat call as it goes over the wire."""
    return request(sidecar.port, CHAT, headers, json.dumps({**HELLO, **changes}).encode())


def waiting(sidecar: Sidecar, agent_id: str) -> list[dict[str, Any]]:
    """Return an agent's waiting calls."""
    told: list[dict[str, Any]] = sidecar.control("GET", f"/v1/agents/{agent_id}")["waiting"]
    return told


async def test_calls_that_wait_leave_room_for_others(sidecar: Sidecar) -> None:
    """Waiting is free and lasts for minutes, so that of all places those who wait get a half at most."""
    poor, other = sidecar.agent(cents=0), sidecar.agent()
    named = {"x-cynsta-agent-id": poor, "x-spendguard-wait": "600"}
    calls = [asyncio.create_task(send(sidecar.port, raw(sidecar, named))) for _ in range(63)]
    await asyncio.to_thread(until, lambda: sum(call.done() for call in calls) == 63 - 32)
    try:
        answer = await send(sidecar.port, raw(sidecar, {"x-cynsta-agent-id": other}))
        assert answer is not None
        assert answer.status == 200, answer.body
        own = await send(sidecar.port, raw(sidecar, {"x-cynsta-agent-id": poor}))
        assert own is not None
        assert own.status == 402, own.body
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.to_thread(until, lambda: waiting(sidecar, poor) == [])


def made(sidecar: Sidecar, agent_id: str, **body: object) -> tuple[str, str]:
    """Make a key; return its id and the key."""
    key = sidecar.control("POST", f"/v1/agents/{agent_id}/keys", body)
    return key["key_id"], key["key"]


def child_of(parent: str, **narrower: Any) -> str:
    """Mint a key for an hour."""
    seconds = SystemClock().wall_ns() // NS + 3600
    return mint(parent, Caveats(expires_ns=seconds * NS, **narrower), os.urandom(32))


@pytest.mark.parametrize("end", ["rotate", "revoke", "delete", "freeze"])
async def test_what_ends_while_a_call_waits_ends_its_wait(
    sidecar: Sidecar, upstream: RecordedUpstream, end: str
) -> None:
    """Then money comes, and nothing is sent for it: neither for the key nor for what was minted from it."""
    agent = sidecar.agent(cents=0, concurrency="shared")
    key_id, key = made(sidecar, agent)
    before = upstream.arrived
    keys = [key, child_of(key)]
    headers = [{"authorization": f"Bearer {one}", "x-spendguard-wait": "600"} for one in keys]
    calls = [asyncio.create_task(send(sidecar.port, raw(sidecar, one))) for one in headers]
    await asyncio.to_thread(until, lambda: len(waiting(sidecar, agent)) == 2)
    path = f"/v1/agents/{agent}"
    match end:
        case "rotate":
            sidecar.control("POST", f"{path}/keys/{key_id}/rotate")
        case "revoke":
            sidecar.control("DELETE", f"{path}/keys/{key_id}")
        case "delete":
            sidecar.control("DELETE", path)
        case _:
            sidecar.control("PATCH", path, {"frozen": True})
    answers = await asyncio.gather(*calls)
    code = {"delete": "agent_not_found", "freeze": "agent_frozen"}.get(end, "key_unknown")
    assert [answer and answer.json()["spendguard"]["code"] for answer in answers] == [code] * 2
    if end != "delete":
        sidecar.control("POST", f"{path}/budget", {"hard_limit_cents": 500, "topup_cents": 500})
        assert sidecar.budget(agent)["held_usd"] == "0.00"
    assert upstream.arrived == before


async def test_one_child_at_a_hundred_doors_is_adopted_once(sidecar: Sidecar) -> None:
    """All its first calls together spend no more than it may; the journal has one record of it."""
    agent = sidecar.agent(concurrency="shared")
    _, key = made(sidecar, agent)
    child = child_of(key, limit_nusd=2_000_000)
    grandchild = child_of(child, limit_nusd=1_000_000)
    asked = [raw(sidecar, {"authorization": f"Bearer {one}"}, max_tokens=100) for one in (child, grandchild)]
    answers = [
        answer
        for start in range(0, 100, 50)
        for answer in await asyncio.gather(
            *(send(sidecar.port, asked[one % 2]) for one in range(start, start + 50))
        )
    ]
    statuses = {answer.status for answer in answers if answer is not None}
    assert 200 in statuses
    assert statuses <= {200, 402}, [a.body for a in answers if a and a.status not in (200, 402)][:1]
    added = [record for record in sidecar.journal() if record["t"] == "key_add" and record["kind"] == "child"]
    added = [record for record in added if record["agent_id"] == agent]
    assert len(added) == 2
    for told in sidecar.control("GET", f"/v1/agents/{agent}/keys")["keys"]:
        if told["limit_usd"] is not None:
            assert not told["remaining_usd"].startswith("-")
            assert told["held_usd"] == "0.00"


async def test_a_connection_is_whom_each_request_says(sidecar: Sidecar) -> None:
    """On one connection, one after another and pipelined: nothing is left of who asked before."""
    one, two = sidecar.agent(), sidecar.agent(cents=0)
    _, key = made(sidecar, one)
    body = json.dumps(HELLO).encode()

    def kept(*lines: str) -> bytes:
        head = [f"POST {CHAT} HTTP/1.1", f"host: 127.0.0.1:{sidecar.port}", "content-type: application/json"]
        return "\r\n".join([*head, *lines, f"content-length: {len(body)}", "", ""]).encode() + body

    requests = [
        (kept(f"authorization: Bearer {key}"), b"200"),
        (kept(), b"400"),
        (kept(f"x-cynsta-agent-id: {one}"), b"401"),
        (kept(f"x-cynsta-agent-id: {two}"), b"402"),
        (kept(f"authorization: Bearer {sidecar.token}", f"x-cynsta-agent-id: {one}"), b"200"),
        (kept(f"authorization: Bearer {key}", f"x-cynsta-agent-id: {two}"), b"403"),
        (kept(f"authorization: Bearer {key}", f"x-api-key: {child_of(key)}"), b"403"),
        (kept("authorization: Bearer x", f"authorization: {key}"), b"200"),
        (kept(f"AUTHORIZATION:\t bearer \t{key} "), b"200"),
        (kept(f"authorization: Bearer {key.upper()}", f"x-cynsta-agent-id: {one}"), b"401"),
        (kept(f"authorization: Bearer x, Bearer {key}", f"x-cynsta-agent-id: {one}"), b"401"),
    ]
    for pipelined in (False, True):
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        try:
            if pipelined:
                writer.write(b"".join(asked for asked, _ in requests))
            for number, (asked, status) in enumerate(requests):
                if not pipelined:
                    writer.write(asked)
                async with asyncio.timeout(30):
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    said = await reader.readexactly(length)
                assert head.split(b" ")[1] == status, (pipelined, number, head, said)
        finally:
            await leave_now(writer)


async def test_another_try_that_its_key_cannot_pay_is_not_advised(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """The agent has plenty; after a failure that is charged at worst the key has too little for the same."""
    _, key = made(sidecar, sidecar.agent(), limit_cents=1)
    asked = raw(sidecar, {"authorization": f"Bearer {key}"}, max_tokens=10_000)
    upstream.script(Act(reply=Reply(500, {"content-type": "application/json"}, b"{}")))
    answer = await send(sidecar.port, asked)
    assert answer is not None
    assert (answer.status, answer.headers.get("x-should-retry")) == (500, "false")


async def test_a_key_asks_about_no_model_that_it_may_not_call(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """Counting is free, but it is a request to the provider, with the operator's key."""
    _, key = made(sidecar, sidecar.agent(), models=["gpt-4o-mini"])
    path, before = "/openai/v1/responses/input_tokens", upstream.arrived
    for one in (key, child_of(key), child_of(key, models=("openai/gpt-4o*",))):
        for model, reaches in (("gpt-4o-mini", True), ("gpt-4o", False), ("none-such", False)):
            body = json.dumps({"model": model, "input": "hello"}).encode()
            answer = await send(
                sidecar.port, request(sidecar.port, path, {"authorization": f"Bearer {one}"}, body)
            )
            assert answer is not None
            assert (upstream.arrived > before) is reaches, answer.body
            assert reaches or answer.json()["spendguard"]["code"] in ("key_scope", "unknown_model")
            before = upstream.arrived
