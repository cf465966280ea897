"""What a chat request looks like when it leaves, and its answer when it comes back, byte by byte.

`test_recordings` puts every recording through; here are the odd ones: usage that only we asked for, rejected
keys, white space and numbers as no sane client writes them, headers both ways, every root.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import proxied
from proxied import changes, members, record_of, records_of
from raw_http import Answer, request, send
from recorded import Act, RecordedUpstream, Reply, load
from sidecar import PROVIDER_KEY, Sidecar
from till import nusd

CHAT = "/v1/chat/completions"
FUNDED_CENTS = 5000
FUNDED_NUSD = 50_000_000_000

WORST_OF_07_NUSD = (112 + 64 + 2 * 16) * 2_000 + 16_384 * 8_000
"""gpt-4.1: 112 bytes of messages, 64 for the request and 16 for each message at $2.00 per million, and the
16,384 tokens of output that a request without a cap is allowed at $8.00. It is 131,488,000 nUSD."""

REQUEST_HEADERS = {"host", "content-type", "content-length", "accept", "accept-encoding", "authorization"}
"""What an upstream may get beside `user-agent`."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon for all calls of this file."""
    with Sidecar(tmp_path_factory.mktemp("recordings") / "home", upstream.base_url) as running:
        yield running


@pytest.fixture
def agent(sidecar: Sidecar, upstream: RecordedUpstream) -> str:
    """A fresh agent with 50 USD; what the upstream received before is forgotten."""
    upstream.received.clear()
    upstream.director = lambda _: None
    return sidecar.agent(cents=FUNDED_CENTS)


async def call(
    sidecar: Sidecar, agent: str, body: bytes, *, path: str = CHAT, headers: dict[str, str] | None = None
) -> Answer:
    """Send a chat request as it is."""
    return await proxied.call(sidecar, agent, body, path=path, headers=headers)


def assert_ends_once(sidecar: Sidecar, answer: Answer, end: str, cost_nusd: int) -> None:
    """The journal holds the call, marks it sent, and ends it once, at this cost."""
    records = records_of(sidecar, answer.headers["x-spendguard-call-id"])
    assert [record["t"] for record in records] == ["hold", "sent", end]
    assert records[2].get("cost_nusd", 0) == cost_nusd
    budget = sidecar.budget(records[0]["agent_id"])
    assert nusd(budget["remaining_usd"]) == FUNDED_NUSD - cost_nusd
    assert nusd(budget["settled_usd"]) == cost_nusd
    assert (budget["held_usd"], budget["locked_cents"], budget["locked_run_id"]) == ("0.00", 0, None)


# -- what the sidecar may change in a request --------------------------------------------------------------


ADDED: dict[str, Callable[[object], bool]] = {
    "max_completion_tokens": lambda value: type(value) is int and value > 0,
    "service_tier": lambda value: value == "default",
    "stream_options": lambda value: value == {"include_usage": True},
}
"""What design 5.6 lets the sidecar add to a chat request, and with which values."""


def assert_only_added(sent: bytes, received: bytes, names: set[str]) -> None:
    """The upstream got what the client sent, every byte and in order, and exactly these members after it."""
    changed = changes(sent, received)
    assert set(changed) == names
    text, added = received.decode(), members(received.decode())
    for name, (before, after) in changed.items():
        assert before is None
        assert ADDED[name](after)
        assert text.count("," + added[name]) == 1
        text = text.replace("," + added[name], "")
    assert text.encode() == sent


