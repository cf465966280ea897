"""Money that is not known exactly: calls at worst, overruns, restored accounts, and whether sums agree."""

from collections.abc import Iterator, Sequence

from spendguard_cli.doctor import lately
from spendguard_cli.doctor.asking import asks
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import first_commands, ways_out
from spendguard_cli.render import count
from spendguard_cli.ways.case import dollars, nusd
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.money import NUSD_PER_CENT, cents_ceil, format_usd
from spendguard_daemon.text import safe

SHOWN = 5
"""How many calls a finding lists."""


def _of_interest(world: World) -> list[wire.Unconfirmed]:
    """Return the newest unconfirmed calls, of deleted agents too unless one agent is of interest."""
    shown = world.status.unconfirmed if world.status else []
    ids = {agent.agent_id for agent in world.agents}
    return [one for one in shown if world.agent_ref is None or one.agent_id in ids]


def _overruns(world: World) -> Iterator[Finding]:
    overruns = [one for one in _of_interest(world) if one.state == "overrun"]
    for one in overruns:
        call = world.call(one.call_id)
        yield Finding(
            level=Level.RED,
            finding=f"a call of agent {safe(one.agent_name)} cost more than it held: our bound was too low",
            evidence=[
                f"call {one.call_id} of {safe(one.model)} cost ${one.cost_usd}"
                + (f", held was ${call.hold_usd}" if call else ""),
                "look at it: spendguard explain " + one.call_id,
                "the remedy says that the provider's bill agrees; another amount corrects the charge",
            ],
            remedy=[f"spendguard budget adjust --call {one.call_id} --to {one.cost_usd} --reason confirmed"],
        )
    if not overruns:
        yield ok("no call was billed above its hold")


def _restored(world: World) -> Iterator[Finding]:
    restored = [agent for agent in world.agents if agent.restored]
    for agent in restored:
        ref = world.named.get(agent.agent_id, agent.agent_id)
        ways = ways_out(Code.RESTORE_UNCONFIRMED, {}, agent, ref=ref)
        yield Finding(
            level=Level.RED,
            finding=f"{lately.named(agent)} came back with a backup: what it spent since is not counted",
            evidence=[ways[0].about],
            remedy=list(first_commands(ways)),
            deed="look at the provider's bill first, and put what it spent since in place of the 0",
            code=Code.RESTORE_UNCONFIRMED,
        )
    if not restored:
        yield ok("no agent waits for what it spent since a backup")


def _negative(world: World) -> Iterator[Finding]:
    found = False
    cap = world.status.daemon_budget if world.status else None
    for agent in world.agents:
        owed = -(nusd(agent.remaining_usd) or 0)
        if owed <= 0:
            continue
        found = True
        ref = world.named.get(agent.agent_id, agent.agent_id)
        ways = ways_out(Code.INSUFFICIENT_BUDGET, _next_call(world, agent), agent, ref=ref)
        yield Finding(
            level=Level.RED,
            finding=f"{lately.named(agent)} has spent ${format_usd(owed)} more than it was given",
            evidence=[
                f"{dollars(agent.remaining_usd)} remains; an overrun, or a correction upwards, did that"
            ],
            remedy=list(first_commands(ways)),
            code=Code.INSUFFICIENT_BUDGET,
            symptom=True,
        )
    owed = -(nusd(cap.remaining_usd) or 0) if cap else 0
    if owed > 0:
        found = True
        yield Finding(
            level=Level.RED,
            finding=f"all agents together have spent ${format_usd(owed)} more than the cap above them",
            remedy=[f"spendguard budget daemon topup --amount {cents_ceil(owed) + 1}"],
            code=Code.DAEMON_CAP,
            symptom=True,
        )
    if not found:
        yield ok("nobody has spent more than was given")


def _next_call(world: World, agent: wire.Agent) -> dict[str, Fact]:
    """Return what an agent's next call is likely to need: what the last refused one did, else one cent."""
    refused = lately.of(world, agent, Code.INSUFFICIENT_BUDGET)
    needed = lately.needed_nusd(refused.newest) if refused else None
    return {"worst_case_usd": format_usd(needed or NUSD_PER_CENT)}


