"""What must never be written or said: prompts, answers, provider keys (design 8, issue 2 "done" line 7).

A run with every kind of success and failure, told by canaries. Then every byte under the home, the process's
arguments, its stderr, and every answer that any client got are searched for them.
"""

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from feeds import Listening
from raw_http import Answer, Leave, request, send
from recorded import Act, RecordedUpstream, Reply
from sidecar import Sidecar
from spendguard_daemon.log import JsonLines
from until import until

KEY = "sk-proj-canaryKEY7731abcdefghij"
PROMPT, ANSWER = "zebraquartzprompt", "walrusvelvetanswer"
CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}


def body(**changes: object) -> bytes:
    """Return a request that holds the prompt canary in every place that can hold text."""
    function = {"name": f"f_{PROMPT}", "description": PROMPT, "parameters": {"title": PROMPT, PROMPT: PROMPT}}
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": PROMPT}}
    request_body: dict[str, Any] = {
        "model": "gpt-4o-mini",
        "max_tokens": 50,
        "messages": [
            {"role": "system", "content": PROMPT},
            {"role": "user", "name": PROMPT, "content": [{"type": "text", "text": PROMPT}]},
            {"role": "assistant", "content": None, "tool_calls": [call], PROMPT: PROMPT},
            {"role": "tool", "tool_call_id": "call_1", "content": PROMPT},
        ],
        "tools": [{"type": "function", "function": function}],
        "response_format": {"type": "json_schema", "json_schema": {"name": PROMPT, "schema": {}}},
        "metadata": {PROMPT: PROMPT},
        "user": PROMPT,
        "stop": [PROMPT],
        "prompt_cache_key": PROMPT,
        **changes,
    }
    return json.dumps(request_body).encode()


def completion(usage: object) -> bytes:
    """Return a plain answer that holds the answer canary."""
    message = {"role": "assistant", "content": ANSWER, "refusal": ANSWER, ANSWER: ANSWER}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": ANSWER, "model": ANSWER, "choices": [choice], "usage": usage}).encode()


def stream(*, usage: object = None, done: bool = True) -> bytes:
    """Return a streamed answer that holds the answer canary."""
    chunk = {"id": ANSWER, "model": ANSWER, "choices": [{"index": 0, "delta": {"content": ANSWER}}]}
    chunks = [chunk, chunk, {"id": ANSWER, "choices": [], "usage": usage}]
    events = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
    return events + (b"data: [DONE]\n\n" if done else b"")


def error(message: str) -> bytes:
    """Return an error in the provider's shape."""
    return json.dumps(
        {"error": {"message": message, "type": ANSWER, "param": ANSWER, "code": ANSWER}}
    ).encode()


USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
TALE = f"{ANSWER}: Incorrect API key provided: {KEY}. You said {PROMPT}."

