"""Has each agent money and nobody in its way: frozen, locked, waiting, above its cap, with stuck calls."""

from collections.abc import Iterator

from spendguard_cli.doctor import judging, lately
from spendguard_cli.doctor.asking import asks
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.groups import agent_keys, agents_in_flight
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import Way, first_commands, ways_out
from spendguard_cli.ways.case import dollars, nusd
from spendguard_cli.ways_on import way_on
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.money import NUSD_PER_CENT, format_usd
from spendguard_daemon.text import safe

LOW_PERCENT = 10
"""Below this share of its limit an agent's budget is low."""


def remedy(ways: list[Way]) -> list[str]:
    """Return the commands of the best way that has any, as a finding has them."""
    return list(first_commands(ways))


def _frozen(world: World) -> Iterator[Finding]:
    frozen = [agent for agent in world.agents if agent.frozen and not agent.restored]
    for agent in frozen:
        overrun = next((call for call in world.calls(agent.agent_id) if call.state == "overrun"), None)
        evidence = [f"the reason: {safe(agent.frozen_reason or 'none was given')}"]
        if overrun is not None and overrun.call_id in (agent.frozen_reason or ""):
            evidence.append(
                f"call {overrun.call_id} of {safe(overrun.model)} held ${overrun.hold_usd}, and cost "
                f"${overrun.cost_usd}: spendguard explain {overrun.call_id}"
            )
        yield Finding(
            level=Level.RED,
            finding=f"{lately.named(agent)} is frozen: its calls are refused",
            evidence=evidence,
            remedy=remedy(_ways(world, agent, Code.AGENT_FROZEN)),
            code=Code.AGENT_FROZEN,
        )
    if not frozen:
        yield ok("no agent is frozen")


def _budget(world: World) -> Iterator[Finding]:
    found = [finding for agent in world.agents for finding in _purse(world, agent)]
    yield from found
    if not found:
        yield ok("every agent has a budget with money in it" if world.agents else "there are no agents")


def _purse(world: World, agent: wire.Agent) -> Iterator[Finding]:
    remaining = nusd(agent.remaining_usd)
    if agent.hard_limit_cents is None or remaining is None:
        refused = lately.of(world, agent, Code.BUDGET_NOT_SET)
        yield Finding(
            level=Level.RED if refused else Level.NOTE,
            finding=f"{lately.named(agent)} has no budget: it can spend nothing",
            evidence=_refusals(world, refused),
            remedy=remedy(_ways(world, agent, Code.BUDGET_NOT_SET)),
            code=Code.BUDGET_NOT_SET,
        )
        return
    worst = _usual_nusd(world, agent)
    evidence = [f"${agent.remaining_usd} remains, ${agent.settled_usd} is settled, ${agent.held_usd} is held"]
    if remaining == 0:
        refused = lately.of(world, agent, Code.INSUFFICIENT_BUDGET)
        yield Finding(
            level=Level.RED,
            finding=f"{lately.named(agent)} {_why_empty(agent)}",
            evidence=evidence + _refusals(world, refused),
            remedy=remedy(_ways(world, agent, Code.INSUFFICIENT_BUDGET, worst)),
            code=Code.INSUFFICIENT_BUDGET,
        )
    elif remaining > 0 and _is_low(world, agent, remaining, worst):
        limit = agent.hard_limit_cents * NUSD_PER_CENT
        lacking = worst if remaining < worst else limit
        if worst:
            evidence.append(f"its latest calls needed up to ${format_usd(worst)} each")
        yield Finding(
            level=Level.WARNING,
            finding=f"{lately.named(agent)} has little money left: ${agent.remaining_usd}",
            evidence=evidence,
            remedy=remedy(_ways(world, agent, Code.INSUFFICIENT_BUDGET, lacking)),
            code=Code.INSUFFICIENT_BUDGET,
        )


def _why_empty(agent: wire.Agent) -> str:
    """Say why nothing remains: it was spent, or never given."""
    if agent.hard_limit_cents == 0:
        return "can spend nothing: its limit is $0"
    if not nusd(agent.settled_usd):
        return "can spend nothing: it was given no money, or all was taken back"
    return "has spent its budget: nothing remains"


