"""OpenAI, billing all that its documentation lets it (costs.md B1, C1, C4; the SDK's docstrings).

What is assumed, beyond the price list: text costs its tokens in the model's vocabulary, or a token a byte
where that is unknown; a message 3 tokens more, a name 1, an answer 3 (the cookbook), a tool at most what the
cookbook's formula for functions says; images and audio what their guides say. Functions take the body as it
left us, parsed.
"""

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import toktok

from billing.worst import UnboundedBillError, Worst, price_list, strings, values_of

PRICES = price_list("openai")
AUDIO_TOKENS_A_SECOND, AUDIO_BYTES_A_SECOND = 10, 1_000
"""Input audio; the lowest bit rate of MP3 is 8 kbit/s."""

IMAGES = (
    ("gpt-4o-mini", 2_833 + 8 * 5_667),
    ("gpt-4o|gpt-4-turbo", 85 + 8 * 170),
    ("o1|o3", 75 + 8 * 150),
    ("o4-mini", math.ceil(1_536 * 1.72)),
    ("gpt-4.1-mini|gpt-5-mini", math.ceil(1_536 * 1.62)),
    ("gpt-4.1-nano|gpt-5-nano", math.ceil(1_536 * 2.46)),
    ("gpt-4.1", 1_536),
    ("gpt-5.4-mini", math.ceil(2_500 * 1.62)),
    ("gpt-5.4-nano", math.ceil(2_500 * 2.46)),
    ("gpt-5.[45]", 12_000),
    ("gpt-5.[23]", 3_000),
    ("gpt-5.6|gpt-6", 36_000),
    ("gpt-5", math.ceil(1_536 * 1.2)),
)
"""The most tokens of an image, at the detail that costs most: the first pattern that matches counts."""

MESSAGE, NAME, ANSWER = 3, 1, 3
FUNCTION, PARAMETERS, PARAMETER, CHOICE, FUNCTIONS = 10, 3, 3, 3, 12
"""The cookbook's formula for functions, the dearer of both generations of models."""

EMBEDDINGS_TOKENS_MAX = 300_000
WRITES_UNASKED = re.compile(r"gpt-5\.6|gpt-6")
WINDOW = 10**12
"""More than any window: what the provider may fill as far as it goes."""

HOSTED_FEES = {
    "web_search": "web_search",
    "web_search_2025_08_26": "web_search",
    "web_search_preview": "web_search",
    "web_search_preview_2025_03_11": "web_search",
    "file_search": "file_search",
}


