"""What changed between two documents' prices, and which changes are more likely a slip than a price. Pure.

Owns the flat names of a card's prices. A ten-fold change is warned of, never refused: who signed it may mean
it (ledger-and-security.md 3.3, "implausible prices").
"""

from collections.abc import Sequence

from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.pricing.wire_json import format_time

TENFOLD_AT = 10
"""The one by the other, from which a change is more likely a slip of the unit than a price."""


def prices_of(card: RateCard) -> dict[str, int]:
    """Return every price of a card under a name of its own, in its wire unit."""
    flat = {
        f"{format_time(period.from_ns)} {service_tier} {name}{_from(tier.input_tokens_ge)}": rate
        for period in card.periods
        for tier in period.tiers
        for service_tier, rates in tier.rates.items()
        for name, rate in rates.items()
    }
    flat |= {f"fee:{name}": fee for name, fee in card.fees.items()}
    flat |= {f"bp:{name}": points for name, points in card.modifiers_bp.items()}
    if card.storage_cache_mtok_hour is not None:
        flat["storage_cache_mtok_hour"] = card.storage_cache_mtok_hour
    return flat


def by_name(cards: Sequence[RateCard]) -> dict[str, RateCard]:
    """Return cards by provider and model."""
    return {f"{card.provider}:{card.model}": card for card in cards}


def slips(before: Sequence[RateCard], after: Sequence[RateCard]) -> tuple[str, ...]:
    """Return a sentence for each price that is ten times what it was, or a tenth of it, or beyond."""
    old_cards, found = by_name(before), []
    for model, card in by_name(after).items():
        if model not in old_cards:
            continue
        old_prices = prices_of(old_cards[model])
        for name, new in prices_of(card).items():
            old = old_prices.get(name, new)
            if new != old and (new >= TENFOLD_AT * old or old >= TENFOLD_AT * new):
                found.append(f"{model}: {name} went from {old} to {new}, ten times or a tenth")
    return tuple(found)


def _from(input_tokens_ge: int) -> str:
    return f"@{input_tokens_ge}" if input_tokens_ge else ""
