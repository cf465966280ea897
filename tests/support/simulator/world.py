"""What all lives of one history share, and its clients and operator may touch."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from simulator.disk import SimDisk
from simulator.ports import SimClock
from simulator.temper import Report, Request, Temper
from simulator.watch import FOLDER, Witness


@dataclass
class World:
    """The disk is another one after each crash; the rest stays."""

    temper: Temper
    report: Report
    clock: SimClock = field(default_factory=SimClock)
    disk: SimDisk = field(default_factory=SimDisk)
    witness: Witness = field(default_factory=Witness)
    agents: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    calls_until_end: int = -1
    end_now: Callable[[], object] = lambda: None

    def fill_disk(self, left_bytes: int | None) -> None:
        """Leave so much room on the disk; None: no end of it."""
        self.disk.limit(FOLDER, left_bytes)

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self.clock.wall_offset_ns += int(seconds * 10**9)

    def note_call(self) -> None:
        """Count a call that begins; one of them may be the last but few of this life."""
        self.calls_until_end -= 1
        if self.calls_until_end == 0:
            self.end_now()

    def whose(self, tag: str) -> str:
        """Return the call that a request at the provider belongs to: the one of its key that is held now."""
        holds = self.witness.shadow.holds
        (call_id,) = [call_id for call_id in self.requests[int(tag)].call_ids if call_id in holds]
        self.witness.check_may_leave(call_id)
        return call_id

    def draw_agent(self, dice: random.Random) -> str:
        """Draw an agent to call for: one of the latest, seldom one that is deleted."""
        purses = self.witness.shadow.purses
        alive = [agent_id for agent_id in self.agents if not purses[agent_id].deleted]
        if not alive or dice.random() < self.temper.deleted:
            return dice.choice(self.agents)
        return dice.choice(alive[-6:])
