"""Opening a folder for real: cut off, noted, charged, durable, and the same after another crash."""

import json
import random

import pytest

from journals import disk_with, journal, record_journal, replayed
from ledger_kit import (
    AGENT,
    FOLDER,
    HEAD,
    SEGMENT,
    new_agent,
    open_ledger,
)
from sim import SimClock, SimDisk
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.lines import (
    decode_slot,
)
from spendguard_daemon.ledger.opening import FIRST_SEGMENT


def check_opened(segment: bytes, head: bytes | None, records: int) -> None:
    """Open a ledger for real; its first `records` records must count, and open holds be charged."""
    disk = disk_with(segment, head)
    ledger = open_ledger(disk)
    before = replayed(journal().raw[: journal().line_ends[records]])[1]
    expected = {name: account.settled_nusd + account.held_nusd for name, account in before.accounts.items()}
    assert {name: account.settled_nusd for name, account in ledger.state.accounts.items()} == expected
    assert ledger.recovered.settled_at_worst == tuple(before.open_calls)
    assert ledger.state.open_calls == {}
    kept = disk.crash().read(SEGMENT)
    assert kept.startswith(journal().raw[: journal().line_ends[records]])
    again = open_ledger(disk.crash())
    assert (again.recovered.torn_bytes, again.recovered.settled_at_worst) == (0, ())
    assert {name: account.settled_nusd for name, account in again.state.accounts.items()} == expected


def test_prefixes_open_for_real_and_charge_open_holds() -> None:
    """Through the disk: cut off, noted, charged, durable, and the same after another crash."""
    recorded = journal()
    for records, end in enumerate(recorded.line_ends[:-1]):
        for size in (
            end,
            end + 1,
            (end + recorded.line_ends[records + 1]) // 2,
            recorded.line_ends[records + 1] - 1,
        ):
            check_opened(recorded.raw[:size], None, records)


def test_the_whole_journal_opens_and_charges_every_open_hold() -> None:
    """With its own head, and without a warning."""
    recorded = journal()
    check_opened(recorded.raw, recorded.batches[-1].head, len(recorded.line_ends) - 1)
    ledger = open_ledger(disk_with(recorded.raw, recorded.batches[-1].head))
    assert {"last-1", "last-2"} <= set(ledger.recovered.settled_at_worst)
    assert ledger.recovered.records == len(recorded.line_ends) - 1
    assert ledger.recovered.warnings == ()
    call = ledger.history.call("last-1")
    assert call is not None
    assert (call.state, call.reason, call.cost_nusd) == ("settled_worst", "crash", 1_000)


def test_recovery_is_idempotent_and_its_own_crashes_are_harmless() -> None:
    """I10: killed at any operation while it recovers, it recovers the same balances the next time."""
    recorded = journal()
    size = recorded.batches[-1].size - 100
    expected = open_ledger(disk_with(recorded.raw[:size])).state.accounts[AGENT].settled_nusd
    whole = disk_with(recorded.raw[:size])
    open_ledger(whole)
    for stop in range(len(whole.operations)):
        for chance in (None, random.Random(stop)):
            disk = disk_with(recorded.raw[:size])

            def power_cut(operation: str, path: object, disk: SimDisk = disk, stop: int = stop) -> None:
                if len(disk.operations) > stop:
                    raise OSError("the power went")

            disk.hook = power_cut
            with pytest.raises(SpendGuardError) as caught:
                open_ledger(disk)
            assert caught.value.code is Code.DISK_FAILED
            ledger = open_ledger(disk.crash(chance))
            assert ledger.state.accounts[AGENT].settled_nusd == expected
            assert ledger.state.open_calls == {}


def test_a_torn_tail_is_kept_noted_and_warned_of() -> None:
    """The bytes in a file of their own, a record with their hash, a warning for the operator."""
    recorded = journal()
    raw = recorded.raw[:-7]
    tail = raw[recorded.line_ends[-2] :]
    disk = disk_with(raw, recorded.batches[-2].head)
    ledger = open_ledger(disk)
    name = f"torn-{len(recorded.line_ends) - 1:012d}.bin"
    assert disk.crash().read(FOLDER / name) == tail
    record = json.loads(disk.crash().read(SEGMENT).splitlines()[len(recorded.line_ends) - 2])
    assert (record["t"], record["bytes"], record["sha256"]) == ("torn", len(tail), sha256_hex(tail))
    assert record["first_seq"] == len(recorded.line_ends) - 1
    assert ledger.recovered.torn_bytes == len(tail)
    assert str(len(tail)) in ledger.recovered.warnings[0]


def test_other_torn_bytes_of_the_same_place_are_not_overwritten() -> None:
    """Two tears at one seq, as after a crash during recovery, are both kept."""
    recorded = journal()
    name = f"torn-{len(recorded.line_ends) - 1:012d}"
    disk = disk_with(recorded.raw[:-7])
    disk.put(FOLDER / f"{name}.bin", b"an older tear")
    open_ledger(disk)
    assert disk.read(FOLDER / f"{name}.bin") == b"an older tear"
    assert disk.read(FOLDER / f"{name}-2.bin") == recorded.raw[recorded.line_ends[-2] : -7]


