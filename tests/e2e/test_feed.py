"""What the feed tells, `GET /v1/events`: what happens, the money as it stands then, and who did it.

A real daemon, a provider on loopback; waits are for what comes, never for a time.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import hostile_prices as hostile
from feeds import Json, Listening
from hostile_prices import HostilePrices
from recorded import Act, RecordedUpstream
from sidecar import Sidecar
from spendguard_daemon import wire
from spendguard_daemon.feed_wire import Event, Snapshot
from spendguard_daemon.money import parse_usd
from strict import Strict, priced_2, sha256_of
from until import until

BODY = {"model": "gpt-4o-mini", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
SHARED = {"concurrency": "shared"}
MORE = {"hard_limit_cents": 600, "topup_cents": 100}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """A provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon."""
    with Sidecar(tmp_path_factory.mktemp("feed") / "home", upstream.base_url) as running:
        yield running


@pytest.fixture
def feed(sidecar: Sidecar) -> Iterator[Listening]:
    """Who listens, and has its snapshot; in the end all that came was in its shape and in its order."""
    with Listening(sidecar) as listening:
        until(lambda: listening.snapshots)
        yield listening
        first, *others = list(listening.messages)
    assert first.kind == "snapshot"
    msgspec.convert(first.data, Snapshot)
    for one in others:
        event = msgspec.convert(one.data, Event)
        assert (event.kind, event.seq) == (one.kind, one.seq)
    assert listening.seqs[: len(others) + 1] == [*range(first.seq, first.seq + len(others) + 1)]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Callers beside the test."""
    with ThreadPoolExecutor(16) as callers:
        yield callers


def money_is_true(sidecar: Sidecar, event: Json) -> None:
    """The money that an event tells is what the daemon says of the agent's budget now."""
    budget, money = sidecar.budget(event["agent_id"]), event["money"]
    for name in ("hard_limit_usd", "remaining_usd", "available_usd"):
        assert money.get(name) == budget[name], name
    for name in ("funded_usd", "held_usd", "settled_usd"):
        assert money.get(name, "0") == budget[name], name


def wire_call(told: Json) -> wire.Call:
    """Read a call as it was told."""
    return msgspec.convert(told, wire.Call)


