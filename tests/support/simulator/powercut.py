"""Every way in which the power may go: the disks that a cut can leave, opened one by one.

A scenario is a seeded script on the real ledger: a fresh folder, batches, rolled segments, snapshots and the
archive, clean and unclean starts. Before each operation of the disk, images are drawn of what a cut at that
moment leaves: byte prefixes and lost sectors of what was not synced, changes of names that came through in
order, out of order or not at all. Each image must open, with all that was acknowledged, to the balances that
the records up to its last one add up to.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from simulator.bare import BareHistory
from simulator.disk import PowerCut, SimDisk
from simulator.hand import HandLedger
from simulator.journal import LIMITS
from simulator.ports import SimRng
from simulator.shadow import Record, Shadow
from simulator.watch import FOLDER, journal_lines
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger.journal import Entry

Money = tuple[Any, ...]


@dataclass
class CutReport:
    """What was tried. `kinds` counts states by what was uncertain in them."""

    states: int = 0
    scenarios: int = 0
    operations: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


class Trace:
    """What every prefix of the journal adds up to, once its open calls are charged at their holds."""

    def __init__(self) -> None:
        self.shadow = Shadow()
        self.money: list[Money] = [self._now()]
        self.open_calls: list[tuple[str, ...]] = [()]
        self._records: list[Record] = []

    @property
    def seq(self) -> int:
        return len(self._records)

    def follow(self, record: Record) -> None:
        self._records.append(record)
        self.shadow.follow(record)
        self.money.append(self._now())
        self.open_calls.append(tuple(self.shadow.holds))

    def cut_back(self, seq: int) -> None:
        """Forget the records after `seq`."""
        kept, self.shadow = self._records[:seq], Shadow()
        for record in kept:
            self.shadow.follow(record)
        self._records = kept
        del self.money[seq + 1 :], self.open_calls[seq + 1 :]

    def _now(self) -> Money:
        shadow = self.shadow
        purses = {agent_id: replace(purse, excused=False) for agent_id, purse in shadow.purses.items()}
        for purse in purses.values():
            purse.settled, purse.held = purse.settled + purse.held, 0
        daemon = shadow.daemon
        cap = None if daemon.limit is None else daemon.funded
        return purses, daemon.limit, cap, daemon.settled + daemon.held


def money_of(state: Any) -> Money:
    """Return an opened ledger's balances in the form of `Trace.money`."""
    shadow = Shadow()
    for agent_id, account in state.accounts.items():
        purse = shadow.purses[agent_id] = type(shadow.daemon)()
        purse.funded, purse.settled, purse.held = account.funded_nusd, account.settled_nusd, account.held_nusd
        purse.limit, purse.frozen = account.limit_nusd, account.frozen_reason is not None
        purse.deleted, purse.needs_key = account.deleted, account.needs_key
    daemon = state.daemon
    return shadow.purses, daemon.limit_nusd, daemon.funded_nusd, daemon.settled_nusd + daemon.held_nusd


