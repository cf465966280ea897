"""Attacks on the ledger that succeeded once: each test failed before its defect was mended."""

import errno
import fcntl
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compacting import AGENTS, SEGMENT_BYTES, busy, compact, first_steps
from ledger_kit import (
    AGENT,
    FOLDER,
    HEAD,
    SEGMENT,
    Failures,
    funded_book,
    hold_call,
    in_its_place,
    make_book,
    open_ledger,
    refused_code,
    settle,
)
from sim import SimClock, SimDisk
from spendguard_daemon import system
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import keys
from spendguard_daemon.ledger.backup import Backup, Copier, back_up
from spendguard_daemon.ledger.events import Idempotency
from spendguard_daemon.ledger.faults import is_full
from spendguard_daemon.ledger.folder import ARCHIVE, LOCK, LedgerFolder, segment_name, snapshot_name
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.manifest import MANIFEST, FileEntry, encode_manifest
from spendguard_daemon.ledger.restore import Restoration, restore
from spendguard_daemon.ledger.room import RoomLimits
from spendguard_daemon.ledger.sealed import go_on
from spendguard_daemon.ledger.snapshot import (
    NewerSnapshotError,
    SnapshotError,
    decode,
    encode,
    snapshot_of,
)
from spendguard_daemon.ledger.verify import verify
from spendguard_daemon.ports import SyncError
from spendguard_daemon.system import SystemDisk

TARGET = Path("/backups/monday")
CLOCK = SimClock()


def refusal(action: Any, *arguments: Any) -> SpendGuardError:
    """Return what an action is refused with."""
    with pytest.raises(SpendGuardError) as caught:
        action(*arguments)
    return in_its_place(caught.value)


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


def backed_up(disk: SimDisk) -> Backup:
    """Make a backup."""
    return back_up(FOLDER, TARGET, disk=disk, clock=CLOCK, version="0.3.0")


def restored(disk: SimDisk) -> Restoration:
    """Restore it."""
    return restore(TARGET, FOLDER, disk=disk, clock=CLOCK, actor="operator")


def content(disk: SimDisk, folder: Path) -> dict[Path, bytes]:
    """Return all that is in a folder."""
    return {path: bytes(node.data) for path, node in disk.files.items() if folder in path.parents}


# -- snapshots of a later version -----------------------------------------------------------------------


def newer_snapshot(raw: bytes, **changes: object) -> tuple[bytes, str]:
    """Return a snapshot with other members, that proves itself."""
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    del members["sha256"]
    members |= {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in changes.items()}
    body = b"{" + b",\n".join(f'"{name}":'.encode() + bytes(text) for name, text in members.items())
    digest = hashlib.sha256(body).hexdigest()
    return body + f',\n"sha256":"{digest}"}}\n'.encode(), digest


@pytest.mark.parametrize(
    "changes",
    [{"min_reader": 3}, {"snapshot": 2}, {"min_reader": 3, "accounts": {"in another": "form"}}],
)
def test_a_snapshot_for_a_newer_reader_is_not_misread(changes: dict[str, object]) -> None:
    """It says so before anything else in it is looked at, and the start is refused for that reason."""
    disk = SimDisk()
    with_history(disk)
    disk = disk.killed()
    newest = LedgerFolder(FOLDER, disk).snapshots[-1]
    path = FOLDER / snapshot_name(newest)
    old = disk.read(path)
    raw, digest = newer_snapshot(old, **changes)
    with pytest.raises(NewerSnapshotError, match=r"version [23]"):
        decode(raw)
    disk.put(path, raw)
    _name_in_checkpoint(disk, decode(old)[1], digest)
    found = refusal(open_ledger, disk)
    assert (found.code, found.facts["file"]) == (Code.LEDGER_NEWER, path.name)


def test_a_snapshot_of_an_older_form_is_no_newer_one() -> None:
    """It is passed over like any that does not serve."""
    raw, _ = encode(snapshot_of(funded_book(5).state, funded_book(5).history, 1, "0" * 32, 1), go_on)
    with pytest.raises(SnapshotError, match="version 0") as caught:
        decode(newer_snapshot(raw, snapshot=0)[0])
    assert not isinstance(caught.value, NewerSnapshotError)


