"""One model's card as an operator reads it: every rate of every tier and period, in exact USD. Pure."""

from collections.abc import Iterator

from spendguard_cli.pricing.results import Card, Rate
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.pricing.wire_json import format_time
from spendguard_daemon.text import safe

MICROS_PER_USD = 1_000_000
PER_MILLION, PER_THOUSAND, PER_HOUR = "1M tokens", "1,000 events", "1M cached tokens and hour"
NS_PER_SECOND = 1_000_000_000


def card_of(book: PriceBook, name: str) -> RateCard:
    """Return the card of `provider:model` or of a name that only one provider has; raise UNKNOWN_MODEL."""
    provider, mark, model = name.partition(":")
    if mark and any(provider == card.provider for card in book.cards()):
        return book.card(provider, model)
    providers = book.providers_of(name)
    if len(providers) > 1:
        raise SpendGuardError(
            Code.USAGE,
            f"{safe(name)!r} is a model of {' and '.join(providers)}",
            remedy=f"spendguard pricing show {providers[0]}:{name}",
        )
    if not providers:
        raise SpendGuardError(
            Code.UNKNOWN_MODEL,
            f"Unknown model for pricing: {safe(name)!r} is in no card of the document",
            remedy="spendguard pricing show lists the models; [prices.overrides] in config.toml adds one",
        )
    return book.card(providers[0], name)


def shown(card: RateCard, book: PriceBook, now_ns: int) -> Card:
    """Return a card as it is told."""
    return Card(
        model=card.model,
        provider=card.provider,
        aliases=list(card.aliases),
        endpoints=list(card.endpoints),
        context_tokens=card.limits.context_tokens,
        input_tokens_max=card.limits.input_tokens_max,
        output_tokens_max=card.limits.output_tokens_max,
        reasoning=card.reasoning,
        free=card.free,
        document_sha256=book.document_sha256,
        signed_by=book.key_id,
        age_seconds=max(0, now_ns - book.issued_ns) // NS_PER_SECOND,
        expires_at=format_time(book.expires_ns),
        modifiers_bp=dict(card.modifiers_bp),
        rates=list(_rates(card)),
    )


def usd(micros: int) -> str:
    """Write micro-USD as exact dollars, at least two digits after the point."""
    whole, part = divmod(micros, MICROS_PER_USD)
    return f"{whole}.{f'{part:06d}'.rstrip('0').ljust(2, '0')}"


def _rates(card: RateCard) -> Iterator[Rate]:
    for period in card.periods:
        valid_from = format_time(period.from_ns)
        for tier in period.tiers:
            for service_tier, rates in tier.rates.items():
                for name, rate in rates.items():
                    yield _rate(name, rate, PER_MILLION, valid_from, service_tier, tier.input_tokens_ge)
    first = format_time(card.periods[0].from_ns)
    for name, fee in card.fees.items():
        yield _rate(name, fee, PER_THOUSAND, first)
    if card.storage_cache_mtok_hour is not None:
        yield _rate("storage_cache", card.storage_cache_mtok_hour, PER_HOUR, first)


def _rate(
    name: str, micros: int, per: str, valid_from: str, service_tier: str = "", input_tokens_ge: int = 0
) -> Rate:
    return Rate(
        valid_from=valid_from,
        service_tier=service_tier,
        input_tokens_ge=input_tokens_ge,
        name=name,
        usd=usd(micros),
        per=per,
    )
