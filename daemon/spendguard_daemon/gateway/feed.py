"""The feed, `GET /v1/events`: what happens, as it happens, to whoever watches (design 5.8 and 6).

What happens is noted in a few words at once and told later, in flushes of FLUSH_SECONDS, with the state as it
stands then; a listener is a cursor into what was told. Invariants: no call ever waits for the feed or for who
listens to it; of one life of the daemon the `seq` of each event is one more than that of the one before; who
has all events since a snapshot knows what is so. While nobody listens, and for some time before, nothing is
noted but what agents spend. In memory alone, on the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from spendguard_daemon import feed_wire, wire
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.feed_wire import FLUSH_SECONDS, Event, Kind
from spendguard_daemon.gateway.feed_ring import Ring
from spendguard_daemon.gateway.feed_shapes import Shapes
from spendguard_daemon.gateway.feed_turns import Rounds
from spendguard_daemon.gateway.spending import Spending
from spendguard_daemon.gateway.views import Condition
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.history import CALLS_MAX
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.refusals import Refusal
from spendguard_daemon.ports import Clock, Rng
from spendguard_daemon.wire import iso

LISTENERS_MAX = 16
KEPT_SECONDS = 60.0
"""For so long after the last listener left all is noted on, so that it can go on where it was."""

WRITE_SECONDS = 30.0
"""Who takes nothing for so long is let go."""

AGENTS_AT_ONCE = 25
"""So many agents of a snapshot are shown in one turn of the loop, which calls share."""

REFUSALS_AT_ONCE = 20
"""Of one agent; a program that is refused in a loop has its refusals counted, and its last ones told."""

Write = Callable[[bytes], Awaitable[None]]


class Feed:
    """One per daemon. `hear` and `refused` are told what happens, `listen` serves one listener."""

    def __init__(self, shapes: Shapes, spending: Spending, epoch: str) -> None:
        self._shapes, self._spending, self._ring = shapes, spending, Ring(epoch)
        self._rounds = Rounds(shapes)
        self._noted: dict[tuple[Kind, str], ev.Event] = {}
        self._refused: dict[str, deque[str]] = {}
        self._listeners = 0
        self._teller: asyncio.Task[None] | None = None
        self._news, self._closed = asyncio.Event(), False

    @classmethod
    def of(
        cls,
        *,
        ledger: Ledger,
        guard: Guard,
        clock: Clock,
        rng: Rng,
        status: Callable[[], wire.Status],
        condition: Callable[[], Condition],
    ) -> "Feed":
        """Make the feed of a daemon, and begin to hear what happens."""
        shapes = Shapes(ledger=ledger, guard=guard, clock=clock, status=status, condition=condition)
        feed = cls(shapes, Spending(ledger.history.latest(CALLS_MAX)), rng.uuid4())
        ledger.subscribe(feed.hear)
        ledger.subscribe_refusals(feed.refused)
        return feed

    # -- what happens -----------------------------------------------------------------------------------

    def hear(self, event: ev.Event, _: int, wall_ns: int) -> None:
        """Note a durable event of the ledger."""
        self._spending.hear(event, wall_ns)
        if isinstance(event, ev.AgentNew | ev.AgentDel):
            self._shapes.recount_agents()
        if isinstance(event, ev.AgentDel):
            del self._shapes.refusals[event.agent_id]
        if self._teller is None:
            return
        kind = _kind(event)
        if kind is not None:
            of = f"{ev.agent_of(event)} {type(event).__name__}"
            of = event.call_id if isinstance(event, ev.CallEvent) else of
            self._noted.pop((kind, of), None)  # told once, in the order of the last time
            self._noted[kind, of] = event

    def refused(self, refusal: Refusal) -> None:
        """Note a call that got no hold."""
        self._shapes.count_refusal(refusal.agent_id)
        if self._teller is not None:
            of_agent = self._refused.setdefault(refusal.agent_id, deque(maxlen=REFUSALS_AT_ONCE))
            of_agent.append(refusal.call_id)

    # -- who listens ------------------------------------------------------------------------------------

    async def listen(self, last_id: str, write: Write) -> None:
        """Tell one listener all there is until it leaves or the daemon ends.

        `last_id` is the id of the last message that it has, empty for none. Raises CONNECTIONS_FULL where
        there are enough listeners, and TimeoutError where this one takes nothing.
        """
        self.check_room()
        self._listeners += 1
        try:
            if self._teller is None and not self._closed:
                self._ring.forget()
                self._teller = asyncio.create_task(self._tell_on(), name="feed")
            await self._listen(last_id, write)
        finally:
            self._listeners -= 1

    def check_room(self) -> None:
        """Raise CONNECTIONS_FULL where there are enough listeners."""
        if self._listeners >= LISTENERS_MAX:
            raise SpendGuardError(
                Code.CONNECTIONS_FULL, f"Too many connections: {LISTENERS_MAX} listen to the feed already"
            )

    def close(self) -> None:
        """Tell what there is and let all listeners go: the daemon ends."""
        self._closed = True
        if self._teller is not None:
            self._teller.cancel()
            self._flush(all_of_it=True)
        self._news.set()

    async def _listen(self, last_id: str, write: Write) -> None:
        seq = self._ring.resume(last_id)
        while True:
            if seq is None or not self._ring.holds(seq):
                seq = await self._tell_all(write)
            news = self._news
            told, seq = self._ring.after(seq)
            if told:
                await _write(write, told)
            elif self._closed:
                return
            else:
                await news.wait()

    async def _tell_all(self, write: Write) -> int:
        """Write a snapshot, made in turns with the calls; what changes meanwhile is told again after it."""
        shapes, seq, agents = self._shapes, self._ring.seq, list[feed_wire.Standing]()
        now, status = shapes.now(), shapes.status()
        for place, agent_id in enumerate(list(shapes.agents())):
            if place % AGENTS_AT_ONCE == AGENTS_AT_ONCE - 1:
                await asyncio.sleep(0)
                now = shapes.now()
            account = shapes.account(agent_id)
            if account is not None:
                agents.append(shapes.standing(account, self._spending, now))
        snapshot = feed_wire.Snapshot(
            epoch=self._ring.epoch,
            seq=seq,
            at=iso(now.wall_ns),
            status=status,
            totals=shapes.totals(),
            agents=agents,
            calls=shapes.in_flight(now),
            progress=shapes.all_progress(now),
            ended=shapes.ended(),
        )
        self._rounds.begin(snapshot)
        await _write(write, self._ring.snapshot(snapshot))
        return seq

    # -- telling ----------------------------------------------------------------------------------------

    async def _tell_on(self) -> None:
        """Tell what was noted, a few times a second, as long as anybody listens and for a while after."""
        left_seconds = KEPT_SECONDS
        try:
            while left_seconds > 0:
                await asyncio.sleep(FLUSH_SECONDS)
                left_seconds = KEPT_SECONDS if self._listeners else left_seconds - FLUSH_SECONDS
                self._flush()
        finally:  # also where it fails: who listens hears nothing, comes again, and then it begins anew
            self._teller = None
            self._noted.clear()
            self._refused.clear()

    def _flush(self, *, all_of_it: bool = False) -> None:
        now, before = self._shapes.now(), self._ring.seq
        noted, self._noted = self._noted, {}
        refused, self._refused = self._refused, {}
        money: dict[str, feed_wire.Money] = {}
        for (kind, of), event in noted.items():
            self._tell(self._event(kind, of, event, now), now, money)
        for agent_id, call_ids in refused.items():
            for call_id in call_ids:
                call = self._shapes.call(call_id, now)
                self._tell({"kind": "refused", "agent_id": agent_id, "call": call}, now, money)
        for fields in self._rounds.due(now, all_of_it=all_of_it):
            self._tell(fields, now, money)
        if self._ring.seq != before:
            news, self._news = self._news, asyncio.Event()
            news.set()

    def _event(self, kind: Kind, of: str, event: ev.Event, now: Now) -> dict[str, object]:
        """Return what an event says beside its agent's money."""
        agent_id = ev.agent_of(event)
        fields: dict[str, object] = {"kind": kind, "agent_id": agent_id}
        if isinstance(event, ev.CallEvent):
            fields["call"] = self._shapes.call(of, now)
        elif kind == "price":
            fields["status"] = self._shapes.status()
        elif kind == "totals":
            fields["totals"] = self._shapes.totals()
        actor = getattr(event, "actor", None)
        return fields | ({"actor": actor} if isinstance(actor, str) else {})

    def _tell(self, fields: dict[str, object], now: Now, money: dict[str, feed_wire.Money]) -> None:
        """Tell one event; the money of an agent is reckoned once in a flush."""
        agent_id = fields.get("agent_id")
        if isinstance(agent_id, str):
            account = self._shapes.account(agent_id)
            if account is None:
                kept: dict[str, object] = {name: fields[name] for name in ("call", "actor") if name in fields}
                kind = fields["kind"] if "call" in kept else "agent"
                fields = {"kind": kind, "agent_id": agent_id, "deleted": True, **kept}
            else:
                if agent_id not in money:
                    money[agent_id] = self._shapes.money(account, now)
                    self._rounds.told(agent_id, money[agent_id])
                fields["money"] = money[agent_id]
                if fields["kind"] == "agent":
                    fields["agent"] = self._shapes.agent(account, now)
        self._ring.tell(Event(seq=self._ring.seq + 1, at=iso(now.wall_ns), **fields))  # type: ignore[arg-type]


async def _write(write: Write, data: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await write(data)


def _kind(event: ev.Event) -> Kind | None:
    """Return as what an event of the ledger is told, None for one that nobody needs to see."""
    match event:
        case ev.Hold() | ev.Sent():  # told once, unless the former was told before the latter came
            return "hold"
        case ev.Settle() | ev.SettleWorst() | ev.Void() | ev.Overrun():
            return "end"
        case ev.Adjust():
            return "adjust"
        case ev.DaemonLimitSet():
            return "totals"
        case ev.PriceAccept():
            return "price"
        case ev.Refused() | ev.Open() | ev.Close() | ev.Torn() | ev.Checkpoint() | ev.Restored():
            return None
        case _:
            return "agent"
