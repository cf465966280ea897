"""The refusals and failures of the last hour: what they were, and whether they would happen again now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from spendguard_cli.doctor import lately
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import Way, first_commands, ways_out
from spendguard_cli.render import count
from spendguard_cli.ways.case import nusd
from spendguard_daemon import wire
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.text import safe

TOLD_ELSEWHERE = frozenset(
    {
        Code.AGENT_FROZEN,
        Code.BUDGET_NOT_SET,
        Code.BUDGET_HELD,
        Code.BUDGET_LOCKED,
        Code.DAEMON_CAP,
        Code.KEY_LIMIT,
        Code.LEDGER_FULL,
        Code.PRICING_EXPIRED,
        Code.PRICING_INVALID,
        Code.PRICING_ROLLBACK,
        Code.PRICING_SIGNATURE,
        Code.PRICING_UNAVAILABLE,
        Code.PROVIDER_KEY_MISSING,
    }
)
"""Codes whose cause another check names: here they are but its consequence."""

LEVELS: Mapping[bool | None, Level] = {True: Level.RED, None: Level.WARNING, False: Level.NOTE}
NOW: Mapping[bool | None, str] = {
    True: "would be refused again now",
    None: "may be refused again",
    False: "would not be refused for that now",
}


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


def finding_of(world: World, one: lately.Refused, *, extra: tuple[str, ...] = ()) -> Finding:
    """Say of refusals what happened, how often, and what is so now."""
    again = lately.again(world, one)
    call, entry = one.newest, TABLE.get(Code(one.code)) if one.code in set(Code) else None
    ways = lately.ways(world, one) if again is not False else []
    commands, others, deed = told(ways)
    status = call.http_status or (entry.status if entry else "")
    title = entry.title if entry else safe(call.reason or "")
    empty = (nusd(one.agent.remaining_usd) or 0) <= 0 and one.code == Code.INSUFFICIENT_BUDGET
    return Finding(
        level=LEVELS[again],
        finding=f"{lately.named(one.agent)} was refused {count(one.count, 'time')} with {status} "
        f"{safe(one.code)} ({title}); the same {NOW[again]}",
        evidence=[
            f"last {lately.ago(world.now_ns, call.created_at)}, call {call.call_id}"
            + (f" for {safe(call.model)}" if call.model else "")
            + (f": {safe(call.reason, 300)}" if call.reason else ""),
            *lately.sums(call),
            *extra,
            *others,
        ],
        remedy=commands,
        deed=deed,
        code=one.code,
        symptom=again is True and (one.code in TOLD_ELSEWHERE or empty),
    )


def _refused(world: World) -> Iterator[Finding]:
    refused = sorted(world.refused, key=lambda one: one.newest.created_at, reverse=True)
    yield from (finding_of(world, one) for one in refused)
    if not refused:
        yield ok("no call was refused in the last hour")


@dataclass(slots=True)
class _Failed:
    """Failures of one provider that ended alike: the newest, and how many."""

    newest: wire.Call
    count: int = 0
    charged_nusd: int = 0


def _providers(world: World) -> Iterator[Finding]:
    failed: dict[tuple[str, str], _Failed] = {}
    for agent in world.agents:
        for call in world.calls(agent.agent_id):
            if call.state not in ("voided", "settled_worst") or not _is_recent(world, call):
                continue
            one = failed.setdefault((call.provider, _end(call)), _Failed(call))
            one.newest = max(one.newest, call, key=lambda call: call.ended_at or "")
            one.count += 1
            one.charged_nusd += nusd(call.cost_usd) or 0
    newest_first = sorted(failed.items(), key=lambda pair: pair[1].newest.ended_at or "", reverse=True)
    for (provider, end), one in newest_first:
        yield _provider_finding(world, provider, end, one)
    if not failed:
        yield ok("no provider failed in the last hour")


def _is_recent(world: World, call: wire.Call) -> bool:
    return lately.age_seconds(world.now_ns, call.ended_at or call.created_at) <= lately.LATELY_SECONDS


def _end(call: wire.Call) -> str:
    """Write how a failed call ended, in the words that its like are counted by."""
    if call.http_status is not None and call.http_status >= 400:
        return f"answered {call.http_status}"
    if call.state == "voided":
        return "could not be reached"
    reason = call.reason or ""
    return "did not answer in time" if "no byte" in reason or "deadline" in reason else "broke off its answer"


def _provider_finding(world: World, provider: str, end: str, one: _Failed) -> Finding:
    call, rejected = one.newest, end in ("answered 401", "answered 403")
    mended = _served_since(world, call)
    level = Level.NOTE if mended else Level.RED if rejected else Level.WARNING
    charged = one.charged_nusd > 0
    code = Code.PROVIDER_KEY_REJECTED if rejected else _code(call)
    commands, others, deed = told(
        ways_out(code, {"provider": provider, "call_id": call.call_id}) if not mended else []
    )
    if end.startswith("answered 4") and not rejected:
        commands, others, deed = [], [], "correct what the provider refuses; it says what in its own words"
    return Finding(
        level=level,
        finding=f"{safe(provider)} {end} to {count(one.count, 'call')}"
        + (": it rejects the sidecar's key" if rejected else "")
        + ("; calls have passed since" if mended else ""),
        evidence=[
            f"last {lately.ago(world.now_ns, call.ended_at or '')}, call {call.call_id}, {safe(call.model)}"
            + (f": {safe(call.reason, 300)}" if call.reason else ""),
            "these calls are charged at their holds, until an operator corrects it"
            if charged
            else "nothing was charged",
            *others,
        ],
        remedy=commands,
        deed=deed,
        code=code,
        symptom=charged,
    )


def _code(call: wire.Call) -> Code:
    if call.state == "voided" and call.http_status is None:
        return Code.UPSTREAM_UNREACHABLE
    return Code.UPSTREAM_TIMEOUT if _end(call) == "did not answer in time" else Code.UPSTREAM_FAILED


def _served_since(world: World, failed: wire.Call) -> bool:
    """Tell whether the provider answered a call of any agent well after this one failed."""
    return any(
        call.provider == failed.provider
        and call.state == "settled"
        and (call.ended_at or "") > (failed.ended_at or "")
        for agent in world.agents
        for call in world.calls(agent.agent_id)
    )


CHECKS: tuple[Check, ...] = (
    Check("failures.refused", "Calls that were refused in the last hour", _refused),
    Check("failures.providers", "Calls that providers refused or lost in the last hour", _providers),
)
