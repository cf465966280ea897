"""Gemini through a real daemon: the routes beside the recorded ones, counts, keys, torn answers, by hand."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from proxied import call, records_of
from recorded import Act, RecordedUpstream, Reply, load
from sidecar import GEMINI_KEY, Sidecar
from till import nusd

JSON = {"content-type": "application/json; charset=UTF-8"}
MODEL = "gemini-2.5-flash"
USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
ANSWER = {
    "candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": USAGE,
    "modelVersion": MODEL,
}
COST_NUSD = 10 * 300 + 5 * 2_500
HELLO = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    with RecordedUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    with Sidecar(tmp_path_factory.mktemp("gemini") / "home", upstream.base_url) as made:
        yield made


@pytest.fixture(autouse=True)
def answering(upstream: RecordedUpstream) -> None:
    """The provider answers each test anew."""
    upstream.received.clear()
    upstream.director = lambda _: Act(reply=Reply(200, JSON, json.dumps(ANSWER).encode()))


@pytest.mark.parametrize("stream", [False, True])
def test_the_short_body_is_answered_natively(
    sidecar: Sidecar, upstream: RecordedUpstream, stream: bool
) -> None:
    agent = sidecar.agent()
    if stream:
        event = b"data: " + json.dumps(ANSWER).encode() + b"\r\n\r\n"
        reply = Reply(200, {"content-type": "text/event-stream"}, event)
        upstream.director = lambda _: Act(reply=reply)
    short = {"model": MODEL, "prompt": "hi", "max_tokens": 64} | ({"stream": True} if stream else {})
    answer = sidecar.http.post(f"/v1/agents/{agent}/runs/r1/gemini/generateContent", json=short)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.text.removeprefix("data: ")) == ANSWER
    (received,) = upstream.received
    verb = "streamGenerateContent" if stream else "generateContent"
    assert (received.path, received.query) == (f"/v1beta/models/{MODEL}:{verb}", "alt=sse" if stream else "")
    assert json.loads(received.body) == {
        **HELLO,
        "generationConfig": {"maxOutputTokens": 64},
        "serviceTier": "standard",
    }
    shown = sidecar.call_of(answer)
    records_of(sidecar, shown["call_id"])
    shown = sidecar.call_of(answer)
    assert (shown["state"], shown["run_id"], nusd(shown["cost_usd"])) == ("settled", "r1", COST_NUSD)
    assert "prompt: written as a native request" in shown["changed"]


@pytest.mark.parametrize("slot", ["x-goog-api-key", "key"])
def test_a_clients_key_goes_nowhere_and_an_unknown_agent_key_is_refused(
    sidecar: Sidecar, upstream: RecordedUpstream, slot: str
) -> None:
    agent = sidecar.agent()
    for key, status in (("AIza-of-the-client", 200), ("sg_agent_nobody", 401)):
        headers = {"x-cynsta-agent-id": agent} | ({} if slot == "key" else {slot: key})
        query = f"?key={key}" if slot == "key" else ""
        path = f"/v1beta/models/{MODEL}:generateContent{query}"
        answer = sidecar.http.post(path, json=HELLO, headers=headers)
        assert answer.status_code == status, answer.text
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
    (received,) = upstream.received
    sent = {name.lower(): value for name, value in received.headers.items()}
    assert (sent["x-goog-api-key"], received.query) == (GEMINI_KEY, "")
    assert "of-the-client" not in repr((sent, received.body))


def test_another_model_is_another_request(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """An Idempotency-Key stands for the path too, in which the model is."""
    agent, key = sidecar.agent(), {"idempotency-key": "one"}
    for model, code in (
        (MODEL, None),
        (MODEL, "idempotency_done"),
        ("gemini-2.5-pro", "idempotency_mismatch"),
    ):
        answer = sidecar.send(f"/v1beta/models/{model}:generateContent", agent, HELLO, **key)
        assert answer.status_code == (409 if code else 200)
        assert code is None or answer.json()["spendguard"]["code"] == code
    assert len(upstream.received) == 1


def test_counting_is_free_and_goes_through_as_it_is(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    agent = sidecar.agent(cents=None)
    upstream.director = lambda _: Act(reply=Reply(200, JSON, b'{"totalTokens": 3}'))
    for body in (HELLO, {"generateContentRequest": {"model": f"models/{MODEL}", **HELLO}}):
        answer = sidecar.send(f"/v1beta/models/{MODEL}:countTokens", agent, body)
        assert (answer.status_code, answer.json()) == (200, {"totalTokens": 3})
        assert json.loads(upstream.received[-1].body) == body
    assert upstream.received[-1].path == f"/v1beta/models/{MODEL}:countTokens"
    assert not [
        record for record in sidecar.journal() if record.get("agent_id") == agent and record["t"] == "hold"
    ]
    refused = sidecar.send(f"/v1beta/models/{MODEL}:countTokens", agent, {**HELLO, "unheardOf": 1})
    assert (refused.status_code, len(upstream.received)) == (400, 2)


def test_a_call_that_its_bytes_refuse_passes_by_the_providers_count(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """60 kB at $0.30 a million are held at $0.018 by bytes, at $0.003 by the count."""
    agent = sidecar.agent(cents=1)
    counted = Reply(200, JSON, b'{"totalTokens": 9000}')
    usage = {"promptTokenCount": 9_000, "candidatesTokenCount": 5, "totalTokenCount": 9_005}
    real = Reply(200, JSON, json.dumps(ANSWER | {"usageMetadata": usage}).encode())
    upstream.director = lambda received: Act(reply=counted if "countTokens" in received.path else real)
    long: dict[str, Any] = {
        "contents": [{"parts": [{"text": "word and " * 6_700}]}],
        "generationConfig": {"maxOutputTokens": 100},
    }
    answer = sidecar.send(f"/v1beta/models/{MODEL}:generateContent", agent, long)
    assert answer.status_code == 200, answer.text
    asked, sent = upstream.received
    assert asked.path.endswith(":countTokens")
    assert json.loads(asked.body)["generateContentRequest"]["contents"] == long["contents"]
    assert sent.path.endswith(":generateContent")
    (hold,) = [one for one in records_of(sidecar, sidecar.call_of(answer)["call_id"]) if one["t"] == "hold"]
    assert (hold["rung"], hold["input_tokens"]) == ("counted", 9_180)


async def test_a_torn_stream_is_charged_at_worst(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Also where all of its events had come: until the transport ends, more may follow."""
    recording = load("34-gemini-stream-sse")
    agent = sidecar.agent()
    whole = len(recording.reply.body)
    for cut in (0, 10, whole - 4, whole):
        upstream.director = lambda _, at=cut: Act(reply=recording.reply, cut_after=at)
        sent = await_call(sidecar, agent, recording.path + "?alt=sse", recording.request_body)
        shown = await sent
        assert shown["state"] == "settled_worst", cut
        assert shown["cost_usd"] == shown["hold_usd"]


