"""Idempotency-Keys over HTTP: a request that is sent again is neither paid nor granted twice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from recorded import Act, RecordedUpstream
from replies import refusal as refusal_of_provider
from sidecar import Sidecar

BODY = {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}

Shared = tuple[Sidecar, RecordedUpstream]


@pytest.fixture
def upstream() -> Iterator[RecordedUpstream]:
    """A provider."""
    with RecordedUpstream() as upstream:
        yield upstream


@pytest.fixture
def sidecar(tmp_path: Path, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon."""
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """One daemon, and its provider, for tests that look at their own agents alone."""
    with (
        RecordedUpstream() as upstream,
        Sidecar(tmp_path_factory.mktemp("keys") / "home", upstream.base_url) as running,
    ):
        yield running, upstream


def keyed(sidecar: Sidecar, agent_id: str, key: str = "k-1", **changes: Any) -> httpx.Response:
    """Send a chat call with a key."""
    return sidecar.chat(agent_id, BODY | changes, **{"idempotency-key": key})


def refusal(answer: httpx.Response) -> dict[str, Any]:
    """Return what a refusal by 409 says."""
    assert answer.status_code == 409, answer.text
    assert answer.headers["x-spendguard-source"] == "spendguard"
    said: dict[str, Any] = answer.json()["spendguard"]
    return said


def test_a_call_made_again_is_not_forwarded_again_also_after_a_restart(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """It hears which call was first and what that cost; the key itself never left."""
    agent_id = sidecar.agent(cents=500)
    first = keyed(sidecar, agent_id)
    assert first.status_code == 200
    for _ in range(2):
        answer = keyed(sidecar, agent_id)
        said = refusal(answer)
        assert said["code"] == "idempotency_done"
        assert said["first_call_id"] == first.headers["x-spendguard-call-id"]
        assert said["cost_usd"] == first.headers["x-spendguard-cost-usd"]
        assert answer.headers["x-should-retry"] == "false"
        assert refusal(keyed(sidecar, agent_id, max_tokens=51))["code"] == "idempotency_mismatch"
        sidecar.stop()
        sidecar.start()
    assert upstream.arrived == 1
    assert "idempotency-key" not in {name.lower() for name in upstream.received[0].headers}
    assert keyed(sidecar, agent_id, "k-2").status_code == 200
    assert keyed(sidecar, sidecar.agent(cents=500)).status_code == 200


def test_a_call_made_again_while_the_first_is_in_flight_is_told_to_wait(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """And a call whose outcome is unknown was paid, so its key stays bound."""
    agent_id = sidecar.agent(cents=500)
    upstream.hold_open()
    with (
        httpx.Client(base_url=sidecar.base, timeout=0.5, trust_env=False, verify=False) as impatient,
        pytest.raises(httpx.TimeoutException),
    ):
        impatient.post(
            "/v1/chat/completions",
            content=json.dumps(BODY).encode(),
            headers={
                "content-type": "application/json",
                "x-cynsta-agent-id": agent_id,
                "idempotency-key": "k-1",
            },
        )
    answer = keyed(sidecar, agent_id)
    said = refusal(answer)
    assert said["code"] == "idempotency_in_flight"
    assert (answer.headers["x-should-retry"], answer.headers["retry-after-ms"]) == ("true", "1000")
    (held,) = [call for call in sidecar.calls(agent_id) if call["state"] == "held"]
    assert said["first_call_id"] == held["call_id"]
    sidecar.control("POST", f"/v1/calls/{held['call_id']}/abort")
    upstream.release()
    said = refusal(keyed(sidecar, agent_id))
    assert (said["code"], said["cost_usd"]) == ("idempotency_done", held["hold_usd"])


def test_a_call_that_was_provably_not_billed_may_be_made_again(
    shared: Shared,
) -> None:
    """A 429 of the provider gives the key back, and so does a refusal of ours."""
    sidecar, upstream = shared
    agent_id = sidecar.agent(cents=500)
    upstream.script(Act(reply=refusal_of_provider(429, "slow down")))
    assert keyed(sidecar, agent_id).status_code == 429
    assert keyed(sidecar, agent_id, max_tokens=51).status_code == 200
    poor = sidecar.agent(cents=0)
    assert keyed(sidecar, poor).status_code == 402
    sidecar.control("POST", f"/v1/agents/{poor}/budget", {"hard_limit_cents": 100, "topup_cents": 100})
    assert keyed(sidecar, poor).status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "k" * 129, "é"])
