"""What a refusal says of the ways out of it: what of the sum is held for caution, and whose setting helps.

Programs show their users the sentence alone, so the way out stands in it. Pure; it decides nothing, and knows
no HTTP. Invariant: no way is named that would not have helped.
"""

import re
from dataclasses import replace

from spendguard_daemon.call import SHORT_OF_MONEY, Plan
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger.state import Account
from spendguard_daemon.money import format_usd
from spendguard_daemon.planner import offer
from spendguard_daemon.providers.refusals import allow
from spendguard_daemon.usage import InputBound

_WORDS = {"reasoning": "reasoning", "calls": "function calls"}
_ONE_CHOICE = re.compile(r'\[policy\] (\w+) = "(\w+)"')


def tell(error: SpendGuardError, plan: Plan | None, account: Account) -> None:
    """Add to a refusal its model, what of the sum is held for caution, and the command of an agent's own."""
    if plan is not None:
        error.facts |= {"provider": plan.provider, "model": plan.card.model}
    if plan is not None and error.code in SHORT_OF_MONEY:
        features = plan.trusting()
        if features:
            error.facts["setting"] = allow(", ".join(features))
            error.detail += f"; {_beside(plan)}, or your operator allows {' and '.join(features)}"
    choice = _ONE_CHOICE.fullmatch(str(error.facts.get("setting", "")))
    if choice and getattr(account.policy, choice[1], None) is not None:
        flag = choice[1].replace("_", "-")
        command = f"spendguard agent set {account.agent_id} --{flag} {choice[2]}"
        error.facts["agent_setting"] = command
        error.detail += f"; this agent has {choice[1]} of its own: {command}"


def _beside(plan: Plan) -> str:
    """Return what the sum holds beside the output cap, and the endpoint that holds none of it."""
    request, card = plan.request, plan.card
    names = [
        _WORDS[name]
        for name in _WORDS
        if name in request.uncapped and (card.reasoning or name != "reasoning")
    ]
    parts = []
    if names:
        whole, capped = _at_nothing(plan), _at_nothing(plan, uncapped=frozenset())
        said = " and ".join(names)
        parts.append(f"${format_usd(whole - capped)} of it is {said} that may be billed beside the cap")
    if any(name in card.fees for name in request.penalties):
        fined, plain = _at_nothing(plan), _at_nothing(plan, penalties=())
        of_it = "" if parts else " of it is"
        fee = f"${format_usd(fined - plain)}{of_it} the fee for a request that breaks the provider's rules"
        parts.append(fee)
    instead = request.capped_by
    inside = f"; /v1/{instead} counts all within its cap" if names and instead in card.endpoints else ""
    return ", ".join(parts) + inside


def _at_nothing(plan: Plan, **without: object) -> int:
    """Return what the call holds for no output at all (nUSD), with a part of its request left out."""
    cheapest = min(plan.hold.offers, key=lambda one: one.cost.at(plan.hold.output_tokens))
    bound = InputBound(cheapest.rung, cheapest.input_tokens)
    request = replace(plan.request, **without)  # type: ignore[arg-type]
    return offer(bound, request, plan.card, plan.from_ns, plan.hold.deadline_ns).cost.at(0)
