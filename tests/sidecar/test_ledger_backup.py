"""Backup and restore: what was durable comes back, a generation later, and nobody spends unseen."""

import asyncio
import errno
import json
import random
from pathlib import Path
from typing import Any

import pytest

from compacting import (
    AGENTS,
    SEGMENT_BYTES,
    PowerCutError,
    busy,
    compact,
    first_steps,
    from_genesis,
    from_snapshot,
    power_cuts,
    same_ledger,
)
from ledger_kit import AGENT, FOLDER, HEAD, funded_book, hold_call, in_its_place, open_ledger, refused_code
from sim import SimClock, SimDisk, SimRng
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.backup import Backup, back_up
from spendguard_daemon.ledger.folder import ARCHIVE, LOCK, LedgerFolder, segment_name, snapshot_name
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.lines import Slot, encode_slot
from spendguard_daemon.ledger.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    ManifestError,
    decode_manifest,
    encode_manifest,
)
from spendguard_daemon.ledger.opening import RESTORING
from spendguard_daemon.ledger.restore import Restoration, restore
from spendguard_daemon.ledger.verify import verify
from spendguard_daemon.system import SystemDisk

TARGET = Path("/backups/monday")
CLOCK = SimClock()


def backed_up(disk: SimDisk) -> Backup:
    """Make a backup of the ledger on a disk."""
    return back_up(FOLDER, TARGET, disk=disk, clock=CLOCK, version="0.3.0")


def restored(disk: SimDisk) -> Restoration:
    """Restore it."""
    return restore(TARGET, FOLDER, disk=disk, clock=CLOCK, actor="operator")


def with_history(disk: SimDisk) -> Ledger:
    """Return a ledger with an archive, snapshots and a tail with open calls."""
    clock = SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    for seed in range(3):
        busy(ledger, clock, 25, seed)
        compact(ledger, disk)
    busy(ledger, clock, 6, 9)
    return ledger


def backup_of_a_history() -> SimDisk:
    """Return a disk with a stopped ledger and its backup."""
    disk = SimDisk()
    with_history(disk)
    backed_up(disk)
    return disk.killed()


def refusal(action: Any, *arguments: Any) -> SpendGuardError:
    """Return what an action is refused with."""
    with pytest.raises(SpendGuardError) as caught:
        action(*arguments)
    return in_its_place(caught.value)


def test_a_backup_is_a_whole_ledger_with_a_manifest() -> None:
    """Every record up to the head's, the snapshots, and a hash for each file that `sha256sum` gives too."""
    disk = SimDisk()
    ledger = with_history(disk)
    backup = backed_up(disk)
    assert backup.report.ok
    assert backup.manifest.seq == ledger._book.seq
    same_ledger(from_snapshot(disk, TARGET), from_genesis(disk))
    paths = {entry.path for entry in backup.manifest.files}
    live = set(disk.names(TARGET)) - {MANIFEST, LOCK}
    assert paths == live | {f"{ARCHIVE}/{name}" for name in disk.names(TARGET / ARCHIVE)}
    for entry in backup.manifest.files:
        raw = disk.read(TARGET / entry.path)
        assert (entry.bytes, entry.sha256) == (len(raw), sha256_hex(raw))
    content = json.loads(disk.read(TARGET / MANIFEST))
    assert (content["backup"], content["sha256"]) == (1, backup.sha256)
    crashed = disk.crash()
    assert decode_manifest(crashed.read(TARGET / MANIFEST)) == (backup.manifest, backup.sha256)
    assert all(
        crashed.read(TARGET / entry.path) == disk.read(TARGET / entry.path) for entry in backup.manifest.files
    )
    left_open = [file for file in disk.opened if not file.closed]
    assert len(left_open) == 3, "the ledger's own: lock, head and segment"


def test_what_comes_after_a_backup_is_not_in_it() -> None:
    """It does not grow with the ledger."""
    disk = SimDisk()
    ledger = with_history(disk)
    backed_up(disk)
    last = LedgerFolder(FOLDER, disk).segments[-1]
    before = disk.read(TARGET / last.name)
    ledger.post(cmd.Freeze(AGENT, "later", "test"))
    assert disk.read(TARGET / last.name) == before


