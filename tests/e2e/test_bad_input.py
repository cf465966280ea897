"""Bad input of every kind: answered as design 6 says, nothing forwarded, no money moved.

One running daemon takes it all, one request after another. After each of them the upstream has received
nothing, the agent's budget is what it was to the letter, and no journal record speaks of a hold.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from raw_http import Answer, send
from recorded import RecordedUpstream
from sidecar import Sidecar

CHAT = "/v1/chat/completions"
BODY_BYTES_MAX = 32 * 2**20
HOSTILE = "\x1b]0;pwned\x07\x1b[31m"
GOOD: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 16,
}


class Target:
    """The daemon under test, an agent with money, and what must still be true after each request."""

    def __init__(self, sidecar: Sidecar, upstream: RecordedUpstream) -> None:
        self.sidecar, self.upstream = sidecar, upstream
        self.agent = sidecar.agent()
        self.poor = sidecar.agent(cents=None)
        self.mock = sidecar.agent(mock=True)
        self.before = sidecar.budget(self.agent)
        self.agents = len(sidecar.control("GET", "/v1/agents")["agents"])

    async def raw(self, data: bytes) -> Answer:
        """Send bytes as they are; return the answer."""
        answer = await send(self.sidecar.port, data)
        assert answer is not None
        assert answer.whole
        return answer

    async def raw_answers(self, data: bytes) -> bytes:
        """Send bytes as they are; return all that comes until the daemon closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.sidecar.port)
        async with asyncio.timeout(10):
            writer.write(data)
            received = await reader.read()
        writer.close()
        return received

    async def ask(
        self,
        body: bytes | dict[str, Any] | None = None,
        *,
        headers: dict[str, str | None] | None = None,
        lines: tuple[str, ...] = (),
        path: str = CHAT,
        method: str = "POST",
    ) -> Answer:
        """Send a chat call with some headers changed (None: left out) and header lines added as they are."""
        raw = GOOD if body is None else body
        content = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        named: dict[str, str | None] = {
            "host": f"127.0.0.1:{self.sidecar.port}",
            "connection": "close",
            "content-type": "application/json",
            "x-cynsta-agent-id": self.agent,
            "content-length": str(len(content)),
            **(headers or {}),
        }
        target = path.format(agent=self.agent, poor=self.poor, port=self.sidecar.port)
        head = [f"{method} {target} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in named.items() if value is not None]
        head += [line.format(agent=self.agent, poor=self.poor, port=self.sidecar.port) for line in lines]
        return await self.raw("\r\n".join([*head, "", ""]).encode("latin-1") + content)

    async def control(self, method: str, path: str, body: bytes, *lines: str) -> Answer:
        """Send a control request with the admin token."""
        token = f"authorization: Bearer {self.sidecar.token}"
        return await self.ask(body, path=path, method=method, lines=(token, *lines))

    def assert_untouched(self) -> None:
        """Nothing was forwarded, no money moved, no agent was made."""
        assert self.upstream.received == []
        assert self.sidecar.budget(self.agent) == self.before
        assert not [record for record in self.sidecar.journal() if record["t"] in ("hold", "sent")]
        assert len(self.sidecar.control("GET", "/v1/agents")["agents"]) == self.agents
        assert self.sidecar.control("GET", "/v1/status")["calls_in_flight"] == 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One daemon for all the bad input."""
    home = tmp_path_factory.mktemp("bad") / "home"
    with RecordedUpstream() as upstream, Sidecar(home, upstream.base_url) as sidecar:
        yield Target(sidecar, upstream)


@pytest.fixture
def target(running: Target) -> Iterator[Target]:
    """The daemon; whatever a test sent to it, nothing has come of it."""
    yield running
    running.assert_untouched()


def assert_refused(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The refusal has the provider's error shape, our facts, and its headers; return the facts."""
    told = answer.json()
    assert (answer.status, told["spendguard"]["code"]) == (status, code), told
    assert told["error"]["message"] == told["detail"]
    assert told["error"]["code"] == code
    assert set(told["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-spendguard-source"] == "spendguard"
    assert answer.headers["x-spendguard-call-id"] == told["spendguard"]["call_id"]
    assert "budget topup" not in answer.body.decode()
    assert "\x1b" not in told["detail"]
    facts: dict[str, Any] = told["spendguard"]
    return facts


def good(**changes: object) -> bytes:
    """Return a good body with some members changed; a member set to `...` is left out."""
    return json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not ...}).encode()


def said(content: object) -> bytes:
    """Return a good body with this content."""
    return good(messages=[{"role": "user", "content": content}])


