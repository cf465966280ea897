"""What a recorded answer costs, worked out from what its provider publishes: prices, and what usage means.

Written from the documentation, not from our readers or rate cards, and importing neither:

- OpenAI: `prompt_tokens` and `input_tokens` are the whole input, of which `*_tokens_details` names the parts
  that were read from the cache, written to it, or heard; the output's reasoning is inside it, spoken output
  has a rate of its own; each web search action is billed per search. Embeddings bill input alone.
- Anthropic: `input_tokens` is beside what was read from and written to the cache; what was written lives 5
  minutes unless `cache_creation` says an hour; in a stream the last figure of each name is the total.
  Inference in the US costs a tenth more, a fast answer twice as much.
- xAI: `prompt_tokens` includes what was cached; reasoning is beside `completion_tokens`, but inside
  `output_tokens`; the usage counts searches. Its own bill is `cost_in_usd_ticks`, 10^10 to the dollar.

- Gemini: `promptTokenCount` includes what was cached; what tools found is beside it; thoughts are output
  beside the candidates. Every event has a whole report, the last of which counts. A prompt of 2.x with any
  search is billed once.

`bill(recording)` returns the buckets, each with its number, its price and its share of the sum. Prices are in
USD per million tokens (searches: per thousand). Models that are not in the list here are looked up in the
catalogue's file, as published rows.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from replies import Recording

CATALOGUE = Path(__file__).parents[2] / "daemon/spendguard_daemon/pricing/data/catalogue.json"

Prices = Mapping[str, str]

PRICES: dict[str, Prices] = {
    # openai.com/api/pricing, standard tier
    "gpt-3.5-turbo": {"input": "0.50", "output": "1.50"},
    "gpt-4o": {"input": "2.50", "cache_read": "1.25", "output": "10.00", "web_search": "25.00"},
    "gpt-4o-mini": {"input": "0.15", "cache_read": "0.075", "output": "0.60", "web_search": "25.00"},
    "gpt-4.1": {"input": "2.00", "cache_read": "0.50", "output": "8.00", "web_search": "25.00"},
    "gpt-5-mini": {"input": "0.25", "cache_read": "0.025", "output": "2.00"},
    "gpt-5-nano": {"input": "0.05", "cache_read": "0.005", "output": "0.40"},
    "gpt-5.5": {"input": "5.00", "cache_read": "0.50", "output": "30.00"},
    "gpt-5.6-sol": {"input": "4.00", "cache_read": "0.40", "cache_write": "5.00", "output": "20.00"},
    "gpt-audio-mini": {"input": "0.60", "input_audio": "10.00", "output": "2.40", "output_audio": "20.00"},
    "text-embedding-3-small": {"input": "0.02"},
    # ai.google.dev/gemini-api/docs/pricing, standard tier
    "gemini-2.0-flash": {"input": "0.10", "cache_read": "0.025", "output": "0.40", "grounded_request": "35"},
    "gemini-2.5-flash": {"input": "0.30", "cache_read": "0.03", "output": "2.50", "grounded_request": "35"},
    "gemini-3-flash-preview": {"input": "0.50", "cache_read": "0.05", "output": "3.00"},
    # docs.x.ai/developers/pricing, below 200,000 tokens
    "grok-4.3": {"input": "1.25", "cache_read": "0.20", "output": "2.50", "web_search": "5.00"},
    # claude.com/pricing: cache writes at 1.25 and 2 times the input, reads at a tenth
    "claude-2.1": {"input": "8.00", "output": "24.00"},
    "claude-3-5-haiku": {
        "input": "0.80",
        "cache_read": "0.08",
        "cache_write": "1.00",
        "cache_write_1h": "1.60",
        "output": "4.00",
        "web_search": "10.00",
    },
    "claude-haiku-4-5": {
        "input": "1.00",
        "cache_read": "0.10",
        "cache_write": "1.25",
        "cache_write_1h": "2.00",
        "output": "5.00",
        "web_search": "10.00",
    },
    "claude-sonnet-4": {
        "input": "3.00",
        "cache_read": "0.30",
        "cache_write": "3.75",
        "cache_write_1h": "6.00",
        "output": "15.00",
        "web_search": "10.00",
    },
    "claude-sonnet-4-5": {
        "input": "3.00",
        "cache_read": "0.30",
        "cache_write": "3.75",
        "cache_write_1h": "6.00",
        "output": "15.00",
        "web_search": "10.00",
    },
}

TIERED_FROM_TOKENS = 100_001
"""No price list starts a dearer tier below this; longer inputs are looked up in the catalogue's rows."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens, or searches, of one kind at one price (USD per million tokens or per thousand searches).

    `factor` scales what tokens cost: where they were served, and how fast.
    """

    name: str
    quantity: int
    price: Decimal
    factor: Decimal = Decimal(1)

    @property
    def usd(self) -> Decimal:
        """What they cost."""
        if self.name in EVENTS:
            return self.quantity * self.price / 1_000
        return self.quantity * self.price / 10**6 * self.factor


def bill(recording: Recording, prices: Prices | None = None) -> list[Bucket]:
    """Return what an answer is billed, bucket by bucket; nothing where it reports no usage.

    `prices` are those of a model that has none published.
    """
    answer = (_google if recording.provider == "gemini" else reported)(recording)
    if answer is None:
        return []
    readers = {"anthropic": _anthropic, "grok": _grok, "gemini": _gemini}
    counts = readers.get(recording.provider, _openai)(answer)
    whole = sum(number for name, number in counts if name in INPUTS)
    if prices is None:
        prices = prices_of(recording.provider, answer["model"], whole, answer.get("service_tier"))
    factor = Decimal(1)
    if answer["usage"].get("inference_geo") == "us":
        factor *= Decimal("1.1")
    if answer["usage"].get("speed") == "fast":
        factor *= 2
    return [Bucket(name, number, Decimal(prices[name]), factor) for name, number in counts if number]


EVENTS = ("web_search", "grounded_request")
"""What is billed by the thousand."""

INPUTS = ("input", "cache_read", "cache_write", "cache_write_1h", "input_audio")


def nusd(buckets: list[Bucket]) -> int:
    """Return their exact sum, rounded up once to nano-USD."""
    total = sum((bucket.usd for bucket in buckets), Decimal(0)) * 10**9
    return int(total.to_integral_value(ROUND_CEILING))


def reported(recording: Recording) -> dict[str, Any] | None:
    """Return the object that holds the usage, with the usage that counts; None where nothing was used."""
    body = plain_body(recording)
    if recording.reply.status != 200:
        return None
    answers = list(events(body)) if body.lstrip()[:1] != b"{" else [json.loads(body)]
    told = [found for found in map(_with_usage, answers) if found is not None]
    if not told:
        return None
    answer: dict[str, Any] = dict(told[-1])
    usage: dict[str, Any] = {}
    for one in told:
        usage |= {name: value for name, value in one["usage"].items() if value is not None}
        answer = one | {name: value for name, value in answer.items() if value is not None}
    used = usage.get("prompt_tokens") or usage.get("input_tokens")
    return {**answer, "usage": usage} if used else None


def plain_body(recording: Recording) -> bytes:
    """Return an answer's body as it was before it was compressed."""
    body = recording.reply.body
    match recording.reply.headers.get("content-encoding", ""):
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
    return body


