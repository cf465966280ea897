"""What ledger tests need again and again: commands with defaults, a ledger on a simulated disk, a journal."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim import SimClock, SimDisk, SimRng
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.events import Open
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.journal import Writer
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.lines import GENESIS
from spendguard_daemon.ledger.opening import FIRST_SEGMENT
from spendguard_daemon.ledger.recovery import Plan, Segment, plan
from spendguard_daemon.ledger.replay import replay
from spendguard_daemon.ledger.rolling import SEGMENT_BYTES, RollingSegment
from spendguard_daemon.ledger.room import RoomLimits
from spendguard_daemon.ledger.state import State
from spendguard_daemon.money import LinearCost
from spendguard_daemon.ports import Disk

FOLDER = Path("/home/ledger")
SEGMENT = FOLDER / FIRST_SEGMENT
HEAD = FOLDER / "head"
AGENT = "agent-1"
BARE = RoomLimits(free_bytes_min=0, ballast_bytes=0)
NOW = cmd.Now(wall_ns=1_800_000_000 * 10**9, monotonic_ns=10**9)


def offer(fixed_nusd: int, token_nusd: int, rung: str = "bytes") -> cmd.Offer:
    """Return an offer whose cost is `fixed_nusd + token_nusd * cap`."""
    return cmd.Offer(rung, 100, LinearCost(fixed_nusd, token_nusd, 1))


def hold_call(call_id: str, **changes: Any) -> cmd.HoldCall:
    """Return a command to hold 1,000 nUSD: 10 tokens at 100 nUSD, no floor below that."""
    values: dict[str, Any] = {
        "call_id": call_id,
        "agent_id": AGENT,
        "run_id": "run-1",
        "provider": "openai",
        "endpoint": "chat/completions",
        "model": "gpt-4o-mini",
        "offers": (offer(0, 100),),
        "choices": 1,
        "asked_output_tokens": 10,
        "output_tokens": 10,
        "floor_output_tokens": 10,
        "injected": False,
        "document_sha256": "d" * 64,
        "rates": {"input": 150_000, "output": 600_000},
        "deadline_ns": NOW.wall_ns + 3600 * 10**9,
    }
    return cmd.HoldCall(**(values | changes))


def new_agent(agent_id: str = AGENT, **changes: Any) -> cmd.NewAgent:
    """Return a command to make an exclusive, clamping agent."""
    values: dict[str, Any] = {"name": "n", "concurrency": "exclusive", "overflow": "clamp", "mock": False}
    return cmd.NewAgent(agent_id=agent_id, actor="test", **(values | changes))


def grant(limit_nusd: int, topup_nusd: int | None = None, agent_id: str = AGENT) -> cmd.GrantBudget:
    """Return a command to grant a budget."""
    return cmd.GrantBudget(agent_id, limit_nusd, topup_nusd, "test")


def settle(call_id: str, cost_nusd: int) -> cmd.SettleCall:
    """Return a command to settle a call at a known cost."""
    usage = {"input_tokens": 3, "output_tokens": 4}
    line = {"name": "output", "quantity": 4, "unit": "token", "rate": 600_000, "cost_nusd": str(cost_nusd)}
    return cmd.SettleCall(call_id, cost_nusd, usage, [line], 200, "reported")


def make_book(clock: SimClock | None = None) -> Book:
    """Return an empty book whose records go nowhere."""
    book = Book(State(), History(), clock or SimClock(), seq=0, wall_ns=0)
    book.sink = lambda entries: None
    return book


def funded_book(limit_nusd: int, **agent: Any) -> Book:
    """Return a book with one agent that has a budget."""
    book = make_book()
    book.execute(new_agent(**agent))
    book.execute(grant(limit_nusd))
    return book


@dataclass
class Failures:
    """A `fatal` callback that remembers."""

    seen: list[BaseException] = field(default_factory=list)

    def __call__(self, error: BaseException) -> None:
        self.seen.append(error)


def open_ledger(
    disk: Disk,
    clock: SimClock | None = None,
    fatal: Callable[[BaseException], None] | None = None,
    limits: RoomLimits = BARE,
    segment_bytes: int = SEGMENT_BYTES,
) -> Ledger:
    """Open the ledger on a simulated disk, by default one that never fills up; a failure that no test expects is raised."""
    return Ledger.open(
        FOLDER,
        disk=disk,
        clock=clock or SimClock(),
        rng=SimRng(),
        fatal=fatal or _unexpected,
        version="0.3.0",
        limits=limits,
        segment_bytes=segment_bytes,
    )


def _unexpected(error: BaseException) -> None:
    raise AssertionError("the disk failed") from error


def refused_code(action: Callable[[], object]) -> str:
    """Return the code that `action` is refused with."""
    try:
        action()
    except SpendGuardError as error:
        return error.code.value
    raise AssertionError("not refused")


def replayed(segment: bytes, head: bytes | None = None) -> tuple[Plan, State]:
    """Plan and replay a journal of one segment."""
    segments = [Segment(FIRST_SEGMENT, segment)]
    found, state = plan(segments, head), State()
    replay(segments, found, state, History())
    return found, state


@dataclass(frozen=True)
class Batch:
    """What was so when a batch had become durable: its bytes so far, the head, and the last seq."""

    size: int
    head: bytes
    seq: int


@dataclass
class RecordedJournal:
    """A real journal: its bytes, its batches, and what the whole state was after each record."""

    raw: bytes
    batches: list[Batch]
    states: list[str]
    line_ends: list[int]

    def batch_of(self, byte: int) -> int:
        """Return the index of the batch that a byte belongs to."""
        return next(index for index, batch in enumerate(self.batches) if byte < batch.size)


def record_journal(script: Sequence[Sequence[cmd.Command]]) -> RecordedJournal:
    """Write a journal, one batch for each list of commands."""
    disk = SimDisk()
    clock = SimClock()
    book = Book(State(), History(), clock, seq=0, wall_ns=0)
    writer = Writer(
        RollingSegment(FOLDER, disk, first_seq=1),
        disk.open_update(HEAD),
        seq=0,
        h=GENESIS,
        generation=1,
        next_slot=0,
    )
    recorded = RecordedJournal(b"", [], [repr(book.state)], [0])
    book.record(Open(version="0.3.0", min_reader=1, generation=1, session="00"))
    for commands in script:
        for command in commands:
            clock.advance(0.25)
            book.execute(command)
        writer.write(book.kept)
        book.kept.clear()
        raw = disk.read(SEGMENT)
        recorded.batches.append(Batch(len(raw), disk.read(HEAD), book.seq))
    recorded.raw = raw
    _note_states(recorded)
    return recorded


def _note_states(recorded: RecordedJournal) -> None:
    """Work out the state after each record by replaying ever longer prefixes of whole lines."""
    for index, byte in enumerate(recorded.raw):
        if byte == ord("\n"):
            recorded.line_ends.append(index + 1)
            recorded.states.append(repr(replayed(recorded.raw[: index + 1])[1]))


def long_script(seed: int = 1, steps: int = 18) -> list[list[cmd.Command]]:
    """Return a script of batches with every record type that moves money, and calls left open at the end."""
    chance = random.Random(seed)
    script: list[list[cmd.Command]] = [
        [new_agent(concurrency="shared"), grant(100_000)],
        [cmd.AcceptPrices(7, "d" * 64, "key-1", "local"), cmd.SetDaemonLimit(90_000, None, "test")],
    ]
    open_calls: list[str] = []
    for step in range(steps):
        batch: list[cmd.Command] = []
        for part in range(chance.randint(1, 3)):
            if open_calls and chance.random() < 0.6:
                batch.append(_ending(open_calls.pop(0), chance.randrange(4)))
            else:
                open_calls.append(f"call-{step}-{part}")
                batch.append(hold_call(open_calls[-1]))
        script.append(batch)
    script.append([hold_call("last-1"), cmd.MarkSent("last-1", ["max_tokens"]), hold_call("last-2")])
    return script


def _ending(call_id: str, kind: int) -> cmd.Command:
    if kind == 0:
        return settle(call_id, 400)
    if kind == 1:
        return settle(call_id, 1_005)  # an overrun of half a percent: booked, and the agent goes on
    if kind == 2:
        return cmd.SettleAtWorst(call_id, "timeout", 504)
    return cmd.VoidCall(call_id, "refused by the provider", 429)
