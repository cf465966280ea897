"""What is known of one call, from the journal or from the sidecar: values only. Pure.

Amounts are in nUSD, times ISO 8601. What a source does not tell is None or empty: the sidecar knows neither
rates nor the agent's money of that moment; the journal does not know who is still attached.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from spendguard_daemon import wire
from spendguard_daemon.errors import Fact
from spendguard_daemon.money import parse_usd

CostLine = Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Money:
    """An agent's account after a record."""

    funded_nusd: int
    settled_nusd: int
    held_nusd: int

    @property
    def available_nusd(self) -> int:
        """What a new call might still hold."""
        return self.funded_nusd - self.settled_nusd - self.held_nusd


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The hold, and what it was made from. `money` is the account with this hold in it."""

    at: str
    amount_nusd: int
    rung: str
    input_tokens: int | None
    choices: int
    asked_output_tokens: int | None
    output_tokens: int | None
    document_sha256: str
    rates: Mapping[str, int] = field(default_factory=dict)
    money: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Its end: `state` is settled, settled_worst, voided or overrun; `cost_nusd` what it was charged then."""

    at: str
    state: str
    cost_nusd: int
    usage: Mapping[str, int]
    lines: tuple[CostLine, ...]
    http_status: int | None
    reason: str
    money: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """A person set what the call was charged; `from_nusd` and `actor` are not known of every source."""

    at: str | None
    from_nusd: int | None
    to_nusd: int
    reason: str
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """It was refused: no hold, nothing charged. `count` calls like it stand in the one record."""

    at: str
    until: str | None
    code: str
    http_status: int | None
    detail: str
    count: int
    facts: Mapping[str, Fact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One call. `sent_at` is None where it did not leave, or where that was not written down.

    Of one in flight: its age, and `expires_at`, when it is cut at the latest.
    """

    call_id: str
    agent_id: str
    run_id: str
    provider: str
    endpoint: str
    model: str
    agent_name: str = ""
    keys: tuple[str, ...] = ()
    held: Held | None = None
    sent_at: str | None = None
    changed: tuple[str, ...] = ()
    ended: Ended | None = None
    adjusted: tuple[Adjusted, ...] = ()
    turned: Turned | None = None
    attached: bool | None = None
    idle_seconds: int | None = None
    age_seconds: int | None = None
    expires_at: str | None = None
    signer: str = ""

    @property
    def state(self) -> str:
        """Its state as the API names it."""
        if self.turned is not None:
            return "refused"
        return self.ended.state if self.ended else "held"

    @property
    def cost_nusd(self) -> int | None:
        """What it is charged by now; None while that is open."""
        if self.turned is not None:
            return 0
        if self.adjusted:
            return self.adjusted[-1].to_nusd
        return self.ended.cost_nusd if self.ended else None


def of_call(call: wire.Call) -> Life:
    """Return what the sidecar tells of a call."""
    life = Life(
        call_id=call.call_id,
        agent_id=call.agent_id,
        run_id=call.run_id,
        provider=call.provider,
        endpoint=call.endpoint,
        model=call.model,
        keys=tuple(call.keys),
        changed=tuple(call.changed),
        attached=call.attached,
        idle_seconds=call.idle_seconds,
        expires_at=call.expires_at,
    )
    if call.state == "refused":
        return replace(life, turned=_turned(call))
    life = replace(life, held=_held(call))
    return life if call.state == "held" else replace(life, ended=_ended(call))


def joined(journal: Life | None, sidecar: Life | None) -> Life | None:
    """Return what both know: the journal has the numbers, the sidecar the present."""
    if journal is None or sidecar is None:
        return journal or sidecar
    return replace(
        journal,
        agent_name=sidecar.agent_name or journal.agent_name,
        ended=journal.ended or sidecar.ended,
        attached=sidecar.attached,
        idle_seconds=sidecar.idle_seconds,
        expires_at=sidecar.expires_at,
        turned=journal.turned and _fuller(journal.turned, sidecar.turned),
    )


def _fuller(journal: Turned, sidecar: Turned | None) -> Turned:
    """Return a refusal with the facts of both: a record keeps fewer than the body had."""
    if sidecar is None:
        return journal
    return replace(journal, facts={**sidecar.facts, **journal.facts}, detail=sidecar.detail or journal.detail)


def _turned(call: wire.Call) -> Turned:
    return Turned(
        at=call.created_at,
        until=call.ended_at,
        code=call.code or "",
        http_status=call.http_status,
        detail=call.reason or "",
        count=call.count,
        facts=call.facts,
    )


def _held(call: wire.Call) -> Held:
    return Held(
        at=call.created_at,
        amount_nusd=amount(call.hold_usd),
        rung=call.rung or "",
        input_tokens=call.input_tokens_bound,
        choices=call.choices or 1,
        asked_output_tokens=call.asked_output_tokens,
        output_tokens=call.output_tokens_held,
        document_sha256=call.document_sha256 or "",
    )


def _ended(call: wire.Call) -> Ended:
    return Ended(
        at=call.ended_at or call.created_at,
        state=call.state,
        cost_nusd=amount(call.cost_usd or "0"),
        usage=call.usage or {},
        lines=tuple(call.lines),
        http_status=call.http_status,
        reason=call.reason or "",
    )


def amount(usd: str) -> int:
    """Read an exact decimal of USD, below zero too, in nUSD."""
    return -parse_usd(usd[1:]) if usd.startswith("-") else parse_usd(usd)