def _is_low(world: World, agent: wire.Agent, remaining_nusd: int, worst_nusd: int) -> bool:
    """Tell whether a budget is low, and no refusal for it says so already."""
    refused = lately.of(world, agent, Code.INSUFFICIENT_BUDGET)
    if refused is not None and judging.again(world, refused):
        return False
    limit_nusd = (agent.hard_limit_cents or 0) * NUSD_PER_CENT
    return remaining_nusd * 100 < limit_nusd * LOW_PERCENT or remaining_nusd < worst_nusd


def _usual_nusd(world: World, agent: wire.Agent) -> int:
    """Return the most that one of an agent's latest calls held, or was refused for (nUSD)."""
    latest = world.calls(agent.agent_id)[:20]
    amounts = [nusd(call.hold_usd) or 0 for call in latest]
    return max([*amounts, *(lately.needed_nusd(call) or 0 for call in latest)], default=0)


def _ways(world: World, agent: wire.Agent, code: Code, worst_nusd: int = 0) -> list[Way]:
    """Return the ways out for an agent, by its newest refusal of a code, else by what calls usually need."""
    refused = lately.of(world, agent, code)
    ref = world.named.get(agent.agent_id, agent.agent_id)
    if refused is not None and refused.newest.facts.get("worst_case_usd"):
        ways = lately.ways(world, refused)
        if first_commands(ways):
            return ways
    facts = {"worst_case_usd": format_usd(max(1, worst_nusd))} if worst_nusd else {}
    if code is Code.INSUFFICIENT_BUDGET and not facts:
        facts = {"worst_case_usd": format_usd(NUSD_PER_CENT)}
    return ways_out(code, facts, agent, ref=ref)


def _refusals(world: World, refused: lately.Refused | None) -> list[str]:
    if refused is None:
        return []
    return [
        f"{refused.count} refused of late, the last {lately.ago(world.now_ns, refused.newest.created_at)}"
    ]


def _cap(world: World) -> Iterator[Finding]:
    cap = world.status.daemon_budget if world.status else None
    remaining = nusd(cap.remaining_usd) if cap else None
    if cap is None or remaining is None:
        yield ok("there is no cap above all agents")
        return
    refused = [one for one in world.refused if one.code == Code.DAEMON_CAP and judging.again(world, one)]
    if remaining > 0 and not refused:
        yield ok(f"${cap.remaining_usd} remains of the cap above all agents")
        return
    if refused:
        ways = lately.ways(world, refused[0])
    else:
        ways = ways_out(Code.DAEMON_CAP, {"worst_case_usd": format_usd(NUSD_PER_CENT)}, daemon=cap)
    yield Finding(
        level=Level.RED,
        finding="the cap above all agents is reached: calls of every agent are refused"
        if remaining <= 0
        else "the cap above all agents leaves too little for the calls of late",
        evidence=[
            f"{dollars(cap.remaining_usd)} remains of it, ${cap.held_usd} is held, ${cap.settled_usd} settled"
        ]
        + [line for one in refused[:1] for line in lately.sums(one.newest)],
        remedy=remedy(ways),
        code=Code.DAEMON_CAP,
    )


def _waiting(world: World) -> Iterator[Finding]:
    waits = [(agent, one) for agent in world.agents for one in agent.waiting]
    daemon = world.status.daemon_budget if world.status else None
    for agent, one in sorted(waits, key=lambda pair: pair[1].since):
        ref = world.named.get(agent.agent_id, agent.agent_id)
        command = way_on(one, agent.hard_limit_cents, daemon, ref)
        yield Finding(
            level=Level.WARNING,
            finding=f"a call of {lately.named(agent)} waits: it would be refused with {safe(one.code)}",
            evidence=[
                f"call {one.call_id} for {safe(one.model)} may cost ${one.worst_case_usd}",
                f"it began to wait {lately.ago(world.now_ns, one.since)}, and waits until {one.until}",
            ],
            remedy=[command] if command else [],
            deed="" if command else "wait: it goes on when calls in flight give back what they did not use",
            code=one.code,
        )
    if not waits:
        yield ok("no call waits for money or a lock")


CHECKS: tuple[Check, ...] = tuple(
    asks(check)
    for check in (
        Check("agents.frozen", "Agents that are frozen", _frozen),
        *agents_in_flight.CHECKS,
        Check("agents.budget", "Agents with no budget, or with little or no money left", _budget),
        Check("agents.cap", "The cap above all agents", _cap),
        *agent_keys.CHECKS,
        Check("agents.waiting", "Calls that wait for money or a lock", _waiting),
    )
)
