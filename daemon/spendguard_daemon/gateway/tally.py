"""What was counted since the daemon began, for `/metrics`: ends of calls, charges, refusals. In memory alone.

Owns no money and decides nothing. The ends of calls are those that the disk has.
"""

from collections import Counter

from spendguard_daemon.errors import Code
from spendguard_daemon.ledger import events as ev


class Tally:
    """Counts that only grow. `calls` are by agent and state, `charged_nusd` by agent.

    `refusals` count the errors that are ours among all answers; `durable_seq` is the last record that was
    heard of, 0 before the first.
    """

    def __init__(self) -> None:
        self.calls = Counter[tuple[str, str]]()
        self.charged_nusd = Counter[str]()
        self.refusals = Counter[Code]()
        self.durable_seq = 0

    def hear(self, event: ev.Event, seq: int, _: int) -> None:
        """Count a durable event of the ledger."""
        self.durable_seq = seq
        match event:
            case ev.Settle():
                self._end(event.agent_id, "settled", event.cost_nusd)
            case ev.SettleWorst():
                self._end(event.agent_id, "settled_worst", event.cost_nusd)
            case ev.Overrun():
                self._end(event.agent_id, "overrun", event.cost_nusd)
            case ev.Void():
                self._end(event.agent_id, "voided", 0)
            case ev.Refused():
                self.calls[event.agent_id, "refused"] += event.count
            case _:
                pass

    def copy(self) -> "Tally":
        """Return what was counted until now."""
        copied = Tally()
        copied.calls, copied.charged_nusd = self.calls.copy(), self.charged_nusd.copy()
        copied.refusals, copied.durable_seq = self.refusals.copy(), self.durable_seq
        return copied

    def _end(self, agent_id: str, state: str, cost_nusd: int) -> None:
        self.calls[agent_id, state] += 1
        self.charged_nusd[agent_id] += cost_nusd
