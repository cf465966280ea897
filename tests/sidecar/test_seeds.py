"""Seeds that once failed, each with what it found."""

import random
from pathlib import Path

import pytest

from ledger_kit import grant, new_agent
from simulator import guarded
from simulator.disk import PowerCut, SimDisk
from simulator.hand import HandJournal, HandLedger
from simulator.journal import LIMITS
from simulator.ports import SimRng, StepClock
from simulator.watch import FOLDER

UNSYNCED = "a segment of which a killed process left unsynced lines was closed without a sync, and then torn"
UNFROZEN = "the power went between an overrun and the freeze that followed it then"
GUARDED = {36: UNSYNCED, 409: UNSYNCED, 426: UNSYNCED, 311_257: UNFROZEN}
"""In 36 and 426 the damage lay below a snapshot, where no start would see it."""


@pytest.mark.sweep
@pytest.mark.parametrize("seed", GUARDED)
def test_whole_histories_that_failed_once(seed: int) -> None:
    """They hold now. A seed leads elsewhere once the code draws otherwise: each bug has its own test too."""
    guarded.run(seed)


def open_small(disk: SimDisk) -> HandLedger:
    """Open a ledger whose segments are closed after every batch."""
    HandJournal.on_entries = lambda entries: None
    ledger = HandLedger.open(
        FOLDER,
        disk=disk,
        clock=StepClock(),
        rng=SimRng(random.Random(0)),
        fatal=lambda error: pytest.fail(str(error)),
        version="0.3.0",
        segment_bytes=100,
        limits=LIMITS,
    )
    assert isinstance(ledger, HandLedger)
    return ledger


def test_what_a_killed_process_wrote_is_synced_before_the_next_segment_is_begun() -> None:
    """Written, killed before the sync, read by the next start as whole; then the power goes."""
    disk = SimDisk()
    ledger = open_small(disk)
    ledger.post(new_agent())
    ledger.post(grant(5_000))

    def power_goes(operation: str, path: Path) -> None:
        if operation == "sync" and disk.names_seen[path].data:
            raise PowerCut

    disk.hook = power_goes
    with pytest.raises(PowerCut):
        ledger.pen.write_all()
    disk = disk.killed()
    assert len(open_small(disk).state.accounts) == 1
    assert len(open_small(disk.cut()).state.accounts) == 1