def test_a_backup_shares_no_file_with_the_ledger() -> None:
    """Whoever can write on a backup, as a program inside `exec` can, cannot so write on the ledger."""
    disk = SimDisk()
    ledger = with_history(disk)
    backed_up(disk)
    assert from_genesis(disk, TARGET).state == ledger.state
    own = {id(node) for path, node in disk.files.items() if path.is_relative_to(FOLDER)}
    copies = [node for path, node in disk.files.items() if path.is_relative_to(TARGET)]
    assert len(copies) > 3
    assert [node for node in copies if id(node) in own] == []
    for node in copies:
        node.data[:] = b"changed"
    assert verify(FOLDER, disk=disk).ok


def test_only_what_the_head_knows_to_be_durable_is_copied() -> None:
    """A batch that is being written, and segments begun since the head was read, are not in the backup."""
    disk = SimDisk()
    ledger = with_history(disk)
    head = disk.read(HEAD)
    seq, state = ledger._book.seq, from_genesis(disk).state
    last = LedgerFolder(FOLDER, disk).segments[-1].name
    end = len(disk.read(FOLDER / last))
    busy(ledger, SimClock(), 30, 11)
    disk.put(HEAD, head)
    assert len(LedgerFolder(FOLDER, disk).after(seq)) > 1
    backup = backed_up(disk)
    assert backup.manifest.seq == seq
    assert from_genesis(disk, TARGET).state == state
    assert len(disk.read(TARGET / last)) == end


def test_a_backup_needs_a_ledger_an_empty_target_and_a_head() -> None:
    """Nothing is overwritten, nothing is guessed."""
    disk = SimDisk()
    assert refused_code(lambda: backed_up(disk)) == Code.LEDGER_REFUSED
    disk.make_folder(FOLDER)
    assert refused_code(lambda: backed_up(disk)) == Code.LEDGER_REFUSED
    with_history(disk)
    disk.put(TARGET / "note", b"mine")
    assert refused_code(lambda: backed_up(disk)) == Code.LEDGER_REFUSED
    assert disk.names(TARGET) == ["note"]
    disk.files.pop(TARGET / "note")
    head = disk.read(HEAD)
    disk.put(HEAD, b"")
    assert refusal(backed_up, disk).facts == {"file": "head", "line": 1, "byte": 0}
    disk.put(HEAD, head)
    for name in [*disk.names(FOLDER), *disk.names(FOLDER / ARCHIVE)]:
        if name.startswith("seg-"):
            disk.put(FOLDER / name, b"")
            disk.files.pop(FOLDER / ARCHIVE / name, None)
    error = refusal(backed_up, disk)
    assert "no segment" in error.detail
    assert error.facts == {"file": "head", "line": 1, "byte": 0}


def test_a_ledger_of_one_record_is_backed_up_too() -> None:
    """Its only segment begins with the record that the head names."""
    disk = SimDisk()
    open_ledger(disk)
    backup = backed_up(disk)
    assert (backup.manifest.seq, backup.report.last_seq) == (1, 1)
    assert {entry.path for entry in backup.manifest.files} == {HEAD.name, segment_name(1)}


def test_a_backup_of_a_damaged_ledger_is_refused_and_is_none() -> None:
    """It would give false comfort; the place is named, and there is no manifest."""
    disk = SimDisk()
    with_history(disk)
    path = FOLDER / ARCHIVE / segment_name(1)
    disk.put(path, disk.read(path).replace(b"agent-2", b"agent-3"))
    assert refusal(backed_up, disk).facts["file"] == segment_name(1)
    assert not disk.exists(TARGET / MANIFEST)
    cut = SimDisk()
    with_history(cut)
    last = FOLDER / LedgerFolder(FOLDER, cut).segments[-1].name
    cut.put(last, cut.read(last)[:-300])
    assert refusal(backed_up, cut).facts["file"] == last.name


