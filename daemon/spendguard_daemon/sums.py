"""What the worst case of a refused call is made of: its input, its output, its fees, at which rates.

Pure, and exact: the parts are not rounded, their sum is, once, to the worst case.
"""

from dataclasses import replace

from spendguard_daemon.call import Plan
from spendguard_daemon.errors import Fact, SpendGuardError
from spendguard_daemon.ledger.commands import Offer
from spendguard_daemon.money import exact_usd, format_usd
from spendguard_daemon.planner import events_of, offer

PER_MILLION = 1_000_000


def parts(plan: Plan) -> dict[str, Fact]:
    """Return the parts of a call's worst case, by the offer that is the cheapest for the output it wants.

    `output_tokens` are all that the sum is for: the cap and what may be billed beside it, of every choice.
    """
    chosen, request, card = cheapest(plan), plan.request, plan.card
    cost = chosen.cost
    uncapped = request.uncapped_tokens(card.limits, reasoning=card.reasoning)
    per_choice = plan.hold.output_tokens + uncapped
    fees = card.fee_items(events_of(request, card))
    fees_nusd = sum(fee * count for _, fee, count in fees)
    inputs = cost.fixed - cost.per_token * uncapped - fees_nusd * cost.divisor
    copies = request.choices * request.output_passes
    rates = []
    if chosen.input_tokens:
        rates.append(_rate("input", inputs // chosen.input_tokens, cost.divisor))
    if cost.per_token:
        rates.append(_rate("output", cost.per_token // copies, cost.divisor))
    rates += [f"{name} {format_usd(fee)} USD each, at most {count}" for name, fee, count in fees]
    return {
        "input_usd": exact_usd(inputs, cost.divisor),
        "output_usd": exact_usd(cost.per_token * per_choice, cost.divisor),
        "fees_usd": format_usd(fees_nusd),
        "output_tokens": per_choice * copies,
        "choices": request.choices,
        "rates": rates,
    }


def tools_nusd(plan: Plan) -> int:
    """Return how much of the worst case is for tools that run at the provider (nUSD); 0 where it has none.

    They cost fees, and what they find is billed as input again in each of their rounds.
    """
    request = plan.request
    if not request.events and request.passes == 1 and request.output_passes == 1:
        return 0
    plain = replace(request, events={}, passes=1, output_passes=1)
    try:
        bounds = plan.format.bounds(plain, plan.card.limits, plan.state_tokens)
    except SpendGuardError:
        return 0  # what was bounded by the window may have no other bound
    offers = [offer(bound, plain, plan.card, plan.from_ns, plan.hold.deadline_ns) for bound in bounds]
    without_nusd = min(each.cost.at(plan.hold.output_tokens) for each in offers)
    return max(0, plan.hold.worst_nusd - without_nusd)


def cheapest(plan: Plan) -> Offer:
    """Return the offer by which the call costs the least with all the output that it wants."""
    return min(plan.hold.offers, key=lambda one: one.cost.at(plan.hold.output_tokens))


def _rate(name: str, per_token: int, per_nusd: int) -> str:
    """Write a rate per token, of which `per_nusd` make a nUSD, as USD per 1M tokens."""
    return f"{name} {exact_usd(per_token * PER_MILLION, per_nusd)} USD per 1M tokens"