@pytest.mark.parametrize("body", [b"not JSON", b'{"x":' + b"[" * 9_000 + b"]" * 9_000])
def test_a_snapshot_whose_hash_fits_is_none_all_the_same_if_it_cannot_be_read(body: bytes) -> None:
    """Whatever it is: it is passed over, and is no reason to end in a RecursionError."""
    raw = body + f',\n"sha256":"{hashlib.sha256(body).hexdigest()}"}}\n'.encode()
    with pytest.raises(SnapshotError):
        decode(raw)


def _name_in_checkpoint(disk: SimDisk, old: str, new: str) -> None:
    """Write the journal's tail anew, with another hash of a snapshot in it."""
    prev = ""
    for file in LedgerFolder(FOLDER, disk).segments:
        path = FOLDER / (f"{ARCHIVE}/{file.name}" if file.archived else file.name)
        lines = []
        for line in disk.read(path).splitlines():
            start, found = line[:-41], line[-34:-2].decode()
            if old.encode() in start or prev:
                start = start.replace(old.encode(), new.encode())
                before = start.index(b'"prev":"') + 8
                start = (
                    start[:before]
                    + (prev or start[before : before + 32].decode()).encode()
                    + start[before + 32 :]
                )
                prev = found = hashlib.sha256(start).hexdigest()[:32]
            lines.append(start + f',"h":"{found}"}}\n'.encode())
        disk.put(path, b"".join(lines))
    disk.put(HEAD, b"")


# -- backups and restores at the same time --------------------------------------------------------------


def test_a_second_backup_to_the_same_folder_is_refused_and_harms_nobody() -> None:
    """It used to append to files whose bytes were the ledger's own: neither could be opened any more."""
    disk = SimDisk()
    with_history(disk)
    before, second = content(disk, FOLDER), list[SpendGuardError]()

    def begin_another(operation: str, path: Path) -> None:
        if operation == "link" and not second:
            disk.hook = None
            second.append(refusal(backed_up, disk))
            disk.hook = begin_another

    disk.hook = begin_another
    assert backed_up(disk).report.ok
    assert [error.code for error in second] == [Code.LEDGER_REFUSED]
    assert content(disk, FOLDER) == before
    assert refusal(backed_up, disk).detail == f"{TARGET} is not empty"


def test_a_file_that_is_there_is_never_written_on() -> None:
    """A second name is taken, or not; what is copied is a file of its own."""
    disk = SimDisk()
    copier = Copier(disk, TARGET)
    disk.put(FOLDER / "a", b"the ledger's")
    copier.share("a", FOLDER / "a", b"the ledger's")
    with pytest.raises(FileExistsError):
        copier.share("a", FOLDER / "a", b"the ledger's")
    copier.write("a", b"other")
    assert disk.read(FOLDER / "a") == b"the ledger's"
    assert [entry.path for entry in copier.entries] == ["a", "a"]


def test_the_ledger_itself_is_no_place_for_its_backup() -> None:
    """An archive that is not there yet would be taken for an empty folder."""
    disk = SimDisk()
    with_history(disk)
    for target in (FOLDER / "new", FOLDER / ARCHIVE / "new"):
        found = refusal(lambda to=target: back_up(FOLDER, to, disk=disk, clock=CLOCK, version="1"))
        assert "in the ledger itself" in found.detail


def without_ledger() -> SimDisk:
    """Return a disk with a backup, and no ledger, as on a new machine."""
    disk = SimDisk()
    with_history(disk)
    backed_up(disk)
    disk = disk.killed()
    for path in content(disk, FOLDER):
        disk.files.pop(path)
    disk.folders -= {FOLDER, FOLDER / ARCHIVE}
    return disk


def test_a_daemon_that_begins_during_a_restore_keeps_its_ledger() -> None:
    """There was none when the restore looked; its folder was moved away from under the living daemon."""
    disk, alive = without_ledger(), list[Ledger]()

    def start(operation: str, path: Path) -> None:
        if operation == "make_folder" and path.name.endswith(".restoring") and not alive:
            alive.append(open_ledger(disk))

    disk.hook = start
    assert refusal(restored, disk).code is Code.LEDGER_LOCKED
    disk.hook = None
    first_steps(alive[0])
    assert verify(FOLDER, disk=disk).ok
    assert open_ledger(disk.killed()).state.accounts.keys() == set(AGENTS)