# -- the test can fail -------------------------------------------------------------------------------------


async def test_a_good_call_does_move_money(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The very same request, unspoilt, is forwarded: the checks below do not see nothing by chance."""
    home = tmp_path_factory.mktemp("good") / "home"
    with RecordedUpstream() as upstream, Sidecar(home, upstream.base_url) as sidecar:
        target = Target(sidecar, upstream)
        assert (await target.ask()).status == 200
        assert len(upstream.received) == 1
        assert sidecar.budget(target.agent) != target.before
        assert [record for record in sidecar.journal() if record["t"] == "hold"]


# -- who ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "  "])
async def test_no_agent(target: Target, value: str | None) -> None:
    """No header, or an empty one."""
    answer = await target.ask(headers={"x-cynsta-agent-id": value})
    assert_refused(answer, 400, "missing_agent")
    assert answer.json()["detail"] == "Missing x-cynsta-agent-id header"
    told = answer.json()["spendguard"]
    assert (told["path"], told["charged_usd"]) == ("x-cynsta-agent-id", "0")
    assert "an agent key" in told["expected"]


@pytest.mark.parametrize(
    "value",
    [
        "4f0e7f9e-8d1a-4a55-9c59-0b8f5a2f7b11",
        "my-agent",
        "../../etc/passwd",
        "'; drop table agents; --",
        "%00",
        "\xff\xfe",
        "a" * 4000,
    ],
)
async def test_unknown_agent(target: Target, value: str) -> None:
    """An id that no agent has, and things that are no id."""
    answer = await target.ask(headers={"x-cynsta-agent-id": value})
    assert_refused(answer, 404, "agent_not_found")
    assert answer.json()["detail"].startswith("Agent not found")


async def test_no_budget(target: Target) -> None:
    """An agent without a grant has nothing to hold."""
    answer = await target.ask(headers={"x-cynsta-agent-id": target.poor})
    facts = assert_refused(answer, 402, "budget_not_set")
    assert facts["agent_id"] == target.poor


async def test_the_mock_is_for_its_own_agents(target: Target) -> None:
    """Mock money is not real money: neither way round."""
    assert_refused(await target.ask(good(model="mock-small")), 403, "mock_only")
    assert_refused(await target.ask(good(model="mock-small"), path=f"/openai{CHAT}"), 400, "unknown_model")
    assert_refused(await target.ask(path=f"/mock{CHAT}"), 400, "unknown_model")


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        (CHAT, ("x-cynsta-agent-id: {poor}",)),
        ("/v1/agents/{poor}/runs/r/openai/chat/completions", ()),
        ("/v1/agents/{agent}/runs/r/openai/chat/completions", ("x-cynsta-run-id: other",)),
        (CHAT, ("x-cynsta-run-id: one", "x-cynsta-run-id: two")),
    ],
)
async def test_conflicting_identities(target: Target, path: str, lines: tuple[str, ...]) -> None:
    """All that names an agent or a run must name the same one."""
    assert_refused(await target.ask(path=path, lines=lines), 403, "identity_conflict")


async def test_an_unknown_agent_key(target: Target) -> None:
    """What looks like an agent key and is none does not fall back to the header."""
    for line in ("authorization: Bearer sg_agent_0000", "x-api-key: sg_agent_0000"):
        assert_refused(await target.ask(lines=(line,)), 401, "key_unknown")


@pytest.mark.parametrize(
    "run", ["a b", "a/b", "../x", "é", "a\tb", "a" * 129, "x;y", "x\\y", "<script>", "${HOME}", "\xff"]
)
@pytest.mark.parametrize("header", ["x-cynsta-run-id", "x-claude-code-session-id"])
async def test_hostile_run_ids(target: Target, header: str, run: str) -> None:
    """Run ids go into the journal and onto terminals: an allow-list of characters."""
    facts = assert_refused(await target.ask(headers={header: run}), 400, "malformed_request")
    assert facts["path"] == "run id"


# -- bodies that are not one clean JSON object -------------------------------------------------------------

NOT_JSON = {
    "empty": b"",
    "white space": b" \r\n\t ",
    "text": b"hello",
    "truncated": good()[:-1],
    "single quotes": b"{'model': 'gpt-4o-mini'}",
    "unquoted key": b'{model: "gpt-4o-mini"}',
    "comment": b'{"model": "gpt-4o-mini" /* x */}',
    "trailing comma": good()[:-1] + b",}",
    "form": b"model=gpt-4o-mini",
    "null": b"null",
    "true": b"true",
    "number": b"5",
    "string": b'"hello"',
    "array": b"[" + good() + b"]",
    "trailing object": good() + good(),
    "trailing letter": good() + b"x",
    "trailing NUL": good() + b"\0",
    "leading NUL": b"\0" + good(),
    "raw control character": said("a").replace(b'"a"', b'"a\x01"'),
    "UTF-8 BOM": b"\xef\xbb\xbf" + good(),
    "UTF-16": good().decode().encode("utf-16"),
    "UTF-16-LE without BOM": good().decode().encode("utf-16-le"),
    "UTF-32": good().decode().encode("utf-32"),
    "latin-1": said("caf").replace(b"caf", b"caf\xe9"),
    "overlong UTF-8": said("caf").replace(b"caf", b"caf\xc0\xaf"),
    "raw surrogate": said("caf").replace(b"caf", b"caf\xed\xa0\x80"),
    "NaN": good().replace(b"16", b"NaN"),
    "NaN, ignored field": good(temperature=0)[:-1] + b', "top_p": NaN}',
    "Infinity": good().replace(b"16", b"Infinity"),
    "-Infinity in a schema": good(tools=[{"type": "function", "function": {"x": 0}}]).replace(
        b'"x": 0', b'"x": -Infinity'
    ),
    "beyond a double": good().replace(b"16", b"1e999"),
    "endless integer": good().replace(b"16", b"1" * 5_000),
    "depth 10^4, arrays": said("@").replace(b'"@"', b"[" * 10_000 + b"]" * 10_000),
    "depth 10^4, objects": said("@").replace(b'"@"', b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "depth 10^4, unclosed": b"[" * 10_000,
    "depth 10^4, in metadata": good(metadata={"a": 0}).replace(b'"a": 0', b'"a": ' + b"[" * 10_000),
    "lone high surrogate": said("@").replace(b"@", b"\\ud800"),
    "lone low surrogate": said("@").replace(b"@", b"\\udfff tail"),
    "surrogates the wrong way round": said("@").replace(b"@", b"\\udc00\\ud800"),
    "lone surrogate in a key": good(metadata={"@": "x"}).replace(b"@", b"\\uD8Ff"),
}


@pytest.mark.parametrize("name", NOT_JSON)
async def test_not_one_clean_object(target: Target, name: str) -> None:
    """Read strictly: what two readers could read in two ways is not read at all."""
    assert_refused(await target.ask(NOT_JSON[name]), 400, "malformed_request")


TWICE = {
    "model": (b'{"model": "gpt-4o-mini", ' + good()[1:], "model"),
    "max_tokens": (good()[:-1] + b', "max_tokens": 1}', "max_tokens"),
    "escaped key": (good()[:-1] + b', "max\\u005ftokens": 1}', "max_tokens"),
    "escaped letter": (good()[:-1] + b', "\\u006dodel": "gpt-4o-mini"}', "model"),
    "null and value": (good()[:-1] + b', "max_tokens": null}', "max_tokens"),
    "in a message": (said("a").replace(b'"content"', b'"content": "b", "content"'), "messages[0].content"),
    "in a message, escaped": (
        said("a").replace(b'"content"', b'"content": "b", "c\\u006fntent"'),
        "messages[0].content",
    ),
    "in a part": (
        said([{"type": "text", "text": "a"}]).replace(b'"type"', b'"type": "image_url", "type"'),
        "messages[0].content[0].type",
    ),
    "in a schema": (
        good(tools=[{"type": "function", "function": {"parameters": {"a": {"b": {"c": 0}}}}}]).replace(
            b'"c": 0', b'"c": 0, "\\u0063": 1'
        ),
        "tools[0].function.parameters.a.b.c",
    ),
    "in stream_options": (
        good(stream=True, stream_options={"include_usage": True}).replace(
            b'"include_usage": true', b'"include_usage": true, "include_usage": false'
        ),
        "stream_options.include_usage",
    ),
    "in metadata": (good(metadata={"k": "1"}).replace(b'"k"', b'"k": "2", "k"'), "metadata.k"),
}


@pytest.mark.parametrize("name", TWICE)
async def test_a_key_given_twice(target: Target, name: str) -> None:
    """Duplicate keys at any depth, escaped or not, are refused by their path."""
    body, path = TWICE[name]
    facts = assert_refused(await target.ask(body), 400, "malformed_request")
    assert facts["path"] == path
    assert facts["expected"] == "each key once"


# -- caps, choices and types -------------------------------------------------------------------------------

NO_CAP = [-1, 0, 2**31, 10**9 * 10, 10**30, 1.0, 16.5, 1e300, True, False, "16", "", [], [16], {}, {"a": 1}]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", NO_CAP, ids=repr)
async def test_a_cap_that_is_no_positive_integer(target: Target, field: str, value: object) -> None:
    """Negative, zero, huge, float, boolean, quoted."""
    body = good(**{"max_tokens": ..., field: value})
    assert assert_refused(await target.ask(body), 400, "malformed_request")["path"] == field


@pytest.mark.parametrize(
    "literal", [b"16.0", b"1.6e1", b"1E1", b"-0", b"0x10", b"+16", b"016", b"1_6", b"16n"]
)
async def test_a_cap_in_an_odd_notation(target: Target, literal: bytes) -> None:
    """Only the plain notation of a positive integer is one."""
    answer = await target.ask(good().replace(b"16", literal))
    assert_refused(answer, 400, "malformed_request")


async def test_both_caps(target: Target) -> None:
    """Two caps say two things, also where they agree."""
    for other in (16, 17):
        facts = assert_refused(await target.ask(good(max_completion_tokens=other)), 400, "malformed_request")
        assert facts["path"] == "max_tokens"


@pytest.mark.parametrize("value", [0, -1, 129, 10**9, 10**30, 1.0, 2.5, True, "2", [2], {}], ids=repr)
async def test_a_number_of_choices_that_is_none(target: Target, value: object) -> None:
    """`n` multiplies the bill: a small positive integer."""
    assert assert_refused(await target.ask(good(n=value)), 400, "malformed_request")["path"] == "n"


WRONG_TYPES: list[tuple[str, object, str]] = [
    ("model", ..., "model"),
    ("model", None, "model"),
    ("model", 5, "model"),
    ("model", "", "model"),
    ("model", ["gpt-4o-mini"], "model"),
    ("model", "gpt\u001b[31m", "model"),
    ("model", "gpt-4o-mini\n", "model"),
    ("model", "g" * 201, "model"),
    ("messages", ..., "messages"),
    ("messages", [], "messages"),
    ("messages", "hello", "messages"),
    ("messages", {"role": "user"}, "messages"),
    ("messages", ["hello"], "messages[0]"),
    ("messages", [None], "messages[0]"),
    ("messages", [{"content": "x"}], "messages[0].role"),
    ("messages", [{"role": "root", "content": "x"}], "messages[0].role"),
    ("messages", [{"role": ["user"], "content": "x"}], "messages[0].role"),
    ("messages", [{"role": "user", "content": 5}], "messages[0].content"),
    ("messages", [{"role": "user", "content": {"type": "text"}}], "messages[0].content"),
    ("messages", [{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
    ("messages", [{"role": "user", "content": [{"text": "x"}]}], "messages[0].content[0].type"),
    ("messages", [{"role": "user", "content": [{"type": "video"}]}], "messages[0].content[0].type"),
    ("messages", [{"role": "assistant", "tool_calls": {}}], "messages[0].tool_calls"),
    ("stream", "true", "stream"),
    ("stream", 1, "stream"),
    ("stream_options", True, "stream_options"),
    ("stream_options", {"include_usage": "yes"}, "stream_options.include_usage"),
    ("stream_options", {"include_usage": 1}, "stream_options.include_usage"),
    ("temperature", "hot", "temperature"),
    ("temperature", True, "temperature"),
    ("tools", {}, "tools"),
    ("tools", ["x"], "tools[0]"),
    ("tools", [{}], "tools[0].type"),
    ("tools", [{"type": "web_search"}], "tools[0].type"),
    ("tools", [{"type": ["function"]}], "tools[0].type"),
    ("functions", "x", "functions"),
    ("functions", [5], "functions[0]"),
    ("stop", 5, "stop"),
    ("metadata", "x", "metadata"),
    ("logit_bias", [], "logit_bias"),
    ("response_format", "json", "response_format"),
    ("user", 5, "user"),
    ("seed", 1.5, "seed"),
    ("service_tier", 5, "service_tier"),
    ("modalities", "text", "modalities"),
    ("store", "yes", "store"),
]


@pytest.mark.parametrize(("field", "value", "path"), WRONG_TYPES, ids=repr)
async def test_wrong_types(target: Target, field: str, value: object, path: str) -> None:
    """Each field has its types, and the refusal names the field."""
    facts = assert_refused(await target.ask(good(**{field: value})), 400, "malformed_request")
    assert facts["path"] == path


@pytest.mark.parametrize("field", ["reasoning", "extra_body", "tools2", "Model", "max_output_tokens", "x-y"])
async def test_an_unknown_field(target: Target, field: str) -> None:
    """What we do not know may bill: refused by name, even as null."""
    for value in ("x", None, {"deep": [1]}):
        facts = assert_refused(await target.ask(good(**{field: value})), 400, "malformed_request")
        assert facts["path"] == field


async def test_an_unknown_field_with_a_hostile_name(target: Target) -> None:
    """A name that is no plain word is not repeated: it may be content, or steer a terminal."""
    answer = await target.ask(good(**{HOSTILE + "secret prompt": 1}))
    assert_refused(answer, 400, "malformed_request")
    assert b"secret prompt" not in answer.body


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "//uQAA==", "format": "mp3"}}
TOO_MUCH: list[tuple[str, dict[str, object], str, dict[str, object]]] = [
    (
        "image",
        {"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": [IMAGE]}]},
        "unbounded_feature",
        {},
    ),
    ("audio in", {"messages": [{"role": "user", "content": [SOUND]}]}, "unbounded_feature", {}),
    (
        "kept audio",
        {"messages": [{"role": "assistant", "audio": {"id": "a"}}]},
        "unpriced_dimension",
        {"dimension": "input_audio"},
    ),
    (
        "audio out",
        {"modalities": ["text", "audio"]},
        "unpriced_dimension",
        {"dimension": "output_audio"},
    ),
    (
        "prediction",
        {"prediction": {"type": "content", "content": "x"}},
        "unbounded_feature",
        {"path": "prediction"},
    ),
    ("moderation", {"moderation": {}}, "unbounded_feature", {"path": "moderation"}),
    (
        "tier",
        {"model": "gpt-4", "service_tier": "flex"},
        "unpriced_dimension",
        {"dimension": "service_tier:flex"},
    ),
    ("unheard-of tier", {"service_tier": "ultra"}, "malformed_request", {"path": "service_tier"}),
]


@pytest.mark.parametrize(
    ("changes", "code", "facts"), [row[1:] for row in TOO_MUCH], ids=[row[0] for row in TOO_MUCH]
)
async def test_what_has_no_bound_or_no_rate(
    target: Target, changes: dict[str, object], code: str, facts: dict[str, object]
) -> None:
    """What it costs cannot be bounded, or not by this model's card: refused, with the reason."""
    told = assert_refused(await target.ask(good(**changes)), 400, code)
    assert facts.items() <= told.items(), told


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "model", ["gpt-99", "GPT-4o-mini", "gpt-4o-mini ", "openai/gpt-4o-mini", "gpt-4o-mini-2099-01-01", "../x"]
)
async def test_an_unknown_model(target: Target, model: str, *, stream: bool) -> None:
    """Exact ids only: no prefix, no case folding, no trimming."""
    answer = await target.ask(good(model=model, stream=stream))
    facts = assert_refused(answer, 400, "unknown_model")
    assert answer.json()["detail"] == f"Unknown model for pricing: openai:{model}"
    assert facts["model"] == model


