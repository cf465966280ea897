"""The sidecar over HTTP when things go on at once or go wrong: leaving clients, lost providers, locks, verbs.

Everything is real: a daemon process, a provider on a socket, raw clients. Nothing waits by the clock; what
another process does is polled for, up to a deadline.
"""

import asyncio
import json
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from raw_http import Answer, Leave, request, send
from recorded import Act, Received, RecordedUpstream, Reply, load
from sidecar import PROVIDER_KEY, Sidecar
from spendguard_daemon.gateway.routes import control_patterns
from spendguard_daemon.runtime import is_proof
from until import until

CHAT = "/v1/chat/completions"
STREAM = load("09-openai-chat-stream-tools-usage")
STREAM_COST = "0.00001695"  # 53 tokens in at 150 nUSD, 15 out at 600
ENDS = {"settle", "settle_worst", "void", "overrun"}
HELLO: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hello"}],
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon whose provider may be silent for one second, and held money be waited for as long."""
    env = {"SPENDGUARD_LIMITS_IDLE_SECONDS": "1", "SPENDGUARD_POLICY_HELD_WAIT_SECONDS": "1"}
    with Sidecar(tmp_path_factory.mktemp("surface") / "home", upstream.base_url, env=env) as running:
        yield running


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon with the deadlines that it has by default."""
    with Sidecar(tmp_path_factory.mktemp("patient") / "home", upstream.base_url) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(upstream: RecordedUpstream) -> Iterator[None]:
    """An upstream that answers at once, before and after each test."""
    upstream.director = lambda _: None
    upstream.received.clear()
    yield
    upstream.release()
    upstream.resume()


def chat(
    sidecar: Sidecar, agent: str, body: bytes | dict[str, Any] | None = None, run: str | None = None
) -> bytes:
    """Return a chat call as it goes over the wire."""
    raw = body if isinstance(body, bytes) else json.dumps(body or HELLO).encode()
    headers = {"x-cynsta-agent-id": agent, **({"x-cynsta-run-id": run} if run else {})}
    return request(sidecar.port, CHAT, headers, raw)


async def ask(
    sidecar: Sidecar, agent: str, body: bytes | dict[str, Any] | None = None, run: str | None = None
) -> Answer:
    """Make a chat call; return its answer."""
    answer = await send(sidecar.port, chat(sidecar, agent, body, run))
    assert answer is not None
    return answer


async def eventually(look: Any) -> Any:
    """Poll in a thread, so that this loop's own clients go on."""
    return await asyncio.to_thread(until, look)


def the_call(sidecar: Sidecar, agent: str, state: str) -> Any:
    """Return a look for an agent's newest call in a state."""

    def look() -> dict[str, Any] | None:
        newest = sidecar.calls(agent)[:1]
        return newest[0] if newest and newest[0]["state"] == state else None

    return look


def ends(sidecar: Sidecar, call_id: str) -> list[str]:
    """Return the terminal records of a call, once there is one."""
    return [r["t"] for r in sidecar.journal() if r.get("call_id") == call_id and r["t"] in ENDS]


def key_in(received: Received) -> str:
    """Return the key that the upstream got."""
    return {name.lower(): value for name, value in received.headers.items()}["authorization"]


def is_idle(sidecar: Sidecar) -> bool:
    """Tell whether no call is in flight."""
    return bool(sidecar.control("GET", "/v1/status")["calls_in_flight"] == 0)


# -- clients that leave -------------------------------------------------------------------------------------


@pytest.mark.parametrize("received_bytes", [1, 200, 700, 1500])
async def test_a_client_that_leaves_in_mid_stream(
    patient: Sidecar, upstream: RecordedUpstream, received_bytes: int
) -> None:
    """The lock is free at once, the money stays held; upstream is drained, and its usage charged, once."""
    agent = patient.agent()
    upstream.script(Act(pause_after=1_200, chunk_bytes=100))
    raw = chat(patient, agent, STREAM.request_body, "leaver")
    assert await send(patient.port, raw, Leave(after_received=received_bytes)) is None
    budget = await eventually(
        lambda: (now := patient.budget(agent))["locked_run_id"] is None and now["held_usd"] != "0.00" and now
    )
    assert budget["remaining_usd"] == "50.00"
    assert budget["locked_cents"] > 0
    other = await ask(patient, agent, run="other")
    assert other.status == 200
    (left,) = [call for call in patient.calls(agent) if call["run_id"] == "leaver"]
    assert left["state"] == "held"
    upstream.resume()
    done = await eventually(
        lambda: (call := patient.control("GET", f"/v1/calls/{left['call_id']}"))["state"] != "held" and call
    )
    assert (done["state"], done["cost_usd"]) == ("settled", STREAM_COST)
    assert await eventually(lambda: ends(patient, left["call_id"])) == ["settle"]
    assert patient.budget(agent)["held_usd"] == "0.00"
    assert patient.warnings() == []


