"""No route, method, header, encoding or spelling of a path reaches a provider without a hold (done line 6).

The upstream counts. When a request arrives there, it reads the journal on the disk: at that moment there must
be a hold for each billable request that has come so far. What is enumerated is sent twice: for an agent that
has money, where a hold must come first, and for one that has none, where nothing at all may arrive.
"""

import asyncio
import gzip
import itertools
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raw_http import Answer, send
from recorded import Act, Received, RecordedUpstream, Reply
from sidecar import Sidecar
from spendguard_daemon.gateway.routes import COUNT_TAILS
from spendguard_daemon.providers import FORMATS

ANSWER_SECONDS = 5
"""Some of these promise a body that never comes; the daemon waits for it so long, and no longer."""

METHODS = (
    *("POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"),
    *("PROPFIND", "QUERY", "post", "Post", "POST\t", "XPOST"),
)
MESSAGES = [{"role": "user", "content": "hi"}]
CONTENTS = {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 16}}
EMBEDDED = {"content": {"parts": [{"text": "hi"}]}}
FLASH, EMBEDDER = "models/gemini-2.5-flash", "models/gemini-embedding-001"


@dataclass(frozen=True, slots=True)
class Served:
    """An endpoint that may cost money: where it is asked for, and with what."""

    provider: str
    endpoint: str
    tail: str
    body: dict[str, Any]
    version: str = "v1"

    @property
    def bare(self) -> str:
        """Its path on the bare root."""
        return f"/{self.version}/{self.tail}"

    @property
    def raw_body(self) -> bytes:
        """The body as it is sent."""
        return json.dumps(self.body).encode()

    def paths(self, run: str) -> tuple[str, str, str]:
        """Return its path under three roots."""
        return self.bare, f"/{self.provider}{self.bare}", f"{run}/{self.provider}/{self.tail}"


