"""The source genai-prices (PyPI, MIT): its data as plain JSON, and that JSON as offers.

Owns the names and units of genai-prices (data.py, types.py, data_units.py of 0.2.3). Must not know LiteLLM or
our facts. Invariant: a condition that it does not understand is an error, never an offer without it.
"""

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from importlib import metadata
from typing import Any

from catalogue.offer import NOW, Grid, Offer, micros

SOURCE = "genai-prices"
PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "gemini": "google", "grok": "x-ai"}
"""Ours -> theirs."""

_DIMENSIONS = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "input_image_mtok": "input_image",
    "input_video_mtok": "input_video",
    "output_mtok": "output",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
}
_FEES = {"web_searches_kcount": "web_search", "storage_searches_kcount": "file_search"}
_SERVICE_TIERS = {"flex": "flex", "priority": "priority", "fast": "priority"}
"""OpenAI's `fast` is answered, and billed, as `priority`."""


def installed() -> dict[str, Any]:
    """Return the data of the installed package as plain JSON: {"version", "models": {provider: [model]}}."""
    from genai_prices.data import providers  # type: ignore[import-not-found, unused-ignore]

    theirs = {provider.id: provider.models for provider in providers}
    models = {ours: [_plain_model(model) for model in theirs[name]] for ours, name in PROVIDERS.items()}
    return {"version": metadata.version(SOURCE), "models": models}


def offers(data: Mapping[str, Any], provider: str) -> dict[str, Offer]:
    """Return the offers for a provider of ours by their id."""
    return {model["id"]: _offer(model) for model in data["models"].get(provider, ())}


def _plain_model(model: Any) -> dict[str, Any]:
    conditional = model.prices if isinstance(model.prices, list) else None
    prices = (
        [{"from": None, "prices": _plain_prices(model.prices)}]
        if conditional is None
        else [{"from": _day(one.constraint), "prices": _plain_prices(one.prices)} for one in conditional]
    )
    variants = [
        {"when": one.when, "from": _day(one.constraint), "prices": _plain_prices(one.prices)}
        for one in model.price_variants or ()
    ]
    return {
        "id": model.id,
        "context_window": model.context_window,
        "prices": prices,
        "variants": [one for one in variants if "processing" not in one["when"]],
    }


def _day(constraint: Any) -> str | None:
    if constraint is None:
        return None
    if [item.name for item in dataclasses.fields(constraint)] != ["start_date"]:
        raise ValueError(f"genai-prices: a condition other than a first day: {constraint!r}")
    return str(constraint.start_date.isoformat())


def _plain_prices(prices: Any) -> dict[str, Any]:
    found = {key: value for key, value in vars(prices).items() if value is not None}
    return {
        key: str(value)
        if isinstance(value, Decimal)
        else {"base": str(value.base), "tiers": [[tier.start, str(tier.price)] for tier in value.tiers]}
        for key, value in found.items()
    }


def _offer(model: Mapping[str, Any]) -> Offer:
    days = {one["from"] or NOW for one in model["prices"]}
    days |= {one["from"] for one in model["variants"] if one["from"]}
    periods = {day: _grid(model, day) for day in sorted(days)}
    latest = model["prices"][-1]["prices"]
    return Offer(
        source=SOURCE,
        name=model["id"],
        periods=periods,
        fees={ours: micros(Decimal(latest[key]), 1) for key, ours in _FEES.items() if key in latest},
        modifiers_bp=_fast(model),
        max_input=model["context_window"],
    )


def _grid(model: Mapping[str, Any], day: str) -> Grid:
    standard = _begun(model["prices"], day)[-1]["prices"]
    grid: Grid = {"default": _sizes(standard, {})}
    for variant in _begun(model["variants"], day):
        tier = _SERVICE_TIERS.get(variant["when"].get("service_tier", ""))
        if tier and tier not in grid:
            grid[tier] = _sizes(variant["prices"], standard)
    return {tier: sizes for tier, sizes in grid.items() if sizes[0]}


def _begun(rows: list[Any], day: str) -> list[Any]:
    return [row for row in rows if (row["from"] or NOW) <= day]


def _sizes(prices: Mapping[str, Any], standard: Mapping[str, Any]) -> dict[int, dict[str, int]]:
    """Return the rates by size of input. What a variant leaves out costs as the standard does.

    Its size tiers are its own: one flat rate of a variant, where the standard has tiers, is a rate for short
    calls alone. A tier starts above the number that genai-prices gives.
    """
    own = [value for key, value in prices.items() if key in _DIMENSIONS]
    starts = {0} | {start + 1 for value in own if isinstance(value, dict) for start, _price in value["tiers"]}
    both = {key: value for key, value in {**standard, **prices}.items() if key in _DIMENSIONS}
    return {
        start: {_DIMENSIONS[key]: _rate(value, start) for key, value in both.items()}
        for start in sorted(starts)
    }


def _rate(value: Any, start: int) -> int:
    if not isinstance(value, dict):
        return micros(Decimal(value), 1)
    reached = [price for tier, price in value["tiers"] if tier < start]
    return micros(Decimal(reached[-1] if reached else value["base"]), 1)


def _fast(model: Mapping[str, Any]) -> dict[str, int]:
    """Return the factor of Anthropic's fast mode, the largest of all its rates, in basis points."""
    standard = model["prices"][-1]["prices"]
    fast = [one["prices"] for one in model["variants"] if one["when"] == {"speed": "fast"}]
    factors = [
        -(-_rate(value, 0) * 10_000 // _rate(standard[key], 0))
        for prices in fast
        for key, value in prices.items()
        if key in _DIMENSIONS
    ]
    return {"speed:fast": max(factors)} if factors else {}
