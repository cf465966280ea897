"""Refusals and failures of late, each provoked for real: what the doctor says first, and what mends it."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from patients import Flight, ask, code_of, first, is_mended, look
from quick_typist import QuickTypist
from shell import Quick, finish
from until import until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    """A quick shell with a running sidecar whose limits are soon reached."""
    made = Quick(tmp_path_factory.mktemp("served") / "home")
    made.ok("config", "set", "limits.agent_calls_max", "2")
    made.ok("config", "set", "limits.body_bytes_max", "65536")
    assert finish(made.start("up")).code == 0
    yield made
    made.end()


@pytest.fixture
def typist(served: Quick) -> QuickTypist:
    return QuickTypist(served)


def post(shell: Quick, path: str, body: Any, **headers: str) -> httpx.Response:
    """Send a body to a route, as a program does that is on its own."""
    url = f"http://127.0.0.1:{shell.daemon()['port']}{path}"
    return httpx.post(url, json=body, headers=headers, trust_env=False)


def asks(text: str = "hello", **fields: object) -> dict[str, object]:
    """Return a small request for a real model."""
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **fields}


def test_a_model_that_has_no_price(served: Quick, typist: QuickTypist) -> None:
    """Models of a similar name are told; a price of one's own is a table that a person writes."""
    agent_id = served.agent("unknown", cents=500, mock=False)
    refused = post(
        served, "/openai/v1/chat/completions", asks(model="gpt-4o-minni"), **{"x-cynsta-agent-id": agent_id}
    )
    assert code_of(refused) == (400, "unknown_model")
    cause = first(typist, "unknown")
    assert (cause["check"], cause["level"], cause["code"]) == ("failures.refused", "red", "unknown_model")
    assert "use a model that has a price: gpt-4o-mini" in cause["deed"]
    assert any('[prices.overrides.openai."gpt-4o-minni"]' in line for line in cause["evidence"])
    post(served, "/openai/v1/chat/completions", asks(model="gpt-9"), **{"x-cynsta-agent-id": agent_id})
    both = typist.doctor("400", "--agent", "unknown")
    assert [one["level"] for one in both] == ["red", "red"]
    assert all(any("[prices.overrides." in line for line in one["evidence"]) for one in both)
    typist.mends(cause)


def test_a_request_that_cannot_be_read(served: Quick, typist: QuickTypist) -> None:
    """That other calls get through proves nothing of this one: it is not known whether it was corrected."""
    agent_id = served.agent("malformed", cents=500)
    assert code_of(ask(served, agent_id, max_tokens="many")) == (400, "malformed_request")
    cause = first(typist, "malformed")
    assert (cause["check"], cause["level"]) == ("failures.refused", "red")
    assert cause["deed"].startswith("correct max_tokens in the request: ")
    assert ask(served, agent_id, max_tokens=100).status_code == 200
    after = look(typist, "malformed", "failures")
    assert (after["level"], after["code"]) == ("warning", "malformed_request")
    assert after["finding"].endswith("may be refused again")
    assert any("proves nothing of the very same request" in line for line in after["evidence"])
    assert after["deed"] == cause["deed"]


def test_two_faults_of_requests_are_told_apart(served: Quick, typist: QuickTypist) -> None:
    """Both are one code, and each has a way out of its own; refused over again, each is counted."""
    agent_id = served.agent("faults", cents=500)
    for fields in ({"foo_bar": 1}, {"messages": "none"}, {"messages": "none"}):
        assert code_of(ask(served, agent_id, **fields)) == (400, "malformed_request")
    found = [one for one in typist.doctor("--agent", "faults") if one["code"] == "malformed_request"]
    for said in (found, typist.doctor("400", "--agent", "faults")):
        assert [one["level"] for one in said] == ["red", "red"]
        assert ["--allow" in "".join(one["remedy"]) for one in said] == [
            False,
            True,
        ]
    assert "was refused 2 times with" in found[0]["finding"]


def test_a_mock_model_of_an_agent_that_is_none(served: Quick, typist: QuickTypist) -> None:
    """Another call that passes does not mend it, nor is what was refused the way out."""
    agent_id = served.agent("real", cents=500, mock=False)
    refused = ask(served, agent_id)
    assert code_of(refused) == (403, "mock_only")
    cause = first(typist, "real")
    assert (cause["check"], cause["level"], cause["code"]) == ("failures.refused", "red", "mock_only")
    assert cause["deed"] == "use a real model with this agent: it is no mock agent"
    [pasted] = typist.doctor("-", stdin=refused.text)
    assert (pasted["level"], pasted["deed"]) == ("red", cause["deed"])
    [remedy] = cause["remedy"]
    made = typist.type(remedy).keys["agent_id"]
    served.ok("budget", "set", "--agent", made, "--limit", "100")
    assert ask(served, made).status_code == 200


