"""A history as a sidecar would tell it, and beside it, reckoned in another way, what was so after each event.

`History.of(ops)` plays a list of small numbers: each makes something happen to one of a few agents. `truths`
has all that is so after each event; `snapshot(seq)` tells it as a feed begins, `sse` as it is sent.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
from hypothesis import strategies as st

from canned import NOW, agent, call, pricing, status, totals, uuid, waiting
from spendguard_cli.watch.board import Board
from spendguard_daemon import wire
from spendguard_daemon.feed_wire import Event, Kind, Money, Progress, Snapshot, Standing, Totals
from spendguard_daemon.money import format_usd

Op = tuple[int, int, int]
"""What happens, to whom, how much."""

BIRTHS: list[Op] = [(0, 0, 50), (0, 1, 60)]
OPS = st.lists(
    st.tuples(st.sampled_from([0, 1, 1, 2, 3, 3, 4, 5, 6, 7, 8]), st.integers(0, 1), st.integers(0, 60)),
    min_size=12,
    max_size=30,
).map(lambda ops: BIRTHS + ops)
"""Two agents are born, and then much happens to them."""

STEP_SECONDS = 0.7


@dataclass
class Purse:
    """One agent's money, in nano-USD."""

    funded: int = 0
    settled: int = 0
    held: dict[str, int] = field(default_factory=dict)
    refusals: int = 0
    frozen: str | None = None
    waiting: int = 0

    def money(self) -> Money:
        """Return it as it is told."""
        held = sum(self.held.values())
        return Money(
            hard_limit_usd=format_usd(self.funded),
            remaining_usd=format_usd(self.funded - self.settled),
            available_usd=format_usd(self.funded - self.settled - held),
            funded_usd=format_usd(self.funded),
            held_usd=format_usd(held),
            settled_usd=format_usd(self.settled),
            calls_in_flight=len(self.held),
            calls_waiting=self.waiting,
            refusals=self.refusals,
            frozen_reason=self.frozen,
        )


@dataclass
class Truth:
    """All that is so at one moment."""

    agents: dict[str, wire.Agent] = field(default_factory=dict)
    money: dict[str, Money] = field(default_factory=dict)
    waiting: dict[str, list[wire.Waiting]] = field(default_factory=dict)
    flights: dict[str, wire.Call] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    ended: dict[str, wire.Call] = field(default_factory=dict)
    totals: Totals = field(default_factory=lambda: totals([]))
    status: wire.Status = field(default_factory=lambda: status([]))


