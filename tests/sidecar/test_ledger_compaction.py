"""Segments, snapshots, archive: whatever moves, whenever the power goes, replay makes the same state."""

import asyncio
import errno
import gc
import json
import random
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compacting import (
    AGENTS,
    SEGMENT_BYTES,
    PowerCutError,
    busy,
    busy_ledger,
    compact,
    first_steps,
    from_genesis,
    from_snapshot,
    no_pause,
    power_cuts,
    same_ledger,
)
from ledger_kit import AGENT, FOLDER, HEAD, Failures, hold_call, in_its_place, open_ledger
from sim import SimClock, SimDisk
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.compaction import _no_collections, archive_covered, make_snapshot
from spendguard_daemon.ledger.events import Checkpoint
from spendguard_daemon.ledger.folder import ARCHIVE, LedgerFolder, segment_name, snapshot_name
from spendguard_daemon.ledger.history import KEPT_CALLS, KEPT_REFUSALS, KEPT_RUNS, History
from spendguard_daemon.ledger.journal import Entry
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.lines import encode_body
from spendguard_daemon.ledger.refusals import Refusal
from spendguard_daemon.ledger.sealed import opened, read, seal
from spendguard_daemon.ledger.snapshot import Snapshot, SnapshotError, decode, encode, snapshot_of
from spendguard_daemon.ledger.state import State


def names(disk: SimDisk, folder: Path = FOLDER) -> list[str]:
    """Return the segments and snapshots in a folder."""
    return [name for name in disk.names(folder) if name.startswith(("seg-", "snap-"))]


def lines(disk: SimDisk) -> list[dict[str, Any]]:
    """Return every record, in order."""
    folder = LedgerFolder(FOLDER, disk)
    return [json.loads(line) for part in folder.read_all(folder.segments) for line in part.raw.splitlines()]


def money(ledger: Ledger) -> dict[str, int]:
    """Return what each agent has spent or may have spent."""
    return {name: account.settled_nusd + account.held_nusd for name, account in ledger.state.accounts.items()}


def refused(disk: SimDisk) -> SpendGuardError:
    """Return the refusal to open."""
    with pytest.raises(SpendGuardError) as caught:
        open_ledger(disk)
    return in_its_place(caught.value)


def twice_compacted() -> SimDisk:
    """Return a disk with two snapshots, an archive and a tail."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    for seed in (1, 2):
        busy(ledger, clock, 40, seed)
        compact(ledger, disk)
    busy(ledger, clock, 10, 3)
    return disk.killed()


def test_segments_follow_each_other_at_their_size() -> None:
    """Each is named after its first record, the chain runs through, none is much longer than the limit."""
    disk = SimDisk()
    busy_ledger(disk, 60)
    folder = LedgerFolder(FOLDER, disk)
    assert len(folder.segments) > 5
    seqs = [record["seq"] for record in lines(disk)]
    assert seqs == list(range(1, len(seqs) + 1))
    for file in folder.segments:
        first = json.loads(disk.read(FOLDER / file.name).splitlines()[0])
        assert first["seq"] == file.first_seq
        assert disk.size(FOLDER / file.name) < SEGMENT_BYTES + 1_500
    assert folder.begun_seq == folder.segments[-1].first_seq - 1


def test_a_new_segment_and_its_name_are_durable_before_anything_is_in_it() -> None:
    """fsync of the file, then of the folder, then the first write."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 0, segment_bytes=1)
    disk.operations.clear()
    ledger.post(cmd.Freeze(AGENT, "why", "test"))
    name = segment_name(ledger._book.seq)
    assert disk.operations == [
        ("open", name),
        ("sync", name),
        ("sync_folder", FOLDER.name),
        ("write", name),
        ("sync", name),
        ("write_at", "head"),
    ]


