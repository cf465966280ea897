"""Every recorded request with each bound of its input, beside what its provider reported for it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import signed_prices
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import PriceBook, read_document
from spendguard_daemon.providers import FORMATS, Asked, Policy
from spendguard_daemon.usage import InputBound

RECORDINGS = Path(__file__).parents[1] / "recordings"
OPEN = Policy(hosted_tools="allow")
"""Hosted tools stay in, for they were in when the usage was reported."""


@dataclass(frozen=True)
class Bounded:
    """One recording: its bounds, smallest first, and the input that was billed.

    `carries_prompt` tells that the body shows all of the input: no files kept elsewhere, no hosted tools.
    """

    number: int
    provider: str
    endpoint: str
    carries_prompt: bool
    reported: int
    bounds: tuple[InputBound, ...]


def bounded_recordings() -> Iterator[Bounded]:
    """Yield each recording of a format and model that we serve whose answer reports its input."""
    reports = map(json.loads, (RECORDINGS / "expected_usage.jsonl").read_text().splitlines())
    reported = {report["id"]: report["usage"].get("input", 0) for report in reports}
    prices = read_document(
        signed_prices.body(providers=catalogue.merge(catalogue.bundled().models)), "00" * 32
    )
    book = PriceBook(prices, catalogue.MOCK_CARDS, self_signed=True)
    for path in sorted(RECORDINGS.glob("[0-9]*.json")):
        recorded = json.loads(path.read_bytes())
        if reported.get(recorded["id"], 0) > 0:
            yield from _bounded(int(path.name[:2]), recorded, reported[recorded["id"]], book)


def _bounded(number: int, recorded: dict[str, Any], reported: int, book: PriceBook) -> Iterator[Bounded]:
    provider, path = recorded["provider"], recorded["request"]["path"]
    model, verb = path.rpartition("/models/")[2].split(":") if provider == "gemini" else ("", "")
    endpoint = "generateContent" if verb.lower().endswith("generatecontent") else path.removeprefix("/v1/")
    form = FORMATS.get((provider, endpoint))
    if form is None:
        return
    headers = {name.lower(): value for name, value in recorded["request"]["headers"].items()}
    asked = Asked(recorded["request"]["body"].encode(), policy=OPEN, headers=headers, model=model)
    request = form.read(asked)
    if provider not in book.providers_of(request.model):
        return
    limits = book.card(provider, request.model).limits
    local = form.local_bound(asked, request, limits)
    bounds = (*form.bounds(request, limits), *(() if local is None else (local,)))
    whole = request.passes == 1 and not request.foreign_state and not request.media.documents
    ordered = tuple(sorted(bounds, key=lambda bound: bound.tokens))
    yield Bounded(number, provider, endpoint, whole, reported, ordered)
