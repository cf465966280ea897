"""Anthropic, billing all that its documentation lets it (costs.md B3, C1, C4; the SDK's docstrings).

What is assumed, beyond the price list: its tokenizers normalise, so a text costs at most a token for each
byte of the longest of raw, NFC and NFKC, and one more (C1); a message 4 tokens more, tools 530 for their
system prompt and 12 each; an image 4,784 tokens on newer models, 1,600 on older ones; the text of a PDF is
unknown.
Functions take the body as it left us, parsed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from billing.byte_tokens import FORMS, Form, shown
from billing.worst import UnboundedBillError, Worst, price_list, values_of

PRICES = price_list("anthropic")
WINDOW = 10**12
"""More than any window: what the provider may fill as far as it goes."""

MESSAGE, TOOLS, TOOL, REQUEST = 4, 530, 12, 8
SCHEMA = 300
"""An additional system prompt comes with a schema for the answer; its size is not told."""

IMAGE, IMAGE_NEWER = 1_600, 4_784
NEWER = re.compile(r"claude-(opus-4-[78]|opus-5|sonnet-5|haiku-5|fable|mythos)")

INJECTED_TOKENS = 1_500
"""What the definition of a tool of Anthropic's own may add: computer use, the largest known."""

SEARCH, FETCH = "web_search_", "web_fetch_"
REFUSED = ("mcp_servers", "container", "fallbacks", "compaction", "thread", "fallback_credit_token")


def messages(body: Mapping[str, Any], headers: Mapping[str, str]) -> Worst:
    """Return the most that a request for a message allows, with the headers that leave beside ours."""
    for name in REFUSED:
        if body.get(name):
            raise UnboundedBillError(f"{name}: billed without a bound")
    if "compact" in json.dumps(body.get("context_management") or {}):
        raise UnboundedBillError("compaction is a pass of its own")
    if body.get("service_tier") != "standard_only":
        raise UnboundedBillError("a service tier that is left open")
    row = PRICES[body["model"]]
    blocks = [block for message in body["messages"] for block in _blocks(message["content"])]
    uses, fees = _hosted(body.get("tools") or [], row)
    sized = uses == 0 and not any(map(_is_file, blocks))
    images = sum(map(_is_image, blocks)) * (IMAGE_NEWER if NEWER.match(body["model"]) else IMAGE)
    return Worst(
        row=row,
        input_tokens=max(_text(body, blocks, form) for form in FORMS) + images if sized else WINDOW,
        output_tokens=body["max_tokens"],
        buckets=_buckets(body),
        passes=1 + uses,
        fees=fees,
        factors=_factors(body, row),
        window=1_000_000 if "context-1m" in headers.get("anthropic-beta", "") else 0,
    )


def _text(body: Mapping[str, Any], blocks: list[Any], form: Form) -> int:
    """Return the tokens of all text, by a tokenizer that normalises to this form."""
    total = REQUEST + MESSAGE * len(body["messages"])
    total += sum(shown(block, form) for block in blocks if not (_is_file(block) or _is_image(block)))
    total += shown(body.get("system"), form) + shown(body.get("tool_choice"), form)
    total += _definitions(body.get("tools") or [], form)
    return total + (SCHEMA + shown(body["output_config"], form) if body.get("output_config") else 0)


def _is_image(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "image"


def _is_file(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    source = block.get("source") or {}
    return block.get("type") == "container_upload" or (
        block.get("type") == "document" and source.get("type") in FILES
    )


FILES = ("base64", "url", "file")
"""Sources of documents whose text does not follow from the request."""


def _blocks(content: object) -> Iterator[Any]:
    """Yield the blocks of a message, and those inside of tool results and documents."""
    for block in [content] if isinstance(content, str) else content if isinstance(content, list) else ():
        if not isinstance(block, dict):
            yield block
            continue
        source = block.get("source")
        inner = block.get("content")
        if isinstance(inner, list) and str(block.get("type")).endswith("tool_result"):
            yield from _blocks(inner)
            yield {k: v for k, v in block.items() if k != "content"}
        elif isinstance(source, dict) and isinstance(source.get("content"), list):
            yield from _blocks(source["content"])
            yield {k: v for k, v in block.items() if k != "source"}
        else:
            yield block


def _definitions(tools: list[Any], form: Form) -> int:
    """Return the tokens of the tools' definitions, and of the system prompt that comes with them."""
    if not tools:
        return 0
    own = [tool for tool in tools if tool.get("type") in (None, "custom")]
    injected = len(tools) - len(own)
    return TOOLS + sum(TOOL + shown(tool, form) for tool in own) + injected * INJECTED_TOKENS


def _hosted(tools: list[Any], row: Mapping[str, Any]) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return how often tools at Anthropic may run in all, and what their uses cost."""
    uses, fees = 0, []
    for tool in tools:
        kind = tool.get("type") or "custom"
        if kind.startswith((SEARCH, FETCH)):
            if not isinstance(tool.get("max_uses"), int):
                raise UnboundedBillError(f"{kind} without max_uses")
            if kind > SEARCH + "2026" and tool.get("allowed_callers") != ["direct"]:
                raise UnboundedBillError(f"{kind} may be called from code, without limit")
            uses += tool["max_uses"]
            if kind.startswith(SEARCH):
                fees.append((row["fees"]["web_search"], tool["max_uses"]))
        elif kind.startswith(("code_execution", "tool_search", "mcp", "advisor")):
            raise UnboundedBillError(f"{kind} has no limit of uses")
    return uses, tuple(fees)


def _buckets(body: Mapping[str, Any]) -> frozenset[str]:
    """Return where the input may land: a mark writes the cache for its lifetime, five minutes unless said."""
    found = {"input", "cache_read"}
    for mark in values_of("cache_control", body):
        found.add("cache_write_1h" if isinstance(mark, dict) and mark.get("ttl") == "1h" else "cache_write")
    return frozenset(found)


def _factors(body: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[Fraction, ...]:
    """Return what scales the tokens: a place left open may be the US, by the workspace's default."""
    points = row.get("modifiers_bp", {})
    factors = []
    if body.get("inference_geo") in (None, "us"):
        factors.append(Fraction(points.get("geo:us", 10_000), 10_000))
    if body.get("speed") == "fast":
        if "speed:fast" not in points:
            raise UnboundedBillError("fast mode has no published rate for this model")
        factors.append(Fraction(points["speed:fast"], 10_000))
    return tuple(factors)