def test_where_there_is_no_room_for_a_new_segment_the_old_one_goes_on() -> None:
    """The empty file that was left is passed over, by starts of any kind, also when the tail is torn."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 0, segment_bytes=1)

    def full(operation: str, path: Path) -> None:
        if operation == "open" and path.name.startswith("seg-"):
            raise OSError(errno.ENOSPC, "full")

    disk.hook = full
    ledger.post(cmd.Freeze(AGENT, "why", "test"))
    stale = segment_name(ledger._book.seq)
    disk.hook = None
    disk.put(FOLDER / stale, b"")
    last = LedgerFolder(FOLDER, disk).segments[-2]
    disk.hook = full
    ledger.post(cmd.Freeze(AGENT, "worse", "test"))
    disk.hook = None
    torn = disk.killed()
    torn.files[FOLDER / last.name].data += b'{"v":1,'
    torn.files[FOLDER / stale] = torn.files[FOLDER / last.name].__class__()
    for found in (disk.killed(), torn):
        again = open_ledger(found, segment_bytes=SEGMENT_BYTES)
        assert again.state.accounts[AGENT].frozen_reason == "worse"
        assert disk.size(FOLDER / last.name) < found.size(FOLDER / last.name)
        assert open_ledger(found.killed()).state == again.state or again.recovered.torn_bytes


def test_any_other_failure_to_begin_a_segment_is_final() -> None:
    """An fsync that fails once is not tried again."""
    disk, failures = SimDisk(), Failures()
    ledger = open_ledger(disk, fatal=failures, segment_bytes=1)

    def broken(operation: str, path: Path) -> None:
        if operation == "sync_folder":
            raise OSError(errno.EIO, "broken")

    disk.hook = broken
    with pytest.raises(SpendGuardError) as caught:
        first_steps(ledger)
    assert caught.value.code is Code.DISK_FAILED
    assert len(failures.seen) == 1


def test_a_segment_that_was_begun_proves_the_records_before_it() -> None:
    """Without head and later acks its name alone keeps the last batch from being taken for a tear."""
    disk = SimDisk()
    busy_ledger(disk, 10)
    segments = LedgerFolder(FOLDER, disk).segments
    disk.put(FOLDER / segments[-1].name, b"")
    disk.put(HEAD, b"")
    before = FOLDER / segments[-2].name
    whole = disk.read(before)
    open_ledger(disk.killed())
    disk.put(before, whole[:-5])
    error = refused(disk.killed())
    assert error.facts["file"] == before.name
    assert "the last line is cut off" in error.detail
    disk.put(before, whole[: whole[:-1].rindex(b"\n") + 1])
    assert "was durable" in refused(disk.killed()).detail


def test_a_large_segment_is_closed_at_the_next_start() -> None:
    """As after an upgrade: the first start replays it, the next ones need not."""
    disk = SimDisk()
    busy_ledger(disk, 30, segment_bytes=10**6)
    assert names(disk) == [segment_name(1)]
    ledger = open_ledger(disk.killed(), segment_bytes=SEGMENT_BYTES)
    assert ledger._journal.closed_seq == ledger.recovered.records


def test_compaction_archives_what_the_snapshot_covers_and_keeps_two_snapshots() -> None:
    """The live folder has the tail alone; nothing of the journal is gone."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    covered = []
    for seed in range(3):
        busy(ledger, clock, 40, seed)
        disk.put(FOLDER / ".snap-000000000009.json.x.tmp", b"cut short")
        compact(ledger, disk)
        covered.append(ledger._journal.closed_seq)
    live = names(disk)
    assert live == [segment_name(covered[-1] + 1), snapshot_name(covered[-2]), snapshot_name(covered[-1])]
    assert [record["seq"] for record in lines(disk)] == list(range(1, ledger._book.seq + 1))
    assert not any(name.startswith(".") for name in disk.names(FOLDER))
    crashed = disk.crash()
    assert set(names(crashed)) >= set(live), "a snapshot that was dropped may come back"
    assert names(crashed, FOLDER / ARCHIVE) == names(disk, FOLDER / ARCHIVE)
    assert lines(crashed) == lines(disk)


