"""What a refusal says beside its reason: the sum in its parts, who holds the money, and the ways out of it.

Programs show their users the sentence alone, so the way out stands in it; the numbers are facts. It decides
nothing, and knows no HTTP. Invariant: no way is named that would not have helped, and no agent hears of
another one.
"""

import re
from collections import Counter
from dataclasses import replace

from spendguard_daemon.call import SHORT_OF_MONEY, Arrival, Plan
from spendguard_daemon.cheaper import cheaper
from spendguard_daemon.codes import TABLE, Money
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.state import Account, State
from spendguard_daemon.money import format_usd
from spendguard_daemon.planner import Planner, offer
from spendguard_daemon.ports import Clock
from spendguard_daemon.providers.refusals import allow
from spendguard_daemon.sums import cheapest, parts, tools_nusd
from spendguard_daemon.usage import InputBound

MENDED_BY_A_MODEL = frozenset({Code.INSUFFICIENT_BUDGET, Code.KEY_LIMIT, Code.DAEMON_CAP})
"""Refusals that a cheaper model is a way out of; money that others hold comes back by itself."""

HOLDERS_MAX = 3
SAID_OF = frozenset({400, 402, 409})
NOTHING = f"; {Money.NOTHING.value}"

_WORDS = {"reasoning": "reasoning", "calls": "function calls"}
_ONE_CHOICE = re.compile(r'\[policy\] (\w+) = "(\w+)"')


class Ways:
    """Completes refusals before anybody hears of them. One per daemon."""

    def __init__(self, planner: Planner, state: State, clock: Clock):
        self._planner, self._state, self._clock = planner, state, clock

    def tell(self, error: SpendGuardError, arrival: Arrival, plan: Plan | None, account: Account) -> None:
        """Add to a refusal its model, its sum, what is held for caution, who holds, and what helps."""
        if plan is not None:
            error.facts |= {"provider": plan.provider, "model": plan.card.model}
        if plan is not None and error.code in SHORT_OF_MONEY:
            self._tell_sum(error, plan)
            self._tell_cheaper(error, arrival, plan, account)
        elif plan is not None and error.code is Code.BUDGET_NOT_SET:
            error.facts |= {"worst_case_usd": format_usd(plan.hold.worst_nusd), **parts(plan)}
        entry = TABLE[error.code]
        # What an unknown model is told is the text that programs of the original look for, whole.
        if entry.money is Money.NOTHING and entry.status in SAID_OF and error.code is not Code.UNKNOWN_MODEL:
            error.detail += NOTHING
        _tell_agents_own(error, account)

    def _tell_sum(self, error: SpendGuardError, plan: Plan) -> None:
        error.facts |= parts(plan)
        tools = tools_nusd(plan)
        if tools:
            error.facts["tools_usd"] = format_usd(tools)
            error.detail += f"; ${format_usd(tools)} of it is for tools that run at the provider"
        held_by = _holders(self._state, error, plan)
        if held_by:
            error.facts["held_by"] = held_by
        features = plan.trusting()
        if features:
            error.facts["setting"] = allow(", ".join(features))
            error.detail += f"; {_beside(plan)}, or your operator allows {' and '.join(features)}"

    def _tell_cheaper(self, error: SpendGuardError, arrival: Arrival, plan: Plan, account: Account) -> None:
        if error.code not in MENDED_BY_A_MODEL:
            return
        now = Now(self._clock.wall_ns(), self._clock.monotonic_ns())
        found = cheaper(self._planner, self._state, now, arrival, plan, account)
        if found is not None:
            model, worst_nusd = found
            error.facts |= {"cheaper_model": model, "cheaper_model_usd": format_usd(worst_nusd)}


def _tell_agents_own(error: SpendGuardError, account: Account) -> None:
    """Name the command where the setting that helps is one that the agent has of its own."""
    choice = _ONE_CHOICE.fullmatch(str(error.facts.get("setting", "")))
    if choice and getattr(account.policy, choice[1], None) is not None:
        flag = choice[1].replace("_", "-")
        command = f"spendguard agent set {account.agent_id} --{flag} {choice[2]}"
        error.facts["agent_setting"] = command
        error.detail += f"; this agent has {choice[1]} of its own: {command}"


def _holders(state: State, error: SpendGuardError, plan: Plan) -> list[str]:
    """Return which runs of the agent hold what the budget that refused has held, the most first.

    The daemon's is held by other agents too, of which this one must not hear.
    """
    agent_id, budget = plan.hold.agent_id, error.facts.get("budget")
    if budget == "daemon" or not state.accounts[agent_id].calls_open:
        return []
    key_id = error.facts.get("key_id")
    held_nusd, calls = Counter[str](), Counter[str]()
    for call in state.open_calls.values():
        hold = call.hold
        if hold.agent_id == agent_id and (budget == "agent" or key_id in hold.keys):
            held_nusd[hold.run_id] += hold.amount_nusd
            calls[hold.run_id] += 1
    most = held_nusd.most_common(HOLDERS_MAX)
    said = [_holder(f"run {run_id}", calls[run_id], nusd) for run_id, nusd in most]
    rest_calls = calls.total() - sum(calls[run_id] for run_id, _ in most)
    if rest_calls:
        rest_nusd = held_nusd.total() - sum(nusd for _, nusd in most)
        said.append(_holder(f"{len(calls) - len(most)} other runs", rest_calls, rest_nusd))
    return said


def _holder(who: str, calls: int, nusd: int) -> str:
    return f"{who}: {calls} call{'' if calls == 1 else 's'}, ${format_usd(nusd)}"


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
    chosen = cheapest(plan)
    bound = InputBound(chosen.rung, chosen.input_tokens)
    request = replace(plan.request, **without)  # type: ignore[arg-type]
    return offer(bound, request, plan.card, plan.from_ns, plan.hold.deadline_ns).cost.at(0)