UPSTREAM_ACTS: dict[str, tuple[Act, bytes, int | None]] = {
    "plain": (Act(reply=Reply(200, JSON, completion(USAGE))), body(), 200),
    "stream": (Act(reply=Reply(200, SSE, stream(usage=USAGE))), body(stream=True), 200),
    "no usage": (Act(reply=Reply(200, JSON, completion(None))), body(), 200),
    "absurd usage": (Act(reply=Reply(200, JSON, completion({**USAGE, "total_tokens": ANSWER}))), body(), 200),
    "negative usage": (Act(reply=Reply(200, JSON, completion({**USAGE, ANSWER: -1}))), body(), 200),
    "a tier that is text": (
        Act(reply=Reply(200, JSON, completion(USAGE)[:-1] + b', "service_tier": "priority"}')),
        body(),
        200,
    ),
    "not JSON": (Act(reply=Reply(200, JSON, f"{ANSWER} {PROMPT}".encode())), body(), 200),
    "not a stream": (
        Act(reply=Reply(200, SSE, b"data: {" + ANSWER.encode() + b"\n\n")),
        body(stream=True),
        200,
    ),
    "stream without end": (Act(reply=Reply(200, SSE, stream(done=False))), body(stream=True), 200),
    "stream cut": (Act(reply=Reply(200, SSE, stream(usage=USAGE)), cut_after=120), body(stream=True), None),
    "stream error event": (
        Act(reply=Reply(200, SSE, b"data: " + error(ANSWER) + b"\n\ndata: [DONE]\n\n")),
        body(stream=True),
        200,
    ),
    "plain cut": (Act(reply=Reply(200, JSON, completion(USAGE)), cut_after=60), body(), 502),
    "reset": (Act(reset=True), body(), 502),
    "hang": (Act(hang=True), body(), 504),
    "hang in a stream": (
        Act(reply=Reply(200, SSE, stream(usage=USAGE)), hang_after=120),
        body(stream=True),
        None,
    ),
    "400": (Act(reply=Reply(400, JSON, error(f"{ANSWER} in {PROMPT}"))), body(), 400),
    "401 with the key": (Act(reply=Reply(401, JSON, error(TALE))), body(), 503),
    "401 with the key, in no shape": (Act(reply=Reply(401, JSON, TALE.encode())), body(), 503),
    "401 with the key, large": (Act(reply=Reply(401, JSON, error(TALE + "x" * 9 * 2**20))), body(), 503),
    "401 with the key in a header": (
        Act(reply=Reply(401, {**JSON, "x-request-id": KEY, "www-authenticate": KEY}, error(TALE))),
        body(stream=True),
        503,
    ),
    "403 with the key": (Act(reply=Reply(403, JSON, error(TALE))), body(stream=True), 503),
    "429": (Act(reply=Reply(429, JSON, error(ANSWER))), body(), 429),
    "500": (Act(reply=Reply(500, JSON, error(ANSWER))), body(), 500),
    "500 with the key": (Act(reply=Reply(500, JSON, error(TALE))), body(), 500),
    "502 of a proxy, with the key": (
        Act(reply=Reply(502, {"content-type": "text/html"}, TALE.encode())),
        body(),
        502,
    ),
}
"""What the upstream does, to which request, and the status that the client gets (None: a broken stream)."""

REFUSED: dict[str, bytes] = {
    "not JSON": b"{" + PROMPT.encode(),
    "twice": body()[:-1] + b', "%s": 1, "%s": 2}' % (PROMPT.encode(), PROMPT.encode()),
    "unknown field": body(**{PROMPT: PROMPT}),
    "unknown long field": body(**{PROMPT * 9: PROMPT}),
    "unbounded": body(prediction={"type": "content", "content": PROMPT}),
    "foreign": body(messages=[{"role": "user", "content": [{"type": PROMPT, "text": PROMPT}]}]),
    "unknown model": body(model="gpt-99"),
    "lone surrogate": body(messages=[{"role": "user", "content": PROMPT + "\ud800"}]),
    "too dear": body(
        model="gpt-4o", messages=[{"role": "user", "content": PROMPT * 10_000}], n=128, max_tokens=16_000
    ),
}


@dataclass
class Run:
    """What was seen of one run: the answers that clients got, all of them, and what the feed told."""

    sidecar: Sidecar
    upstream: RecordedUpstream
    agent: str = ""
    answers: list[bytes] = field(default_factory=list)
    feeds: list[bytes] = field(default_factory=list)

    async def chat(self, raw: bytes, *, leave: Leave | None = None, **headers: str) -> Answer | None:
        """Send a chat call, keep its answer."""
        named = {"x-cynsta-agent-id": self.agent, **headers}
        sent = request(self.sidecar.port, CHAT, named, raw)
        answer = await send(self.sidecar.port, sent, *([leave] if leave else []))
        if answer is not None:
            self.answers.append(repr(dict(answer.headers)).encode() + answer.body)
        return answer

    def control(self, method: str, path: str, content: object = None) -> bytes:
        """Do a control request, keep its answer."""
        answer = self.sidecar.http.request(method, path, json=content, headers=self.sidecar.admin)
        kept = repr(dict(answer.headers)).encode() + answer.content
        self.answers.append(kept)
        return kept


