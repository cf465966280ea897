"""How an operator lets a waiting call go on: the command, with the amount that is lacking. Pure."""

from collections.abc import Sequence

from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.money import cents_ceil, parse_usd

WAYS_SHOWN = 5
"""How many commands are told at a time: after each of them it may be another one that is needed."""


def ways_on(agents: Sequence[wire.Agent], daemon: wire.DaemonBudget | None) -> list[str]:
    """Return the commands for the waiting calls of these agents, each once, the oldest call's first.

    `daemon` is the cap above all agents, None where it was not asked for.
    """
    waiting = sorted(
        ((one, agent) for agent in agents for one in agent.waiting), key=lambda pair: pair[0].since
    )
    ways = [way_on(one, agent.hard_limit_cents, daemon) for one, agent in waiting]
    return list(dict.fromkeys(way for way in ways if way is not None))[:WAYS_SHOWN]


def way_on(one: wire.Waiting, limit_cents: int | None, daemon: wire.DaemonBudget | None) -> str | None:
    """Return the command that lets one call go on; None where only other calls' ends do.

    A top-up fills a budget up to its limit, so that a call above the limit needs another one.
    """
    needed_cents, lacking = cents_ceil(parse_usd(one.worst_case_usd)), one.lacking_cents
    match one.code:
        case Code.INSUFFICIENT_BUDGET if limit_cents is not None and limit_cents < needed_cents:
            return f"spendguard budget set --agent {one.agent_id} --limit {needed_cents} --topup {lacking}"
        case Code.INSUFFICIENT_BUDGET:
            return f"spendguard budget topup --agent {one.agent_id} --amount {lacking}"
        case Code.BUDGET_NOT_SET:
            return f"spendguard budget set --agent {one.agent_id} --limit {lacking}"
        case Code.DAEMON_CAP if _above(daemon, needed_cents):
            return f"spendguard budget daemon set --limit {needed_cents} --topup {lacking}"
        case Code.DAEMON_CAP:
            return f"spendguard budget daemon topup --amount {lacking}"
        case Code.BUDGET_LOCKED:
            return f"spendguard agent set {one.agent_id} --concurrency shared"
        case _:
            return None


def _above(daemon: wire.DaemonBudget | None, needed_cents: int) -> bool:
    return (
        daemon is not None and daemon.hard_limit_cents is not None and daemon.hard_limit_cents < needed_cents
    )
