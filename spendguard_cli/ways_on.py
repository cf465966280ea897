"""How an operator lets a waiting call go on: the command, with the amount that is lacking. Pure."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from spendguard_cli.session import UUID
from spendguard_cli.ways.money import fill, fill_daemon, first_budget, share
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.money import cents_ceil, parse_usd

WAYS_SHOWN = 5
"""How many commands are told at a time: after each of them it may be another one that is needed."""


def refs(everyone: Sequence[wire.Agent]) -> dict[str, str]:
    """Return how a command names each agent: by its name where no other has that, else by its id."""
    return refs_of({agent.agent_id: agent.name for agent in everyone})


def refs_of(names: Mapping[str, str]) -> dict[str, str]:
    """Return the same of names by id, whoever told them: each is one word for a shell, whatever it holds."""
    times = Counter(names.values())
    return {
        agent_id: shlex.quote(name) if times[name] == 1 and _is_ref(name) else agent_id
        for agent_id, name in names.items()
    }


def _is_ref(name: str) -> bool:
    """Tell whether a name can be typed for an agent: it is taken for no option and no id."""
    return name.isprintable() and bool(name) and not name.startswith("-") and not UUID.fullmatch(name)


def ways_on(
    agents: Sequence[wire.Agent],
    daemon: wire.DaemonBudget | None,
    named: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the commands for the waiting calls of these agents, each once, the oldest call's first.

    `daemon` is the cap above all agents, None where it was not asked for; `named` how to name agents, by id.
    """
    said = named or {}
    waiting = sorted(
        ((one, agent) for agent in agents for one in agent.waiting), key=lambda pair: pair[0].since
    )
    ways = [
        way_on(one, agent.hard_limit_cents, daemon, said.get(one.agent_id, one.agent_id))
        for one, agent in waiting
    ]
    return list(dict.fromkeys(way for way in ways if way is not None))[:WAYS_SHOWN]


def way_on(
    one: wire.Waiting, limit_cents: int | None, daemon: wire.DaemonBudget | None, ref: str
) -> str | None:
    """Return the command that lets one call go on; None where only other calls' ends do.

    `ref` is how its agent is named.
    """
    needed_cents, lacking = cents_ceil(parse_usd(one.worst_case_usd)), one.lacking_cents
    match one.code:
        case Code.INSUFFICIENT_BUDGET if lacking is not None:
            return fill(ref, needed_cents, lacking, limit_cents)
        case Code.BUDGET_NOT_SET if lacking is not None:
            return first_budget(ref, lacking)
        case Code.DAEMON_CAP if lacking is not None:
            return fill_daemon(needed_cents, lacking, daemon)
        case Code.BUDGET_LOCKED:
            return share(ref)
        case _:
            return None
