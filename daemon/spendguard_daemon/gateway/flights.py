"""A call as the control API shows it while it may still be in flight: pure."""

from typing import Protocol

import msgspec

from spendguard_daemon import shown, wire
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.ledger.views import CallView
from spendguard_daemon.wire import iso


class UnderWay(Protocol):
    """What is known of a call beside the ledger: when its provider was heard (monotonic), its end (wall)."""

    heard_ns: int
    ends_ns: int


def call(view: CallView, state: State, relay: UnderWay | None, now: Now) -> wire.Call:
    """Show a call; of one in flight also whether its client is there, how long its provider is silent, and
    when it is cut at the latest.

    `relay` is None before the hold is durable: the provider is silent since the hold then.
    """
    told, in_flight = shown.call(view), state.open_calls.get(view.call_id)
    if in_flight is None:
        return told
    silent_ns = now.wall_ns - in_flight.held_ns if relay is None else now.monotonic_ns - relay.heard_ns
    return msgspec.structs.replace(
        told,
        attached=state.turns.attached(view.call_id),
        idle_seconds=max(0, silent_ns) // NS_PER_SECOND,
        expires_at=None if relay is None else iso(relay.ends_ns),
    )
