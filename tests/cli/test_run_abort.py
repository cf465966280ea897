"""Calls in flight as an operator sees them, and `run abort`: what is cut, what it cost, and who may."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import msgspec
import pytest

from shell import Quick, Terminal
from spendguard_daemon.gateway import flights
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.state import OpenCall, State
from spendguard_daemon.ledger.views import CallView
from until import until

SECOND_NS = 10**9


@dataclass
class Hanging:
    """A streamed call whose provider has said a first word and nothing since; `leave` is its client's end."""

    call_id: str
    answer: httpx.Response

    def leave(self) -> None:
        self.answer.close()


@contextmanager
def hanging(shell: Quick, agent_id: str, run: str) -> Iterator[Hanging]:
    """Make a call that does not end by itself."""
    body = {
        "model": "mock-small",
        "max_tokens": 20,
        "stream": True,
        "messages": [{"role": "user", "content": "hello"}],
        "metadata": {"mock": "hang"},
    }
    url = f"http://127.0.0.1:{shell.daemon()['port']}/v1/chat/completions"
    headers = {"x-cynsta-agent-id": agent_id, "x-cynsta-run-id": run}
    with (
        httpx.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", url, json=body, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        said = answer.iter_raw()  # kept, since the call's client leaves when it goes
        next(said)
        yield Hanging(answer.headers["x-spendguard-call-id"], answer)


@pytest.fixture
def agent(served: Quick) -> str:
    return served.agent(f"agent-{uuid.uuid4().hex[:8]}", cents=100)


def shown(served: Quick, agent: str, call_id: str) -> dict[str, object]:
    calls: list[dict[str, object]] = served.ok("agent", "get", agent, "--json").json["calls"]
    return next(call for call in calls if call["call_id"] == call_id)


def test_a_call_is_cut_and_its_charge_is_told(served: Quick, agent: str) -> None:
    """It is charged at its hold; said again, it is over; and the lock is free for another run."""
    with hanging(served, agent, "nightly") as call:
        assert served.call(agent).status_code == 409
        cut = served.ok("run", "abort", "--call", call.call_id[:8], "--json")
        assert (cut.json["call_id"], cut.json["state"]) == (call.call_id, "settled_worst")
        assert cut.json["cost_usd"] == cut.json["hold_usd"]
        assert (cut.json["attached"], cut.json["idle_seconds"]) == (None, None)
        assert f"1 call ended; charged ${cut.json['hold_usd']}, 1 of them at the hold" in cut.err
        assert f"try: spendguard budget adjust --call {call.call_id} --to <usd>" in cut.err
    adjusted = served.ok("budget", "adjust", "--call", call.call_id[:8], "--to", cut.json["cost_usd"])
    assert adjusted.keys["call_id"] == call.call_id
    for short, code, words in (("00000000", 4, "Call not found: 00000000"), ("xyz", 2, "is no call's id")):
        for verb in (["run", "abort"], ["budget", "adjust", "--to", "0"]):
            ran = served.run(*verb, "--call", short)
            assert (ran.code, words in ran.err) == (code, True), ran
    again = served.run("run", "abort", "--call", call.call_id)
    assert (again.code, again.out) == (1, "")
    assert f"error: Call has ended: it is settled_worst, and was charged ${cut.json['cost_usd']}" in again.err
    assert f"try: spendguard budget adjust --call {call.call_id} --to <usd>" in again.err
    assert served.call(agent).status_code == 200
    (refused,) = [one for one in served.ok("agent", "get", agent, "--json").json["calls"] if one["code"]]
    never = served.run("run", "abort", "--call", refused["call_id"])
    assert never.code == 1
    assert f"try: spendguard explain {refused['call_id']}" in never.err


def test_all_calls_of_a_run_are_cut_and_no_others(served: Quick, agent: str) -> None:
    served.ok("agent", "set", agent, "--concurrency", "shared")
    with (
        hanging(served, agent, "nightly") as first,
        hanging(served, agent, "nightly") as second,
        hanging(served, agent, "daily") as other,
    ):
        cut = served.ok("run", "abort", "--agent", agent, "--run", "nightly")
        lines = cut.out.splitlines()
        assert len(lines) == 2
        for call in (first, second):
            assert any(f"call_id={call.call_id} " in line and "state=settled_worst" in line for line in lines)
        assert "2 calls ended" in cut.err
        assert shown(served, agent, other.call_id)["state"] == "held"
        none = served.run("run", "abort", "--agent", agent, "--run", "nightly")
        assert (none.code, none.out) == (1, "")
        assert none.err.startswith("error: No call in flight: run 'nightly' of this agent has none")
        rest = served.ok("run", "abort", "--agent", agent, "--run", "daily", "--json").json
        assert [call["call_id"] for call in rest] == [other.call_id]


def test_a_call_in_flight_tells_of_its_client_and_its_provider(served: Quick, agent: str) -> None:
    with hanging(served, agent, "nightly") as call:
        told = shown(served, agent, call.call_id)
        assert told["attached"] is True
        assert isinstance(told["idle_seconds"], int)
        call.leave()
        until(lambda: shown(served, agent, call.call_id)["attached"] is False)
        assert "attached=false" in served.ok("agent", "get", agent).out
        assert served.call(agent).status_code == 200
        served.ok("run", "abort", "--call", call.call_id)
    ended = [
        one for one in served.ok("agent", "get", agent, "--json").json["calls"] if one["attached"] is not None
    ]
    assert ended == []


def test_who_is_asked_may_say_no(served: Quick, agent: str) -> None:
    with hanging(served, agent, "nightly") as call:
        terminal = Terminal(served, "run", "abort", "--call", call.call_id)
        terminal.until(b"[y/N]")
        assert b"Cut 1 call in flight, for at most $" in terminal.said
        terminal.type("n\n")
        assert terminal.end() == 1
        assert shown(served, agent, call.call_id)["state"] == "held"
        terminal = Terminal(served, "run", "abort", "--agent", agent, "--run", "nightly", "--yes")
        assert terminal.end() == 0
        assert b"settled_worst" in terminal.said
        assert shown(served, agent, call.call_id)["state"] == "settled_worst"


@pytest.mark.parametrize(
    "words",
    [(), ("--call", "x", "--run", "r"), ("--call", "x", "--agent", "a"), ("--agent", "a"), ("--run", "r")],
)
def test_what_is_cut_must_be_said_once(bare: Quick, words: tuple[str, ...]) -> None:
    del bare.env["SPENDGUARD_EXEC"]
    ran = bare.run("run", "abort", *words)
    assert (ran.code, ran.out) == (2, "")
    assert "Say which calls" in ran.err


def test_an_agent_cuts_nothing(bare: Quick) -> None:
    ran = bare.run("run", "abort", "--call", "x")
    assert ran.code == 5
    assert "run abort is for operators" in ran.err


def test_who_is_not_there_is_not_found(served: Quick) -> None:
    for words in (("--call", str(uuid.uuid4())), ("--agent", "no-such-agent", "--run", "r")):
        ran = served.run("run", "abort", *words)
        assert (ran.code, ran.out) == (4, "")
        assert " not found" in ran.err


VIEW = CallView(
    order=1,
    call_id="c",
    agent_id="a",
    run_id="r",
    provider="mock",
    endpoint="chat/completions",
    model="mock-small",
    state="held",
    created_ns=5 * SECOND_NS,
)


@dataclass
class Way:
    """A call on its way: when its provider was heard, and when it is cut."""

    heard_ns: int
    ends_ns: int


@pytest.mark.parametrize(
    ("heard_ns", "idle_seconds"),
    [(None, 7), (100 * SECOND_NS, 12), (112 * SECOND_NS, 0), (120 * SECOND_NS, 0)],
)
def test_silence_counts_from_the_last_byte_and_before_it_from_the_hold(
    heard_ns: int | None, idle_seconds: int
) -> None:
    hold = msgspec.UNSET  # nothing of the record is looked at
    state = State(open_calls={"c": OpenCall(hold, 5 * SECOND_NS)})  # type: ignore[arg-type]
    now = Now(wall_ns=12 * SECOND_NS + 999, monotonic_ns=112 * SECOND_NS + 999)
    relay = None if heard_ns is None else Way(heard_ns, 99 * SECOND_NS)
    told = flights.call(VIEW, state, relay, now)
    assert (told.idle_seconds, told.attached) == (idle_seconds, False)
    assert told.expires_at == (None if relay is None else "1970-01-01T00:01:39.000000Z")
    state.turns.attach("a", "r", "c", 0, 0)
    assert flights.call(VIEW, state, relay, now).attached is True
    ended = flights.call(VIEW, State(), relay, now)
    assert (ended.attached, ended.idle_seconds, ended.expires_at) == (None, None, None)
