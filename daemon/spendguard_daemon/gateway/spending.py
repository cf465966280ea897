"""What each agent spent lately, in steps: enough to draw a quarter of an hour. In memory alone.

Owns no money: its sums are for people, and a correction downwards counts as nothing. It is kept while nobody
looks too, so that who looks sees at once how fast money goes.
"""

from collections.abc import Iterable

from spendguard_daemon.feed_wire import SPEND_STEP_SECONDS, SPEND_STEPS
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.ledger.views import CallView

STEP_NS = SPEND_STEP_SECONDS * NS_PER_SECOND


class Spending:
    """The last SPEND_STEPS steps of every agent; steps are numbered since the epoch, by the wall clock."""

    def __init__(self, calls: Iterable[CallView] = ()) -> None:
        """Begin with what calls have cost that ended before the daemon began."""
        self._steps: dict[str, dict[int, int]] = {}
        for view in calls:
            if view.ended_ns is not None and view.cost_nusd:
                self._add(view.agent_id, view.cost_nusd, view.ended_ns)

    def hear(self, event: ev.Event, wall_ns: int) -> None:
        """Note what a durable event says to be spent."""
        match event:
            case ev.Settle() | ev.SettleWorst() | ev.Overrun():
                self._add(event.agent_id, event.cost_nusd, wall_ns)
            case ev.Adjust():
                self._add(event.agent_id, max(0, event.to_nusd - event.from_nusd), wall_ns)
            case ev.AgentDel():
                self._steps.pop(event.agent_id, None)
            case _:
                pass

    def of(self, agent_id: str, now_ns: int) -> list[int]:
        """Return an agent's steps (nUSD), oldest first, from the first one on in which it spent."""
        known, last = self._steps.get(agent_id, {}), now_ns // STEP_NS
        steps = [known.get(step, 0) for step in range(last - SPEND_STEPS + 1, last + 1)]
        first = next((place for place, nusd in enumerate(steps) if nusd), len(steps))
        return steps[first:]

    def _add(self, agent_id: str, nusd: int, wall_ns: int) -> None:
        step, steps = wall_ns // STEP_NS, self._steps.setdefault(agent_id, {})
        steps[step] = steps.get(step, 0) + nusd
        if len(steps) > SPEND_STEPS:
            del steps[min(steps)]