async def test_a_client_that_leaves_before_the_head(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """A plain call whose client is gone when the answer comes is charged by its usage."""
    agent, before = patient.agent(), upstream.arrived
    upstream.hold_open()
    leaving = asyncio.create_task(ask(patient, agent))
    await asyncio.to_thread(upstream.wait_arrived, before + 1)
    assert patient.budget(agent)["locked_run_id"] == "default"
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await eventually(lambda: patient.budget(agent)["locked_run_id"] is None)
    upstream.release()
    call = await eventually(the_call(patient, agent, "settled"))
    assert await eventually(lambda: ends(patient, call["call_id"])) == ["settle"]


async def test_a_client_that_leaves_while_it_sends(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """A request that never came whole is no call."""
    agent = patient.agent()
    raw = chat(patient, agent)
    for count in (10, len(raw) - 50, len(raw) - 1):
        assert await send(patient.port, raw[:count], Leave(after_sent=count)) is None
    assert (await ask(patient, agent)).status == 200
    assert len(upstream.received) == 1
    assert [call["state"] for call in patient.calls(agent)] == ["settled"]


async def test_a_client_that_takes_nothing(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A client that does not read counts as gone after the idle time; its call is drained and charged."""
    agent = sidecar.agent()
    event = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 60_000 + b'"}}],"usage":null}\n\n'
    usage = b'{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10}'
    end = b'data: {"choices":[],"usage":' + usage + b"}\n\ndata: [DONE]\n\n"
    headers = {"content-type": "text/event-stream"}
    upstream.script(Act(reply=Reply(200, headers, event * 300 + end), chunk_bytes=65_536))
    with socket.create_connection(("127.0.0.1", sidecar.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(chat(sidecar, agent, {**HELLO, "stream": True}))
        call = await eventually(the_call(sidecar, agent, "settled"))
    assert call["cost_usd"] == "0.00000375"  # 5 at 150 and 5 at 600 nUSD


async def test_a_client_that_takes_nothing_lets_go_of_the_lock(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """Connected but deaf is as good as gone: the call keeps its hold, not its agent's lock."""
    agent = sidecar.agent()
    event = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 60_000 + b'"}}],"usage":null}\n\n'
    headers = {"content-type": "text/event-stream"}
    act = Act(reply=Reply(200, headers, event * 300), chunk_bytes=65_536, pause_after=290 * len(event))
    upstream.script(act)
    with socket.create_connection(("127.0.0.1", sidecar.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(chat(sidecar, agent, {**HELLO, "stream": True}, "deaf"))
        await eventually(lambda: sidecar.budget(agent)["locked_run_id"] == "deaf")
        budget = await eventually(
            lambda: (
                (now := sidecar.budget(agent))["locked_run_id"] is None and now["held_usd"] != "0.00" and now
            )
        )
    assert budget["settled_usd"] == "0.00"


async def test_a_mock_agent_spends_nothing_real(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """It finds the mock models on every root, and a real model is not for it."""
    agent = patient.agent(mock=True)
    answer = await ask(patient, agent)
    assert (answer.status, answer.json()["spendguard"]["code"]) == (403, "mock_only")
    raw = json.dumps({**HELLO, "model": "mock-small"}).encode()
    for path in (CHAT, f"/openai{CHAT}", f"/v1/agents/{agent}/runs/default/openai/chat/completions"):
        mocked = await send(patient.port, request(patient.port, path, {"x-cynsta-agent-id": agent}, raw))
        assert mocked is not None
        assert mocked.status == 200
    assert upstream.received == []


async def test_a_stranger_is_refused_before_its_body_is_read(patient: Sidecar) -> None:
    """An unknown agent cannot make the sidecar keep 32 MiB for it: it is answered on its headers alone."""
    head = request(patient.port, CHAT, {"x-cynsta-agent-id": "nobody"}, b"x" * 1000)[:-1000]
    answer = await send(patient.port, head, Leave(answered=True))
    assert answer is not None
    assert (answer.status, answer.json()["spendguard"]["code"]) == (404, "agent_not_found")


# -- providers that are lost --------------------------------------------------------------------------------


def assert_worst(sidecar: Sidecar, agent: str, answer: Answer | None = None) -> dict[str, Any]:
    """The newest call was charged its hold, is listed as unconfirmed, and ended once."""
    call: dict[str, Any] = until(the_call(sidecar, agent, "settled_worst"))
    assert call["cost_usd"] == call["hold_usd"] != "0.00"
    assert until(lambda: ends(sidecar, call["call_id"])) == ["settle_worst"]
    budget = sidecar.budget(agent)
    assert (budget["settled_usd"], budget["held_usd"]) == (call["hold_usd"], "0.00")
    if answer is not None:
        facts = answer.json()["spendguard"]
        assert facts["call_id"] == call["call_id"] == answer.headers["x-spendguard-call-id"]
        assert facts["charged_usd"] == call["hold_usd"]
        assert (facts["agent_id"], facts["run_id"]) == (agent, "default")
        assert answer.headers["x-should-retry"] == "true"  # another worst case fits
    return call


async def test_a_status_that_is_none_is_not_passed_on(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """999 says nothing that a client could read: our own 502, and the hold."""
    agent = patient.agent()
    upstream.script(Act(reply=Reply(999, {"content-type": "application/json"}, b"{}")))
    answer = await ask(patient, agent)
    assert (answer.status, answer.json()["spendguard"]["code"]) == (502, "upstream_failed")
    assert_worst(patient, agent, answer)


async def test_an_unreachable_provider_costs_nothing(tmp_path: Path) -> None:
    """No connection, no byte sent: 502, void, retry."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with Sidecar(tmp_path / "home", url) as sidecar:
            agent = sidecar.agent()
            answer = await ask(sidecar, agent)
            assert (answer.status, answer.json()["spendguard"]["code"]) == (502, "upstream_unreachable")
            assert "nothing was charged" in answer.json()["detail"]
            assert answer.headers["x-should-retry"] == "true"
            (call,) = sidecar.calls(agent)
            assert (call["state"], call["cost_usd"], call["http_status"]) == ("voided", "0.00", None)
            assert sidecar.budget(agent)["remaining_usd"] == "50.00"
            test = sidecar.control("POST", "/v1/providers/openai/test")
            assert (test["ok"], test["http_status"]) == (False, None)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reset_before_the_head(sidecar: Sidecar, upstream: RecordedUpstream, *, stream: bool) -> None:
    """The request was out: nobody knows, so 502 and the hold; and it was sent once only."""
    agent = sidecar.agent()
    upstream.script(Act(reset=True))
    answer = await ask(sidecar, agent, {**HELLO, "stream": stream})
    assert (answer.status, answer.json()["spendguard"]["code"]) == (502, "upstream_failed")
    assert_worst(sidecar, agent, answer)
    assert len(upstream.received) == 1


async def test_a_plain_answer_cut_in_mid_body(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A torn answer is not passed on as a whole one."""
    agent = sidecar.agent()
    upstream.script(Act(cut_after=40))
    answer = await ask(sidecar, agent)
    assert (answer.status, answer.json()["spendguard"]["code"]) == (502, "upstream_failed")
    call = assert_worst(sidecar, agent, answer)
    assert call["http_status"] == 200


@pytest.mark.parametrize("cut_after", [0, 1, 500, len(STREAM.reply.body) - 20])
async def test_a_stream_cut_anywhere(sidecar: Sidecar, upstream: RecordedUpstream, cut_after: int) -> None:
    """The client's connection is broken, not ended; the hold is charged, usage or not, without `[DONE]`."""
    agent = sidecar.agent()
    upstream.script(Act(cut_after=cut_after))
    answer = await send(sidecar.port, chat(sidecar, agent, STREAM.request_body))
    if answer is not None and answer.status == 200:
        assert not answer.whole
        assert STREAM.reply.body.startswith(answer.body)
    else:
        assert answer is not None
        assert answer.status == 502
    assert_worst(sidecar, agent)


@pytest.mark.parametrize("stream", [False, True])
async def test_silence_before_the_head(sidecar: Sidecar, upstream: RecordedUpstream, *, stream: bool) -> None:
    """No byte within the idle deadline: 504 and the hold."""
    agent = sidecar.agent()
    upstream.script(Act(hang=True))
    answer = await ask(sidecar, agent, {**HELLO, "stream": stream})
    assert (answer.status, answer.json()["spendguard"]["code"]) == (504, "upstream_timeout")
    assert_worst(sidecar, agent, answer)


async def test_silence_in_mid_body(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A plain answer that stops half-way: 504; a stream: a broken connection. The hold for both."""
    agent = sidecar.agent()
    upstream.script(Act(hang_after=40))
    answer = await ask(sidecar, agent)
    assert (answer.status, answer.json()["spendguard"]["code"]) == (504, "upstream_timeout")
    assert_worst(sidecar, agent, answer)
    agent = sidecar.agent()
    upstream.script(Act(hang_after=700))
    torn = await send(sidecar.port, chat(sidecar, agent, STREAM.request_body))
    assert torn is not None
    assert (torn.status, torn.whole) == (200, False)
    assert torn.body == STREAM.reply.body[: len(torn.body)]
    assert_worst(sidecar, agent)


async def test_a_provider_that_fails_says_so(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """500 passes with its body and is charged at worst; 429, 503 and 529 pass and cost nothing."""
    error = json.dumps({"error": {"message": "down", "type": "server_error", "param": None, "code": None}})
    unknown, unbilled = (408, 500, 502, 504), (404, 422, 429, 503, 529)
    for status in (*unknown, *unbilled):
        state = "settled_worst" if status in unknown else "voided"
        agent = sidecar.agent()
        upstream.script(Act(reply=Reply(status, {"content-type": "application/json"}, error.encode())))
        answer = await ask(sidecar, agent)
        assert (answer.status, answer.body) == (status, error.encode())
        call = await eventually(the_call(sidecar, agent, state))
        assert answer.headers["x-spendguard-cost-usd"] == call["cost_usd"]
        assert call["http_status"] == status
    agent = sidecar.agent()
    usage = error[:-1] + ', "usage": {"prompt_tokens": 1}}'
    upstream.script(Act(reply=Reply(400, {"content-type": "application/json"}, usage.encode())))
    assert (await ask(sidecar, agent)).status == 400
    assert_worst(sidecar, agent)


async def test_a_redirect_is_not_followed(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A 3xx would send the key elsewhere: it is passed on, and charged at worst."""
    agent = sidecar.agent()
    upstream.script(Act(reply=Reply(307, {"location": upstream.base_url + "/elsewhere"}, b"")))
    answer = await ask(sidecar, agent)
    assert answer.status == 307
    assert "location" not in answer.headers
    assert_worst(sidecar, agent)
    assert len(upstream.received) == 1


async def test_no_second_worst_case_no_retry(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Where another worst case would not fit, a failure says not to try again."""
    body = {**HELLO, "max_tokens": 10_000}
    for act in (Act(reset=True), Act(reply=Reply(500, {}, b"{}"))):
        agent = sidecar.agent(cents=1)  # 10,000 tokens at 600 nUSD are 0.6 cents
        upstream.script(act)
        answer = await ask(sidecar, agent, body)
        assert answer.status in (500, 502)
        assert answer.headers["x-should-retry"] == "false"


# -- locks and waiting --------------------------------------------------------------------------------------


async def test_another_run_is_told_who_holds_the_lock(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """409 names the holder, since when and until when; its own run joins it; afterwards the lock is free."""
    agent, before = patient.agent(), upstream.arrived
    upstream.hold_open()
    holder = asyncio.create_task(ask(patient, agent, run="holder"))
    await asyncio.to_thread(upstream.wait_arrived, before + 1)
    refused = await ask(patient, agent, run="other")
    assert refused.status == 409
    facts = refused.json()["spendguard"]
    assert refused.json()["detail"].startswith("Agent budget is locked by an in-flight run")
    assert facts["code"] == "budget_locked"
    assert (facts["locked_run_id"], facts["agent_id"], facts["run_id"]) == ("holder", agent, "other")
    assert facts["locked_age_seconds"] >= 0
    budget = patient.budget(agent)
    assert budget["locked_run_id"] == "holder"
    assert facts["locked_expires_at"][:19] == budget["locked_expires_at"][:19]
    assert refused.headers["x-should-retry"] == "true"
    assert int(refused.headers["retry-after-ms"]) == facts["retry_after_ms"] > 0
    assert 0 < int(refused.headers["retry-after"]) <= 60
    joined = asyncio.create_task(ask(patient, agent, run="holder"))
    await asyncio.to_thread(upstream.wait_arrived, before + 2)
    upstream.release()
    assert [(await task).status for task in (holder, joined)] == [200, 200]
    assert (await ask(patient, agent, run="other")).status == 200
    runs = patient.control("GET", f"/v1/agents/{agent}/runs")["runs"]
    assert {run["run_id"]: run["calls"] for run in runs} == {"holder": 2, "other": 1}


async def test_a_shared_agent_has_no_lock(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """Runs of a shared agent go side by side."""
    agent, before = patient.agent(concurrency="shared"), upstream.arrived
    upstream.hold_open()
    tasks = [asyncio.create_task(ask(patient, agent, run=run)) for run in ("one", "two")]
    await asyncio.to_thread(upstream.wait_arrived, before + 2)
    assert patient.budget(agent)["locked_run_id"] is None
    upstream.release()
    assert [(await task).status for task in tasks] == [200, 200]


WORST = {**HELLO, "max_tokens": 10_000, "messages": [{"role": "user", "content": "x"}]}
"""31 bytes of messages, 64, 16: 111 in at 150 nUSD, 10,000 out at 600: 6,016,650 nUSD of 10,000,000."""


async def test_held_money_is_waited_for(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """A call that fits what remains, but not what is free, waits for the one before it, and goes."""
    agent, before = patient.agent(cents=1, overflow="refuse"), upstream.arrived
    upstream.hold_open()
    first = asyncio.create_task(ask(patient, agent, WORST))
    await asyncio.to_thread(upstream.wait_arrived, before + 1)
    second = asyncio.create_task(ask(patient, agent, WORST))
    done, _ = await asyncio.wait([second], timeout=0.3)
    assert not done
    assert upstream.arrived == before + 1
    upstream.release()
    answers = [await first, await second]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].headers["x-spendguard-held-usd"] == "0.00601665"
    assert len(patient.calls(agent)) == 2


async def test_held_money_that_does_not_come_free(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """After the wait: 402 that says to try again, since the money is there, only held."""
    agent, before = sidecar.agent(cents=1, overflow="refuse"), upstream.arrived
    upstream.script(Act(hang=True))
    first = asyncio.create_task(ask(sidecar, agent, WORST))
    await asyncio.to_thread(upstream.wait_arrived, before + 1)
    # Two calls wait in line; the first call dies at its idle deadline, about when they give up. What it was
    # charged then leaves too little: whichever comes first, neither may be forwarded.
    second = await ask(sidecar, agent, WORST)
    facts = second.json()["spendguard"]
    assert second.status == 402
    assert facts["code"] in ("budget_held", "insufficient_budget")
    assert second.headers["x-should-retry"] == ("true" if facts["code"] == "budget_held" else "false")
    assert (await first).status == 504
    assert upstream.arrived == before + 1


async def test_budget_held_in_full(tmp_path: Path, upstream: RecordedUpstream) -> None:
    """Without a wait: the whole sum, and when to come back."""
    env = {"SPENDGUARD_POLICY_HELD_WAIT_SECONDS": "0"}
    with Sidecar(tmp_path / "home", upstream.base_url, env=env) as sidecar:
        agent, before = sidecar.agent(cents=1, overflow="refuse"), upstream.arrived
        upstream.hold_open()
        first = asyncio.create_task(ask(sidecar, agent, WORST))
        await asyncio.to_thread(upstream.wait_arrived, before + 1)
        refused = await ask(sidecar, agent, WORST)
        assert (refused.status, refused.json()["spendguard"]["code"]) == (402, "budget_held")
        facts = refused.json()["spendguard"]
        assert facts["worst_case_usd"] == facts["held_usd"] == "0.00601665"
        assert facts["remaining_usd"] == facts["limit_usd"] == "0.01"
        assert facts["available_usd"] == "0.00398335"
        assert refused.headers["x-should-retry"] == "true"
        assert int(refused.headers["retry-after-ms"]) > 0
        upstream.release()
        assert (await first).status == 200


# -- what operators do --------------------------------------------------------------------------------------


async def test_abort(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """A call that an operator cuts is charged at worst, its client told, its lock freed; once only."""
    agent, before = patient.agent(), upstream.arrived
    upstream.script(Act(hang=True))
    caller = asyncio.create_task(ask(patient, agent))
    await asyncio.to_thread(upstream.wait_arrived, before + 1)
    (open_call,) = patient.calls(agent)
    assert open_call["state"] == "held"
    path = f"/v1/calls/{open_call['call_id']}"
    cut = await asyncio.to_thread(patient.control, "POST", f"{path}/abort")
    assert (cut["state"], cut["cost_usd"]) == ("settled_worst", open_call["hold_usd"])
    answer = await caller
    assert (answer.status, answer.json()["spendguard"]["code"]) == (502, "upstream_failed")
    assert patient.budget(agent)["locked_run_id"] is None
    again = patient.http.post(f"{path}/abort", headers=patient.admin)
    assert (again.status_code, again.json()["spendguard"]["code"]) == (409, "call_not_open")
    unknown = patient.http.post("/v1/calls/none/abort", headers=patient.admin)
    assert (unknown.status_code, unknown.json()["spendguard"]["code"]) == (404, "call_not_found")
    assert await eventually(lambda: ends(patient, open_call["call_id"])) == ["settle_worst"]


async def test_abort_of_a_stream(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """A client in mid-stream sees its connection break, not end."""
    agent, before = patient.agent(), upstream.arrived
    upstream.script(Act(hang_after=700))
    caller = asyncio.create_task(send(patient.port, chat(patient, agent, STREAM.request_body)))
    await asyncio.to_thread(upstream.wait_arrived, before + 1)
    (call,) = patient.calls(agent)
    await asyncio.to_thread(patient.control, "POST", f"/v1/calls/{call['call_id']}/abort")
    answer = await caller
    assert answer is None or not answer.whole or answer.status == 502
    assert patient.calls(agent)[0]["state"] == "settled_worst"


async def test_adjust(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A charge at worst is corrected to what the provider billed: set, not added, and with a reason."""
    agent = sidecar.agent()
    upstream.script(Act(reset=True))
    await ask(sidecar, agent)
    (call,) = sidecar.calls(agent)
    unconfirmed = sidecar.control("GET", "/v1/status")["unconfirmed_calls"]
    path = f"/v1/calls/{call['call_id']}/adjust"
    for _ in range(2):
        shown = sidecar.control("POST", path, {"cost_usd": "0.000001234", "reason": "bill of\u001b[31m May"})
        assert shown["cost_usd"] == "0.000001234"
        assert sidecar.budget(agent)["settled_usd"] == "0.000001234"
    assert "\u001b" not in shown["reason"]
    assert sidecar.control("GET", "/v1/status")["unconfirmed_calls"] == unconfirmed - 1
    adjusted = [record for record in sidecar.journal() if record["t"] == "adjust"]
    assert [(r["to_nusd"], r["call_id"]) for r in adjusted] == [(1_234, call["call_id"])]


async def test_the_daemon_cap(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """A cap above all agents refuses what an agent's own budget would allow, until it is lifted."""
    agent = patient.agent()
    large = {**HELLO, "model": "gpt-4o", "max_tokens": 16_384, "n": 8}
    # At the floor of 1,024 tokens for each of 8 choices, at 10,000 nUSD, it is 8.2 cents: no clamp helps.
    try:
        cap = patient.control("POST", "/v1/daemon/budget", {"hard_limit_cents": 1})
        assert cap["remaining_cents"] == 1
        answer = await ask(patient, agent, large)
        facts = answer.json()["spendguard"]
        assert (answer.status, facts["code"]) == (402, "daemon_cap"), facts
        assert (facts["budget"], facts["limit_usd"], facts["remaining_usd"]) == ("daemon", "0.01", "0.01")
        assert answer.headers["x-should-retry"] == "false"
        assert upstream.received == []
        patient.control("POST", "/v1/daemon/budget", {"hard_limit_cents": 100})
        patient.control("POST", "/v1/daemon/budget/topup", {"topup_cents": 99})
        assert (await ask(patient, agent, large)).status == 200
        assert patient.control("GET", "/v1/daemon/budget")["remaining_cents"] < 100
    finally:
        patient.control("POST", "/v1/daemon/budget", {"hard_limit_cents": None})
    assert patient.control("GET", "/v1/daemon/budget")["hard_limit_cents"] is None


async def test_freeze_and_unfreeze(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """A frozen agent calls nothing, whatever its money; calls in flight end as they would."""
    agent, before = patient.agent(), upstream.arrived
    upstream.hold_open()
    running = asyncio.create_task(ask(patient, agent))
    await asyncio.to_thread(upstream.wait_arrived, before + 1)
    frozen = patient.control("PATCH", f"/v1/agents/{agent}", {"frozen": True, "reason": "loops\u001b[2J"})
    assert (frozen["frozen"], frozen["frozen_reason"]) == (True, "loops[2J")
    refused = await ask(patient, agent)
    assert (refused.status, refused.json()["spendguard"]["code"]) == (402, "agent_frozen")
    assert refused.headers["x-should-retry"] == "false"
    upstream.release()
    assert (await running).status == 200
    thawed = patient.control("PATCH", f"/v1/agents/{agent}", {"frozen": False})
    assert (thawed["frozen"], thawed["frozen_reason"]) == (False, None)
    assert (await ask(patient, agent)).status == 200


async def test_delete_with_a_call_in_flight(patient: Sidecar, upstream: RecordedUpstream) -> None:
    """Deleting refuses new calls and hides the agent; the call in flight settles, and stays to be seen."""
    agent, before = patient.agent(), upstream.arrived
    upstream.hold_open()
    running = asyncio.create_task(ask(patient, agent))
    await asyncio.to_thread(upstream.wait_arrived, before + 1)
    assert patient.control("DELETE", f"/v1/agents/{agent}") == {"agent_id": agent, "deleted": True}
    refused = await ask(patient, agent)
    assert (refused.status, refused.json()["spendguard"]["code"]) == (404, "agent_not_found")
    assert agent not in [one["agent_id"] for one in patient.control("GET", "/v1/agents")["agents"]]
    for method, path in (("GET", ""), ("GET", "/budget"), ("POST", "/budget/topup"), ("DELETE", "")):
        again = patient.http.request(
            method,
            f"/v1/agents/{agent}{path}",
            headers=patient.admin,
            json={"topup_cents": 5} if method == "POST" else None,
        )
        assert (again.status_code, again.json()["spendguard"]["code"]) == (404, "agent_not_found")
    upstream.release()
    answer = await running
    assert answer.status == 200
    call = patient.control("GET", f"/v1/calls/{answer.headers['x-spendguard-call-id']}")
    assert call["state"] == "settled"


def test_budgets_over_http(patient: Sidecar) -> None:
    """Grants as design 4 has them: the limit caps the balance, and what was not applied is said."""
    agent = patient.agent(cents=None)
    path = f"/v1/agents/{agent}/budget"
    missing = patient.http.get(path, headers=patient.admin)
    assert (missing.status_code, missing.json()["detail"]) == (404, "Budget not found")

    def shown(answer: dict[str, Any]) -> tuple[int, int, int, int]:
        return (
            answer["hard_limit_cents"],
            answer["remaining_cents"],
            answer["topup_applied_cents"],
            answer["topup_ignored_cents"],
        )

    grant = {"hard_limit_cents": 5000, "topup_cents": 2000}
    assert shown(patient.control("POST", path, grant)) == (5000, 2000, 2000, 0)
    assert shown(patient.control("POST", path, grant)) == (5000, 4000, 2000, 0)
    assert shown(patient.control("POST", path, grant)) == (5000, 5000, 1000, 1000)
    assert shown(patient.control("POST", f"{path}/topup", {"topup_cents": 5})) == (5000, 5000, 0, 5)
    assert patient.control("POST", path, {"hard_limit_cents": 100})["remaining_cents"] == 100
    last = patient.control("GET", path)
    assert (last["locked_cents"], last["locked_run_id"], last["locked_expires_at"]) == (0, None, None)


# -- providers ----------------------------------------------------------------------------------------------


def test_provider_test(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A free request with the operator's key tells whether it works, and never the key."""
    models = Reply(200, {"content-type": "application/json"}, b'{"object":"list","data":[]}')
    upstream.script(Act(reply=models))
    said = sidecar.control("POST", "/v1/providers/openai/test")
    assert (said["ok"], said["http_status"]) == (True, 200)
    (received,) = upstream.received
    assert (received.method, received.path, received.body) == ("GET", "/v1/models", b"")
    assert key_in(received) == f"Bearer {PROVIDER_KEY}"
    upstream.script(Act(reply=load("11-openai-chat-401").reply))
    said = sidecar.control("POST", "/v1/providers/openai/test")
    assert (said["ok"], said["http_status"]) == (False, 401)
    assert "set-key openai" in said["remedy"]
    upstream.script(Act(hang=True))
    said = sidecar.control("POST", "/v1/providers/openai/test")
    assert (said["ok"], said["http_status"]) == (False, None)
    assert "did not answer" in said["detail"]
    upstream.script(Act(reset=True))
    assert sidecar.control("POST", "/v1/providers/openai/test")["ok"] is False
    unknown = sidecar.http.post("/v1/providers/azure/test", headers=sidecar.admin)
    assert unknown.status_code == 404
    assert PROVIDER_KEY not in json.dumps(sidecar.control("GET", "/v1/providers"))


async def test_no_provider_key(tmp_path: Path, upstream: RecordedUpstream) -> None:
    """Without a key nothing is held; with one written to secrets.toml and read anew, the same call goes."""
    with Sidecar(tmp_path / "home", upstream.base_url, env={"OPENAI_API_KEY": ""}) as sidecar:
        agent = sidecar.agent()
        answer = await ask(sidecar, agent)
        assert (answer.status, answer.json()["spendguard"]["code"]) == (503, "provider_key_missing")
        assert upstream.received == []
        assert sidecar.budget(agent)["remaining_usd"] == "50.00"
        sidecar.home.secrets.touch(mode=0o600)
        sidecar.home.secrets.write_text('[keys]\nopenai = "sk-from-the-file"\n')
        sidecar.control("POST", "/v1/providers/reload")
        assert (await ask(sidecar, agent)).status == 200
        assert key_in(upstream.received[0]) == "Bearer sk-from-the-file"


# -- who may use the control API ----------------------------------------------------------------------------

CONTROL = [
    pattern.split(" ") for pattern, name in control_patterns().items() if name not in ("health", "ready")
]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "authorization: Bearer sg_admin_" + "0" * 64,
        "authorization: Basic {token}",
        "authorization: Bearer",
        "authorization: Bearer \xff\xfe",
        "x-api-key: wrong",
        "x-api-key: \xe9",
        "cookie: token={token}",
        "x-cynsta-agent-id: {token}",
    ],
)
async def test_no_control_without_the_token(sidecar: Sidecar, header: str) -> None:
    """Every control route, with no token, a wrong one, or the right one in the wrong place."""
    agents = sidecar.control("GET", "/v1/agents")
    sent = header.format(token=sidecar.token)
    for method, path in CONTROL:
        head = f"{method} /{path.format(agent='a', call='c', provider='openai', key='k')} HTTP/1.1\r\n"
        head += f"host: 127.0.0.1:{sidecar.port}\r\nconnection: close\r\ncontent-type: application/json\r\n"
        head += "content-length: 2\r\n" + (sent + "\r\n" if sent else "") + "\r\n{}"
        answer = await send(sidecar.port, head.encode("latin-1"))
        assert answer is not None
        assert (answer.status, answer.json()["spendguard"]["code"]) == (401, "unauthorized"), (method, path)
        assert sidecar.token not in answer.body.decode()
    assert sidecar.control("GET", "/v1/agents") == agents


def test_the_token_opens_in_either_header(sidecar: Sidecar) -> None:
    """As a bearer in any case, or as x-api-key."""
    for headers in (
        {"authorization": f"Bearer {sidecar.token}"},
        {"authorization": f"bearer  {sidecar.token}"},
        {"x-api-key": sidecar.token},
        {"authorization": "Bearer other", "x-api-key": sidecar.token},
    ):
        assert sidecar.http.get("/v1/agents", headers=headers).status_code == 200


def test_control_answers_what_is_not_there(sidecar: Sidecar) -> None:
    """404 for unknown things, 405 with the methods for known ones, 400 for unknown query parameters."""
    for path, code in (
        ("/v1/agents/none", "agent_not_found"),
        ("/v1/agents/none/budget", "agent_not_found"),
        ("/v1/agents/none/calls", "agent_not_found"),
        ("/v1/calls/none", "call_not_found"),
        ("/v1/nothing", "route_not_found"),
    ):
        answer = sidecar.http.get(path, headers=sidecar.admin)
        assert (answer.status_code, answer.json()["spendguard"]["code"]) == (404, code)
    wrong = sidecar.http.put("/v1/agents", headers=sidecar.admin)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST")
    agent = sidecar.agent()
    for query in ("limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "limit=-1", "other=1", "limit"):
        answer = sidecar.http.get(f"/v1/agents/{agent}/calls?{query}", headers=sidecar.admin)
        assert answer.status_code == 400, query


async def test_calls_are_paged(sidecar: Sidecar) -> None:
    """Newest first, each once, also when a call comes in between."""
    agent = sidecar.agent()
    made = [(await ask(sidecar, agent)).headers["x-spendguard-call-id"] for _ in range(5)]
    path = f"/v1/agents/{agent}/calls"
    page = sidecar.control("GET", f"{path}?limit=2")
    seen = [call["call_id"] for call in page["calls"]]
    await ask(sidecar, agent)
    while page["next_before"]:
        page = sidecar.control("GET", f"{path}?limit=2&before={page['next_before']}")
        seen += [call["call_id"] for call in page["calls"]]
    assert seen == made[::-1]


def test_open_routes(sidecar: Sidecar) -> None:
    """Health says exactly that, proves who it is to whoever asks, and roots answer 200."""
    health = sidecar.http.get("/health")
    assert (health.status_code, health.content) == (200, b'{"status":"ok"}')
    assert "x-spendguard-proof" not in health.headers
    nonce = "0123456789abcdef0123456789abcdef"
    proven = sidecar.http.get("/health", headers={"x-spendguard-nonce": nonce})
    assert proven.content == b'{"status":"ok"}'
    assert is_proof(sidecar.token, nonce, sidecar.port, proven.headers["x-spendguard-proof"])
    assert not is_proof(sidecar.token, nonce, sidecar.port + 1, proven.headers["x-spendguard-proof"])
    bad = sidecar.http.get("/health", headers={"x-spendguard-nonce": "short"})
    assert "x-spendguard-proof" not in bad.headers
    assert sidecar.http.get("/ready").status_code == 200
    for path in ("/", "/openai", "/openai/", "/v1/agents/a/runs/r", "/v1/agents/a/runs/r/openai"):
        assert sidecar.http.get(path).status_code == 200, path
        head = sidecar.http.head(path)
        assert (head.status_code, head.content) == (200, b""), path


async def test_both_loopback_addresses(sidecar: Sidecar) -> None:
    """IPv6 where the machine has it, under its own name."""
    try:
        reader, writer = await asyncio.open_connection("::1", sidecar.port)
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")
    writer.write(f"GET /health HTTP/1.1\r\nhost: [::1]:{sidecar.port}\r\nconnection: close\r\n\r\n".encode())
    assert (await reader.read()).endswith(b'{"status":"ok"}')
    writer.close()


def test_nothing_is_left_in_flight(sidecar: Sidecar, patient: Sidecar) -> None:
    """After all of this no call is open, and no daemon logged a fault of its own."""
    for daemon in (sidecar, patient):
        until(partial(is_idle, daemon))
        lines = [json.loads(line) for line in daemon.home.log.read_text().splitlines()]
        assert [line for line in lines if line["level"] not in ("info", "warning")] == []
