"""What is checked while a simulated ledger lives, and when it wakes up again: one witness for all worlds.

The witness sees every record when it is decided, every sync of the disk, and every word of the ledger that
something is durable; after each restart it reads the journal's bytes by itself and compares.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from simulator.disk import SimDisk
from simulator.inode import Inode
from simulator.shadow import Record, Shadow
from spendguard_daemon.ledger.events import Event
from spendguard_daemon.ledger.journal import Entry
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.times import format_time

P = ParamSpec("P")
R = TypeVar("R")
FOLDER = Path("/home/ledger")
SEGMENT = re.compile(r"seg-[0-9]{12}\.jsonl")
_HOLD = re.compile(rb'"t":"hold","call_id":"([^"]+)"')
_SEQ = re.compile(rb'"seq":([0-9]+)')


def _noted(check: Callable[Concatenate["Witness", P], R]) -> Callable[Concatenate["Witness", P], R]:
    """Keep the first thing that was found wrong, for the program under test may swallow what it is told."""

    def noting(witness: "Witness", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return check(witness, *args, **kwargs)
        except (AssertionError, KeyError) as failure:
            witness.failure = witness.failure or failure
            raise

    return noting


class Witness:
    """Knows what was decided, what is on the disk, and what was told."""

    def __init__(self) -> None:
        self.shadow = Shadow()
        self.seq = 0
        self.told_seq = 0
        self._base_seq = 0
        self.durable_seq = 0
        self.durable_holds: set[str] = set()
        self.told_events: dict[int, Event] = {}
        self.records = 0
        self.failure: BaseException | None = None
        self._bodies: dict[int, bytes] = {}
        self._ledger: Ledger | None = None
        self._disk = SimDisk()
        self._synced: tuple[Path, Inode] | None = None
        self.shadow.mark()

    def watch_disk(self, disk: SimDisk) -> None:
        """Look at every sync of this disk."""
        self._disk = disk
        disk.on_sync = self._on_sync

    def watch_ledger(self, ledger: Ledger) -> None:
        """Listen to what this ledger says is durable."""
        self._ledger = ledger
        ledger.subscribe(self._on_told)

    @_noted
    def on_entries(self, entries: Sequence[Entry]) -> None:
        """Check records at the moment they are decided, and the live accounts that they leave."""
        for entry in entries:
            assert entry.seq == self.seq + 1
            self.seq = entry.seq
            self._bodies[entry.seq] = entry.body
            record = msgspec.json.decode(entry.body)
            if "idempotency" in record or "keys" in record:
                record["ts"] = format_time(entry.wall_ns)
            self.shadow.follow(record)
            self.records += 1
        if self._ledger is not None and "agent_id" in record:
            account = self._ledger.state.accounts[record["agent_id"]]
            sums = account.funded_nusd, account.settled_nusd, account.held_nusd
            assert sums == self.shadow.purses[record["agent_id"]].sums(), f"I2: live {account} after {record}"

    @_noted
    def check_may_leave(self, call_id: str) -> None:
        """I6: bytes leave for the provider only after the hold is durable."""
        assert call_id in self.durable_holds, f"I6: {call_id} left before its hold was durable"
        self._check_named()

    @_noted
    def check_told(self, events: Sequence[Event]) -> None:
        """Whoever was answered may rely on it: the events are durable."""
        for event in events:
            assert id(event) in self.told_events, f"answered before it was durable: {event}"

    def after_restart(self, ledger: Ledger) -> int:
        """Check the journal that a new ledger recovered; return how many records, never told, it lost."""
        lines = list(journal_lines(self._disk, self._base_seq))
        shadow = self.shadow
        shadow.rewind()
        lost = 0
        for seq, line in enumerate(lines, self._base_seq + 1):
            record = msgspec.json.decode(line)
            assert record["seq"] == seq, f"record {seq} is missing"
            body = self._bodies.get(seq) if not lost else None
            if body is not None and body[1:-1] not in line:
                # Another record has this number now: this one was lost, and all after it.
                assert seq > self.told_seq, f"record {seq} was acknowledged and is lost: {body!r}"
                assert record["t"] in ("torn", "open"), f"{record} in place of {body!r}"
                lost = self.seq - seq + 1
            shadow.follow(record)
        last = self._base_seq + len(lines)
        assert last >= self.told_seq, f"{self.told_seq} records were acknowledged, {last} are there"
        shadow.agrees_with(ledger.state)
        assert not shadow.holds, "open calls outlive a crash"
        shadow.mark()
        self._bodies = {}
        self.seq = self.told_seq = self.durable_seq = self._base_seq = last
        self.watch_ledger(ledger)
        return lost

    def check_whole(self) -> None:
        """Read the whole journal once more from its first record: it adds up to what this witness knows."""
        shadow = Shadow()
        for seq, line in enumerate(journal_lines(self._disk), 1):
            record = msgspec.json.decode(line)
            assert record["seq"] == seq, f"record {seq} is missing"
            shadow.follow(record)
        assert (shadow.purses, shadow.ends) == (self.shadow.purses, self.shadow.ends)

    def _on_sync(self, path: Path, added: bytes) -> None:
        if not SEGMENT.fullmatch(path.name) or not added:
            return
        self._synced = path, self._disk.names_seen[path]
        self.durable_seq = int(_SEQ.findall(added)[-1])
        self.durable_holds.update(call_id.decode() for call_id in _HOLD.findall(added))

    @_noted
    def _on_told(self, event: Event, seq: int, _: int) -> None:
        assert seq == self.told_seq + 1 or seq > self.told_seq, f"told {seq} after {self.told_seq}"
        assert seq <= self.durable_seq, f"told that {seq} is durable, the disk has {self.durable_seq}"
        self._check_named()
        self.told_seq = seq
        self.told_events[id(event)] = event
        if len(self.told_events) > 4_000:
            del self.told_events[next(iter(self.told_events))]

    def _check_named(self) -> None:
        if self._synced is not None:
            path, inode = self._synced
            assert self._disk.names_synced.get(path) is inode, f"{path.name} is not durable under its name"


def journal_lines(disk: SimDisk, after_seq: int = 0) -> Iterator[bytes]:
    """Yield the lines of the whole journal, archived segments too, from the one after `after_seq` on."""
    found: dict[int, Path] = {}
    for path in disk.names_seen:
        if SEGMENT.fullmatch(path.name):
            found[int(path.name[4:16])] = path
    firsts = sorted(found)
    for index, first in enumerate(firsts):
        if index + 1 < len(firsts) and firsts[index + 1] <= after_seq + 1:
            continue
        lines = disk.read(found[first]).splitlines()
        yield from lines[max(0, after_seq + 1 - first) :]


__all__ = ["FOLDER", "Record", "Witness", "journal_lines"]
