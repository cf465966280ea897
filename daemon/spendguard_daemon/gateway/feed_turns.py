"""What changes with no event of the ledger: answers that go on, calls that wait, locks, prices, the sums.

Looked at in rounds while somebody listens, each as often as it is worth.
"""

from collections.abc import Iterator

from spendguard_daemon import feed_wire, wire
from spendguard_daemon.feed_wire import TOTALS_SECONDS_MAX
from spendguard_daemon.gateway.feed_shapes import Shapes, Waits
from spendguard_daemon.gateway.views import Condition
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.times import NS_PER_SECOND

PROGRESS_NS = NS_PER_SECOND // 2
ROUND_NS = NS_PER_SECOND
STILL_NS = 5 * NS_PER_SECOND
"""How often the answers that do not go on are told of, so that it is seen for how long."""

Fields = dict[str, object]

NOBODY: Waits = (0, [])


class Rounds:
    """What was told last of all that must be looked at. `due` says what is other now."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._locked: dict[str, str] = {}
        self._waiting: dict[str, Waits] = {}
        self._progress: dict[str, feed_wire.Progress] = {}
        self._totals: feed_wire.Totals | None = None
        self._pricing: tuple[object, ...] | None = None
        self._doubted: set[str] = set()
        self._progress_ns = self._round_ns = self._still_ns = self._totals_ns = 0

    def begin(self, snapshot: feed_wire.Snapshot) -> None:
        """Note what a snapshot has told one listener.

        Where that is other than what was told to all before, it is told again to all in the next round, even
        if by then it is again what was told first.
        """
        for one in snapshot.agents:
            agent_id = one.agent.agent_id
            if one.money.locked_run_id is not None:  # who heard of an earlier lock is to hear of its end
                self._locked.setdefault(agent_id, one.money.locked_run_id)
            if (one.money.calls_waiting, one.agent.waiting) != self._waiting.get(agent_id, NOBODY):
                self._doubted.add(agent_id)
        seen = _worth(snapshot.status)
        self._pricing = seen if self._pricing in (None, seen) else ()

    def told(self, agent_id: str, money: feed_wire.Money) -> None:
        """Note what was told of an agent."""
        self._locked.pop(agent_id, None)
        if money.locked_run_id is not None:
            self._locked[agent_id] = money.locked_run_id

    def due(self, now: Now, *, all_of_it: bool) -> Iterator[Fields]:
        """Yield what is other than it was told, as far as it is time to look; all with `all_of_it`."""
        now_ns = now.monotonic_ns
        yield from self._of_waiting()
        if all_of_it or now_ns - self._progress_ns >= PROGRESS_NS:
            self._progress_ns = now_ns
            yield from self._of_progress(now)
        if all_of_it or now_ns - self._round_ns >= ROUND_NS:
            self._round_ns = now_ns
            yield from self._of_locks(now)
            yield from self._of_prices()
            yield from self._of_totals(now_ns)

    def _of_waiting(self) -> Iterator[Fields]:
        shown = self._shapes.all_waiting()
        before, self._waiting = self._waiting, shown
        doubted, self._doubted = self._doubted, set()
        for agent_id in dict.fromkeys([*shown, *before, *doubted]):
            waits = shown.get(agent_id, NOBODY)
            if agent_id in doubted or waits != before.get(agent_id, NOBODY):
                yield {"kind": "waiting", "agent_id": agent_id, "waiting": waits[1]}

    def _of_progress(self, now: Now) -> Iterator[Fields]:
        still = now.monotonic_ns - self._still_ns >= STILL_NS
        if still:
            self._still_ns = now.monotonic_ns
        told = {one.call_id: one for one in self._shapes.all_progress(now)}
        before, self._progress = self._progress, told
        other = [one for one in told.values() if still or _moved(before.get(one.call_id), one)]
        if other:
            yield {"kind": "progress", "progress": other}

    def _of_locks(self, now: Now) -> Iterator[Fields]:
        for agent_id, run_id in list(self._locked.items()):
            account = self._shapes.account(agent_id)
            if account is not None and self._shapes.money(account, now).locked_run_id != run_id:
                yield {"kind": "lock", "agent_id": agent_id}

    def _of_prices(self) -> Iterator[Fields]:
        seen = _worth(self._shapes.condition())
        if self._pricing is not None and seen != self._pricing:
            yield {"kind": "price", "status": self._shapes.status()}
        self._pricing = seen

    def _of_totals(self, now_ns: int) -> Iterator[Fields]:
        totals = self._shapes.totals()
        if totals != self._totals or now_ns - self._totals_ns >= TOTALS_SECONDS_MAX * NS_PER_SECOND:
            self._totals, self._totals_ns = totals, now_ns
            yield {"kind": "totals", "totals": totals}


def _worth(status: wire.Status | Condition) -> tuple[object, ...]:
    """Return what of the daemon's status is worth a word when it changes."""
    shown = status.pricing
    known = shown and (shown.document_sha256, shown.last_error, shown.next_refresh_at, shown.expires_at)
    return known, tuple(status.warnings), status.state


def _moved(before: feed_wire.Progress | None, now: feed_wire.Progress) -> bool:
    """Tell whether an answer went on, or lost its client."""
    return before is None or (before.answer_bytes, before.attached) != (now.answer_bytes, now.attached)
