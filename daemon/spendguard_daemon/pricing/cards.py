"""Rate cards as rows of a schema 2 document: each read strictly, any bad one refuses the document.

Owns the shape of a card on the wire (costs.md A3) and what makes one implausible. Knows nothing of
signatures and times of documents. Invariant: a card that it returns can price every tier of every period it
lists, with the same dimensions in each tier.

    endpoints   ["chat/completions", ...]      aliases    other exact names of the model
    limits      context, max_input, max_output, min_output?, image_tokens? (the most that one image takes),
                audio_bytes_per_token? (the least audio that makes one token)
    tok         per_request?, per_message?, per_tool?, tools_base? (framing, in tokens), enc? (the tokenizer
                of the model's text, where it is one that we can count with)
    periods     [{from, rates: {service tier: {dimension: rate}}, tiers?: [{input_tokens_ge, rates}]}]
    fees        {event: fee}    modifiers_bp  {"geo:us": 11000}    storage_cache_mtok_hour
    reasoning   implicit_cache_write   free    flags, false where they are not there

What has a question mark may be left out, as may all after `periods`: a document written before `enc`,
`image_tokens` and `audio_bytes_per_token` existed is as valid as ever.
"""

import re
from collections.abc import Mapping
from itertools import pairwise

from spendguard_daemon.pricing.dimensions import DIMENSIONS, FEES
from spendguard_daemon.pricing.ratecard import Period, RateCard, Tier
from spendguard_daemon.pricing.wire_json import KEY, Row, invalid
from spendguard_daemon.usage import Limits

RATE_MAX = 10**10
"""10,000 USD per 1M tokens, ten times the dearest model ever listed: more is a slip of the unit."""

FEE_MAX = 10**10
"""10 USD per event."""

MODIFIER_MAX_BP = 1_000_000
TOKENS_MAX = 10**9
FRAMING_TOKENS_MAX = 100_000
IMAGE_TOKENS_MAX = 10**6
AUDIO_BYTES_MAX = 10**6
"""A second of uncompressed studio sound; more in one token would be another slip of the unit."""

_NAME = re.compile(r"[a-z0-9_:./-]{1,64}")
_ENDPOINT = re.compile(r"[a-zA-Z0-9_:./-]{1,64}")
_EMBEDDING = frozenset({"embeddings", "embedContent", "batchEmbedContents"})
"""Endpoints whose answers cost nothing by their length."""

_ENCODING = re.compile(r"cl100k_base|o200k_base")
_FRAMING = {
    "per_request": "per_request_tokens",
    "per_message": "per_message_tokens",
    "per_tool": "per_tool_tokens",
    "tools_base": "tools_base_tokens",
}


def read_card(provider: str, model: str, row: Row) -> RateCard:
    """Read one card. Raises PRICING_INVALID naming the path of what is wrong."""
    endpoints = row.texts("endpoints", _ENDPOINT)
    if not endpoints:
        raise invalid(f"{row.path}.endpoints: expected at least one")
    is_embedding = embeds(endpoints)
    limits, output_tokens_min = _read_limits(row, output_optional=is_embedding)
    card = RateCard(
        provider=provider,
        model=model,
        aliases=row.texts("aliases", KEY) if "aliases" in row else (),
        endpoints=endpoints,
        limits=limits,
        output_tokens_min=output_tokens_min,
        reasoning=row.flag("reasoning"),
        implicit_cache_write=row.flag("implicit_cache_write"),
        periods=_read_periods(row),
        fees=row.row("fees").integers(FEES, 0, FEE_MAX) if "fees" in row else {},
        modifiers_bp=_read_modifiers(row),
        storage_cache_mtok_hour=_read_storage(row),
        free=row.flag("free"),
    )
    row.end()
    _check_plausible(card, row.path, free_output=card.free or is_embedding)
    return card


def embeds(endpoints: tuple[str, ...]) -> bool:
    """Tell whether a model of these endpoints writes nothing that could cost."""
    return _EMBEDDING.issuperset(endpoints)


def warnings_of(card: RateCard) -> list[str]:
    """Return what is allowed but worth a look: a tier that is cheaper than the one below it."""
    found = []
    for period in card.periods:
        for below, above in pairwise(period.tiers):
            for service_tier, rates in above.rates.items():
                base = below.rates[service_tier]
                cheaper = sorted(name for name, rate in rates.items() if rate < base[name])
                start = above.input_tokens_ge
                found += [f"{card.provider}:{card.model}: {name} cheaper from {start}" for name in cheaper]
    return found


