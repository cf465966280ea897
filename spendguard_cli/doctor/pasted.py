"""A refusal that somebody pasted: what its body says, and what the ledger knows of its call."""

from spendguard_cli.doctor import bodies, lately
from spendguard_cli.doctor.findings import Finding, Level
from spendguard_cli.doctor.groups.failures import LEVELS, NOW, told
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import ways_out
from spendguard_cli.session import UUID
from spendguard_cli.ways.case import nusd
from spendguard_daemon import wire
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.money import format_usd
from spendguard_daemon.text import safe


def of_body(world: World, body: bodies.Body) -> list[Finding]:
    """Tell what a body says, and what the ledger knows of its call."""
    if body.code is None:
        return [_not_ours(world, body)]
    code, entry = body.code, TABLE[body.code]
    agent = next((one for one in world.everyone if one.agent_id == body.facts.get("agent_id")), None)
    call = _told_call(code, body)
    again = None
    if agent is not None:
        again = lately.again(world, lately.Refused(agent, code, call, 1, call.created_at))
    daemon = world.status.daemon_budget if world.status else None
    ref = _said_id(body) if agent is None else world.named.get(agent.agent_id, agent.agent_id)
    commands, others, deed = told(ways_out(code, body.facts, agent, ref=ref, daemon=daemon))
    whose = f" of {lately.named(agent)}" if agent else ""
    return [
        Finding(
            level=Level.RED if again is None else LEVELS[again],
            finding=f"{entry.status} {code}: {entry.title}" + (f": a call{whose}" if whose else ""),
            evidence=[
                *([body.detail] if body.detail else []),
                f"why: {entry.cause}",
                f"money: {entry.money.value}",
                *_charged(body),
                *lately.sums(call),
                *([f"now: the same {NOW[again]}"] if agent else []),
                *_known(world, call.call_id),
                *others,
            ],
            remedy=commands,
            deed=deed,
            code=code,
        )
    ]


def _said_id(body: bodies.Body) -> str:
    """Return the agent that a body names, which nobody here can be asked about, as a command takes it."""
    said = str(body.facts.get("agent_id") or "")
    return said if UUID.fullmatch(said) else "<agent>"


def _charged(body: bodies.Body) -> list[str]:
    charged = nusd(body.facts.get("charged_usd"))
    return [f"charged: ${format_usd(charged)}"] if charged else []


def _told_call(code: Code, body: bodies.Body) -> wire.Call:
    """Return the refused call that a body tells of, as the history would have it."""

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
        created_at="",
        ended_at=None,
        facts=dict(body.facts),
    )


def _known(world: World, call_id: str) -> list[str]:
    call = world.call(call_id) if call_id else None
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
        evidence=([f"it says: {body.detail}"] if body.detail else []) + _known(world, safe(call_id)),
        remedy=["spendguard doctor"],
        deed="pipe the whole body of the answer in, as it came"
        if empty
        else "what it says is to be mended there",
    )
