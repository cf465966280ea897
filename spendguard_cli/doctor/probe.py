"""`doctor --probe`: one call through the whole path, as an unmodified client sends it, leg by leg.

The mock one is paid by an agent that is made for it and deleted at its end. A real one is paid by the agent
that was named, through a key of its own whose limit is the price that was said first: it cannot cost more.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from spendguard_cli.doctor.findings import Finding, Level, ok
from spendguard_cli.doctor.groups.providers import another_key
from spendguard_cli.doctor.probe_call import MOCK, Answered, send
from spendguard_cli.doctor.probe_payer import paid
from spendguard_cli.explain.life import amount
from spendguard_cli.explain.sums import rate_usd
from spendguard_cli.shapes import Probed
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import format_usd
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_cli.client import Control
    from spendguard_daemon import wire

SETTLING_SECONDS = 5.0
STEP_SECONDS = 0.02
KEY_REJECTED = (401, 403)
NOT_IDENTIFIED = (401, 403, 404)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which call: `agent_id` None has an agent made for it; `worst_nusd` is the price that was said."""

    provider: str
    model: str
    output_tokens: int
    agent_id: str | None = None
    worst_nusd: int | None = None


@dataclass(slots=True)
class _Probe:
    control: "Control"
    wanted: Wanted
    agent_id: str
    key: "wire.KeyMade"
    journaled: Callable[[str], bool | None]
    findings: list[Finding] = field(default_factory=list)

    def say(self, leg: str, finding: Finding) -> None:
        from msgspec.structs import replace

        self.findings.append(replace(finding, check=f"probe.{leg}", group="probe"))


def probe(
    control: "Control",
    wanted: Wanted,
    journaled: Callable[[str], bool | None],
    warn: Callable[[str], None],
) -> Probed:
    """Make the call and say what each leg of its way showed.

    `journaled` tells whether a call's hold is in the journal, None where that cannot be looked at; `warn` is
    told what could not be cleared away. Raises what the sidecar says to making the agent or its key.
    """
    with paid(control, wanted.agent_id, wanted.worst_nusd, warn) as (agent_id, key):
        made = _Probe(control, wanted, agent_id, key, journaled)
        made.say("reachable", ok(f"The sidecar answers at {control.base_url}"))
        before = control.budget(agent_id)
        answered, call = _sent(made)
        after = control.budget(agent_id)
        if call is not None:
            _money(made, call, before, after)
        return Probed(
            findings=made.findings,
            provider=wanted.provider,
            model=wanted.model,
            agent_id=agent_id,
            call_id=answered.call_id if answered else "",
            before_usd=before.remaining_usd,
            held_usd=call.hold_usd if call else None,
            cost_usd=call.cost_usd if call else None,
            after_usd=after.remaining_usd,
            lines=call.lines if call else [],
            next=f"spendguard explain {answered.call_id}" if answered and answered.call_id else "",
        )


def _sent(made: _Probe) -> "tuple[Answered | None, wire.Call | None]":
    """Send the call; return the answer, and the call as it ended where it was let through."""
    wanted = made.wanted
    try:
        answered = send(
            made.control.base_url, made.key.key, wanted.provider, wanted.model, wanted.output_tokens
        )
    except (httpx.HTTPError, UnicodeEncodeError) as error:  # what is no key of ours fits into no header
        made.say("reachable", _broken(f"The call got no answer: {safe(str(error) or type(error).__name__)}"))
        return None, None
    call = _ended(made.control, answered.call_id)
    if call is None or call.state == "refused":
        _not_let_through(made, answered)
        return answered, None
    made.say("identified", ok(f"The key names agent {made.agent_id}", f"call {answered.call_id}"))
    _held(made, answered, call)
    _answer(made, answered, call)
    _settled(made, call)
    return answered, call


def _not_let_through(made: _Probe, answered: Answered) -> None:
    """Say why the call got no hold: who it is was not believed, or something stands against it."""
    if answered.error is None:
        made.say("identified", _broken("The call was answered, but the sidecar does not know of it"))
        return
    if answered.status in NOT_IDENTIFIED:
        made.say("identified", _refused(answered.error, answered))
        return
    made.say("identified", ok(f"The key names agent {made.agent_id}", f"call {answered.call_id}"))
    made.say("held", _refused(answered.error, answered))