def as_actor(sidecar: Sidecar, method: str, path: str, body: object = None) -> Any:
    """Do a control request as `watch`; return its JSON."""
    headers = {**sidecar.admin, "x-spendguard-actor": "watch"}
    answer = sidecar.http.request(method, path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_snapshot_comes_first_and_says_all_there_is(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Agents with their money and spending, the calls in flight and those that ended, totals and status."""
    agent_id = sidecar.agent(cents=700, name="first")
    assert sidecar.chat(agent_id, BODY, run="r").status_code == 200
    deleted = sidecar.agent()
    sidecar.control("DELETE", f"/v1/agents/{deleted}")
    with Listening(sidecar) as feed:
        (snapshot,) = until(lambda: feed.snapshots)
        assert "content-type: text/event-stream" in feed.head
    told = {one["agent"]["agent_id"]: one for one in snapshot["agents"]}
    assert deleted not in told
    one = told[agent_id]
    assert one["agent"]["name"] == "first"
    money_is_true(sidecar, {"agent_id": agent_id, "money": one["money"]})
    assert sum(parse_usd(step) for step in one["spent_usd"]) == parse_usd(one["money"]["settled_usd"]) > 0
    (call,) = sidecar.calls(agent_id)
    ended = [wire_call(ended) for ended in snapshot["ended"] if ended["agent_id"] == agent_id]
    assert ended == [wire_call(call)]
    assert snapshot.get("calls", []) == []
    totals = snapshot["totals"]
    assert (totals["state"], totals["agents"]) == ("up", len(told))
    assert snapshot["status"]["pid"] == sidecar.control("GET", "/v1/status")["pid"]
    assert feed.last_id == f"{snapshot['epoch']}.{snapshot['seq']}"


def test_when_a_call_is_cut_at_the_latest(
    tmp_path: Path, upstream: RecordedUpstream, pool: ThreadPoolExecutor
) -> None:
    """From when it went out, not from how long it might have waited; told of each, and true; then no more."""
    env = {"SPENDGUARD_LIMITS_ABSOLUTE_SECONDS": "2"}
    with Sidecar(tmp_path / "home", upstream.base_url, env=env) as sidecar, Listening(sidecar) as feed:
        until(lambda: feed.snapshots)
        agent_id = sidecar.agent(cents=700)
        upstream.script(Act(hang=True))
        answer = pool.submit(lambda: sidecar.chat(agent_id, BODY, **{"x-spendguard-wait": "60"}))
        (hold,) = until(lambda: feed.of("hold", agent_id))
        with Listening(sidecar) as late:
            (snapshot,) = until(lambda: late.snapshots)
        (asked,) = sidecar.calls(agent_id)
        assert answer.result(20).status_code == 504
        (end,) = until(lambda: feed.of("end", agent_id))
    told = [hold["call"], *snapshot["calls"], asked]
    assert len(told) == 3
    until_s = {datetime.fromisoformat(one["expires_at"]).timestamp() for one in told}
    assert len(until_s) == 1
    began, ended = (
        datetime.fromisoformat(end["call"][name]).timestamp() for name in ("created_at", "ended_at")
    )
    assert began + 2 <= until_s.pop() <= ended + 0.1
    assert end["call"].get("expires_at") is None


def test_a_call_is_told_from_its_hold_to_its_end(
    sidecar: Sidecar, upstream: RecordedUpstream, feed: Listening, pool: ThreadPoolExecutor
) -> None:
    """Held money, how far the slow answer has come, what it cost; a snapshot meanwhile has it too."""
    agent_id = sidecar.agent(cents=700)
    upstream.script(Act(pause_after=400))
    answer = pool.submit(sidecar.chat, agent_id, BODY | {"stream": True}, run="slow")
    (hold,) = until(lambda: feed.of("hold", agent_id))
    assert (hold["call"]["state"], hold["call"]["run_id"]) == ("held", "slow")
    assert hold["money"]["held_usd"] == hold["call"]["hold_usd"]
    assert hold["money"]["calls_in_flight"] == 1
    assert hold["money"]["locked_run_id"] == "slow"
    call_id = hold["call"]["call_id"]

    def progress() -> list[Json]:
        told = [one for event in feed.of("progress") for one in event["progress"]]
        return [one for one in told if one["call_id"] == call_id and one.get("answer_bytes", 0) >= 400]

    so_far = until(progress)[-1]
    assert so_far["output_tokens"] >= 1
    assert float(so_far["cost_usd"]) > 0
    with Listening(sidecar) as late:
        (snapshot,) = until(lambda: late.snapshots)
    assert [one["call_id"] for one in snapshot["calls"]] == [call_id]
    assert [one["call_id"] for one in snapshot["progress"]] == [call_id]
    upstream.resume()
    assert answer.result(20).status_code == 200
    (end,) = until(lambda: feed.of("end", agent_id))
    assert end["call"]["state"] == "settled"
    assert end["call"]["cost_usd"] == end["money"]["settled_usd"] == sidecar.calls(agent_id)[0]["cost_usd"]
    money_is_true(sidecar, end)


def test_a_refusal_is_told_with_its_reason_and_counted(sidecar: Sidecar, feed: Listening) -> None:
    """An agent without money."""
    agent_id = sidecar.agent(cents=0)
    for _ in range(3):
        assert sidecar.chat(agent_id, BODY).status_code == 402
    told = until(lambda: len(found := feed.of("refused", agent_id)) == 3 and found)
    assert {one["call"]["code"] for one in told} == {"insufficient_budget"}
    assert told[-1]["money"]["refusals"] == 3
    assert {one["call"]["call_id"] for one in told} == {one["call_id"] for one in sidecar.calls(agent_id)}


def test_a_waiting_call_is_told_and_that_it_waits_no_more(
    sidecar: Sidecar, feed: Listening, pool: ThreadPoolExecutor
) -> None:
    """It asks for more than there is; a top-up lets it through."""
    agent_id = sidecar.agent(cents=0)
    answer = pool.submit(sidecar.chat, agent_id, BODY, run="waits", **{"x-spendguard-wait": "60"})
    waits = until(lambda: feed.of("waiting", agent_id))[-1]
    assert waits["waiting"] == sidecar.control("GET", f"/v1/agents/{agent_id}")["waiting"]
    assert (waits["waiting"][0]["run_id"], waits["money"]["calls_waiting"]) == ("waits", 1)
    budget = {"hard_limit_cents": 900, "topup_cents": 900}
    as_actor(sidecar, "POST", f"/v1/agents/{agent_id}/budget", budget)
    assert answer.result(20).status_code == 200
    over = until(lambda: [one for one in feed.of("waiting", agent_id) if one["waiting"] == []])[-1]
    assert over["money"].get("calls_waiting", 0) == 0
    until(lambda: feed.of("end", agent_id))
    granted = next(one for one in feed.of("agent", agent_id) if one.get("actor") == "watch")
    assert granted["money"]["hard_limit_usd"] == "9.00"


def test_a_lock_that_is_let_go_while_its_call_goes_on_is_told(
    sidecar: Sidecar, upstream: RecordedUpstream, feed: Listening
) -> None:
    """Its client leaves, the provider goes on: no event of the ledger says so, the feed does."""
    agent_id = sidecar.agent()
    upstream.script(Act(pause_after=400))
    headers = {"x-cynsta-agent-id": agent_id, "x-cynsta-run-id": "mine"}
    with sidecar.http.stream("POST", "/v1/chat/completions", json=BODY | {"stream": True}, headers=headers):
        hold = until(lambda: feed.of("hold", agent_id))[-1]
        assert hold["money"]["locked_run_id"] == "mine"
        assert hold["money"]["locked_since"] < hold["money"]["locked_expires_at"]
    gone = until(lambda: feed.of("lock", agent_id))[-1]
    assert "locked_run_id" not in gone["money"]
    assert gone["money"]["calls_in_flight"] == 1
    money_is_true(sidecar, gone)
    call_id = hold["call"]["call_id"]
    told = until(
        lambda: [
            one for event in feed.of("progress") for one in event["progress"] if one.get("attached") is False
        ]
    )
    assert told[-1]["call_id"] == call_id
    upstream.resume()
    money_is_true(sidecar, until(lambda: feed.of("end", agent_id))[-1])


def test_what_people_do_is_told_with_who_did_it(sidecar: Sidecar, feed: Listening) -> None:
    """Made, budget, freeze, unfreeze, settings, key, deleted; the money is the sum after each."""
    agent_id = as_actor(sidecar, "POST", "/v1/agents", {"name": "mine"})["agent_id"]
    agent = f"/v1/agents/{agent_id}"

    def told(method: str, path: str, body: object = None) -> Json:
        before = len(feed.of("agent", agent_id))
        as_actor(sidecar, method, path, body)
        return until(lambda: feed.of("agent", agent_id)[before:])[-1]

    made = until(lambda: feed.of("agent", agent_id))[-1]
    assert (made["actor"], made["agent"]["name"]) == ("watch", "mine")
    assert "hard_limit_usd" not in made["money"]
    for method, path, body, sees in (
        ("POST", f"{agent}/budget", {"hard_limit_cents": 500}, ("money", "hard_limit_usd", "5.00")),
        ("POST", f"{agent}/budget", MORE, ("money", "remaining_usd", "6.00")),
        ("PATCH", agent, {"frozen": True, "reason": "loops"}, ("money", "frozen_reason", "loops")),
        ("PATCH", agent, {"frozen": False}, ("agent", "frozen", False)),
        ("PATCH", agent, {"concurrency": "shared"}, ("agent", "concurrency", "shared")),
        ("POST", f"{agent}/keys", {}, ("agent", "keys", 1)),
    ):
        event = told(method, path, body)
        part, name, value = sees
        assert (event["actor"], event[part][name]) == ("watch", value)
        assert event["agent"] == sidecar.control("GET", agent)
        money_is_true(sidecar, event)
    gone = told("DELETE", agent)
    assert (gone["deleted"], gone["actor"]) == (True, "watch")
    assert "money" not in gone
    assert not [one for one in feed.of("agent", agent_id) if one.get("deleted") and one is not gone]


def test_the_daemons_own_budget_is_told(sidecar: Sidecar, feed: Listening) -> None:
    """The sums say the cap, and who set it."""
    as_actor(sidecar, "POST", "/v1/daemon/budget", {"hard_limit_cents": 1_000_000})
    told = until(lambda: [one for one in feed.of("totals") if one.get("actor") == "watch"])[-1]
    cap = sidecar.control("GET", "/v1/daemon/budget")
    assert msgspec.convert(told["totals"]["cap"], wire.DaemonBudget) == msgspec.convert(
        cap, wire.DaemonBudget
    )


def test_other_prices_are_told(tmp_path: Path) -> None:
    """A refresh takes a newer document; each listener hears its hash, also of one that cannot be read."""
    first, second = priced_2(1), priced_2(2)
    with (
        HostilePrices(hostile.body(first)) as server,
        Strict(tmp_path / "home", server.url, server.url) as sidecar,
        Listening(sidecar) as feed,
    ):
        (snapshot,) = until(lambda: feed.snapshots)
        assert snapshot["status"]["pricing"]["document_sha256"] == sha256_of(first)
        server.behave = hostile.body(second)
        assert sidecar.refresh().status_code == 200
        until(
            lambda: (
                sha256_of(second) in [one["status"]["pricing"]["document_sha256"] for one in feed.of("price")]
            )
        )
        server.behave = hostile.body(b"{")
        assert sidecar.refresh().status_code != 200
        until(lambda: feed.of("price")[-1]["status"]["pricing"]["last_error"])


def test_a_burst_of_parallel_calls_ends_in_the_ledgers_sums(
    sidecar: Sidecar, feed: Listening, pool: ThreadPoolExecutor
) -> None:
    """Each call is told to its end, in one row of numbers; the last money is that of the ledger."""
    agents = [sidecar.agent(**SHARED) for _ in range(3)]

    def call(number: int) -> httpx.Response:
        return sidecar.chat(agents[number % 3], BODY, run=f"r{number}")

    assert {answer.status_code for answer in pool.map(call, range(60))} == {200}
    for agent_id in agents:
        until(lambda of=agent_id: len({one["call"]["call_id"] for one in feed.of("end", of)}) == 20)
        money_is_true(sidecar, feed.of("end", agent_id)[-1])
