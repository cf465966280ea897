"""The source LiteLLM (PyPI litellm, MIT): model_prices_and_context_window_backup.json as offers.

Owns LiteLLM's names, suffixes and units (the file as of 1.110.2). Must not know genai-prices or our facts.
Invariant: a row that says nothing of tokens is an offer with a reason not to take it, so nothing gets lost.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from importlib import metadata, util
from pathlib import Path
from typing import Any

from catalogue.offer import NOW, Grid, Offer, micros

SOURCE = "litellm"
FILE = "model_prices_and_context_window_backup.json"
PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "gemini": "gemini", "grok": "xai"}
"""Ours -> `litellm_provider`."""

_DIMENSIONS = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "input_cost_per_image_token": "input_image",
    "input_cost_per_video_token": "input_video",
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "reasoning_output",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
}
_RATE = re.compile(
    r"(?P<name>[a-z_]+?(?:_above_1hr)?)(?:_above_(?P<thousands>\d+)k_tokens)?"
    r"(?:_(?P<tier>flex|priority|ultrafast))?"
)
_PICTURES = ("output_cost_per_image", "output_cost_per_video", "output_cost_per_second")
_TOKEN_MODES = frozenset({"chat", "responses", "embedding"})


def installed() -> dict[str, Any]:
    """Return the file of the installed package, without importing that, as {"version", "models"}."""
    spec = util.find_spec(SOURCE)
    if spec is None or spec.origin is None:
        raise ValueError("litellm is not installed: pip install litellm")
    return {
        "version": metadata.version(SOURCE),
        "models": parse((Path(spec.origin).parent / FILE).read_text()),
    }


def parse(text: str) -> dict[str, Any]:
    """Read the file with its prices as exact decimals of their text."""
    models: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return models


def offers(data: Mapping[str, Any], provider: str) -> dict[str, Offer]:
    """Return the offers for a provider of ours by the name that a request gives, the prefix left off."""
    found: dict[str, Offer] = {}
    for name, row in data["models"].items():
        if isinstance(row, dict) and row.get("litellm_provider") == PROVIDERS[provider]:
            offer = offer_of(name, row, inclusive=provider == "grok")
            found.setdefault(name.removeprefix(f"{PROVIDERS[provider]}/"), offer)
    return found


def offer_of(name: str, row: Mapping[str, Any], *, inclusive: bool = False) -> Offer:
    """Read one row. `inclusive`: its size tiers begin at the number that names them (xAI), not above it."""
    mode = row.get("mode")
    grid = _grid(row, 0 if inclusive else 1)
    why_not = None
    if mode not in _TOKEN_MODES:
        why_not = f"endpoints that are not served here ({mode})"
    elif any(key.startswith(_PICTURES) for key in row):
        why_not = "writes images or video"
    elif "input" not in grid.get("default", {}).get(0, {}):
        why_not = "no price per token"
    return Offer(
        source=SOURCE,
        name=name,
        periods={NOW: grid} if grid else {},
        fees=_fees(row),
        modifiers_bp=_modifiers(row),
        max_input=row.get("max_input_tokens"),
        max_output=row.get("max_output_tokens"),
        ends=row.get("deprecation_date"),
        why_not=why_not,
    )


def _grid(row: Mapping[str, Any], first: int) -> Grid:
    grid: Grid = {}
    for key, value in row.items():
        match = _RATE.fullmatch(key)
        if match and match["name"] in _DIMENSIONS and isinstance(value, int | Decimal):
            start = int(match["thousands"]) * 1000 + first if match["thousands"] else 0
            sizes = grid.setdefault(match["tier"] or "default", {})
            sizes.setdefault(start, {})[_DIMENSIONS[match["name"]]] = micros(Decimal(value), 1_000_000)
    return {tier: dict(sorted(sizes.items())) for tier, sizes in grid.items() if 0 in sizes}


def _fees(row: Mapping[str, Any]) -> dict[str, int]:
    """Return fees per 1,000 in micro-USD, from USD for one."""
    fees = {}
    searches = (row.get("search_context_cost_per_query") or {}).values()
    if searches:
        fees["web_search"] = max(micros(Decimal(value), 1_000) for value in searches)
    maps = row.get("google_maps_grounding_cost_per_query")
    if maps is not None:
        fees["maps"] = micros(Decimal(maps), 1_000)
    return fees


def _modifiers(row: Mapping[str, Any]) -> dict[str, int]:
    own = row.get("provider_specific_entry") or {}
    factors = {
        "geo:eu": row.get("regional_processing_uplift_multiplier_eu"),
        "geo:us": row.get("regional_processing_uplift_multiplier_us") or own.get("us"),
        "speed:fast": own.get("fast"),
    }
    return {
        name: -(-micros(Decimal(factor), 1) // 100) for name, factor in factors.items() if factor is not None
    }