def test_a_missing_head_is_a_warning_and_is_written_anew() -> None:
    """The journal stands by itself."""
    recorded = journal()
    disk = disk_with(recorded.raw)
    assert "head file" in open_ledger(disk).recovered.warnings[0]
    assert open_ledger(disk.killed()).recovered.warnings == ()


def test_the_newest_head_slot_is_not_the_first_to_be_overwritten() -> None:
    """A torn write of the next head leaves the one that knows most."""
    for batches in (1, 2, 3, 4):
        recorded = record_journal([[new_agent(f"agent-{index}")] for index in range(batches)])
        newest = recorded.batches[-1]
        disk = disk_with(recorded.raw, newest.head)
        open_ledger(disk)
        slots = [decode_slot(disk.read(HEAD)[start : start + 128]) for start in (0, 128)]
        assert newest.seq in [slot.seq for slot in slots if slot]


def test_the_cut_is_durable_before_anything_is_added() -> None:
    """Else a power cut could leave new lines among the old bytes."""
    disk = disk_with(journal().raw[:-7])
    open_ledger(disk)
    steps = [operation for operation, name in disk.operations if name == FIRST_SEGMENT]
    reads = steps.count("read")
    assert steps == ["read"] * reads + ["open", "truncate", "sync", "write", "sync"]
    names = [operation for operation, _ in disk.operations]
    assert names.index("sync_folder") < names.index("replace") < names.index("truncate")


def test_a_journal_that_is_gone_is_refused() -> None:
    """The head remembers that there was one."""
    recorded = journal()
    disk = SimDisk()
    disk.put(HEAD, recorded.batches[-1].head)
    with pytest.raises(SpendGuardError) as caught:
        open_ledger(disk)
    assert caught.value.facts == {"file": FIRST_SEGMENT, "line": 1, "byte": 0}


def test_no_ledger_is_begun_beside_a_restore_that_was_cut_short() -> None:
    """The money is in the folder beside it; once that is renamed, or the ledger is there, all is well."""
    beside = FOLDER.with_name("ledger.restoring")
    disk = SimDisk()
    disk.make_folder(beside)
    with pytest.raises(SpendGuardError) as caught:
        open_ledger(disk)
    assert caught.value.code is Code.LEDGER_DAMAGED
    assert caught.value.facts == {"file": "ledger.restoring", "line": 1, "byte": 0}
    assert disk.names(FOLDER) == ["lock"]
    disk.rename(beside, FOLDER.with_name("aside"))
    open_ledger(disk)
    disk.make_folder(beside)
    assert open_ledger(disk.killed()).recovered.records == 1


def test_a_refused_journal_is_left_as_it_was_and_the_lock_is_given_up() -> None:
    """Whoever looks into it finds the evidence untouched."""
    recorded = journal()
    damaged = recorded.raw.replace(b"call-1-0", b"call-1-X")
    disk = disk_with(damaged, recorded.batches[-1].head)
    for _ in range(2):
        with pytest.raises(SpendGuardError) as caught:
            open_ledger(disk)
        assert caught.value.code is Code.LEDGER_DAMAGED
    assert disk.read(SEGMENT) == damaged
    assert sorted(disk.names(FOLDER)) == ["head", "lock", FIRST_SEGMENT]


def test_torn_bytes_that_are_kept_already_are_not_kept_twice() -> None:
    """Recovery was cut short once they were safe, and before they were cut off."""
    recorded = journal()
    disk = disk_with(recorded.raw[:-7])
    name = f"torn-{len(recorded.line_ends) - 1:012d}.bin"
    disk.put(FOLDER / name, recorded.raw[recorded.line_ends[-2] : -7])
    open_ledger(disk)
    assert [found for found in disk.names(FOLDER) if found.startswith("torn")] == [name]


@pytest.mark.parametrize(("seconds", "warned"), [(59.9, False), (60, True), (-5, False)])
def test_a_clock_far_behind_is_told_to_the_operator(seconds: float, warned: bool) -> None:
    """One that was corrected by less than a minute is not."""
    disk, clock = SimDisk(), SimClock()
    open_ledger(disk, clock).post(new_agent())
    clock.advance(-seconds)
    warnings = open_ledger(disk.killed(), clock).recovered.warnings
    assert [f"the clock is {seconds:.0f} s behind" in warning for warning in warnings] == [True] * warned


async def test_nobody_hears_now_of_what_the_start_recorded() -> None:
    """It was durable before anyone could listen."""
    disk = disk_with(journal().raw)
    ledger = open_ledger(disk)
    assert ledger.recovered.settled_at_worst
    heard: list[str] = []
    ledger.subscribe(lambda event, seq, wall_ns: heard.append(type(event).__name__))
    ledger.post(cmd.Freeze(AGENT, "mad", "me"))
    assert heard == ["Freeze"]
    assert ledger._book.kept == []


def test_a_clock_set_back_does_not_reorder_time() -> None:
    """Records stand in the order of their seq; a later one is never earlier."""
    disk = SimDisk()
    ledger = open_ledger(disk)
    ledger.post(new_agent())
    created_ns = ledger.state.accounts[AGENT].created_ns
    disk = disk.killed()

    ledger = open_ledger(disk, SimClock(wall=5))
    ledger.post(new_agent("agent-2"))
    assert ledger.state.accounts["agent-2"].created_ns == created_ns