class Scenario(BareHistory):
    """One script, watched before each operation of its disk."""

    def __init__(self, seed: int, report: CutReport, seen: set[bytes], images: int = 6) -> None:
        super().__init__(seed, calls=24, lives=3)
        self._cuts = report
        self._seen = seen
        self._images = images
        self._chance = random.Random(f"cuts {seed}")
        self._trace = Trace()
        self._exploring = self._recovering = False
        self._segment_bytes = self._chance.choice((600, 2_000, 2_000, 10**6))
        self._operating, self._ending = 0.05, self._chance.uniform(0.3, 0.6)
        self._writing = self._chance.choice((0.15, 0.4, 1.0))

    def run_cuts(self) -> None:
        """Run the script; raise AssertionError at the first image that does not open as it must."""
        self._cuts.scenarios += 1
        for _ in range(self._lives):
            self._live()
        self._reopen()

    # -- the script, with the trace beside it -----------------------------------------------------------

    def _reopen(self) -> HandLedger:
        self._disk.hook = None
        copy = self._disk.clone()
        self._open_image(copy)
        self._trace.cut_back(last_seq_found(list(tail_records(copy))))
        self._recovering = True
        self._disk.hook = self._explore
        ledger = super()._reopen()
        self._recovering = False
        return ledger

    def _recovered(self) -> None:
        for record in list(tail_records(self._disk))[self._trace.seq :]:
            self._trace.follow(record)
        self._recovering = False

    def _cut_soon(self) -> None:
        """The power goes everywhere here, in images."""

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        super()._on_entries(entries)
        for entry in entries:
            self._trace.follow(msgspec.json.decode(entry.body))

    # -- images -----------------------------------------------------------------------------------------

    def _explore(self, operation: str, path: Path) -> None:
        if self._exploring:
            return
        self._exploring = True
        self._cuts.operations += 1
        disk = self._disk
        try:
            certain = not disk.pending and not any(inode.dirty for inode in disk.names_seen.values())
            for _ in range(1 if certain else self._images):
                prefix = self._chance.random() < 0.4
                image = disk.cut(self._chance, prefix=prefix)
                digest = digest_of(image)
                if digest not in self._seen:
                    self._seen.add(digest)
                    self._cuts.states += 1
                    self._cuts.kinds[kind_of(disk, prefix=prefix)] += 1
                    self._check(image)
        finally:
            self._exploring = False

    def _check(self, image: SimDisk) -> None:
        dice = self._chance.random()
        copy = image.clone() if dice < 0.08 else None
        seq = self._open_and_compare(image)
        assert seq >= self._witness.told_seq, f"{self._witness.told_seq} was acknowledged, {seq} is left"
        if copy is not None:
            self._open_and_compare(self._cut_while_recovering(copy), seq)
        elif dice < 0.16:
            self._open_and_compare(image.cut(), seq)

    def _open_and_compare(self, image: SimDisk, known_seq: int | None = None) -> int:
        """Open an image for real; return the last record of the journal that it had.

        `known_seq`: it was opened before, which added records that change no sum (I10).
        """
        ledger = self._open_image(image)
        seq = last_seq_found(list(tail_records(image))) if known_seq is None else known_seq
        if seq > self._trace.seq:
            assert self._recovering, f"record {seq} was never written"
            seq = self._trace.seq  # its own records change no sum: what was held is charged
        assert money_of(ledger.state) == self._trace.money[seq], f"balances after record {seq}"
        assert not ledger.state.open_calls
        if known_seq is None and not self._recovering:
            assert ledger.recovered.settled_at_worst == self._trace.open_calls[seq]
        return seq

    def _open_image(self, image: SimDisk) -> HandLedger:
        try:
            ledger = HandLedger.open(
                FOLDER,
                disk=image,
                clock=self._clock,
                rng=SimRng(random.Random(0)),
                fatal=_failed,
                version="0.3.0",
                segment_bytes=self._segment_bytes,
                limits=LIMITS,
            )
        except SpendGuardError as refusal:
            raise AssertionError(f"false refusal: {refusal.detail}") from refusal
        assert isinstance(ledger, HandLedger)
        return ledger

    def _cut_while_recovering(self, image: SimDisk) -> SimDisk:
        """Let the power go once more, at any operation of the recovery."""
        last = image.operations + self._chance.randrange(14)

        def hook(operation: str, path: Path) -> None:
            if image.operations > last:
                raise PowerCut

        image.hook = hook
        try:
            self._open_image(image)
        except PowerCut:
            return image.cut(self._chance)
        return image.killed()


def tail_records(disk: SimDisk) -> Iterator[Record]:
    """Yield all records of a journal."""
    return (msgspec.json.decode(line) for line in journal_lines(disk))


def last_seq_found(records: Sequence[Record]) -> int:
    """Return the last record that stood in a journal before it was opened the last time."""
    index = max(i for i, record in enumerate(records) if record["t"] == "open")
    while index and records[index - 1]["t"] == "torn":
        index -= 1
    return index


def digest_of(image: SimDisk) -> bytes:
    """Return what tells this state of a disk from others."""
    digest = hashlib.sha256()
    for path in sorted(image.names_seen):
        data = image.names_seen[path].data
        digest.update(f"{path} {len(data)}\n".encode() + data)
    return digest.digest()[:12]


def kind_of(disk: SimDisk, *, prefix: bool) -> str:
    """Tell what a cut at this moment leaves open."""
    if disk.pending:
        return "names"
    return "byte prefixes" if prefix else "lost sectors"


def _failed(error: BaseException) -> None:
    raise AssertionError("the disk failed") from error


def run(seed: int, states: int, seen: set[bytes] | None = None) -> CutReport:
    """Try at least so many distinct states, scenario by scenario from this seed on."""
    report, known = CutReport(), set[bytes]() if seen is None else seen
    while report.states < states:
        Scenario(seed, report, known).run_cuts()
        seed += 1
    return report
