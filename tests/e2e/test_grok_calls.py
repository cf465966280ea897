"""xAI through a real daemon: its own bill, what is held beside the cap, errors that have a fee, its key."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from recorded import Act, RecordedUpstream, Reply
from sidecar import GROK_KEY, Sidecar
from till import nusd as nusd_of

JSON = {"content-type": "application/json"}
TRUST = {"allow": ["grok.chat.cap:reasoning", "grok.fee:violation"]}
CHAT = {"model": "grok-4.3", "max_completion_tokens": 1_000, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon for all calls of this file."""
    with Sidecar(tmp_path_factory.mktemp("grok") / "home", upstream.base_url) as running:
        yield running


def answers(
    upstream: RecordedUpstream, ticks: Any, *, tokens: int = 10, status: int = 200, **other: Any
) -> None:
    """Let xAI answer with so many tokens each way and this bill, or with something else."""
    usage = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": 2 * tokens}
    usage["completion_tokens_details"] = {"reasoning_tokens": tokens - 1}  # type: ignore[assignment]
    usage |= {} if ticks is None else {"cost_in_usd_ticks": ticks}
    told = other or {"model": "grok-4.3", "choices": [{"index": 0}], "usage": usage}
    upstream.received.clear()
    upstream.director = lambda _: Act(reply=Reply(status, JSON, json.dumps(told).encode()))


def booked(sidecar: Sidecar, agent: str) -> tuple[str, int, str]:
    """Return state, cost (nUSD) and reason of an agent's one call."""
    (call,) = sidecar.calls(agent)
    return call["state"], nusd_of(call["cost_usd"]), call["reason"]


@pytest.mark.parametrize(
    ("ticks", "cost_nusd", "reason"),
    [
        (375_000, 37_500, "reported usage"),
        (374_999, 37_500, "reported usage"),  # rounded up once
        (374_989, 37_499, "reported usage; the provider billed 0.000037499 USD; 0.0000375 by our prices"),
        (1, 1, "reported usage; the provider billed 0.000000001 USD; 0.0000375 by our prices"),
        (400_000, 40_000, "reported usage; the provider billed 0.00004 USD; 0.0000375 by our prices"),
        (None, 37_500, "reported usage"),
    ],
)
def test_its_own_bill_is_charged_and_a_difference_told(
    sidecar: Sidecar, upstream: RecordedUpstream, ticks: int | None, cost_nusd: int, reason: str
) -> None:
    answers(upstream, ticks)
    agent = sidecar.agent(cents=10, policy=TRUST)
    assert sidecar.chat(agent, CHAT).status_code == 200
    assert booked(sidecar, agent) == ("settled", cost_nusd, reason)
    assert nusd_of(sidecar.budget(agent)["remaining_usd"]) == 10**8 - cost_nusd


@pytest.mark.parametrize("ticks", [0, -5, 10**30, "7"])
def test_an_absurd_bill_is_charged_at_the_hold(
    sidecar: Sidecar, upstream: RecordedUpstream, ticks: Any
) -> None:
    answers(upstream, ticks)
    agent = sidecar.agent(cents=10, policy=TRUST)
    answer = sidecar.chat(agent, CHAT)
    state, cost_nusd, _ = booked(sidecar, agent)
    assert (state, cost_nusd) == ("settled_worst", nusd_of(answer.headers["x-spendguard-held-usd"]))