def _read_limits(row: Row, *, output_optional: bool) -> tuple[Limits, int]:
    part = row.row("limits")
    context = part.integer("context", 1, TOKENS_MAX)
    input_max = part.integer("max_input", 1, context)
    output_max = part.integer("max_output", 0 if output_optional else 1, context)
    output_min = _optional(part, "min_output", 0, output_max)
    image_tokens = _optional(part, "image_tokens", 1, IMAGE_TOKENS_MAX)
    audio_bytes = _optional(part, "audio_bytes_per_token", 1, AUDIO_BYTES_MAX)
    part.end()
    framing, encoding = _read_tok(row.row("tok")) if "tok" in row else ({}, None)
    limits = Limits(
        input_max,
        context,
        output_max,
        image_tokens_max=image_tokens,
        audio_bytes_per_token=audio_bytes,
        encoding=encoding,
        **framing,
    )
    return limits, min(1, output_max) if output_min is None else output_min


def _read_tok(part: Row) -> tuple[dict[str, int], str | None]:
    framing = {
        field: part.integer(name, 0, FRAMING_TOKENS_MAX) for name, field in _FRAMING.items() if name in part
    }
    encoding = part.text("enc", _ENCODING) if "enc" in part else None
    part.end()
    return framing, encoding


def _optional(part: Row, key: str, low: int, high: int) -> int | None:
    return part.integer(key, low, high) if key in part else None


def _read_periods(row: Row) -> tuple[Period, ...]:
    periods: list[Period] = []
    for part in row.rows("periods"):
        from_ns = part.time_ns("from")
        if periods and from_ns <= periods[-1].from_ns:
            raise invalid(f"{part.path}.from: expected a later time than that of the period before")
        tiers = [Tier(0, _read_rates(part))]
        for tier_row in part.rows("tiers") if "tiers" in part else []:
            start = tier_row.integer("input_tokens_ge", tiers[-1].input_tokens_ge + 1, TOKENS_MAX)
            tiers.append(Tier(start, _read_rates(tier_row)))
            tier_row.end()
            _check_same_shape(tiers[0], tiers[-1], tier_row.path)
        part.end()
        periods.append(Period(from_ns, tuple(tiers)))
    if not periods:
        raise invalid(f"{row.path}.periods: expected at least one")
    return tuple(periods)


def _read_rates(row: Row) -> Mapping[str, Mapping[str, int]]:
    part = row.row("rates")
    rates: dict[str, dict[str, int]] = {}
    for service_tier, member in part.members():
        if not _NAME.fullmatch(service_tier):
            raise invalid(f"{member.path}: expected a name like {_NAME.pattern}")
        rates[service_tier] = member.integers(DIMENSIONS, 0, RATE_MAX)
        for needed in ("input", "output"):
            if needed not in rates[service_tier]:
                raise invalid(f"{member.path}.{needed}: missing")
    if "default" not in rates:
        raise invalid(f"{part.path}.default: missing")
    return rates


def _read_modifiers(row: Row) -> dict[str, int]:
    if "modifiers_bp" not in row:
        return {}
    return row.row("modifiers_bp").integers(None, 1, MODIFIER_MAX_BP)


def _read_storage(row: Row) -> int | None:
    if "storage_cache_mtok_hour" not in row:
        return None
    return row.integer("storage_cache_mtok_hour", 0, RATE_MAX)


def _check_same_shape(base: Tier, tier: Tier, path: str) -> None:
    """Refuse a tier that lists other dimensions than the base: one forgotten rate would refuse long calls."""
    shape = {name: frozenset(rates) for name, rates in base.rates.items()}
    if shape != {name: frozenset(rates) for name, rates in tier.rates.items()}:
        raise invalid(f"{path}.rates: expected the same service tiers and dimensions as below it")


def _check_plausible(card: RateCard, path: str, *, free_output: bool) -> None:
    for period in card.periods:
        for tier in period.tiers:
            for service_tier, rates in tier.rates.items():
                if rates["input"] == 0 and not card.free:
                    raise invalid(f"{path}: input of {service_tier} is 0, and the card is not marked free")
                if rates["output"] == 0 and not free_output:
                    raise invalid(f"{path}: output of {service_tier} is 0, and the card is not marked free")
                if card.implicit_cache_write and "cache_write" not in rates:
                    raise invalid(f"{path}: implicit_cache_write without a rate for cache_write")