def test_a_second_restore_waits_for_the_first() -> None:
    """Both would fill one folder."""
    disk, second = without_ledger(), list[SpendGuardError]()

    def begin_another(operation: str, path: Path) -> None:
        if operation == "link" and not second:
            disk.hook = None
            second.append(refusal(restored, disk))

    disk.hook = begin_another
    assert restored(disk).generation == 2
    assert [error.code for error in second] == [Code.LEDGER_LOCKED]
    assert verify(FOLDER, disk=disk).ok
    assert not disk.files[FOLDER / LOCK].locked


# -- backups that are not what they say -----------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"seq": 5}, {"seq": 10**6}, {"h": "0" * 32}, {"generation": 9}, {"generation": 0}],
)
def test_a_manifest_about_another_ledger_is_refused(change: dict[str, Any]) -> None:
    """What is written next would not follow from the records: a ledger that no daemon opens."""
    disk = SimDisk()
    with_history(disk)
    made = backed_up(disk)
    disk = disk.killed()
    disk.put(TARGET / MANIFEST, encode_manifest(msgspec.structs.replace(made.manifest, **change))[0])
    before = content(disk, FOLDER.parent)
    assert refusal(restored, disk).facts["file"] == MANIFEST
    assert content(disk, FOLDER.parent) == before


@pytest.mark.parametrize("raw", [b"", b"more"])
def test_a_segment_that_the_manifest_does_not_name_is_refused(raw: bytes) -> None:
    """It was taken for the last one, so that the real last one was shared: a restore changed its backup."""
    disk = SimDisk()
    with_history(disk)
    made = backed_up(disk)
    disk = disk.killed()
    disk.put(TARGET / segment_name(made.manifest.seq + 1), raw)
    before = content(disk, TARGET)
    assert refusal(restored, disk).code is Code.LEDGER_DAMAGED
    assert content(disk, TARGET) == before


def test_a_backup_with_an_unfinished_line_is_refused() -> None:
    """The next record would stand behind half of another."""
    disk = SimDisk()
    with_history(disk)
    made = backed_up(disk)
    disk = disk.killed()
    last = LedgerFolder(TARGET, disk).segments[-1].name
    raw = disk.read(TARGET / last) + b'{"v":1,'
    disk.put(TARGET / last, raw)
    entry = FileEntry(path=last, bytes=len(raw), sha256=hashlib.sha256(raw).hexdigest())
    files = [entry if file.path == last else file for file in made.manifest.files]
    disk.put(TARGET / MANIFEST, encode_manifest(msgspec.structs.replace(made.manifest, files=files))[0])
    assert refusal(restored, disk).facts["file"] == MANIFEST


@pytest.mark.parametrize("path", ["", ".", "lock", "x\0y", "archive/head", "seg-1.jsonl", "archive"])
def test_a_manifest_names_only_what_a_ledger_has(path: str) -> None:
    """A name with a NUL in it used to end in a ValueError."""
    disk = SimDisk()
    with_history(disk)
    made = backed_up(disk)
    disk = disk.killed()
    files = [*made.manifest.files, FileEntry(path=path, bytes=0, sha256="")]
    disk.put(TARGET / MANIFEST, encode_manifest(msgspec.structs.replace(made.manifest, files=files))[0])
    found = refusal(restored, disk)
    assert (found.code, "no ledger has" in found.detail) == (Code.LEDGER_DAMAGED, True)


def test_a_backup_of_a_later_version_says_so() -> None:
    """It is no damage."""
    disk = SimDisk()
    with_history(disk)
    made = backed_up(disk)
    disk = disk.killed()
    disk.put(TARGET / MANIFEST, encode_manifest(msgspec.structs.replace(made.manifest, backup=2))[0])
    assert refusal(restored, disk).code is Code.LEDGER_NEWER
    disk.put(TARGET / MANIFEST, encode_manifest(msgspec.structs.replace(made.manifest, backup=0))[0])
    assert refusal(restored, disk).code is Code.LEDGER_DAMAGED


