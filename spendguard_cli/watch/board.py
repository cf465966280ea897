"""All that is known of agents, calls, prices and the daemon, as it was told last. Pure.

The invariant of `watch`: what is shown was told by the source, each thing as of the event with the greatest
`seq` about it; where the source is silent or contradicts itself the board says so, it never guesses. Owns no
clock: `local_seconds` is handed in with each message, and the time that ages are reckoned by is the source's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.deeds import Deed, note
from spendguard_cli.watch.messages import Away, Happened, Message, Snapped
from spendguard_cli.watch.rates import Spend
from spendguard_daemon import wire
from spendguard_daemon.feed_wire import Event, Money, Progress, Snapshot, Totals

ENDED_MAX = 2_000
"""How many ended and refused calls are kept, of all agents; the oldest go first."""

Link = Literal["connecting", "live", "away", "past"]


@dataclass(slots=True)
class Row:
    """One agent. `seq` is that of the event that told `money`; `settings_seq` of what told `agent`.

    `deeds` are what people did to it since the last snapshot, the newest last.
    """

    agent: wire.Agent
    money: Money
    spend: Spend
    waiting: list[wire.Waiting]
    seq: int
    settings_seq: int
    waiting_seq: int
    deeds: list[Deed] = field(default_factory=list)


@dataclass(slots=True)
class Flight:
    """A call in flight, and how far its answer has come."""

    call: wire.Call
    progress: Progress | None
    seq: int


@dataclass(slots=True)
class Board:
    """What is known. Read it freely; only `hear` changes it.

    `link` tells whether the source is heard now, and `why` and `remedy` if not; `version` grows with each
    change, so that who draws knows whether there is anything new.
    """

    link: Link = "connecting"
    why: str = ""
    remedy: str = ""
    version: int = 0
    epoch: str = ""
    seq: int = 0
    status: wire.Status | None = None
    totals: Totals | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    flights: dict[str, Flight] = field(default_factory=dict)
    ended: dict[str, wire.Call] = field(default_factory=dict)
    at_seconds: float = 0.0
    heard_seconds: float = 0.0
    _ended_seq: dict[str, int] = field(default_factory=dict)
    _gone: dict[str, int] = field(default_factory=dict)
    _totals_seq: int = 0
    _status_seq: int = 0

    def hear(self, message: Message, local_seconds: float) -> None:
        """Take up a message that came at `local_seconds` (monotonic)."""
        self.version += 1
        match message:
            case Snapped(snapshot):
                self._take(snapshot)
            case Happened(events):
                self._happen(events)
            case Away(why, remedy):
                if self.link != "past":
                    self.link, self.why, self.remedy = "away", why, remedy
                return
        self.heard_seconds = local_seconds
        if self.link != "past":
            self.link, self.why, self.remedy = "live", "", ""

    def now_seconds(self, local_seconds: float) -> float:
        """Return the source's time now (seconds since the epoch); it stands still while it is away."""
        return self.at_seconds + (max(0.0, local_seconds - self.heard_seconds) if self.link == "live" else 0)

    def of_agent(self, agent_id: str) -> list[wire.Call]:
        """Return the ended and refused calls of an agent, newest first."""
        return [call for call in reversed(self.ended.values()) if call.agent_id == agent_id]

    def _take(self, snapshot: Snapshot) -> None:
        """Begin anew with what is so as of a snapshot."""
        self.epoch, self.seq, self.at_seconds = snapshot.epoch, snapshot.seq, seconds(snapshot.at)
        self.status, self.totals = snapshot.status, snapshot.totals
        self._totals_seq = self._status_seq = snapshot.seq
        told, now = {one.call_id: one for one in snapshot.progress}, self.at_seconds
        self.rows = {
            one.agent.agent_id: Row(
                agent=one.agent,
                money=one.money,
                spend=Spend.of(nusd(one.money.settled_usd), [*map(nusd, one.spent_usd)], now),
                waiting=list(one.agent.waiting),
                seq=snapshot.seq,
                settings_seq=snapshot.seq,
                waiting_seq=snapshot.seq,
            )
            for one in snapshot.agents
        }
        self.flights = {
            call.call_id: Flight(call, told.get(call.call_id), snapshot.seq) for call in snapshot.calls
        }
        self.ended = {call.call_id: call for call in reversed(snapshot.ended)}
        self._ended_seq = dict.fromkeys(self.ended, snapshot.seq)
        self._gone = {}

    def _happen(self, events: Iterable[Event]) -> None:
        """Take up events; what is older than what is known of the same thing says nothing new."""
        for event in events:
            self.at_seconds = max(self.at_seconds, seconds(event.at))
            self.seq = max(self.seq, event.seq)
            self._note_agent(event)
            if event.call is not None:
                self._note_call(event.call, event.seq)
            for one in event.progress:
                flight = self.flights.get(one.call_id)
                if flight is not None and event.seq > flight.seq:
                    flight.progress, flight.seq = one, event.seq
            if event.totals is not None and event.seq > self._totals_seq:
                self.totals, self._totals_seq = event.totals, event.seq
            if event.status is not None and event.seq > self._status_seq:
                self.status, self._status_seq = event.status, event.seq

    def _note_agent(self, event: Event) -> None:
        agent_id = event.agent_id
        if agent_id is None or event.seq <= self._gone.get(agent_id, 0):
            return
        if event.deleted:
            row = self.rows.pop(agent_id, None)
            self._gone[agent_id] = event.seq
            return
        row = self.rows.get(agent_id)
        if row is None and event.agent is not None and event.money is not None:
            spend = Spend.of(nusd(event.money.settled_usd), (), seconds(event.at))
            self.rows[agent_id] = Row(event.agent, event.money, spend, [], event.seq, event.seq, event.seq)
            return
        if row is None:
            return
        if event.money is not None and event.seq > row.seq:
            note(row.deeds, row.money, event)
            row.money, row.seq = event.money, event.seq
            row.spend.settle(nusd(event.money.settled_usd), seconds(event.at))
        if event.agent is not None and event.seq > row.settings_seq:
            row.agent, row.settings_seq = event.agent, event.seq
        if event.waiting is not None and event.seq > row.waiting_seq:
            row.waiting, row.waiting_seq = event.waiting, event.seq

    def _note_call(self, call: wire.Call, seq: int) -> None:
        if call.state == "held":
            if call.call_id not in self.ended and seq > self._flight_seq(call.call_id):
                known = self.flights.get(call.call_id)
                self.flights[call.call_id] = Flight(call, known.progress if known else None, seq)
            return
        self.flights.pop(call.call_id, None)
        if seq > self._ended_seq.get(call.call_id, 0):
            self.ended[call.call_id], self._ended_seq[call.call_id] = call, seq
        while len(self.ended) > ENDED_MAX:
            oldest = next(iter(self.ended))
            del self.ended[oldest], self._ended_seq[oldest]

    def _flight_seq(self, call_id: str) -> int:
        flight = self.flights.get(call_id)
        return flight.seq if flight else 0


def seconds(iso: str) -> float:
    """Read a time of the wire, in seconds since the epoch; 0 for what is none."""
    try:
        return datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return 0.0