async def test_an_array_is_whole_at_its_bracket(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Where the transport breaks after it nothing is lost; a byte before it, everything is."""
    text = f"[{json.dumps(ANSWER, indent=2)}\n,\r\n{json.dumps(ANSWER)}\r\n]".encode()
    agent = sidecar.agent()
    for cut, state in (
        (len(text) // 2, "settled_worst"),
        (len(text) - 1, "settled_worst"),
        (len(text), "settled"),
    ):
        # One byte more is promised than comes.
        reply = Reply(200, JSON, text + b"\n")
        upstream.director = lambda _, at=cut, reply=reply: Act(reply=reply, cut_after=at)
        path = f"/v1beta/models/{MODEL}:streamGenerateContent"
        shown = await await_call(sidecar, agent, path, json.dumps(HELLO).encode())
        assert shown["state"] == state, cut
        assert nusd(shown["cost_usd"]) == (COST_NUSD if state == "settled" else nusd(shown["hold_usd"]))


@pytest.mark.parametrize("status", [400, 401, 403])
def test_an_answer_about_the_operators_key_does_not_tell_it(
    sidecar: Sidecar, upstream: RecordedUpstream, status: int
) -> None:
    error = {"code": status, "message": f"API key not valid: {GEMINI_KEY}", "status": "INVALID_ARGUMENT"}
    for form in ({"error": error}, [{"error": error}]):
        reply = Reply(status, JSON, json.dumps(form).encode())
        upstream.director = lambda _, reply=reply: Act(reply=reply)
        agent = sidecar.agent()
        answer = sidecar.send(f"/v1beta/models/{MODEL}:streamGenerateContent", agent, HELLO)
        assert answer.status_code == (400 if status == 400 else 503)
        assert GEMINI_KEY not in answer.text
        assert sidecar.call_of(answer)["state"] == "voided"
        told = sidecar.control("POST", "/v1/providers/gemini/test", {})
        assert (told["ok"], told["remedy"]) == (False, "spendguard provider set-key gemini")


async def await_call(sidecar: Sidecar, agent: str, path: str, body: bytes) -> dict[str, Any]:
    """Send it, and return the call once it has ended, whatever its client got."""
    before = {one["call_id"] for one in sidecar.calls(agent)}
    with suppress(AssertionError):  # torn, as it is meant to be
        await call(sidecar, agent, body, path=path)
    (shown,) = [one for one in sidecar.calls(agent) if one["call_id"] not in before]
    records_of(sidecar, shown["call_id"])
    (shown,) = [one for one in sidecar.calls(agent) if one["call_id"] not in before]
    return shown


NO_KEY = {
    "code": 400,
    "message": f"API key not valid: {GEMINI_KEY}. Please pass a valid API key.",
    "status": "INVALID_ARGUMENT",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        }
    ],
}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    "verb", ["generateContent", "streamGenerateContent", "embedContent", "countTokens", "chat"]
)
def test_a_key_that_is_none_is_told_in_our_words(
    sidecar: Sidecar, upstream: RecordedUpstream, verb: str, *, listed: bool
) -> None:
    """Google says so with 400, which else is about the request; the reason tells."""
    told = {"error": NO_KEY}
    body = json.dumps([told] if listed else told).encode()
    upstream.director = lambda _: Act(reply=Reply(400, JSON, body))
    agent = sidecar.agent()
    path, asked = f"/v1beta/models/{MODEL}:{verb}", HELLO
    if verb == "embedContent":
        path = path.replace(MODEL, "gemini-embedding-001")
        asked = {"content": {"parts": [{"text": "hi"}]}}
    if verb == "chat":
        path = "/v1beta/openai/chat/completions"
        asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    answer = sidecar.send(path, agent, asked)
    assert (answer.status_code, answer.json()["spendguard"]["code"]) == (503, "provider_key_rejected")
    assert answer.json()["spendguard"]["provider_status"] == 400
    assert GEMINI_KEY not in answer.text
    assert "valid API key" not in answer.text
    calls = sidecar.calls(agent)
    states = [(call["state"], nusd(call["cost_usd"])) for call in calls]
    assert states == ([] if verb == "countTokens" else [("voided", 0)])
    other = {"error": {"code": 400, "message": "Bad", "status": "INVALID_ARGUMENT", "details": []}}
    upstream.director = lambda _: Act(reply=Reply(400, JSON, json.dumps(other).encode()))
    assert sidecar.send(path, agent, asked).status_code == 400


def test_chat_of_gemini_by_openais_words(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """On Google's own path, under its root, and on the bare root by the model."""
    agent = sidecar.agent()
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    message = {"role": "assistant", "content": "hi"}
    said = {"model": MODEL, "choices": [{"index": 0, "message": message}], "usage": usage}
    upstream.director = lambda _: Act(reply=Reply(200, JSON, json.dumps(said).encode()))
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    for path in ("/v1beta/openai/chat/completions", "/gemini/v1/chat/completions", "/v1/chat/completions"):
        answer = sidecar.send(path, agent, body)
        assert answer.status_code == 200, answer.text
        received = upstream.received[-1]
        assert received.path == "/v1beta/openai/chat/completions"
        sent = {name.lower(): value for name, value in received.headers.items()}
        assert sent["authorization"] == f"Bearer {GEMINI_KEY}"
        shown = sidecar.call_of(answer)
        assert (shown["provider"], nusd(shown["cost_usd"])) == ("gemini", 35 * 300 + 74 * 2_500)
        assert shown["usage"]["reasoning_output_tokens"] == 62


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/v1beta/models/gemini-9:generateContent", 400, "INVALID_ARGUMENT"),
        ("/v1beta/tunedModels/mine:generateContent", 400, "INVALID_ARGUMENT"),
        (f"/v1beta/models/{MODEL}:generateContent?$alt=sse", 400, None),
        ("/v1beta/models/gpt-4o-mini:generateContent", 400, "INVALID_ARGUMENT"),
        (f"/v1beta/models/{MODEL}:embedContent", 400, "INVALID_ARGUMENT"),
        ("/v1beta/models/gemini-embedding-001:generateContent", 400, "INVALID_ARGUMENT"),
    ],
)
def test_refusals_speak_googles_way_and_forward_nothing(
    sidecar: Sidecar, upstream: RecordedUpstream, path: str, status: int, word: str | None
) -> None:
    body = {"content": HELLO["contents"][0]} if path.endswith("embedContent") else HELLO
    answer = sidecar.send(path, sidecar.agent(), body)
    assert answer.status_code == status, answer.text
    assert upstream.received == []
    if word is not None:
        assert answer.json()["error"] == {"code": status, "message": answer.json()["detail"], "status": word}


