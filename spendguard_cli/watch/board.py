"""All that is known of agents, calls, prices and the daemon, as it was told last. Pure.

The invariant of `watch`: what is shown was told by the source, each thing as of the event with the greatest
`seq` about it; where the source is silent or contradicts itself the board says so, it never guesses. Owns no
clock: `local_seconds` is handed in with each message, and the time that ages are reckoned by is the source's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeVar

from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.deeds import Deed, note
from spendguard_cli.watch.messages import Away, Happened, Message, Snapped
from spendguard_cli.watch.rates import Spend
from spendguard_daemon import wire
from spendguard_daemon.feed_wire import Event, Money, Progress, Snapshot, Totals
from spendguard_daemon.text import safe

ENDED_MAX = 2_000
"""How many ended and refused calls are kept, of all agents; the oldest go first."""

EARLY_MAX = 1_000
"""How many agents and calls are remembered of which something was told before they were, or that are gone."""

SECONDS_MAX = 253_370_764_800.0
"""The year 9999: a clock that says so is wrong, and what is reckoned on from there is no date any more."""

Link = Literal["connecting", "live", "away", "past"]
T = TypeVar("T")


@dataclass(slots=True)
class Row:
    """One agent. `seq` is that of the event that told `money`; `settings_seq` of what told `agent`.

    `deeds` are what people did to it since the last snapshot, the newest last; `refused_seconds` is when a
    call of it was refused last, as far as that is known.
    """

    agent: wire.Agent
    money: Money
    spend: Spend
    waiting: list[wire.Waiting]
    seq: int
    settings_seq: int
    waiting_seq: int
    deeds: list[Deed] = field(default_factory=list, compare=False)
    refused_seconds: float = field(default=0.0, compare=False)

    def hear(self, event: Event) -> None:
        """Take up what is newer than what is known."""
        if event.money is not None and event.seq > self.seq:
            note(self.deeds, self.money, event)
            self.money, self.seq = event.money, event.seq
            self.spend.settle(nusd(event.money.settled_usd), seconds(event.at))
        if event.agent is not None and event.seq > self.settings_seq:
            self.agent, self.settings_seq = event.agent, event.seq
        if event.waiting is not None and event.seq > self.waiting_seq:
            self.waiting, self.waiting_seq = event.waiting, event.seq


@dataclass(slots=True)
class Flight:
    """A call in flight, and how far its answer has come; `seq` told the call, `progress_seq` the progress."""

    call: wire.Call
    progress: Progress | None
    seq: int
    progress_seq: int = 0


@dataclass(slots=True)
class Board:
    """What is known. Read it freely; only `hear` changes it.

    `link` tells whether the source is heard now, and `why` and `remedy` if not; `version` grows with each
    change, so that who draws knows whether there is anything new. What is shown is as of `at_seconds`, the
    time of event `seq` (seconds since the epoch, by the source's clock; 0 where nothing is known yet). Of the
    past `deeds` is what was done to each agent. `is_read_only` is so where no key may change anything.
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
    deeds: Mapping[str, wire.Deeds] = field(default_factory=dict)
    is_read_only: bool = False
    _floor: int = 0
    _totals_seq: int = 0
    _status_seq: int = 0
    _ended_seq: dict[str, int] = field(default_factory=dict)
    _gone: dict[str, int] = field(default_factory=dict)
    _early: dict[str, dict[str, Event]] = field(default_factory=dict)
    _early_progress: dict[str, tuple[Progress, int]] = field(default_factory=dict)

    def hear(self, message: Message, local_seconds: float) -> None:
        """Take up a message that came at `local_seconds` (monotonic)."""
        self.version += 1
        match message:
            case Snapped(snapshot, deeds):
                self._take(snapshot)
                self.deeds = deeds or {}
            case Happened(events, deeds):
                self._happen(events)
                self.deeds = self.deeds if deeds is None else deeds
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

    @property
    def may_act(self) -> bool:
        """Tell whether a key that changes something is worth a word: not of the past, nor where one looks."""
        return self.link != "past" and not self.is_read_only

    @property
    def refusals_since(self) -> str | None:
        """Since when refusals are counted (ISO 8601): the start of the sidecar; None where not known."""
        return (self.status.started_at or None) if self.status else None

    def of_agent(self, agent_id: str) -> list[wire.Call]:
        """Return the ended and refused calls of an agent, newest first."""
        calls = [call for call in reversed(self.ended.values()) if call.agent_id == agent_id]
        return sorted(calls, key=lambda call: seconds(call.ended_at or call.created_at), reverse=True)

    def doubt(self) -> str:
        """Say in a line, fit for a terminal, why what is shown may not be so now; empty while it is live."""
        if self.link in ("live", "past"):
            return ""
        why = safe(self.why) or "looking for the sidecar"
        if not self.at_seconds:
            return f"{why}; nothing is known yet"
        return f"{why}; shown as of {datetime.fromtimestamp(self.at_seconds, UTC):%Y-%m-%d %H:%M:%S}Z"

    def _take(self, snapshot: Snapshot) -> None:
        """Begin anew with what is so as of a snapshot."""
        self.epoch, self.seq, self.at_seconds = snapshot.epoch, snapshot.seq, seconds(snapshot.at)
        self.status, self.totals = snapshot.status, snapshot.totals
        self._floor = self._totals_seq = self._status_seq = snapshot.seq
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
            call.call_id: Flight(call, told.get(call.call_id), snapshot.seq, snapshot.seq)
            for call in snapshot.calls
        }
        self.ended = {call.call_id: call for call in reversed(snapshot.ended[:ENDED_MAX])}
        for call in self.ended.values():
            self._note_refused(call)
        self._ended_seq = dict.fromkeys(self.ended, snapshot.seq)
        self._gone, self._early, self._early_progress = {}, {}, {}

    def _happen(self, events: Iterable[Event]) -> None:
        """Take up events; what is older than what is known of the same thing says nothing new."""
        for event in events:
            if event.seq <= self._floor:
                continue  # the snapshot knew of it
            if event.seq > self.seq:
                self.seq, self.at_seconds = event.seq, seconds(event.at)
            if event.agent_id is not None:
                self._note_agent(event.agent_id, event)
            if event.call is not None:
                self._note_call(event.call, event.seq)
            for one in event.progress:
                self._note_progress(one, event.seq)
            if event.totals is not None and event.seq > self._totals_seq:
                self.totals, self._totals_seq = event.totals, event.seq
            if event.status is not None and event.seq > self._status_seq:
                self.status, self._status_seq = event.status, event.seq

    def _note_agent(self, agent_id: str, event: Event) -> None:
        if agent_id in self._gone:
            return  # who was deleted does not come back, also where its last calls end only now
        if event.deleted:
            self.rows.pop(agent_id, None)
            self._early.pop(agent_id, None)
            _put(self._gone, agent_id, event.seq, EARLY_MAX)
            return
        row = self.rows.get(agent_id)
        if row is None and event.agent is not None and event.money is not None:
            spend = Spend.of(nusd(event.money.settled_usd), (), seconds(event.at))
            row = Row(event.agent, event.money, spend, [], event.seq, event.seq, self._floor)
            self.rows[agent_id] = row
            for told in (event, *self._early.pop(agent_id, {}).values()):
                row.hear(told)
        elif row is not None:
            row.hear(event)
        else:
            self._note_early(agent_id, event)

    def _note_early(self, agent_id: str, event: Event) -> None:
        """Keep what was told of an agent that is not known yet, each part as it was told last."""
        known = self._early.get(agent_id, {})
        for part in ("money", "waiting"):
            if getattr(event, part) is not None and (part not in known or known[part].seq < event.seq):
                known[part] = event
        _put(self._early, agent_id, known, EARLY_MAX)

    def _note_call(self, call: wire.Call, seq: int) -> None:
        call_id = call.call_id
        early, early_seq = self._early_progress.pop(call_id, (None, 0))
        if call.state == "held":
            if call_id in self.ended:
                return
            flight = self.flights.get(call_id)
            if flight is None:
                self.flights[call_id] = Flight(call, early, seq, early_seq)
            elif seq > flight.seq:
                flight.call, flight.seq = call, seq
            return
        self.flights.pop(call_id, None)
        self._note_refused(call)
        if seq > self._ended_seq.get(call_id, 0):
            _put(self.ended, call_id, call, ENDED_MAX)
            _put(self._ended_seq, call_id, seq, ENDED_MAX)

    def _note_refused(self, call: wire.Call) -> None:
        row = self.rows.get(call.agent_id)
        if row is not None and call.state == "refused":
            row.refused_seconds = max(row.refused_seconds, seconds(call.created_at))

    def _note_progress(self, one: Progress, seq: int) -> None:
        flight = self.flights.get(one.call_id)
        if flight is not None:
            if seq > flight.progress_seq:
                flight.progress, flight.progress_seq = one, seq
        elif one.call_id not in self.ended and seq > self._early_progress.get(one.call_id, (one, 0))[1]:
            _put(self._early_progress, one.call_id, (one, seq), EARLY_MAX)


def _put(known: dict[str, T], key: str, value: T, most: int) -> None:
    """Keep a value under a key; of more than `most`, those that came first go."""
    known[key] = value
    while len(known) > most:
        del known[next(iter(known))]


def seconds(iso: str) -> float:
    """Read a time of the wire, in seconds since the epoch; 0 for what is none, or beyond SECONDS_MAX."""
    try:
        read = datetime.fromisoformat(iso).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return read if 0 <= read <= SECONDS_MAX else 0.0