@pytest.fixture(params=["environment", "secrets.toml"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """A daemon with the canary key, from the environment or from secrets.toml."""
    home = tmp_path / "home"
    in_file = request.param == "secrets.toml"
    env = {
        "OPENAI_API_KEY": "" if in_file else KEY,
        "SPENDGUARD_LIMITS_IDLE_SECONDS": "1",
        "SPENDGUARD_POLICY_HELD_WAIT_SECONDS": "0",
    }
    if in_file:
        home.mkdir(mode=0o700)
        (home / "secrets.toml").write_text(f'[keys]\nopenai = "{KEY}"\n')
        (home / "secrets.toml").chmod(0o600)
    with RecordedUpstream() as upstream, Sidecar(home, upstream.base_url, env=env) as sidecar:
        made = Run(sidecar, upstream)
        made.agent = sidecar.agent(cents=100)
        yield made


def files(home: Path) -> dict[str, bytes]:
    """Return every file under a home, by its path in it."""
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def spellings(text: str) -> list[bytes]:
    """Return a canary as it may stand in a file: plain, reversed case, wide."""
    return [text.encode(), text.upper().encode(), text.encode("utf-16-le"), text.encode().hex().encode()]


def assert_kept_secret(run: Run) -> None:
    """No prompt or answer in any file, no key in any but secrets.toml, no key in what anybody was told."""
    found = files(run.sidecar.home.root)
    assert {"admin.token", "trust.toml", "run/daemon.log", "ledger/head"} <= set(found)
    for name, content in found.items():
        for canary in (PROMPT, ANSWER):
            assert not [one for one in spellings(canary) if one in content], f"{canary} in {name}"
        if name != "secrets.toml":
            assert not [one for one in spellings(KEY) if one in content], f"the key in {name}"
            assert b"canaryKEY" not in content, f"a part of the key in {name}"
    for told in run.feeds:
        assert not [one for one in spellings(ANSWER) if one in told], "the answer on the feed"
        assert PROMPT.encode() not in without_field_names(told), "the prompt on the feed"
    for told in (*run.answers, *run.feeds):
        assert b"canaryKEY" not in told, told[:500]
        assert run.sidecar.token.encode() not in told, told[:500]


def without_field_names(told: bytes) -> bytes:
    """Return what operators are shown without the names of refused fields, which alone they may see."""
    named = rb'"(?:path|feature)":"[\w.:]+"|"setting":"\[policy\] allow: [\w.:]+"|Malformed request: '
    return re.sub(named + PROMPT.encode(), b"", told)


@pytest.fixture
def feed(run: Run) -> Iterator[Listening]:
    """Who listens to all of it."""
    with Listening(run.sidecar) as listening:
        until(lambda: listening.snapshots)
        yield listening


async def test_nothing_is_kept_and_no_key_is_told(run: Run, feed: Listening) -> None:
    """All that can go right or wrong, then kill -9, a new start, and a last look."""
    sidecar, upstream = run.sidecar, run.upstream
    for name, (act, raw, status) in UPSTREAM_ACTS.items():
        before = len(upstream.received)
        upstream.script(act)
        answer = await run.chat(raw)
        assert len(upstream.received) == before + 1, name
        if status is None:
            assert answer is not None, name
            assert not answer.whole, name
        else:
            assert answer is not None, name
            assert (answer.status, answer.whole) == (status, True), (name, answer)
    for name, raw in REFUSED.items():
        before = len(upstream.received)
        answer = await run.chat(raw)
        assert answer is not None, name
        assert answer.status in (400, 402), name
        assert len(upstream.received) == before, name
    await run.chat(body(), leave=Leave(after_sent=200))
    upstream.director = lambda _: Act(reply=Reply(200, SSE, stream(usage=USAGE)), chunk_bytes=7)
    await run.chat(body(stream=True), leave=Leave(after_received=400))
    until(lambda: sidecar.control("GET", "/v1/status")["calls_in_flight"] == 0)
    assert_key_went_out_in_one_header(upstream)

    for path in ("/v1/status", "/v1/providers", "/v1/pricing", "/v1/agents", "/health", "/ready", "/"):
        run.control("GET", path)
    run.control("POST", "/v1/providers/reload")
    upstream.director = lambda _: Act(reply=Reply(401, JSON, error(TALE)))
    assert b'"http_status":401' in run.control("POST", "/v1/providers/openai/test")
    shown = run.control("GET", f"/v1/agents/{run.agent}/calls?limit=1000")
    # What operators are shown of calls holds no text either. A field's name that was refused is all but text.
    assert ANSWER.encode() not in shown
    assert PROMPT.encode() not in without_field_names(shown)
    until(lambda: {"hold", "end", "refused", "progress"} <= {one.kind for one in list(feed.messages)})
    until(lambda: len({one["call"]["call_id"] for one in feed.of("refused")}) >= len(REFUSED))
    run.feeds.append(bytes(feed.raw))
    assert_process_says_nothing(sidecar)
    assert_kept_secret(run)

    upstream.director = lambda _: Act(hang=True)
    caller = threading.Thread(target=_call_and_lose, args=(sidecar, run.agent))
    before = upstream.arrived
    caller.start()
    upstream.wait_arrived(before + 1)
    sidecar.kill()
    caller.join()
    sidecar.start()
    assert sidecar.calls(run.agent)[0]["state"] == "settled_worst"
    with Listening(sidecar) as after:
        until(lambda: after.snapshots)
    run.feeds += [bytes(feed.raw), bytes(after.raw)]
    assert_process_says_nothing(sidecar)
    assert_kept_secret(run)


def _call_and_lose(sidecar: Sidecar, agent: str) -> None:
    """Make a call whose daemon is killed before it answers."""
    import httpx

    with pytest.raises(httpx.HTTPError):
        sidecar.chat(agent, body())


def assert_key_went_out_in_one_header(upstream: RecordedUpstream) -> None:
    """The check can fail: the key was in use all the time, in the one place where it belongs."""
    for received in upstream.received:
        held = [name for name, value in received.headers.items() if KEY in value]
        assert [name.lower() for name in held] == ["authorization"]
        assert KEY.encode() not in received.body


def assert_process_says_nothing(sidecar: Sidecar) -> None:
    """Neither the arguments nor stderr of the daemon hold a canary."""
    assert sidecar.process is not None
    command = Path(f"/proc/{sidecar.process.pid}/cmdline")
    if command.exists():
        arguments = command.read_bytes()
        assert b"spendguard_daemon" in arguments
        assert not [one for one in (KEY, PROMPT, ANSWER, sidecar.token) if one.encode() in arguments]
    assert sidecar.process.stderr is not None
    os.set_blocking(sidecar.process.stderr.fileno(), False)
    said = sidecar.process.stderr.read() or b""
    assert not [one for one in (KEY, PROMPT, ANSWER, sidecar.token) if one.encode() in said]


async def test_what_is_no_http_is_not_kept_either(run: Run) -> None:
    """Requests that the HTTP reader itself refuses: their lines are prompts, too, if a client is broken."""
    host = f"host: 127.0.0.1:{run.sidecar.port}\r\nconnection: close\r\nx-cynsta-agent-id: {run.agent}\r\n"
    head = f"POST {CHAT} HTTP/1.1\r\n{host}content-type: application/json\r\n"
    text = body().decode()
    broken = [
        f"{head}content-length: {len(text)}\r\n{PROMPT}\r\n\r\n{text}",
        f"{head}transfer-encoding: chunked\r\n\r\n{text}",
        f"{head}authorization: Bearer {KEY}\x01\r\ncontent-length: {len(text)}\r\n\r\n{text}",
        f"GET /{PROMPT}\x01?key={KEY} HTTP/1.1\r\n{host}\r\n",
        f"{text}\r\n\r\n",
    ]
    for raw in broken:
        answer = await send(run.sidecar.port, raw.encode("latin-1"))
        if answer is not None:
            assert answer.status == 400
            run.answers.append(repr(dict(answer.headers)).encode() + answer.body)
    for path in (f"/v1/{PROMPT}", f"/v1/chat/completions?key={KEY}", f"/v1/agents/{PROMPT}/budget"):
        run.control("GET", path)
    assert_kept_secret(run)


def test_an_exception_is_logged_without_its_words() -> None:
    """A message may quote what was being read: only types and places are written, of causes too."""
    try:
        try:
            raise ValueError(f"cannot read {PROMPT}")
        except ValueError as cause:
            raise KeyError(ANSWER) from cause
    except KeyError:
        record = logging.LogRecord("x", logging.ERROR, "x", 1, "internal error", None, sys.exc_info())
    line = json.loads(JsonLines(lambda: frozenset({KEY})).format(record))
    assert "builtins.KeyError at " in line["traceback"]
    assert "builtins.ValueError at " in line["traceback"]
    assert "test_secrets.py" in line["traceback"]
    assert PROMPT not in json.dumps(line)
    assert ANSWER not in json.dumps(line)
