"""The feed's messages in their order, each once: what goes on to the board is what the sidecar told. Pure.

Within an epoch each event has the `seq` of the one before and one more. One that comes again is dropped, one
that comes too early waits for those before it, and where these do not come the feed is lost: who asks for a
snapshot then is told the truth again. Nothing of another epoch than the snapshot's passes.
"""

from functools import lru_cache
from typing import get_args

import msgspec

from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.sse import Sse
from spendguard_daemon import wire
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.feed_wire import Event, Kind, Money, Progress, Snapshot, Totals
from spendguard_daemon.money import from_cents

EARLY_MAX = 10_000
"""How many events wait at most for one before them."""

_amount = lru_cache(8192)(nusd)
"""Raises SpendGuardError for what is no amount; most amounts come again and again."""

KINDS = frozenset(get_args(Kind))
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, SpendGuardError)


class LostError(Exception):
    """The feed cannot be understood from here on; the words say why, as the end of a sentence."""


class Order:
    """What has passed, `epoch` and `seq`, and what waits. `None` and 0 before the first snapshot."""

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.seq = 0
        self._early: dict[int, Event | None] = {}
        self._snapshot = msgspec.json.Decoder(Snapshot)
        self._event = msgspec.json.Decoder(Event)

    @property
    def last_event_id(self) -> str | None:
        """What to resume behind, as the header says it; None where only a snapshot will do."""
        return None if self.epoch is None else f"{self.epoch}.{self.seq}"

    @property
    def has_gap(self) -> bool:
        """Tell whether events wait for one before them."""
        return bool(self._early)

    def begin(self) -> None:
        """Wait no longer for what a connection that has ended did not bring."""
        self._early = {}

    def forget(self) -> None:
        """Begin with a snapshot again."""
        self.epoch, self.seq, self._early = None, 0, {}

    def snapshot(self, message: Sse) -> Snapshot | None:
        """Take up a snapshot; None where more is known already. Raises LostError."""
        try:
            snapshot = self._snapshot.decode(message.data)
            _check_snapshot(snapshot)
        except UNREADABLE as error:
            raise LostError(f"its snapshot is not of the form that this version knows: {error}") from error
        if message.id != f"{snapshot.epoch}.{snapshot.seq}":
            raise LostError("its snapshot has the id of another")
        if snapshot.epoch == self.epoch and snapshot.seq < self.seq:
            return None
        early = self._early if snapshot.epoch == self.epoch else {}
        self.epoch, self.seq = snapshot.epoch, snapshot.seq
        self._early = {seq: event for seq, event in early.items() if seq > snapshot.seq}
        return snapshot

    def events(self, message: Sse) -> list[Event]:
        """Take up an event; return those whose turn it is now. Raises LostError."""
        epoch, _, number = message.id.rpartition(".")
        if not number.isdecimal() or len(number) > 18:
            if message.event in KINDS:
                raise LostError("its events have no number")
            return []
        if epoch != self.epoch:
            raise LostError(
                "it told of events before it said what they are about"
                if self.epoch is None
                else "it told of another life of the sidecar"
            )
        seq = int(number)
        if seq <= self.seq or seq in self._early:
            return []
        self._early[seq] = self._read(message, seq)
        if len(self._early) > EARLY_MAX:
            raise LostError("it left out events")
        return self._due()

    def _due(self) -> list[Event]:
        due = []
        while self.seq + 1 in self._early:
            self.seq += 1
            event = self._early.pop(self.seq)
            if event is not None:
                due.append(event)
        return due

    def _read(self, message: Sse, seq: int) -> Event | None:
        """Return the event; None for a kind that a newer sidecar knows."""
        if message.event not in KINDS:
            return None
        try:
            event = self._event.decode(message.data)
            _check_event(event)
        except UNREADABLE as error:
            raise LostError(f"an event is not of the form that this version knows: {error}") from error
        if event.kind != message.event or event.seq != seq:
            raise LostError("an event has the name or the number of another")
        return event


def _check_snapshot(snapshot: Snapshot) -> None:
    """Raise SpendGuardError where an amount is none."""
    _check_totals(snapshot.totals)
    for standing in snapshot.agents:
        _check_money(standing.money)
        for usd in standing.spent_usd:
            _amount(usd)
        _check_waiting(standing.agent.waiting)
    for call in (*snapshot.calls, *snapshot.ended):
        _check_call(call)
    for progress in snapshot.progress:
        _check_progress(progress)


def _check_event(event: Event) -> None:
    if event.money is not None:
        _check_money(event.money)
    if event.call is not None:
        _check_call(event.call)
    for progress in event.progress:
        _check_progress(progress)
    if event.waiting is not None:
        _check_waiting(event.waiting)
    if event.agent is not None:
        _check_waiting(event.agent.waiting)
    if event.totals is not None:
        _check_totals(event.totals)


def _check_money(money: Money) -> None:
    _amount(money.funded_usd)
    _amount(money.held_usd)
    _amount(money.settled_usd)
    for usd in (money.hard_limit_usd, money.remaining_usd, money.available_usd):
        if usd is not None:
            _amount(usd)


def _check_call(call: wire.Call) -> None:
    _amount(call.hold_usd)
    if call.cost_usd is not None:
        _amount(call.cost_usd)


def _check_progress(progress: Progress) -> None:
    _amount(progress.cost_usd)


def _check_waiting(waiting: list[wire.Waiting]) -> None:
    for one in waiting:
        _amount(one.worst_case_usd)


def _check_totals(totals: Totals) -> None:
    _amount(totals.unconfirmed_usd)
    _amount(totals.cap.held_usd)
    _amount(totals.cap.settled_usd)
    if totals.cap.remaining_usd is not None:
        _amount(totals.cap.remaining_usd)
    from_cents(totals.cap.hard_limit_cents or 0)
    for one in totals.unconfirmed:
        _amount(one.cost_usd)
