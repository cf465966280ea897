"""Anthropic's calls end to end: whose key goes out, what is stripped, a cap of 0, errors in its shape."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from recorded import Act, RecordedUpstream, Reply
from sidecar import ANTHROPIC_KEY, PROVIDER_KEY, Sidecar
from spendguard_daemon.settings import PROVIDERS

MODEL = "claude-sonnet-4-5"
BODY = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}
JSON = {"content-type": "application/json", "request-id": "req_1", "anthropic-organization-id": "org_1"}
SSE = {"content-type": "text/event-stream"}


def message(**changes: object) -> Reply:
    """Return a plain answer."""
    told = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 3, "service_tier": "standard"},
        **changes,
    }
    return Reply(200, JSON, json.dumps(told).encode())


def refusal(status: int, kind: str, text: str = "no") -> Reply:
    """Return an error in Anthropic's shape."""
    error = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}
    return Reply(status, JSON, json.dumps(error).encode())


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    with RecordedUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    with Sidecar(tmp_path_factory.mktemp("claude") / "home", upstream.base_url) as made:
        yield made


@pytest.fixture(autouse=True)
def fresh(upstream: RecordedUpstream) -> None:
    upstream.received.clear()
    upstream.director = lambda _: Act(reply=message())


def ask(sidecar: Sidecar, path: str = "/v1/messages", /, **changes: object) -> httpx.Response:
    return sidecar.send(path, sidecar.agent(), {**BODY, **changes})