def assert_headers_rebuilt(
    headers: dict[str, str], port: int, *, stream: bool, user_agent: str | None
) -> None:
    """The upstream got our headers with the operator's key, and nothing of the client's but its name."""
    lower = {name.lower(): value for name, value in headers.items()}
    assert set(lower) == REQUEST_HEADERS | ({"user-agent"} if user_agent else set())
    assert lower["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert lower["accept-encoding"] == "identity"
    assert lower["content-type"] == "application/json"
    assert lower["accept"] == ("text/event-stream" if stream else "application/json")
    assert lower.get("user-agent") == user_agent
    assert str(port) not in lower["host"]


CLIENT_HEADERS = {
    "user-agent": "OpenAI/Python 3.54.0",
    "authorization": "Bearer sk-key-of-the-client",
    "x-api-key": "sk-second-key-of-the-client",
    "cookie": "session=of-the-client",
    "openai-organization": "org-of-the-client",
    "openai-project": "proj-of-the-client",
    "x-stainless-lang": "python",
    "x-forwarded-for": "203.0.113.9",
    "accept-encoding": "gzip, deflate, br",
    "accept": "*/*",
    "te": "trailers",
}


# -- usage that we asked for --------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_bytes", [None, 1, 5])
async def test_the_usage_chunk_that_only_we_asked_for_is_left_out(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, chunk_bytes: int | None
) -> None:
    """09, from a client that did not ask for usage: all but that one event, and the same cost."""
    recording = load("09-openai-chat-stream-tools-usage")
    asked = b', "stream_options": {"include_usage": true}'
    assert recording.request_body.count(asked) == 1
    body = recording.request_body.replace(asked, b"")
    upstream.director = lambda _: Act(chunk_bytes=chunk_bytes)
    answer = await call(sidecar, agent, body)
    events = recording.reply.body.split(b"\n\n")
    ours = [event for event in events if b'"choices":[]' in event]
    assert len(ours) == 1
    assert answer.body == recording.reply.body.replace(ours[0] + b"\n\n", b"")
    (received,) = upstream.received
    assert_only_added(body, received.body, {"max_completion_tokens", "service_tier", "stream_options"})
    assert_ends_once(sidecar, answer, "settle", 53 * 150 + 15 * 600)


async def test_an_invented_stream_hides_its_usage_too(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """The upstream says usage because we ask; the client sees no event without choices, and is charged."""
    body = b'{"model":"gpt-4o-mini","max_tokens":7,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
    answer = await call(sidecar, agent, body)
    events = [event.removeprefix(b"data: ") for event in answer.body.split(b"\n\n") if event]
    assert events[-1] == b"[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert chunks
    assert all(chunk["choices"] and chunk["usage"] is None for chunk in chunks)
    # The recorded upstream bills a quarter of json.dumps(messages), 35 // 4 tokens, and 7 of output.
    assert_ends_once(sidecar, answer, "settle", 8 * 150 + 7 * 600)
    assert json.loads(upstream.received[0].body)["stream_options"] == {"include_usage": True}


async def test_a_client_that_asks_for_usage_gets_its_chunk(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """What the client itself asked for is not taken from it."""
    body = (
        b'{"model":"gpt-4o-mini","max_tokens":7,"stream":true,"stream_options":{"include_usage":true},'
        b'"service_tier":"default","messages":[{"role":"user","content":"hi"}]}'
    )
    answer = await call(sidecar, agent, body)
    assert answer.body.count(b'"choices": []') == 1
    assert upstream.received[0].body == body


# -- 07, 10, 11: at worst, or void -------------------------------------------------------------------------


async def test_without_usage_it_settles_at_worst(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """07: the upstream gives no usage although asked; every byte passes and the hold is charged."""
    recording = load("07-openai-chat-stream-no-usage")
    assert WORST_OF_07_NUSD == 131_488_000
    answer = await call(sidecar, agent, recording.request_body)
    assert (answer.status, answer.body) == (200, recording.reply.body)
    shown = record_of(sidecar, answer)
    assert (shown["state"], shown["usage"]) == ("settled_worst", None)
    assert nusd(shown["hold_usd"]) == WORST_OF_07_NUSD
    assert answer.headers["x-spendguard-held-usd"] == "0.131488"
    assert answer.headers["x-spendguard-max-tokens"] == "asked=none; sent=16384"
    assert_ends_once(sidecar, answer, "settle_worst", WORST_OF_07_NUSD)
    (received,) = upstream.received
    added = {"max_completion_tokens", "service_tier", "stream_options"}
    assert_only_added(recording.request_body, received.body, added)
    assert_headers_rebuilt(dict(received.headers), sidecar.port, stream=True, user_agent=None)
    assert sidecar.control("GET", "/v1/status")["unconfirmed_calls"] >= 1


async def test_a_refusal_of_the_provider_is_voided_and_passed_on(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """10: a 400 in the provider's documented shape costs nothing and comes back as it is."""
    recording = load("10-openai-chat-400")
    answer = await call(sidecar, agent, recording.request_body)
    assert (answer.status, answer.body) == (400, recording.reply.body)
    assert answer.headers["x-spendguard-source"] == "provider"
    assert answer.headers["x-spendguard-cost-usd"] == "0.00"
    assert record_of(sidecar, answer)["state"] == "voided"
    assert_ends_once(sidecar, answer, "void", 0)
    assert_only_added(
        recording.request_body, upstream.received[0].body, {"max_completion_tokens", "service_tier"}
    )


async def test_a_rejected_key_is_voided_and_its_answer_replaced(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """11: a 401 may repeat the key, so the client gets our words, and none of the provider's."""
    recording = load("11-openai-chat-401")
    answer = await call(sidecar, agent, recording.request_body)
    assert answer.status == 503
    told = answer.json()
    assert told["spendguard"]["code"] == told["error"]["code"] == "provider_key_rejected"
    assert told["spendguard"]["provider_status"] == 401
    assert told["spendguard"]["agent_id"] == agent
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-spendguard-source"] == "spendguard"
    theirs = json.loads(recording.reply.body)["error"]
    whole = answer.body.decode() + repr(dict(answer.headers))
    for text in (theirs["message"], theirs["code"]):
        assert not [text[at : at + 10] for at in range(len(text) - 9) if text[at : at + 10] in whole]
    assert record_of(sidecar, answer)["state"] == "voided"
    assert_ends_once(sidecar, answer, "void", 0)
    assert len(upstream.received) == 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("stream", [False, True])
async def test_no_size_of_a_rejection_lets_the_key_through(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, status: int, *, stream: bool
) -> None:
    """An answer too large to keep is not relayed either; and what was not read proves nothing: worst."""
    message = f"Incorrect API key provided: {PROVIDER_KEY}. " + "x" * (9 * 2**20)
    body = json.dumps({"error": {"message": message, "type": "t", "param": None, "code": "c"}}).encode()
    upstream.script(Act(reply=Reply(status, {"content-type": "application/json"}, body)))
    asked = {"model": "gpt-4o-mini", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    answer = await call(sidecar, agent, json.dumps(asked).encode())
    assert (answer.status, answer.json()["spendguard"]["code"]) == (503, "provider_key_rejected")
    assert len(answer.body) < 2_000
    assert record_of(sidecar, answer)["state"] == "settled_worst"


async def test_a_rejection_in_no_documented_shape_says_what_it_charged(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """A 403 of some proxy in between proves nothing: charged at worst, and the answer says so."""
    upstream.script(Act(reply=Reply(403, {"content-type": "text/html"}, b"<h1>Forbidden</h1>")))
    body = b'{"model":"gpt-4o-mini","max_tokens":7,"messages":[{"role":"user","content":"hi"}]}'
    answer = await call(sidecar, agent, body)
    shown = record_of(sidecar, answer)
    assert (answer.status, shown["state"]) == (503, "settled_worst")
    assert answer.json()["spendguard"]["charged_usd"] == shown["cost_usd"] == shown["hold_usd"]
    assert "nothing was charged" not in answer.json()["detail"]


# -- refused ----------------------------------------------------------------------------------------------


async def test_a_model_without_a_price_is_refused(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """08: there is no card for muse-spark-1.1; the answer names it, and where an operator gives one."""
    before = sidecar.budget(agent)
    answer = await call(sidecar, agent, load("08-openai-chat-stream-usage").request_body)
    assert answer.status == 400
    assert answer.json()["detail"] == "Unknown model for pricing: openai:muse-spark-1.1"
    assert answer.json()["spendguard"]["code"] == "unknown_model"
    assert answer.json()["spendguard"]["model"] == "muse-spark-1.1"
    assert answer.json()["spendguard"]["setting"] == "[prices.overrides]"
    assert_untouched(sidecar, upstream, agent, before)


def assert_untouched(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, before: dict[str, Any]
) -> None:
    """Nothing was forwarded and no money moved."""
    assert upstream.received == []
    assert sidecar.budget(agent) == before
    held = [record for record in sidecar.journal() if record["t"] == "hold" and record["agent_id"] == agent]
    assert held == []
    assert [shown["state"] for shown in sidecar.calls(agent)] == ["refused"]


# -- what the upstream receives -----------------------------------------------------------------------------

ODD = (
    '\n{ "messages" :\t[ {"role":"user", "content":"caf\\u00e9 \u00e9 \\ud83d\\ude00 \\/", '
    '"x" : [1.0, 1E2, -0] } ],\r\n'
    ' "temperature":0.50 , "mod\\u0065l" : "gpt-4o-mini","seed":12345678901234567890,"stop":null%s } \n'
)
"""A body as no sane client writes it: white space, escapes, numbers in several forms."""

TIER = ',"service_tier":"default"'


@pytest.mark.parametrize(
    ("tail", "replaced"),
    [
        (',"service_tier":"default","max_tokens":5', None),
        (',"service_tier":"default","max_completion_tokens" : 5', None),
        (',"service_tier":"default","max_tokens" : 999999', ("999999", "16384")),
        (',"service_tier":"default","max_completion_tokens": 99999 ', (" 99999 ", " 16384 ")),
        (',"max_tokens":5, "service_tier" : "auto" ', ('"auto"', '"default"')),
        (',"max_tokens":5, "service_tier" : null ', ('service_tier" : null', 'service_tier" : "default"')),
        (
            TIER + ',"max_tokens":5,"stream":true,"stream_options":{"include_usage": false}',
            ("false", "true"),
        ),
        (
            TIER + ',"max_tokens":5,"stream":true,"stream_options": {"include_obfuscation":false}',
            ('n":false}', 'n":false,"include_usage":true}'),
        ),
        (
            ',"service_tier":"default","max_tokens": null , "user":"u"',
            ('"max_tokens": null', '"max_completion_tokens":16384'),
        ),
    ],
)
async def test_every_byte_but_one_value_stays(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, tail: str, replaced: tuple[str, str] | None
) -> None:
    """An odd body leaves byte-identical, or with exactly the one value changed that bounds its cost."""
    body = ODD % tail
    answer = await call(sidecar, agent, body.encode())
    assert answer.status == 200
    if replaced is not None:
        assert body.count(replaced[0]) == 1
        body = body.replace(*replaced)
    assert upstream.received[0].body.decode() == body
    assert bool(record_of(sidecar, answer)["changed"]) == (replaced is not None)


async def test_a_cap_is_clamped_to_the_money_and_said(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """With one cent, 16,384 tokens at 600 nUSD fit only because the clamp makes fewer of them."""
    upstream.received.clear()
    agent = sidecar.agent(cents=1)
    messages = [{"role": "user", "content": "x" * 5_000}]
    body = {"model": "gpt-4o", "max_tokens": 5_000, "messages": messages, "service_tier": "default"}
    answer = await call(sidecar, agent, json.dumps(body).encode())
    # 1 cent is 10,000,000 nUSD; gpt-4o is 2,500 in and 10,000 out. 5,030 bytes of compact messages, 64, 16:
    # 5,110 tokens bound the input at 12,775,000: nothing is left for output.
    assert answer.status == 402
    assert answer.json()["spendguard"]["affordable_max_tokens"] == 0
    messages[0]["content"] = "x" * 1_000
    answer = await call(sidecar, agent, json.dumps(body).encode())
    # 1,030 + 64 + 16 = 1,110 in: 2,775,000. The rest, 7,225,000, is 722 tokens: below the floor of 1,024.
    assert answer.status == 402
    assert answer.json()["spendguard"]["affordable_max_tokens"] == 722
    assert answer.json()["spendguard"]["floor_output_tokens"] == 1_024
    assert answer.json()["spendguard"]["worst_case_usd"] == "0.052775"
    assert "max_tokens 722 would fit" in answer.json()["detail"]
    body["model"] = "gpt-4.1-mini"  # $0.40 and $1.60: 444,000 in, and 9,556,000 / 1,600 = 5,972 out
    body["max_tokens"] = 6_000
    answer = await call(sidecar, agent, json.dumps(body).encode())
    assert answer.status == 200
    assert answer.headers["x-spendguard-max-tokens"] == "asked=6000; sent=5972"
    (received,) = upstream.received
    assert received.body == json.dumps({**body, "max_tokens": 5_972}).encode()


async def test_headers_are_an_allow_list_both_ways(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str
) -> None:
    """Nothing of the provider's but what clients need comes back; a beta header is stripped, and said."""
    reply = Reply(
        200,
        {
            "content-type": "application/json",
            "x-request-id": "req_1",
            "openai-processing-ms": "7",
            "x-ratelimit-remaining-tokens": "5",
            "set-cookie": "__cf_bm=1; path=/",
            "openai-organization": "org-of-the-operator",
            "cf-ray": "1",
            "x-spendguard-cost-usd": "0.000000001",
            "x-spendguard-call-id": "forged",
        },
        load("01-openai-chat-plain").reply.body,
    )
    upstream.script(Act(reply=reply))
    headers = {**CLIENT_HEADERS, "openai-beta": "responses_multi_agent=v1"}
    answer = await call(sidecar, agent, load("01-openai-chat-plain").request_body, headers=headers)
    passed = {
        name for name in answer.headers if name not in {"date", "server", "content-length", "connection"}
    }
    assert passed == {
        "content-type",
        "x-request-id",
        "openai-processing-ms",
        "x-ratelimit-remaining-tokens",
        "x-spendguard-call-id",
        "x-spendguard-source",
        "x-spendguard-held-usd",
        "x-spendguard-max-tokens",
        "x-spendguard-cost-usd",
        "x-spendguard-remaining-cents",
        "x-spendguard-stripped",
    }
    assert answer.headers["x-spendguard-stripped"] == "header:openai-beta"
    assert answer.headers["x-spendguard-cost-usd"] == "0.0000087"
    assert record_of(sidecar, answer)["state"] == "settled"
    received = upstream.received[0]
    assert_headers_rebuilt(
        dict(received.headers), sidecar.port, stream=False, user_agent="OpenAI/Python 3.54.0"
    )
    assert b"of-the-client" not in received.body


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/v1/agents/{agent}/runs/run-7/v1/chat/completions",
        "/v1/agents/{agent}/runs/run-7/openai/v1/chat/completions",
        "/v1/agents/{agent}/runs/run-7/openai/chat/completions",
    ],
)
async def test_every_root_leads_to_the_same_call(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, path: str
) -> None:
    """Bare, by provider, and both under a run; under a run the path alone names the agent."""
    recording = load("01-openai-chat-plain")
    named = "{agent}" in path
    raw = request(
        sidecar.port,
        path.format(agent=agent),
        {} if named else {"x-cynsta-agent-id": agent, "x-cynsta-run-id": "run-7"},
        recording.request_body,
    )
    answer = await send(sidecar.port, raw)
    assert answer is not None
    assert answer.body == recording.reply.body
    assert record_of(sidecar, answer)["run_id"] == "run-7"
    assert [received.path for received in upstream.received] == [CHAT]