# -- size, type, encoding ----------------------------------------------------------------------------------


async def test_33_mib(target: Target) -> None:
    """Refused by its announced length, before it is read."""
    body = said("x" * (33 * 2**20))
    facts = assert_refused(await target.ask(body), 413, "body_too_large")
    assert facts["body_bytes_max"] == BODY_BYTES_MAX


async def test_33_mib_in_chunks(target: Target) -> None:
    """Refused at the limit where no length is announced."""
    chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    body = chunk * 33 + b"0\r\n\r\n"
    answer = await target.ask(body, headers={"content-length": None, "transfer-encoding": "chunked"})
    assert_refused(answer, 413, "body_too_large")


async def test_a_length_that_is_a_lie(target: Target) -> None:
    """4 GiB announced, nothing sent: refused at once."""
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1:{target.sidecar.port}\r\ncontent-length: {2**32}\r\n"
    head += f"x-cynsta-agent-id: {target.agent}\r\ncontent-type: application/json\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", target.sidecar.port)
    async with asyncio.timeout(5):
        writer.write(head.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.transport.abort()


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": None},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/vnd.api+json"},
        {"content-encoding": "gzip"},
        {"content-encoding": "br"},
        {"content-encoding": "zstd"},
        {"content-encoding": "deflate, gzip"},
        {"content-encoding": "x-unheard-of"},
    ],
    ids=repr,
)
async def test_wrong_content(target: Target, headers: dict[str, str | None]) -> None:
    """Only application/json, not compressed."""
    assert_refused(await target.ask(headers=headers), 415, "unsupported_media")


