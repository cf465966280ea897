"""`previous_response_id` end to end: what an earlier answer adds to a hold, and when only the window will do.

And the other thing that no budget ends: an agent whose calls the provider keeps refusing.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from recorded import Act, Received, RecordedUpstream, Reply
from sidecar import Sidecar

JSON = {"content-type": "application/json"}
TEXT = "x" * 1_000
READ, WROTE = 700, 40
TEXT_PART = {"type": "input_text", "text": TEXT}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}


def answer(received: Received) -> Act:
    """Answer each request with a response of its own id and the same small usage."""
    body = json.loads(received.body)
    usage = {"input_tokens": READ, "output_tokens": WROTE, "total_tokens": READ + WROTE}
    said = {
        "id": f"resp_{len(received.body)}_{id(received)}",
        "object": "response",
        "status": "completed",
        "model": body["model"],
        "output": [],
        "usage": usage,
    }
    return Act(reply=Reply(200, JSON, json.dumps(said).encode()))


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """A provider that keeps what it has answered."""
    with RecordedUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon in front of it."""
    with Sidecar(tmp_path_factory.mktemp("earlier") / "home", upstream.base_url) as running:
        yield running


@pytest.fixture
def agent(sidecar: Sidecar, upstream: RecordedUpstream) -> str:
    """An agent with money, and a provider that answers it."""
    upstream.director = answer
    return sidecar.agent(cents=100_000)


def ask(sidecar: Sidecar, agent: str, *, after: str = "", model: str = "gpt-5", **fields: Any) -> Any:
    """Send a request, return (the answer's id, its record)."""
    body = {"model": model, "input": TEXT, "max_output_tokens": 64, **fields}
    body |= {"previous_response_id": after} if after else {}
    answered = sidecar.send("/v1/responses", agent, json.dumps(body).encode())
    assert answered.status_code == 200, answered.text
    return answered.json()["id"], sidecar.call_of(answered)


def test_an_earlier_answer_of_the_same_model_adds_what_it_read_and_wrote(
    sidecar: Sidecar, agent: str
) -> None:
    """Also after a restart, and through a chain."""
    first, plain = ask(sidecar, agent)
    second, after_one = ask(sidecar, agent, after=first)
    sidecar.stop()
    sidecar.start()
    _, after_two = ask(sidecar, agent, after=second)
    for record in (after_one, after_two):
        assert record["input_tokens_bound"] == plain["input_tokens_bound"] + READ + WROTE, record


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"model": "gpt-5-mini"}, {}),
        ({"input": [{"role": "user", "content": [TEXT_PART, IMAGE]}]}, {}),
        ({"truncation": "auto"}, {}),
        ({"reasoning": {"context": "current_turn"}}, {}),
        ({}, {"reasoning": {"context": "all_turns"}}),
    ],
    ids=["another model's tokens", "an image", "turns left out", "reasoning left out", "all reasoning back"],
)
def test_where_more_may_come_back_only_the_window_is_held(
    sidecar: Sidecar, agent: str, first: dict[str, Any], then: dict[str, Any]
) -> None:
    """Its usage says little of what the next call will read; and so for all that go on from there."""
    begun, plain = ask(sidecar, agent, **first)
    second, after_one = ask(sidecar, agent, after=begun, **then)
    assert plain["rung"] == "bytes"
    assert after_one["rung"] == "window"
    if not then:
        assert ask(sidecar, agent, after=second)[1]["rung"] == "window"


def test_calls_that_cost_nothing_are_few_enough_for_the_journal(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """A loop on a request that the provider refuses is slowed down; another agent is not."""
    refusal = b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}'
    upstream.director = lambda _: Act(reply=Reply(400, JSON, refusal))
    looping, other = sidecar.agent(cents=1_000), sidecar.agent(cents=1_000)
    body = json.dumps({"model": "gpt-5", "input": "hi", "max_output_tokens": 64}).encode()
    before = len(upstream.received)
    answers = [sidecar.send("/v1/responses", looping, body) for _ in range(160)]
    statuses = [one.status_code for one in answers]
    assert set(statuses[:120]) == {400}
    assert statuses[-1] == 429
    assert statuses.count(400) < 150
    assert len(upstream.received) - before == statuses.count(400)
    last = answers[-1]
    assert last.json()["spendguard"]["code"] == "rate_limited"
    assert last.headers["x-should-retry"] == "true"
    assert 0 < int(last.headers["retry-after-ms"]) <= 60_000
    assert sidecar.send("/v1/responses", other, body).status_code == 400
