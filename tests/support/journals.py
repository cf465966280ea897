"""Real journals with what was so at each of their records, and disks that hold them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ledger_kit import FOLDER, HEAD, SEGMENT, add_key, grant, hold_call, new_agent, settle
from sim import SimClock, SimDisk
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.events import Open
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.journal import Writer
from spendguard_daemon.ledger.lines import GENESIS, READER
from spendguard_daemon.ledger.opening import FIRST_SEGMENT
from spendguard_daemon.ledger.recovery import Plan, Segment, plan
from spendguard_daemon.ledger.replay import replay
from spendguard_daemon.ledger.rolling import RollingSegment
from spendguard_daemon.ledger.state import State


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


def replayed(segment: bytes, head: bytes | None = None) -> tuple[Plan, State]:
    """Plan and replay a journal of one segment."""
    segments = [Segment(FIRST_SEGMENT, segment)]
    found, state = plan(segments, head), State()
    replay(segments, found, state, History())
    return found, state


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
    book.record(Open(version="0.3.0", min_reader=READER, generation=1, session="00"))
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
    """Return a script of batches with every record type that moves money, and calls left open at the end.

    Some of them, begun with a key, end after it was revoked.
    """
    chance = random.Random(seed)
    script: list[list[cmd.Command]] = [
        [new_agent(concurrency="shared"), grant(100_000)],
        [cmd.AcceptPrices(7, "d" * 64, "key-1", "local"), cmd.SetDaemonLimit(90_000, None, "test")],
        [add_key("root", limit_nusd=80_000), add_key("child", parent_id="root", expires_ns=2**61)],
    ]
    lineages: list[tuple[str, ...]] = [(), ("root",), ("root", "child")]
    open_calls: list[str] = []
    for step in range(steps):
        batch: list[cmd.Command] = []
        for part in range(chance.randint(1, 3)):
            if open_calls and chance.random() < 0.6:
                batch.append(_ending(open_calls.pop(0), chance.randrange(4)))
            else:
                open_calls.append(f"call-{step}-{part}")
                batch.append(hold_call(open_calls[-1], keys=lineages[(step + part) % len(lineages)]))
        if step == steps // 2:
            batch.append(cmd.RotateKey("agent-1", "root", "another", "test"))
            lineages.pop()
        script.append(batch)
    script.append([cmd.RevokeKey("agent-1", "root", "test")])
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


@lru_cache
def journal() -> RecordedJournal:
    """Return a real journal of about forty records in twenty batches."""
    return record_journal(long_script())


def disk_with(segment: bytes, head: bytes | None = None) -> SimDisk:
    """Return a disk with these files."""
    disk = SimDisk()
    disk.put(SEGMENT, segment)
    if head is not None:
        disk.put(HEAD, head)
    return disk
