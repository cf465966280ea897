"""Idempotency-Keys: which request a key stands for, and what a second request with it is told. Pure.

A key is bound by the record that the request led to, so it is as durable as that record, and no sooner bound.
Its scope is the agent and the route. A call that was voided gives its key back: nothing was paid. Memory is
bounded: a key is forgotten after 24 hours, by the times of the records, so that replay forgets the same ones;
or when so many younger ones are bound that it is one too many. A call whose key is forgotten may be paid
twice, within its cap. A grant would be given twice, and lift one: so operators' keys are counted apart, and
no number of calls pushes one out.
"""

from dataclasses import replace

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.state import Bound, State
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.money import format_usd

KEYS_MAX = 50_000
"""Of calls. In a snapshot one is about 250 bytes, and never more than 600."""

ANSWERS_MAX = 2_000
"""Of operators' requests. In a snapshot one is about 500 bytes, and never more than 7,500."""

KEY_TTL_NS = 24 * 3600 * NS_PER_SECOND
RETRY_MS = 1_000

NO_AGENT = "-"
"""The agent of a scope where the request is for none that was there before: new agents, the daemon, calls."""


def first_answer(state: State, command: cmd.Command, now: cmd.Now) -> ev.Event | None:
    """Return the event that an operator's request led to when it was made first, None if this is the first.

    Raises IDEMPOTENCY_MISMATCH where its key stands for another request.
    """
    if not isinstance(command, cmd.KeyedCommand) or isinstance(command, cmd.HoldCall):
        return None
    bound = _bound(state.answers, _agent_of(command), command.idempotency, now)
    return None if bound is None else bound.event


def check_call(state: State, command: cmd.HoldCall, now: cmd.Now) -> None:
    """Raise IDEMPOTENCY_IN_FLIGHT, _DONE or _MISMATCH where a call's key is bound; facts: first_call_id."""
    bound = _bound(state.keys, command.agent_id, command.idempotency, now)
    if bound is None:
        return
    facts: dict[str, Fact] = {"first_call_id": bound.call_id}
    if bound.cost_nusd is None:
        why = f": call {bound.call_id} has not ended yet"
        raise _refusal(Code.IDEMPOTENCY_IN_FLIGHT, why, facts | {"retry_after_ms": RETRY_MS})
    # What it costs now, where it was corrected and is still at hand.
    ended = state.ended_call(bound.call_id or "")
    cost_usd = format_usd(bound.cost_nusd if ended is None else ended.cost_nusd)
    why = f": call {bound.call_id} cost {cost_usd} USD; its answer is not kept"
    raise _refusal(Code.IDEMPOTENCY_DONE, why, facts | {"cost_usd": cost_usd})


def bind(state: State, event: ev.KeyedEvent, wall_ns: int) -> None:
    """Note what an event's key stands for from now on, and forget the keys whose time is over."""
    if event.idempotency is None:
        return
    scope, body = _scope(_agent_of(event), event.idempotency), event.idempotency.body
    if isinstance(event, ev.Hold):
        _bind(state.keys, KEYS_MAX, scope, Bound(body, wall_ns, call_id=event.call_id))
    else:
        _bind(state.answers, ANSWERS_MAX, scope, Bound(body, wall_ns, event=event))


def _bind(table: dict[str, Bound], most: int, scope: str, bound: Bound) -> None:
    table.pop(scope, None)
    table[scope] = bound
    oldest = next(iter(table))
    while len(table) > most or bound.bound_ns - table[oldest].bound_ns >= KEY_TTL_NS:
        del table[oldest]
        oldest = next(iter(table))


def note_end(state: State, hold: ev.Hold, cost_nusd: int | None) -> None:
    """Note what the call of a key cost; None where it was voided, which gives the key back."""
    if hold.idempotency is None:
        return
    scope = _scope(hold.agent_id, hold.idempotency)
    bound = state.keys.get(scope)
    if bound is None or bound.call_id != hold.call_id:
        return
    if cost_nusd is None:
        del state.keys[scope]
    else:
        state.keys[scope] = replace(bound, cost_nusd=cost_nusd)


def _bound(
    table: dict[str, Bound], agent_id: str, idempotency: ev.Idempotency | None, now: cmd.Now
) -> Bound | None:
    if idempotency is None:
        return None
    bound = table.get(_scope(agent_id, idempotency))
    if bound is None or now.wall_ns - bound.bound_ns >= KEY_TTL_NS:
        return None
    if bound.body != idempotency.body:
        facts: dict[str, Fact] = {"first_call_id": bound.call_id} if bound.call_id else {}
        raise _refusal(Code.IDEMPOTENCY_MISMATCH, "", facts)
    return bound


def _agent_of(source: cmd.KeyedCommand | ev.KeyedEvent) -> str:
    ours = cmd.HoldCall | cmd.GrantBudget | cmd.TopUp | cmd.AddKey
    if isinstance(source, ours | ev.Hold | ev.BudgetSet | ev.KeyAdd):
        return source.agent_id
    return NO_AGENT


def _scope(agent_id: str, idempotency: ev.Idempotency) -> str:
    return f"{agent_id} {idempotency.route} {idempotency.key}"


def _refusal(code: Code, why: str, facts: dict[str, Fact]) -> SpendGuardError:
    entry = TABLE[code]
    return SpendGuardError(code, entry.title + why, remedy=entry.agent_remedy, facts=facts)
