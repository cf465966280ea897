"""What is shown of a call and of a run, as plain values; how an event changes what is shown of its call."""

from typing import Literal

import msgspec

from spendguard_daemon.errors import Fact
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.deeds import Deed

CallState = Literal["held", "settled", "settled_worst", "voided", "overrun", "refused"]


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """One call as the API shows it. Money in nUSD, times in wall ns; None is "not yet" or "not known".

    `count` is above 1 where a refused call stands for others like it, as after a restart. `keys` is the
    lineage of the key that it came with, `facts` the numbers of a refusal.
    """

    order: int
    call_id: str
    agent_id: str
    run_id: str
    provider: str
    endpoint: str
    model: str
    state: CallState
    created_ns: int
    hold_nusd: int = 0
    cost_nusd: int | None = None
    usage: dict[str, int] | None = None
    lines: list[ev.CostLine] = []
    changed: list[str] = []
    sent: bool = False
    rung: str | None = None
    input_tokens: int | None = None
    choices: int | None = None
    asked_output_tokens: int | None = None
    output_tokens: int | None = None
    document_sha256: str | None = None
    http_status: int | None = None
    code: str | None = None
    count: int = 1
    reason: str | None = None
    adjusted_from_nusd: int | None = None
    ended_ns: int | None = None
    answer_id: str | None = None
    state_tokens: int | None = None
    keys: list[str] = []
    facts: dict[str, Fact] = {}


class RunView(msgspec.Struct, kw_only=True):
    """One run of an agent: when it was first and last seen, its calls, and what they have cost so far."""

    run_id: str
    first_ns: int
    last_ns: int
    calls: int = 0
    cost_nusd: int = 0


class AgentRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its agent."""

    agent_id: str
    run: RunView


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What of a history a snapshot keeps, oldest first."""

    runs: list[AgentRun]
    calls: list[CallView]
    refusals: list[CallView]
    deeds: list[Deed]


def begun(hold: ev.Hold, order: int, wall_ns: int) -> CallView:
    """Return what is shown of a call that got its hold at `wall_ns`."""
    return CallView(
        order=order,
        call_id=hold.call_id,
        agent_id=hold.agent_id,
        run_id=hold.run_id,
        provider=hold.provider,
        endpoint=hold.endpoint,
        model=hold.model,
        state="held",
        created_ns=wall_ns,
        hold_nusd=hold.amount_nusd,
        rung=hold.rung,
        input_tokens=hold.input_tokens,
        choices=hold.choices,
        asked_output_tokens=hold.asked_output_tokens,
        output_tokens=hold.output_tokens,
        document_sha256=hold.document_sha256,
        keys=hold.keys,
    )


def changed(view: CallView, event: ev.Sent | ev.Adjust | ev.EndEvent, wall_ns: int) -> CallView:
    """Return what is shown of a call after an event of it."""
    replace = msgspec.structs.replace
    match event:
        case ev.Sent():
            return replace(view, sent=True, changed=event.changed)
        case ev.Adjust():
            return replace(
                view, cost_nusd=event.to_nusd, adjusted_from_nusd=event.from_nusd, reason=event.reason
            )
        case ev.Void():
            state: CallState = "voided"
            cost_nusd = 0
        case ev.SettleWorst():
            state, cost_nusd = "settled_worst", event.cost_nusd
            view = replace(view, answer_id=event.answer_id)
        case _:
            state = "settled" if isinstance(event, ev.Settle) else "overrun"
            view = replace(
                view,
                usage=event.usage,
                lines=event.lines,
                answer_id=event.answer_id,
                state_tokens=event.state_tokens,
            )
            cost_nusd = event.cost_nusd
    return replace(
        view,
        state=state,
        cost_nusd=cost_nusd,
        http_status=event.http_status,
        reason=event.reason,
        ended_ns=wall_ns,
    )