def events(stream: bytes) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each event of a stream."""
    for line in stream.decode().splitlines():
        if line.startswith("data:") and line[5:].lstrip().startswith("{"):
            yield json.loads(line[5:])


def _with_usage(event: dict[str, Any]) -> dict[str, Any] | None:
    """Return the part of an event that has a usage: the event, or the message or response in it."""
    for found in (event, event.get("response"), event.get("message")):
        if isinstance(found, dict) and found.get("usage"):
            return found
    return None


def _openai(answer: dict[str, Any]) -> list[tuple[str, int]]:
    usage = answer["usage"]
    read = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    wrote = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    whole_in = usage.get("prompt_tokens") or usage.get("input_tokens") or 0
    whole_out = usage.get("completion_tokens") or usage.get("output_tokens") or 0
    cached, written = read.get("cached_tokens") or 0, read.get("cache_write_tokens") or 0
    heard, spoken = read.get("audio_tokens") or 0, wrote.get("audio_tokens") or 0
    items = [item for item in answer.get("output") or () if item.get("type") == "web_search_call"]
    searches = [item for item in items if (item.get("action") or {}).get("type", "search") == "search"]
    return [
        ("input", whole_in - cached - written - heard),
        ("cache_read", cached),
        ("cache_write", written),
        ("input_audio", heard),
        ("output", whole_out - spoken),
        ("output_audio", spoken),
        ("web_search", len(searches)),
    ]


def _google(recording: Recording) -> dict[str, Any] | None:
    """Return the last event of an answer of Google's, its usage under the name that the others give it."""
    body = plain_body(recording)
    if recording.reply.status != 200:
        return None
    told = list(events(body)) if body.startswith(b"data:") else json.loads(body)
    answers = told if isinstance(told, list) else [told]
    searched = any(
        (candidate.get("groundingMetadata") or {}).get("webSearchQueries")
        for answer in answers
        for candidate in answer.get("candidates") or ()
    )
    last = answers[-1]
    usage = last["usageMetadata"]
    if not usage.get("promptTokenCount"):
        return None
    tier = usage.get("serviceTier")
    return {"model": last["modelVersion"], "usage": usage, "service_tier": tier, "searched": searched}