def test_a_checkpoint_says_what_less_and_sha256sum_say() -> None:
    """The record names the file, its hash over the bytes before the last line, and the sums of its moment."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 40)
    compact(ledger, disk)
    record = lines(disk)[-1]
    raw = disk.read(FOLDER / record["snapshot"])
    body, tail = raw[: raw.rindex(b",\n")], raw[raw.rindex(b",\n") :]
    assert raw.isascii()
    assert tail.decode() == f',\n"sha256":"{sha256_hex(body)}"}}\n'
    assert (record["t"], record["sha256"], record["bytes"]) == ("checkpoint", sha256_hex(body), len(raw))
    content = json.loads(raw)
    assert (content["snapshot"], content["seq"], content["h"]) == (
        1,
        record["through_seq"],
        record["through_h"],
    )
    assert content["h"] == next(line["h"] for line in lines(disk) if line["seq"] == content["seq"])
    daemon = ledger.state.daemon
    assert (record["settled_nusd"], record["held_nusd"]) == (daemon.settled_nusd, daemon.held_nusd)
    for line in raw.decode().splitlines():
        if line.startswith('{"agent_id"'):
            json.loads(line.rstrip(",]"))  # each thing stands on a line of its own


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.lists(st.integers(0, 120), min_size=1, max_size=4))
def test_snapshot_and_tail_are_genesis_and_live(seed: int, steps: list[int]) -> None:
    """I4: after any history and any number of compactions and restarts, all three agree."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    for index, count in enumerate(steps):
        busy(ledger, clock, count, seed + index)
        if ledger._journal.closed_seq:
            compact(ledger, disk)
        if index % 2:
            disk = disk.killed()
            ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
        whole = from_genesis(disk)
        same_ledger(from_snapshot(disk), whole)
        assert whole.state == ledger.state
        assert whole.history.kept() == ledger.history.kept()


def test_a_snapshot_has_every_part_of_the_state() -> None:
    """Whoever adds a field to the state must say how a snapshot keeps it."""
    beside = {"turns", "_keys_of"}
    kept = set(Snapshot.__struct_fields__)
    assert {field.name for field in fields(State)} - beside <= kept


@pytest.mark.parametrize("start", [True, False])
def test_the_power_may_go_at_any_operation_of_a_compaction(start: bool) -> None:
    """And any name that was not synced may be there or not: the money is the same at the next start."""
    stop, done = 0, False
    chance = random.Random(5)
    while not done:
        disk, clock = SimDisk(), SimClock()
        ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
        first_steps(ledger)
        busy(ledger, clock, 30, 1)
        if start:
            compact(ledger, disk)
            busy(ledger, clock, 30, 2)
        expected = money(ledger)
        first = len(disk.operations)

        def cut(
            operation: str, path: Path, disk: SimDisk = disk, first: int = first, stop: int = stop
        ) -> None:
            if len(disk.operations) - first > stop and operation != "read":
                raise PowerCutError

        disk.hook = cut
        try:
            compact(ledger, disk)
            done = True
        except PowerCutError:
            pass
        disk.hook = None
        for after in (disk.killed(), *power_cuts(disk, chance, 30)):
            clock_after = SimClock(wall=clock.wall, monotonic=1)
            again = open_ledger(after, clock_after, segment_bytes=SEGMENT_BYTES)
            assert money(again) == expected, (stop, names(after))
            assert not any("snap-" in warning for warning in again.recovered.warnings)
            compact(again, after)
            same_ledger(from_snapshot(after), from_genesis(after))
        stop += 1
    assert stop > 15


def test_a_start_reads_only_what_it_needs() -> None:
    """Not the archive, not covered segments that a crash left in their old place."""
    disk = twice_compacted()
    archived = disk.names(FOLDER / ARCHIVE)
    disk.rename(FOLDER / ARCHIVE / archived[-1], FOLDER / archived[-1])
    read: list[str] = []
    disk.hook = lambda operation, path: read.append(path.name) if operation == "read" else None
    ledger = open_ledger(disk, segment_bytes=SEGMENT_BYTES)
    assert not set(read) & set(archived)
    disk.hook = None
    compact(ledger, disk)
    assert archived[-1] in disk.names(FOLDER / ARCHIVE)


def place(disk: SimDisk, through_seq: int) -> str:
    """Return file and line of the checkpoint of a snapshot."""
    folder = LedgerFolder(FOLDER, disk)
    for part in folder.read_all(folder.segments):
        for number, line in enumerate(part.raw.splitlines(), 1):
            if b'"t":"checkpoint","through_seq":%d,' % through_seq in line:
                return f"{part.name}, line {number}"
    raise AssertionError("no checkpoint")