CHAT = "chat/completions"
BILLABLE = [
    Served("openai", CHAT, CHAT, {"model": "gpt-4o-mini", "max_tokens": 16, "messages": MESSAGES}),
    Served(
        "openai", "responses", "responses", {"model": "gpt-4o-mini", "max_output_tokens": 16, "input": "hi"}
    ),
    Served("openai", "embeddings", "embeddings", {"model": "text-embedding-3-small", "input": "hi"}),
    Served(
        "anthropic",
        "messages",
        "messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 16, "messages": MESSAGES},
    ),
    Served("grok", CHAT, CHAT, {"model": "grok-4.3", "max_tokens": 16, "messages": MESSAGES}),
    Served("grok", "responses", "responses", {"model": "grok-4.3", "max_output_tokens": 16, "input": "hi"}),
    Served("gemini", "generateContent", f"{FLASH}:generateContent", CONTENTS, "v1beta"),
    Served("gemini", "generateContent", f"{FLASH}:streamGenerateContent", CONTENTS, "v1beta"),
    Served("gemini", "embedContent", f"{EMBEDDER}:embedContent", EMBEDDED, "v1beta"),
    Served(
        "gemini", "batchEmbedContents", f"{EMBEDDER}:batchEmbedContents", {"requests": [EMBEDDED]}, "v1beta"
    ),
    Served(
        "gemini",
        CHAT,
        f"openai/{CHAT}",
        {"model": "gemini-2.5-flash", "max_tokens": 16, "messages": MESSAGES},
        "v1beta",
    ),
]
FREE = {"/v1/" + "/".join(tail) for tail in COUNT_TAILS} | {f"/v1beta/{FLASH}:countTokens"}
QUERIES = {"", "alt=sse", "beta=true"}
"""What may follow a path on its way to a provider: no key, and no other way to be answered."""
UNSERVED = (
    *("completions", "moderations", "batches", "files", "uploads", "images/generations", "images/edits"),
    *("images/variations", "audio/speech", "audio/transcriptions", "audio/translations", "videos"),
    *("realtime", "realtime/sessions", "realtime/client_secrets", "realtime/calls", "assistants"),
    *("threads", "threads/runs", "threads/t/runs", "vector_stores", "vector_stores/v/search"),
    *("fine_tuning/jobs", "fine-tunes", "evals", "evals/e/runs", "containers", "conversations"),
    *("responses/compact", "responses/resp_1", "responses/resp_1/cancel", "responses/resp_1/input_items"),
    *("chat/completions/c", "embeddings/e", "engines/davinci/completions", "models/m/generate"),
    *("messages/batches", "messages/batches/b/results", "messages/m", "complete", "skills", "agents"),
    *("sessions", "organizations/usage", "moderations/m", "deployments/d/chat/completions"),
    *("deferred-completion", "chat/deferred-completion/d", "language-models", "tokenize-text"),
    *("videos/generations", "collections", "documents/search", "image-generation-models"),
)
VERBS_UNSERVED = (
    *("GenerateContent", "generatecontent", "generateContent:", ":generateContent", "generateContent%00"),
    *("generateContent:generateContent", "countTokens:generateContent", "generateContent:countTokens"),
    *("%67enerateContent", "streamGenerateContent/", "generateContent/x", "generateContent;x", "rawPredict"),
    *("batchGenerateContent", "predict", "predictLongRunning", "bidiGenerateContent", "generateAnswer"),
    *("generateText", "generateMessage", "embedText", "batchEmbedText", "countTextTokens", "computeTokens"),
    *("asyncBatchEmbedContent", "generateContent.json", "generateContent%3AgenerateContent"),
)
AT_GOOGLE = (
    *(f"{FLASH}:{verb}" for verb in VERBS_UNSERVED),
    *(f"{FLASH}%3AgenerateContent", f"{FLASH}%3agenerateContent", f"{FLASH}/generateContent", FLASH),
    *("models:generateContent", "models//:generateContent", "models/:generateContent"),
    *(
        "models/..:generateContent",
        "models%2Fgemini-2.5-flash:generateContent",
        f"x/../{FLASH}:generateContent",
    ),
    *("Models/gemini-2.5-flash:generateContent", f"models/{FLASH}:generateContent"),
    *("models/models%2Fgemini-2.5-flash:generateContent", "dynamic/d:generateContent"),
    *("tunedModels/t:generateContent", "tunedModels/t:streamGenerateContent", "tunedModels/t:countTokens"),
    *("tunedModels", "cachedContents", "cachedContents/c", "files", "files:register", "corpora/c:query"),
    *("interactions", "interactions/i", "batches", "batches/b:cancel", "agents", "auth_tokens"),
    *("fileSearchStores", "fileSearchStores/f:uploadToFileSearchStore", "operations/o"),
    *("openai/embeddings", "openai/images/generations", "openai/videos", "openai/batches"),
    *("openai/responses", "openai/models", "openai/chat/completions/c", "openai/audio/speech"),
    *("openai/files", "OpenAI/chat/completions", "openai/v1/chat/completions"),
    "projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent",
)
"""What follows the version segment in Google's paths, and is not served, or is written in another way."""

GOOGLE_ROOTS = (
    *("/v1beta", "/gemini/v1beta", "/v1", "/gemini/v1", "/gemini", "/v1alpha", "/v1beta1", "/V1beta"),
    *("/grok/v1beta", "/openai/v1beta", "/anthropic/v1beta", "/upload/v1beta", "/batch/v1beta"),
    *("/resumable/upload/v1beta", "/v1beta/v1beta", "/gemini/v1beta/v1beta", "/gemini/gemini/v1beta", "/ws"),
)
GOOGLE_QUERIES = (
    *("key=x", "key=", "key=x&key=y", "Key=x", "alt=sse", "alt=json", "alt=proto", "alt=media", "alt=SSE"),
    *("$alt=sse", "%24alt=sse", "$alt=proto", "alt=sse&alt=json", "alt=json&$alt=sse", "al%74=proto"),
    *("access_token=x", "oauth_token=x", "fields=*", "$fields=*", "callback=x", "prettyPrint=true"),
    *("$.xgafv=1", "upload_protocol=raw", "uploadType=media", "$httpMethod=POST", "$ct=x", "$req=x"),
    *("quotaUser=x", "$unique=x", "model=gemini-2.5-pro", "pageSize=1", "beta=true"),
    "generationConfig.candidateCount=8",
)
HEADERS = (
    "x-http-method-override: POST",
    "x-http-method: POST",
    "x-method-override: POST",
    "x-goog-api-key: AIza-of-the-client",
    "x-goog-user-project: of-the-client",
    "x-goog-upload-protocol: raw",
    "x-goog-encode-response-if-executable: base64",
    "x-server-timeout: 1",
    "x-grok-conv-id: c",
    "accept: application/x-protobuf",
    "x-original-url: /v1/chat/completions",
    "x-rewrite-url: /v1/chat/completions",
    "x-forwarded-host: api.openai.com",
    "x-forwarded-prefix: /openai",
    "forwarded: host=api.openai.com",
    "connection: close, upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: a",
    "connection: close, upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA",
    "content-encoding: gzip",
    "content-encoding: identity, br",
    "content-type: text/plain",
    "content-type: multipart/form-data; boundary=x",
    "content-length: 0",
    "content-length: 99999",
    "content-length: +20",
    "transfer-encoding: chunked",
    "transfer-encoding: identity",
    "transfer-encoding: xchunked",
    "trailer: x-cynsta-agent-id",
    "expect: 100-continue",
    "idempotency-key: one",
    "x-spendguard-held-usd: 5",
    "x-spendguard-call-id: 1",
    "authorization: Bearer sk-of-the-client",
    "proxy-authorization: Basic eDp5",
    "openai-organization: org-x",
    "anthropic-beta: nobody-knows-2031-01-01",
    "x-cynsta-agent-id: 00000000-0000-4000-8000-000000000000",
    "host: api.openai.com",
    "origin: http://127.0.0.1",
)