def test_a_call_that_an_operator_cut_is_no_failure_of_its_provider(
    served: Quick, typist: QuickTypist
) -> None:
    """Nor was it a refusal; once its cost is entered, nothing is left of it."""
    agent_id = served.agent("cut", cents=5000)
    answers: list[httpx.Response] = []
    asked = {"metadata": {"mock": "hang"}, "max_tokens": 100}
    caller = threading.Thread(target=lambda: answers.append(ask(served, agent_id, **asked)))
    caller.start()
    until(lambda: served.ok("agent", "get", "cut").keys["calls_in_flight"] == "1")
    served.ok("run", "abort", "--agent", "cut", "--run", "default")
    caller.join(20)
    [body] = answers
    assert code_of(body) == (502, "upstream_failed")
    call_id = body.json()["spendguard"]["call_id"]
    [pasted] = typist.doctor("-", stdin=body.text)
    assert pasted["level"] == "warning"
    assert "an operator cut it, or the sidecar ended: it is no fault of the provider" in pasted["evidence"]
    assert not any("would be refused" in line for line in pasted["evidence"])
    found = typist.doctor("--agent", "cut")
    assert [one["check"] for one in found if one["level"] == "warning"] == ["money.unconfirmed"]
    served.ok("budget", "adjust", "--call", call_id, "--to", "0", "--reason", "never ran")
    assert look(typist, "cut", "failures")["level"] == "ok"
    [after] = typist.doctor("-", stdin=body.text)
    assert (after["level"], after["remedy"]) == ("note", [])


def test_a_failure_whose_cost_was_entered_is_over(served: Quick, typist: QuickTypist) -> None:
    """The reason of the correction is an operator's, and is not told as the provider's."""
    agent_id = served.agent("entered", cents=500)
    answer = ask(served, agent_id, metadata={"mock": "fail:500"}, max_tokens=100)
    assert look(typist, "entered", "failures")["level"] == "warning"
    call_id = answer.headers["x-spendguard-call-id"]
    served.ok("budget", "adjust", "--call", call_id, "--to", "0", "--reason", "by the bill")
    found = typist.doctor("--agent", "entered")
    assert not any("by the bill" in json.dumps(one) for one in found)
    assert look(typist, "entered", "failures")["level"] == "ok"


def test_a_field_that_no_list_has(served: Quick, typist: QuickTypist) -> None:
    """It may be new: the command lets it through for this agent alone."""
    agent_id = served.agent("unlisted", cents=500)
    assert code_of(ask(served, agent_id, brand_new=1, max_tokens=100)) == (400, "malformed_request")
    cause = first(typist, "unlisted")
    assert cause["check"] == "failures.refused"
    [remedy] = cause["remedy"]
    assert remedy.startswith("spendguard agent set unlisted --allow ")
    is_mended(typist, "unlisted", cause)
    passed = ask(served, agent_id, brand_new=1, max_tokens=100)
    assert passed.headers["x-spendguard-source"] == "provider"


