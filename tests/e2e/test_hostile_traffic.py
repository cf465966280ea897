"""Bodies and answers made to stall, bloat or under-charge: refused, or charged at worst; others are served.

Everything is real: a daemon process and a provider on a socket.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from recorded import Act, RecordedUpstream, Reply
from sidecar import Sidecar
from until import until

MEBIBYTE = 2**20
CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}
USAGE = {"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60}
USAGE_COST = "0.0000315"  # 10 tokens in at 150 nUSD, 50 out at 600
WORD = {"model": "gpt-4o-mini", "choices": [{"index": 0, "delta": {"content": "w"}}]}
LAST = {"model": "gpt-4o-mini", "choices": [], "usage": USAGE}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon."""
    with Sidecar(tmp_path_factory.mktemp("hostile") / "home", upstream.base_url) as running:
        yield running


def plain(status: int, body: Any) -> Reply:
    """Return a JSON answer."""
    return Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())


def stream(*events: Any) -> Reply:
    """Return a stream of these events; text goes out as it is."""
    data = [event if isinstance(event, str) else json.dumps(event) for event in events]
    raw = "".join(f"data: {text}\n\n" for text in data).encode()
    return Reply(200, {"content-type": "text/event-stream"}, raw)


def ended(sidecar: Sidecar, upstream: RecordedUpstream, reply: Reply, *, streams: bool) -> dict[str, Any]:
    """Make one call that gets this answer; return its record."""
    upstream.script(Act(reply=reply))
    agent = sidecar.agent()
    answer = sidecar.chat(agent, {**HELLO, "stream": True} if streams else HELLO)
    assert answer.status_code == reply.status
    call: dict[str, Any] = until(lambda: (call := sidecar.call_of(answer))["state"] != "held" and call)
    return call


def wrapped(junk: bytes) -> bytes:
    """Return a request with this JSON as an unknown key of its message."""
    head = b'{"model":"gpt-4o-mini","max_tokens":10,"messages":[{"role":"user","content":"x","j":'
    return head + junk + b"}]}"


# -- bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("junk", [b"1,", b"{},", b'{"a":1},', b'"",'])
def test_a_body_of_too_many_values_is_refused(
    sidecar: Sidecar, upstream: RecordedUpstream, junk: bytes
) -> None:
    before = upstream.arrived
    body = wrapped(b"[" + junk * (8 * MEBIBYTE // len(junk)) + b"1]")
    answer = sidecar.chat(sidecar.agent(), body)
    assert answer.status_code == 400
    assert "JSON values" in answer.json()["detail"]
    assert upstream.arrived == before


def test_a_large_body_passes_byte_for_byte_and_others_are_served_meanwhile(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """It is read aside and sent in pieces; its length stands in the head as ever."""
    text = ", [{" * (MEBIBYTE // 2)
    body = {**HELLO, "service_tier": "default", "messages": [{"role": "user", "content": text}]}
    agent = sidecar.agent(cents=100_000)
    answers: list[httpx.Response] = []
    raw = json.dumps(body).encode()
    call = threading.Thread(target=lambda: answers.append(sidecar.chat(agent, raw)))
    call.start()
    while call.is_alive():
        assert httpx.get(sidecar.base + "/health", trust_env=False, verify=False).status_code == 200
    assert answers[0].status_code == 200
    received = upstream.received[-1]
    assert received.body == raw
    assert {k.lower(): v for k, v in received.headers.items()}["content-length"] == str(len(raw))


def rss_mebibytes(sidecar: Sidecar) -> int:
    """Return the memory that the daemon has in use."""
    assert sidecar.process is not None
    status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to measure by")
def test_calls_in_flight_do_not_keep_their_bodies(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Six bodies of 4 MiB, whose trees would take ten times as much each, all waiting for an answer."""
    body = wrapped(b'["' + b"x" * 3 * MEBIBYTE + b'",' + b"{}," * 90_000 + b"{}]")
    agent = sidecar.agent(cents=100_000)
    calls, seen = [], []
    upstream.hold_open()
    try:
        for _ in range(7):
            call = threading.Thread(target=sidecar.chat, args=(agent, body))
            call.start()
            calls.append(call)
            upstream.wait_arrived(upstream.arrived + 1)
            seen.append(rss_mebibytes(sidecar))
    finally:
        upstream.release()
        for call in calls:
            call.join()
    assert seen[-1] - seen[0] < 3 * 6


# -- answers ------------------------------------------------------------------------------------------------

ERROR = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (plain(400, {**ERROR, "choices": [{"message": {"content": "a full answer"}}]}), "documented"),
        (plain(429, {"error": {**ERROR["error"], "usage": USAGE}}), "documented"),
        (plain(400, {**ERROR, "response": {"usage": USAGE}}), "documented"),
        (plain(400, {**ERROR, "j": [{}] * 500_000}), "larger than can be read"),
        (plain(200, {"choices": [{}], "usage": {**USAGE, "prompt_tokens": 0}}), "prompt_tokens is 0"),
        (plain(200, {"model": "gpt-9", "choices": [{}], "usage": USAGE}), "answered by another model"),
        (stream(WORD, LAST, WORD, "[DONE]"), "content after the last usage"),
        (stream(WORD, LAST, "[DONE]", WORD), "an event after [DONE]"),
        (stream(WORD, LAST, {**LAST, "usage": {**USAGE, "completion_tokens": 1}}, "[DONE]"), "Absurd usage"),
    ],
)
def test_untrue_answers_are_charged_at_worst(
    sidecar: Sidecar, upstream: RecordedUpstream, reply: Reply, reason: str
) -> None:
    call = ended(sidecar, upstream, reply, streams="event-stream" in reply.headers["content-type"])
    assert (call["state"], call["cost_usd"]) == ("settled_worst", call["hold_usd"])
    assert reason in call["reason"]


@pytest.mark.parametrize("status", [400, 404, 429, 503])
def test_a_documented_error_is_void(sidecar: Sidecar, upstream: RecordedUpstream, status: int) -> None:
    call = ended(sidecar, upstream, plain(status, ERROR), streams=False)
    assert (call["state"], call["cost_usd"]) == ("voided", "0.00")


def test_a_dearer_model_that_answers_is_paid_at_its_price(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    call = ended(
        sidecar, upstream, plain(200, {"model": "gpt-4o", "choices": [{}], "usage": usage}), streams=False
    )
    assert (call["state"], call["cost_usd"]) == ("settled", "0.0000225")  # 1 x 2,500 and 2 x 10,000 nUSD
    assert call["reason"] == "reported usage; answered by model gpt-4o"


def test_an_answer_with_millions_of_values_settles_at_its_usage(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """Log probabilities are that many, and no reason to charge the worst."""
    body = {"model": "gpt-4o-mini", "choices": [{"logprobs": [0] * 1_000_000}], "usage": USAGE}
    call = ended(sidecar, upstream, plain(200, body), streams=False)
    assert (call["state"], call["cost_usd"]) == ("settled", USAGE_COST)
