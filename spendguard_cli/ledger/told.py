"""A moment of the past in the shapes of the live feed, so that the same board and screens show it. Pure.

What was never written is said to be unknown, not made up: when a lock had to end, how far an answer had come,
which calls waited, and all of a price document but its hash, number and signer.
"""

from collections.abc import Iterator

import msgspec

from spendguard_cli.ledger.moment import NS_PER_SECOND, Change, Moment
from spendguard_cli.watch.rates import Spend
from spendguard_daemon import shown, wire
from spendguard_daemon.feed_wire import (
    SPEND_STEP_SECONDS,
    SPEND_STEPS,
    Event,
    Money,
    Snapshot,
    Standing,
    Totals,
)
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.deeds import Deed
from spendguard_daemon.ledger.state import Account
from spendguard_daemon.ledger.views import CallView
from spendguard_daemon.money import format_usd
from spendguard_daemon.wire import iso

EPOCH = "past"

PRICES_NOT_WRITTEN = (
    "The journal tells the document's hash, number and signer, and when it was accepted (here as its age);"
    " not when it was issued or expires, nor its models"
)


def snapshot(moment: Moment, at_ns: int) -> Snapshot:
    """Return all there is to see at `at_ns`, which is not before the moment's last record."""
    now = Now(at_ns, at_ns)
    accounts = [account for account in moment.state.accounts.values() if not account.deleted]
    return Snapshot(
        epoch=EPOCH,
        seq=moment.seq,
        at=iso(at_ns),
        status=_status(moment, at_ns),
        totals=_totals(moment),
        agents=[
            Standing(
                agent=shown.agent(account, moment.state, now),
                money=_money(account, moment, now),
                spent_usd=_spent_usd(moment.spends.get(account.agent_id), at_ns),
            )
            for account in accounts
        ],
        calls=[shown.call(view) for view in reversed(moment.calls.values())],
        ended=[_call(view) for view in reversed(moment.ended.values())],
    )


def events(moment: Moment, changes: tuple[Change, ...]) -> Iterator[Event]:
    """Yield what the record just followed changed, as it stands now."""
    first_seq = moment.seq - len(changes) + 1
    for number, change in enumerate(changes):
        yield _event(moment, change, first_seq + number)


def _event(moment: Moment, change: Change, seq: int) -> Event:
    now = Now(moment.wall_ns, moment.wall_ns)
    account = moment.state.accounts.get(change.agent_id or "")
    view = moment.calls.get(change.call_id or "") or moment.ended.get(change.call_id or "")
    of_daemon = change.kind in ("price", "totals")
    return Event(
        seq=seq,
        at=iso(moment.wall_ns),
        kind=change.kind,
        agent_id=change.agent_id,
        money=_money(account, moment, now) if account else None,
        call=_call(view) if view else None,
        agent=shown.agent(account, moment.state, now) if account and change.kind == "agent" else None,
        deleted=change.deleted,
        status=_status(moment, moment.wall_ns) if of_daemon else None,
        totals=_totals(moment),
        actor=change.actor,
    )


class Doings:
    """Tells what was done to agents at one moment after the other: of each anew only where it has changed."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[tuple[Deed, ...], wire.Deeds]] = {}

    def at(self, moment: Moment) -> dict[str, wire.Deeds]:
        """Return what was done to each agent, as far as the journal that is there tells it."""
        before, self._told = self._told, {}
        for agent_id in moment.deeds.agents():
            deeds, known = moment.deeds.of(agent_id), before.get(agent_id)
            if known is None or known[0] is not deeds:
                known = (deeds, shown.deeds(deeds))
            self._told[agent_id] = known
        return {agent_id: told for agent_id, (_, told) in self._told.items()}


def _call(view: CallView | wire.Call) -> wire.Call:
    return shown.call(view) if isinstance(view, CallView) else view


def _money(account: Account, moment: Moment, now: Now) -> Money:
    money = shown.money(account, moment.state, now, moment.refusals[account.agent_id], 0)
    return msgspec.structs.replace(money, locked_expires_at=None)


def _spent_usd(spend: Spend | None, at_ns: int) -> list[str]:
    """Return the steps of the last fifteen minutes, oldest first, without those before the first spending."""
    if spend is None:
        return []
    passed = min(max(0, at_ns // NS_PER_SECOND // SPEND_STEP_SECONDS - spend.step), SPEND_STEPS)
    steps = spend.steps[passed:] + [0] * passed
    first = next((place for place, nusd in enumerate(steps) if nusd), len(steps))
    return [format_usd(nusd) for nusd in steps[first:]]


def _totals(moment: Moment) -> Totals:
    state = moment.state
    return Totals(
        state="up" if moment.up else "down",
        agents=sum(not account.deleted for account in state.accounts.values()),
        calls_in_flight=len(state.open_calls),
        calls_waiting=0,
        refusals=moment.refusals.total(),
        cap=shown.daemon_budget(state),
        unconfirmed_usd=format_usd(state.unconfirmed_nusd),
        unconfirmed_calls=state.unconfirmed_calls,
        unconfirmed=shown.unconfirmed(state),
    )


def _status(moment: Moment, at_ns: int) -> wire.Status:
    state, totals = moment.state, _totals(moment)
    return wire.Status(
        state=totals.state,
        version=moment.opened.version if moment.opened else "",
        pid=0,
        started_at=iso(moment.opened_ns) if moment.opened else "",
        home="",
        addresses=[],
        pricing=_pricing(moment, at_ns),
        providers=[],
        daemon_budget=shown.daemon_budget(state),
        agents=totals.agents,
        calls_in_flight=totals.calls_in_flight,
        unconfirmed_usd=totals.unconfirmed_usd,
        unconfirmed_calls=totals.unconfirmed_calls,
        settled_at_worst_at_start=0,
        warnings=[],
        unconfirmed=totals.unconfirmed,
    )


def _pricing(moment: Moment, at_ns: int) -> wire.Pricing | None:
    """Return what was written of the price document in force; None before the first."""
    prices = moment.state.prices
    if prices is None:
        return None
    age_ns = at_ns - moment.prices_ns if moment.prices_ns else 0
    return wire.Pricing(
        document_sha256=prices.document_sha256,
        sequence=prices.sequence,
        key_id=prices.key_id,
        self_signed=False,
        issued_at="",
        expires_at="",
        age_seconds=age_ns // NS_PER_SECOND,
        source=prices.source,
        key_ids=[],
        warnings=[PRICES_NOT_WRITTEN],
        models=[],
    )
