"""A refusal that somebody pasted: what its body says, and what the ledger knows of its call."""

from spendguard_cli.doctor import bodies, checked, judging, lately
from spendguard_cli.doctor.findings import Finding, Level
from spendguard_cli.doctor.groups.failures import LEVELS, NOW, cut_by, is_confirmed
from spendguard_cli.doctor.groups.providers import TYPE_THE_KEY, another_key
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import Way, facts_of, told, ways_out
from spendguard_cli.session import UUID
from spendguard_cli.ways.case import SOME_AGENT, nusd
from spendguard_daemon import wire
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.money import format_usd
from spendguard_daemon.text import safe

ENDED_BADLY = frozenset(
    {Code.UPSTREAM_FAILED, Code.UPSTREAM_TIMEOUT, Code.UPSTREAM_UNREACHABLE, Code.PROVIDER_KEY_REJECTED}
)
"""Codes of calls that were let through, and failed at the provider."""


def of_body(world: World, body: bodies.Body) -> list[Finding]:
    """Tell what a body says, and what the ledger knows of its call."""
    if body.code is None:
        return [_not_ours(world, body)]
    code, entry = body.code, TABLE[body.code]
    agent = next((one for one in world.everyone if one.agent_id == body.facts.get("agent_id")), None)
    refused = checked.known(world, body)
    known = refused.call if refused else world.call(str(body.facts.get("call_id") or ""))
    if refused is not None:
        call, whose = refused.call, f" of agent {refused.name}"
        level, now, ways = _of_ledger(world, refused)
    else:
        call, whose = (
            _told_call(code, body, known, world.now_ns),
            f" of {lately.named(agent)}" if agent else "",
        )
        level, now, ways = _of_body_alone(world, agent, call, known)
    commands, others, deed = told(ways)
    return [
        Finding(
            level=level,
            finding=f"{entry.status} {code}: {entry.title}" + (f": a call{whose}" if whose else ""),
            evidence=[
                *([body.detail] if body.detail else []),
                f"why: {entry.cause}",
                f"money: {entry.money.value}",
                *_charged(body),
                *lately.sums(call),
                *now,
                *_known(known),
                *others,
            ],
            remedy=commands,
            deed=deed,
            code=code,
        )
    ]


def _of_ledger(world: World, refused: checked.Known) -> tuple[Level, list[str], list[Way]]:
    """Return how bad it is, what is so now, and the ways out of a refusal that the ledger knows."""
    call, agent = refused.call, refused.agent
    if agent is None:
        return Level.RED, [], ways_out(call.code or "", facts_of(call), ref=refused.ref)
    one = lately.Refused(agent, call.code or "", call, 1, call.created_at)
    again = judging.again(world, one)
    return LEVELS[again], [f"now: the same {NOW[again]}"], lately.ways(world, one)


def _of_body_alone(
    world: World, agent: wire.Agent | None, call: wire.Call, known: wire.Call | None
) -> tuple[Level, list[str], list[Way]]:
    """Return the same where only the body says so: for it no command gives money or lets anything through."""
    code = Code(call.code or "")
    ref = call.agent_id if UUID.fullmatch(call.agent_id) else SOME_AGENT
    if code in ENDED_BADLY:
        return _ended_badly(world, known, _after_failure(world, code, known))
    named = [] if agent is None else ["--agent", world.named.get(agent.agent_id, agent.agent_id)]
    asks = Way("ask what the ledger knows of such refusals", (" ".join(["spendguard doctor", code, *named]),))
    ways = checked.harmless(ways_out(code, checked.facts_alone(world, call), None, ref=ref))
    is_known = world.status is not None and code in {one.code for one in world.status.strangers}
    return Level.RED if is_known else Level.WARNING, [checked.NOT_CHECKED], [*ways, asks]


def _after_failure(world: World, code: Code, known: wire.Call | None) -> list[Way]:
    """Return the ways out of a call that failed, by what the ledger has of it, and by nothing of the body."""
    if known is None:
        return checked.harmless(ways_out(code, {}))
    if code is Code.PROVIDER_KEY_REJECTED and world.status is not None:
        for one in world.status.providers:
            if one.name == known.provider:
                return [Way("give the sidecar another key", tuple(another_key(one))), Way(TYPE_THE_KEY)]
    return ways_out(code, {"call_id": known.call_id, "provider": known.provider})


def _ended_badly(
    world: World, known: wire.Call | None, ways: list[Way]
) -> tuple[Level, list[str], list[Way]]:
    """Judge a call that was let through and failed: it was no refusal, and says nothing of the next."""
    if known is None:
        return Level.WARNING, [], ways
    now = []
    if cut_by(known):
        now.append("an operator cut it, or the sidecar ended: it is no fault of the provider")
    if judging.passed_since(world, known):
        now.append("now: calls of the same kind have passed since")
    if is_confirmed(world, known):
        return Level.NOTE, [*now, "what it cost was entered by an operator"], []
    return (Level.WARNING if nusd(known.cost_usd) or not now else Level.NOTE), now, ways


def _charged(body: bodies.Body) -> list[str]:
    charged = nusd(body.facts.get("charged_usd"))
    return [f"charged: ${format_usd(charged)}"] if charged else []


def _told_call(code: Code, body: bodies.Body, known: wire.Call | None, now_ns: int) -> wire.Call:
    """Return the call that a body tells of, as the history would have it; of now where that has it not."""

    def text(name: str) -> str:
        return safe(str(body.facts.get(name) or ""))

    return wire.Call(
        call_id=text("call_id"),
        agent_id=text("agent_id"),
        run_id=text("run_id"),
        provider=text("provider"),
        endpoint=text("endpoint"),
        model=text("model"),
        state="refused",
        hold_usd="0",
        cost_usd="0",
        usage=None,
        lines=[],
        changed=[],
        document_sha256=None,
        http_status=TABLE[code].status,
        code=code,
        reason=body.detail,
        created_at=known.created_at if known else wire.iso(now_ns),
        ended_at=None,
        facts=dict(body.facts),
    )


def _known(call: wire.Call | None) -> list[str]:
    if call is None:
        return []
    charged = f", ${call.cost_usd} is charged" if nusd(call.cost_usd) else ""
    return [f"call {call.call_id} is {call.state}{charged}: spendguard explain {call.call_id}"]


def _not_ours(world: World, body: bodies.Body) -> Finding:
    call_id = str(body.facts.get("call_id") or "")
    empty = not body.detail
    return Finding(
        level=Level.WARNING,
        finding=f"this is no refusal of SpendGuard: {body.what}",
        evidence=([f"it says: {body.detail}"] if body.detail else []) + _known(world.call(call_id)),
        remedy=["spendguard doctor"],
        deed="pipe the whole body of the answer in, as it came"
        if empty
        else "what it says is to be mended there",
    )