def test_the_operators_key_goes_where_anthropic_looks_for_it(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    headers = {"x-api-key": "sk-ant-of-the-client", "user-agent": "Anthropic/Python 2", "cookie": "a=b"}
    answer = sidecar.send("/anthropic/v1/messages?beta=true", sidecar.agent(), BODY, **headers)
    assert answer.status_code == 200, answer.text
    (received,) = upstream.received
    assert (received.path, received.query) == ("/v1/messages", "beta=true")
    sent = {name.lower(): value for name, value in received.headers.items()}
    assert sent["x-api-key"] == ANTHROPIC_KEY
    assert "authorization" not in sent
    assert "cookie" not in sent
    assert sent["user-agent"] == "Anthropic/Python 2"
    assert sent["anthropic-version"] == "2023-06-01"
    assert PROVIDER_KEY not in str(sent)
    assert answer.headers["request-id"] == "req_1"
    assert "anthropic-organization-id" not in answer.headers


def test_unknown_betas_are_stripped_and_reported(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    betas = "interleaved-thinking-2025-05-14, surprise-2031-01-01"
    answer = sidecar.send("/v1/messages", sidecar.agent(), BODY, **{"anthropic-beta": betas})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-spendguard-stripped"] == "anthropic.beta:surprise-2031-01-01"
    assert upstream.received[0].headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"


def test_a_header_of_another_provider_does_not_pass(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    answer = sidecar.send("/v1/messages", sidecar.agent(), BODY, **{"openai-beta": "responses=v1"})
    assert answer.headers["x-spendguard-stripped"] == "header:openai-beta"
    assert "openai-beta" not in {name.lower() for name in upstream.received[0].headers}


def test_a_cap_of_nothing_is_a_cap(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """`max_tokens: 0` warms a cache; it is not a cap that is missing."""
    usage = {"input_tokens": 10, "output_tokens": 0}
    upstream.director = lambda _: Act(reply=message(usage=usage, content=[]))
    answer = ask(sidecar, max_tokens=0)
    assert answer.status_code == 200, answer.text
    assert json.loads(upstream.received[0].body)["max_tokens"] == 0
    assert "x-spendguard-max-tokens" not in answer.headers
    call = sidecar.call_of(answer)
    assert (call["output_tokens_held"], call["asked_output_tokens"], call["state"]) == (0, 0, "settled")


def test_a_dated_answer_is_the_model_asked_for(sidecar: Sidecar) -> None:
    answer = ask(sidecar)
    call = sidecar.call_of(answer)
    assert (call["state"], call["reason"]) == ("settled", "reported usage")
    assert call["cost_usd"] == "0.000075"  # 10 at $3 and 3 at $15 a million


def test_the_root_without_a_provider_takes_only_its_models(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """Refused in the asker's own shape."""
    for model, code in (("claude-99", "unknown_model"), ("gpt-4o-mini", "malformed_request")):
        answer = ask(sidecar, model=model)
        told = answer.json()
        assert (answer.status_code, told["type"], told["spendguard"]["code"]) == (400, "error", code)
        assert told["error"]["message"] == told["detail"]
    assert (
        ask(sidecar, model="claude-99").json()["detail"] == "Unknown model for pricing: anthropic:claude-99"
    )
    assert upstream.received == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_is_told_in_its_shape(
    sidecar: Sidecar, upstream: RecordedUpstream, status: int
) -> None:
    upstream.director = lambda _: Act(reply=refusal(status, "authentication_error", ANTHROPIC_KEY))
    answer = ask(sidecar)
    told = answer.json()
    assert (answer.status_code, told["type"]) == (503, "error")
    assert told["spendguard"]["code"] == "provider_key_rejected"
    assert ANTHROPIC_KEY not in answer.text
    assert sidecar.call_of(answer)["state"] == "voided"


def test_an_error_that_repeats_the_key_has_it_blotted_out(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    upstream.director = lambda _: Act(reply=refusal(400, "invalid_request_error", ANTHROPIC_KEY))
    answer = ask(sidecar)
    assert answer.status_code == 400
    assert ANTHROPIC_KEY not in answer.text
    assert "[redacted]" in answer.text


@pytest.mark.parametrize(
    ("status", "kind", "state"),
    [
        (400, "invalid_request_error", "voided"),
        (429, "rate_limit_error", "voided"),
        (529, "overloaded_error", "voided"),
        (500, "api_error", "settled_worst"),
    ],
)
def test_documented_errors_are_free(
    sidecar: Sidecar, upstream: RecordedUpstream, status: int, kind: str, state: str
) -> None:
    upstream.director = lambda _: Act(reply=refusal(status, kind))
    answer = ask(sidecar)
    assert (answer.status_code, sidecar.call_of(answer)["state"]) == (status, state)


def test_an_error_in_a_stream_is_charged_at_worst(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    start = json.loads(message().body) | {"content": [], "stop_reason": None}
    events = [
        ("message_start", {"type": "message_start", "message": start}),
        ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    ]
    raw = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events).encode()
    upstream.director = lambda _: Act(reply=Reply(200, SSE, raw))
    answer = ask(sidecar, stream=True)
    assert answer.content == raw
    call = sidecar.call_of(answer)
    assert (call["state"], call["cost_usd"]) == ("settled_worst", call["hold_usd"])


def test_a_thinking_budget_keeps_its_room(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Clamped, but never below the budget and what is to be said after it; below that it is refused."""
    thinking = {"type": "enabled", "budget_tokens": 4_000}
    agent_id = sidecar.agent(cents=7)
    body = {**BODY, "max_tokens": 32_000, "thinking": thinking}
    answer = sidecar.send("/v1/messages", agent_id, body)
    assert answer.status_code == 402
    facts: Any = answer.json()["spendguard"]
    assert facts["floor_output_tokens"] == 4_000 + 1_024
    sidecar.control("POST", f"/v1/agents/{agent_id}/budget", {"hard_limit_cents": 8, "topup_cents": 1})
    answer = sidecar.send("/v1/messages", agent_id, body)
    assert answer.status_code == 200, answer.text
    sent = json.loads(upstream.received[-1].body)
    assert 5_024 <= sent["max_tokens"] < 32_000
    assert answer.headers["x-spendguard-max-tokens"] == f"asked=32000; sent={sent['max_tokens']}"


def test_the_count_endpoint_saves_a_call(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Counted where the bytes do not fit: the question goes first, then the call, held at the count."""
    long = {**BODY, "messages": [{"role": "user", "content": "word " * 4_000}]}

    def director(received: Any) -> Act:
        counts = received.path.endswith("count_tokens")
        return Act(reply=Reply(200, JSON, b'{"input_tokens":4000}') if counts else message())

    upstream.director = director
    answer = sidecar.send("/v1/messages", sidecar.agent(cents=2), long)
    assert answer.status_code == 200, answer.text
    assert [received.path for received in upstream.received] == ["/v1/messages/count_tokens", "/v1/messages"]
    call = sidecar.call_of(answer)
    assert (call["rung"], call["input_tokens_bound"]) == ("counted", 4_080)
    upstream.received.clear()
    frozen = sidecar.agent(cents=2, policy={"exact_count": "never"})
    assert sidecar.send("/v1/messages", frozen, long).status_code == 402
    assert upstream.received == []


def test_a_key_is_tested_by_the_list_of_models(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    upstream.director = lambda _: Act(reply=Reply(200, JSON, b'{"data":[]}'))
    tested = sidecar.control("POST", "/v1/providers/anthropic/test", {})
    assert (tested["ok"], tested["http_status"]) == (True, 200)
    (received,) = upstream.received
    assert (received.method, received.path) == ("GET", "/v1/models")
    sent = {name.lower(): value for name, value in received.headers.items()}
    assert (sent["x-api-key"], sent["anthropic-version"]) == (ANTHROPIC_KEY, "2023-06-01")
    assert "authorization" not in sent
    assert [row["name"] for row in sidecar.control("GET", "/v1/providers")["providers"]] == [*PROVIDERS]


def test_a_base_url_has_no_version(tmp_path: Path) -> None:
    sidecar = Sidecar(
        tmp_path / "home", env={"SPENDGUARD_ANTHROPIC_BASE_URL": "https://api.anthropic.com/v1"}
    )
    with pytest.raises(AssertionError, match="without its version"):
        sidecar.start()
    sidecar.stop()
