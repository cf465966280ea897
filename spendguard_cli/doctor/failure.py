"""One failure explained: `doctor 402`, `doctor agent_frozen`, `doctor signature`, or a body on stdin.

What happened comes from the daemon's history; where the sidecar is down, from the journal; and with a body,
from its own numbers. What can be done is judged by what is so now.
"""

import difflib
from collections.abc import Sequence
from typing import TextIO

import msgspec

from spendguard_cli.doctor import bodies, lately
from spendguard_cli.doctor.asking import why
from spendguard_cli.doctor.examine import CHECKS, examine
from spendguard_cli.doctor.findings import Finding, Level, in_order
from spendguard_cli.doctor.groups.failures import finding_of
from spendguard_cli.doctor.pasted import of_body
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import told, ways_out
from spendguard_cli.render import count
from spendguard_cli.ways.case import SOME_AGENT
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe
from spendguard_daemon.wire import Call

STDIN = "-"
SIGNATURE = "signature"
CHECK = "failure"
IN_FLIGHT_SHOWN = 3
"""How many calls in flight are told beside a refusal."""


def explain(world: World, subject: str, stdin: TextIO) -> list[Finding]:
    """Return what is to be said of a failure, the cause first; raise USAGE for a subject that is none.

    `stdin` holds the text of a refusal, and is read where the subject is `-`.
    """
    if subject == STDIN:
        found = of_body(world, bodies.read(_pasted(stdin)))
    elif subject == SIGNATURE:
        found = _signature(world)
    else:
        found = _of_history(world, subject, _codes(subject))
    return in_order(
        one if one.check else msgspec.structs.replace(one, check=f"{CHECK}.{subject}", group=CHECK)
        for one in found
    )


def _pasted(stdin: TextIO) -> str:
    """Return what came on standard input, bounded; bytes that are no text are no reason to stop."""
    raw = getattr(stdin, "buffer", None)
    if raw is None:
        return stdin.read(bodies.BODY_CHARACTERS_MAX)
    taken: bytes = raw.read(bodies.BODY_CHARACTERS_MAX)
    return taken.decode(errors="replace")


def _codes(subject: str) -> list[Code]:
    """Return the codes that a subject names: itself, or all of its status."""
    if subject.isascii() and subject.isdigit():
        codes = [code for code, entry in TABLE.items() if str(entry.status) == subject]
        if codes:
            return codes
        known = sorted({entry.status for entry in TABLE.values()})
        raise SpendGuardError(
            Code.USAGE,
            f"SpendGuard never answers with {subject[:20]}; it does with {', '.join(map(str, known))}",
            remedy="spendguard doctor, or pipe the body of the answer into: spendguard doctor -",
        )
    named = subject.lower().replace("-", "_")
    try:
        return [Code(named)]
    except ValueError:
        near = difflib.get_close_matches(named, [*Code, SIGNATURE], n=1)
        raise SpendGuardError(
            Code.USAGE,
            f"{safe(subject)!r} is no status and no code" + (f"; did you mean {near[0]}?" if near else ""),
            remedy=f"spendguard doctor {near[0]}" if near else "spendguard doctor --help",
        ) from None


def _of_history(world: World, subject: str, codes: Sequence[Code]) -> list[Finding]:
    """Tell the newest refusals with one of these codes, agent by agent, the newest first."""
    if not world.answers:
        if world.connection.in_exec:
            return [_unreadable(world)]
        return _offline(world, subject, codes)
    found = [
        one
        for agent in world.agents
        for one in lately.grouped(agent, world.calls(agent.agent_id))
        if one.code in codes
    ]
    found.sort(key=lambda one: one.newest.created_at, reverse=True)
    said = [finding_of(world, one, extra=_more(world, one)) for one in found[:1]]
    said += [_shorter(world, one) for one in found[1:5]]
    said += _strangers(world, codes)
    if said:
        return [_money(one) for one in said]
    related = _related(world, codes)
    whose = "" if world.agent_ref is None else f" of agent {safe(world.agent_ref)}"
    return related or [
        Finding(
            level=Level.OK,
            finding=f"no call{whose} was refused with {safe(subject)}, as far as is kept at hand",
            evidence=["older ones are in: spendguard ledger export"],
        )
    ]


def _unreadable(world: World) -> Finding:
    """Say inside `exec` why nothing can be told: the ledger's files are not for a program to read."""
    error = world.status_error
    return Finding(
        level=Level.WARNING,
        finding=f"refusals were not looked at: {why(world)}",
        evidence=[safe(error.detail, 300)] if error else [],
        deed="ask your operator to run it outside of spendguard exec",
    )


def _whole_call(call: Call) -> str:
    return f"the whole call: spendguard explain {call.call_id}"


def _more(world: World, one: lately.Refused) -> tuple[str, ...]:
    """Say where all of a call is told, and of a lock or a hold which calls in flight have it now."""
    if one.code not in (Code.BUDGET_LOCKED, Code.BUDGET_HELD):
        return (_whole_call(one.newest),)
    flying = world.in_flight(one.agent.agent_id)[:IN_FLIGHT_SHOWN]
    return (_whole_call(one.newest), *(f"now: {lately.about(world, call)}" for call in flying))