async def test_a_second_content_encoding(target: Target) -> None:
    """Hidden behind `identity`, an encoding is still one."""
    lines = ("content-encoding: identity", "content-encoding: gzip")
    assert_refused(await target.ask(lines=lines), 415, "unsupported_media")


# -- money from operators ----------------------------------------------------------------------------------

NO_CENTS = [
    b"-1",
    b"-0.5",
    b"0.5",
    b"50.0",
    b"5e3",
    b"1" + b"0" * 30,
    b"900719926",
    b"true",
    b'"5000"',
    b"[]",
    b"{}",
]


@pytest.mark.parametrize("literal", NO_CENTS)
@pytest.mark.parametrize(
    ("path", "field", "rest"),
    [
        ("/v1/agents/{agent}/budget", "hard_limit_cents", b""),
        ("/v1/agents/{agent}/budget", "topup_cents", b', "hard_limit_cents": 9000'),
        ("/v1/agents/{agent}/budget/topup", "topup_cents", b""),
        ("/v1/daemon/budget", "hard_limit_cents", b""),
        ("/v1/daemon/budget/topup", "topup_cents", b""),
    ],
)
async def test_amounts_that_are_none(
    target: Target, path: str, field: str, rest: bytes, literal: bytes
) -> None:
    """Negative, float, boolean, quoted and 10^30 cents, for every grant there is."""
    body = b'{"%s": %s%s}' % (field.encode(), literal, rest)
    facts = assert_refused(await target.control("POST", path, body), 400, "malformed_request")
    assert facts["path"] == field


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"hard_limit_cents": null}',
        b'{"hard_limit_cents": NaN}',
        b'{"hard_limit_cents": 1, "hard_limit_cents": 9000}',
        b'{"hard_limit_cents": 9000, "hard\\u005flimit_cents": 1}',
        b'\xef\xbb\xbf{"hard_limit_cents": 9000}',
        b'{"hard_limit_cents": 9000} x',
    ],
)
async def test_grants_that_are_none(target: Target, body: bytes) -> None:
    """The control API reads as strictly as the proxy."""
    answer = await target.control("POST", "/v1/agents/{agent}/budget", body)
    assert_refused(answer, 400, "malformed_request")


