"""Agents that cannot call, each broken for real: what the doctor says first, and that its remedy mends it."""

import json
import threading
from collections.abc import Iterator

import httpx
import pytest

from patients import Flight, ask, code_of, first, is_mended, look, with_key
from quick_typist import QuickTypist
from shell import Quick
from spendguard_cli.doctor import lately
from until import until

LONG = {"max_tokens": 16_384}


@pytest.fixture
def typist(served: Quick) -> QuickTypist:
    return QuickTypist(served)


@pytest.fixture
def flights(served: Quick) -> Iterator[list[Flight]]:
    """Calls in flight of a test, which it leaves to be cut."""
    made: list[Flight] = []
    yield made
    for flight in made:
        flight.leave()


def test_an_agent_whose_budget_is_too_small_for_a_call(served: Quick, typist: QuickTypist) -> None:
    """A budget fills up to its limit only, so the limit is raised with it."""
    agent_id = served.agent("small", cents=1)
    refused = served.call(agent_id, n=8, **LONG)
    assert code_of(refused) == (402, "insufficient_budget")
    cause = first(typist, "small")
    assert (cause["check"], cause["level"]) == ("failures.refused", "red")
    assert "agent small was refused 1 time with 402 insufficient_budget" in cause["finding"]
    said = refused.json()["spendguard"]
    assert any(f"it can cost ${said['worst_case_usd']} = input $" in line for line in cause["evidence"])
    assert any("$0.01 remained to the agent of $0.01" in line for line in cause["evidence"])
    assert cause["remedy"][0].startswith("spendguard budget set --agent small --limit ")
    is_mended(typist, "small", cause)
    assert served.call(agent_id, n=8, **LONG).status_code == 200


