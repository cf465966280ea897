"""What both the control API and `watch` show: pure, from the ledger's state to `wire` and `feed_wire`.

The control API shows the state of now, `watch` also one that was replayed from the journal. Amounts are shown
as they are, negative ones too; `remaining_cents` rounds down.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from spendguard_daemon import feed_wire, wire
from spendguard_daemon.errors import Code
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.deeds import Deed
from spendguard_daemon.ledger.events import AgentPolicy, DaemonLimitSet, Event
from spendguard_daemon.ledger.state import Account, State
from spendguard_daemon.ledger.views import CallView
from spendguard_daemon.ledger.waiting import Waiter
from spendguard_daemon.money import cents_ceil, cents_floor, format_usd
from spendguard_daemon.wire import iso

UNCONFIRMED_SHOWN = 20
"""How many unconfirmed calls `status` lists; `ledger export --unconfirmed` has all."""

WAITING_SHOWN = 20
"""How many waiting calls `status` and an agent list."""


def agent(account: Account, state: State, now: Now, waiting: Sequence[Waiter] = ()) -> wire.Agent:
    """Show an agent, with its money where a budget is set, and the first of its waiting calls."""
    lock = state.turns.lock(account.agent_id, now) if account.concurrency == "exclusive" else None
    has_budget = account.limit_nusd is not None
    return wire.Agent(
        agent_id=account.agent_id,
        name=account.name or "",
        created_at=iso(account.created_ns),
        concurrency=account.concurrency,
        overflow=account.overflow,
        mock=account.mock,
        frozen=account.frozen_reason is not None,
        frozen_reason=account.frozen_reason,
        hard_limit_cents=cents_floor(account.limit_nusd) if account.limit_nusd is not None else None,
        remaining_cents=cents_floor(account.remaining_nusd) if has_budget else None,
        remaining_usd=format_usd(account.remaining_nusd) if has_budget else None,
        held_usd=format_usd(account.held_nusd) if has_budget else None,
        settled_usd=format_usd(account.settled_nusd) if has_budget else None,
        calls_in_flight=account.calls_open,
        locked_run_id=lock.run_id if lock else None,
        policy=msgspec.convert(msgspec.to_builtins(account.policy or AgentPolicy()), wire.AgentPolicy),
        restored=account.restored,
        keys=sum(key.parent_id is None and key.live(now.wall_ns) for key in state.keys_of(account.agent_id)),
        needs_key=account.needs_key,
        waiting=[waiting_call(waiter, state) for waiter in waiting[:WAITING_SHOWN]],
    )


def waiting_call(waiter: Waiter, state: State) -> wire.Waiting:
    """Show a call that waits, and what the budget in its way lacks now."""
    command, code = waiter.command, waiter.refused.code
    lacking_nusd: int | None = None
    match code:
        case Code.INSUFFICIENT_BUDGET:
            lacking_nusd = command.worst_nusd - state.accounts[command.agent_id].remaining_nusd
        case Code.DAEMON_CAP:
            lacking_nusd = command.worst_nusd - (state.daemon.remaining_nusd or 0)
        case Code.BUDGET_NOT_SET:
            lacking_nusd = command.worst_nusd
    return wire.Waiting(
        call_id=command.call_id,
        agent_id=command.agent_id,
        run_id=command.run_id,
        model=command.model,
        code=code.value,
        worst_case_usd=format_usd(command.worst_nusd),
        lacking_cents=None if lacking_nusd is None else cents_ceil(lacking_nusd),
        since=iso(waiter.since.wall_ns),
        until=iso(waiter.until_ns),
    )


def call(view: CallView) -> wire.Call:
    """Show a call and what became of it."""
    return wire.Call(
        call_id=view.call_id,
        agent_id=view.agent_id,
        run_id=view.run_id,
        provider=view.provider,
        endpoint=view.endpoint,
        model=view.model,
        state=view.state,
        hold_usd=format_usd(view.hold_nusd),
        cost_usd=None if view.cost_nusd is None else format_usd(view.cost_nusd),
        usage=view.usage,
        lines=view.lines,
        changed=view.changed,
        document_sha256=view.document_sha256,
        http_status=view.http_status,
        code=view.code,
        reason=view.reason,
        created_at=iso(view.created_ns),
        ended_at=None if view.ended_ns is None else iso(view.ended_ns),
        rung=view.rung,
        input_tokens_bound=view.input_tokens,
        asked_output_tokens=view.asked_output_tokens,
        output_tokens_held=view.output_tokens,
        choices=view.choices,
        count=view.count,
        keys=view.keys,
        facts=view.facts,
    )


def money(account: Account, state: State, now: Now, refusals: int, waiting: int) -> feed_wire.Money:
    """Show an agent's money with what comes and goes with its calls: holds, lock, freeze, refusals, waits."""
    lock = state.turns.lock(account.agent_id, now) if account.concurrency == "exclusive" else None
    has_budget = account.limit_nusd is not None
    return feed_wire.Money(
        hard_limit_usd=format_usd(account.limit_nusd) if account.limit_nusd is not None else None,
        remaining_usd=format_usd(account.remaining_nusd) if has_budget else None,
        available_usd=format_usd(account.available_nusd) if has_budget else None,
        funded_usd=format_usd(account.funded_nusd),
        held_usd=format_usd(account.held_nusd),
        settled_usd=format_usd(account.settled_nusd),
        calls_in_flight=account.calls_open,
        calls_waiting=waiting,
        refusals=refusals,
        frozen_reason=account.frozen_reason,
        locked_run_id=lock.run_id if lock else None,
        locked_since=iso(now.wall_ns - lock.age_ns) if lock else None,
        locked_expires_at=iso(lock.expires_ns) if lock else None,
    )


