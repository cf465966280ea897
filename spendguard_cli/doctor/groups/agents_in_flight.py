"""Calls in flight that stand in the way of others: by the lock, by the money they hold, by being stuck."""

from collections.abc import Iterator

from spendguard_cli.doctor import lately
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import first_commands, ways_out
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.text import safe

STUCK_SECONDS = 60
"""For how long a provider may say nothing before a call counts as stuck; its own deadline ends it later."""


def _in_the_way(world: World, agent: wire.Agent) -> lately.Refused | None:
    """Return the refusals that calls in flight are the reason of, and still would be."""
    one = lately.of(world, agent, Code.BUDGET_LOCKED, Code.BUDGET_HELD)
    return one if one is not None and lately.again(world, one) else None


def is_stuck(call: wire.Call) -> bool:
    """Tell whether the provider has been silent for too long."""
    return call.idle_seconds is not None and call.idle_seconds >= STUCK_SECONDS


def about(world: World, call: wire.Call) -> str:
    """Write one call in flight on a line."""
    client = {None: "", True: ", its client waits", False: ", its client has left"}[call.attached]
    silent = "" if call.idle_seconds is None else f", the provider is silent for {call.idle_seconds} s"
    return (
        f"call {call.call_id} of run {safe(call.run_id)} for {safe(call.model)} holds ${call.hold_usd}, "
        f"began {lately.ago(world.now_ns, call.created_at)}{client}{silent}"
    )


def _stuck(world: World) -> Iterator[Finding]:
    found = False
    for agent in world.agents:
        if not agent.calls_in_flight:
            continue
        stuck = [call for call in world.in_flight(agent.agent_id) if is_stuck(call)]
        hindered = _in_the_way(world, agent) if stuck else None
        for call in stuck:
            found = True
            yield Finding(
                level=Level.RED if hindered else Level.WARNING,
                finding=f"a call of {lately.named(agent)} is stuck: the provider says nothing"
                + (f", and {hindered.count} others were refused for it" if hindered else ""),
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
        hindered = refused is not None and lately.again(world, refused)
        evidence = [
            about(world, call)
            for call in world.in_flight(agent.agent_id)
            if call.run_id == agent.locked_run_id and call.attached is not False
        ]
        if refused is not None:
            expires = refused.newest.facts.get("locked_expires_at")
            evidence += [f"its deadline is {safe(str(expires))}"] if expires else []
            when = lately.ago(world.now_ns, refused.newest.created_at)
            evidence.append(f"{refused.count} calls of other runs were refused, the last {when}")
        ways = ways_out(Code.BUDGET_LOCKED, {}, agent, ref=world.named.get(agent.agent_id, agent.agent_id))
        yield Finding(
            level=Level.RED if hindered else Level.NOTE,
            finding=f"run {safe(agent.locked_run_id)} has the lock of {lately.named(agent)}"
            + (": other runs are refused" if hindered else ", as calls in flight do"),
            evidence=evidence + ([f"or: {one.about}" for one in ways[1:]] if hindered else []),
            remedy=list(first_commands(ways)) if hindered else [],
            code=Code.BUDGET_LOCKED if hindered else None,
        )
    if not found:
        yield ok("no run has a lock")


def _held(world: World) -> Iterator[Finding]:
    found = False
    for agent in world.agents:
        refused = lately.of(world, agent, Code.BUDGET_HELD)
        hindered = refused is not None and lately.again(world, refused)
        flying = world.in_flight(agent.agent_id) if agent.calls_in_flight else []
        left = [call for call in flying if call.attached is False]
        if not left and not hindered:
            continue
        found = True
        who = f"calls in flight of {lately.named(agent)}"
        if left and len(left) == len(flying):
            who = f"calls of {lately.named(agent)} whose clients have left"
        ways = lately.ways(world, refused) if refused is not None and hindered else []
        yield Finding(
            level=Level.RED if hindered else Level.NOTE,
            finding=f"{who} hold ${agent.held_usd}" + (": others are refused for it" if hindered else ""),
            evidence=[about(world, call) for call in flying[:5]]
            + (lately.sums(refused.newest) if refused and hindered else [])
            + [f"or: {one.about}" for one in ways if not one.commands],
            remedy=list(first_commands(ways)),
            code=Code.BUDGET_HELD if hindered else None,
        )
    if not found:
        yield ok("nobody lacks money that calls in flight hold")


CHECKS: tuple[Check, ...] = (
    Check("agents.stuck", "Calls in flight whose provider says nothing", _stuck),
    Check("agents.lock", "Runs that have an agent's lock", _lock),
    Check("agents.held", "Money that calls in flight hold, and others lack", _held),
)