def _gemini(answer: dict[str, Any]) -> list[tuple[str, int]]:
    usage = answer["usage"]
    cached = usage.get("cachedContentTokenCount", 0)
    return [
        ("input", usage["promptTokenCount"] - cached + usage.get("toolUsePromptTokenCount", 0)),
        ("cache_read", cached),
        ("output", usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)),
        ("grounded_request", int(answer["searched"])),
    ]


def _grok(answer: dict[str, Any]) -> list[tuple[str, int]]:
    usage = answer["usage"]
    if "prompt_tokens" in usage:
        read, whole_in = usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"]
        wrote = usage["completion_tokens"] + usage["completion_tokens_details"]["reasoning_tokens"]
    else:
        read, whole_in = usage["input_tokens_details"]["cached_tokens"], usage["input_tokens"]
        wrote = usage["output_tokens"]
    used = usage.get("server_side_tool_usage_details") or {}
    return [
        ("input", whole_in - read),
        ("cache_read", read),
        ("output", wrote),
        ("web_search", used.get("web_search_calls", 0)),
    ]


def own_bill_nusd(recording: Recording) -> Decimal | None:
    """Return what xAI itself says that an answer cost, in nano-USD; None where it says nothing."""
    answer = reported(recording)
    ticks = None if answer is None else answer["usage"].get("cost_in_usd_ticks")
    return None if ticks is None else Decimal(ticks) / 10


def _anthropic(answer: dict[str, Any]) -> list[tuple[str, int]]:
    usage = answer["usage"]
    written = usage.get("cache_creation_input_tokens") or 0
    hour = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    return [
        ("input", usage["input_tokens"]),
        ("cache_read", usage.get("cache_read_input_tokens") or 0),
        ("cache_write", written - hour),
        ("cache_write_1h", hour),
        ("output", usage["output_tokens"]),
        ("web_search", (usage.get("server_tool_use") or {}).get("web_search_requests") or 0),
    ]


def prices_of(provider: str, model: str, input_tokens: int = 0, tier: str | None = None) -> Prices:
    """Return a model's published prices, by its name with or without a date."""
    ordinary = tier in (None, "default", "standard") and input_tokens < TIERED_FROM_TOKENS
    names = [name for name in PRICES if model == name or model.startswith((f"{name}-1", f"{name}-2"))]
    if names and ordinary:
        return PRICES[max(names, key=len)]
    return _listed(provider, model, input_tokens, tier)


def is_listed(provider: str, model: str) -> bool:
    """Tell whether there is any published price of a model."""
    return any(model in (name, *row.get("aliases", ())) for name, row in _rows(provider).items())


def catalogue_row(provider: str, model: str) -> dict[str, Any]:
    """Return the published row of a model: its limits, and prices in micro-USD per million tokens."""
    rows = _rows(provider).items()
    return next(row for name, row in rows if model in (name, *row.get("aliases", ())))


@cache
def _rows(provider: str) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = json.loads(CATALOGUE.read_bytes())["models"].get(provider, {})
    return rows


def _listed(provider: str, model: str, input_tokens: int, tier: str | None) -> Prices:
    row = catalogue_row(provider, model)
    period = row["periods"][-1]
    steps = [step for step in period.get("tiers", ()) if step["input_tokens_ge"] <= input_tokens]
    by_tier = (steps[-1] if steps else period)["rates"]
    rates = by_tier["default" if tier in (None, "standard", "auto") else tier]
    found = {name: str(Decimal(rate) / 10**6) for name, rate in rates.items()}
    return found | {name: str(Decimal(fee) / 10**6) for name, fee in row.get("fees", {}).items()}