# -- what is in the folder ------------------------------------------------------------------------------


def test_a_ledger_whose_records_were_taken_away_is_not_begun_anew() -> None:
    """Snapshots without segments: every agent and its debts would be forgotten, with not a word."""
    disk = SimDisk()
    with_history(disk)
    disk = disk.killed()
    for path in list(content(disk, FOLDER)):
        if path.name.startswith(("seg-", "head")):
            disk.files.pop(path)
    found = refusal(open_ledger, disk)
    assert (found.code, "taken away" in found.detail) == (Code.LEDGER_DAMAGED, True)
    for seq in LedgerFolder(FOLDER, disk).snapshots:
        disk.files.pop(FOLDER / snapshot_name(seq))
    assert open_ledger(disk.killed()).state.accounts == {}


def test_a_last_segment_that_somebody_archived_is_not_hidden_by_a_new_one() -> None:
    """The start went on in a new file of the same name, and the next one missed all that was in the old."""
    disk = SimDisk()
    with_history(disk)
    disk = disk.killed()
    last = LedgerFolder(FOLDER, disk).segments[-1].name
    disk.put(FOLDER / ARCHIVE / last, disk.read(FOLDER / last))
    disk.files.pop(FOLDER / last)
    before = content(disk, FOLDER)
    found = refusal(open_ledger, disk)
    assert (found.code, found.facts["file"]) == (Code.LEDGER_DAMAGED, last)
    assert content(disk, FOLDER) == before


def test_verify_holds_the_first_snapshot_against_its_checkpoint() -> None:
    """Where older segments were taken away it is where the check begins, and was believed unseen."""
    disk = SimDisk()
    with_history(disk)
    disk = disk.killed()
    for path in list(content(disk, FOLDER / ARCHIVE)):
        disk.files.pop(path)
    folder = LedgerFolder(FOLDER, disk)
    path = FOLDER / snapshot_name(folder.segments[0].first_seq - 1)
    assert verify(FOLDER, disk=disk).ok
    snapshot, _ = decode(disk.read(path))
    snapshot.accounts[0].name = "somebody else"
    disk.put(path, encode(snapshot, go_on)[0])
    assert [
        (finding.file, "checkpoint" in finding.what) for finding in verify(FOLDER, disk=disk).findings
    ] == [(path.name, True)]


@pytest.mark.parametrize("middle", ['"t":"x","x":' + "[" * 7_000 + "]" * 7_000, '"t":"close","reason":NaN'])
def test_a_line_whose_hash_fits_is_never_taken_for_a_tear(middle: str) -> None:
    """Somebody wrote it just so: it is not cut off as unfinished, and does not end in a RecursionError."""
    disk = SimDisk()
    ledger = open_ledger(disk)
    ledger.post(cmd.NewAgent(AGENT, "n", "shared", "clamp", mock=False, actor="me"))
    writer, seq = ledger._journal._writer, ledger._book.seq
    disk = disk.killed()
    chain = f'{{"v":1,"seq":{seq + 1},"ack":{seq},"prev":"{writer._h}"'
    start = f'{chain},"ts":"2027-01-15T08:00:00.000000000Z",{middle}'
    line = start + f',"h":"{hashlib.sha256(start.encode()).hexdigest()[:32]}"}}\n'
    disk.put(SEGMENT, disk.read(SEGMENT) + line.encode())
    before = content(disk, FOLDER)
    assert refusal(open_ledger, disk).code is Code.LEDGER_DAMAGED
    assert {path: raw for path, raw in content(disk, FOLDER).items() if path.name != LOCK} == {
        path: raw for path, raw in before.items() if path.name != LOCK
    }


# -- keys -----------------------------------------------------------------------------------------------


def test_no_number_of_calls_lets_a_grant_be_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that pushed its operator's key out of the table had the retried top-up applied once more."""
    monkeypatch.setattr(keys, "KEYS_MAX", 3)
    book = funded_book(50_000, concurrency="shared")
    book.execute(cmd.GrantBudget(AGENT, 90_000, 1, "me"))
    topup = cmd.TopUp(AGENT, 1_000, "me", Idempotency("topup", "top_up", "b"))
    first = book.execute(topup)
    for index in range(10):
        call = Idempotency(f"k{index}", "chat", "b")
        book.execute(hold_call(f"c{index}", idempotency=call))
        book.execute(settle(f"c{index}", 1))
    seq = book.seq
    assert (book.execute(topup), book.seq) == (first, seq)
    assert (len(book.state.keys), len(book.state.answers)) == (3, 1)


