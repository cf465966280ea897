"""The files of `pricing/`: documents as received, each named by its hash, and what stands beside them.

Owns how they are read and written: whole or not at all, and a disk that fails is an error of prices. Knows
nothing of what they say; whoever reads a document back has to verify it.
"""

from pathlib import Path

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ports import Disk


class Archive:
    """A folder of price documents. All methods block on the disk and raise PRICING_UNAVAILABLE."""

    def __init__(self, folder: Path, disk: Disk):
        self._folder = folder
        self._disk = disk

    def path(self, name: str) -> Path:
        """Return where a file of this name lies."""
        return self._folder / name

    def document(self, document_sha256: str) -> Path:
        """Return where the document of this hash lies."""
        return self.path(f"{document_sha256}.json")

    def read(self, path: Path) -> bytes | None:
        """Return a file's bytes, None where there is none."""
        try:
            return self._disk.read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unavailable(f"{path.name} cannot be read: {error.strerror or error}") from error

    def write(self, path: Path, data: bytes) -> None:
        """Put a file in place, mode 0600, whole or not at all."""
        try:
            self._disk.make_folder(path.parent)
            self._disk.replace(path, data)
        except OSError as error:
            raise unavailable(f"{path.name} cannot be written: {error.strerror or error}") from error


def unavailable(why: str) -> SpendGuardError:
    """Return the error of having no document to price calls with."""
    return SpendGuardError(Code.PRICING_UNAVAILABLE, f"No valid price document: {why}")