async def test_a_control_body_that_is_too_large_or_no_json(target: Target) -> None:
    """64 KiB are plenty for an operator; a form from a web page is not taken."""
    path = "/v1/agents/{agent}/budget"
    large = b'{"hard_limit_cents": 9000, "x": "' + b"x" * 2**16 + b'"}'
    assert_refused(await target.control("POST", path, large), 413, "body_too_large")
    token = f"Bearer {target.sidecar.token}"
    headers = {"authorization": token, "content-type": "text/plain"}
    answer = await target.ask(b'{"hard_limit_cents": 9000}', path=path, headers={**headers})
    assert_refused(answer, 415, "unsupported_media")


NO_NAMES = [
    "",
    "   ",
    HOSTILE,
    "a\nb",
    "a\rb",
    "a\tb",
    "a\0b",
    "\u202egnp.exe",
    "\u2066x",
    "zero\u200bwidth",
    "\ufeffbom",
    "\u0085nel",
    "\u2028line",
    "a" * 201,
    "\x7f",
    "\ue000private",
]


@pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
async def test_hostile_names(target: Target, name: str) -> None:
    """A name must print as itself, on creation and on renaming."""
    body = json.dumps({"name": name}).encode()
    for method, path in (("POST", "/v1/agents"), ("PATCH", "/v1/agents/{agent}")):
        facts = assert_refused(await target.control(method, path, body), 400, "malformed_request")
        assert facts["path"] == "name"