def test_a_snapshot_that_vanishes_meanwhile_is_left_out() -> None:
    """The daemon drops the oldest one while we copy."""
    disk = SimDisk()
    with_history(disk)
    gone = snapshot_name(LedgerFolder(FOLDER, disk).snapshots[0])
    disk.put(FOLDER / snapshot_name(10**9), b"of later records")

    def drop(operation: str, path: Path) -> None:
        if operation == "read" and path.name == gone:
            disk.files.pop(path, None)

    disk.hook = drop
    assert backed_up(disk).report.snapshots == (snapshot_name(LedgerFolder(FOLDER, disk).snapshots[-2]),)


def test_a_restore_brings_the_money_back_and_freezes_everybody() -> None:
    """The ledger that was there stands aside; the new one is a generation later."""
    disk = SimDisk()
    ledger = with_history(disk)
    before = from_genesis(disk).state
    backed_up(disk)
    busy(ledger, SimClock(), 30, 12)
    disk = disk.killed()
    old = {path: bytes(node.data) for path, node in disk.files.items() if FOLDER in path.parents}
    done = restored(disk)
    assert (done.generation, done.seq) == (2, done.manifest.seq + 1)
    assert done.moved_to is not None
    assert done.moved_to.name == "ledger.before-20270115T080000Z"
    kept = {
        FOLDER / path.relative_to(done.moved_to): node
        for path, node in disk.files.items()
        if done.moved_to in path.parents
    }
    assert {path: bytes(node.data) for path, node in kept.items()} == old
    for after in (disk.killed(), disk.crash()):
        assert verify(FOLDER, disk=after).ok
        again = open_ledger(after)
        assert again.state.generation == 2
        assert again.recovered.warnings == ()
        for agent_id in AGENTS:
            account, was = again.state.accounts[agent_id], before.accounts[agent_id]
            assert account.settled_nusd == was.settled_nusd + was.held_nusd
            assert account.restored
            assert account.frozen_reason == (was.frozen_reason or "restored")
            assert refusal(again.post, hold_call("new", agent_id=agent_id)).code is Code.AGENT_FROZEN
    assert from_genesis(disk, TARGET).state == before


def test_an_agent_goes_on_once_what_it_spent_since_is_entered() -> None:
    """It is charged, once, and only then can it be unfrozen; a freeze for another reason stays."""
    disk = backup_of_a_history()
    restored(disk)
    ledger = open_ledger(disk)
    ledger.post(cmd.Freeze("agent-2", "mad", "test"))
    for agent_id in AGENTS:
        account = ledger.state.accounts[agent_id]
        reason, settled = account.frozen_reason, account.settled_nusd
        assert refusal(ledger.post, cmd.Unfreeze(agent_id, "test")).code == "restore_unconfirmed"
        confirm = cmd.ConfirmRestored(agent_id, 1_234, "the provider's page", "operator")
        assert len(ledger.post(confirm)) == 1
        assert (account.settled_nusd, account.restored) == (settled + 1_234, False)
        assert account.frozen_reason == (None if reason == "restored" else reason)
        with pytest.raises(MalformedError):
            ledger.post(confirm)
        ledger.post(cmd.Unfreeze(agent_id, "test"))
        assert account.frozen_reason is None
    assert verify(FOLDER, disk=disk).ok
    assert from_genesis(disk).state == ledger.state


def test_what_cannot_have_been_spent_is_not_entered() -> None:
    """Amounts of money, for agents that are there and wait."""
    book = funded_book(10_000)
    for agent_id, amount in ((AGENT, -1), (AGENT, 2**53), (AGENT, 5)):
        with pytest.raises(MalformedError):
            book.execute(cmd.ConfirmRestored(agent_id, amount, "", "test"))
    assert refused_code(lambda: book.execute(cmd.ConfirmRestored("x", 1, "", "test"))) == Code.AGENT_NOT_FOUND


def test_deleted_agents_wait_for_nothing() -> None:
    """They cannot call, and nobody would enter anything for them."""
    disk = SimDisk()
    ledger = with_history(disk)
    ledger.post(cmd.DeleteAgent("agent-2", "test"))
    backed_up(disk)
    disk = disk.killed()
    restored(disk)
    assert not open_ledger(disk).state.accounts["agent-2"].restored