def test_a_feature_that_has_no_bound(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("unbounded", cents=500, mock=False)
    body = {"model": "gpt-4o-mini", "input": "hello", "background": True}
    refused = post(served, "/openai/v1/responses", body, **{"x-cynsta-agent-id": agent_id})
    assert code_of(refused) == (400, "unbounded_feature")
    cause = first(typist, "unbounded")
    assert (cause["check"], cause["level"], cause["code"]) == ("failures.refused", "red", "unbounded_feature")
    assert "leave background out of the request" in cause["deed"]


def test_state_of_nobody_here(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("foreign", cents=500, mock=False)
    body = {"model": "gpt-4o-mini", "input": "hello", "previous_response_id": "resp_0123456789"}
    refused = post(served, "/openai/v1/responses", body, **{"x-cynsta-agent-id": agent_id})
    assert code_of(refused) == (400, "foreign_state")
    cause = first(typist, "foreign")
    assert (cause["check"], cause["level"], cause["code"]) == ("failures.refused", "red", "foreign_state")
    assert cause["deed"].startswith("send the history in the request itself")


def test_an_idempotency_key_of_another_request(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("again", cents=500)
    key = {"idempotency-key": "k-1"}
    assert ask(served, agent_id, headers=key, max_tokens=100).status_code == 200
    refused = ask(served, agent_id, headers=key, max_tokens=101)
    assert code_of(refused) == (409, "idempotency_mismatch")
    cause = first(typist, "again")
    assert (cause["check"], cause["code"]) == ("failures.refused", "idempotency_mismatch")
    assert cause["deed"] == "use a new Idempotency-Key for a new request"
    assert ask(served, agent_id, headers={"idempotency-key": "k-2"}, max_tokens=101).status_code == 200
    assert look(typist, "again", "failures")["level"] == "note"


def test_a_provider_that_rejects_the_key(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("rejected", cents=500)
    assert ask(served, agent_id, metadata={"mock": "fail:401"}, max_tokens=100).status_code == 503
    cause = first(typist, "rejected")
    assert (cause["check"], cause["level"]) == ("failures.providers", "red")
    assert cause["finding"] == "mock answered 401 to 1 call: it rejects the sidecar's key"
    assert "nothing was charged" in cause["evidence"]
    assert ask(served, agent_id, max_tokens=100).status_code == 200
    after = look(typist, "rejected", "failures")
    assert (after["level"], after["finding"].partition("; ")[2]) == ("note", "calls have passed since")


def test_a_provider_that_answers_503(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("fails", cents=500)
    for _ in range(2):
        assert ask(served, agent_id, metadata={"mock": "fail:503"}, max_tokens=100).status_code == 503
    cause = first(typist, "fails")
    assert (cause["check"], cause["level"]) == ("failures.providers", "warning")
    assert cause["finding"] == "mock answered 503 to 2 calls"


def test_a_provider_that_breaks_off(served: Quick, typist: QuickTypist) -> None:
    """What is charged for it is the cause to look at; that the provider did it is told after it."""
    agent_id = served.agent("torn", cents=500)
    assert ask(served, agent_id, metadata={"mock": "fail:500"}, max_tokens=100).status_code == 500
    found = typist.doctor("--agent", "torn")
    assert [one["check"] for one in found[:2]] == ["money.unconfirmed", "failures.providers"]
    assert "these calls are charged at their holds, until an operator corrects it" in found[1]["evidence"]


def test_an_agent_that_asks_too_much_at_a_time(served: Quick, typist: QuickTypist) -> None:
    """Its limit is doubled by the remedy, at the next start of the sidecar, which the remedy makes."""
    agent_id = served.agent("fast", cents=5000)
    flights = [Flight(served, agent_id, "r1", max_tokens=10) for _ in range(2)]
    assert code_of(ask(served, agent_id, run="r1", max_tokens=10)) == (429, "rate_limited")
    cause = look(typist, "fast", "failures")
    assert (cause["level"], cause["code"]) == ("warning", "rate_limited")
    assert cause["remedy"] == ["spendguard config set limits.agent_calls_max 4", "spendguard restart"]
    for flight in flights:
        flight.leave()
    served.ok("run", "abort", "--agent", "fast", "--run", "r1")
    is_mended(typist, "fast", cause)
    more = [Flight(served, agent_id, "r1", max_tokens=10) for _ in range(3)]
    for flight in more:
        flight.leave()
    served.ok("run", "abort", "--agent", "fast", "--run", "r1")


def test_a_body_that_is_too_large(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("large", cents=500)
    large = {"max_tokens": 10, "messages": [{"role": "user", "content": "x" * 70_000}]}
    refused = ask(served, agent_id, **large)
    assert code_of(refused) == (413, "body_too_large")
    [cause, *_] = typist.doctor("-", stdin=refused.text)
    assert cause["finding"] == "413 body_too_large: Body too large"
    assert cause["remedy"] == ["spendguard config set limits.body_bytes_max 131072", "spendguard restart"]
    typist.mends(cause)
    assert ask(served, agent_id, **large).status_code == 200


def test_all_is_well(served: Quick, typist: QuickTypist) -> None:
    """A call that passes, and one in flight, are nothing to be told in red or yellow."""
    agent_id = served.agent("well", cents=5000)
    assert ask(served, agent_id, max_tokens=100).status_code == 200
    flight = Flight(served, agent_id, "r1", max_tokens=100)
    found = typist.doctor("--agent", "well")
    flight.leave()
    assert {one["level"] for one in found} == {"ok", "note"}


def test_a_rate_that_a_card_lacks(served: Quick, typist: QuickTypist) -> None:
    """Found before a byte leaves, but not before there is a key: this one is good for nothing."""
    served.ok("provider", "set-key", "openai", stdin="sk-none")
    agent_id = served.agent("unpriced", cents=500, mock=False)
    body = asks(messages=[{"role": "assistant", "audio": {"id": "a"}}])
    refused = post(served, "/openai/v1/chat/completions", body, **{"x-cynsta-agent-id": agent_id})
    assert code_of(refused) == (400, "unpriced_dimension")
    cause = look(typist, "unpriced", "failures")
    assert (cause["check"], cause["level"], cause["code"]) == (
        "failures.refused",
        "red",
        "unpriced_dimension",
    )
    assert "dimension: input_audio" in cause["evidence"]
    assert "use a model whose card has that rate" in cause["deed"]
    typist.mends(cause)
