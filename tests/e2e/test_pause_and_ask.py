"""A call that waits in its own request: until a top-up, until a lock is let go, until its time is over.

Real daemon, real command line, an unmodified SDK; waits are for conditions, never for a time.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from recorded import RecordedUpstream
from shell import Shell
from sidecar import Sidecar

BODY = {"model": "gpt-4o-mini", "max_tokens": 1000, "messages": [{"role": "user", "content": "hello"}]}
WAIT = "x-spendguard-wait"
PATIENCE_SECONDS = 30


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
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One daemon for tests that look at their own agents alone."""
    with (
        RecordedUpstream() as upstream,
        Sidecar(tmp_path_factory.mktemp("pause") / "home", upstream.base_url) as running,
    ):
        yield running


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Callers beside the test."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def until(what: Callable[[], Any]) -> Any:
    """Return what `what` returns, once it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


def waiting(sidecar: Sidecar, agent_id: str, number: int = 1) -> list[dict[str, Any]]:
    """Return an agent's waiting calls, once there are so many."""
    found: list[dict[str, Any]] = until(
        lambda: (
            len(seen := sidecar.control("GET", f"/v1/agents/{agent_id}")["waiting"]) == number and seen
            if number
            else sidecar.control("GET", f"/v1/agents/{agent_id}")["waiting"] == [] and [None]
        )
    )
    return found


def chat(
    sidecar: Sidecar, agent_id: str, *, run: str = "run", wait: str = "60", **body: Any
) -> httpx.Response:
    """Make a call that waits."""
    return sidecar.chat(agent_id, BODY | body, run=run, **{WAIT: wait})


def test_an_operator_tops_up_and_the_sdk_gets_its_answer_in_the_same_request(
    sidecar: Sidecar, upstream: RecordedUpstream, pool: ThreadPoolExecutor
) -> None:
    """`status` says who waits and the command that helps; run as it stands, it does."""
    shell = Shell(sidecar.home.root).quick
    agent_id = sidecar.agent(cents=0, overflow="refuse", name="asks for money")
    client = OpenAI(
        base_url=f"{sidecar.base}/v1",
        api_key="not-used",
        default_headers={"x-cynsta-agent-id": agent_id, WAIT: "60"},
        max_retries=0,
    )
    sidecar.control("POST", f"/v1/agents/{agent_id}/budget", {"hard_limit_cents": 50, "topup_cents": 0})
    answer = pool.submit(
        client.chat.completions.create,
        model="gpt-4o-mini",
        max_tokens=10_000,
        messages=[{"role": "user", "content": "hello"}],
    )
    (one,) = waiting(sidecar, agent_id)
    assert (one["code"], one["run_id"], one["model"]) == ("insufficient_budget", "default", "gpt-4o-mini")
    assert one["lacking_cents"] == 1
    assert one["since"] < one["until"]
    status = shell.ok("status", "--json")
    assert status.json["calls_waiting"] == 1
    assert status.json["calls_in_flight"] == 0
    assert status.json["waiting"] == [one]
    command = f"spendguard budget topup --agent {agent_id} --amount 1"
    for words in (("agent", "get", agent_id), ("budget", "get", agent_id)):
        assert command in shell.ok(*words).err
    for words in (("status",), ()):  # who see all agents name one by its own name
        ran = shell.ok(*words)
        assert "spendguard budget topup --agent 'asks for money' --amount 1" in ran.out + ran.err
    inside = Shell(sidecar.home.root).quick.ok("agent", "get", agent_id, SPENDGUARD_EXEC="1")
    assert "topup" not in inside.out + inside.err
    assert upstream.arrived == 0
    shell.ok(*command.split()[1:])
    assert answer.result(PATIENCE_SECONDS).choices[0].message.content
    assert waiting(sidecar, agent_id, 0)
    assert WAIT not in {name.lower() for name in upstream.received[0].headers}
    client.close()


def test_the_agents_own_policy_lets_it_wait_and_the_header_wins(
    shared: Sidecar, pool: ThreadPoolExecutor
) -> None:
    """Set and taken back by the command line; 0 refuses at once."""
    shell = Shell(shared.home.root).quick
    agent_id = shared.agent(cents=None, name="unfunded")
    assert shared.chat(agent_id, BODY).status_code == 402
    told = shell.ok("agent", "set", agent_id, "--on-insufficient", "wait", "--wait-seconds", "120").keys
    assert (told["policy.on_insufficient"], told["policy.wait_seconds"]) == ("wait", "120")
    refused = chat(shared, agent_id, wait="0")
    assert (refused.status_code, refused.json()["spendguard"]["code"]) == (402, "budget_not_set")
    assert "waited_seconds" not in refused.json()["spendguard"]
    answer = pool.submit(shared.chat, agent_id, BODY)
    (one,) = waiting(shared, agent_id)
    assert one["code"] == "budget_not_set"
    command = f"spendguard budget set --agent unfunded --limit {one['lacking_cents']}"
    assert command in shell.ok("status").err
    shell.ok(*command.split()[1:])
    assert answer.result(PATIENCE_SECONDS).status_code == 200
    told = shell.ok("agent", "set", agent_id, "--on-insufficient", "inherit").keys
    assert not any(name.startswith("policy.") for name in told)
    assert shell.run("agent", "set", agent_id, "--wait-seconds", "601").code == 2
    made = shell.ok("agent", "create", "--name", "w", "--on-insufficient", "wait", "--wait-seconds", "0").keys
    refused = shared.chat(made["agent_id"], BODY)
    assert refused.json()["spendguard"]["code"] == "budget_not_set"