def test_operators_keys_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes; calls' keys stay."""
    monkeypatch.setattr(keys, "ANSWERS_MAX", 2)
    book = funded_book(50_000, concurrency="shared")
    book.execute(hold_call("c", idempotency=Idempotency("k", "chat", "b")))
    for index in range(3):
        book.execute(cmd.TopUp(AGENT, 1, "me", Idempotency(f"t{index}", "top_up", "b")))
    assert list(book.state.answers) == [f"{AGENT} top_up t1", f"{AGENT} top_up t2"]
    assert list(book.state.keys) == [f"{AGENT} chat k"]


def test_a_key_in_a_snapshot_is_as_small_as_the_format_says() -> None:
    """The longest that may come, each character as long as it can be in JSON."""
    key, actor, name = (
        Idempotency('"' * 128, "chat/completions", "f" * 32),
        "a" * 32,
        "\N{GRINNING FACE}" * 200,
    )
    book, agent_id = make_book(), "a" * 36
    book.execute(
        cmd.NewAgent(agent_id, name, "exclusive", "refuse", mock=False, actor=actor, idempotency=key)
    )
    book.execute(cmd.GrantBudget(agent_id, 2**53 - 1, None, actor, key))
    book.execute(hold_call("c" * 36, agent_id=agent_id, idempotency=key))
    book.execute(settle("c" * 36, 1_000))
    about = Idempotency(key.key, f"adjust_call/{'c' * 36}", key.body)
    book.execute(cmd.AdjustCall("c" * 36, 5, "\N{GRINNING FACE}" * 500, actor, about))
    raw, _ = encode(snapshot_of(book.state, book.history, 1, "0" * 32, 1), go_on)
    lines = [line for line in raw.splitlines() if line.startswith(b'{"scope"')]
    calls = [len(line) for line in lines if b'"event":null' in line]
    assert (len(calls), len(lines)) == (1, 4)
    assert max(calls) <= 600
    assert max(map(len, lines)) <= 7_500


# -- syncs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize(("operation", "name"), [("sync", "seg-"), ("sync_folder", "ledger")])
def test_a_sync_that_fails_is_final_whatever_it_was_for(number: int, operation: str, name: str) -> None:
    """Also for a segment that nothing relies on yet, and also where it says that there is no room."""
    disk, failures = SimDisk(), Failures()
    ledger = open_ledger(disk, fatal=failures, segment_bytes=1)
    begun = list[Path]()

    def fail(seen: str, path: Path) -> None:
        if seen == "open" and path.name.startswith("seg-"):
            begun.append(path)
        if begun and seen == operation and path.name.startswith(name):
            raise OSError(number, "no")

    disk.hook = fail
    with pytest.raises(SpendGuardError) as caught:
        ledger.post(cmd.NewAgent(AGENT, "n", "shared", "clamp", mock=False, actor="me"))
    assert caught.value.code is Code.DISK_FAILED
    assert [type(error) for error in failures.seen] == [SyncError]
    assert disk.read(begun[0]) == b""
    count = len(disk.operations)
    with pytest.raises(SpendGuardError):
        ledger.post(cmd.Freeze(AGENT, "why", "me"))
    assert len(disk.operations) == count


@pytest.mark.parametrize(("operation", "name"), [("sync", "ballast"), ("sync_folder", "ledger")])
async def test_a_ballast_that_cannot_be_synced_is_a_failure(operation: str, name: str) -> None:
    """It was taken for one that does not fit."""
    disk, failures = SimDisk(), Failures()
    limits = RoomLimits(free_bytes_min=0, ballast_bytes=1_000)
    clock = SimClock()
    ledger = open_ledger(disk, clock, failures, limits)
    ledger.post(cmd.NewAgent(AGENT, "n", "shared", "clamp", mock=False, actor="me"))
    ledger.post(cmd.GrantBudget(AGENT, 9_000, None, "me"))
    assert ledger._room.ballast.drop()
    clock.advance(1)

    def fail(seen: str, path: Path) -> None:
        if seen == operation and path.name == name:
            raise OSError(errno.ENOSPC, "no")

    disk.hook = fail
    with pytest.raises(SpendGuardError) as caught:
        await ledger.hold(hold_call("c"), 0)
    assert caught.value.code is Code.DISK_FAILED
    assert len(failures.seen) == 1


