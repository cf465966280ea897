"""A provider that answers, delays, fails, lies and dies, and keeps the bill that it would really send.

Its prices are written down here once more. What it bills is decided when a request has arrived whole, before
any byte goes back: what a provider may charge even if the caller dies right then. A report that can be true
is what it bills; where it reports nothing, or nonsense, it bills anything that the request allows.
"""

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spendguard_daemon.ports import NotSentError, UpstreamLostError, UpstreamRequest

PRICES = {"gpt-4o-mini": (150, 75, 600), "gpt-4.1-nano": (100, 25, 400), "o4-mini": (1_100, 275, 4_400)}
"""nUSD per token: input, cached input, output."""

MODELS = tuple(PRICES)
FATES = ("not sent", "lost", "hang", "refused", "failed", "torn", "stall", "lie", "over", "endless")
UNBILLED = (400, 404, 422, 429, 503, 529)
MAYBE_BILLED = (408, 499, 500, 502, 504)
JSON_TYPE = {"content-type": "application/json"}


@dataclass
class Bill:
    """What a call costs at the provider, in nUSD; `over` where it is beyond what the request allows."""

    nusd: int = 0
    over: bool = False
    reported: bool = False


@dataclass(frozen=True)
class _Usage:
    prompt: int
    cached: int
    completion: int

    def nusd(self, model: str) -> int:
        fresh, cached, output = PRICES[model]
        return (self.prompt - self.cached) * fresh + self.cached * cached + self.completion * output


class SimProvider:
    """Satisfies `ports.Upstream`. `on_arrival` is told a request's `user`, and says whose call it is."""

    def __init__(self, chance: random.Random, on_arrival: Callable[[str], str]) -> None:
        self.chance = chance
        self.bills: dict[str, Bill] = {}
        self._chaos = chance.choice((0.05, 0.2, 0.6))
        self._fates = [fate for fate in FATES if chance.random() < 0.8] or ["true"]
        self._on_arrival = on_arrival

    async def send(self, request: UpstreamRequest) -> "SimResponse":
        chance = self.chance
        body = json.loads(request.body)
        fate = chance.choice(self._fates) if chance.random() < self._chaos else "true"
        if fate == "not sent":
            await _wait(chance, 2)
            raise NotSentError("connection refused")
        call_id = self._on_arrival(body["user"])
        assert call_id not in self.bills, f"{call_id} was sent twice"
        usage = _draw(chance, body)
        bill = self.bills[call_id] = Bill(usage.nusd(body["model"]))
        await _wait(chance, 3)
        if fate == "lost":
            raise UpstreamLostError("connection reset")
        if fate == "hang":
            await asyncio.sleep(10**6)
        if fate == "refused":
            bill.nusd = 0
            return _plain(chance, chance.choice(UNBILLED), _error("no"))
        if fate == "failed":
            bill.nusd = chance.choice((0, bill.nusd))
            status, failure = chance.choice(MAYBE_BILLED), chance.choice((_error("oops"), b"<html>", b""))
            return _plain(chance, status, failure)
        return self._answer(body, usage, bill, fate)

    def _answer(self, body: dict[str, Any], usage: _Usage, bill: Bill, fate: str) -> "SimResponse":
        chance, model = self.chance, body["model"]
        if fate == "over":
            cap = body.get("max_completion_tokens") or body["max_tokens"]
            more = cap * body.get("n", 1) + chance.choice((1, 50, 5_000))
            usage = _Usage(200_000 if chance.random() < 0.5 else usage.prompt, 0, more)
            bill.nusd, bill.over = usage.nusd(model), True
        report = _report(chance, usage, lie=fate == "lie")
        bill.reported = fate in ("true", "over")
        stream = body.get("stream") is True
        pieces = _stream(body, usage, report, fate) if stream else [_whole(body, usage, report)]
        raw = b"".join(pieces)
        headers = {"content-type": "text/event-stream"} if stream else JSON_TYPE
        if chance.random() < 0.05:
            raw, headers = gzip.compress(raw, 1), {**headers, "content-encoding": "gzip"}
        torn = fate in ("torn", "stall")
        return SimResponse(
            200, headers, _cut(chance, raw[: chance.randrange(len(raw)) if torn else None]), chance, fate
        )


class SimResponse:
    """An answer; satisfies `ports.UpstreamResponse`."""

    def __init__(
        self, status: int, headers: Mapping[str, str], pieces: list[bytes], chance: random.Random, fate: str
    ) -> None:
        self.status, self.headers = status, headers
        self._pieces, self._chance, self._fate = pieces, chance, fate
        self._closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await _wait(self._chance, 1)
            if self._closed:
                raise UpstreamLostError("closed")
            yield piece
        if self._fate == "stall":
            await asyncio.sleep(10**6)
        if self._fate == "torn" and self._chance.random() < 0.7:
            raise UpstreamLostError("connection reset by peer")

    async def close(self) -> None:
        self._closed = True


async def _wait(chance: random.Random, scale_seconds: float) -> None:
    dice = chance.random()
    if dice < 0.3:
        return
    await asyncio.sleep(chance.random() * scale_seconds * (150 if dice > 0.995 else 1))


def _draw(chance: random.Random, body: dict[str, Any]) -> _Usage:
    """Draw what a request uses, anywhere up to the most that it allows."""
    cap = body.get("max_completion_tokens") or body["max_tokens"]
    most = sum(len(message["content"].encode()) for message in body["messages"]), cap * body.get("n", 1)
    if chance.random() < 0.15:
        return _Usage(most[0], 0, most[1])
    prompt = chance.randint(1, most[0])
    return _Usage(prompt, chance.choice((0, 0, prompt // 2, prompt)), chance.randint(0, most[1]))


def _report(chance: random.Random, usage: _Usage, *, lie: bool) -> Any:
    report: dict[str, Any] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
    if not lie:
        if chance.random() < 0.2:
            del report["total_tokens"]
        return report
    wrong: Any = chance.choice((None, -1, 0.5, "7", 2**63, True, [], "no usage", "cached", "total"))
    if wrong == "no usage":
        return None
    if wrong == "cached":
        report["prompt_tokens_details"]["cached_tokens"] = usage.prompt + 1
    elif wrong == "total":
        report["total_tokens"] += 1
    else:
        report[chance.choice(("prompt_tokens", "completion_tokens"))] = wrong
    return report


def _whole(body: dict[str, Any], usage: _Usage, report: Any) -> bytes:
    message = {"role": "assistant", "content": "word " * min(usage.completion, 20)}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    answer = {"object": "chat.completion", "model": body["model"], "choices": choices, "usage": report}
    return json.dumps(answer).encode()


def _stream(body: dict[str, Any], usage: _Usage, report: Any, fate: str) -> list[bytes]:
    head = {"object": "chat.completion.chunk", "model": body["model"]}
    events = [
        {**head, "choices": [{"index": 0, "delta": {"content": "word "}}], "usage": None}
        for _ in range(min(usage.completion, 4))
    ]
    events.append({**head, "choices": [], "usage": report})
    pieces = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    return pieces if fate == "endless" else [*pieces, b"data: [DONE]\n\n"]


def _plain(chance: random.Random, status: int, body: bytes) -> SimResponse:
    return SimResponse(status, JSON_TYPE, _cut(chance, body), chance, "true")


def _cut(chance: random.Random, raw: bytes) -> list[bytes]:
    if chance.random() < 0.6 or len(raw) < 2:
        return [raw]
    at = chance.randrange(1, len(raw))
    return [raw[:at], raw[at:]]


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "x", "param": None, "code": None}}).encode()
