"""A provider that resets, hangs, never ends, talks rubbish or lies, in each wire format, plain and streaming.

Whatever it does: the client hears of it, the call has exactly one end in the journal, and what is not known
for certain is charged at the hold. Deadlines are set to a second or two, and all that waits waits at once.
"""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from audit import audit
from proxied import ENDS
from published import bill, nusd, plain_body
from raw_http import Answer, Leave, request, send
from recorded import Act, RecordedUpstream, Recording, Reply, load
from sidecar import Sidecar
from streams import Stream, streams
from tagged import tag_of, tagged
from until import until

FUNDED_CENTS = 10_000_000
AT_ONCE = 24
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}

BY_NAME = {one.name: one for one in streams()}
RECORDED = {
    "chat": ("01-openai-chat-plain", "09-openai-chat-stream-tools-usage"),
    "responses": ("12-openai-responses-plain", "16-openai-responses-stream-tool"),
    "messages": ("21-anthropic-tools", "22-anthropic-stream"),
    "gemini": ("30-gemini-plain", "34-gemini-stream-sse"),
    "gemini-array": ("31-gemini-thoughts-tools", "35-gemini-stream-array"),
    "grok-chat": ("38-grok-chat", "39-grok-chat-stream"),
    "grok-responses": ("41-grok-responses-web-search", "40-grok-responses-stream"),
}
FORMATS = list(RECORDED)
PLAIN = [load(plain) for plain, _ in RECORDED.values()]
STREAMING = [BY_NAME[stream] for _, stream in RECORDED.values()]


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The provider that misbehaves."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon with little patience; its whole journal is worked through at the end."""
    patience = {
        "SPENDGUARD_LIMITS_IDLE_SECONDS": "1",
        "SPENDGUARD_LIMITS_ABSOLUTE_SECONDS": "3",
        "SPENDGUARD_LIMITS_DRAIN_SECONDS": "1",
    }
    home = tmp_path_factory.mktemp("faults") / "home"
    with Sidecar(home, upstream.base_url, env=patience) as running:
        yield running
        running.stop()
        found = audit(running.home.ledger)
        assert found.open_calls == set()


@dataclass(frozen=True, slots=True)
class Case:
    """One misbehaviour, and how it must end: at what the provider reports, or at the hold if it is None."""

    name: str
    recording: Recording
    act: Act
    status: int
    whole: bool = True
    cost_nusd: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a case."""

    case: Case
    answer: Answer
    hold: dict[str, Any]
    end: dict[str, Any]


async def run(
    sidecar: Sidecar, upstream: RecordedUpstream, cases: list[Case], at_once: int = AT_ONCE
) -> list[Ended]:
    """Make all calls, some at once, each of a run of its own; return what became of them."""
    first = len(sidecar.journal())
    agent = sidecar.agent(cents=FUNDED_CENTS, concurrency="shared", policy={"hosted_tools": "allow"})
    acts = {case.name: case.act for case in cases}
    assert len(acts) == len(cases)
    upstream.director = lambda received: acts[tag_of(received)]
    few = asyncio.Semaphore(at_once)

    async def one(case: Case) -> Answer | None:
        body = json.dumps(tagged(case.recording, case.name)).encode()
        raw = request(sidecar.port, case.recording.target, {"x-cynsta-agent-id": agent}, body)
        async with few:
            return await send(sidecar.port, raw)

    answers = await asyncio.gather(*map(one, cases))

    def ended() -> list[dict[str, Any]]:
        ends = [record for record in sidecar.journal()[first:] if record["t"] in ENDS]
        return ends if len(ends) >= len(cases) else []

    ends = until(ended)
    assert len(ends) == len(cases), "a call has ended twice"
    by_call = {end["call_id"]: end for end in ends}
    holds = {one["call_id"]: one for one in sidecar.journal()[first:] if one["t"] == "hold"}
    found = []
    for case, answer in zip(cases, answers, strict=True):
        assert answer is not None, case.name
        call_id = answer.headers["x-spendguard-call-id"]
        found.append(Ended(case, answer, holds[call_id], by_call[call_id]))
    return found


def check(found: list[Ended]) -> None:
    """Each answer is as it should be, and each call charged as it should."""
    for one in found:
        case, end = one.case, one.end
        assert (one.answer.status, one.answer.whole) == (case.status, case.whole), case.name
        if case.cost_nusd == 0:
            assert end["t"] == "void", case.name
        elif case.cost_nusd is None:
            assert (end["t"], end["cost_nusd"]) == ("settle_worst", one.hold["amount_nusd"]), case.name
        else:
            assert end["cost_nusd"] == case.cost_nusd, case.name
        if one.answer.headers["x-spendguard-source"] == "spendguard":
            told = one.answer.json()
            assert told["spendguard"]["charged_usd"] in told["detail"], case.name
            assert ("type" in told) == (case.recording.provider == "anthropic")


def places(size: int, count: int = 12) -> list[int]:
    """Return byte counts from 0 up to, but not including, all of a body."""
    return sorted({size * step // count for step in range(count)} | {1, size - 1})


# -- breaking off -------------------------------------------------------------------------------------------


async def test_resets_and_cuts_at_every_region(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Before the head, or after any part of the body: what was relayed ends torn, what was not is a 502."""
    cases = []
    for kind, plain, stream in zip(FORMATS, PLAIN, STREAMING, strict=True):
        cases += [
            Case(f"{kind}/reset", plain, Act(reset=True), 502),
            Case(f"{kind}/reset-stream", stream.recording, Act(reset=True), 502),
        ]
        reply = Reply(200, JSON, plain_body(plain))
        for at in places(len(reply.body)):
            cases.append(Case(f"{kind}/cut-{at}", plain, Act(reply=reply, cut_after=at), 502))
        for at in places(len(stream.body))[1:]:
            act = Act(reply=stream.recording.reply, cut_after=at)
            cases.append(Case(f"{kind}/cut-stream-{at}", stream.recording, act, 200, whole=False))
    check(await run(sidecar, upstream, cases))


