"""Agents' keys: at their limit, or over."""

from collections.abc import Iterator

from spendguard_cli.doctor import judging, lately
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import first_commands, ways_out
from spendguard_cli.ways.case import nusd
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.text import safe


def _keys(world: World) -> Iterator[Finding]:
    found = [finding for agent in world.agents for finding in _of(world, agent)]
    yield from found
    if not found:
        yield ok("no agent's key is over or at its limit")


def _of(world: World, agent: wire.Agent) -> Iterator[Finding]:
    limited = lately.of(world, agent, Code.KEY_LIMIT)
    hindered = limited if limited is not None and judging.again(world, limited) else None
    if hindered is not None:
        yield Finding(
            level=Level.RED,
            finding=f"a key of {lately.named(agent)} is at its limit: its calls are refused",
            evidence=[
                f"key {safe(str(hindered.newest.facts.get('key_id') or 'of these calls'))}",
                f"{hindered.count} refused of late",
                *lately.sums(hindered.newest),
            ],
            remedy=list(first_commands(lately.ways(world, hindered))),
            code=Code.KEY_LIMIT,
        )
    if not (agent.keys or agent.needs_key):
        return
    keys = [key for key in world.keys(agent.agent_id) if key.kind == "agent" and not key.revoked]
    live = [key for key in keys if not key.expired]
    if agent.needs_key and not live:
        yield _over(world, agent, keys)
    if hindered is None:
        yield from (_at_limit(agent, key) for key in live if _is_empty(key))


def _is_empty(key: wire.AgentKey) -> bool:
    remaining = nusd(key.remaining_usd)
    return remaining is not None and remaining <= 0


def _over(world: World, agent: wire.Agent, keys: list[wire.AgentKey]) -> Finding:
    strangers = world.status.strangers if world.status else []
    asked = [one for one in strangers if one.code == Code.KEY_EXPIRED]
    expired = [f"key {key.key_id} {safe(key.label)} was good until {key.expires_at}" for key in keys]
    ref = world.named.get(agent.agent_id, agent.agent_id)
    return Finding(
        level=Level.RED if asked and keys else Level.WARNING,
        finding=f"no key of {lately.named(agent)} is good any more, and its id alone is not enough: "
        "nobody can call as it",
        evidence=expired
        + [f"{one.count} calls came with an expired key, from {safe(one.program)}" for one in asked],
        remedy=list(first_commands(ways_out(Code.KEY_EXPIRED, {}, agent, ref=ref))),
        code=Code.KEY_EXPIRED,
    )


def _at_limit(agent: wire.Agent, key: wire.AgentKey) -> Finding:
    return Finding(
        level=Level.NOTE,
        finding=f"key {key.key_id} of {lately.named(agent)} has spent its limit of ${key.limit_usd}",
        code=Code.KEY_LIMIT,
    )


CHECKS: tuple[Check, ...] = (Check("agents.keys", "Agents' keys that are over or at their limit", _keys),)