def spellings(path: str) -> Iterator[str]:
    """Yield other ways to write a path, most of which some server somewhere takes for the same."""
    *front, last = path.split("/")
    head = "/".join(front)
    yield from (f"{path}/", f"{path}//", f"/{path}", f"//{path.removeprefix('/')}", path.replace("/", "//"))
    yield from (f"{head}/./{last}", f"{head}/x/../{last}", f"{head}/../{front[-1]}/{last}", f"{path}/..")
    yield from (f"{path}/.", f"{path}/../{last}", f"/.{path}", f"/x/..{path}", f"{head}/.../{last}")
    yield from (path.replace("/", "%2f"), path.replace("/", "%2F", 1), path.replace("/", "%252f"))
    yield from (f"{head}/%2e/{last}", f"{head}/x/%2e%2e/{last}", f"{head}/x/%252e%252e/{last}")
    yield from (
        f"{head}%2f{last}",
        f"{head}%5c{last}",
        f"{head}\\{last}",
        f"{head}/%{ord(last[0]):x}{last[1:]}",
    )
    yield from (path.upper(), path.title(), f"{head}/{last.upper()}", f"{head}/{last.capitalize()}")
    yield from (f"{path}?", f"{path}?x=1", f"{path}?model=gpt-4o", f"{path}?stream=true", f"{path}?beta=true")
    yield from (f"{path}?beta=true&beta=true", f"{path}?beta=true&x=1", f"{path}?%62eta=true", f"{path}?&")
    yield from (
        f"{path};x=1",
        f"{path};",
        f"{path}%3fx",
        f"{path}%23",
        f"{path}#x",
        f"{path}%00",
        f"{path}%20",
    )
    yield from (
        f"{path}.json",
        f"{path}~",
        f"{path}*",
        f"{path}:stream",
        f"{path}%0d%0ax:y",
        f"{path}/%c0%af",
    )
    yield from (f"{head}/\u200b{last}", f"{head}/{last}\u0301", f"{head}/{last}\xa0", path.lstrip("/"), "*")
    yield from (f"http://127.0.0.1{path}", f"http://api.openai.com{path}", f"https://api.anthropic.com{path}")
    yield from (f"//api.openai.com{path}", f"@api.openai.com{path}", f"api.openai.com:443{path}")


def roots(agent_id: str) -> list[str]:
    """Return every root and some that are none."""
    run = f"/v1/agents/{agent_id}/runs/r"
    providers = ("", "/openai", "/anthropic", "/mock", "/gemini", "/grok", "/azure")
    return [
        f"{front}{provider}{version}"
        for front in ("", run)
        for provider in providers
        for version in ("/v1", "", "/v1beta", "/v2", "/v1/v1")
    ]