def test_a_start_whose_sync_finds_no_room_leaves_the_next_one_the_ballast() -> None:
    """It says that the disk is full, and is not the same for ever."""
    disk = SimDisk()
    limits = RoomLimits(free_bytes_min=0, ballast_bytes=1_000)
    open_ledger(disk, limits=limits)
    disk = disk.killed()

    def fail(seen: str, path: Path) -> None:
        if seen == "sync" and path.name.startswith("seg-"):
            raise OSError(errno.ENOSPC, "no")

    disk.hook = fail
    assert refused_code(lambda: open_ledger(disk, limits=limits)) == Code.LEDGER_FULL
    assert not disk.exists(FOLDER / "ballast")


def test_the_real_disk_tells_syncs_from_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file, of a folder, and within a replacement."""
    disk = SystemDisk()
    file = disk.open_append(tmp_path / "a")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(system, "_sync_data", fail)
    monkeypatch.setattr(system.os, "fsync", fail)
    for action in (file.sync, lambda: disk.sync_folder(tmp_path), lambda: disk.replace(tmp_path / "b", b"x")):
        with pytest.raises(SyncError) as caught:
            action()
        assert caught.value.errno == errno.ENOSPC
        assert not is_full(caught.value)
    file.close()
    assert disk.names(tmp_path) == ["a"]


def test_a_lock_whose_folder_was_moved_away_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore swaps folders while a daemon begins: it locked the old ledger, and wrote in the new one."""
    disk, path, real = SystemDisk(), tmp_path / "ledger" / "lock", fcntl.flock
    path.parent.mkdir()

    def swap(fd: int, how: int) -> None:
        if not (tmp_path / "moved").exists():
            path.parent.rename(tmp_path / "moved")
            path.parent.mkdir()
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", swap)
    lock = disk.lock(path)
    assert lock is not None
    assert disk.lock(path) is None
    old = disk.lock(tmp_path / "moved" / "lock")
    assert old is not None
    old.close()
    lock.close()


# -- what a provider can do -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "input_tokens"),
    [("reported usage; answered by model gpt-4o", 3), ("reported usage", 101)],
)
def test_rates_of_another_model_or_tier_are_no_broken_promise(reason: str, input_tokens: int) -> None:
    """One such answer made every `verify` red from then on, and every backup was refused."""
    disk = SimDisk()
    ledger = open_ledger(disk)
    first_steps(ledger)
    ledger.post(hold_call("c"))
    line: dict[str, int | str] = {
        "name": "output",
        "quantity": 4,
        "unit": "token",
        "rate": 7,
        "cost_nusd": "30",
    }
    usage = {"input_tokens": input_tokens, "output_tokens": 4}
    ledger.post(cmd.SettleCall("c", 30, usage, [line], 200, reason))
    assert verify(FOLDER, disk=disk).ok
    assert backed_up(disk).report.ok


def test_a_ledger_with_a_broken_promise_can_be_saved_and_restored() -> None:
    """What was once written is there to stay: it is told, and is no reason to have no backup."""
    disk = SimDisk()
    ledger = open_ledger(disk)
    first_steps(ledger)
    ledger.post(hold_call("c"))
    line: dict[str, int | str] = {
        "name": "output",
        "quantity": 4,
        "unit": "token",
        "rate": 7,
        "cost_nusd": "30",
    }
    ledger.post(
        cmd.SettleCall("c", 30, {"input_tokens": 3, "output_tokens": 4}, [line], 200, "reported usage")
    )
    report = backed_up(disk).report
    assert [finding.what[:4] for finding in report.findings] == ["I11:"]
    assert report.damage is None
    disk = disk.killed()
    assert restored(disk).report == report
    assert open_ledger(disk).state.generation == 2