def test_a_bad_snapshot_is_passed_over_for_the_one_before_or_the_first_record() -> None:
    """With a warning that names it; the money is the same."""
    disk = twice_compacted()
    expected = money(open_ledger(disk.killed()))
    older, newer = LedgerFolder(FOLDER, disk).snapshots
    for bad in ([newer], [older, newer]):
        for damage in (b"", None):
            found = disk.killed()
            for seq in bad:
                raw = bytearray(found.read(FOLDER / snapshot_name(seq)))
                raw[len(raw) // 2] ^= 1
                found.files.pop(FOLDER / snapshot_name(seq))
                if damage is None:
                    found.put(FOLDER / snapshot_name(seq), bytes(raw))
            ledger = open_ledger(found)
            assert money(ledger) == expected
            assert [warning.rpartition(":")[0] for warning in ledger.recovered.warnings] == [
                f"{snapshot_name(seq)}, named by {place(found, seq)}" for seq in reversed(bad)
            ]


def test_a_bad_snapshot_without_the_older_records_is_refused_by_its_name() -> None:
    """Nothing is made up for what is not there."""
    disk = twice_compacted()
    for name in disk.names(FOLDER / ARCHIVE):
        disk.files.pop(FOLDER / ARCHIVE / name)
    open_ledger(disk.killed())
    for seq in LedgerFolder(FOLDER, disk).snapshots:
        disk.files.pop(FOLDER / snapshot_name(seq))
    error = refused(disk.killed())
    assert error.code is Code.LEDGER_DAMAGED
    assert error.facts == {"file": snapshot_name(seq), "line": 1, "byte": 0}
    assert segment_name(1) in error.detail


def test_of_several_bad_snapshots_the_newest_is_named() -> None:
    """It is the one that should have served; the journal still names the older one too."""
    disk = twice_compacted()
    older, newer = LedgerFolder(FOLDER, disk).snapshots
    disk.files.pop(FOLDER / ARCHIVE / segment_name(1))
    for seq in (older, newer):
        disk.files.pop(FOLDER / snapshot_name(seq))
    checkpoints = [line for line in lines(disk) if line["t"] == "checkpoint"]
    assert [line["through_seq"] for line in checkpoints] == [older, newer]
    assert refused(disk).facts["file"] == snapshot_name(newer)


def test_without_any_checkpoint_a_missing_first_segment_is_refused() -> None:
    """As before there were snapshots."""
    disk = SimDisk()
    busy_ledger(disk, 20)
    disk.files.pop(FOLDER / segment_name(1))
    assert "record 1 should follow" in refused(disk.killed()).detail


def test_a_whole_snapshot_in_the_place_of_another_is_not_taken() -> None:
    """Its own hash is right, but it is not the one that the checkpoint names."""
    disk = twice_compacted()
    older, newer = LedgerFolder(FOLDER, disk).snapshots
    disk.put(FOLDER / snapshot_name(newer), disk.read(FOLDER / snapshot_name(older)))
    assert "not the snapshot" in open_ledger(disk).recovered.warnings[0]


def test_a_gap_in_the_archive_is_refused_where_the_archive_is_needed() -> None:
    """The segment after the gap is named."""
    disk = twice_compacted()
    for seq in LedgerFolder(FOLDER, disk).snapshots:
        disk.files.pop(FOLDER / snapshot_name(seq))
    _, second, third = disk.names(FOLDER / ARCHIVE)[:3]
    disk.files.pop(FOLDER / ARCHIVE / second)
    assert refused(disk).facts["file"] == third


def test_a_checkpoint_of_a_newer_version_is_refused_as_such() -> None:
    """Also where the `open` record that would say so is in the archive."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 30)
    made = make_snapshot(FOLDER, disk, ledger._journal.closed_seq, no_pause)
    event = made.checkpoint(ledger.state)
    newer = Checkpoint(**{name: getattr(event, name) for name in event.__struct_fields__} | {"min_reader": 3})
    ledger._book.record(newer)
    assert refused(disk.killed()).code is Code.LEDGER_NEWER
    archive_covered(FOLDER, disk, made.through_seq)
    disk.put(FOLDER / event.snapshot, b"of a form that is not known yet")
    disk.files.pop(FOLDER / ARCHIVE / segment_name(1))
    assert refused(disk.killed()).code is Code.LEDGER_NEWER


def test_a_checkpoint_in_a_torn_tail_does_not_count() -> None:
    """Half a line, or a body that is no checkpoint, is left to recovery to judge."""
    disk = twice_compacted()
    expected = money(open_ledger(disk.killed()))
    path = FOLDER / LedgerFolder(FOLDER, disk).segments[-1].name
    disk.files[path].data += b'{"v":1,"t":"checkpoint","through_seq":1'
    ledger = open_ledger(disk.killed())
    assert money(ledger) == expected
    assert ledger.recovered.torn_bytes == 39
    disk.files[path].data += b'\n{"seq":1,"t":"checkpoint"}\n'
    assert money(open_ledger(disk.killed())) == expected
    for name in disk.names(FOLDER / ARCHIVE):
        disk.files.pop(FOLDER / ARCHIVE / name)
    assert money(open_ledger(disk.killed())) == expected, "the whole checkpoint before it still counts"


def test_half_a_checkpoint_does_not_hide_the_whole_one_before_it() -> None:
    """In the same segment; the older records are not there to begin with instead."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 40)
    compact(ledger, disk)
    expected = money(ledger)
    last = FOLDER / LedgerFolder(FOLDER, disk).segments[-1].name
    assert b'"t":"checkpoint"' in disk.read(last)
    for name in disk.names(FOLDER / ARCHIVE):
        disk.files.pop(FOLDER / ARCHIVE / name)
    disk.files[last].data += b'{"v":1,"t":"checkpoint","through_seq":1'
    assert money(open_ledger(disk.killed())) == expected


def test_words_that_look_like_a_checkpoint_are_none() -> None:
    """A record of another type may say so in a field."""
    disk = twice_compacted()
    ledger = open_ledger(disk)
    ledger.post(cmd.Unfreeze(AGENT, "test"))
    ledger.post(hold_call("odd"))
    ledger.post(cmd.SettleCall("odd", 5, {}, [{"t": "checkpoint"}], 200, "reported"))
    assert from_snapshot(disk).state == ledger.state


def test_a_checkpoint_whose_sums_are_wrong_is_refused() -> None:
    """It asserts the balances of its moment."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 30)
    made = make_snapshot(FOLDER, disk, ledger._journal.closed_seq, no_pause)
    event = made.checkpoint(ledger.state)
    wrong = Checkpoint(
        **{name: getattr(event, name) for name in event.__struct_fields__} | {"settled_nusd": 1}
    )
    ledger._journal.append([Entry(ledger._book.seq + 1, 1_900_000_000 * 10**9, encode_body(wrong))])
    assert "checkpoint's sums" in refused(disk.killed()).detail


def test_damage_of_a_closed_segment_is_found_by_the_compaction() -> None:
    """It reads what was written, and does not paper over a loss."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 40)
    path = FOLDER / segment_name(1)
    disk.put(path, disk.read(path).replace(b"agent-2", b"agent-3"))
    with pytest.raises(SpendGuardError) as caught:
        make_snapshot(FOLDER, disk, ledger._journal.closed_seq, no_pause)
    assert caught.value.code is Code.LEDGER_DAMAGED
    assert not any(name.startswith("snap-") for name in disk.names(FOLDER))


@pytest.mark.parametrize(
    "change",
    [
        {"snapshot": 2},
        {"ts": "yesterday"},
        {"daemon": {"settled_nusd": -1}},
        {"open_calls": []},
        {"accounts": "none"},
        {"accounts": None},
    ],
)
def test_snapshots_that_prove_themselves_but_are_none_are_refused(change: dict[str, Any]) -> None:
    """Another version, another form, sums that do not add up."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 40)
    ledger.post(cmd.Unfreeze(AGENT, "test"))
    ledger.post(hold_call("open"))
    raw, _ = encode(snapshot_of(ledger.state, ledger.history, 9, "0" * 32, 5), no_pause)
    assert decode(raw)[0].state() == ledger.state
    content = {name: value for name, value in (json.loads(raw) | change).items() if value is not None}
    del content["sha256"]
    body = json.dumps(content)[:-1].encode()
    doctored = body + f',\n"sha256":"{sha256_hex(body)}"}}\n'.encode()
    with pytest.raises(SnapshotError):
        decode(doctored)


def test_what_a_snapshot_keeps_of_the_history_is_bounded() -> None:
    """The latest calls and runs, and any call that is open however old it is."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock)
    first_steps(ledger)
    ledger.post(hold_call("old"))
    for index in range(KEPT_CALLS + 3):
        view = ledger.history.call("old")
        assert view is not None
        ledger.history._calls.by_id[f"x-{index}"] = view.__class__(
            **{name: getattr(view, name) for name in view.__struct_fields__}
            | {"call_id": f"x-{index}", "agent_id": f"a-{index}", "state": "settled", "order": index + 2}
        )
    for index in range(KEPT_RUNS + 3):
        ledger.history.note_run(f"agent-{index % 7}", f"run-{index}", index)
    for index in range(KEPT_REFUSALS + 3):
        clock.advance(2)
        agent_id = AGENTS[index % 3]
        ledger.refuse(Refusal(f"r-{index}", agent_id, "", "", "", "", Code.BUDGET_NOT_SET, "", {}))
    kept = ledger.history.kept()
    assert [view.call_id for view in kept.refusals] == [f"r-{index + 3}" for index in range(KEPT_REFUSALS)]
    assert [view.call_id for view in kept.calls][:2] == ["old", "x-3"]
    assert len(kept.calls) == KEPT_CALLS + 1
    assert len(kept.runs) == KEPT_RUNS
    again = History.of(kept)
    assert again.call("old") == ledger.history.call("old")
    assert again.call("x-2") is None
    assert again.call("r-3") == ledger.history.call("r-3") is not None


async def until(condition: Any) -> None:
    """Wait until something is so, at most some seconds."""
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not happen")


async def test_the_daemon_compacts_beside_its_loop() -> None:
    """On a thread, whenever a segment was closed; calls go on meanwhile."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    ledger.start(asyncio.get_running_loop())
    first_steps(ledger)
    for seed in range(3):
        for part in range(8):
            busy(ledger, clock, 6, 10 * seed + part)
            await ledger.submit(cmd.Freeze(AGENT, f"batch {part}", "test"))
        await until(lambda: LedgerFolder(FOLDER, disk).snapshots and not ledger._compaction.running)
    await ledger.close("test")
    assert disk.names(FOLDER / ARCHIVE)
    same_ledger(from_snapshot(disk), from_genesis(disk))
    assert from_genesis(disk).state == ledger.state


async def test_what_a_start_finds_closed_is_compacted_at_once() -> None:
    """Without waiting for the next record."""
    disk = SimDisk()
    busy_ledger(disk, 40)
    disk = disk.killed()
    ledger = open_ledger(disk, segment_bytes=SEGMENT_BYTES)
    ledger.start(asyncio.get_running_loop())
    await until(lambda: LedgerFolder(FOLDER, disk).snapshots and not ledger._compaction.running)
    assert ledger._compaction._covered_seq == LedgerFolder(FOLDER, disk).snapshots[-1]
    await ledger.close("test")
    assert lines(disk)[-2]["t"] == "checkpoint"


async def test_one_compaction_runs_at_a_time() -> None:
    """What is closed meanwhile waits for the next one."""
    disk = SimDisk()
    busy_ledger(disk, 40)
    disk = disk.killed()
    ledger = open_ledger(disk, segment_bytes=SEGMENT_BYTES)
    begun, go_on = threading.Event(), threading.Event()

    def wait(operation: str, path: Path) -> None:
        if operation == "replace" and path.name.startswith("snap-"):
            begun.set()
            assert go_on.wait(20)

    disk.hook = wait
    ledger.start(asyncio.get_running_loop())
    assert await asyncio.to_thread(begun.wait, 20)
    assert ledger._compaction.running
    task, closed_seq = ledger._compaction._task, ledger._journal.closed_seq
    busy(ledger, SimClock(), 40, 9)
    await ledger.submit(cmd.Freeze(AGENT, "why", "test"))
    assert ledger._journal.closed_seq > closed_seq
    assert ledger._compaction._task is task
    go_on.set()
    await until(lambda: not ledger._compaction.running)
    await ledger.submit(cmd.Unfreeze(AGENT, "test"))
    await until(lambda: len(LedgerFolder(FOLDER, disk).snapshots) == 2)
    await ledger.close("test")


async def test_nothing_is_archived_before_its_checkpoint_is_durable() -> None:
    """Neither before the record is synced, nor before the snapshot is."""
    disk, seen = SimDisk(), list[str]()
    busy_ledger(disk, 40)
    disk = disk.killed()
    ledger = open_ledger(disk, segment_bytes=SEGMENT_BYTES)

    def look(operation: str, path: Path) -> None:
        if operation == "rename":
            assert any(b'"t":"checkpoint"' in node.durable for node in disk.durable_names.values())
            assert any(path.name.startswith("snap-") for path in disk.durable_names)
            seen.append(path.name)

    disk.hook = look
    ledger.start(asyncio.get_running_loop())
    await until(lambda: seen and not ledger._compaction.running)
    await ledger.close("test")
    assert len(seen) > 2


async def test_closing_gives_up_a_compaction_that_is_under_way() -> None:
    """It is done another time; the close does not wait for it."""
    disk = SimDisk()
    busy_ledger(disk, 200)
    disk = disk.killed()
    ledger = open_ledger(disk, segment_bytes=SEGMENT_BYTES)
    ledger.start(asyncio.get_running_loop())
    await ledger.close("test")
    ledger._compaction.poll(10**9)
    assert not ledger._compaction.running
    assert LedgerFolder(FOLDER, disk).snapshots == ()
    assert lines(disk)[-1]["t"] == "close"


async def failing_ledger(number: int, operation: str, name: str) -> tuple[Ledger, SimDisk, Failures]:
    """Return a started ledger with closed segments, whose next compaction meets a failure."""
    disk, failures = SimDisk(), Failures()
    busy_ledger(disk, 40)
    disk = disk.killed()
    ledger = open_ledger(disk, fatal=failures, segment_bytes=SEGMENT_BYTES)

    def fail(seen: str, path: Path) -> None:
        if seen == operation and path.name.startswith(name):
            raise OSError(number, "no")

    disk.hook = fail
    ledger.start(asyncio.get_running_loop())
    return ledger, disk, failures


async def test_a_disk_too_full_for_a_snapshot_stops_nothing() -> None:
    """The next closed segment is the time to try again."""
    ledger, disk, failures = await failing_ledger(errno.ENOSPC, "replace", "snap-")
    closed_seq = ledger._journal.closed_seq
    await until(lambda: not ledger._compaction.running)
    assert ledger._compaction._covered_seq == closed_seq, "these are not tried again"
    assert failures.seen == []
    disk.hook = None
    assert LedgerFolder(FOLDER, disk).snapshots == ()
    busy(ledger, SimClock(), 40, 9)
    await until(lambda: LedgerFolder(FOLDER, disk).snapshots)
    await ledger.close("test")


@pytest.mark.parametrize(("operation", "name"), [("replace", "snap-"), ("rename", "seg-"), ("read", "seg-")])
async def test_any_other_failure_of_the_disk_is_final(operation: str, name: str) -> None:
    """A disk that fails once is not trusted with money again."""
    ledger, _, failures = await failing_ledger(errno.EIO, operation, name)
    await until(lambda: failures.seen)
    with pytest.raises(SpendGuardError) as caught:
        ledger.post(cmd.Freeze(AGENT, "why", "test"))
    assert caught.value.code is Code.DISK_FAILED
    await ledger.close("test")


async def test_damage_that_a_compaction_finds_is_final() -> None:
    """What the next start would refuse, no call may rest on."""
    disk, failures = SimDisk(), Failures()
    busy_ledger(disk, 40)
    disk = disk.killed()
    ledger = open_ledger(disk, fatal=failures, segment_bytes=SEGMENT_BYTES)
    path = FOLDER / segment_name(1)
    disk.put(path, disk.read(path).replace(b"agent-2", b"agent-3"))
    ledger.start(asyncio.get_running_loop())
    await until(lambda: failures.seen)
    assert isinstance(failures.seen[0], SpendGuardError)
    assert failures.seen[0].code is Code.LEDGER_DAMAGED
    await ledger.close("test")


async def test_a_journal_that_fails_during_a_compaction_is_told_once() -> None:
    """The checkpoint is never durable, and nothing is archived."""
    ledger, disk, failures = await failing_ledger(errno.EIO, "write", "seg-")
    await until(lambda: failures.seen and not ledger._compaction.running)
    assert len(failures.seen) == 1
    assert not disk.exists(FOLDER / ARCHIVE)
    await ledger.close("test")


def test_the_garbage_collector_is_left_as_it_was() -> None:
    """Off during a compaction, and on after it only where it was on before."""
    with _no_collections():
        assert not gc.isenabled()
        with _no_collections():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_segments_of_one_record_are_covered_to_the_last() -> None:
    """The last one begins with the very record that the snapshot goes through."""
    disk = SimDisk()
    ledger = open_ledger(disk, segment_bytes=1)
    first_steps(ledger)
    through = ledger._journal.closed_seq
    compact(ledger, disk)
    assert LedgerFolder(FOLDER, disk).snapshots == (through,)
    assert disk.names(FOLDER / ARCHIVE) == [segment_name(seq) for seq in range(1, through + 1)]
    same_ledger(from_snapshot(disk), from_genesis(disk))


def test_a_compaction_pauses_for_the_loop_every_so_many_records() -> None:
    """While it replays, and while it makes the snapshot of what came of it."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 0, segment_bytes=150_000)
    while not ledger._journal.closed_seq:
        ledger.post(cmd.Freeze(AGENT, f"reason {ledger._book.seq}", "test"))
    through, pauses = ledger._journal.closed_seq, list[str]()
    made = make_snapshot(FOLDER, disk, through, lambda: pauses.append("all"))
    snapshot, _ = decode(disk.read(FOLDER / snapshot_name(made.through_seq)))
    encode(snapshot, lambda: pauses.append("sealing"))
    replaying = pauses.count("all") - pauses.count("sealing")
    assert replaying == through // 128 > 3


def test_archiving_can_be_repeated() -> None:
    """What a crash left undone is done by the next one."""
    disk = twice_compacted()
    before = (names(disk), disk.names(FOLDER / ARCHIVE))
    archive_covered(FOLDER, disk, LedgerFolder(FOLDER, disk).snapshots[-1])
    assert (names(disk), disk.names(FOLDER / ARCHIVE)) == before


def test_a_segment_in_both_places_is_archived_over_its_copy() -> None:
    """As a file system may leave a rename that a crash cut short."""
    disk = twice_compacted()
    name = disk.names(FOLDER / ARCHIVE)[0]
    disk.put(FOLDER / name, disk.read(FOLDER / ARCHIVE / name))
    archive_covered(FOLDER, disk, LedgerFolder(FOLDER, disk).snapshots[-1])
    assert name not in disk.names(FOLDER)
    assert name in disk.names(FOLDER / ARCHIVE)


class Long(msgspec.Struct):
    """Something with a long list, and one with a single entry."""

    entries: list[int]
    single: list[int]


def test_sealed_files_pause_every_so_many_entries() -> None:
    """While they are written, and while they are read."""
    long, pauses = Long(list(range(513)), [1]), list[int]()
    raw, _ = seal(long, lambda: pauses.append(1))
    assert len(pauses) == 4
    pauses.clear()
    assert read(opened(raw)[0], Long, lambda: pauses.append(1)) == long
    assert len(pauses) == 4


def test_sealed_files_pause_now_and_then() -> None:
    """So that the loop may run while a long one is written."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 40)
    paused: list[int] = []
    seal(snapshot_of(ledger.state, ledger.history, 9, "0" * 32, 5), lambda: paused.append(1))
    assert len(paused) >= 3