def test_each_restore_is_a_generation_of_its_own() -> None:
    """Also twice from one backup in one second, and where the ledger before cannot be read."""
    disk = backup_of_a_history()
    assert [restored(disk).generation, restored(disk).generation] == [2, 3]
    assert sorted(path.name for path in disk.folders if path.name.startswith("ledger.before")) == [
        "ledger.before-20270115T080000Z",
        "ledger.before-20270115T080000Z-2",
    ]
    disk.put(HEAD, b"")
    assert restored(disk).generation == 2
    staging = FOLDER.with_name(FOLDER.name + RESTORING)
    disk.put(staging / "head", encode_slot(Slot(9, "0" * 32, 7)))
    assert restored(disk).generation == 8
    assert open_ledger(disk).state.generation == 8


def test_a_mixed_restore_is_refused() -> None:
    """An old head beside the new journal, or the other way round."""
    disk = backup_of_a_history()
    old_head = disk.read(HEAD)
    done = restored(disk)
    new_head = disk.read(HEAD)
    assert done.moved_to is not None
    disk.put(HEAD, old_head)
    assert refusal(open_ledger, disk.killed()).code is Code.LEDGER_DAMAGED
    for name in disk.names(done.moved_to):
        disk.put(FOLDER / name, disk.read(done.moved_to / name))
    disk.put(HEAD, new_head)
    assert refusal(open_ledger, disk.killed()).code is Code.LEDGER_DAMAGED


def test_the_new_name_is_durable_when_a_restore_returns() -> None:
    """The old ledger first leaves, then the new one comes, then both names are synced."""
    disk = backup_of_a_history()
    restored(disk)
    assert [operation for operation, _ in disk.operations[-3:]] == ["rename", "rename", "sync_folder"]
    assert disk.operations[-1][1] == FOLDER.parent.name
    found = verify(FOLDER, disk=disk.crash())
    assert (found.findings, found.warnings, found.first_seq) == ((), (), 1)
    assert all(file.closed for file in disk.opened)


def test_what_a_restore_left_that_was_cut_short_is_not_in_the_next_one() -> None:
    """Neither beside its segments nor in its archive."""
    disk = backup_of_a_history()
    staging = FOLDER.with_name(FOLDER.name + RESTORING)
    for path in (staging / segment_name(10**6), staging / ARCHIVE / segment_name(10**7)):
        disk.put(path, b"of a restore that was cut short")
    restored(disk)
    whole = verify(FOLDER, disk=disk)
    assert (whole.ok, whole.unfinished_bytes) == (True, 0)
    assert {file.first_seq for file in LedgerFolder(FOLDER, disk).segments}.isdisjoint({10**6, 10**7})


def test_a_restore_into_nothing_needs_no_ledger_there() -> None:
    """As on a new machine."""
    disk = backup_of_a_history()
    for path in [path for path in disk.files if FOLDER in path.parents]:
        disk.files.pop(path)
    disk.folders -= {FOLDER, FOLDER / ARCHIVE}
    done = restored(disk)
    assert (done.moved_to, done.generation) == (None, 2)
    assert open_ledger(disk).state.generation == 2


def test_the_backup_stays_as_it_is_whatever_the_restored_ledger_does() -> None:
    """It can be restored again."""
    disk = backup_of_a_history()
    before = {path: bytes(node.data) for path, node in disk.files.items() if TARGET in path.parents}
    restored(disk)
    clock = SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    for agent_id in AGENTS:
        ledger.post(cmd.ConfirmRestored(agent_id, 0, "accepted", "operator"))
    busy(ledger, clock, 60, 3)
    compact(ledger, disk)
    same_ledger(from_snapshot(disk), from_genesis(disk))
    after = {path: bytes(node.data) for path, node in disk.files.items() if TARGET in path.parents}
    assert after == before


