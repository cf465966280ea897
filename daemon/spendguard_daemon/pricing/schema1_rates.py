"""A row of a schema 1 document as a rate card of ours: its prices, with the limits that our catalogue knows.

Owns what each name of the public contract means in our dimensions and fees (design 7). Endpoints, limits,
tokenizer and what a model does unasked come from the bundled card of that name or alias. Invariant: no rate
that the row lacks is guessed; what needs it is refused as unpriced.

    input_, output_cents_per_1m                   required; above zero
    cached_input_, cache_read_input_cents_per_1m  cache_read, the dearer where both stand
    uncached_input_cents_per_1m                   input, the dearer of both
    cache_write_input_, reasoning_output_cents_per_1m
    grounding_cents_per_1k_queries                the fee of a search, or of a grounded request
    web_search_, file_search_cents_per_call
    context_cliff_threshold_tokens, context_cliff_input_, context_cliff_output_multiplier
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from spendguard_daemon.pricing import cards, catalogue
from spendguard_daemon.pricing.cards import FEE_MAX, RATE_MAX, TOKENS_MAX
from spendguard_daemon.pricing.dimensions import OUTPUT_DIMENSIONS
from spendguard_daemon.pricing.ratecard import DEFAULT_TIER, Period, RateCard, Tier
from spendguard_daemon.pricing.schema1_numbers import take
from spendguard_daemon.pricing.wire_json import Row, invalid

MICROS_PER_CENT = 10_000
CENTS_MAX = RATE_MAX // MICROS_PER_CENT
MULTIPLIER_MAX = 100

_RATES = {
    "input_cents_per_1m": "input",
    "uncached_input_cents_per_1m": "input",
    "output_cents_per_1m": "output",
    "cached_input_cents_per_1m": "cache_read",
    "cache_read_input_cents_per_1m": "cache_read",
    "cache_write_input_cents_per_1m": "cache_write",
    "reasoning_output_cents_per_1m": "reasoning_output",
}
_FEES = {
    "grounding_cents_per_1k_queries": ("grounding_query", 1),
    "web_search_cents_per_call": ("web_search", 1000),
    "file_search_cents_per_call": ("file_search", 1000),
}
"""The fee of ours, and how many events its price in cents is for, of a thousand."""

_INCLUSIVE = frozenset({"grok"})
"""Whose long-context rates begin at the threshold itself (costs.md B2); elsewhere one token above it."""


def read_card(provider: str, model: str, row: Row) -> RateCard | None:
    """Return the card of a row, None where our catalogue does not know the model. Raises PRICING_INVALID."""
    known = _known().get((provider, model))
    rates, fees = _read_rates(row), _read_fees(row, known)
    tiers = _read_tiers(provider, row, rates)
    row.end()
    if known is None:
        _check_above_zero(row, rates, free_output=False)
        return None
    _check_above_zero(row, rates, free_output=cards.embeds(known.endpoints))
    return replace(
        known,
        model=model,
        aliases=(),
        periods=(Period(0, tiers),),
        fees=fees,
        modifiers_bp={},
        storage_cache_mtok_hour=None,
        free=False,
    )


@lru_cache(maxsize=1)
def _known() -> Mapping[tuple[str, str], RateCard]:
    """Return the bundled cards by provider and exact name."""
    return {
        (provider, name): card
        for provider, rows in catalogue.bundled().models.items()
        for model, row in rows.items()
        for card in [cards.read_card(provider, model, Row(dict(row), f"catalogue.{provider}.{model}"))]
        for name in (card.model, *card.aliases)
    }


def _read_rates(row: Row) -> dict[str, Fraction]:
    """Return the rates in micro-USD per 1M tokens, exactly; of two names for one dimension the dearer."""
    for needed in ("input_cents_per_1m", "output_cents_per_1m"):
        row.take(needed)
    rates: dict[str, Fraction] = {}
    for key, dimension in _RATES.items():
        if key in row:
            micros = take(row, key, CENTS_MAX) * MICROS_PER_CENT
            rates[dimension] = max(micros, rates.get(dimension, micros))
    return rates


def _read_fees(row: Row, known: RateCard | None) -> dict[str, int]:
    """Return the fees in micro-USD per 1,000 events."""
    fees: dict[str, int] = {}
    for key, (name, per) in _FEES.items():
        if key in row:
            micros = math.ceil(take(row, key, FEE_MAX // MICROS_PER_CENT // per) * MICROS_PER_CENT * per)
            fees[_fee_name(name, known)] = micros
    return fees


def _fee_name(name: str, known: RateCard | None) -> str:
    """Google took a fee for each prompt with any search until Gemini 2.5, for each search since."""
    by_request = known is not None and "grounded_request" in known.fees
    return "grounded_request" if name == "grounding_query" and by_request else name


def _read_tiers(provider: str, row: Row, rates: Mapping[str, Fraction]) -> tuple[Tier, ...]:
    base = Tier(0, {DEFAULT_TIER: {name: math.ceil(rate) for name, rate in rates.items()}})
    keys = ("context_cliff_input_multiplier", "context_cliff_output_multiplier")
    if "context_cliff_threshold_tokens" not in row:
        for key in keys:
            if key in row:
                raise invalid(f"{row.path}.{key}: without context_cliff_threshold_tokens")
        return (base,)
    threshold = take(row, "context_cliff_threshold_tokens", TOKENS_MAX - 1)
    if threshold.denominator != 1 or threshold < 1:
        raise invalid(f"{row.path}.context_cliff_threshold_tokens: expected a whole number above 0")
    on_input, on_output = (_multiplier(row, key) for key in keys)
    start = int(threshold) + (0 if provider in _INCLUSIVE else 1)
    dearer = {
        name: math.ceil(rate * (on_output if name in OUTPUT_DIMENSIONS else on_input))
        for name, rate in rates.items()
    }
    if max(dearer.values()) > RATE_MAX:
        raise invalid(f"{row.path}: a rate beyond the threshold is above {RATE_MAX}")
    return base, Tier(start, {DEFAULT_TIER: dearer})


def _multiplier(row: Row, key: str) -> Fraction:
    if key not in row:
        return Fraction(1)
    multiplier = take(row, key, MULTIPLIER_MAX)
    if multiplier == 0:
        raise invalid(f"{row.path}.{key}: expected a number above 0")
    return multiplier


def _check_above_zero(row: Row, rates: Mapping[str, Fraction], *, free_output: bool) -> None:
    for name in ("input", "output"):
        if rates[name] == 0 and not (name == "output" and free_output):
            raise invalid(f"{row.path}: {name} is 0, and the model is not known to be free")
