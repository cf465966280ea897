"""A ledger or a backup, read whole: what `ledger.verify` finds, and if the files are the manifest's."""

from collections.abc import Iterator

from spendguard_cli.ledger.places import LedgerPlace
from spendguard_cli.ledger.results import Flaw, Verified
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.ledger.manifest import MANIFEST, ManifestError, decode_manifest
from spendguard_daemon.ledger.verify import Progress, Report, verify
from spendguard_daemon.money import format_usd
from spendguard_daemon.ports import Disk


def verified(place: LedgerPlace, *, disk: Disk, on_progress: Progress) -> Verified:
    """Read everything in a ledger's folder; raise OSError where it cannot be read."""
    report = verify(place.path, disk=disk, on_progress=on_progress)
    flaws = [
        Flaw(path=str(place.file(found.file)), line=found.line, byte=found.byte, what=found.what)
        for found in report.findings
    ]
    if place.is_backup:
        known = {flaw.path for flaw in flaws}
        flaws += [flaw for flaw in _manifest_flaws(place, disk) if flaw.path not in known]
    return _shown(place, report, flaws)


def _manifest_flaws(place: LedgerPlace, disk: Disk) -> Iterator[Flaw]:
    """Yield what is not as the manifest says: no chain of hashes can tell that a head is another's."""
    path = place.path / MANIFEST
    try:
        manifest, _ = decode_manifest(disk.read(path))
    except ManifestError as error:
        yield Flaw(path=str(path), line=1, byte=0, what=str(error))
        return
    for entry in manifest.files:
        path = place.path / entry.path
        try:
            raw = disk.read(path)
        except FileNotFoundError:
            yield Flaw(path=str(path), line=1, byte=0, what="the manifest names it, but it is missing")
            continue
        if (len(raw), sha256_hex(raw)) != (entry.bytes, entry.sha256):
            what = "its bytes are not those that the manifest names"
            yield Flaw(path=str(path), line=1, byte=0, what=what)


def _shown(place: LedgerPlace, report: Report, flaws: list[Flaw]) -> Verified:
    return Verified(
        ok=not flaws,
        path=str(place.path),
        backup=place.is_backup,
        first_seq=report.first_seq,
        last_seq=report.last_seq,
        generation=report.generation,
        segments=report.segments,
        bytes=report.bytes,
        unfinished_bytes=report.unfinished_bytes,
        snapshots=len(report.snapshots),
        agents=report.agents,
        calls=report.calls,
        calls_open=report.calls_open,
        settled_usd=format_usd(report.settled_nusd),
        held_usd=format_usd(report.held_nusd),
        unconfirmed_calls=report.unconfirmed_calls,
        unconfirmed_usd=format_usd(report.unconfirmed_nusd),
        warnings=list(report.warnings),
        flaws=flaws,
    )
