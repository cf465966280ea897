"""Requests that two servers would read in two ways, and words of a client that must not reach a provider.

Everything goes over raw sockets to a running daemon; the replayed provider writes down what it got, and a
listener that nobody may ever connect to stands for the server of an attacker.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from raw_http import Answer, leave_now, send
from recorded import Act, RecordedUpstream, Reply
from sidecar import ANTHROPIC_KEY, GEMINI_KEY, PROVIDER_KEY, Sidecar
from trap import Trap
from until import until

CHAT = "/v1/chat/completions"
BODY = (
    b'{"model":"gpt-4o-mini","max_tokens":10,"messages":[{"role":"user","content":"hi"}],'
    b'"service_tier":"default"}'
)
SIZE = b"%x" % len(BODY)
SILENT_SECONDS = 0.5
QUICK = {"SPENDGUARD_LIMITS_BODY_SECONDS": "1", "SPENDGUARD_LIMITS_HEADER_SECONDS": "1"}


@pytest.fixture(scope="module")
def running() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture
def upstream(running: RecordedUpstream) -> RecordedUpstream:
    """The provider, which has received nothing yet."""
    running.received.clear()
    return running


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, running: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon."""
    with Sidecar(tmp_path_factory.mktemp("smuggling") / "home", running.base_url, env=QUICK) as started:
        yield started


@pytest.fixture(scope="module")
def agent(sidecar: Sidecar) -> str:
    """An agent with money for everything in this file."""
    return sidecar.agent(cents=1_000_000, concurrency="shared")


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    """Where nobody may ever connect to."""
    with Trap() as set_up:
        yield set_up
        assert not set_up.sprung


def head(sidecar: Sidecar, agent: str, *lines: str, first: str = f"POST {CHAT} HTTP/1.1") -> bytes:
    """Return the head of an agent's call with more lines."""
    named = [f"host: 127.0.0.1:{sidecar.port}", f"x-cynsta-agent-id: {agent}"]
    typed = ["content-type: application/json", "connection: close"]
    return "\r\n".join([first, *named, *typed, *lines, "", ""]).encode("latin-1")