def deeds(found: Sequence[Deed]) -> wire.Deeds:
    """Show what was done to an agent (oldest first), newest first, and whether that is all there ever was."""
    return wire.Deeds(
        deeds=[deed(one) for one in reversed(found)], whole=bool(found) and found[0].kind == "made"
    )


def deed(one: Deed) -> wire.Deed:
    """Show a thing that was done to an agent."""
    of_budget = one.kind == "budget"
    return wire.Deed(
        at=iso(one.at_ns),
        kind=one.kind,
        actor=one.actor,
        hard_limit_usd=None if one.limit_nusd is None else format_usd(one.limit_nusd),
        granted_usd=format_usd(one.applied_nusd) if of_budget else None,
        ignored_usd=format_usd(one.ignored_nusd) if of_budget else None,
        taken_usd=format_usd(one.cut_nusd) if of_budget else None,
        spent_usd=format_usd(one.spent_nusd) if one.kind == "confirmed" else None,
        reason=one.reason or None,
    )


def daemon_budget(state: State, granted: Iterable[Event] = ()) -> wire.DaemonBudget:
    """Show the cap above all agents, and what a grant just `granted` added to it."""
    grant = next((event for event in granted if isinstance(event, DaemonLimitSet)), None)
    account = state.daemon
    remaining_nusd = account.remaining_nusd
    return wire.DaemonBudget(
        hard_limit_cents=None if account.limit_nusd is None else cents_floor(account.limit_nusd),
        remaining_cents=None if remaining_nusd is None else cents_floor(remaining_nusd),
        remaining_usd=None if remaining_nusd is None else format_usd(remaining_nusd),
        held_usd=format_usd(account.held_nusd),
        settled_usd=format_usd(account.settled_nusd),
        topup_applied_cents=cents_floor(grant.applied_nusd) if grant else None,
        topup_ignored_cents=cents_floor(grant.ignored_nusd) if grant else None,
        topup_applied_usd=format_usd(grant.applied_nusd) if grant else None,
        topup_ignored_usd=format_usd(grant.ignored_nusd) if grant else None,
    )


def unconfirmed(state: State) -> list[wire.Unconfirmed]:
    """Show the newest calls whose charge nobody has confirmed yet, newest first; at most a screen of them."""
    newest = islice(reversed(state.unconfirmed.values()), UNCONFIRMED_SHOWN)
    return [
        wire.Unconfirmed(
            call_id=ended.call_id,
            agent_id=ended.agent_id,
            agent_name=state.accounts[ended.agent_id].name or "",
            provider=ended.provider,
            model=ended.model,
            state=ended.outcome,
            cost_usd=format_usd(ended.cost_nusd),
            reason=ended.reason,
            ended_at=iso(ended.ended_ns),
        )
        for ended in newest
    ]