def unfinished(kind: str, stream: Stream) -> Iterator[bytes]:
    """Yield bodies that end as streams do, but before what the stream says last; they may tell usage."""
    if kind == "gemini":
        yield stream.body.replace(b'"finishReason": "STOP",', b"")
        return
    close = b"]" if kind == "gemini-array" else b""
    borders = [stop for stop in stream.stops[1:] if stop < stream.terminal]
    for border in borders[: None if not close else 1]:
        yield stream.body[:border] + close


async def test_a_stream_that_ends_before_it_is_whole(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """The connection ends in order, the answer does not: what it told so far need not be all."""
    cases = []
    for kind, stream in zip(FORMATS, STREAMING, strict=True):
        for number, body in enumerate(unfinished(kind, stream)):
            assert body != stream.body
            act = Act(reply=Reply(200, SSE, body))
            cases.append(Case(f"{kind}/{number}", stream.recording, act, 200))
    check(await run(sidecar, upstream, cases))


async def test_what_has_come_to_its_own_end_is_charged_as_reported(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """The stream's last event has come; that the connection broke after it does not make it unknown.

    But for Gemini's events, none of which says that it is the last.
    """
    cases = []
    for kind, stream in zip(FORMATS, STREAMING, strict=True):
        reply, size = stream.recording.reply, min(stream.terminal, len(stream.body))
        cost = nusd(bill(stream.recording)) if size == stream.terminal else None
        assert cost or kind == "gemini"
        for name, act in (
            ("cut", Act(reply=reply, cut_after=size)),
            ("hang", Act(reply=reply, hang_after=size)),
            ("endless", Act(reply=reply, endless=PINGS.get(kind, b": still here\n\n"))),
        ):
            cases.append(Case(f"{kind}/{name}", stream.recording, act, 200, whole=False, cost_nusd=cost))
    check(await run(sidecar, upstream, cases))


PINGS = {"messages": b'event: ping\ndata: {"type":"ping"}\n\n', "gemini-array": b" \n"}
"""What says nothing, where it is no comment."""


async def test_silence_and_endless_talk(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """No byte for the idle time, or bytes for ever: cut at the deadline, and charged at the hold."""
    cases = []
    for kind, plain, stream in zip(FORMATS, PLAIN, STREAMING, strict=True):
        half = Reply(200, SSE, stream.body[: stream.stops[2]])
        json_head = Reply(200, JSON, b'{"choices": [')
        cases += [
            Case(f"{kind}/silent", plain, Act(hang=True), 504),
            Case(f"{kind}/silent-stream", stream.recording, Act(hang=True), 504),
            Case(f"{kind}/silent-half", plain, Act(hang_after=40), 504),
            Case(
                f"{kind}/silent-half-stream",
                stream.recording,
                Act(reply=stream.recording.reply, hang_after=stream.stops[3]),
                200,
                whole=False,
            ),
            Case(
                f"{kind}/endless-stream",
                stream.recording,
                Act(reply=half, endless=PINGS.get(kind, b": ping\n\n")),
                200,
                whole=False,
            ),
            Case(f"{kind}/endless", plain, Act(reply=json_head, endless=b"1, "), 504),
        ]
    check(await run(sidecar, upstream, cases, at_once=len(cases)))  # hardly any work: they wait


async def test_draining_for_nobody_is_bounded(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """The client has left and the provider goes on for ever: at worst, when the time to drain is over."""
    first = len(sidecar.journal())
    halves = {
        kind: Reply(200, SSE, stream.body[: stream.stops[2]])
        for kind, stream in zip(FORMATS, STREAMING, strict=True)
    }
    upstream.director = lambda received: Act(reply=halves[tag_of(received)], endless=b": ping\n\n")
    agents = {sidecar.agent(cents=FUNDED_CENTS): kind for kind in FORMATS}

    async def leave(agent: str, kind: str, recording: Recording) -> None:
        body = json.dumps(tagged(recording, kind)).encode()
        raw = request(sidecar.port, recording.path, {"x-cynsta-agent-id": agent}, body)
        assert await send(sidecar.port, raw, Leave(after_body=len(halves[kind].body))) is None

    recordings = [stream.recording for stream in STREAMING]
    await asyncio.gather(*(leave(*agent, of) for agent, of in zip(agents.items(), recordings, strict=True)))

    def ended() -> list[dict[str, Any]]:
        ends = [record for record in sidecar.journal()[first:] if record["t"] in ENDS]
        return ends if len(ends) >= len(FORMATS) else []

    ends = await asyncio.to_thread(until, ended)
    assert {end["t"] for end in ends} == {"settle_worst"}
    assert sorted(end["agent_id"] for end in ends) == sorted(agents)


# -- errors -------------------------------------------------------------------------------------------------


def openai_error(status: int) -> object:
    """Return an error in OpenAI's shape."""
    return {"error": {"message": f"no: {status}", "type": "server_error", "param": None, "code": None}}


def google_error(status: int) -> object:
    """Return an error in Google's shape (recording 37)."""
    return {"error": {"code": status, "message": "Resource exhausted.", "status": "RESOURCE_EXHAUSTED"}}


ERRORS: dict[str, Callable[[int], object]] = {
    "messages": lambda _: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    "gemini": google_error,
    "gemini-array": lambda status: [google_error(status)],
    "grok-chat": lambda _: {"code": "The service is currently unavailable", "error": "at capacity"},
    "grok-responses": lambda _: {"code": "Client specified an invalid argument", "error": "no such model"},
}
"""Each provider's documented error; Google wraps it in an array where it was to answer with one."""

VOID, UNKNOWN = (400, 404, 429, 503, 529), (408, 500, 502, 504)


async def test_a_documented_error_is_void_unless_work_may_have_been_done(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """Also where a stream was asked for. In any other shape, or at 500, the hold is charged."""
    cases = []
    for kind, stream in zip(FORMATS, STREAMING, strict=True):
        made = ERRORS.get(kind, openai_error)
        for status in (*VOID, *UNKNOWN):
            reply = Reply(status, JSON, json.dumps(made(status)).encode())
            cost = 0 if status in VOID else None
            cases.append(Case(f"{kind}/{status}", stream.recording, Act(reply=reply), status, cost_nusd=cost))
        whole = Reply(400, JSON, json.dumps({"error": made(400), "usage": {"total_tokens": 9}}).encode())
        cases.append(Case(f"{kind}/odd", stream.recording, Act(reply=whole), 400))
    found = await run(sidecar, upstream, cases)
    check(found)
    assert all(one.answer.headers["x-spendguard-source"] == "provider" for one in found)


@pytest.mark.parametrize("status", [400, 403])
async def test_xais_fee_for_what_breaks_its_rules_is_not_void(
    sidecar: Sidecar, upstream: RecordedUpstream, status: int
) -> None:
    """It is charged with an error: docs.x.ai/developers/pricing, usage guidelines violation fee."""
    told = {
        "code": "permission-denied",
        "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK",
    }
    reply = Reply(status, JSON, json.dumps(told).encode())
    cases = [
        Case(f"{kind}/{status}", load(RECORDED[kind][0]), Act(reply=reply), 0)
        for kind in ("grok-chat", "grok-responses")
    ]
    for one in await run(sidecar, upstream, cases):
        assert (one.end["t"], one.end["cost_nusd"]) == ("settle_worst", one.hold["amount_nusd"])
        assert one.hold["amount_nusd"] >= 50_000_000


# -- rubbish ------------------------------------------------------------------------------------------------

RUBBISH: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "list": b"[]",
    "number": b"1e400",
    "object": b"{}",
    "html": b"<html><body>Bad gateway</body></html>",
    "bytes": bytes(range(256)) * 40,
    "not-utf8": b'{"usage": "\xff\xfe"}',
    "deep": b'{"a":' * 60_000,
    "two": b'{"usage":{"prompt_tokens":1}}{"usage":{"prompt_tokens":1}}',
    "utf16": '{"usage":null}'.encode("utf-16"),
    "done": b"data: [DONE]\n\n",
    "error": b'data: {"error":{"message":"overloaded","type":"overloaded_error"}}\n\ndata: [DONE]\n\n',
    "typed-error": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n',
    "odd-lines": b"data\n:\n\r\rdata:\x00\n\nid\n\n\n\n",
    "no-end": b"data: {" * 5_000,
}


async def test_rubbish_is_relayed_and_charged_at_the_hold(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """With status 200 and in any dress: plain, as a stream, compressed and not as it says."""
    cases = []
    for kind, plain, stream in zip(FORMATS, PLAIN, STREAMING, strict=True):
        for name, body in RUBBISH.items():
            cases.append(Case(f"{kind}/{name}", plain, Act(reply=Reply(200, JSON, body)), 200))
            act = Act(reply=Reply(200, SSE, body))
            cases.append(Case(f"{kind}/{name}-stream", stream.recording, act, 200))
        whole = plain_body(plain)
        for name, headers, body in (
            ("not-gzip", {"content-encoding": "gzip"}, whole),
            ("half-gzip", {"content-encoding": "gzip"}, gzip.compress(whole)[:-9]),
            ("twice", {"content-encoding": "gzip"}, gzip.compress(gzip.compress(whole))),
            ("unknown", {"content-encoding": "x-none"}, whole),
            ("brotli", {"content-encoding": "br"}, whole),
        ):
            cases.append(Case(f"{kind}/{name}", plain, Act(reply=Reply(200, JSON | headers, body)), 200))
    found = await run(sidecar, upstream, cases)
    check(found)
    for one in found:
        assert one.case.act.reply is not None
        assert one.answer.body == one.case.act.reply.body, one.case.name


# -- lies ---------------------------------------------------------------------------------------------------

INPUT = {"chat": "prompt_tokens", "gemini": "promptTokenCount", "gemini-array": "promptTokenCount"}
INPUT |= {"grok-chat": "prompt_tokens"}
OUTPUT = {"chat": "completion_tokens", "gemini": "candidatesTokenCount"}
OUTPUT |= {"gemini-array": "candidatesTokenCount", "grok-chat": "completion_tokens"}
for _kind in FORMATS:
    INPUT.setdefault(_kind, "input_tokens")
    OUTPUT.setdefault(_kind, "output_tokens")
LIES: list[object] = [-1, 1.5, "7", True, None, 2**63, 1e300, [], {}]


def with_usage(body: bytes, change: "Lie") -> bytes:
    """Return an answer, or a stream, with each of its usage objects changed."""
    if body.startswith(b"["):
        changed = [json.loads(with_usage(json.dumps(one).encode(), change)) for one in json.loads(body)]
        return json.dumps(changed).encode()
    lines = body.split(b"\n") if body.startswith((b"data:", b"event:")) else [b"data: " + body]
    for index, line in enumerate(lines):
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        for holder in (event, event.get("response"), event.get("message")):
            for name in ("usage", "usageMetadata"):
                if isinstance(holder, dict) and holder.get(name):
                    holder[name] = change(holder[name])
        lines[index] = b"data: " + json.dumps(event).encode()
    return b"\n".join(lines) if len(lines) > 1 else lines[0].removeprefix(b"data: ")


Lie = Callable[[dict[str, Any]], object]


def says(name: str, value: object) -> Lie:
    """Return the lie that a figure is this."""
    return lambda usage: usage | {name: value}


def hides(name: str) -> Lie:
    """Return the lie that leaves a figure out."""
    return lambda usage: {key: value for key, value in usage.items() if key != name}


def lying(kind: str) -> Iterator[tuple[str, Lie]]:
    """Yield lies about usage that nobody can settle by."""
    yield "none", lambda _: None
    yield "empty", lambda _: {}
    yield "text", lambda _: "a lot"
    for name in (INPUT[kind], OUTPUT[kind]):
        for value in LIES:
            yield f"{name}={value!r:.20}", says(name, value)
        yield f"no-{name}", hides(name)
    yield "no-input", says(INPUT[kind], 0)
    match kind:
        case "gemini" | "gemini-array":
            yield "cached", lambda usage: usage | {"cachedContentTokenCount": usage["promptTokenCount"] + 1}
            yield "total", lambda usage: usage | {"totalTokenCount": usage["totalTokenCount"] - 1}
        case "messages":
            return
        case _:
            details = f"{INPUT[kind]}_details"
            yield "cached", lambda usage: usage | {details: {"cached_tokens": usage[INPUT[kind]] + 1}}
    if kind.startswith("grok"):
        for value in (0, *LIES):
            if value is not None:  # where xAI says nothing, its price list does
                yield f"ticks={value!r:.20}", says("cost_in_usd_ticks", value)


async def test_lies_are_charged_at_the_hold(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Usage that cannot be true is no usage; the client gets it all the same."""
    cases = []
    for kind, plain, stream in zip(FORMATS, PLAIN, STREAMING, strict=True):
        for name, change in lying(kind):
            reply = Reply(200, JSON, with_usage(plain_body(plain), change))
            cases.append(Case(f"{kind}/{name}", plain, Act(reply=reply), 200))
            reply = Reply(200, SSE, with_usage(stream.body, change))
            cases.append(Case(f"{kind}/{name}-stream", stream.recording, Act(reply=reply), 200))
    check(await run(sidecar, upstream, cases))


PRICES = {"chat": 150, "responses": 2_500, "messages": 1_000, "gemini": 300, "gemini-array": 500}
PRICES |= {"grok-chat": 2_500, "grok-responses": 2_500}
"""Of so much input, in nano-USD a token."""


@pytest.mark.parametrize(("kind", "stream"), list(zip(FORMATS, STREAMING, strict=True)), ids=FORMATS)
async def test_a_bill_above_the_hold_is_booked_as_it_is(
    sidecar: Sidecar, upstream: RecordedUpstream, kind: str, stream: Stream
) -> None:
    """It is our bound that was wrong, not the bill: the sum is paid, and the agent stops."""

    def much(usage: dict[str, Any]) -> dict[str, Any]:
        more = 99_999_999 - usage[INPUT[kind]]
        raised = {INPUT[kind]: 99_999_999}
        raised |= {name: usage[name] + more for name in ("total_tokens", "totalTokenCount") if name in usage}
        if "cost_in_usd_ticks" in usage:
            raised["cost_in_usd_ticks"] = 99_999_999 * PRICES["grok-chat"] * 10
        return usage | raised

    body = with_usage(stream.body, much)
    (one,) = await run(
        sidecar, upstream, [Case(kind, stream.recording, Act(reply=Reply(200, SSE, body)), 200)]
    )
    assert one.answer.body == body
    price = PRICES[kind]
    assert one.end["t"] == "overrun", one.end.get("reason")
    assert one.end["cost_nusd"] >= 99_999_999 * price > one.hold["amount_nusd"]
    assert sidecar.control("GET", f"/v1/agents/{one.hold['agent_id']}")["frozen"] is True