def test_a_restore_is_refused_while_a_daemon_runs() -> None:
    """Its lock says so; the ledger is as it was."""
    disk = SimDisk()
    with_history(disk)
    backed_up(disk)
    before = {path: bytes(node.data) for path, node in disk.files.items()}
    assert refused_code(lambda: restored(disk)) == Code.LEDGER_LOCKED
    assert {path: bytes(node.data) for path, node in disk.files.items()} == before


def test_what_is_no_whole_backup_is_refused() -> None:
    """No manifest, a changed one, a file that is missing or changed, records that promise nothing."""
    disk = backup_of_a_history()
    raw = disk.read(TARGET / MANIFEST)
    first = next(name for name in disk.names(TARGET / ARCHIVE))
    changes: list[tuple[Path, bytes | None, str]] = [
        (TARGET / MANIFEST, None, "no backup"),
        (TARGET / MANIFEST, raw.replace(b"0.3.0", b"0.3.1"), "hash"),
        (TARGET / ARCHIVE / first, None, "missing"),
        (TARGET / ARCHIVE / first, b"other", "not those that the manifest"),
    ]
    for path, content, why in changes:
        other = disk.killed()
        other.files.pop(path)
        if content is not None:
            other.put(path, content)
        assert why in refusal(restored, other).detail
        assert open_ledger(other).recovered.torn_bytes == 0

    last = LedgerFolder(TARGET, disk).segments[-1].name
    cut = disk.read(TARGET / last)[:-9]
    manifest, _ = decode_manifest(raw)
    files = [
        FileEntry(path=last, bytes=len(cut), sha256=sha256_hex(cut)) if entry.path == last else entry
        for entry in manifest.files
    ]
    doctored = Manifest(
        **{name: getattr(manifest, name) for name in manifest.__struct_fields__} | {"files": files}
    )
    disk.put(TARGET / last, cut)
    disk.put(TARGET / MANIFEST, encode_manifest(doctored)[0])
    assert refusal(restored, disk).facts["file"] == last


@pytest.mark.parametrize(
    "change",
    [
        {"backup": 2},
        {"seq": "many"},
        {"files": [{"path": "../x", "bytes": 1, "sha256": ""}]},
        {"files": [{"path": "/x", "bytes": 1, "sha256": ""}]},
        {"files": [{"path": "a/b/c", "bytes": 1, "sha256": ""}]},
    ],
)
def test_manifests_that_prove_themselves_but_are_none_are_refused(change: dict[str, Any]) -> None:
    """Another version, another form, files that lie elsewhere."""
    manifest = Manifest(backup=1, created="", version="", seq=1, h="", generation=1, files=[])
    raw, _ = encode_manifest(manifest)
    content = json.loads(raw) | change
    del content["sha256"]
    body = json.dumps(content)[:-1].encode()
    with pytest.raises(ManifestError):
        decode_manifest(body + f',\n"sha256":"{sha256_hex(body)}"}}\n'.encode())


def test_a_restore_that_meets_any_failure_leaves_a_ledger_or_can_be_done_again() -> None:
    """The k-th operation fails: the old ledger opens as it was, or the restore is repeated."""
    whole = backup_of_a_history()
    stop, done = 0, False
    while not done:
        disk = whole.killed()

        def fail(operation: str, path: Path, disk: SimDisk = disk, stop: int = stop) -> None:
            if len(disk.operations) == stop + 1:
                raise OSError(errno.EIO, "broken")

        disk.hook = fail
        try:
            restored(disk)
            done = len(disk.operations) <= stop
        except OSError:
            pass
        disk.hook = None
        if disk.exists(FOLDER):
            assert open_ledger(disk.killed()).state.generation in (1, 2)
        assert restored(disk).generation >= 2
        stop += 1
    assert stop > 40


