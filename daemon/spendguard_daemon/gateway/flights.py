"""A call as the control API shows it while it may still be in flight: pure."""

import msgspec

from spendguard_daemon import shown, wire
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.ledger.views import CallView


def call(view: CallView, state: State, heard_ns: int | None, now: Now) -> wire.Call:
    """Show a call; of one in flight also whether its client is there and how long its provider is silent.

    `heard_ns` is when the provider was last heard of (monotonic), None before the call was sent: then it is
    silent since the hold.
    """
    told, in_flight = shown.call(view), state.open_calls.get(view.call_id)
    if in_flight is None:
        return told
    silent_ns = now.wall_ns - in_flight.held_ns if heard_ns is None else now.monotonic_ns - heard_ns
    return msgspec.structs.replace(
        told,
        attached=state.turns.attached(view.call_id),
        idle_seconds=max(0, silent_ns) // NS_PER_SECOND,
    )
