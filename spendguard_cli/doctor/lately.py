"""The refused calls of the last hour, told together by agent and code, and whether that would be so again.

Judged by what is so now: the balances, the lock, the keys, the prices. Where nothing of that decides it, a
later call of the same kind that got through shows that it is mended. Pure over the world's values.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Refused:
    """Refusals of one agent with one code: the newest of them, how many, and since when."""

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
    """Put an agent's refused calls together by code; calls and result are newest first."""
    found: dict[str, Refused] = {}
    for call in calls:
        if call.state != "refused" or call.code is None:
            continue
        before = found.get(call.code)
        newest, count = (before.newest, before.count) if before else (call, 0)
        found[call.code] = Refused(agent, call.code, newest, count + call.count, call.created_at)
    return list(found.values())


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
    """Return the ways out of these refusals, by what is so now."""
    return ways_out(
        one.code,
        facts_of(one.newest),
        one.agent,
        ref=world.named.get(one.agent.agent_id, one.agent.agent_id),
        daemon=world.status.daemon_budget if world.status else None,
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


def again(world: "World", one: Refused) -> bool | None:
    """Tell whether the newest of these would be refused again now; None where that cannot be known."""
    judge = _JUDGES.get(one.code)
    said = judge(world, one) if judge else None
    if said is not None:
        return said
    if passed_since(world, one.newest):
        return False
    return None if one.code in _MAY_PASS else True


def passed_since(world: "World", call: wire.Call) -> bool:
    """Tell whether a later call of the same kind got through."""
    for later in world.calls(call.agent_id):
        if later.call_id == call.call_id:
            return False
        same = later.endpoint == call.endpoint and (not call.model or later.model == call.model)
        if same and later.state != "refused" and later.created_at > call.created_at:
            return True
    return False


def needed_nusd(call: wire.Call) -> int | None:
    """Return what would have had to remain for a refused call, None where that is not known."""
    case = Case(call.code or "", call.facts, None, "", None)
    return case.nusd("needed_usd", "worst_case_usd")


def _short(_: "World", one: Refused) -> bool | None:
    if one.agent.remaining_usd is None:
        return True
    needed, remaining = needed_nusd(one.newest), nusd(one.agent.remaining_usd)
    return None if needed is None or remaining is None else remaining < needed


def _cap(world: "World", one: Refused) -> bool | None:
    cap = world.status.daemon_budget if world.status else None
    if cap is None or cap.remaining_usd is None:
        return False if cap else None
    needed, remaining = needed_nusd(one.newest), nusd(cap.remaining_usd)
    return None if needed is None or remaining is None else remaining < needed


def _held(_: "World", one: Refused) -> bool | None:
    needed, held = needed_nusd(one.newest), nusd(one.agent.held_usd)
    remaining = nusd(one.agent.remaining_usd)
    if one.newest.facts.get("budget") in ("key", "daemon") or needed is None or held is None:
        return None if one.agent.calls_in_flight else False
    return (remaining or 0) - held < needed


def _locked(_: "World", one: Refused) -> bool:
    agent = one.agent
    return agent.concurrency == "exclusive" and agent.locked_run_id not in (None, one.newest.run_id)


def _key(world: "World", one: Refused) -> bool | None:
    """A key that is made after the refusal, and that has enough, mends it: the program can be given that."""
    needed = needed_nusd(one.newest) or 0
    for key in world.keys(one.agent.agent_id):
        live = key.kind == "agent" and not key.revoked and not key.expired
        enough = key.remaining_usd is None or (nusd(key.remaining_usd) or 0) >= needed
        if live and enough and key.created_at > one.newest.created_at:
            return False
    return None


def _priced(world: "World", one: Refused) -> bool | None:
    case = Case(one.code, facts_of(one.newest), None, "", None)
    name = f"{case.text('provider')}:{case.text('model')}"
    pricing = world.status.pricing if world.status else None
    return None if pricing is None or name.endswith(":") else name not in pricing.models


def _provider_key(world: "World", one: Refused) -> bool | None:
    named = one.newest.facts.get("provider") or one.newest.provider
    known = world.status.providers if world.status else []
    return next((provider.key == "absent" for provider in known if provider.name == named), None)


def _limits(world: "World", one: Refused) -> bool | None:
    """A sidecar that was started since has read its limits anew, and counts from nothing."""
    started = world.status.started_at if world.status else ""
    return False if started > one.newest.created_at else None


def _let_through(_: "World", one: Refused) -> bool | None:
    """What the agent's own policy lets through by now is mended."""
    policy, setting = one.agent.policy, str(one.newest.facts.get("setting") or "")
    feature = one.newest.facts.get("feature")
    if isinstance(feature, str) and feature in (policy.allow or ()):
        return False
    own = {
        f'[policy] {name} = "{getattr(policy, name)}"'
        for name in ("hosted_tools", "server_state", "exact_count")
        if getattr(policy, name) is not None
    }
    return False if setting in own else None


_JUDGES: Mapping[str, "Callable[[World, Refused], bool | None]"] = {
    Code.INSUFFICIENT_BUDGET: _short,
    Code.BUDGET_NOT_SET: lambda _, one: one.agent.hard_limit_cents is None,
    Code.AGENT_FROZEN: lambda _, one: one.agent.frozen,
    Code.DAEMON_CAP: _cap,
    Code.BUDGET_HELD: _held,
    Code.BUDGET_LOCKED: _locked,
    Code.KEY_LIMIT: _key,
    Code.KEY_SCOPE: _key,
    Code.UNKNOWN_MODEL: _priced,
    Code.PROVIDER_KEY_MISSING: _provider_key,
    Code.RATE_LIMITED: _limits,
    Code.UNBOUNDED_FEATURE: _let_through,
    Code.MALFORMED_REQUEST: _let_through,
    Code.PRICING_UNAVAILABLE: lambda world, _: None if world.status is None else world.status.pricing is None,
}
_MAY_PASS = frozenset(
    {
        Code.INSUFFICIENT_BUDGET,
        Code.BUDGET_HELD,
        Code.DAEMON_CAP,
        Code.RATE_LIMITED,
        Code.POLICY_CHANGED,
        Code.IDEMPOTENCY_IN_FLIGHT,
        Code.IDEMPOTENCY_DONE,
        Code.IDEMPOTENCY_MISMATCH,
        Code.SHUTTING_DOWN,
        Code.CONNECTIONS_FULL,
        Code.LEDGER_FULL,
        Code.UPSTREAM_UNREACHABLE,
        Code.INTERNAL,
    }
)
"""Refusals that time, or another request, gets out of: that they would be refused again is not certain."""


def named(agent: wire.Agent) -> str:
    """Write whose it is, for a sentence."""
    return f"agent {safe(agent.name) or agent.agent_id}"
