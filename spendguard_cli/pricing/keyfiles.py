"""Private keys of a price authority as files: made once, for their owner's eyes, never shown.

Knows the form of the file from `Authority.key_file` and nothing of documents. Invariants: no key file is ever
overwritten; one that others can read signs nothing; no message holds a byte of a key.
"""

import os
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ports import Rng
from spendguard_daemon.pricing.authority import Authority

FILE_BYTES_MAX = 4096


def make(text: str, rng: Rng) -> Authority:
    """Make a key pair and keep it in a new file, mode 0600; raise USAGE where something is there already."""
    path = Path(text)
    authority = Authority.new(rng)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SpendGuardError(
            Code.USAGE,
            f"{text} is there already, and a key is never overwritten",
            remedy="name a new file; pricing sign --key signs with an old one",
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(authority.key_file())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)  # half a key would pass for one
        raise
    return authority


def read_all(texts: Sequence[str]) -> list[Authority]:
    """Read the key files named, the first of which signs, the others co-sign.

    Raises USAGE where one is missing or named twice, PRICING_SIGNATURE where it is no private key or open to
    other users.
    """
    found: dict[str, Authority] = {}
    for text in texts:
        authority = _read(text)
        if authority.key_id in found:
            raise SpendGuardError(
                Code.USAGE, f"--key: {text} is a key named before", remedy="name each key once"
            )
        found[authority.key_id] = authority
    return list(found.values())


def _read(text: str) -> Authority:
    try:
        with Path(text).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(FILE_BYTES_MAX)
    except (FileNotFoundError, IsADirectoryError):
        raise SpendGuardError(
            Code.USAGE, f"--key: {text} is no file", remedy=f"spendguard pricing keygen {text} makes a key"
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise SpendGuardError(
            Code.PRICING_SIGNATURE,
            f"--key: {text} can be read by other users of this machine",
            remedy=f"chmod 600 {shlex.quote(text)}; if others may have read it, make another with "
            "pricing keygen",
        )
    try:
        return Authority.from_key_file(raw)
    except SpendGuardError:
        raise SpendGuardError(
            Code.PRICING_SIGNATURE,
            f"--key: {text} holds no private key as pricing keygen writes it",
            remedy="name the file that pricing keygen made",
        ) from None
