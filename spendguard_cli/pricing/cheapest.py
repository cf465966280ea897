"""The cheapest model that answers one short message, and the most that this costs. Pure over a price book."""

from dataclasses import dataclass

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.text import safe

INPUT_TOKENS = 4096
"""More than the bound of one short message, also where a provider adds a prompt of its own to it."""

OUTPUT_TOKENS = 16
CALL_NS = 2 * 3_600 * 10**9
"""Until then a call that begins now has ended, and every price in force by then is looked at."""


@dataclass(frozen=True, slots=True)
class Cheapest:
    """A model, the output cap to ask for, and the worst case of such a call (nUSD)."""

    model: str
    output_tokens: int
    worst_nusd: int


def cheapest(book: PriceBook, provider: str, endpoint: str, model: str | None, now_ns: int) -> Cheapest:
    """Return the cheapest model of a provider that serves this endpoint, or the one that is named.

    One that does not reason goes first, as its answer ends soonest. Raises UNKNOWN_MODEL, or USAGE where the
    model does not serve it.
    """
    if model is not None:
        card = book.card(provider, model)
        if endpoint not in card.endpoints:
            raise SpendGuardError(
                Code.USAGE, f"{safe(model)!r} does not serve {endpoint}", remedy="name a chat model, or none"
            )
        return _priced(card, now_ns)
    found: list[tuple[bool, int, Cheapest]] = []
    for card in book.cards():
        if card.provider == provider and endpoint in card.endpoints and not card.free:
            try:
                one = _priced(card, now_ns)
            except SpendGuardError:  # a card without a rate that any call needs
                continue
            found.append((card.reasoning, one.worst_nusd, one))
    if not found:
        raise SpendGuardError(
            Code.UNKNOWN_MODEL,
            f"The price document has no chat model of {provider}",
            remedy="spendguard pricing show lists the models",
        )
    return min(found, key=lambda one: one[:2])[2]


def _priced(card: RateCard, now_ns: int) -> Cheapest:
    output_tokens = max(card.output_tokens_min, OUTPUT_TOKENS)
    cost = card.quote(
        input_tokens=INPUT_TOKENS,
        choices=1,
        reach=frozenset(),
        from_ns=now_ns,
        until_ns=now_ns + CALL_NS,
        events={"violation": 1} if "violation" in card.fees else {},
        uncapped_tokens=_uncapped(card),
    )
    return Cheapest(card.model, output_tokens, cost.at(output_tokens))


def _uncapped(card: RateCard) -> int:
    """Return what may be billed beside the cap: xAI's chat counts reasoning apart (costs.md B)."""
    if not (card.reasoning and card.provider == "grok"):
        return 0
    known = card.limits.uncapped_tokens_max
    return card.limits.context_tokens if known is None else known
