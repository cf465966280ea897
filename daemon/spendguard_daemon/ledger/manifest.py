"""The file format of a backup's manifest: which files it has, how large each is, and its hash. Pure."""

import re

import msgspec

from spendguard_daemon.ledger.sealed import SealError, go_on, opened, read, seal

MANIFEST = "manifest.json"
VERSION = 1

_PATH = re.compile(r"head|snap-[0-9]{12}\.json|(archive/)?seg-[0-9]{12}\.jsonl")


class ManifestError(Exception):
    """A manifest is not one that we wrote whole; says what is wrong with it."""


class NewerManifestError(ManifestError):
    """A manifest is of a version that this code does not know."""


class _Version(msgspec.Struct, frozen=True):
    """What is read of a manifest before all else."""

    backup: int


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup: its path in it, with `/`, its size, and the SHA-256 of its bytes in hex."""

    path: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A backup made at `created` by `version`: a ledger up to record `seq`, whose hash is `h`."""

    backup: int
    created: str
    version: str
    seq: int
    h: str
    generation: int
    files: list[FileEntry]


def encode_manifest(manifest: Manifest) -> tuple[bytes, str]:
    """Return the file's bytes, and the hash at its end."""
    return seal(manifest, go_on)


def decode_manifest(raw: bytes) -> tuple[Manifest, str]:
    """Return a manifest and the hash at the end of its file; raise ManifestError."""
    try:
        members, digest = opened(raw)
        version = read(members, _Version, go_on).backup
        if version > VERSION:
            raise NewerManifestError(f"a backup of version {version}")
        manifest = read(members, Manifest, go_on)
    except SealError as error:
        raise ManifestError(str(error)) from None
    if manifest.backup != VERSION:
        raise ManifestError(f"it is of version {manifest.backup}, not {VERSION}")
    for entry in manifest.files:
        if not _PATH.fullmatch(entry.path):
            raise ManifestError(f"it names {entry.path!r}, which no ledger has")
    return manifest, digest
