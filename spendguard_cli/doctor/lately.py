"""The refused calls of the last hour, told together by agent, code and fault, with their sums and ways out.

Whether they would be refused again is judged elsewhere (`judging`). Pure over the world's values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from spendguard_cli.remedies import Way, facts_of, ways_out
from spendguard_cli.ways.case import Case, nusd
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_cli.doctor.world import World

LATELY_SECONDS = 3600
NS = 1_000_000_000

STUCK_SECONDS = 60
"""For how long a provider may say nothing before a call counts as stuck; its own deadline ends it later."""

FAULTS = frozenset(
    {
        Code.BODY_TOO_LARGE,
        Code.FOREIGN_STATE,
        Code.IDENTITY_CONFLICT,
        Code.MALFORMED_REQUEST,
        Code.METHOD_NOT_ALLOWED,
        Code.MOCK_ONLY,
        Code.ROUTE_NOT_FOUND,
        Code.UNBOUNDED_FEATURE,
        Code.UNKNOWN_MODEL,
        Code.UNPRICED_DIMENSION,
        Code.UNSUPPORTED_MEDIA,
    }
)
"""Codes of what is wrong with a request itself: that another one passes proves nothing of it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Refusals of one agent with one code and fault: the newest of them, how many, and since when."""

    agent: wire.Agent
    code: str
    newest: wire.Call
    count: int
    since: str


def age_seconds(now_ns: int, iso: str) -> int:
    """Return how long ago a time was; 0 for one that cannot be read or is still to come."""
    try:
        then = datetime.fromisoformat(iso)
        return max(0, now_ns // NS - int(then.timestamp()))
    except (ValueError, OverflowError):
        return 0


def ago(now_ns: int, iso: str) -> str:
    """Write how long ago a time was, in its largest unit."""
    seconds = age_seconds(now_ns, iso)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def grouped(agent: wire.Agent, calls: Sequence[wire.Call]) -> list[Refused]:
    """Put an agent's refused calls together by code and fault; calls and result are newest first."""
    found: dict[tuple[str, ...], Refused] = {}
    for call in calls:
        if call.state != "refused" or call.code is None:
            continue
        kind = (call.code, *fault(call))
        before = found.get(kind)
        newest, count = (before.newest, before.count) if before else (call, 0)
        found[kind] = Refused(agent, call.code, newest, count + call.count, call.created_at)
    return list(found.values())


def fault(call: wire.Call) -> tuple[str, ...]:
    """Return what of a request was at fault, where it was one: two faults have two ways out."""
    if call.code not in FAULTS:
        return ()
    named = [str(call.facts.get(name) or "") for name in ("path", "feature", "dimension", "setting")]
    if not any(named):
        # The facts name nothing: what was said, without its numbers, tells faults apart.
        named = ["".join(one for one in call.reason or "" if not one.isdigit())]
    return (call.model, *named)


def refused(world: "World") -> list[Refused]:
    """Return the refusals of the last hour, agent by agent, each agent's newest first."""
    return [
        one
        for agent in world.agents
        for one in grouped(agent, list(_since(world.now_ns, world.calls(agent.agent_id), LATELY_SECONDS)))
    ]


def of(world: "World", agent: wire.Agent, *codes: str) -> Refused | None:
    """Return the newest refusals of an agent in the last hour that have one of these codes."""
    return next((one for one in world.refused if one.agent is agent and one.code in codes), None)


def _since(now_ns: int, calls: Sequence[wire.Call], seconds: int) -> Iterator[wire.Call]:
    return (call for call in calls if age_seconds(now_ns, call.created_at) <= seconds)


def ways(world: "World", one: Refused) -> list[Way]:
    """Return the ways out of these refusals, by what is so now: to cut what is stuck comes first."""
    found = ways_out(
        one.code,
        facts_of(one.newest),
        one.agent,
        ref=world.named.get(one.agent.agent_id, one.agent.agent_id),
        daemon=world.status.daemon_budget if world.status else None,
    )
    locked_by = one.agent.locked_run_id
    if one.code != Code.BUDGET_LOCKED or locked_by is None:
        return found
    calls = [call for call in world.in_flight(one.agent.agent_id) if call.run_id == locked_by]
    return [*(cut(call) for call in calls if is_stuck(call)), *found]


def is_stuck(call: wire.Call) -> bool:
    """Tell whether the provider has been silent for too long."""
    return call.idle_seconds is not None and call.idle_seconds >= STUCK_SECONDS


def cut(call: wire.Call) -> Way:
    """Return how one call in flight is ended."""
    about = f"cut the call in flight; it is charged at its hold of ${call.hold_usd}"
    return Way(about, (f"spendguard run abort --call {call.call_id}",))


def about(world: "World", call: wire.Call) -> str:
    """Write one call in flight on a line."""
    client = {None: "", True: ", its client waits", False: ", its client has left"}[call.attached]
    silent = "" if call.idle_seconds is None else f", the provider is silent for {call.idle_seconds} s"
    return (
        f"call {call.call_id} of run {safe(call.run_id)} for {safe(call.model)} holds ${call.hold_usd}, "
        f"began {ago(world.now_ns, call.created_at)}{client}{silent}"
    )


def sums(call: wire.Call) -> list[str]:
    """Write the sum behind a refusal, in as many lines as it has parts."""
    case = Case(call.code or "", facts_of(call), None, "", None)
    lines = []
    worst, input_usd = case.text("worst_case_usd"), case.text("input_usd")
    if worst:
        parts = [
            f"input ${input_usd}" if input_usd else "",
            f"output ${case.text('output_usd')}" if case.text("output_usd") else "",
            f"fees ${case.text('fees_usd')}" if nusd(case.text("fees_usd")) else "",
        ]
        said = " + ".join(part for part in parts if part)
        lines.append(f"it can cost ${worst}" + (f" = {said}" if said else ""))
    bound, rung = case.number("input_tokens_bound"), case.text("rung")
    if bound is not None:
        out = case.number("output_tokens") or case.number("asked_output_tokens")
        lines.append(
            f"at most {bound} input tokens ({rung or 'bound'})" + (f", {out} output tokens" if out else "")
        )
    lines += [f"rate: {rate}" for rate in case.texts("rates")]
    lines += _balances(case) + [f"held by {who}" for who in case.texts("held_by")]
    lines += [f"{name}: {case.text(name)}" for name in ("path", "expected", "feature", "dimension", "setting")
              if case.text(name)]  # fmt: skip
    return lines


def _balances(case: Case) -> list[str]:
    remaining, free = case.text("remaining_usd"), case.text("available_usd")
    if not remaining:
        return []
    whose = case.text("budget") or "agent"
    named = (
        f"key {case.text('key_id')}" if whose == "key" else "all agents" if whose == "daemon" else "the agent"
    )
    held = case.text("held_usd")
    line = f"${remaining} remained to {named}" + (
        f" of ${case.text('limit_usd')}" if case.text("limit_usd") else ""
    )
    short = case.text("short_usd")
    return [
        line
        + (f", ${held} held, ${free} free" if held and free else "")
        + (f"; ${short} is lacking" if short else "")
    ]


def needed_nusd(call: wire.Call) -> int | None:
    """Return what would have had to remain for a refused call, None where that is not known."""
    case = Case(call.code or "", call.facts, None, "", None)
    return case.nusd("needed_usd", "worst_case_usd")


def named(agent: wire.Agent) -> str:
    """Write whose it is, for a sentence."""
    return f"agent {safe(agent.name) or agent.agent_id}"