def _shorter(world: World, one: lately.Refused) -> Finding:
    """Say of older refusals what is needed to ask for more: only the newest is told in full."""
    all_of_it = finding_of(world, one, extra=(_whole_call(one.newest),))
    ways = [line for line in all_of_it.evidence if line.startswith("or: ")]
    return msgspec.structs.replace(
        all_of_it, evidence=[all_of_it.evidence[0], _whole_call(one.newest), *ways]
    )


def _money(one: Finding) -> Finding:
    """Add what a refusal of this code did to money."""
    entry = TABLE.get(Code(one.code)) if one.code in set(Code) else None
    if entry is None:
        return one
    lines = [f"why: {entry.cause}", f"money: {entry.money.value}"]
    head, rest = one.evidence[:1], one.evidence[1:]
    return msgspec.structs.replace(one, evidence=[*head, *lines, *rest], symptom=False)


def _strangers(world: World, codes: Sequence[Code]) -> list[Finding]:
    """Tell of requests that were refused before an agent was known."""
    strangers = world.status.strangers if world.status and world.agent_ref is None else []
    found = []
    for one in strangers:
        if one.code not in codes:
            continue
        is_new = lately.age_seconds(world.now_ns, one.last_at) <= lately.LATELY_SECONDS
        ref = world.named.get(one.agent_id, SOME_AGENT)
        commands, others, deed = told(ways_out(one.code, {"provider": one.provider}, ref=ref))
        where = " ".join(safe(word) for word in (one.provider, one.endpoint) if word)
        whom = f"named {ref} without its key" if one.agent_id else "named no agent that is known"
        found.append(
            Finding(
                level=Level.RED if is_new else Level.NOTE,
                finding=f"{count(one.count, 'request')} of {safe(one.program) or 'a program'} to {where} "
                f"{whom}: {safe(one.detail)}",
                evidence=[f"last {lately.ago(world.now_ns, one.last_at)}", *others],
                remedy=commands,
                deed=deed,
                code=one.code,
            )
        )
    return found


def _related(world: World, codes: Sequence[Code]) -> list[Finding]:
    """Return what is red now and leads to one of these codes, where no call was refused yet."""
    return [one for one in examine(world, CHECKS) if one.code in codes and one.level is not Level.OK]


def _offline(world: World, subject: str, codes: Sequence[Code]) -> list[Finding]:
    """Tell from the journal what can be told while nobody can be asked."""
    from spendguard_cli.ledger.refused import last_refused

    try:
        last = last_refused(world.home.ledger, codes, world.agent_ref)
    except (SpendGuardError, OSError) as error:
        said = error.detail if isinstance(error, SpendGuardError) else str(error)
        return [
            Finding(
                level=Level.RED,
                finding=f"the sidecar cannot be asked, and the ledger cannot be read: {safe(said, 300)}",
                remedy=["spendguard doctor --check ledger"],
            )
        ]
    down = Finding(
        level=Level.WARNING if last else Level.NOTE,
        finding="the sidecar is not there to be asked; this is from the ledger's files alone",
        remedy=["spendguard up"],
    )
    if last is None:
        return [down, Finding(level=Level.OK, finding=f"the ledger has no call refused with {safe(subject)}")]
    call, name, number = last
    commands, others, deed = told(ways_out(call.code or "", call.facts, ref=name))
    happened = Finding(
        level=Level.WARNING,
        finding=f"agent {safe(name)} was refused with {call.http_status} {safe(call.code or '')}, "
        f"{count(number, 'time')} in all",
        evidence=[
            f"last {lately.ago(world.now_ns, call.created_at)}, call {call.call_id}",
            safe(call.reason or "", 300),
            *lately.sums(call),
            _whole_call(call),
            *others,
        ],
        remedy=commands,
        deed=deed,
        code=call.code,
    )
    return [_money(happened), msgspec.structs.replace(down, level=Level.NOTE)]


def _signature(world: World) -> list[Finding]:
    """Tell the chain of trust: the document, its signer, the pinned keys; and what the checks say of it."""
    findings = examine(world, [check for check in CHECKS if check.group == "prices"])
    pricing = world.status.pricing if world.status else None
    if pricing is None:
        said = "the sidecar is not there to be asked" if world.status is None else "no prices are in force"
        why = world.status_error.detail if world.status_error else ""
        chain = Finding(
            level=Level.WARNING,
            finding=f"{said}{': ' + safe(why, 300) if why else ''}",
            remedy=["spendguard up"] if world.status is None and world.is_own else [],
        )
        return [*findings, chain]
    signer = "this machine's own authority (self-signed)" if pricing.self_signed else f"key {pricing.key_id}"
    last = pricing.last_error
    return [
        *findings,
        Finding(
            level=Level.NOTE if pricing.verified else Level.RED,
            finding=f"the price document in force is signed by {safe(signer)}"
            if pricing.verified
            else "the price document in force was not verified: anybody can have written it",
            evidence=[
                f"document {pricing.document_sha256}, sequence {pricing.sequence}, schema {pricing.schema}",
                f"signed {pricing.issued_at}, good until {pricing.expires_at}",
                f"source: {pricing.source}" + (f" {safe(pricing.url)}" if pricing.url else ""),
                f"pinned keys: {', '.join(map(safe, pricing.key_ids)) or 'none but its own'}",
                *([f"the last look failed: {safe(last.code)}: {safe(last.detail, 300)}"] if last else []),
            ],
            code=None if last is None else last.code,
        ),
    ]