class Watch:
    """What came to the provider, and whether there was a hold for it on the disk by then."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self.billable = 0
        self.unheld: list[str] = []
        self.strange: list[str] = []
        self.paths: Counter[str] = Counter()

    def __call__(self, received: Received) -> Act:
        self.paths[received.path] += 1
        served = received.path in FREE | {one.bare for one in BILLABLE}
        if received.method != "POST" or not served or received.query not in QUERIES:
            self.strange.append(f"{received.method} {received.path}?{received.query}")
        if "of-the-client" in repr(received.headers):
            self.strange.append(f"{received.path}: a key of the client")
        if received.path not in FREE:
            self.billable += 1
            if self._holds() < self.billable:
                self.unheld.append(received.path)
        return Act(reply=Reply(400, {"content-type": "application/json"}, b'{"error":{"message":"no"}}'))

    def _holds(self) -> int:
        """Count the holds in the journal, of whose lines only whole ones count."""
        segments = (path.read_bytes() for path in self.sidecar.home.ledger.glob("seg-*.jsonl"))
        return sum(raw.rpartition(b"\n")[0].count(b'"t":"hold"') for raw in segments)


@pytest.fixture
def upstream() -> Iterator[RecordedUpstream]:
    with RecordedUpstream() as made:
        yield made


@pytest.fixture
def sidecar(tmp_path: Path, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    with Sidecar(tmp_path / "home", upstream.base_url, env={"SPENDGUARD_LIMITS_BODY_SECONDS": "1"}) as made:
        yield made


def raw(
    sidecar: Sidecar, agent_id: str, target: str, body: bytes, *lines: str, method: str = "POST"
) -> bytes:
    """Return a request as bytes; a header among `lines` stands beside, or in place of, the usual one."""
    usual = {
        "host": f"127.0.0.1:{sidecar.port}",
        "connection": "close",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-cynsta-agent-id": agent_id,
    }
    replaced = {line.partition(":")[0] for line in lines} & {"connection", "content-type", "host"}
    head = [
        f"{method} {target} HTTP/1.1",
        *(f"{n}: {v}" for n, v in usual.items() if n not in replaced),
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


async def send_all(port: int, requests: list[bytes]) -> list[Answer | None]:
    """Send them, a few at a time, each on a connection of its own."""
    few = asyncio.Semaphore(16)

    async def one(request: bytes) -> Answer | None:
        async with few:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await send(port, request)
            except TimeoutError:
                return None

    return await asyncio.gather(*map(one, requests))


def enumerated(sidecar: Sidecar, agent_id: str) -> list[bytes]:
    """Return every trick of this file, as requests of one agent."""
    made, run = [], f"/v1/agents/{agent_id}/runs/r"
    for one, root in itertools.product(BILLABLE, roots(agent_id)):
        made.append(raw(sidecar, agent_id, f"{root}/{one.tail}", one.raw_body))
    for one in BILLABLE:
        body = one.raw_body
        for path in one.paths(run):
            made += [raw(sidecar, agent_id, path, body, method=method) for method in METHODS]
            made += [raw(sidecar, agent_id, spelt, body) for spelt in spellings(path)]
        made += [raw(sidecar, agent_id, one.bare, body, header) for header in HEADERS]
    for header, path in itertools.product(HEADERS, ("/v1/models", "/v1beta/models")):
        made.append(raw(sidecar, agent_id, path, b"{}", header, method="GET"))
    roots_of_others = ("/v1", "/openai/v1", "/anthropic/v1", "/grok/v1")
    for tail, root, method in itertools.product(UNSERVED, roots_of_others, ("POST", "GET")):
        made.append(raw(sidecar, agent_id, f"{root}/{tail}", BILLABLE[0].raw_body, method=method))
    return made + at_google(sidecar, agent_id, run)


def at_google(sidecar: Sidecar, agent_id: str, run: str) -> list[bytes]:
    """Return the tricks with paths in which models and verbs stand, and with what may follow these."""
    body = json.dumps(CONTENTS).encode()
    all_roots = (*GOOGLE_ROOTS, f"{run}/gemini", f"{run}/gemini/v1beta")
    made = [
        raw(sidecar, agent_id, f"{root}/{tail}", body)
        for root, tail in itertools.product(all_roots, AT_GOOGLE)
    ]
    rpc = "google.ai.generativelanguage.v1beta.GenerativeService"
    for path in (f"/{rpc}/GenerateContent", f"/$rpc/{rpc}/GenerateContent", f"/ws/{rpc}.BidiGenerateContent"):
        made.append(raw(sidecar, agent_id, path, body))
    verbs = ("generateContent", "streamGenerateContent", "countTokens")
    for verb, query in itertools.product(verbs, GOOGLE_QUERIES):
        made.append(raw(sidecar, agent_id, f"/v1beta/{FLASH}:{verb}?{query}", body))
    short = json.dumps({"model": "gemini-2.5-flash", "prompt": "hi", "max_tokens": 16}).encode()
    for path in (f"{run}/gemini/generateContent", "/gemini/generateContent", "/v1/generateContent"):
        made.append(raw(sidecar, agent_id, path, short))
    return made


async def test_whatever_reaches_a_provider_was_held_first(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """For an agent with money: what arrives has its hold on the disk, and no odd path arrives."""
    agent_id = sidecar.agent(cents=1_000_000, concurrency="shared")
    watch = upstream.director = Watch(sidecar)
    answers = await send_all(sidecar.port, enumerated(sidecar, agent_id))
    assert (watch.unheld, watch.strange) == ([], [])
    assert {one.bare for one in BILLABLE} <= set(watch.paths)  # the test can fail: true calls do arrive
    assert {(one.provider, one.endpoint) for one in BILLABLE} == {key for key in FORMATS if key[0] != "mock"}
    answered = Counter(answer.status for answer in answers if answer is not None)
    assert answered[200] <= len(HEADERS) * 2  # lists of models only
    assert answered[404] > answered[400] > 0


async def test_nothing_reaches_a_provider_without_money(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """For an agent without a budget: not one of them, by whatever way; but for counts, which are free."""
    agent_id = sidecar.agent(cents=None, concurrency="shared")
    answers = await send_all(sidecar.port, enumerated(sidecar, agent_id))
    assert [one.path for one in upstream.received if one.path not in FREE] == []
    assert {record["t"] for record in sidecar.journal()} & {"hold", "sent"} == set()
    assert Counter(answer.status for answer in answers if answer)[402] > len(BILLABLE)


async def test_a_request_smuggled_behind_another_is_a_request_of_its_own(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """Two on one connection, or one in the other's body: neither is seen by a provider unheld."""
    poor = sidecar.agent(cents=None)
    body = BILLABLE[0].raw_body
    inner = raw(sidecar, poor, "/v1/chat/completions", body)
    outer = {
        "pipelined": raw(sidecar, poor, "/v1/models", b"", method="GET").replace(b"close", b"keep-alive")
        + inner,
        "in the body": raw(sidecar, poor, "/v1/chat/completions", inner),
        "two lengths": raw(
            sidecar, poor, "/v1/chat/completions", body + inner, f"content-length: {len(body)}"
        ),
        "chunked and length": raw(
            sidecar, poor, "/v1/chat/completions", b"0\r\n\r\n" + inner, "transfer-encoding: chunked"
        ),
        "get with a body": raw(sidecar, poor, "/health", inner, method="GET"),
    }
    for request in outer.values():
        await send(sidecar.port, request)
    assert upstream.received == []


