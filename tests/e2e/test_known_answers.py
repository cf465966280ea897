"""`previous_response_id`: only an agent's own answers, held at what they were, remembered after a restart.

Of OpenAI and of xAI, each under the bare root, where the model says whose it is.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from recorded import Act, Received, RecordedUpstream, Reply
from sidecar import Sidecar

WINDOWS = {"gpt-4o-mini": 128_000, "grok-4.3": 1_000_000}


@pytest.fixture(params=WINDOWS)
def model(request: pytest.FixtureRequest) -> str:
    """One model of each provider that keeps answers."""
    name: str = request.param
    return name


def answer(body: dict[str, Any], answer_id: str, *, usage: bool = True) -> Reply:
    """Return what the responses endpoint says, under this id."""
    counts = {
        "input_tokens": 40,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 49,
    }
    text = {"type": "output_text", "text": "hello", "annotations": []}
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant"}
    told = {
        "id": answer_id,
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "output": [{**message, "content": [text]}],
        "service_tier": "default",
        "usage": counts if usage else None,
    }
    return Reply(200, {"content-type": "application/json"}, json.dumps(told).encode())


@pytest.fixture
def upstream() -> Iterator[RecordedUpstream]:
    """A provider that numbers its answers; asked by `user: torn` it reports no usage."""

    def director(received: Received) -> Act:
        body = json.loads(received.body)
        number = len(made.received)
        return Act(reply=answer(body, f"resp_{number}", usage=body.get("user") != "torn"))

    with RecordedUpstream() as made:
        made.director = director
        yield made


def ask(sidecar: Sidecar, agent_id: str, model: str, **fields: object) -> httpx.Response:
    body = {"model": model, "input": "hi", "max_output_tokens": 100, **fields}
    return sidecar.send("/v1/responses", agent_id, body)


def test_an_agent_goes_on_from_its_own_answer(tmp_path: Path, upstream: RecordedUpstream, model: str) -> None:
    """Held at what the answer read and wrote, beside the new bytes; not at the window."""
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent_id = sidecar.agent()
        first = ask(sidecar, agent_id, model)
        assert first.status_code == 200, first.text
        bound = sidecar.call_of(first)["input_tokens_bound"]
        second = ask(sidecar, agent_id, model, previous_response_id=first.json()["id"])
        assert second.status_code == 200, second.text
        held = sidecar.call_of(second)
        assert held["rung"] == "bytes"
        assert bound + 49 <= held["input_tokens_bound"] < bound + 49 + 100
        sidecar.stop()  # a settlement becomes durable with the next record
        settled = [record for record in sidecar.journal() if record["t"] == "settle"]
        assert [record["answer_id"] for record in settled] == [first.json()["id"], second.json()["id"]]


def test_it_is_remembered_across_kill_and_restart(
    tmp_path: Path, upstream: RecordedUpstream, model: str
) -> None:
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent_id = sidecar.agent()
        first = ask(sidecar, agent_id, model)
        ask(sidecar, agent_id, model)
        sidecar.kill()
        sidecar.start()
        again = ask(sidecar, agent_id, model, previous_response_id=first.json()["id"])
        assert sidecar.call_of(again)["rung"] == "bytes"


def test_another_agents_answer_is_refused_unforwarded(
    tmp_path: Path, upstream: RecordedUpstream, model: str
) -> None:
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        mine, other = sidecar.agent(), sidecar.agent()
        first = ask(sidecar, mine, model).json()["id"]
        before = len(upstream.received)
        for agent_id, answer_id in ((other, first), (mine, "resp_unheard_of")):
            refused = ask(sidecar, agent_id, model, previous_response_id=answer_id)
            told = refused.json()["spendguard"]
            assert (refused.status_code, told["code"]) == (400, "foreign_state")
            assert told["id"] == answer_id
            assert "server_state" in told["setting"]
            assert refused.headers["x-should-retry"] == "false"
        assert len(upstream.received) == before
        assert "resp_unheard_of" not in json.dumps([r for r in sidecar.journal() if r["t"] == "refused"])


def test_an_answer_without_usage_is_held_at_the_window(
    tmp_path: Path, upstream: RecordedUpstream, model: str
) -> None:
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent_id = sidecar.agent()
        torn = ask(sidecar, agent_id, model, user="torn")
        assert sidecar.call_of(torn)["state"] == "settled_worst"
        again = ask(sidecar, agent_id, model, previous_response_id=torn.json()["id"])
        assert again.status_code == 200, again.text
        held = sidecar.call_of(again)
        assert (held["rung"], held["input_tokens_bound"]) == ("window", WINDOWS[model])


def test_a_policy_refuses_all_state(tmp_path: Path, upstream: RecordedUpstream, model: str) -> None:
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent_id = sidecar.agent(policy={"server_state": "refuse"})
        first = ask(sidecar, agent_id, model)
        refused = ask(sidecar, agent_id, model, previous_response_id=first.json()["id"])
        assert refused.status_code == 400
        assert "server_state" in refused.json()["spendguard"]["setting"]
