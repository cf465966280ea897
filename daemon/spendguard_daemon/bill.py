"""What reported usage costs, also where another model answered than the one that was asked (costs.md A3).

Pure. Knows prices and names of models, neither holds nor HTTP. Invariant: what the provider says it bills,
where it says that; else never less than the asked model's card says.
"""

import re
from dataclasses import replace

from spendguard_daemon.call import Plan
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.events import ANSWERED_BY
from spendguard_daemon.money import PUSD_PER_NUSD, Nusd, ceil_div, format_usd
from spendguard_daemon.pricing.ratecard import Cost, CostLine
from spendguard_daemon.usage import Usage

_DATE = re.compile(
    r"-(20[0-9]{2}-(0[1-9]|1[0-2])-[0-3][0-9]|20[0-9]{2}(0[1-9]|1[0-2])[0-3][0-9]|(0[1-9]|1[0-2])[0-3][0-9]"
    r"|00[1-9]|(?<=-preview-)(0[1-9]|1[0-2])-([0-3][0-9]|20[0-9]{2}))",
    re.ASCII,
)
"""How snapshots are dated: gpt-4o-2024-08-06, gpt-3.5-turbo-0125, claude-sonnet-4-5-20250929. Those of
Google also by number, gemini-2.0-flash-001, and by month, -05-20 or -09-2025 after the same -preview."""

BILLED_APART = "the provider billed "
"""In the reason of a `settle`: its own bill, which was charged, is not what our prices say."""

_LATEST = "-latest"
"""How an alias of Anthropic ends whose answers name a dated snapshot: claude-3-7-sonnet-latest."""


def bill(plan: Plan, usage: Usage, answered_by: str | None, until_ns: int) -> tuple[Cost, str]:
    """Return the cost of a call that ended at `until_ns`, and what is odd about it (empty where nothing is).

    The provider's own bill (`Usage.cost_pusd`) is the truth, rounded up once; the cards only check it, and
    what they say is odd where it differs, or where they have no price. Without such a bill the cards count;
    raises UNPRICED_DIMENSION for a model or usage without a rate, UPSTREAM_FAILED for what cannot be true:
    all are charged at worst.
    """
    if usage.cost_pusd is None:
        return _by_cards(plan, usage, answered_by, until_ns)
    billed = _as_billed(usage.cost_pusd)
    try:
        counted, odd = _by_cards(plan, usage, answered_by, until_ns)
    except SpendGuardError as error:
        if error.code is not Code.UNPRICED_DIMENSION:
            raise
        return billed, f"{BILLED_APART}{format_usd(billed.total_nusd)} USD; {error.detail}"
    if counted.total_nusd == billed.total_nusd:
        return counted, odd
    told = (
        f"{BILLED_APART}{format_usd(billed.total_nusd)} USD; {format_usd(counted.total_nusd)} by our prices"
    )
    return billed, f"{odd}; {told}" if odd else told


def _as_billed(pusd: int) -> Cost:
    """Return the provider's own bill as a cost of one line."""
    line = CostLine("provider_bill", pusd, "pusd", 1, pusd)
    return Cost(Nusd(ceil_div(pusd, PUSD_PER_NUSD)), (line,))


def _by_cards(plan: Plan, usage: Usage, answered_by: str | None, until_ns: int) -> tuple[Cost, str]:
    """Return what the cards say; of an answer that names no tier, by the dearest that may have served it."""
    tiers = (usage.service_tier,) if usage.service_tier else ("default", plan.request.service_tier)
    costs = [_at_tier(plan, replace(usage, service_tier=tier), answered_by, until_ns) for tier in tiers]
    return max(costs, key=lambda either: either[0].total_nusd)


def _at_tier(plan: Plan, usage: Usage, answered_by: str | None, until_ns: int) -> tuple[Cost, str]:
    """Return what the cards say, the dearer of both where the answer names a model with a card of its own."""
    card = plan.card
    span = {"from_ns": plan.from_ns, "until_ns": until_ns}
    cost = card.price(usage, modifiers=plan.request.modifiers, **span)
    names = (card.model, *card.aliases)
    if answered_by is None or answered_by in names:
        return cost, ""
    if plan.provider in plan.book.providers_of(answered_by):
        other = plan.book.card(plan.provider, answered_by)
        its_cost = other.price(usage, modifiers=plan.request.modifiers, **span)
        return max(cost, its_cost, key=lambda either: either.total_nusd), f"{ANSWERED_BY}{other.model}"
    if any(_is_snapshot(answered_by, name.removesuffix(_LATEST)) for name in names):
        return cost, ""
    if any(_is_snapshot(name, answered_by) for name in names):
        return cost, ""  # asked for by its date, it names itself without
    # Its name stays out of the records: an answer may have put its words there.
    raise SpendGuardError(Code.UNPRICED_DIMENSION, "answered by another model, which has no price")


def _is_snapshot(dated: str, name: str) -> bool:
    """Tell whether one name is the other with a date."""
    return dated.startswith(name) and _DATE.fullmatch(dated, len(name)) is not None
