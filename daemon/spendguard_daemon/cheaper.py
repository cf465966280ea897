"""The cheapest model of the same provider that would take a refused request as it stands.

Pure, and holds nothing. Invariant: a model that is named would be admitted now, with this body and all the
output that it asks for, for it was read, planned and tried as the request itself was. Refusals come in loops,
so few candidates are tried, and none for a body that takes a while to read.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from spendguard_daemon.call import Arrival, Plan
from spendguard_daemon.earlier import Earlier
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger.admission import fits, free_nusd
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.state import Account, State
from spendguard_daemon.planner import Planner, Reading, offer
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.providers import Asked
from spendguard_daemon.providers.json_text import parse
from spendguard_daemon.providers.splice import apply, set_member
from spendguard_daemon.scope import may_call
from spendguard_daemon.sums import cheapest
from spendguard_daemon.usage import InputBound
from spendguard_daemon.whose import provider_of

BODY_BYTES_MAX = 64 * 1024
CANDIDATES_MAX = 3


def cheaper(
    planner: Planner, state: State, now: Now, arrival: Arrival, plan: Plan, account: Account
) -> tuple[str, int] | None:
    """Return the model and what the same request can cost there at most (nUSD), None where none was found.

    What goes on from an earlier answer is bound to the model that gave it, so nothing is named for it.
    """
    if len(arrival.body) > BODY_BYTES_MAX or plan.request.state_ids:
        return None
    for card in _candidates(plan, free_nusd(state, plan.hold), arrival.keys, state):
        model = card.model
        if provider_of(plan.book, model, arrival, account) != plan.provider:
            continue  # on the bare root the name means another provider's
        try:
            hold = _planned(planner, state, arrival, plan, account, model).hold
            if fits(state, hold, now, whole=True):
                return model, hold.worst_nusd
        except SpendGuardError:
            continue  # it does not take this request
    return None


def _candidates(plan: Plan, free_nusd: int, keys: Sequence[str], state: State) -> list[RateCard]:
    """Return the cards by which about what this request costs is free, the cheapest first.

    Only those that its keys may call, and those of its kind: models that reason refuse fields that others
    take, and the other way round.
    """
    endpoint, found = plan.hold.endpoint, list[tuple[int, str, RateCard]]()
    for card in plan.book.cards():
        same_kind = card.provider == plan.provider and card.reasoning is plan.card.reasoning
        if same_kind and endpoint in card.endpoints and card is not plan.card:
            nusd = _worst_nusd(plan, card)
            if nusd is not None and nusd <= free_nusd and _may_call(keys, card, state):
                found.append((nusd, card.model, card))
    return [card for _, _, card in sorted(found, key=itemgetter(0, 1))[:CANDIDATES_MAX]]


def _may_call(keys: Sequence[str], card: RateCard, state: State) -> bool:
    return all(
        may_call(state.agent_keys[key_id].models, card) for key_id in keys if key_id in state.agent_keys
    )


def _worst_nusd(plan: Plan, card: RateCard) -> int | None:
    """Return about what the request costs at most by another card, None where that has no place for it."""
    chosen, limits, output_tokens = cheapest(plan), card.limits, plan.hold.output_tokens
    input_tokens = chosen.input_tokens
    if chosen.rung == "window":
        input_tokens = min(input_tokens, plan.request.passes * limits.input_tokens_max)
    elif input_tokens > limits.input_tokens_max:
        return None
    if output_tokens > limits.output_tokens_max and not plan.hold.injected:
        return None
    bound = InputBound(chosen.rung, input_tokens)
    try:
        priced = offer(bound, plan.request, card, plan.from_ns, plan.hold.deadline_ns)
    except SpendGuardError:
        return None
    return priced.cost.at(min(output_tokens, limits.output_tokens_max))


def _planned(
    planner: Planner, state: State, arrival: Arrival, plan: Plan, account: Account, model: str
) -> Plan:
    """Plan the request as if it had named another model. Raises what reading and planning it raises."""
    asked = _naming(planner.asked(arrival, account), model)
    reading = Reading(plan.provider, plan.format.read(asked), None)
    return planner.plan(arrival, asked, reading, account, Earlier(), state.distrusted)


def _naming(asked: Asked, model: str) -> Asked:
    """Return the same request for another model, in the path or in the body: all other bytes are the same."""
    if asked.model:
        return replace(asked, model=model)
    document = parse(asked.body)
    body = apply(document.text, [set_member(document, "model", json.dumps(model))])
    return replace(asked, body=body)
