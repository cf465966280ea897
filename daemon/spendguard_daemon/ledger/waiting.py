"""Calls that wait: for money that others hold, for a top-up, for a lock. Who is tried when, in which order.

Decides no money: `grant` does. Rules: calls are tried in the order in which they came, whenever something of
their agent changed (of any agent, where all share a cap). One that waits for held money is passed by no later
call of its agent; one that waits for a top-up or for a lock is passed by those that fit. A lock may change by
time alone (`turns`), so calls that wait for one are also tried once a second, which keeps their claims alive;
and a key may end by time alone, so a call that came with one is tried then.
Lives on the event loop and as long as the process; nothing of it is journaled.
"""

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.commands import HoldCall, Now
from spendguard_daemon.ledger.events import Hold
from spendguard_daemon.ledger.times import NS_PER_SECOND

LOOK_AGAIN_SECONDS = 1.0
"""How often calls that wait for a lock are tried; grace periods and claims live longer by far."""

HELD = frozenset({Code.BUDGET_HELD})
"""What every call waits for, if only for a short while."""

TOO_LITTLE = frozenset({Code.INSUFFICIENT_BUDGET, Code.BUDGET_NOT_SET, Code.DAEMON_CAP})
"""What only an operator mends: no call that ends leaves more than remained before."""

MENDABLE = HELD | TOO_LITTLE | {Code.BUDGET_LOCKED}
"""What a call that was asked to wait waits for: refusals that an operator or another call's end may mend."""

WAITING_MAX, WAITING_OF_AGENT_MAX = 512, 128
"""Calls that were asked to wait, of all agents and of one. Each keeps a connection for minutes, and costs its
agent nothing: there must be as much room again for those that do not wait."""

Granted = tuple[Hold, int]
"""A hold that was decided, and the seq that must be durable before the call may leave."""


class Grant(Protocol):
    """Decide a hold now, or raise its refusal; `queued`: an earlier call waits for held money."""

    def __call__(self, command: HoldCall, *, queued: bool) -> Granted:
        """Return the hold and its seq."""


class Waiter:
    """One waiting call; `granted` resolves to its hold, or to the refusal that ended its wait.

    `refused` is the latest refusal, which says what it waits for; `until_ns` (wall) when it gives up.
    """

    __slots__ = ("command", "granted", "refused", "since", "ticket", "until_ns")

    def __init__(self, command: HoldCall, refused: SpendGuardError, since: Now, seconds: float, ticket: int):
        self.command, self.refused, self.since, self.ticket = command, refused, since, ticket
        self.until_ns = since.wall_ns + int(seconds * NS_PER_SECOND)
        self.granted: asyncio.Future[Granted] = asyncio.get_running_loop().create_future()

    @property
    def bars(self) -> bool:
        """Whether no later call of its agent may pass. What only its key holds is no matter of the others."""
        return self.refused.code is Code.BUDGET_HELD and self.refused.facts.get("budget") != "key"

    @property
    def wants_lock(self) -> bool:
        """Whether it waits for its agent's lock."""
        return self.refused.code is Code.BUDGET_LOCKED