def test_a_key_that_is_none_is_refused(shared: Shared, key: str) -> None:
    """Before anything is held, and for operators alike."""
    sidecar, _ = shared
    agent_id = sidecar.agent(cents=500)
    raw = [(b"x-cynsta-agent-id", agent_id.encode()), (b"idempotency-key", key.encode())]
    answer = sidecar.http.post("/v1/chat/completions", json=BODY, headers=raw)
    assert (answer.status_code, answer.json()["spendguard"]["path"]) == (400, "idempotency-key")
    headers = [*sidecar.admin.items(), ("idempotency-key", "a"), ("idempotency-key", "b")]
    answer = sidecar.http.post("/v1/agents", json={}, headers=headers)
    assert answer.status_code == 400


def applied(cents: int) -> dict[str, Any]:
    """What a grant's answer says of a top-up that fitted whole."""
    exact = {"topup_applied_usd": f"{cents // 100}.00", "topup_ignored_usd": "0.00"}
    return {"topup_applied_cents": cents, "topup_ignored_cents": 0, **exact}


def operator(sidecar: Sidecar, path: str, body: object, key: str = "op-1") -> Any:
    """Do a control POST with a key; return its answer."""
    answer = sidecar.http.post(path, json=body, headers=sidecar.admin | {"idempotency-key": key})
    if answer.status_code == 200:
        return answer.json()
    return answer.status_code, answer.json()["spendguard"]["code"]


def test_an_operators_request_made_again_is_carried_out_once_and_answered_twice(sidecar: Sidecar) -> None:
    """Agents, grants, top-ups, the daemon's cap, corrections, runs; also after a restart."""
    agent = operator(sidecar, "/v1/agents", {"name": "once"})
    agent_id = agent["agent_id"]
    budget = f"/v1/agents/{agent_id}/budget"
    requests: list[tuple[str, object]] = [
        ("/v1/agents", {"name": "once"}),
        (budget, {"hard_limit_cents": 900, "topup_cents": 300}),
        (f"{budget}/topup", {"topup_cents": 700}),
        ("/v1/daemon/budget", {"hard_limit_cents": 5_000, "topup_cents": 1_000}),
        ("/v1/daemon/budget/topup", {"topup_cents": 50}),
        (f"/v1/agents/{agent_id}/runs", {}),
    ]
    first = [operator(sidecar, path, body) for path, body in requests]
    assert first[0] == agent
    assert (first[1]["topup_applied_cents"], first[2]["topup_applied_cents"]) == (300, 600)
    assert first[2]["topup_ignored_cents"] == 100
    sidecar.kill()
    sidecar.start()
    again = [operator(sidecar, path, body) for path, body in requests]
    assert len(sidecar.control("GET", "/v1/agents")["agents"]) == 1
    assert again[0] == agent
    # The budget as it is now, with what the grant gave when it was made.
    assert again[1] == first[2] | applied(300)
    cap = first[4] | applied(1_000)
    assert again[2:5] == [first[2], cap, first[4]]
    assert again[5]["run_id"] == first[5]["run_id"]
    assert operator(sidecar, f"{budget}/topup", {"topup_cents": 701}) == (409, "idempotency_mismatch")
    grants = [record for record in sidecar.journal() if record["t"] == "budget_set"]
    assert len(grants) == 2
    other = sidecar.agent(cents=None)
    assert operator(sidecar, f"/v1/agents/{other}/runs", {})["run_id"] != first[5]["run_id"]


def test_a_correction_made_again_does_not_undo_a_later_one(shared: Shared) -> None:
    """Set-to is harmless to repeat, but not after somebody has set it to something else."""
    sidecar, _ = shared
    agent_id = sidecar.agent(cents=500)
    call_id = keyed(sidecar, agent_id).headers["x-spendguard-call-id"]
    path = f"/v1/calls/{call_id}/adjust"
    operator(sidecar, path, {"cost_usd": "0.01"}, "first")
    operator(sidecar, path, {"cost_usd": "0.02"}, "second")
    assert operator(sidecar, path, {"cost_usd": "0.01"}, "first")["cost_usd"] == "0.02"