@pytest.mark.parametrize(
    ("method", "path", "body", "where"),
    [
        ("POST", "/v1/agents", {"name": 5}, "name"),
        ("POST", "/v1/agents", {"mock": 1}, "mock"),
        ("POST", "/v1/agents", {"mock": "yes"}, "mock"),
        ("POST", "/v1/agents", {"concurrency": "both"}, "concurrency"),
        ("POST", "/v1/agents", {"overflow": "ignore"}, "overflow"),
        ("PATCH", "/v1/agents/{agent}", {"frozen": "yes"}, "frozen"),
        ("PATCH", "/v1/agents/{agent}", {"frozen": 1}, "frozen"),
        ("PATCH", "/v1/agents/{agent}", {"concurrency": HOSTILE}, "concurrency"),
        ("POST", "/v1/agents/{agent}/runs", {"run_id": "a b"}, "run_id"),
        ("POST", "/v1/agents/{agent}/runs", {"run_id": ""}, "run_id"),
        ("POST", "/v1/agents/{agent}/runs", {"run_id": HOSTILE}, "run_id"),
        ("POST", "/v1/agents/{agent}/runs", {"run_id": "a" * 129}, "run_id"),
        ("POST", "/v1/agents/{agent}/runs", {"run_id": 5}, "run_id"),
        ("POST", "/v1/calls/x/adjust", {"cost_usd": 1}, "cost_usd"),
        ("POST", "/v1/calls/x/adjust", {"cost_usd": "-1"}, "cost_usd"),
        ("POST", "/v1/calls/x/adjust", {"cost_usd": "1e3"}, "cost_usd"),
        ("POST", "/v1/calls/x/adjust", {"cost_usd": "0.0000000001"}, "cost_usd"),
        ("POST", "/v1/calls/x/adjust", {"cost_usd": "\u0661"}, "cost_usd"),
        ("POST", "/v1/calls/x/adjust", {}, "cost_usd"),
        ("POST", "/v1/daemon/shutdown", {"now": "yes"}, "now"),
    ],
)
async def test_bad_control_bodies(
    target: Target, method: str, path: str, body: dict[str, object], where: str
) -> None:
    """Each is refused by its field; and the daemon did not stop."""
    answer = await target.control(method, path, json.dumps(body).encode())
    assert assert_refused(answer, 400, "malformed_request")["path"] == where


