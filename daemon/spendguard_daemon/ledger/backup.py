"""Backups: a copy of a ledger's folder up to its last durable record, made while a daemon writes on it.

Takes none of the ledger's locks and disturbs nobody. Every file is a copy, the open segment up to the last
record that was durable. `manifest.json`, written last, names every file with its size and hash: a folder
without it is no backup. A backup is a ledger's folder itself, and is verified as one before it is called
done.
Invariant: no file of a backup is one of the ledger's under a second name. Backups lie where others may write,
a program inside `exec` among them, and what is changed there must not change here.
"""

from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.folder import ARCHIVE, LOCK, LedgerFolder, snapshot_name
from spendguard_daemon.ledger.lines import SLOT_BYTES, Slot, encode_slot
from spendguard_daemon.ledger.manifest import MANIFEST, VERSION, FileEntry, Manifest, encode_manifest
from spendguard_daemon.ledger.recovery import HEAD, Place, Segment, damaged, newest_slot
from spendguard_daemon.ledger.times import format_time
from spendguard_daemon.ledger.verify import Progress, Report, verify
from spendguard_daemon.ports import Clock, Disk


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that is done: its manifest, the manifest's hash, and what verifying it found."""

    manifest: Manifest
    sha256: str
    report: Report


def back_up(
    ledger: Path,
    target: Path,
    *,
    disk: Disk,
    clock: Clock,
    version: str,
    on_progress: Progress | None = None,
) -> Backup:
    """Make a backup of the ledger in `ledger` in the folder `target`, new or empty. Blocks.

    `on_progress` hears of the verification, which reads most. Raises LEDGER_REFUSED where `target` is not
    empty, another backup is being made there, or there is no ledger; LEDGER_DAMAGED where the ledger is not
    whole, OSError where a disk fails.
    """
    if target.is_relative_to(ledger):
        raise SpendGuardError(Code.LEDGER_REFUSED, f"{target} is in the ledger itself")
    _check_empty(target, disk)
    if not disk.exists(ledger) or not LedgerFolder(ledger, disk).segments:
        raise SpendGuardError(Code.LEDGER_REFUSED, f"There is no ledger in {ledger}")
    disk.make_folder(target)
    lock = disk.lock(target / LOCK)
    if lock is None:
        raise SpendGuardError(Code.LEDGER_REFUSED, f"Another backup is being made in {target}")
    try:
        _check_empty(target, disk)
        return _back_up(ledger, target, disk, clock, version, on_progress)
    finally:
        lock.close()


def _check_empty(target: Path, disk: Disk) -> None:
    if disk.exists(target) and set(disk.names(target)) - {LOCK}:
        raise SpendGuardError(Code.LEDGER_REFUSED, f"{target} is not empty")


def _back_up(
    ledger: Path, target: Path, disk: Disk, clock: Clock, version: str, on_progress: Progress | None
) -> Backup:
    # The head before the list: what it says to be durable is then in the files that are listed.
    head = newest_slot(LedgerFolder(ledger, disk).read_head())
    if head is None:
        raise damaged(
            Place(HEAD, 1, 0), "neither of its slots is whole; a start of the daemon writes it anew"
        )
    copier = Copier(disk, target)
    _copy(LedgerFolder(ledger, disk), head, copier)
    report = verify(target, disk=disk, on_progress=on_progress)
    if (found := report.damage) is not None:
        raise damaged(Place(found.file, found.line, found.byte), found.what)
    manifest = Manifest(
        backup=VERSION,
        created=format_time(clock.wall_ns()),
        version=version,
        seq=head.seq,
        h=head.h,
        generation=head.generation,
        files=copier.entries,
    )
    raw, digest = encode_manifest(manifest)
    disk.replace(target / MANIFEST, raw)
    return Backup(manifest, digest, report)


class Copier:
    """Puts files into a new folder, and keeps the list of them."""

    def __init__(self, disk: Disk, target: Path) -> None:
        self.entries: list[FileEntry] = []
        self._disk, self._target = disk, target
        disk.make_folder(target / ARCHIVE)

    def write(self, name: str, raw: bytes) -> None:
        """Write a file of its own, durably."""
        self._disk.replace(self._target / name, raw)
        self.entries.append(FileEntry(path=name, bytes=len(raw), sha256=sha256_hex(raw)))


def _copy(folder: LedgerFolder, head: Slot, copier: Copier) -> None:
    """Copy what was durable when the head was read."""
    files = [file for file in folder.segments if file.first_seq <= head.seq and folder.size(file)]
    if not files:
        raise damaged(Place(HEAD, 1, 0), f"record {head.seq} was durable, but no segment can hold it")
    for file in files[:-1]:
        copier.write(f"{ARCHIVE}/{file.name}" if file.archived else file.name, folder.read(file).raw)
    last = folder.read(files[-1])
    copier.write(last.name, last.raw[: _end_of(head, last)])
    for seq in folder.snapshots:
        if seq <= head.seq:
            try:
                raw = folder.read_snapshot(seq)
            except FileNotFoundError:  # the daemon has dropped it meanwhile
                continue
            copier.write(snapshot_name(seq), raw)
    copier.write(HEAD, encode_slot(head) + bytes(SLOT_BYTES))


def _end_of(head: Slot, segment: Segment) -> int:
    """Return the byte after the record that the head names, or the segment's end where it has fewer."""
    end = 0
    for _ in range(head.seq - segment.first_seq + 1):
        end = segment.raw.find(b"\n", end) + 1
        if end == 0:
            return len(segment.raw)
    return end