def _ended(control: "Control", call_id: str) -> "wire.Call | None":
    """Return the call once it has its final record, or as it is when that takes too long; None for none."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while True:
        try:
            call = control.call(call_id)
        except SpendGuardError as error:
            if error.code is not Code.CALL_NOT_FOUND:
                raise
            return None
        if call.ended_at is not None or time.monotonic() > deadline:
            return call
        time.sleep(STEP_SECONDS)


def _held(made: _Probe, answered: Answered, call: "wire.Call") -> None:
    said_nusd, found = made.wanted.worst_nusd, made.journaled(call.call_id)
    held = f"${call.hold_usd} was held before the first byte left"
    if found is False:
        made.say("held", _broken(f"{held}, but the journal on disk has no record of it"))
        return
    if answered.told.get("held-usd") not in (None, call.hold_usd):
        made.say("held", _broken(f"{held}, but the answer named ${safe(answered.told['held-usd'])}"))
        return
    if said_nusd is not None and amount(call.hold_usd) > said_nusd:
        made.say("held", _broken(f"{held}, more than the ${format_usd(said_nusd)} that was said first"))
        return
    made.say("held", ok(held, *(["its record is in the journal on disk"] if found else [])))


def _answer(made: _Probe, answered: Answered, call: "wire.Call") -> None:
    if answered.error is None:
        used = call.usage or {}
        tokens = f"{used.get('input_tokens', 0)} tokens in, {used.get('output_tokens', 0)} out"
        made.say("answered", ok(f"{made.wanted.provider} answered {answered.status}", tokens))
        return
    provider = made.wanted.provider
    rejected = answered.error.code is Code.PROVIDER_KEY_REJECTED or answered.status in KEY_REJECTED
    words = [safe(answered.said, 300)] if answered.said else []
    if rejected:
        found = f"{provider} rejected the provider key"
        known = {one.name: one for one in made.control.status().providers}
        remedy = another_key(known[provider]) if provider in known else []
        made.say("answered", _broken(found, *words, remedy=remedy, code=Code.PROVIDER_KEY_REJECTED))
        return
    if answered.from_provider:
        made.say("answered", _broken(f"{provider} answered {answered.status}", *words))
        return
    made.say("answered", _refused(answered.error, answered))


def _settled(made: _Probe, call: "wire.Call") -> None:
    if call.state == "settled":
        lines = [_line(line) for line in call.lines]
        made.say("settled", ok(f"Settled at ${call.cost_usd} of the ${call.hold_usd} held", *lines))
    elif call.state == "voided":
        made.say("settled", ok(f"Nothing was charged: {call.reason}"))
    elif call.state == "held":
        made.say("settled", _broken("The call has not ended, and still holds its money"))
    else:
        fix = f"spendguard explain {call.call_id}"
        found = f"{call.state}: ${call.cost_usd} was charged: {call.reason}"
        made.say("settled", _broken(found, remedy=[fix]))


def _money(made: _Probe, call: "wire.Call", before: "wire.Budget", after: "wire.Budget") -> None:
    """Compare what is charged: on the key alone, and on the agent made for it, which nobody else uses."""
    charged = amount(made.control.key(made.agent_id, made.key.key_id).settled_usd)
    cost = amount(call.cost_usd or "0")
    fell = amount(before.remaining_usd) - amount(after.remaining_usd)
    alone = made.wanted.provider == MOCK
    told = f"${before.remaining_usd} before, ${after.remaining_usd} after"
    if charged != cost or (alone and fell != cost):
        found = f"The call cost ${format_usd(cost)}, but ${format_usd(charged)} was charged"
        made.say("money", _broken(found, told, remedy=["spendguard ledger verify"]))
        return
    made.say("money", ok(f"The budget fell by exactly what the call cost: ${format_usd(cost)}", told))


def _line(line: "wire.CostLine") -> str:
    if line["unit"] == "pusd":
        return f"the provider's own bill: {line['quantity']} pUSD"
    per = "1,000" if line["unit"] == "event" else "1M tokens"
    return f"{line['name']}: {line['quantity']} at ${rate_usd(int(line['rate']))} per {per}"


def _refused(error: SpendGuardError, answered: Answered) -> Finding:
    remedy = error.remedy if error.remedy.startswith("spendguard ") and "<" not in error.remedy else ""
    cause = TABLE[error.code].cause
    seen = [cause, f"HTTP {answered.status}, code {error.code}"]
    return _broken(
        f"The call was refused: {safe(error.detail, 400)}",
        *seen,
        remedy=[remedy] if remedy else [],
        deed="" if remedy else error.remedy,
        code=error.code,
    )


def _broken(
    finding: str,
    *evidence: str,
    remedy: list[str] | None = None,
    deed: str = "",
    code: Code | None = None,
) -> Finding:
    return Finding(
        level=Level.RED,
        finding=finding,
        evidence=list(evidence),
        remedy=remedy or [],
        deed=deed,
        code=None if code is None else code.value,
    )