@pytest.mark.sweep
def test_the_power_may_go_at_any_operation_of_a_restore() -> None:
    """The old ledger is there, or the new one, or no daemon starts; and the restore can be done again."""
    whole = backup_of_a_history()
    stop, done = 0, False
    chance = random.Random(4)
    seen = set()
    while not done:
        disk = whole.killed()

        def cut(operation: str, path: Path, disk: SimDisk = disk, stop: int = stop) -> None:
            if len(disk.operations) > stop and operation != "read":
                raise PowerCutError

        disk.hook = cut
        try:
            restored(disk)
            done = True
        except PowerCutError:
            pass
        disk.hook = None
        for after in (disk.killed(), *power_cuts(disk, chance, 4)):
            try:
                seen.add(open_ledger(after.killed()).state.generation)
                assert verify(FOLDER, disk=after).ok
            except SpendGuardError as error:
                assert error.facts["file"] == FOLDER.name + RESTORING
                seen.add(0)
            again = after.killed()
            generation = restored(again).generation
            assert generation >= 2
            assert open_ledger(again).state.generation == generation
            assert verify(FOLDER, disk=again).ok
        stop += 1
    assert seen == {0, 1, 2}


def test_what_comes_into_the_target_before_it_is_locked_is_not_touched() -> None:
    """Somebody else was faster."""
    disk = SimDisk()
    with_history(disk)

    def come(operation: str, path: Path) -> None:
        if operation == "lock" and path.parent == TARGET:
            disk.put(TARGET / "note", b"mine")

    disk.hook = come
    assert "not empty" in refusal(backed_up, disk).detail
    assert set(disk.names(TARGET)) == {"note", LOCK}


def test_a_small_backup_on_a_real_disk(tmp_path: Path) -> None:
    """Into a folder that is not there yet, of a ledger that is."""
    home, target, disk = tmp_path / "ledger", tmp_path / "backups" / "monday", SystemDisk()

    def make() -> Backup:
        return back_up(home, target, disk=disk, clock=SimClock(), version="1")

    assert "There is no ledger" in refusal(make).detail
    Ledger.open(home, disk=disk, clock=SimClock(), rng=SimRng(), fatal=print, version="1")
    assert make().report.last_seq == 1
    assert verify(target, disk=disk).ok


async def test_backup_and_restore_on_a_real_disk(tmp_path: Path) -> None:
    """Beside a daemon that writes, rolls and compacts; then in its place."""
    home, target = tmp_path / "home" / "ledger", tmp_path / "backup"
    disk, clock = SystemDisk(), SimClock()

    def opened(segment_bytes: int = 20_000) -> Ledger:
        return Ledger.open(
            home, disk=disk, clock=clock, rng=SimRng(), fatal=print, version="1", segment_bytes=segment_bytes
        )

    ledger = opened()
    ledger.start(asyncio.get_running_loop())
    first_steps(ledger)
    for part in range(40):
        busy(ledger, clock, 20, part)
        await ledger.submit(cmd.Freeze(AGENT, f"part {part}", "test"))
    steps: list[tuple[int, int]] = []
    making = asyncio.create_task(
        asyncio.to_thread(
            back_up,
            home,
            target,
            disk=disk,
            clock=clock,
            version="1",
            on_progress=lambda done, total: steps.append((done, total)),
        )
    )
    while not making.done():
        busy(ledger, clock, 5, len(steps))
        await asyncio.sleep(0)
    backup = making.result()
    assert backup.report.ok
    assert steps[-1][0] == steps[-1][1]
    await ledger.close("test")
    left = home.with_name(home.name + RESTORING)
    disk.make_folder(left / ARCHIVE)
    for name in ("seg-000000000009.jsonl", f"{ARCHIVE}/seg-000000000008.jsonl"):
        (left / name).write_bytes(b"of a restore that was cut short")
    done = restore(target, home, disk=disk, clock=clock, actor="operator")
    assert done.moved_to is not None
    assert done.moved_to.exists()
    again = opened()
    assert all(account.restored for account in again.state.accounts.values())
    again.post(cmd.ConfirmRestored(AGENT, 5, "the page", "operator"))
    await again.close("test")
    assert verify(home, disk=disk).ok
    assert (home.stat().st_mode & 0o777, (home / ARCHIVE).stat().st_mode & 0o777) == (0o700, 0o700)
    assert restore(target, home, disk=disk, clock=clock, actor="operator").generation == 3