def _unconfirmed(world: World) -> Iterator[Finding]:
    status = world.status
    calls = [one for one in _of_interest(world) if one.state != "overrun"]
    if status is None or not calls:
        yield ok("no call's cost is only a bound")
        return
    number, charged = _totals(world, status)
    newest = calls[0]
    yield Finding(
        level=Level.WARNING,
        finding=f"what {count(number, 'call')} cost is not known: the most it can be is charged, ${charged}",
        evidence=[_line(world, one) for one in calls[:SHOWN]],
        remedy=["spendguard ledger export --unconfirmed"],
        deed=f"compare with the provider's bill, then enter what each cost, the newest like this: "
        f"spendguard budget adjust --call {newest.call_id} --to {newest.cost_usd} --reason 'provider bill'",
    )


def _totals(world: World, status: wire.Status) -> tuple[int, str]:
    """Return how many unconfirmed calls the agents of interest have, and their sum (USD)."""
    if world.agent_ref is None:
        return status.unconfirmed_calls, status.unconfirmed_usd
    ids = {agent.agent_id for agent in world.agents}
    own = [one for one in status.unconfirmed_agents if one.agent_id in ids]
    charged = sum(nusd(one.charged_usd) or 0 for one in own)
    return sum(one.calls for one in own), format_usd(charged)


def _line(world: World, one: wire.Unconfirmed) -> str:
    return (
        f"call {one.call_id} of agent {safe(one.agent_name)} for {safe(one.model)}: ${one.cost_usd}, "
        f"{lately.ago(world.now_ns, one.ended_at)}: {safe(one.reason)}"
    )


def _totals_agree(world: World) -> Iterator[Finding]:
    """All agents, deleted ones too, are in the sum of the daemon: no less can stand there than theirs."""
    control, status = world.control, world.status
    if control is None or status is None:
        yield ok("sums cannot be compared while the sidecar is down")
        return
    agents, all_usd = world.everyone, status.daemon_budget.settled_usd
    if _sum(agents) > (nusd(all_usd) or 0):
        try:  # calls may have settled between the two looks; now the agents' is the older one
            agents = control.agents()
            all_usd = control.daemon_budget().settled_usd
        except SpendGuardError:
            agents = []
    if _sum(agents) <= (nusd(all_usd) or 0):
        yield ok("the agents' sums agree with that of all")
        return
    yield Finding(
        level=Level.RED,
        finding="the ledger's sums disagree: the agents have spent more than all together",
        evidence=[f"${format_usd(_sum(agents))} is settled by the agents, ${all_usd} by all"],
        remedy=["spendguard ledger verify"],
        code=Code.LEDGER_DAMAGED,
    )


def _sum(agents: Sequence[wire.Agent]) -> int:
    return sum(nusd(agent.settled_usd) or 0 for agent in agents)


def _left_open(world: World) -> Iterator[Finding]:
    """Say what the next start will charge at worst: the ledger's files tell it while no sidecar does."""
    left = None if world.answers else world.left_open
    if left is None or not left.calls:
        yield ok("no sidecar that ended left calls in flight")
        return
    held = format_usd(left.held_nusd)
    yield Finding(
        level=Level.WARNING,
        finding=f"{count(left.calls, 'call')} had no end when the sidecar ended: ${held} is held, and "
        "the next start charges all of it",
        evidence=[
            "nobody knows what the provider did with them",
            "correct each by the provider's bill afterwards: spendguard ledger export --unconfirmed",
        ],
        remedy=["spendguard up"],
    )


CHECKS: tuple[Check, ...] = (
    Check("money.left", "Calls that a sidecar which is down left in flight", _left_open),
    *(
        asks(check)
        for check in (
            Check("money.restored", "Agents that came back with a backup", _restored),
            Check("money.overruns", "Calls that were billed above their hold", _overruns),
            Check("money.negative", "Accounts below zero", _negative),
            Check("money.totals", "Whether the ledger's sums agree", _totals_agree),
            Check("money.unconfirmed", "Calls whose cost is only a bound", _unconfirmed),
        )
    ),
)
