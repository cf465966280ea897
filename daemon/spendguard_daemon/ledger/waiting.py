"""Calls that wait for held money: one queue for each agent, first come, first served. Decides nothing."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from spendguard_daemon.ledger.commands import HoldCall
from spendguard_daemon.ledger.events import Hold

Granted = tuple[Hold, int]
"""A hold that was decided, and the seq that must be durable before the call may leave."""


@dataclass(eq=False, slots=True)
class Waiter:
    """One waiting call; `granted` resolves to its hold, or to the refusal that ended its wait."""

    command: HoldCall
    ticket: int
    granted: asyncio.Future[Granted]


@dataclass(slots=True)
class Waiting:
    """The queues. A waiter whose future is done has left its queue."""

    queues: dict[str, deque[Waiter]] = field(default_factory=dict)
    tickets: int = 0

    def join(self, command: HoldCall, granted: asyncio.Future[Granted]) -> Waiter:
        """Put a call at the end of its agent's queue."""
        self.tickets += 1
        waiter = Waiter(command, self.tickets, granted)
        self.queues.setdefault(command.agent_id, deque()).append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Take a call out of its queue, wherever it stands."""
        queue = self.queues[waiter.command.agent_id]
        queue.remove(waiter)
        if not queue:
            del self.queues[waiter.command.agent_id]

    def first(self, agent_id: str) -> Waiter | None:
        """Return the call whose turn it is."""
        queue = self.queues.get(agent_id)
        return queue[0] if queue else None

    def agents(self) -> list[str]:
        """Return the agents with waiting calls, the one whose first call waits longest first."""
        return sorted(self.queues, key=lambda agent_id: self.queues[agent_id][0].ticket)

    def refuse_all(self, error: Exception) -> None:
        """End every wait with `error`."""
        for queue in self.queues.values():
            for waiter in queue:
                waiter.granted.set_exception(error)
        self.queues.clear()
