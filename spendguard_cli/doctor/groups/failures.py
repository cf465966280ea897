"""The refusals and failures of the last hour: what they were, and whether they would happen again now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from spendguard_cli.doctor import judging, lately
from spendguard_cli.doctor.asking import asks
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.groups.providers import TYPE_THE_KEY, another_key
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import told, ways_out
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

GROUP = "failures"
TOLD_BY_PROVIDERS = frozenset({Code.PROVIDER_KEY_REJECTED})
"""Codes of failed calls whose cause the checks of the providers name, where it is so still."""

LEVELS: Mapping[bool | None, Level] = {True: Level.RED, None: Level.WARNING, False: Level.NOTE}
NOW: Mapping[bool | None, str] = {
    True: "would be refused again now",
    None: "may be refused again",
    False: "would not be refused for that now",
}
OTHERS_PASSED = "other calls have passed since, which proves nothing of the very same request"
CRASH, ABORTED = "crash", "aborted"
"""How the reasons begin of calls that the end of their sidecar cut, or an operator: `aborted by watch`."""


def cut_by(call: wire.Call) -> str | None:
    """Return what cut a call, CRASH or ABORTED; None where its provider has to do with its end."""
    return next((cut for cut in (CRASH, ABORTED) if (call.reason or "").startswith(cut)), None)


def finding_of(world: World, one: lately.Refused, *, extra: tuple[str, ...] = ()) -> Finding:
    """Say of refusals what happened, how often, and what is so now; of those of the past in one line.

    `extra` is what is told where this very failure is asked for: then nothing is left out.
    """
    again = judging.again(world, one)
    call, entry = one.newest, TABLE.get(Code(one.code)) if one.code in set(Code) else None
    ways = lately.ways(world, one) if again is not False else []
    commands, others, deed = told(ways)
    status = call.http_status or (entry.status if entry else "")
    title = entry.title if entry else safe(call.reason or "")
    empty = (nusd(one.agent.remaining_usd) or 0) <= 0 and one.code == Code.INSUFFICIENT_BUDGET
    when, whole = lately.ago(world.now_ns, call.created_at), again is not False or bool(extra)
    is_past = again is True and one.code in lately.FAULTS and judging.answered_since(world, one)
    return Finding(
        level=Level.WARNING if is_past else LEVELS[again],
        finding=f"{lately.named(one.agent)} was refused {count(one.count, 'time')} with {status} "
        f"{safe(one.code)} ({title}){'' if whole else f', last {when}'}; the same {NOW[again]}",
        evidence=[
            f"last {when}, call {call.call_id}"
            + (f" for {safe(call.model)}" if call.model else "")
            + (f": {safe(call.reason, 300)}" if call.reason else ""),
            *lately.sums(call),
            *([OTHERS_PASSED] if again is None and one.code in lately.FAULTS else []),
            *extra,
            *others,
        ]
        if whole
        else [],
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
            if not _has_failed(world, call):
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


def _has_failed(world: World, call: wire.Call) -> bool:
    """Tell whether its provider failed it lately, and nobody has entered yet what it cost."""
    ended_badly = call.state in ("voided", "settled_worst") and cut_by(call) is None
    return ended_badly and _is_recent(world, call) and not is_confirmed(world, call)


def is_confirmed(world: World, call: wire.Call) -> bool:
    """Tell whether an operator has entered what a call cost that had been charged at a bound."""
    if call.state != "settled_worst" or world.status is None:
        return False
    shown = world.status.unconfirmed
    if call.call_id in [one.call_id for one in shown]:
        return False
    all_are_shown = world.status.unconfirmed_calls <= len(shown)
    return all_are_shown or (call.ended_at or "") > min(one.ended_at for one in shown)


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
    since = "calls have passed since" if _served_since(world, call, rejected=rejected) else ""
    if not since and end == "answered 401":
        since = _key_now(world, provider)
    mended = bool(since)
    level = Level.NOTE if mended else Level.RED if rejected else Level.WARNING
    charged, when = one.charged_nusd > 0, lately.ago(world.now_ns, call.ended_at or "")
    code = Code.PROVIDER_KEY_REJECTED if rejected else _code(call)
    commands, others, deed = told(
        ways_out(code, {"provider": provider, "call_id": call.call_id}) if not mended else []
    )
    if end.startswith("answered 4") and not rejected:
        commands, others, deed = [], [], "correct what the provider refuses; it says what in its own words"
    known = (
        next((one for one in world.status.providers if one.name == provider), None) if world.status else None
    )
    if rejected and not mended and known is not None:
        commands, others, deed = another_key(known), [], TYPE_THE_KEY
    return Finding(
        level=level,
        finding=f"{safe(provider)} {end} to {count(one.count, 'call')}"
        + (": it rejects the sidecar's key" if rejected and not mended else "")
        + (f", last {when}; {since}" if mended else ""),
        evidence=[]
        if mended and not charged
        else [
            f"last {when}, call {call.call_id}, {safe(call.model)}"
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


def _served_since(world: World, failed: wire.Call, *, rejected: bool) -> bool:
    """Tell whether the provider answered a call of any agent after this one failed.

    Of a key that was rejected it is enough that a later call was let in, however that ended.
    """
    return any(
        call.provider == failed.provider
        and (call.state in ("settled", "overrun") or (rejected and _was_taken(call)))
        and (call.ended_at or "") > (failed.ended_at or "")
        for agent in world.agents
        for call in world.calls(agent.agent_id)
    )


def _was_taken(call: wire.Call) -> bool:
    """Tell whether a call that did not end well had a good beginning: its key was taken."""
    return call.state == "settled_worst" and call.http_status is not None and call.http_status < 400


def _key_now(world: World, provider: str) -> str:
    """Say in what a key that was rejected is no more the cause; "" where it still may be.

    The provider itself tells, for a free question. That there is no key is told where keys are looked at.
    """
    known = world.status.providers if world.status else []
    if any(one.name == provider and one.key == "absent" for one in known):
        return "the sidecar has no key of it now"
    tested = world.key_tests.get(provider)
    takes = isinstance(tested, wire.ProviderTest) and tested.ok
    return "it takes the key that the sidecar has now" if takes else ""


CHECKS: tuple[Check, ...] = (
    asks(Check("failures.refused", "Calls that were refused in the last hour", _refused)),
    asks(Check("failures.providers", "Calls that providers refused or lost in the last hour", _providers)),
)
