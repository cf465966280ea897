"""The ways out where the money or the lock is in the way. Pure.

A top-up fills a budget up to its limit, so that what does not fit under the limit needs another limit. A
command never asks for more than what is lacking, in whole cents.
"""

import shlex
from collections.abc import Callable, Mapping

from spendguard_cli.ways.case import Case, Way, nusd, way
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.money import NUSD_PER_CENT, cents_ceil, format_usd

FIRST_LIMIT_CENTS = 5000
"""What a first budget is set to where no call has said what it needs."""

AGAIN = Way("what was in the way is gone: send it again")


def fill(ref: str, needed_cents: int, lacking_cents: int, limit_cents: int | None) -> str:
    """Return the command that makes `needed_cents` remain to an agent to which so much is lacking now."""
    if limit_cents is not None and limit_cents < needed_cents:
        return f"spendguard budget set --agent {ref} --limit {needed_cents} --topup {lacking_cents}"
    return f"spendguard budget topup --agent {ref} --amount {lacking_cents}"


def first_budget(ref: str, limit_cents: int) -> str:
    """Return the command that gives an agent its first budget."""
    return f"spendguard budget set --agent {ref} --limit {limit_cents}"


def fill_daemon(needed_cents: int, lacking_cents: int, daemon: wire.DaemonBudget | None) -> str:
    """Return the command that makes `needed_cents` remain of the cap above all agents."""
    if daemon is not None and (daemon.hard_limit_cents or needed_cents) < needed_cents:
        return f"spendguard budget daemon set --limit {needed_cents} --topup {lacking_cents}"
    return f"spendguard budget daemon topup --amount {lacking_cents}"


def share(ref: str) -> str:
    """Return the command that ends the lock between runs of an agent."""
    return f"spendguard agent set {ref} --concurrency shared"


def unfreeze(agent: wire.Agent | None, ref: str) -> Way:
    """Return how a frozen agent goes on; one of a restored ledger with what it spent since the backup."""
    if agent is not None and agent.restored:
        return spent_since(ref)
    return way("let it call again, once the reason is dealt with", f"spendguard agent unfreeze {ref}")


def spent_since(ref: str) -> Way:
    """Return how an agent that came back with a backup goes on: only a person knows what it spent since."""
    return Way(
        "look at the provider's bill for what it spent since the backup; then: "
        f"spendguard agent unfreeze {ref} --spent <amount>; 0 accepts the loss: it is then never counted"
    )


def _restored(case: Case) -> list[Way]:
    if case.agent is not None and not case.agent.restored:
        return _frozen(case)
    return [spent_since(case.ref)]


def _smaller(case: Case) -> list[Way]:
    """Return what the caller itself can do about a sum that does not fit."""
    ways = []
    tokens, model = case.number("affordable_max_tokens"), case.text("cheaper_model")
    then, now = nusd(case.facts.get("remaining_usd")), nusd(case.agent.remaining_usd) if case.agent else None
    if tokens and (then is None or now is None or then <= now or case.text("budget") != "agent"):
        ways.append(Way(f"send it with a max_tokens of {tokens} at most, which fitted what remained"))
    if model:
        cost = case.text("cheaper_model_usd")
        ways.append(Way(f"send it to {model}" + (f", where it costs ${cost} at most" if cost else "")))
    return ways


def _insufficient(case: Case) -> list[Way]:
    agent = case.agent
    if agent is not None and agent.hard_limit_cents is None:
        return _not_set(case)
    worst_nusd = case.nusd("worst_case_usd", "needed_usd")
    remaining = agent.remaining_usd if agent else case.facts.get("remaining_usd")
    remaining_nusd = nusd(remaining)
    if worst_nusd is None or remaining_nusd is None:
        return [*_smaller(case), way("add to its budget", _topup(case.ref))]
    if worst_nusd <= remaining_nusd:
        return [AGAIN]
    limit_nusd = case.nusd("limit_usd")
    limit_cents = (
        agent.hard_limit_cents if agent else None if limit_nusd is None else limit_nusd // NUSD_PER_CENT
    )
    lacking_nusd = worst_nusd - remaining_nusd
    about = f"give the agent the ${format_usd(lacking_nusd)} that is lacking for all of it, in whole cents"
    return [
        *_smaller(case),
        way(about, fill(case.ref, cents_ceil(worst_nusd), cents_ceil(lacking_nusd), limit_cents)),
    ]


def _topup(ref: str) -> str:
    return f"spendguard budget topup --agent {ref} --amount <cents>"


def _not_set(case: Case) -> list[Way]:
    if case.agent is not None and case.agent.hard_limit_cents is not None:
        return [AGAIN]
    worst_nusd = case.nusd("worst_case_usd")
    limit_cents = FIRST_LIMIT_CENTS if worst_nusd is None else max(1, cents_ceil(worst_nusd))
    return [way("give the agent a budget; another amount is as good", first_budget(case.ref, limit_cents))]


def _frozen(case: Case) -> list[Way]:
    if case.agent is not None and not case.agent.frozen:
        return [AGAIN]
    return [unfreeze(case.agent, case.ref)]