def test_all_agents_may_wait_by_the_config(tmp_path: Path, upstream: RecordedUpstream) -> None:
    env = {"SPENDGUARD_POLICY_ON_INSUFFICIENT": "wait", "SPENDGUARD_POLICY_WAIT_SECONDS": "1"}
    with Sidecar(tmp_path / "home", upstream.base_url, env=env) as sidecar:
        plain, refusing = sidecar.agent(cents=None), sidecar.agent(cents=None)
        sidecar.control("PATCH", f"/v1/agents/{refusing}", {"policy": {"on_insufficient": "refuse"}})
        assert sidecar.chat(plain, BODY).json()["spendguard"]["waited_seconds"] == 1
        assert "waited_seconds" not in sidecar.chat(refusing, BODY).json()["spendguard"]


@pytest.mark.parametrize("value", ["601", "-1", "1.5", "", "soon", "00001", "1, 2"])
def test_what_is_no_wait_is_refused(shared: Sidecar, value: str) -> None:
    answer = chat(shared, shared.agent(), wait=value)
    assert answer.status_code == 400
    assert answer.json()["spendguard"]["path"] == WAIT
    twice = [("x-cynsta-agent-id", "x"), (WAIT, "1"), (WAIT, "1"), ("content-type", "application/json")]
    answer = shared.http.post("/v1/chat/completions", json=BODY, headers=twice)
    assert answer.json()["spendguard"]["path"] == WAIT


def test_a_lock_is_waited_for_in_order(
    sidecar: Sidecar, upstream: RecordedUpstream, pool: ThreadPoolExecutor
) -> None:
    """The holder ends, the first that waits gets in, then the second."""
    agent_id = sidecar.agent(cents=5000)
    upstream.hold_open()
    holder = pool.submit(chat, sidecar, agent_id, run="A")
    upstream.wait_arrived(1)
    waits = []
    for number, run in enumerate(("B", "C"), 1):
        waits.append(pool.submit(chat, sidecar, agent_id, run=run))
        found = waiting(sidecar, agent_id, number)
    assert [(one["run_id"], one["code"]) for one in found] == [("B", "budget_locked"), ("C", "budget_locked")]
    said = Shell(sidecar.home.root).quick.ok("status")
    assert f"spendguard agent set agent-{agent_id[:8]} --concurrency shared" in said.err
    upstream.release()
    for answer in (holder, *waits):
        assert answer.result(PATIENCE_SECONDS).status_code == 200
    runs = [record["run_id"] for record in sidecar.journal() if record["t"] == "hold"]
    assert runs == ["A", "B", "C"]


def test_a_top_up_serves_in_order(sidecar: Sidecar, pool: ThreadPoolExecutor) -> None:
    """As far as the money goes."""
    agent_id = sidecar.agent(cents=None, overflow="refuse", concurrency="shared")
    calls: list[Future[httpx.Response]] = []
    for number in range(3):
        calls.append(pool.submit(chat, sidecar, agent_id, run=f"r{number}", max_tokens=16_000))
        waiting(sidecar, agent_id, number + 1)
    sidecar.control("POST", f"/v1/agents/{agent_id}/budget", {"hard_limit_cents": 50, "topup_cents": 2})
    assert [call.result(PATIENCE_SECONDS).status_code for call in calls] == [200] * 3
    runs = [record["run_id"] for record in sidecar.journal() if record["t"] == "hold"]
    assert runs == ["r0", "r1", "r2"]


def test_the_end_of_the_wait_is_a_402_that_is_not_worth_another_try(shared: Sidecar) -> None:
    """Journaled as any refusal, with how long it waited."""
    agent_id = shared.agent(cents=0)
    answer = chat(shared, agent_id, wait="1")
    assert answer.status_code == 402
    assert answer.headers["x-should-retry"] == "false"
    said = answer.json()["spendguard"]
    assert (said["code"], said["waited_seconds"]) == ("insufficient_budget", 1)
    assert "topup" not in answer.text
    until(lambda: ("refused", agent_id) in {(r["t"], r.get("agent_id")) for r in shared.journal()})