class History:
    """One life of a sidecar: `events`, the first with seq 1, and `truths`, the first before any event."""

    def __init__(self, epoch: str = "one") -> None:
        self.epoch = epoch
        self.events: list[Event] = []
        self.truths: list[Truth] = [Truth()]
        self._now = Truth()
        self._purses: dict[str, Purse] = {}
        self._calls = 0
        self._lives: dict[str, int] = {}

    @classmethod
    def of(cls, ops: list[Op], epoch: str = "one") -> "History":
        """Play what is to happen; what cannot happen then is a sum over all agents."""
        history = cls(epoch)
        for what, whom, much in ops:
            history.play(what, uuid(1 + whom), much + 1)
        return history

    def play(self, what: int, agent_id: str, much: int) -> None:
        """Let one thing happen; whoever comes after one that was deleted has another id, as agents have."""
        agent_id += f"-{self._lives.get(agent_id[:8], 0)}"
        purse = self._purses.get(agent_id)
        deeds = (self._set, self._hold, self._progress, self._end, self._refuse, self._adjust, self._wait)
        if what < len(deeds) and (purse is not None or what == 0):
            self._purses.setdefault(agent_id, Purse())
            done = deeds[what](agent_id, self._purses[agent_id], much)
        elif what == len(deeds) and purse is not None:
            done = self._delete(agent_id, purse)
        else:
            done = self._sum(much)
        if not done:
            self._sum(much)
        self.truths.append(deepcopy(self._now))

    def at(self, seq: int) -> str:
        """Return the time of an event."""
        return (NOW + timedelta(seconds=STEP_SECONDS * seq)).isoformat()

    def snapshot(self, seq: int) -> Snapshot:
        """Return all that is so after an event."""
        truth = self.truths[seq]
        return Snapshot(
            epoch=self.epoch,
            seq=seq,
            at=self.at(seq),
            status=truth.status,
            totals=truth.totals,
            agents=[
                Standing(
                    agent=msgspec.structs.replace(one, waiting=truth.waiting[agent_id]),
                    money=truth.money[agent_id],
                )
                for agent_id, one in truth.agents.items()
            ],
            calls=list(truth.flights.values()),
            progress=[one for call_id, one in truth.progress.items() if call_id in truth.flights],
            ended=list(reversed(truth.ended.values())),
        )

    def _tell(self, kind: Kind, agent_id: str | None = None, **more: object) -> bool:
        seq = len(self.events) + 1
        if agent_id is not None and agent_id in self._purses:
            more["money"] = self._now.money[agent_id] = self._purses[agent_id].money()
        self.events.append(Event(seq=seq, at=self.at(seq), kind=kind, agent_id=agent_id, **more))  # type: ignore[arg-type]
        return True

    def _set(self, agent_id: str, purse: Purse, much: int) -> bool:
        purse.funded += much
        purse.frozen = "too much" if much % 7 == 0 else None
        now = self._now
        now.agents[agent_id] = agent(1, f"agent {much}", agent_id=agent_id, frozen=purse.frozen is not None)
        now.waiting.setdefault(agent_id, [])
        return self._tell("agent", agent_id, agent=now.agents[agent_id], actor="watch")

    def _hold(self, agent_id: str, purse: Purse, much: int) -> bool:
        self._calls += 1
        made = call(self._calls, 1, "held", agent_id=agent_id, hold_usd=format_usd(much))
        purse.held[made.call_id] = much
        self._now.flights[made.call_id] = made
        return self._tell("hold", agent_id, call=made)

    def _progress(self, agent_id: str, purse: Purse, much: int) -> bool:
        if not purse.held:
            return False
        told = [Progress(call_id=one, agent_id=agent_id, answer_bytes=much) for one in purse.held]
        self._now.progress |= {one.call_id: one for one in told}
        return self._tell("progress", agent_id, progress=told)

    def _end(self, agent_id: str, purse: Purse, much: int) -> bool:
        if not purse.held:
            return False
        call_id = list(purse.held)[much % len(purse.held)]
        cost = min(much, purse.held.pop(call_id))
        purse.settled += cost
        over = self._now.flights.pop(call_id)
        over = msgspec.structs.replace(over, state="settled", cost_usd=format_usd(cost))
        self._now.ended[call_id] = over
        return self._tell("end", agent_id, call=over)

    def _refuse(self, agent_id: str, purse: Purse, much: int) -> bool:
        self._calls += 1
        purse.refusals += 1
        made = call(self._calls, 1, "refused", agent_id=agent_id, code="insufficient_budget", count=much)
        self._now.ended[made.call_id] = made
        return self._tell("refused", agent_id, call=made)

    def _adjust(self, agent_id: str, purse: Purse, much: int) -> bool:
        settled = [
            one for one in self._now.ended.values() if one.agent_id == agent_id and one.state == "settled"
        ]
        if not settled:
            return False
        old = settled[much % len(settled)]
        purse.settled += much - int(float(old.cost_usd or "0") * 1e9 + 0.5)
        new = msgspec.structs.replace(old, cost_usd=format_usd(much))
        self._now.ended[old.call_id] = new
        return self._tell("adjust", agent_id, call=new)

    def _wait(self, agent_id: str, purse: Purse, much: int) -> bool:
        purse.waiting = much % 4
        self._now.waiting[agent_id] = [waiting(number, 1) for number in range(purse.waiting)]
        return self._tell("waiting", agent_id, waiting=self._now.waiting[agent_id])

    def _delete(self, agent_id: str, purse: Purse) -> bool:
        if purse.held or agent_id not in self._now.agents:
            return False
        for part in (self._now.agents, self._now.money, self._now.waiting):
            del part[agent_id]
        del self._purses[agent_id]
        self._lives[agent_id[:8]] = self._lives.get(agent_id[:8], 0) + 1
        return self._tell("agent", agent_id, deleted=True)

    def _sum(self, much: int) -> bool:
        if much % 5 == 0:
            self._now.status = status([])
            self._now.status = msgspec.structs.replace(
                self._now.status, pricing=msgspec.structs.replace(pricing(), sequence=much)
            )
            return self._tell("price", status=self._now.status)
        self._now.totals = msgspec.structs.replace(totals([]), refusals=much)
        return self._tell("totals", totals=self._now.totals)


def sse(told: Snapshot | Event, epoch: str) -> bytes:
    """Return a message as it goes over the wire."""
    name = "snapshot" if isinstance(told, Snapshot) else told.kind
    return b"event: %s\nid: %s.%d\ndata: %s\n\n" % (
        name.encode(),
        epoch.encode(),
        told.seq,
        msgspec.json.encode(told),
    )


def check_whole(board: Board, truth: Truth) -> None:
    """Assert that a board shows exactly this."""
    assert {key: row.agent.name for key, row in board.rows.items()} == {
        key: one.name for key, one in truth.agents.items()
    }
    assert {key: row.money for key, row in board.rows.items()} == truth.money
    assert {key: row.waiting for key, row in board.rows.items()} == truth.waiting
    assert {key: flight.call for key, flight in board.flights.items()} == truth.flights
    told = {key: flight.progress for key, flight in board.flights.items() if flight.progress is not None}
    assert told == {key: one for key, one in truth.progress.items() if key in truth.flights}
    assert board.ended == truth.ended
    assert board.totals == truth.totals
    assert board.status == truth.status


def check_each(board: Board, truths: list[Truth]) -> None:
    """Assert that each thing on a board was once so, at the event that told it: never a mix."""
    for agent_id, row in board.rows.items():
        assert row.money == truths[row.seq].money[agent_id]
        assert row.agent.name == truths[row.settings_seq].agents[agent_id].name
        assert row.waiting == truths[row.waiting_seq].waiting.get(agent_id, [])
    for call_id, flight in board.flights.items():
        assert flight.call == truths[flight.seq].flights[call_id]
        assert flight.progress is None or flight.progress == truths[flight.progress_seq].progress[call_id]