def _daemon_cap(case: Case) -> list[Way]:
    worst_nusd = case.nusd("worst_case_usd", "needed_usd")
    remaining = case.daemon.remaining_usd if case.daemon else case.facts.get("remaining_usd")
    if case.daemon is not None and case.daemon.hard_limit_cents is None:
        return [AGAIN]
    off = Way("lift the cap above all agents", ("spendguard budget daemon set --off",))
    remaining_nusd = nusd(remaining)
    if worst_nusd is None or remaining_nusd is None:
        return [
            way("add to the cap above all agents", "spendguard budget daemon topup --amount <cents>"),
            off,
        ]
    if worst_nusd <= remaining_nusd:
        return [AGAIN]
    lacking_cents = cents_ceil(worst_nusd - remaining_nusd)
    command = fill_daemon(cents_ceil(worst_nusd), lacking_cents, case.daemon)
    return [*_smaller(case), Way("add what is lacking to the cap above all agents", (command,)), off]


def _key_limit(case: Case) -> list[Way]:
    worst_nusd = case.nusd("worst_case_usd", "needed_usd")
    cents = "<cents>" if worst_nusd is None else str(max(1, cents_ceil(worst_nusd)))
    about = "a key's limit cannot be changed: make another key, and give it to the program"
    return [*_smaller(case), way(about, f"spendguard agent key {case.ref} --limit {cents}")]


def _held(case: Case) -> list[Way]:
    waits = Way("wait: calls in flight give back what they did not use")
    if case.text("budget") == "key":
        return [waits, *_key_limit(case)]
    if case.text("budget") == "daemon":
        return [waits, *_daemon_held(case)]
    worst_nusd, agent = case.nusd("worst_case_usd", "needed_usd"), case.agent
    remaining_nusd = nusd(agent.remaining_usd if agent else case.facts.get("remaining_usd"))
    held_nusd = nusd(agent.held_usd if agent else case.facts.get("held_usd"))
    if worst_nusd is None or remaining_nusd is None or held_nusd is None:
        return [waits]
    lacking_nusd = worst_nusd + held_nusd - remaining_nusd
    if lacking_nusd <= 0:
        return [AGAIN]
    limit_cents = agent.hard_limit_cents if agent else None
    command = fill(case.ref, cents_ceil(worst_nusd + held_nusd), cents_ceil(lacking_nusd), limit_cents)
    return [waits, way("let it go on beside the calls in flight", command), *_abort(case)]


def _daemon_held(case: Case) -> list[Way]:
    worst_nusd, daemon = case.nusd("worst_case_usd", "needed_usd"), case.daemon
    remaining_nusd = nusd(daemon.remaining_usd) if daemon else None
    held_nusd = nusd(daemon.held_usd) if daemon else None
    if worst_nusd is None or remaining_nusd is None or held_nusd is None:
        return []
    lacking_cents = cents_ceil(worst_nusd + held_nusd - remaining_nusd)
    if lacking_cents <= 0:
        return [AGAIN]
    command = fill_daemon(cents_ceil(worst_nusd + held_nusd), lacking_cents, daemon)
    return [Way("let it go on beside the calls in flight", (command,))]


def _abort(case: Case) -> list[Way]:
    agent = case.agent
    if agent is not None:
        run_id = shlex.quote(agent.locked_run_id) if agent.locked_run_id else ""
    else:
        run_id = case.word("locked_run_id")
    if not run_id:
        return []
    about = "cut the run in flight; its calls are charged at their holds"
    return [way(about, f"spendguard run abort --agent {case.ref} --run {run_id}")]


def _locked(case: Case) -> list[Way]:
    agent = case.agent
    if agent is not None and (agent.locked_run_id is None or agent.concurrency == "shared"):
        return [AGAIN]
    run_id = agent.locked_run_id if agent is not None else case.text("locked_run_id")
    return [
        way("let runs of this agent call at the same time; the cap is just as strict", share(case.ref)),
        *_abort(case),
        Way(f"wait until run {run_id or 'that has the lock'} ends, or send the call with its run id"),
    ]


def _upstream_lost(case: Case) -> list[Way]:
    call = case.word("call_id") or "<call>"
    return [
        way(
            "once the provider's bill is known, enter what the call really cost",
            f"spendguard budget adjust --call {call} --to <usd> --reason 'provider bill'",
        ),
        Way("list all calls whose cost is only a bound", ("spendguard ledger export --unconfirmed",)),
    ]


MONEY: Mapping[Code, Callable[[Case], list[Way]]] = {
    Code.INSUFFICIENT_BUDGET: _insufficient,
    Code.BUDGET_NOT_SET: _not_set,
    Code.BUDGET_NOT_FOUND: _not_set,
    Code.AGENT_FROZEN: _frozen,
    Code.RESTORE_UNCONFIRMED: _restored,
    Code.DAEMON_CAP: _daemon_cap,
    Code.KEY_LIMIT: _key_limit,
    Code.BUDGET_HELD: _held,
    Code.BUDGET_LOCKED: _locked,
    Code.UPSTREAM_FAILED: _upstream_lost,
    Code.UPSTREAM_TIMEOUT: _upstream_lost,
}
"""How each of these codes is got out of."""
