"""The free count routes: an agent must be named, nothing is held or recorded, and the pace is bounded."""

import json
from collections.abc import Iterator

import anthropic
import pytest

from recorded import Act, RecordedUpstream, Reply
from sidecar import ANTHROPIC_KEY, PROVIDER_KEY, Sidecar
from spendguard_daemon.gateway.counts import BURST

JSON = {"content-type": "application/json", "request-id": "req_1", "set-cookie": "a=b"}
COUNTED = Reply(200, JSON, b'{"input_tokens":14}')
CLAUDE = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]}
GPT = {"model": "gpt-4o-mini", "input": "hi"}


@pytest.fixture(scope="module")
def provider() -> Iterator[RecordedUpstream]:
    with RecordedUpstream() as made:
        yield made


@pytest.fixture
def upstream(provider: RecordedUpstream) -> RecordedUpstream:
    """A provider that counts, and has heard nothing yet."""
    provider.director = lambda _: Act(reply=COUNTED)
    provider.received.clear()
    return provider


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provider: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon for all; each test has agents of its own."""
    with Sidecar(tmp_path_factory.mktemp("counts") / "home", provider.base_url) as made:
        yield made


@pytest.fixture
def sidecar(running: Sidecar, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon; whatever was counted, no money moved and no call was recorded."""
    yield running
    kinds = {record["t"] for record in running.journal()}
    assert not kinds & {"hold", "sent", "refused"}


@pytest.mark.parametrize(
    ("path", "body", "sent_to"),
    [
        ("/v1/messages/count_tokens", CLAUDE, "/v1/messages/count_tokens"),
        ("/anthropic/v1/messages/count_tokens?beta=true", CLAUDE, "/v1/messages/count_tokens"),
        ("/v1/agents/{agent}/runs/r/anthropic/messages/count_tokens", CLAUDE, "/v1/messages/count_tokens"),
        ("/v1/responses/input_tokens", GPT, "/v1/responses/input_tokens"),
        ("/openai/v1/responses/input_tokens", GPT, "/v1/responses/input_tokens"),
    ],
)
def test_the_question_goes_out_as_it_came(
    sidecar: Sidecar, upstream: RecordedUpstream, path: str, body: dict[str, object], sent_to: str
) -> None:
    agent_id = sidecar.agent(cents=None)
    raw = json.dumps(body, indent=1).encode()
    answer = sidecar.send(path.format(agent=agent_id), agent_id, raw, **{"x-api-key": "sk-of-the-client"})
    assert (answer.status_code, answer.content) == (200, COUNTED.body)
    assert answer.headers["x-spendguard-source"] == "provider"
    assert "set-cookie" not in answer.headers
    (received,) = upstream.received
    assert (received.method, received.path, received.body) == ("POST", sent_to, raw)
    sent = {name.lower(): value for name, value in received.headers.items()}
    key = PROVIDER_KEY if "responses" in path else ANTHROPIC_KEY
    assert key in (sent.get("x-api-key"), sent.get("authorization", "").removeprefix("Bearer "))
    assert "sk-of-the-client" not in str(sent)
    assert "x-cynsta-agent-id" not in sent


def test_a_frozen_agent_without_a_budget_may_count(sidecar: Sidecar) -> None:
    agent_id = sidecar.agent(cents=None)
    sidecar.control("PATCH", f"/v1/agents/{agent_id}", {"frozen": True})
    assert sidecar.send("/v1/messages/count_tokens", agent_id, CLAUDE).status_code == 200


def test_strangers_and_mock_agents_may_not(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    mock, gone = sidecar.agent(mock=True), sidecar.agent()
    sidecar.control("DELETE", f"/v1/agents/{gone}")
    for agent_id, code in ((mock, "mock_only"), (gone, "agent_not_found"), ("", "missing_agent")):
        answer = sidecar.send("/v1/messages/count_tokens", agent_id, CLAUDE)
        assert answer.json()["spendguard"]["code"] == code
        assert answer.json()["type"] == "error"
    assert upstream.received == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages/count_tokens", {**CLAUDE, "surprise": 1}),
        ("/v1/messages/count_tokens", b'{"model":"claude-sonnet-4-5","model":"x"}'),
        ("/v1/responses/input_tokens", {**GPT, "surprise": 1}),
        ("/v1/responses/input_tokens", {**GPT, "previous_response_id": "resp_of_another"}),
        ("/v1/responses/input_tokens", [1]),
        ("/v1/responses/input_tokens?beta=true", GPT),
        ("/v1/messages/count_tokens?beta=false", CLAUDE),
    ],
)
def test_a_body_is_read_strictly_first(
    sidecar: Sidecar, upstream: RecordedUpstream, path: str, body: object
) -> None:
    assert sidecar.send(path, sidecar.agent(), body).status_code == 400
    assert upstream.received == []


def test_the_pace_of_an_agent_is_bounded(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    hasty, other = sidecar.agent(), sidecar.agent()
    answers = [sidecar.send("/v1/messages/count_tokens", hasty, CLAUDE) for _ in range(BURST * 3)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert len(upstream.received) == len(answers) - len(refused) >= BURST
    assert refused[0].json()["spendguard"]["code"] == "rate_limited"
    assert refused[0].headers["x-should-retry"] == "true"
    assert int(refused[0].headers["retry-after-ms"]) <= 1000
    assert sidecar.send("/v1/messages/count_tokens", other, CLAUDE).status_code == 200


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_is_not_repeated(sidecar: Sidecar, upstream: RecordedUpstream, status: int) -> None:
    upstream.director = lambda _: Act(reply=Reply(status, JSON, f'{{"key":"{ANTHROPIC_KEY}"}}'.encode()))
    answer = sidecar.send("/v1/messages/count_tokens", sidecar.agent(), CLAUDE)
    told = answer.json()
    assert (answer.status_code, told["spendguard"]["code"]) == (503, "provider_key_rejected")
    assert told["type"] == "error"
    assert ANTHROPIC_KEY not in answer.text


def test_errors_pass_without_our_key(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    upstream.director = lambda _: Act(reply=Reply(400, JSON, f'{{"key":"{ANTHROPIC_KEY}"}}'.encode()))
    answer = sidecar.send("/v1/messages/count_tokens", sidecar.agent(), CLAUDE)
    assert (answer.status_code, answer.text) == (400, '{"key":"[redacted]"}')


def test_a_lost_provider_is_told(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    upstream.director = lambda _: Act(reset=True)
    answer = sidecar.send("/v1/messages/count_tokens", sidecar.agent(), CLAUDE)
    assert (answer.status_code, answer.json()["spendguard"]["code"]) == (502, "upstream_unreachable")
    assert "nothing was charged" in answer.json()["detail"]


def test_anthropics_sdk_counts(sidecar: Sidecar) -> None:
    client = anthropic.Anthropic(
        base_url=sidecar.base, api_key="not-used", default_headers={"x-cynsta-agent-id": sidecar.agent()}
    )
    asked = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]}
    assert client.messages.count_tokens(**asked).input_tokens == 14  # type: ignore[arg-type]