# -- HTTP and JSON as no client writes them -----------------------------------------------------------------


def odd_lines(head: str) -> Iterator[str]:
    """Yield heads, without their last empty line, that some server somewhere takes for the given one."""
    first, *fields = head.split("\r\n")
    method, target, _ = first.split(" ")
    versions = (
        "HTTP/1.0",
        "HTTP/0.9",
        "HTTP/2.0",
        "HTTP/3",
        "http/1.1",
        "HTTP/1.1 HTTP/1.1",
        "HTTP/1.10",
        "",
    )
    for line in (
        *(f"{method} {target} {version}" for version in versions),
        f"{method}  {target} HTTP/1.1",
        f"{method}\t{target}\tHTTP/1.1",
        f" {method} {target} HTTP/1.1",
        f"\r\n\r\n{method} {target} HTTP/1.1",
        f"{method} {target}\x00 HTTP/1.1",
        f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{method} {target} HTTP/1.1",
        f"GET /health HTTP/1.1\r\nhost: x\r\n\r\n{method} {target} HTTP/1.1",
    ):
        yield "\r\n".join([line, *fields])
    yield head.replace("\r\n", "\n")
    yield head.replace("\r\n", "\r")
    for more in (
        "host: api.openai.com",
        "content-length: 0",
        "content-length: 1_0",
        "content-length: 0x20",
        "content-length : 5",
        " folded: yes",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding : chunked",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding: identity, chunked",
        "x-odd: \x00",
        "x-odd\x00: 1",
        ": no name",
        "no colon",
        "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: aA==",
    ):
        yield f"{head}\r\n{more}"
        yield "\r\n".join([first, more, *fields])