def test_a_bill_above_the_hold_is_an_overrun_like_any_other(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """Of another model than the tests around it, for its bound is not trusted afterwards."""
    answers(upstream, 2 * 10**9, tokens=12_000)
    agent = sidecar.agent(cents=10, policy=TRUST)
    assert sidecar.chat(agent, {**CHAT, "model": "grok-build-0.1"}).status_code == 200
    state, cost_nusd, reason = booked(sidecar, agent)
    assert (state, cost_nusd) == ("overrun", 2 * 10**8)
    assert "by our prices" in reason
    assert sidecar.control("GET", f"/v1/agents/{agent}")["frozen"] is True


def test_want_of_money_names_what_would_let_less_be_held(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """A context of reasoning is $2.50 and a violation 5 cents: 20 cents hold neither; with trust both go."""
    answers(upstream, 375_000)
    agent = sidecar.agent(cents=20)
    refused = sidecar.chat(agent, CHAT)
    facts = refused.json()["spendguard"]
    assert (refused.status_code, facts["code"]) == (402, "insufficient_budget")
    assert facts["setting"] == "[policy] allow: grok.chat.cap:reasoning, grok.fee:violation"
    assert refused.json()["error"]["message"].endswith(
        "; $2.50 of it is reasoning that may be billed beside the cap, $0.05 the fee for a request that "
        "breaks the provider's rules; /v1/responses counts all within its cap, or your operator allows "
        "grok.chat.cap:reasoning and grok.fee:violation; nothing was charged"
    )
    assert facts["affordable_max_tokens"] == 0
    assert "smaller max_tokens" not in facts["remedy"]
    assert upstream.received == []
    plain = {**CHAT, "model": "grok-4.20-non-reasoning"}
    answers(upstream, 375_000, model="grok-4.20-non-reasoning", choices=[{}])
    held = sidecar.chat(agent, plain).headers["x-spendguard-held-usd"]
    assert 50_000_000 < nusd_of(held) < 60_000_000
    refused = sidecar.chat(sidecar.agent(cents=4), plain)
    assert refused.json()["spendguard"]["setting"] == "[policy] allow: grok.fee:violation"
    assert refused.json()["detail"].endswith(
        "; $0.05 of it is the fee for a request that breaks the provider's rules, or your operator allows "
        "grok.fee:violation; nothing was charged"
    )
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    called = sidecar.chat(agent, {**CHAT, "tools": [tool]}).json()["detail"]
    assert "$2.50 of it is reasoning and function calls that may be billed beside the cap" in called
    assert (
        "setting"
        not in sidecar.chat(sidecar.agent(cents=0), {**CHAT, "model": "gpt-4o"}).json()["spendguard"]
    )


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (
            400,
            {"code": "Client specified an invalid argument", "error": "Model not found: grok-4.3"},
            "voided",
        ),
        (429, {"code": "Some resource has been exhausted", "error": "Too many requests"}, "voided"),
        (400, {"code": "x", "error": "Content violates usage guidelines."}, "settled_worst"),
        (403, {"code": "x", "error": "Failed check: SAFETY_CHECK_TYPE_BIO"}, "settled_worst"),
        (500, {"code": "Internal", "error": "x"}, "settled_worst"),
    ],
)
def test_errors_are_free_unless_they_may_have_a_fee(
    sidecar: Sidecar, upstream: RecordedUpstream, status: int, body: dict[str, str], state: str
) -> None:
    """A request that breaks xAI's rules costs 5 cents, which were held."""
    answers(upstream, None, status=status, **body)
    agent = sidecar.agent(cents=100, policy={"allow": ["grok.chat.cap:reasoning"]})
    answer = sidecar.chat(agent, CHAT)
    assert answer.status_code == (503 if status == 403 else status)
    booked_state, cost_nusd, _ = booked(sidecar, agent)
    assert booked_state == state
    assert cost_nusd > 50_000_000 if state == "settled_worst" else cost_nusd == 0


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/grok/v1/responses"])
def test_a_key_that_is_none_is_told_in_our_words(
    sidecar: Sidecar, upstream: RecordedUpstream, path: str
) -> None:
    """xAI says so with 400, and repeats the key: the operator's, which no agent is to see."""
    said = f"Incorrect API key provided: {GROK_KEY}. You can obtain an API key from the console."
    answers(upstream, None, status=400, code="Client specified an invalid argument", error=said)
    agent = sidecar.agent(cents=1_000)
    asked = {"model": "grok-4.3", "max_output_tokens": 1_000, "input": "hi"} if "responses" in path else CHAT
    answer = sidecar.send(path, agent, asked)
    assert (answer.status_code, answer.json()["spendguard"]["code"]) == (503, "provider_key_rejected")
    assert answer.json()["spendguard"]["provider_status"] == 400
    assert "obtain" not in answer.text
    assert GROK_KEY not in answer.text
    assert booked(sidecar, agent) == ("voided", 0, "provider refused with 400")
    answers(upstream, None, status=400, code="x", error="Model not found: incorrect api key")
    assert sidecar.send(path, agent, asked).status_code == 400


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_test_says_that_the_key_was_rejected(
    sidecar: Sidecar, upstream: RecordedUpstream, status: int
) -> None:
    answers(upstream, None, status=status, code="x", error="no")
    tested = sidecar.control("POST", "/v1/providers/grok/test", {})
    assert (tested["ok"], tested["detail"]) == (False, f"the key was rejected: grok answered {status}")


def test_its_key_is_tested_by_the_list_of_models(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    answers(upstream, None, data=[])
    tested = sidecar.control("POST", "/v1/providers/grok/test", {})
    assert (tested["ok"], tested["http_status"]) == (True, 200)
    (received,) = upstream.received
    assert (received.method, received.path) == ("GET", "/v1/models")
    sent = {name.lower(): value for name, value in received.headers.items()}
    assert sent["authorization"] == f"Bearer {GROK_KEY}"


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/grok/v1/chat/completions", "/v1/agents/{}/runs/r/grok/chat/completions"],
)
def test_each_root_reads_grok_as_grok(sidecar: Sidecar, upstream: RecordedUpstream, path: str) -> None:
    """Its live search, no field of OpenAI's, is taken out."""
    answers(upstream, 375_000)
    agent = sidecar.agent(cents=10, policy=TRUST)
    body = {**CHAT, "search_parameters": {"mode": "auto"}}
    answer = sidecar.send(path.format(agent), agent, body)
    assert answer.headers["x-spendguard-stripped"] == "grok.chat.field:search_parameters"
    (received,) = upstream.received
    assert json.loads(received.body) == CHAT
    assert booked(sidecar, agent)[0] == "settled"
