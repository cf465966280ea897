"""Calls in flight that stand in the way of others: by the lock, by the money they hold, by being stuck."""

from collections.abc import Iterator

from spendguard_cli.doctor import judging, lately
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.lately import about
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import told
from spendguard_cli.render import count
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.text import safe

SHOWN = 5
"""How many calls in flight a finding lists."""


def _in_the_way(world: World, agent: wire.Agent) -> lately.Refused | None:
    """Return the refusals that calls in flight are the reason of, and still would be."""
    one = lately.of(world, agent, Code.BUDGET_LOCKED, Code.BUDGET_HELD)
    return one if one is not None and judging.again(world, one) else None


def _stuck(world: World) -> Iterator[Finding]:
    found = False
    for agent in world.agents:
        if not agent.calls_in_flight:
            continue
        stuck = [call for call in world.in_flight(agent.agent_id) if lately.is_stuck(call)]
        hindered = _in_the_way(world, agent) if stuck else None
        for call in stuck:
            found = True
            yield Finding(
                level=Level.RED if hindered else Level.WARNING,
                finding=f"a call of {lately.named(agent)} is stuck: the provider says nothing"
                + (
                    f", and {count(hindered.count, 'other')} {was(hindered.count)} refused for it"
                    if hindered
                    else ""
                ),
                evidence=[
                    about(world, call),
                    f"cut, it is charged at its hold of ${call.hold_usd}; its deadline does the same later",
                ],
                remedy=[f"spendguard run abort --call {call.call_id}"],
                code=hindered.code if hindered else None,
            )
    if not found:
        yield ok("no call in flight is stuck")


def _lock(world: World) -> Iterator[Finding]:
    found = False
    for agent in world.agents:
        if agent.locked_run_id is None or agent.concurrency == "shared":
            continue
        found = True
        refused = lately.of(world, agent, Code.BUDGET_LOCKED)
        if refused is None or not judging.again(world, refused):
            refused = None
        calls = [
            call
            for call in world.in_flight(agent.agent_id)
            if call.run_id == agent.locked_run_id and call.attached is not False
        ]
        commands, others, _ = told(lately.ways(world, refused)) if refused else ([], [], "")
        yield Finding(
            level=Level.RED if refused else Level.NOTE,
            finding=f"run {safe(agent.locked_run_id)} has the lock of {lately.named(agent)}"
            + (": other runs are refused" if refused else ", as calls in flight do"),
            evidence=[about(world, call) for call in calls] + _refusals(world, agent, refused) + others,
            remedy=commands,
            code=Code.BUDGET_LOCKED if refused else None,
        )
    if not found:
        yield ok("no run has a lock")


def _refusals(world: World, agent: wire.Agent, refused: lately.Refused | None) -> list[str]:
    """Say until when the lock that there is now is held at most, and who was refused for it."""
    budget = world.budget(agent.agent_id) if refused else None
    if refused is None:
        return []
    when = lately.ago(world.now_ns, refused.newest.created_at)
    until = budget.locked_expires_at if budget else None
    return ([f"its deadline is {until}"] if until else []) + [
        f"{count(refused.count, 'call')} of other runs {was(refused.count)} refused, the last {when}"
    ]


def was(number: int) -> str:
    """Return the verb for so many."""
    return "was" if number == 1 else "were"


def _held(world: World) -> Iterator[Finding]:
    found = False
    for agent in world.agents:
        refused = lately.of(world, agent, Code.BUDGET_HELD)
        hindered = refused if refused is not None and judging.again(world, refused) else None
        flying = world.in_flight(agent.agent_id) if agent.calls_in_flight else []
        left = [call for call in flying if call.attached is False]
        if not left and not hindered:
            continue
        found = True
        yield _holders(world, agent, flying, left, hindered)
    if not found:
        yield ok("nobody lacks money that calls in flight hold")


def _holders(
    world: World,
    agent: wire.Agent,
    flying: list[wire.Call],
    left: list[wire.Call],
    hindered: lately.Refused | None,
) -> Finding:
    """Say who holds the money of an agent. Cut, a call is charged at its hold: that gives nothing back."""
    who = f"calls in flight of {lately.named(agent)}"
    if left and len(left) == len(flying):
        who = f"calls of {lately.named(agent)} whose clients have left"
    lines = [about(world, call) for call in flying[:SHOWN]]
    cut = [command for call in left[:SHOWN] for command in lately.cut(call).commands]
    if hindered is None:
        return Finding(
            level=Level.NOTE,
            finding=f"{who} hold ${agent.held_usd}",
            evidence=[*lines, "cut, each is charged at its hold; left alone, at what its provider reports"],
            remedy=cut,
        )
    commands, others, deed = told(lately.ways(world, hindered))
    others += [f"or: end what nobody waits for; it is charged at its hold: {command}" for command in cut]
    return Finding(
        level=Level.RED,
        finding=f"{who} hold ${agent.held_usd}: others are refused for it",
        evidence=[*lines, *lately.sums(hindered.newest), *([f"or: {deed}"] if deed else []), *others],
        remedy=commands,
        code=Code.BUDGET_HELD,
    )


CHECKS: tuple[Check, ...] = (
    Check("agents.stuck", "Calls in flight whose provider says nothing", _stuck),
    Check("agents.lock", "Runs that have an agent's lock", _lock),
    Check("agents.held", "Money that calls in flight hold, and others lack", _held),
)