def test_a_lock_that_is_kept_is_a_409_as_ever(
    sidecar: Sidecar, upstream: RecordedUpstream, pool: ThreadPoolExecutor
) -> None:
    agent_id = sidecar.agent(cents=5000)
    upstream.hold_open()
    holder = pool.submit(chat, sidecar, agent_id, run="A")
    upstream.wait_arrived(1)
    answer = chat(sidecar, agent_id, run="B", wait="1")
    assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "true")
    assert answer.json()["spendguard"]["waited_seconds"] >= 1
    upstream.release()
    assert holder.result(PATIENCE_SECONDS).status_code == 200


def test_a_call_that_was_read_by_other_settings_is_not_sent(
    sidecar: Sidecar, upstream: RecordedUpstream, pool: ThreadPoolExecutor
) -> None:
    """An operator forbids hosted tools while one waits: it is sent back, and the SDK sends it anew."""
    agent_id = sidecar.agent(cents=0, policy={"hosted_tools": "allow"})
    body = {
        "model": "gpt-4o-mini",
        "max_output_tokens": 100,
        "input": "hi",
        "tools": [{"type": "web_search"}],
    }
    headers = {"x-cynsta-agent-id": agent_id, WAIT: "60"}
    call = pool.submit(sidecar.http.post, "/v1/responses", json=body, headers=headers)
    waiting(sidecar, agent_id)
    sidecar.control("PATCH", f"/v1/agents/{agent_id}", {"policy": {"hosted_tools": "refuse"}})
    sidecar.control("POST", f"/v1/agents/{agent_id}/budget", {"hard_limit_cents": 5000, "topup_cents": 5000})
    answer = call.result()
    assert (answer.status_code, answer.json()["spendguard"]["code"]) == (409, "policy_changed")
    assert answer.headers["x-should-retry"] == "true"
    assert sidecar.http.post("/v1/responses", json=body, headers=headers).status_code == 400
    assert upstream.received == []
    assert sidecar.budget(agent_id)["held_usd"] == "0.00"


def test_a_client_that_leaves_takes_its_call_out(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A later top-up finds nobody."""
    agent_id = sidecar.agent(cents=0)
    with httpx.Client(
        base_url=sidecar.base, timeout=httpx.Timeout(10, read=0.5), trust_env=False, verify=False
    ) as client:
        headers = {"x-cynsta-agent-id": agent_id, WAIT: "600"}
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/chat/completions", json=BODY, headers=headers)
    waiting(sidecar, agent_id, 0)
    sidecar.control("POST", f"/v1/agents/{agent_id}/budget", {"hard_limit_cents": 500, "topup_cents": 500})
    assert sidecar.budget(agent_id)["locked_cents"] == 0
    assert upstream.arrived == 0
    assert not [record for record in sidecar.journal() if record["t"] in ("hold", "refused")]


@pytest.mark.parametrize("ends", ["freeze", "delete", "stop"])
def test_what_no_top_up_mends_ends_the_wait(sidecar: Sidecar, pool: ThreadPoolExecutor, ends: str) -> None:
    """A freeze, a deletion, and the stop of the daemon itself, which does not wait for those that wait."""
    agent_id = sidecar.agent(cents=0)
    answer = pool.submit(chat, sidecar, agent_id, wait="600")
    waiting(sidecar, agent_id)
    if ends == "freeze":
        sidecar.control("PATCH", f"/v1/agents/{agent_id}", {"frozen": True, "reason": "mad"})
    elif ends == "delete":
        sidecar.control("DELETE", f"/v1/agents/{agent_id}")
    else:
        sidecar.control("POST", "/v1/daemon/shutdown", {})
    status, code = {
        "freeze": (402, "agent_frozen"),
        "delete": (404, "agent_not_found"),
        "stop": (503, "shutting_down"),
    }[ends]
    refused = answer.result(PATIENCE_SECONDS)
    assert (refused.status_code, refused.json()["spendguard"]["code"]) == (status, code)


def test_a_wait_does_not_outlive_the_daemon(
    sidecar: Sidecar, upstream: RecordedUpstream, pool: ThreadPoolExecutor
) -> None:
    """After kill -9 nothing of it is left: no hold, no charge; the call can be made again."""
    agent_id = sidecar.agent(cents=0)
    answer = pool.submit(chat, sidecar, agent_id, wait="600")
    waiting(sidecar, agent_id)
    sidecar.kill()
    with pytest.raises(httpx.TransportError):
        answer.result(PATIENCE_SECONDS)
    sidecar.start()
    sidecar.control("POST", f"/v1/agents/{agent_id}/budget", {"hard_limit_cents": 500, "topup_cents": 500})
    assert sidecar.control("GET", "/v1/status")["calls_waiting"] == 0
    assert sidecar.budget(agent_id)["settled_usd"] == "0.00"
    assert chat(sidecar, agent_id).status_code == 200