def chat(body: Mapping[str, Any], *, counted: bool) -> Worst:
    """Return the most that a request to chat completions allows."""
    for name in ("web_search_options", "prediction", "moderation"):
        if body.get(name) is not None:
            raise UnboundedBillError(f"{name}: billed without a bound")
    caps = [body[name] for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    if len(caps) != 1:
        raise UnboundedBillError(f"{len(caps)} output caps")
    row, count = PRICES[body["model"]], _counter(body["model"], counted=counted)
    heard, images, files = 0, 0, False
    text = ANSWER
    for message in body["messages"]:
        text += MESSAGE + (NAME + count(message["name"]) if message.get("name") else 0)
        parts = _parts(message.get("content"))
        text += _joined(parts, count)
        for part in parts:
            match part.get("type"):
                case "image_url":
                    images += 1
                case "input_audio":
                    heard += _audio_tokens(part["input_audio"]["data"])
                case "file":
                    files = True
                case _:
                    text += _text(part, count)
        rest = {k: v for k, v in message.items() if k not in ("role", "content", "name")}
        text += _text(rest, count)
    text += _definitions([*(body.get("tools") or ()), *(body.get("functions") or ())], count)
    text += sum(_text(body.get(name), count) for name in ("response_format", "tool_choice", "function_call"))
    speaks = "audio" in (body.get("modalities") or ())
    return Worst(
        row=row,
        input_tokens=WINDOW if files else text + heard + images * _image_tokens(body["model"]),
        output_tokens=caps[0] * (1 if body.get("n") is None else body["n"]),
        audio_tokens=heard,
        buckets=_buckets(body),
        outputs=frozenset({"output", "output_audio"} if speaks else {"output"}),
        tiers=_tiers(body, row),
    )


def responses(body: Mapping[str, Any], *, counted: bool, state_tokens: int | None) -> Worst:
    """Return the most that a request to responses allows; `state_tokens` is what earlier responses hold."""
    if body.get("background") or body.get("context_management") or body.get("moderation") is not None:
        raise UnboundedBillError("work beside the answer, billed without a bound")
    if (body.get("reasoning") or {}).get("mode") not in (None, "standard"):
        raise UnboundedBillError("a mode of reasoning that no cap bounds")
    if body.get("max_output_tokens") is None:
        raise UnboundedBillError("no output cap")
    row, count = PRICES[body["model"]], _counter(body["model"], counted=counted)
    kept = any(body.get(name) is not None for name in ("conversation", "prompt"))
    kept |= body.get("previous_response_id") is not None and state_tokens is None
    items = [body["input"]] if isinstance(body["input"], str) else body["input"]
    text = ANSWER + MESSAGE * (len(items) + 1) + count(body.get("instructions") or "")
    images = 0
    for part in _leaves(items):
        match part if isinstance(part, str) else part.get("type"):
            case "input_image" | "computer_screenshot":
                images += 1
            case "input_file" | "item_reference":
                kept = True
            case _:
                text += _text(part, count)
    tools = body.get("tools") or []
    uses, fees = _hosted(tools, body.get("max_tool_calls"), row)
    own = [tool for tool in tools if tool.get("type") in ("function", "custom")]
    text += _definitions(own, count)
    text += _text(body.get("text"), count) + _text(body.get("tool_choice"), count)
    text += (state_tokens or 0) if body.get("previous_response_id") is not None else 0
    return Worst(
        row=row,
        input_tokens=WINDOW if kept or uses else text + images * _image_tokens(body["model"]),
        output_tokens=body["max_output_tokens"],
        buckets=_buckets(body),
        tiers=_tiers(body, row),
        passes=1 + uses,
        fees=fees,
    )


def embeddings(body: Mapping[str, Any], *, counted: bool) -> Worst:
    """Return the most that a request for embeddings allows: input alone."""
    row, count, given = PRICES[body["model"]], _counter(body["model"], counted=counted), body["input"]
    texts = [given] if isinstance(given, str) else given
    sizes = [
        count(text) if isinstance(text, str) else 1 if isinstance(text, int) else len(text) for text in texts
    ]
    return Worst(
        row=row,
        input_tokens=min(sum(sizes), EMBEDDINGS_TOKENS_MAX),
        output_tokens=0,
        buckets=frozenset({"input"}),
    )


def _counter(model: str, *, counted: bool) -> "Counter":
    encoding = PRICES[model].get("tok", {}).get("enc")
    return Counter(encoding if counted else None)


class Counter:
    """The tokens of a text: in the model's vocabulary, else a token for each byte."""

    def __init__(self, encoding: str | None):
        self._encoding = encoding

    def __call__(self, text: str) -> int:
        """Count one text; as one special token where it names one, if that counts more."""
        if self._encoding is None:
            return len(text.encode())
        return int(toktok.batch_count([text], self._encoding, threads=1)[0])


def _text(value: object, count: Counter) -> int:
    """Return the tokens of a value shown to the model: as JSON, or string by string."""
    if value is None:
        return 0
    as_json = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return max(count(as_json), sum(map(count, strings(value))))


def _joined(parts: list[Any], count: Counter) -> int:
    """Return how many tokens more the texts of a message take in one piece than each by itself."""
    texts = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
    alone = sum(map(count, texts))
    return max(0, count("".join(texts)) - alone, count("\n".join(texts)) - alone)


def _definitions(tools: list[Any], count: Counter) -> int:
    """Return the tokens of tools that the client runs: as JSON, or by the cookbook's formula."""
    if not tools:
        return 0
    total = FUNCTIONS
    for tool in tools:
        shown = sum(count(word) for word in strings(tool))
        schema = (tool.get("function") or tool).get("parameters") if isinstance(tool, dict) else None
        shown += FUNCTION + PARAMETERS + _formula(schema)
        total += max(shown, FUNCTION + _text(tool, count))
    return total


def _formula(schema: object) -> int:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return 0
    choices = sum(len(p.get("enum") or ()) for p in properties.values() if isinstance(p, dict))
    return PARAMETER * len(properties) + CHOICE * choices


def _parts(content: str | list[Any] | None) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _leaves(items: list[Any]) -> Iterator[Any]:
    """Yield the parts of all items, and items that are one piece."""
    for item in items:
        content = item.get("content", item.get("output")) if isinstance(item, dict) else None
        if isinstance(content, list):
            yield from content
            yield {k: v for k, v in item.items() if v is not content}
        else:
            yield item


def _image_tokens(model: str) -> int:
    return next((tokens for names, tokens in IMAGES if re.match(names, model)), WINDOW)


def _audio_tokens(data: str) -> int:
    size = len(base64.b64decode(data))
    return math.ceil(size * AUDIO_TOKENS_A_SECOND / AUDIO_BYTES_A_SECOND)


def _buckets(body: Mapping[str, Any]) -> frozenset[str]:
    """Return where the input may land: anything may be read from the cache; newer models write it unasked."""
    options = body.get("prompt_cache_options") or {}
    marks = list(values_of("prompt_cache_breakpoint", body))
    if any(mark.get("ttl") not in (None, "30m") for mark in (options, *marks)):
        raise UnboundedBillError("cache writes for longer have no published rate here")
    unasked = options.get("mode") != "explicit" and WRITES_UNASKED.match(body["model"])
    return frozenset({"input", "cache_read"} | ({"cache_write"} if unasked or marks else set()))


def _tiers(body: Mapping[str, Any], row: Mapping[str, Any]) -> frozenset[str]:
    """Return the tiers that may serve: with none named, or `auto`, whatever the project is set to."""
    asked = body.get("service_tier")
    if asked in (None, "auto"):
        return frozenset(row["periods"][-1]["rates"])
    named = {"fast": "priority", "standard": "default"}.get(asked, asked)
    return frozenset({"default", named})


def _hosted(
    tools: list[Any], most: int | None, row: Mapping[str, Any]
) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return how often tools at OpenAI may run, and the dearest fees of that."""
    kinds = [tool["type"] for tool in tools if tool.get("type") not in ("function", "custom")]
    if not kinds:
        return 0, ()
    if most is None or not set(kinds) <= HOSTED_FEES.keys():
        raise UnboundedBillError(f"{sorted(set(kinds))} without a limit of {most} calls that counts for all")
    dearest = max(row["fees"][HOSTED_FEES[kind]] for kind in kinds)
    return most, ((dearest, most),)
