"""The operator's way out of a refusal: exact commands, with names, ids and amounts filled in. Pure.

Commands that raise money stand in `ways` and nowhere else, for those surfaces that only operators see:
`doctor`, `explain`, `agent get`, `status`, `watch`.
"""

from collections.abc import Mapping, Sequence

from spendguard_cli.ways.case import SOME_AGENT, Case, Way
from spendguard_cli.ways.money import MONEY
from spendguard_cli.ways.requests import REQUESTS
from spendguard_cli.ways.sidecar import SIDECAR
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, Fact

__all__ = ["Way", "facts_of", "first_commands", "told", "ways_out"]


def ways_out(
    code: str,
    facts: Mapping[str, Fact],
    agent: wire.Agent | None = None,
    *,
    ref: str = SOME_AGENT,
    daemon: wire.DaemonBudget | None = None,
) -> list[Way]:
    """Return the ways out of a refusal, the best first, by its code, its numbers and its agent's money now.

    `facts` are those of the refusal's body or of `wire.Call.facts`; `ref` is how a command names the agent.
    Nothing where the code is not known here.
    """
    try:
        known = Code(code)
    except ValueError:
        return []
    if known in SIDECAR:
        return list(SIDECAR[known])
    build = MONEY.get(known) or REQUESTS[known]
    return build(Case(code, facts, agent, ref, daemon))


def facts_of(call: wire.Call) -> dict[str, Fact]:
    """Return the numbers of a refused call, with whose it is and where it went."""
    own: dict[str, Fact] = {"call_id": call.call_id, "run_id": call.run_id}
    own |= {"provider": call.provider} if call.provider else {}
    own |= {"model": call.model} if call.model else {}
    return own | call.facts


def first_commands(ways: Sequence[Way]) -> tuple[str, ...]:
    """Return the commands of the best way that has any."""
    return next((one.commands for one in ways if one.commands), ())


def told(ways: list[Way]) -> tuple[list[str], list[str], str]:
    """Return of ways out: the commands of the best, the others as evidence, and the first deed."""
    commands = first_commands(ways)
    deeds = [one.about for one in ways if not one.commands]
    others = [
        f"or: {one.about}: {'; '.join(one.commands)}"
        for one in ways
        if one.commands and one.commands != commands
    ]
    others += [f"or: {deed}" for deed in deeds[1:]]
    return list(commands), others, deeds[0] if deeds else ""
