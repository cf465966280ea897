"""Restoring a backup: its ledger becomes the ledger, a generation later, with every agent frozen.

A restore lowers what is recorded as spent. So it writes a `restored` record, upon which each agent stays
frozen until an operator enters what it spent since the backup. The old ledger is moved aside, never
overwritten. Invariant: a crash at any point leaves the old ledger in place, or the new one, or neither, and
then a daemon refuses to start (`opening`), and the restore can be done again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.backup import Copier
from spendguard_daemon.ledger.events import Restored
from spendguard_daemon.ledger.folder import ARCHIVE, LOCK, LedgerFolder
from spendguard_daemon.ledger.journal import Entry, Writer
from spendguard_daemon.ledger.lines import Slot, encode_body
from spendguard_daemon.ledger.manifest import (
    MANIFEST,
    Manifest,
    ManifestError,
    NewerManifestError,
    decode_manifest,
)
from spendguard_daemon.ledger.opening import RESTORING
from spendguard_daemon.ledger.recovery import HEAD, Place, damaged, newer, newest_slot
from spendguard_daemon.ledger.rolling import RollingSegment
from spendguard_daemon.ledger.times import format_time
from spendguard_daemon.ledger.verify import Progress, Report, verify
from spendguard_daemon.ports import Clock, Disk, DiskFile


@dataclass(frozen=True, slots=True)
class Restoration:
    """A restore that is done: the new generation, its last record, and where the old ledger is now."""

    manifest: Manifest
    report: Report
    generation: int
    seq: int
    moved_to: Path | None


def restore(
    backup: Path,
    ledger: Path,
    *,
    disk: Disk,
    clock: Clock,
    actor: str,
    on_progress: Progress | None = None,
) -> Restoration:
    """Make the backup in `backup` the ledger in `ledger`, whose daemon must not run. Blocks.

    Raises LEDGER_REFUSED where `backup` is none, LEDGER_DAMAGED where it is not whole, LEDGER_NEWER where it
    is not for this reader, LEDGER_LOCKED while a daemon or another restore runs, OSError where a disk fails;
    in all these cases the ledger is as it was.
    """
    manifest, digest = _read_manifest(backup, disk)
    _check_files(backup, manifest, disk)
    report = verify(backup, disk=disk, on_progress=on_progress)
    if (found := report.damage) is not None:
        raise damaged(Place(found.file, found.line, found.byte), found.what)
    _check_end(backup, manifest, report, disk)
    staging = ledger.with_name(ledger.name + RESTORING)
    with _locked(ledger, staging, disk):
        generation = 1 + max(manifest.generation, _generation(ledger, disk), _generation(staging, disk))
        _clear(staging, disk)
        _copy(backup, staging, manifest, disk)
        now_ns = clock.wall_ns()
        event = Restored(
            generation=generation, backup_ts=manifest.created, manifest_sha256=digest, actor=actor
        )
        _append(staging, manifest, event, now_ns, disk)
        moved_to = _swap(staging, ledger, now_ns, disk)
    return Restoration(manifest, report, generation, manifest.seq + 1, moved_to)


@contextmanager
def _locked(ledger: Path, staging: Path, disk: Disk) -> Iterator[None]:
    """Keep daemons and other restores out; raise LEDGER_LOCKED where one is in.

    Once the staging folder is there, no daemon begins where there is no ledger (`opening`); one that began
    just before has made its folder, and is found by the second look.
    """
    disk.make_folder(ledger.parent)
    locks: list[DiskFile] = []
    try:
        if there := disk.exists(ledger):
            locks.append(_lock(ledger, disk))
        disk.make_folder(staging)
        locks.append(_lock(staging, disk))
        if not there and disk.exists(ledger):
            locks.append(_lock(ledger, disk))
        yield
    finally:
        for lock in locks:
            lock.close()


def _lock(folder: Path, disk: Disk) -> DiskFile:
    lock = disk.lock(folder / LOCK)
    if lock is None:
        entry = TABLE[Code.LEDGER_LOCKED]
        raise SpendGuardError(Code.LEDGER_LOCKED, entry.title, remedy=entry.operator_remedy)
    return lock


def _read_manifest(backup: Path, disk: Disk) -> tuple[Manifest, str]:
    try:
        return decode_manifest(disk.read(backup / MANIFEST))
    except FileNotFoundError:
        raise SpendGuardError(
            Code.LEDGER_REFUSED, f"{backup} is no backup, or an unfinished one: it has no {MANIFEST}"
        ) from None
    except NewerManifestError as error:
        raise newer(Place(MANIFEST, 1, 0), str(error)) from None
    except ManifestError as error:
        raise damaged(Place(MANIFEST, 1, 0), str(error)) from None


def _check_files(backup: Path, manifest: Manifest, disk: Disk) -> None:
    for entry in manifest.files:
        place = Place(entry.path, 1, 0)
        try:
            raw = disk.read(backup / entry.path)
        except FileNotFoundError:
            raise damaged(place, "the manifest names it, but it is missing") from None
        if (len(raw), sha256_hex(raw)) != (entry.bytes, entry.sha256):
            raise damaged(place, "its bytes are not those that the manifest names")


def _check_end(backup: Path, manifest: Manifest, report: Report, disk: Disk) -> None:
    """Check that the manifest is about the ledger beside it: what is written next must follow from both."""
    folder, named = LedgerFolder(backup, disk), {entry.path for entry in manifest.files}
    for file in folder.segments:
        path = f"{ARCHIVE}/{file.name}" if file.archived else file.name
        if path not in named:
            raise damaged(Place(path, 1, 0), "the manifest does not name it")
    end = Slot(manifest.seq, manifest.h, manifest.generation)
    whole = (report.last_seq, report.generation, report.unfinished_bytes)
    if newest_slot(folder.read_head()) != end or whole != (manifest.seq, manifest.generation, 0):
        raise damaged(Place(MANIFEST, 1, 0), "its last record is not that of the files beside it")


def _generation(folder: Path, disk: Disk) -> int:
    """Return the generation of the ledger in a folder, 0 where there is none."""
    slot = newest_slot(LedgerFolder(folder, disk).read_head()) if disk.exists(folder) else None
    return slot.generation if slot else 0


def _clear(staging: Path, disk: Disk) -> None:
    """Remove the copies that a restore which was cut short has left."""
    for folder in (staging / ARCHIVE, staging):
        if disk.exists(folder):
            for name in disk.names(folder):
                if folder / name not in (staging / ARCHIVE, staging / LOCK):
                    disk.remove(folder / name)


def _copy(backup: Path, staging: Path, manifest: Manifest, disk: Disk) -> None:
    copier = Copier(disk, staging)
    for entry in manifest.files:
        copier.write(entry.path, disk.read(backup / entry.path))
    _check_files(staging, manifest, disk)  # it may have been changed since it was verified


def _append(staging: Path, manifest: Manifest, event: Restored, now_ns: int, disk: Disk) -> None:
    """Write the `restored` record and the head of the new generation, durably."""
    first_seq = LedgerFolder(staging, disk).segments[-1].first_seq
    head = disk.open_update(staging / HEAD)
    writer = Writer(
        RollingSegment(staging, disk, first_seq=first_seq),
        head,
        seq=manifest.seq,
        h=manifest.h,
        generation=event.generation,
        next_slot=0,
    )
    try:
        writer.write([Entry(manifest.seq + 1, now_ns, encode_body(event))])
        head.sync()
    finally:
        writer.close()
    disk.sync_folder(staging)


def _swap(staging: Path, ledger: Path, now_ns: int, disk: Disk) -> Path | None:
    """Move the old ledger aside and the new one into its place; return where the old one is."""
    moved_to = None
    if disk.exists(ledger):
        moved_to = _free_name(ledger, now_ns, disk)
        disk.rename(ledger, moved_to)
    disk.rename(staging, ledger)
    disk.sync_folder(ledger.parent)
    return moved_to


def _free_name(ledger: Path, now_ns: int, disk: Disk) -> Path:
    stamp = format_time(now_ns)[:19].replace("-", "").replace(":", "")
    name, count = f"{ledger.name}.before-{stamp}Z", 1
    path = ledger.with_name(name)
    while disk.exists(path):
        count += 1
        path = ledger.with_name(f"{name}-{count}")
    return path