async def test_a_hostile_actor(target: Target) -> None:
    """Who acts is written to the journal: a short plain word."""
    lines = ("x-spendguard-actor: Robert'); DROP",)
    answer = await target.control("POST", "/v1/agents", b"{}", *lines)
    assert_refused(answer, 400, "malformed_request")


# -- transport ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:80",
        "0.0.0.0:{port}",
        "127.0.0.1:{port}.evil.example",
        "localhost.:{port}",
        "127.1:{port}",
        "[::]:{port}",
        "u@127.0.0.1:{port}",
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/health"])
async def test_wrong_host(target: Target, path: str, host: str) -> None:
    """A page whose name was rebound to loopback says its own name in Host."""
    named = host.format(port=target.sidecar.port)
    method = "GET" if path == "/health" else "POST"
    answer = await target.ask(path=path, method=method, headers={"host": named})
    assert_refused(answer, 421, "misdirected_host")


async def test_two_hosts(target: Target) -> None:
    """One right, one wrong, in either order; and twice the right one."""
    right, wrong = f"127.0.0.1:{target.sidecar.port}", "evil.example"
    for first, second in ((right, wrong), (wrong, right), (right, right)):
        answer = await target.ask(headers={"host": first}, lines=(f"host: {second}",))
        assert answer.status in (400, 421)