class Waiting:
    """The queues, one for each agent. A waiter whose future is done has left its queue."""

    def __init__(
        self,
        grant: Grant,
        abandon: Callable[[Hold], None],
        locked_out: Callable[[HoldCall], bool],
        ends_ns: Callable[[HoldCall], int | None],
        now: Callable[[], Now],
    ) -> None:
        self._grant, self._abandon, self._locked_out, self._now = grant, abandon, locked_out, now
        self._ends_ns = ends_ns
        self._most, self._most_of_agent = WAITING_MAX, WAITING_OF_AGENT_MAX
        self._queues: dict[str, dict[int, Waiter]] = {}
        self._tickets = 0
        self._timer: asyncio.TimerHandle | None = None
        self._refused: SpendGuardError | None = None

    def __bool__(self) -> bool:
        """Tell whether anybody waits."""
        return bool(self._queues)

    def all(self) -> list[Waiter]:
        """Return everyone who waits, the longest waiting first."""
        return sorted(
            (waiter for queue in self._queues.values() for waiter in queue.values()), key=_ticket_of
        )

    def of(self, agent_id: str) -> list[Waiter]:
        """Return the waiting calls of an agent in their order."""
        return list(self._queues.get(agent_id, {}).values())

    def bars(self, agent_id: str) -> bool:
        """Tell whether a new call of an agent must stand in line, behind one that waits for held money."""
        return any(waiter.bars for waiter in self._queues.get(agent_id, {}).values())

    def wants_lock(self, agent_id: str) -> bool:
        """Tell whether any call of an agent waits for its lock."""
        return any(waiter.wants_lock for waiter in self._queues.get(agent_id, {}).values())

    async def wait(self, command: HoldCall, refused: SpendGuardError, held_seconds: float) -> Granted:
        """Wait as long as the command asks, or `held_seconds` for held money; raise the refusal in the end.

        A caller that is cancelled leaves no hold behind.
        """
        seconds = held_seconds if command.wait_seconds is None else command.wait_seconds
        if seconds <= 0 or refused.code not in _mended_by_waiting(command):
            raise refused
        if self._refused is not None:
            raise self._refused
        if command.wait_seconds is not None and self._is_full(command.agent_id):
            refused.detail += "; it did not wait, as too many calls do"
            raise refused
        waiter = self._join(command, refused, seconds)
        try:
            await self._wait(waiter, seconds)
        except asyncio.CancelledError:
            if not waiter.granted.done():
                self._leave(waiter)
            elif waiter.granted.exception() is None:
                self._abandon(waiter.granted.result()[0])
            raise
        if not waiter.granted.done():
            self._look(waiter)
        if not waiter.granted.done():
            self._leave(waiter)
            raise _out_of_time(waiter)
        return waiter.granted.result()

    def serve(self, agent_ids: Collection[str] | None, *, all_of_them: bool = False) -> None:
        """Try the waiting calls of some agents, or of all, in the order in which they came.

        Without `all_of_them` only those whom a call that ends, or lets go of its lock, can help: not those
        behind one that waits on for held money, nor those for whom there is too little, or a lock in the way.
        With it all are tried, to hear what has become of their agent, key or lock; those behind get nothing.
        """
        barred: set[str] = set()
        known = self._queues if agent_ids is None else agent_ids
        lines = [self._line(agent_id, barred, all_of_them=all_of_them) for agent_id in list(known)]
        for waiter in heapq.merge(*lines, key=_ticket_of):
            agent_id = waiter.command.agent_id
            if not all_of_them and self._beyond_help(waiter):
                continue
            self._try(waiter, queued=agent_id in barred)
            if not waiter.granted.done() and waiter.bars:
                barred.add(agent_id)

    def refuse_all(self, error: SpendGuardError) -> None:
        """End every wait, and those to come, with an error."""
        self._refused = error
        for waiter in self.all():
            self._remove(waiter)
            waiter.granted.set_exception(error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def limit(self, most: int, most_of_agent: int) -> None:
        """Set how many calls that were asked to wait may do so, of all agents and of one."""
        self._most, self._most_of_agent = most, most_of_agent

    def _is_full(self, agent_id: str) -> bool:
        of_agent = len(self._queues.get(agent_id, ()))
        return of_agent >= self._most_of_agent or sum(map(len, self._queues.values())) >= self._most

    def _line(self, agent_id: str, barred: Collection[str], *, all_of_them: bool) -> Iterator[Waiter]:
        for waiter in self.of(agent_id):
            if agent_id in barred and not all_of_them:
                return
            yield waiter

    def _beyond_help(self, waiter: Waiter) -> bool:
        return waiter.refused.code in TOO_LITTLE or (waiter.wants_lock and self._locked_out(waiter.command))

    async def _wait(self, waiter: Waiter, seconds: float) -> None:
        """Return when a call was served, or its time is over; it ends with its key, and bars nobody then."""
        ends_ns = self._ends_ns(waiter.command)
        if ends_ns is not None:
            lives_seconds = (ends_ns - self._now().wall_ns) / NS_PER_SECOND + LOOK_AGAIN_SECONDS
            if lives_seconds < seconds:
                await asyncio.wait((waiter.granted,), timeout=lives_seconds)
                if not waiter.granted.done() and self._now().wall_ns >= ends_ns:
                    self._look(waiter)
                seconds -= lives_seconds
        if not waiter.granted.done():
            await asyncio.wait((waiter.granted,), timeout=seconds)

    def _look(self, waiter: Waiter) -> None:
        """Let a call hear what is in its way now: time alone may free a lock, and end a key."""
        wanted_lock, barred = waiter.wants_lock, waiter.bars
        self._try(waiter, queued=True)
        ended = waiter.granted.done()
        if (barred and ended) or (wanted_lock and not ended and not waiter.wants_lock):
            self.serve((waiter.command.agent_id,))

    def _try(self, waiter: Waiter, *, queued: bool) -> None:
        try:
            granted = self._grant(waiter.command, queued=queued)
        except SpendGuardError as refused:
            if refused.code in _mended_by_waiting(waiter.command):
                self._wait_on(waiter, refused)
                return
            waiter.granted.set_exception(refused)
        else:
            waiter.granted.set_result(granted)
        self._remove(waiter)

    def _join(self, command: HoldCall, refused: SpendGuardError, seconds: float) -> Waiter:
        self._tickets += 1
        waiter = Waiter(command, refused, self._now(), seconds, self._tickets)
        self._queues.setdefault(command.agent_id, {})[waiter.ticket] = waiter
        self._wait_on(waiter, refused)
        return waiter

    def _wait_on(self, waiter: Waiter, refused: SpendGuardError) -> None:
        waiter.refused = refused
        if waiter.wants_lock and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_AGAIN_SECONDS, self._look_again)

    def _remove(self, waiter: Waiter) -> None:
        queue = self._queues[waiter.command.agent_id]
        del queue[waiter.ticket]
        if not queue:
            del self._queues[waiter.command.agent_id]

    def _leave(self, waiter: Waiter) -> None:
        """Take a call out of its queue; the one behind it may be smaller, and fit."""
        self._remove(waiter)
        if waiter.bars:
            self.serve((waiter.command.agent_id,))

    def _look_again(self) -> None:
        self._timer = None
        self.serve([agent_id for agent_id in self._queues if self.wants_lock(agent_id)], all_of_them=True)


def _mended_by_waiting(command: HoldCall) -> frozenset[Code]:
    return HELD if command.wait_seconds is None else MENDABLE


def _out_of_time(waiter: Waiter) -> SpendGuardError:
    """Return the refusal of a call that has waited to the end.

    One that was asked to wait says for how long. What others held all the while is not worth another try.
    """
    refused, facts = waiter.refused, waiter.refused.facts
    seconds = waiter.command.wait_seconds
    if seconds is None:
        return refused
    tried = facts.get("waited_seconds")
    facts["waited_seconds"] = max(seconds, tried) if isinstance(tried, int) else seconds
    refused.detail += f"; it waited {seconds} s for that to change"
    if refused.code is Code.BUDGET_HELD:
        facts["worth_waiting"] = False
        facts.pop("retry_after_ms", None)
    return refused


def _ticket_of(waiter: Waiter) -> int:
    return waiter.ticket