def test_an_agent_that_has_no_budget(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("unset")
    quiet = look(typist, "unset", "agents")
    assert (quiet["check"], quiet["level"]) == ("agents.budget", "note")
    assert code_of(served.call(agent_id, n=8, **LONG)) == (402, "budget_not_set")
    cause = first(typist, "unset")
    assert (cause["check"], cause["level"]) == ("agents.budget", "red")
    assert cause["finding"] == "agent unset has no budget: it can spend nothing"
    is_mended(typist, "unset", cause)
    assert served.call(agent_id, n=8, **LONG).status_code == 200


def test_an_agent_that_is_frozen(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("frozen", cents=500)
    served.ok("agent", "freeze", "frozen", "--reason", "loops\x1b[31m")
    assert code_of(served.call(agent_id)) == (402, "agent_frozen")
    cause = first(typist, "frozen")
    assert (cause["check"], cause["remedy"]) == ("agents.frozen", ["spendguard agent unfreeze frozen"])
    assert cause["evidence"][0].startswith("the reason: loops") and "\x1b" not in cause["evidence"][0]
    told = [one for one in typist.doctor("--agent", "frozen") if one["code"] == "agent_frozen"]
    assert [one["check"] for one in told] == ["agents.frozen"]  # and not once more, as a refusal
    is_mended(typist, "frozen", cause)
    past = look(typist, "frozen", "failures")
    assert (past["level"], past["evidence"], past["remedy"]) == ("note", [], [])  # one line
    assert served.call(agent_id).status_code == 200


def test_an_agent_that_an_overrun_froze(served: Quick, typist: QuickTypist) -> None:
    """The call that did it is shown; then its charge is confirmed, and what was overspent is topped up."""
    agent_id = served.agent("overrun", cents=2)
    over = served.call(agent_id, model="mock-large", metadata={"mock": "lie:over"}, max_tokens=50)
    call_id = over.headers["x-spendguard-call-id"]
    cause = first(typist, "overrun")
    assert cause["check"] == "agents.frozen"
    assert any(f"call {call_id} of mock-large held $" in line for line in cause["evidence"])
    typist.mends(cause)
    billed = first(typist, "overrun")
    assert (billed["check"], billed["level"]) == ("money.overruns", "red")
    assert billed["remedy"][0].startswith(f"spendguard budget adjust --call {call_id} --to ")
    typist.mends(billed)
    owes = first(typist, "overrun")
    if owes["check"] == "money.negative":
        is_mended(typist, "overrun", owes)
    assert "overrun" not in first(typist, "overrun")["check"]


def test_an_agent_that_has_spent_all(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("spent", cents=1)
    call_id = served.call(agent_id, max_tokens=100).headers["x-spendguard-call-id"]
    served.ok("budget", "adjust", "--call", call_id, "--to", "0.01", "--reason", "all of it")
    assert code_of(served.call(agent_id)) == (402, "insufficient_budget")
    cause = first(typist, "spent")
    assert (cause["check"], cause["level"]) == ("agents.budget", "red")
    assert cause["finding"] == "agent spent has spent its budget: nothing remains"
    is_mended(typist, "spent", cause)
    assert served.agent("none", cents=0)
    limited = first(typist, "none")
    assert (limited["level"], limited["finding"]) == ("red", "agent none can spend nothing: its limit is $0")
    is_mended(typist, "none", limited)
    assert served.call(agent_id, max_tokens=100).status_code == 200


def test_an_agent_with_little_left(served: Quick, typist: QuickTypist) -> None:
    served.agent("low", cents=1000)
    served.ok("budget", "set", "--agent", "low", "--limit", "100000", "--topup", "0")
    cause = first(typist, "low")
    assert (cause["check"], cause["level"]) == ("agents.budget", "warning")
    assert cause["finding"] == "agent low has little money left: $10.00"
    is_mended(typist, "low", cause)
    assert look(typist, "low", "agents")["level"] == "ok"


def test_the_cap_above_all_agents_is_reached(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("capped", cents=5000)
    served.ok("budget", "daemon", "set", "--limit", "1")
    try:
        assert code_of(served.call(agent_id, n=8, **LONG)) == (402, "daemon_cap")
        cause = first(typist, "capped")
        assert (cause["check"], cause["level"]) == ("agents.cap", "red")
        assert "the cap above all agents" in cause["finding"]
        assert cause["remedy"][0].startswith("spendguard budget daemon set --limit ")
        is_mended(typist, "capped", cause)
        assert served.call(agent_id, n=8, **LONG).status_code == 200
    finally:
        served.ok("budget", "daemon", "set", "--off")


def test_a_key_is_at_its_limit(served: Quick, typist: QuickTypist) -> None:
    """A limit cannot be changed: the remedy makes another key, which is enough for the very same call."""
    agent_id = served.agent("keyed", cents=5000)
    secret = served.ok("agent", "key", "keyed", "--limit", "1").keys["key"]
    assert code_of(with_key(served, secret, n=8, **LONG)) == (402, "key_limit")
    cause = first(typist, "keyed")
    assert (cause["check"], cause["level"]) == ("agents.keys", "red")
    assert "a key of agent keyed is at its limit" in cause["finding"]
    [remedy] = cause["remedy"]
    made = typist.type(remedy)
    assert made.code == 0
    assert first(typist, "keyed")["level"] != "red"
    assert with_key(served, made.keys["key"], n=8, **LONG).status_code == 200
    assert agent_id


def test_a_key_is_over(served: Quick, typist: QuickTypist) -> None:
    served.agent("expired", cents=500)
    secret = served.ok("agent", "key", "expired", "--expires", "1s").keys["key"]
    until(lambda: with_key(served, secret).status_code == 401)
    cause = first(typist, "expired")
    assert cause["check"] == "agents.keys" and cause["level"] in ("warning", "red")
    assert "no key of agent expired is good any more" in cause["finding"]
    [remedy] = cause["remedy"]
    made = typist.type(remedy)
    assert made.code == 0
    assert look(typist, "expired", "agents")["level"] == "ok"
    assert with_key(served, made.keys["key"]).status_code == 200


def test_money_that_calls_in_flight_hold(served: Quick, typist: QuickTypist, flights: list[Flight]) -> None:
    agent_id = served.agent("held", cents=1)
    served.ok("agent", "set", "held", "--concurrency", "shared")
    flights.append(Flight(served, agent_id, "r1", max_tokens=1000))
    asked = {"max_tokens": 1500, "headers": {"x-spendguard-wait": "0"}}
    assert code_of(ask(served, agent_id, **asked)) == (402, "budget_held")
    cause = first(typist, "held")
    assert (cause["check"], cause["level"]) == ("agents.held", "red")
    assert "calls in flight of agent held hold $" in cause["finding"]
    assert any(flights[0].call_id in line for line in cause["evidence"])
    is_mended(typist, "held", cause)
    assert ask(served, agent_id, **asked).status_code == 200


def test_a_draining_call_holds_the_money(served: Quick, typist: QuickTypist, flights: list[Flight]) -> None:
    """Its client has left: it has not the lock any more, but still the money, until its provider is done."""
    agent_id = served.agent("drained", cents=1)
    flight = Flight(served, agent_id, "r1", max_tokens=1000)
    flights.append(flight)
    flight.leave()
    until(lambda: served.ok("agent", "get", "drained").keys["locked_run_id"] == "")
    cut = f"spendguard run abort --call {flight.call_id}"
    quiet = look(typist, "drained", "agents.held")
    assert (quiet["level"], quiet["remedy"]) == ("note", [cut])
    asked = {"max_tokens": 1500, "headers": {"x-spendguard-wait": "0"}}
    assert code_of(ask(served, agent_id, **asked)) == (402, "budget_held")
    cause = first(typist, "drained")
    assert (cause["check"], cause["level"]) == ("agents.held", "red")
    assert "calls of agent drained whose clients have left hold $" in cause["finding"]
    assert any(line.startswith("or: ") and line.endswith(cut) for line in cause["evidence"])
    is_mended(typist, "drained", cause)
    assert ask(served, agent_id, **asked).status_code == 200


def test_the_lock_is_held_by_a_live_call(served: Quick, typist: QuickTypist, flights: list[Flight]) -> None:
    agent_id = served.agent("locked", cents=5000)
    flights.append(Flight(served, agent_id, "nightly"))
    assert look(typist, "locked", "agents.lock")["level"] == "note"
    assert code_of(ask(served, agent_id, run="other")) == (409, "budget_locked")
    cause = first(typist, "locked")
    assert (cause["check"], cause["level"]) == ("agents.lock", "red")
    assert cause["finding"] == "run nightly has the lock of agent locked: other runs are refused"
    assert any(flights[0].call_id in line and "its client waits" in line for line in cause["evidence"])
    assert "1 call of other runs was refused, the last " in "\n".join(cause["evidence"])
    cut = "spendguard run abort --agent locked --run nightly"
    assert any(line.startswith("or: cut the run") and line.endswith(cut) for line in cause["evidence"])
    assert typist.type(cut).code == 0
    flights.append(Flight(served, agent_id, "nightly"))
    newer = look(typist, "locked", "agents.lock")
    assert newer["level"] == "note"  # nobody was refused for this one
    assert look(typist, "locked", "failures")["level"] == "note"
    assert code_of(ask(served, agent_id, run="other")) == (409, "budget_locked")
    cause = first(typist, "locked")
    expires = served.ok("budget", "get", "--agent", "locked").keys["locked_expires_at"]
    assert f"its deadline is {expires}" in cause["evidence"]
    is_mended(typist, "locked", cause)
    assert ask(served, agent_id, run="other").status_code == 200


def test_the_lock_is_held_by_a_stuck_call(
    served: Quick, typist: QuickTypist, flights: list[Flight], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lately, "STUCK_SECONDS", 0)
    agent_id = served.agent("stuck", cents=5000)
    flights.append(Flight(served, agent_id, "nightly"))
    cause = first(typist, "stuck")
    assert (cause["check"], cause["level"]) == ("agents.stuck", "warning")
    assert code_of(ask(served, agent_id, run="other")) == (409, "budget_locked")
    cause = first(typist, "stuck")
    assert (cause["check"], cause["level"]) == ("agents.stuck", "red")
    assert "a call of agent stuck is stuck: the provider says nothing" in cause["finding"]
    assert cause["remedy"] == [f"spendguard run abort --call {flights[0].call_id}"]
    [asked, *_] = typist.doctor("409", "--agent", "stuck")
    assert asked["remedy"] == cause["remedy"]  # before any policy is changed
    assert any(
        line.startswith(f"now: call {flights[0].call_id} of run nightly") for line in asked["evidence"]
    )
    is_mended(typist, "stuck", cause)
    assert ask(served, agent_id, run="other").status_code == 200


def test_a_call_that_waits(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("patient", cents=1)
    answers: list[httpx.Response] = []
    asked = {"n": 8, **LONG, "headers": {"x-spendguard-wait": "120"}}
    waits = threading.Thread(target=lambda: answers.append(ask(served, agent_id, **asked)))
    waits.start()
    until(lambda: json.loads(served.ok("agent", "get", "patient", "--json").out)["waiting"])
    cause = first(typist, "patient")
    assert (cause["check"], cause["level"]) == ("agents.waiting", "warning")
    assert "a call of agent patient waits" in cause["finding"]
    typist.mends(cause)
    waits.join(20)
    assert [answer.status_code for answer in answers] == [200]
    assert first(typist, "patient")["finding"] != cause["finding"]