@pytest.mark.parametrize(
    "line",
    [
        "origin: http://evil.example",
        "origin: http://127.0.0.1:{port}",
        "origin: null",
        "origin:",
        "sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
        "sec-fetch-site: same-origin",
        "sec-fetch-site: nonsense",
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/agents", "/health"])
async def test_web_pages(target: Target, path: str, line: str) -> None:
    """No page may call, not even one that this machine serves."""
    method = "GET" if path == "/health" else "POST"
    answer = await target.ask(path=path, method=method, lines=(line,))
    assert_refused(answer, 403, "forbidden_origin")


RAW_HEADS = {
    "absolute form": "POST http://127.0.0.1:{port}/v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}",
    "absolute form, elsewhere": "POST https://api.openai.com/v1 HTTP/1.1\r\nhost: 127.0.0.1:{port}",
    "authority form": "CONNECT api.openai.com:443 HTTP/1.1\r\nhost: 127.0.0.1:{port}",
    "asterisk form": "OPTIONS * HTTP/1.1\r\nhost: 127.0.0.1:{port}",
    "HTTP/1.0 without Host": "POST /v1/chat/completions HTTP/1.0",
}


@pytest.mark.parametrize("name", RAW_HEADS)
async def test_request_lines(target: Target, name: str) -> None:
    """What a proxy or a rebound name would send is not served."""
    head = RAW_HEADS[name].format(port=target.sidecar.port)
    rest = f"\r\nx-cynsta-agent-id: {target.agent}\r\ncontent-type: application/json\r\nconnection: close"
    body = good()
    answer = await target.raw(f"{head}{rest}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    assert_refused(answer, 421, "misdirected_host")


BROKEN_HTTP = {
    "two lengths": "content-length: {length}\r\ncontent-length: 3",
    "length and chunked": "content-length: {length}\r\ntransfer-encoding: chunked",
    "negative length": "content-length: -1",
    "length with a plus": "content-length: +{length}",
    "header without a colon": "content-length: {length}\r\nnonsense",
    "space before the colon": "content-length: {length}\r\nx-cynsta-run-id : r",
    "control character": "content-length: {length}\r\nx-y: a\x01b",
    "folded line": "content-length: {length}\r\nx-y: a\r\n b: c",
    "chunks of no size": "transfer-encoding: chunked",
    "unknown transfer encoding": "transfer-encoding: gzip, chunked, identity",
}
NO_REQUEST_LINES = {
    "no Host": "POST /v1/chat/completions HTTP/1.1",
    "no slash": "POST v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}",
    "control character": "POST /v1/chat/completions\x01 HTTP/1.1\r\nhost: 127.0.0.1:{port}",
    "too long": "POST /" + "hello" * 2_000 + " HTTP/1.1\r\nhost: 127.0.0.1:{port}",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello",
}


@pytest.mark.parametrize("name", BROKEN_HTTP)
async def test_requests_that_are_not_http(target: Target, name: str) -> None:
    """What two servers could cut in two ways is refused, and neither the answer nor the log repeats it."""
    body = said("hello")
    rest = BROKEN_HTTP[name].format(length=len(body))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1:{target.sidecar.port}\r\nconnection: close\r\n"
    head += f"x-cynsta-agent-id: {target.agent}\r\ncontent-type: application/json\r\n{rest}\r\n\r\n"
    await assert_no_echo(target, head.encode() + body)


@pytest.mark.parametrize("name", NO_REQUEST_LINES)
async def test_request_lines_that_are_none(target: Target, name: str) -> None:
    """The first line alone is wrong."""
    body = said("hello")
    line = NO_REQUEST_LINES[name].format(port=target.sidecar.port)
    rest = f"\r\nx-cynsta-agent-id: {target.agent}\r\ncontent-type: application/json\r\nconnection: close"
    await assert_no_echo(
        target, f"{line}{rest}\r\ncontent-length: {len(body)}\r\n\r\n".encode("latin-1") + body
    )


async def test_a_body_longer_than_announced(target: Target) -> None:
    """Its rest is read as the next request, which is none: answered, and not kept."""
    body = said("hello")
    head = f"POST /nowhere HTTP/1.1\r\nhost: 127.0.0.1:{target.sidecar.port}\r\ncontent-length: 9\r\n\r\n"
    await target.raw_answers(head.encode() + body)
    assert "hello" not in target.sidecar.home.log.read_text()


async def assert_no_echo(target: Target, raw: bytes) -> None:
    answer = await target.raw(raw)
    assert_refused(answer, 400, "malformed_request")
    assert b"hello" not in answer.body
    assert "hello" not in target.sidecar.home.log.read_text()


PATHS = [
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/chat/./completions",
    "/v1/x/../chat/completions",
    "/../v1/chat/completions",
    "/v1/chat%2fcompletions",
    "/v1/chat/completion%73",
    "/%761/chat/completions",
    "/v1/chat/completions%00",
    "/v1/chat/completions;x=1",
    "/v1/chat/completions#x",
    "/v1\\chat\\completions",
    "/V1/chat/completions",
    "/v1/chat/completions/x",
    "/v1/chat/completions//",
    "/v2/chat/completions",
    "/chat/completions",
    "/openai/chat/completions",
    "/azure/v1/chat/completions",
    "/openai/openai/v1/chat/completions",
    "/v1/agents/{agent}/runs//openai/chat/completions",
    "/v1/completions",
    "/v1/images/generations",
    "/v1/files",
    "/v1/batches",
    "/v1/responses/compact",
    "/v1/audio/speech",
    "/admin",
    "/" + "a" * 5_000,
]


@pytest.mark.parametrize("path", PATHS)
async def test_unknown_routes_and_tricks_of_paths(target: Target, path: str) -> None:
    """Nothing is decoded, joined or normalised: what is not a route to the letter is none."""
    assert_refused(await target.ask(path=path), 404, "route_not_found")


@pytest.mark.parametrize(
    "query", ["?x=1", "?key=sk-1", "?api-version=1", "?stream=true", "?=", "?x", "?%00=1"]
)
async def test_query_parameters(target: Target, query: str) -> None:
    """Chat completions take none."""
    facts = assert_refused(await target.ask(path=CHAT + query), 400, "malformed_request")
    assert facts["path"] == "query"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
async def test_wrong_method(target: Target, method: str) -> None:
    """The route is there, for POST."""
    answer = await target.ask(method=method)
    assert_refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
