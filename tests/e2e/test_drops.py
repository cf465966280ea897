"""A client that leaves after chunk k of a recorded stream, for every stream and every k (done line 5).

For each: the provider stops exactly there, the client takes all that came and drops the connection, another
run of the same agent is served at once, and then the provider either goes on to its usage or breaks off too.
In the journal each call has exactly one end: the provider's usage if it came, else the hold.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from audit import audit
from operator_prices import buckets_of, priced_home
from proxied import ENDS
from published import nusd
from raw_http import Answer, Leave, leave_now, request, send
from recorded import Act, Received, RecordedUpstream, Reply
from sidecar import Sidecar
from streams import Stream, streams
from tagged import tag_of, tagged
from until import until

STREAMS = streams()
AGENTS = max(len(one.stops) for one in STREAMS)
FUNDED_CENTS = 10_000_000
PING = {"model": "gpt-4o-mini", "max_tokens": 16, "messages": [{"role": "user", "content": "ping"}]}
PONG = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 0,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "p"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9},
}
PONG_REPLY = Reply(200, {"content-type": "application/json"}, json.dumps(PONG).encode())


@dataclass(frozen=True, slots=True)
class Drop:
    """One client: it leaves after `stop` bytes of the body. `tag` tells its request from the others'."""

    agent: str
    tag: str
    stop: int


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon; when all is done its whole journal is worked through by a second pair of eyes."""
    home = priced_home(tmp_path_factory.mktemp("drops") / "home")
    with Sidecar(home, upstream.base_url) as running:
        yield running
        running.stop()
        found = audit(running.home.ledger)
        assert found.open_calls == set()


@pytest.fixture(scope="module")
def agents(sidecar: Sidecar) -> list[str]:
    """As many agents as a stream has chunks, each with the lock of its own budget."""
    policy = {"hosted_tools": "allow"}
    return [sidecar.agent(cents=FUNDED_CENTS, policy=policy) for _ in range(AGENTS)]


@pytest.mark.parametrize("goes_on", [True, False], ids=["goes-on", "breaks-off"])
@pytest.mark.parametrize("stream", STREAMS, ids=[one.name for one in STREAMS])
async def test_a_client_that_leaves_after_each_chunk(
    sidecar: Sidecar, upstream: RecordedUpstream, agents: list[str], stream: Stream, *, goes_on: bool
) -> None:
    """Every k of one stream, all at once: one end each, the lock free at once."""
    first = len(sidecar.journal())
    drops = [
        Drop(agent, f"{stream.name}/{goes_on}/{stop}", stop)
        for agent, stop in zip(agents, stream.stops, strict=False)
    ]
    stops = {drop.tag: drop.stop for drop in drops}

    def director(received: Received) -> Act:
        stop = stops.get(tag_of(received))
        if stop is None:
            return Act(reply=PONG_REPLY)
        return Act(reply=stream.recording.reply, pause_after=stop, cut_after=None if goes_on else stop)

    upstream.director = director
    try:
        others = await asyncio.gather(
            *(leave_then_another(sidecar, upstream, stream, drop) for drop in drops)
        )
    finally:
        upstream.resume()
    assert [answer.status if answer else None for answer in others] == [200] * len(drops)
    assert_ends(sidecar, stream, drops, first, goes_on=goes_on)


async def leave_then_another(
    sidecar: Sidecar, upstream: RecordedUpstream, stream: Stream, drop: Drop
) -> Answer | None:
    """Take a stream as far as it comes, leave, and at once make a call of another run."""
    port, agent = sidecar.port, {"x-cynsta-agent-id": drop.agent}
    raw = request(
        port,
        stream.recording.target,
        {**agent, "x-cynsta-run-id": "leaves"},
        json.dumps(tagged(stream.recording, drop.tag)).encode(),
    )
    if drop.stop:
        assert await send(port, raw, Leave(after_body=drop.stop)) is None
    else:
        await leave_once_it_has_arrived(port, raw, upstream, drop.tag)
    other = {**agent, "x-cynsta-run-id": "other"}
    return await send(port, request(port, "/v1/chat/completions", other, json.dumps(PING).encode()))


async def leave_once_it_has_arrived(port: int, raw: bytes, upstream: RecordedUpstream, tag: str) -> None:
    """Leave before the first byte, when the provider has the request."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        await writer.drain()
        arrived = lambda: any(tag_of(one) == tag for one in list(upstream.received))  # noqa: E731
        await asyncio.to_thread(until, arrived)
    finally:
        await leave_now(writer)


def assert_ends(sidecar: Sidecar, stream: Stream, drops: list[Drop], first: int, *, goes_on: bool) -> None:
    """Each call has one end in the journal, at the sum it should have; nothing is held any more."""

    def ended() -> list[dict[str, Any]]:
        records = [one for one in sidecar.journal()[first:] if one["t"] in ENDS]
        return records if len({one["call_id"] for one in records}) == 2 * len(drops) else []

    ends = until(ended)
    assert len(ends) == 2 * len(drops), "a call has ended twice"
    calls = {
        one["agent_id"]: one
        for one in sidecar.journal()[first:]
        if one["t"] == "hold" and one["run_id"] == "leaves"
    }
    by_call = {one["call_id"]: one for one in ends}
    buckets = buckets_of(stream.recording)
    for drop in drops:
        end = by_call[calls[drop.agent]["call_id"]]
        came = bool(buckets) and (goes_on or drop.stop >= stream.terminal)
        if came:
            assert (end["t"], end["cost_nusd"]) == ("settle", nusd(buckets)), drop
        else:
            assert (end["t"], end["cost_nusd"]) == ("settle_worst", calls[drop.agent]["amount_nusd"]), drop
        budget = sidecar.budget(drop.agent)
        assert (budget["held_usd"], budget["locked_run_id"]) == ("0.00", None)
