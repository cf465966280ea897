"""Who listens to the feed: who may, who comes back, who takes nothing, how many; and how it ends.

A real daemon, a provider on loopback; waits are for what comes, never for a time.
"""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from feeds import Listening
from recorded import Act, RecordedUpstream
from sidecar import Sidecar
from spendguard_daemon.gateway.feed import LISTENERS_MAX
from until import until

BODY = {"model": "gpt-4o-mini", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
FEED = "/v1/events"
QUICK = {
    "SPENDGUARD_LIMITS_HEADER_SECONDS": "1",
    "SPENDGUARD_LIMITS_BODY_SECONDS": "1",
    "SPENDGUARD_LIMITS_IDLE_SECONDS": "1",
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """A provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon whose deadlines are a second."""
    home = tmp_path_factory.mktemp("listeners") / "home"
    with Sidecar(home, upstream.base_url, env=QUICK) as running:
        yield running


@pytest.fixture
def own(tmp_path: Path, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon that the test may end."""
    with Sidecar(tmp_path / "home", upstream.base_url) as running:
        yield running


def freeze(sidecar: Sidecar, agent_id: str, reason: str) -> None:
    """Make something happen."""
    sidecar.control("PATCH", f"/v1/agents/{agent_id}", {"frozen": True, "reason": reason})


def reasons(feed: Listening, agent_id: str) -> list[str]:
    """Return why an agent was frozen, each time that it was told; its grant may have been told as well."""
    told = [one["money"] for one in feed.of("agent", agent_id) if "actor" in one]
    return [money["frozen_reason"] for money in told if "frozen_reason" in money]


# -- coming back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["header", "after"])
def test_who_comes_back_goes_on_where_it_was(sidecar: Sidecar, way: str) -> None:
    """What happened while it was away is told once, then what happens; no snapshot, no gap, no repeat."""
    agent_id = sidecar.agent()
    with Listening(sidecar) as feed:
        until(lambda: feed.snapshots)
        freeze(sidecar, agent_id, "seen")
        until(lambda: "seen" in reasons(feed, agent_id))
    last = feed.messages[-1]
    freeze(sidecar, agent_id, "away")
    asked = {"last_id": last.id} if way == "header" else {"path": f"{FEED}?after={last.id}"}
    with Listening(sidecar, **asked) as back:
        until(lambda: "away" in reasons(back, agent_id))
        freeze(sidecar, agent_id, "back")
        until(lambda: "back" in reasons(back, agent_id))
        assert reasons(back, agent_id) == ["away", "back"]
    assert back.snapshots == []
    assert back.seqs == [*range(last.seq + 1, last.seq + 1 + len(back.seqs))]


def test_an_id_that_means_nothing_here_gives_a_snapshot(sidecar: Sidecar) -> None:
    """Of another life, of the future, of no form, of no characters."""
    with Listening(sidecar) as feed:
        epoch = until(lambda: feed.snapshots)[0]["epoch"]
        for last_id in (
            "",
            "x",
            "7",
            f"{epoch}.",
            f"{epoch}.-1",
            f"{epoch}.1e3",
            f"{epoch}.999999999",
            f"{epoch}.{'9' * 40}",
            f"{epoch}.\xb2",
            f"{epoch[:-1]}.0",
            "00000000-0000-4000-8000-000000000000.1",
        ):
            with Listening(sidecar, last_id.encode("utf-8").decode("latin-1")) as other:
                until(lambda other=other: other.messages)
            assert other.messages[0].kind == "snapshot", last_id
            assert other.messages[0].data["epoch"] == epoch


def test_two_ids_are_refused(sidecar: Sidecar) -> None:
    """Also the same one twice, or one here and one there, and one that is too long; nothing is streamed."""
    for headers, path in (
        ([("last-event-id", "a"), ("last-event-id", "b")], FEED),
        ([("last-event-id", "a"), ("last-event-id", "a")], FEED),
        ([("last-event-id", "a")], f"{FEED}?after=a"),
        ([("last-event-id", "a" * 101)], FEED),
        ([], f"{FEED}?after={'a' * 101}"),
        ([], f"{FEED}?before=a"),
    ):
        answer = sidecar.http.get(path, headers=[*sidecar.admin.items(), *headers])
        assert answer.status_code == 400, (headers, path)
        assert answer.json()["spendguard"]["code"] == "malformed_request"


# -- who may ------------------------------------------------------------------------------------------------


def test_it_is_for_operators_alone(sidecar: Sidecar) -> None:
    """No token, a wrong one, an agent's key, an agent's id."""
    agent_id = sidecar.agent()
    key = sidecar.control("POST", f"/v1/agents/{agent_id}/keys", {})["key"]
    for headers in (
        {},
        {"authorization": "Bearer x"},
        {"authorization": f"Bearer {key}"},
        {"x-api-key": key},
        {"x-cynsta-agent-id": agent_id},
    ):
        answer = sidecar.http.get(FEED, headers=headers)
        assert answer.status_code in (401, 403), headers
    for method in ("POST", "PUT", "DELETE"):
        assert sidecar.http.request(method, FEED, headers=sidecar.admin).status_code in (404, 405)


def test_so_many_may_listen_and_no_more(sidecar: Sidecar) -> None:
    """One more is refused as where connections are full; it is let in when another has left."""
    with ExitStack() as stack:
        feeds = [stack.enter_context(Listening(sidecar)) for _ in range(LISTENERS_MAX)]
        until(lambda: all(feed.snapshots for feed in feeds))
        answer = sidecar.http.get(FEED, headers=sidecar.admin)
        assert (answer.status_code, answer.json()["spendguard"]["code"]) == (503, "connections_full")
        feeds[3].leave()

        def let_in() -> bool:
            with Listening(sidecar) as one:
                until(lambda: one.status)
                return one.status == 200

        until(let_in)
        agent_id = sidecar.agent()
        others = [feed for feed in feeds if feed is not feeds[3]]
        until(lambda: all(feed.of("agent", agent_id) for feed in others))


# -- slow ones ----------------------------------------------------------------------------------------------


def test_who_takes_nothing_delays_nobody(sidecar: Sidecar) -> None:
    """Hundreds of calls come and go beside it, another listener hears all, and it comes to the truth."""
    agents = [sidecar.agent(mock=True, concurrency="shared", name="n" * 100) for _ in range(40)]
    body = BODY | {"model": "mock-small"}
    with Listening(sidecar, receive_bytes=2_048) as deaf, Listening(sidecar) as feed:
        until(lambda: feed.snapshots)
        deaf.pause()

        def call(number: int) -> httpx.Response:
            return sidecar.chat(agents[number % len(agents)], body, run=f"r{number}")

        with ThreadPoolExecutor(8) as pool:
            assert {answer.status_code for answer in pool.map(call, range(400))} == {200}
        freeze(sidecar, agents[0], "the last")
        until(lambda: "the last" in reasons(feed, agents[0]))
        assert len({one["call"]["call_id"] for one in feed.of("end")}) == 400
        assert feed.seqs == [*range(feed.seqs[0], feed.seqs[0] + len(feed.seqs))]
        deaf.go_on()

        def knows() -> bool:
            in_snapshots = [
                one["money"].get("frozen_reason")
                for snapshot in deaf.snapshots
                for one in snapshot["agents"]
                if one["agent"]["agent_id"] == agents[0]
            ]
            return deaf.ended.is_set() or "the last" in [*in_snapshots, *reasons(deaf, agents[0])]

        until(knows)


def test_a_feed_on_which_nothing_happens_stays_open(sidecar: Sidecar) -> None:
    """For longer than any deadline of connections: the sums come at least every few seconds."""
    with Listening(sidecar) as feed:
        until(lambda: feed.snapshots)
        until(lambda: len(feed.of("totals")) >= 2)
        assert not feed.ended.is_set()
        agent_id = sidecar.agent()
        until(lambda: feed.of("agent", agent_id))


# -- ends ---------------------------------------------------------------------------------------------------


def test_a_daemon_that_stops_says_so_and_lets_all_go(own: Sidecar) -> None:
    """SIGTERM: the last sums say that it drains, every listener's stream ends whole, and it exits with 0."""
    assert own.process is not None
    process = own.process
    with Listening(own) as one, Listening(own) as other:
        until(lambda: one.snapshots and other.snapshots)
        os.kill(process.pid, signal.SIGTERM)
        for feed in (one, other):
            assert feed.ended.wait(20)
            assert feed.of("totals")[-1]["totals"]["state"] == "draining"
            assert feed.raw.endswith(b"0\r\n\r\n"), "the stream came to its own end"
    assert process.wait(20) == 0


def test_what_ends_while_the_daemon_drains_is_told(own: Sidecar, upstream: RecordedUpstream) -> None:
    """A call in flight gets its answer, and its end is told before the feed's."""
    assert own.process is not None
    agent_id = own.agent()
    upstream.script(Act(pause_after=400))
    with Listening(own) as feed, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(own.chat, agent_id, BODY | {"stream": True})
        until(lambda: feed.of("hold", agent_id))
        os.kill(own.process.pid, signal.SIGTERM)
        until(lambda: [one for one in feed.of("totals") if one["totals"]["state"] == "draining"])
        assert not feed.ended.is_set()
        upstream.resume()
        assert answer.result(20).status_code == 200
        assert feed.ended.wait(20)
        (end,) = feed.of("end", agent_id)
        assert end["money"].get("held_usd", "0.00") == "0.00"
        assert feed.of("totals")[-1]["totals"]["calls_in_flight"] == 0


def test_after_a_kill_it_is_another_life(own: Sidecar) -> None:
    """The ids of the one before mean nothing: a snapshot, of another epoch, with all that was durable."""
    agent_id = own.agent(cents=300)
    with Listening(own) as feed:
        until(lambda: feed.snapshots)
        own.kill()
        assert feed.ended.wait(20)
    own.start()
    with Listening(own, feed.last_id) as back:
        (snapshot,) = until(lambda: back.snapshots)
    assert snapshot["epoch"] != feed.snapshots[0]["epoch"]
    (one,) = snapshot["agents"]
    assert (one["agent"]["agent_id"], one["money"]["hard_limit_usd"]) == (agent_id, "3.00")