def odd_bodies(body: bytes) -> Iterator[bytes]:
    """Yield bodies that some reader somewhere takes for the given one."""
    text = body.decode()
    yield from (
        text.encode("utf-16"),
        text.encode("utf-16-le"),
        text.encode("utf-32"),
        b"\xef\xbb\xbf" + body,
    )
    yield from (gzip.compress(body), zlib.compress(body), b"[" + body + b"]", b"'" + body + b"'")
    yield from (body + body, body + b"\x00", b"\x00" + body, body[:-1], body + b"//", b"/**/" + body)
    yield body.replace(b'"model"', b'"model": "gpt-4o", "model"')
    yield body.replace(b'"model"', b'"m\\u006fdel": "gpt-4o", "model"')
    yield body.replace(b'"', b"'")
    yield body.replace(b"16", b"NaN")
    yield body.replace(b"16", b"1e400")
    yield body.replace(b"16", b"016")
    yield body.replace(b": 16", b': "16"')
    yield body.replace(b"{", b'{"__proto__": {"n": 9},', 1)
    yield b"model=gpt-4o-mini&max_tokens=16&messages=hi"
    yield b'--x\r\ncontent-disposition: form-data; name="json"\r\n\r\n' + body + b"\r\n--x--\r\n"


def oddities(sidecar: Sidecar, agent_id: str) -> list[bytes]:
    """Return all of these, for each endpoint, as requests of one agent."""
    made = []
    for one in BILLABLE:
        body = one.raw_body
        usual = raw(sidecar, agent_id, one.bare, body)
        head = usual[: -len(body)].decode().removesuffix("\r\n\r\n")
        made += [odd.encode("latin-1") + b"\r\n\r\n" + body for odd in odd_lines(head)]
        made += [raw(sidecar, agent_id, one.bare, odd) for odd in odd_bodies(body)]
    return made


async def test_odd_http_and_json_reach_nothing_unheld(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """With money: what arrives is held first, and is JSON that says one thing. Without: nothing arrives."""
    rich, poor = sidecar.agent(cents=1_000_000, concurrency="shared"), sidecar.agent(cents=None)
    watch = upstream.director = Watch(sidecar)
    await send_all(sidecar.port, oddities(sidecar, rich))
    assert (watch.unheld, watch.strange) == ([], [])
    for received in upstream.received:
        pairs = json.loads(received.body.decode(), object_pairs_hook=list)
        assert len(dict(pairs)) == len(pairs)
    before = len(upstream.received)
    await send_all(sidecar.port, oddities(sidecar, poor))
    assert len(upstream.received) == before


@pytest.mark.parametrize("order", ["rich first", "poor first"])
async def test_two_names_are_nobody(sidecar: Sidecar, upstream: RecordedUpstream, order: str) -> None:
    """An agent without money is not served by naming one that has some beside itself, in any way."""
    rich, poor = sidecar.agent(cents=1_000_000), sidecar.agent(cents=None)
    names = [rich, poor] if order == "rich first" else [poor, rich]
    body = BILLABLE[0].raw_body
    requests = [
        raw(sidecar, names[0], "/v1/chat/completions", body, f"x-cynsta-agent-id: {names[1]}"),
        raw(sidecar, f"{names[0]}, {names[1]}", "/v1/chat/completions", body),
        raw(sidecar, f"{names[0]},{names[1]}", "/v1/chat/completions", body),
        raw(sidecar, names[0], f"/v1/agents/{names[1]}/runs/r/openai/chat/completions", body),
        raw(sidecar, names[0], "/v1/chat/completions", body, f"X-Cynsta-Agent-ID: {names[1]}"),
        raw(sidecar, names[0], f"/v1/chat/completions?agent={names[1]}", body),
    ]
    answers = await send_all(sidecar.port, requests)
    assert upstream.received == []
    assert {answer.status for answer in answers if answer is not None} <= {400, 402, 403, 404}
