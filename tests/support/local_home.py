"""A home in memory for the local price source, over several starts of the daemon."""

from pathlib import Path
from typing import Any

from signed_prices import NOW_NS
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.pricing.local import LocalPrices
from spendguard_daemon.pricing.trust import HighWater

FOLDER = Path("/home/pricing")
TRUST = Path("/home/trust.toml")
KEY = FOLDER / "authority.key"


class MemoryDisk:
    """Files by path. `broken` names the calls that fail."""

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}
        self.writes: list[Path] = []
        self.broken: set[str] = set()

    def read(self, path: Path) -> bytes:
        if "read" in self.broken:
            raise PermissionError(13, "Permission denied")
        if path not in self.files:
            raise FileNotFoundError(2, "No such file")
        return self.files[path]

    def make_folder(self, path: Path) -> None:
        assert path in (FOLDER, FOLDER.parent)

    def replace(self, path: Path, data: bytes) -> None:
        if "replace" in self.broken:
            raise OSError(28, "No space left on device")
        self.writes.append(path)
        self.files[path] = data


class SetClock:
    def __init__(self) -> None:
        self.now_ns = NOW_NS

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        raise AssertionError("documents live by the calendar")


class CountingRng:
    def __init__(self) -> None:
        self.drawn = 0

    def token(self, n_bytes: int) -> bytes:
        self.drawn += 1
        return bytes([self.drawn]) * n_bytes

    def uuid4(self) -> str:
        raise AssertionError("no id is needed")


class Home:
    """One home over several starts of the daemon."""

    def __init__(self) -> None:
        self.disk, self.clock, self.rng = MemoryDisk(), SetClock(), CountingRng()
        self.mark: HighWater | None = None

    def prices(self, overrides: dict[str, Any] | None = None) -> LocalPrices:
        return LocalPrices(
            FOLDER,
            TRUST,
            disk=self.disk,
            clock=self.clock,
            rng=self.rng,
            overrides=overrides or {},
        )

    def start(self, overrides: dict[str, Any] | None = None) -> PriceBook:
        """Load as the daemon does, and record the acceptance as the ledger does."""
        book = self.prices(overrides).load(self.mark)
        self.mark = HighWater(book.sequence, book.document_sha256)
        return book

    @property
    def documents(self) -> list[Path]:
        return [path for path in self.disk.files if path.suffix == ".json"]