def test_an_embedding_without_usage_is_charged_at_its_bound(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    agent = sidecar.agent()
    upstream.director = lambda _: Act(reply=Reply(200, JSON, b'{"embedding":{"values":[0.5]}}'))
    body = {"content": {"parts": [{"text": "hi"}]}}
    answer = sidecar.send("/v1beta/models/gemini-embedding-001:embedContent", agent, body)
    shown = sidecar.call_of(answer)
    assert (shown["state"], shown["cost_usd"]) == ("settled_worst", shown["hold_usd"])
    assert json.loads(upstream.received[-1].body) == body


def test_the_list_of_models_is_googles(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    listed = sidecar.http.get("/v1beta/models").json()["models"]
    names = [one["name"] for one in listed]
    assert {f"models/{MODEL}", "models/gemini-embedding-001"} <= set(names)
    assert all(name.startswith("models/gemini") for name in names)
    by_key = sidecar.http.get("/v1/models", headers={"x-goog-api-key": "AIza"}).json()["models"]
    assert by_key == listed == sidecar.http.get("/gemini/v1beta/models").json()["models"]
    paged: list[str] = []
    token = "0"
    while token:
        page = sidecar.http.get(f"/v1beta/models?pageSize=7&pageToken={token}").json()
        paged += [one["name"] for one in page["models"]]
        token = page.get("nextPageToken", "")
    assert paged == names
    one = sidecar.http.get(f"/v1beta/models/{MODEL}").json()
    assert one == next(model for model in listed if model["name"] == f"models/{MODEL}")
    assert one["supportedGenerationMethods"] == ["generateContent", "streamGenerateContent", "countTokens"]
    missing = sidecar.http.get("/v1beta/models/gpt-4o-mini")
    assert (missing.status_code, missing.json()["error"]["status"]) == (404, "NOT_FOUND")
    for query in ("pageSize=0", "pageSize=x", "pageToken=-1"):
        assert sidecar.http.get(f"/v1beta/models?{query}").status_code == 400
    assert upstream.received == []


def test_gemini_models_are_openais_too_on_the_bare_root(sidecar: Sidecar) -> None:
    listed = {one["id"]: one["owned_by"] for one in sidecar.http.get("/v1/models").json()["data"]}
    assert listed[MODEL] == "gemini"


def test_the_key_is_tested_by_googles_list(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    upstream.director = lambda _: Act(reply=Reply(200, JSON, b'{"models":[]}'))
    assert sidecar.control("POST", "/v1/providers/gemini/test", {})["ok"] is True
    (received,) = upstream.received
    sent = {name.lower(): value for name, value in received.headers.items()}
    assert (received.method, received.path, sent["x-goog-api-key"]) == ("GET", "/v1beta/models", GEMINI_KEY)


def test_other_media_need_the_window(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A video is held at the window, which a small budget does not cover; nothing is sent."""
    agent = sidecar.agent(cents=10)
    video = {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}
    upstream.director = lambda _: Act(reply=Reply(500, JSON, b"{}"))
    answer = sidecar.send(
        f"/v1beta/models/{MODEL}:generateContent", agent, {"contents": [{"parts": [video]}]}
    )
    assert answer.status_code == 402
    assert not [one for one in upstream.received if "generateContent" in one.path]


def test_the_record_names_the_endpoint(sidecar: Sidecar) -> None:
    answer = sidecar.send(f"/v1beta/models/{MODEL}:generateContent", sidecar.agent(), HELLO)
    shown = sidecar.call_of(answer)
    assert (shown["provider"], shown["endpoint"], shown["model"]) == ("gemini", "generateContent", MODEL)


@pytest.mark.parametrize(
    ("method", "path", "why"),
    [
        ("POST", f"/v1beta/models/{MODEL}:batchGenerateContent", "batchGenerateContent is not served (batch"),
        (
            "POST",
            "/gemini/v1beta/models/e:asyncBatchEmbedContent",
            "asyncBatchEmbedContent is not served (batch",
        ),
        ("POST", "/v1beta/models/veo-3:predictLongRunning", "predictLongRunning is not served; nothing was"),
        ("GET", "/v1beta/cachedContents", "nothing was forwarded"),
        (
            "POST",
            f"/v1beta/v1beta/models/{MODEL}:generateContent",
            "the version is there twice, as /v1beta/v1",
        ),
        (
            "POST",
            "/gemini/v1beta/v1beta/models",
            "the version is there twice, as /v1beta/v1beta: give the SDK",
        ),
        (
            "POST",
            "/v1/agents/{agent}/runs/r/gemini/v1beta/v1beta/models/x:countTokens",
            "the version is there",
        ),
    ],
)
def test_what_is_no_route_of_googles_is_told_in_googles_shape(
    sidecar: Sidecar, upstream: RecordedUpstream, method: str, path: str, why: str
) -> None:
    agent = sidecar.agent()
    headers = {"x-cynsta-agent-id": agent}
    answer = sidecar.http.request(method, path.format(agent=agent), json=HELLO, headers=headers)
    told = answer.json()
    assert (answer.status_code, told["error"]["status"]) == (404, "NOT_FOUND")
    assert told["error"]["message"].startswith(f"Route not found: {why}")
    assert told["spendguard"]["code"] == "route_not_found"
    assert upstream.received == []


@pytest.mark.parametrize("path", ["/v1/v1/chat/completions", "/v1/v1/messages", "/openai/v1/v1/responses"])
def test_a_version_that_is_there_twice_is_named(sidecar: Sidecar, path: str) -> None:
    answer = sidecar.send(path, sidecar.agent(), {})
    assert answer.status_code == 404
    assert "the version is there twice, as /v1/v1: give the SDK the base URL without it" in answer.text


@pytest.mark.parametrize(
    ("path", "provider"),
    [
        (f"/v1beta/models/{MODEL}:generateContent", "gemini"),
        ("/grok/v1/chat/completions", "grok"),
        ("/v1/messages", "anthropic"),
        ("/v1/chat/completions", "openai"),
        ("/v1beta/openai/chat/completions", "gemini"),
    ],
)
def test_who_names_no_agent_is_told_the_path_of_its_provider(
    sidecar: Sidecar, path: str, provider: str
) -> None:
    answer = sidecar.http.post(path, json={})
    assert (answer.status_code, answer.json()["spendguard"]["code"]) == (400, "missing_agent")
    remedy = answer.json()["spendguard"]["remedy"]
    assert f"/v1/agents/<agent_id>/runs/<run_id>/{provider};" in remedy
    assert "spendguard agent list" in remedy