async def talk(sidecar: Sidecar, raw: bytes) -> bytes:
    """Send bytes; return all that comes back until the daemon closes, or says no more after an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    received = bytearray()
    try:
        writer.write(raw)
        async with asyncio.timeout(30):
            received += await reader.read(65_536)
        while received:
            async with asyncio.timeout(SILENT_SECONDS):
                chunk = await reader.read(65_536)
            if not chunk:
                break
            received += chunk
    except (ConnectionError, TimeoutError):
        pass
    finally:
        await leave_now(writer)
    return bytes(received)


# -- two readings of one request ----------------------------------------------------------------------------

LENGTH = f"content-length: {len(BODY)}"
CHUNKED = "transfer-encoding: chunked"
CHUNKS = SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
AMBIGUOUS: dict[str, tuple[tuple[str, ...], bytes]] = {
    "length, then chunked": ((LENGTH, CHUNKED), CHUNKS),
    "chunked, then length": ((CHUNKED, LENGTH), CHUNKS),
    "chunked and no length": ((CHUNKED, "content-length: 0"), CHUNKS),
    "two lengths": ((LENGTH, "content-length: 0"), BODY),
    "twice the same length": ((LENGTH, LENGTH), BODY),
    "a list of lengths": ((f"{LENGTH}, {len(BODY)}",), BODY),
    "a plus": ((f"content-length: +{len(BODY)}",), BODY),
    "a minus": ((f"content-length: -{len(BODY)}",), BODY),
    "hex": ((f"content-length: 0x{len(BODY):x}",), BODY),
    "an underscore": (("content-length: 1_0",), BODY),
    "no digits of ASCII": (("content-length: \xb2",), BODY),
    "space before the colon": ((f"content-length : {len(BODY)}",), BODY),
    "identity": (("transfer-encoding: identity", LENGTH), BODY),
    "identity, chunked": (("transfer-encoding: identity, chunked",), CHUNKS),
    "chunked, identity": (("transfer-encoding: chunked, identity",), CHUNKS),
    "chunked twice": ((CHUNKED, CHUNKED), CHUNKS),
    "xchunked": (("transfer-encoding: xchunked",), CHUNKS),
    "a tab in chunked": (("transfer-encoding: \x0bchunked",), CHUNKS),
    "chunked, quoted": (('transfer-encoding: "chunked"',), CHUNKS),
    "gzip, chunked": (("transfer-encoding: gzip, chunked",), CHUNKS),
    "a folded line": ((LENGTH, "x-a: b", " folded: yes"), BODY),
    "a folded encoding": (("transfer-encoding:", " chunked", LENGTH), CHUNKS),
    "NUL": ((LENGTH, "x-a: b\x00c"), BODY),
    "NUL in a name": ((LENGTH, "x-\x00a: b"), BODY),
    "carriage return": ((LENGTH, "x-a: b\rtransfer-encoding: chunked"), BODY),
    "bare line feed": ((LENGTH, "x-a: b\ntransfer-encoding: chunked"), BODY),
    "no colon": ((LENGTH, "nonsense"), BODY),
    "no name": ((LENGTH, ": nonsense"), BODY),
    "two hosts": ((LENGTH, "host: api.openai.com"), BODY),
    "size in hex with 0x": ((CHUNKED,), b"0x" + CHUNKS),
    "negative size": ((CHUNKED,), b"-" + CHUNKS),
    "size with a plus": ((CHUNKED,), b"+" + CHUNKS),
    "size and a space": ((CHUNKED,), CHUNKS.replace(SIZE, SIZE + b" 1", 1)),
    "no size": ((CHUNKED,), b"\r\n" + BODY),
    "size of 17 digits": ((CHUNKED,), b"1" + b"0" * 16 + b"\r\n" + BODY),
    "size too small": ((CHUNKED,), CHUNKS.replace(SIZE, b"5", 1)),
    "size too large": ((CHUNKED,), CHUNKS.replace(SIZE, b"ffff", 1) + b"0\r\n\r\n"),
    "sizes end with a line feed": ((CHUNKED,), CHUNKS.replace(b"\r\n", b"\n")),
    "extension with a line feed": ((CHUNKED,), CHUNKS.replace(SIZE, SIZE + b";a=\nb", 1)),
}
"""Header lines and body of one call, which some server somewhere would cut elsewhere."""


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_two_readings_of_one_request(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, name: str
) -> None:
    """Refused once, and the call that is hidden behind it never leaves."""
    lines, body = AMBIGUOUS[name]
    hidden = head(sidecar, agent, LENGTH) + BODY
    received = await talk(sidecar, head(sidecar, agent, *lines) + body + hidden)
    assert received.count(b"HTTP/1.") == 1
    assert received[9:12] == b"400", received
    assert upstream.received == []


ONE_READING: dict[str, tuple[tuple[str, ...], bytes]] = {
    "chunks": ((CHUNKED,), CHUNKS),
    "an extension": ((CHUNKED,), CHUNKS.replace(SIZE, SIZE + b";name=value", 1)),
    "leading zeros": ((CHUNKED,), b"0000" + CHUNKS),
    "trailers": ((CHUNKED,), CHUNKS[:-2] + b"x-cynsta-agent-id: other\r\nauthorization: Bearer x\r\n\r\n"),
    "te": ((LENGTH, "te: trailers, deflate"), BODY),
    "upgrade to h2c": ((LENGTH, "upgrade: h2c", "http2-settings: AAMAAABk", "connection: upgrade"), BODY),
    "upgrade to a websocket": ((LENGTH, "upgrade: websocket", "connection: upgrade"), BODY),
    "our headers named as hop by hop": ((LENGTH, "connection: x-cynsta-agent-id, content-length"), BODY),
    "expect": ((LENGTH, "expect: 100-continue"), BODY),
}
"""What has one meaning: if it is served, then as what it is."""


@pytest.mark.parametrize("name", ONE_READING)
async def test_one_reading_is_served_as_what_it_is(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, name: str
) -> None:
    """At most one call, with this body and for this agent; what hides behind an upgrade is none."""
    lines, body = ONE_READING[name]
    received = await talk(sidecar, head(sidecar, agent, *lines) + body)
    assert b"HTTP/1.1 101" not in received
    assert received.count(b"HTTP/1.1 200") <= 1
    assert [one.body for one in upstream.received] in ([], [BODY])
    for one in upstream.received:
        assert one.headers.get("Connection", "keep-alive").lower() == "keep-alive"
        assert not {"te", "trailer", "upgrade", "transfer-encoding", "expect", "http2-settings"} & {
            header.lower() for header in one.headers
        }


@pytest.mark.parametrize(
    "first",
    [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /health\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        f"POST {CHAT} HTTP/1.1 HTTP/1.1\r\n",
        f"POST  {CHAT} HTTP/1.1\r\n",
        f"POST\t{CHAT}\tHTTP/1.1\r\n",
        "CONNECT api.openai.com:443 HTTP/1.1\r\nhost: api.openai.com:443\r\n\r\n",
        "GET http://api.openai.com/v1/models HTTP/1.1\r\nhost: api.openai.com\r\n\r\n",
    ],
)
async def test_other_protocols_and_proxy_requests(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, first: str
) -> None:
    """HTTP/2 with prior knowledge, HTTP/0.9, TLS, tunnels, forward proxies: nothing passes through."""
    received = await talk(sidecar, first.encode("latin-1") + head(sidecar, agent, LENGTH) + BODY)
    assert received[9:12] in (b"400", b"421", b"")
    assert b"200 " not in received
    assert upstream.received == []


# -- what a provider gets to see ----------------------------------------------------------------------------

WORDS = [
    "authorization: Bearer sk-of-the-client",
    "x-api-key: sk-of-the-client",
    "x-goog-api-key: sk-of-the-client",
    "api-key: sk-of-the-client",
    "proxy-authorization: Basic c2VjcmV0",
    "proxy-connection: keep-alive",
    "cookie: session=secret",
    "forwarded: for=1.2.3.4;host=evil.example",
    "x-forwarded-for: 1.2.3.4",
    "x-forwarded-host: evil.example",
    "x-forwarded-proto: http",
    "x-real-ip: 1.2.3.4",
    "via: 1.1 evil",
    "x-original-url: /v1/files",
    "x-rewrite-url: /v1/files",
    "x-http-method-override: DELETE",
    "openai-organization: org-evil",
    "openai-project: proj-evil",
    "anthropic-dangerous-direct-browser-access: true",
    "x-goog-user-project: evil",
    "accept-encoding: gzip, br, zstd",
    "te: trailers",
    "keep-alive: timeout=5",
    "range: bytes=0-1",
    "if-none-match: x",
    "referer: http://evil.example",
    "baggage: secret=1",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-stainless-lang: python",
    "x-cynsta-run-id: r",
    "x-spendguard-actor: me",
    "x-secret: s3cret",
]
CONNECTIONS = "connection: close, x-secret, content-type, authorization"
ALLOWED = {
    "host",
    "content-length",
    "content-type",
    "accept",
    "accept-encoding",
    "user-agent",
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "anthropic-version",
}
CALLS = {
    CHAT: (BODY, "authorization", f"Bearer {PROVIDER_KEY}"),
    "/v1/messages": (
        BODY.replace(b"gpt-4o-mini", b"claude-sonnet-4-5-20250929").replace(b'"default"', b'"standard_only"'),
        "x-api-key",
        ANTHROPIC_KEY,
    ),
    "/v1beta/models/gemini-2.5-flash:generateContent": (
        b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":10}}',
        "x-goog-api-key",
        GEMINI_KEY,
    ),
}


@pytest.mark.parametrize("path", CALLS)
async def test_headers_are_ours(sidecar: Sidecar, upstream: RecordedUpstream, agent: str, path: str) -> None:
    """The request is built anew: no key, cookie, hop-by-hop or forwarding header of the client leaves."""
    body, slot, key = CALLS[path]
    lines = [*WORDS, CONNECTIONS, f"content-length: {len(body)}", "user-agent: mine/1"]
    raw = head(sidecar, agent, *lines, first=f"POST {path} HTTP/1.1")
    answer = await send(sidecar.port, raw.replace(b"connection: close\r\n", b"", 1) + body)
    assert answer is not None
    (got,) = upstream.received
    headers = {name.lower(): value for name, value in got.headers.items()}
    assert set(headers) <= ALLOWED, set(headers) - ALLOWED
    assert headers[slot] == key
    assert [name for name, value in headers.items() if "sk-of" in value or "evil" in value] == []
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] in upstream.base_url
    assert agent not in repr(got.headers) and sidecar.token not in repr(got.headers)


FIELDS = [
    "api_base",
    "base_url",
    "api_key",
    "api_type",
    "url",
    "endpoint",
    "proxy",
    "extra_headers",
    "extra_query",
    "extra_body",
    "custom_llm_provider",
    "webhook_url",
    "azure_endpoint",
    "aws_sagemaker_runtime_endpoint",
]


@pytest.mark.parametrize("field", FIELDS)
async def test_a_body_does_not_name_the_provider(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, trap: Trap, field: str
) -> None:
    """Fields that other proxies obey are refused, wherever they stand, and nobody is called."""
    value: Any = {"host": trap.url} if field.startswith("extra") else trap.url
    for more in ({field: value}, {"metadata": {field: value}, field: None}):
        body = json.dumps({**json.loads(BODY), **more}).encode()
        answer = await send(sidecar.port, head(sidecar, agent, f"content-length: {len(body)}") + body)
        assert answer is not None
        assert answer.status == 400
    assert upstream.received == []
    assert not trap.sprung


HEADERS = [
    "x-forwarded-host",
    "x-openai-base-url",
    "openai-base-url",
    "x-base-url",
    "x-api-base",
    "x-litellm-api-base",
    "x-target-url",
    "x-upstream",
    "x-original-host",
    "x-host",
    "helicone-target-url",
    "x-portkey-custom-host",
    "cf-aig-url",
    "proxy",
]


async def test_no_header_names_the_provider(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, trap: Trap
) -> None:
    """They are no news to us: the call goes where the operator said."""
    for name in HEADERS:
        raw = head(sidecar, agent, LENGTH, f"{name}: {trap.url}", f"{name}: 127.0.0.1:{trap.port}") + BODY
        answer = await send(sidecar.port, raw)
        assert answer is not None
        assert answer.status == 200
    assert len(upstream.received) == len(HEADERS)
    assert not trap.sprung


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", [*CALLS, "/v1/messages/count_tokens"])
async def test_no_redirect_is_followed(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, trap: Trap, status: int, path: str
) -> None:
    """The key would go with it. The client does not learn of the place either."""
    body = CALLS.get(path, CALLS["/v1/messages"])[0]
    if path.endswith("count_tokens"):
        body = b'{"model":"claude-sonnet-4-5-20250929","messages":[{"role":"user","content":"hi"}]}'
    upstream.script(Act(reply=Reply(status, {"location": f"{trap.url}/v1"}, b"")))
    raw = head(sidecar, agent, f"content-length: {len(body)}", first=f"POST {path} HTTP/1.1") + body
    answer: Answer | None = await send(sidecar.port, raw)
    assert answer is not None
    assert "location" not in answer.headers
    assert trap.url.encode() not in answer.body
    assert len(upstream.received) == 1
    assert not trap.sprung


def test_every_call_of_this_file_has_ended(sidecar: Sidecar) -> None:
    """And no fault of the daemon's own was logged."""
    until(lambda: sidecar.control("GET", "/v1/status")["calls_in_flight"] == 0)
    lines = [json.loads(line) for line in sidecar.home.log.read_text().splitlines()]
    assert [line for line in lines if line["level"] not in ("info", "warning")] == []
