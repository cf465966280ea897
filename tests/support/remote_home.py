"""A home in memory whose prices come from elsewhere, and whoever answers for them, played."""

from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from local_home import FOLDER, TRUST, MemoryDisk, SetClock
from signed_prices import PINNED
from spendguard_daemon.pricing.answers import Answer
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.pricing.remote import RemotePrices, RemoteTerms
from spendguard_daemon.pricing.trust import HighWater, PinnedKey, Trust, write_trust

URL = "https://prices.example/doc?team=7"
STATE = FOLDER / "remote.json"


def answer(body: bytes = b"", status: int = 200, **headers: str) -> Answer:
    """Return an answer; header names are written with underscores."""
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


NOT_MODIFIED = answer(status=304)


class Played:
    """Gives the answers laid out for it, in order, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: deque[Answer | Exception] = deque()
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, url: str, *, etag: str, timeout_seconds: float) -> Answer:
        assert timeout_seconds > 0
        self.asked.append((url, etag))
        said = self.answers.popleft()
        if isinstance(said, Exception):
            raise said
        return said


class CalendarClock(SetClock):
    def monotonic_ns(self) -> int:
        return self.now_ns


class FixedRng:
    """Draws the same byte again and again."""

    def __init__(self, byte: int = 0) -> None:
        self.byte = byte

    def token(self, n_bytes: int) -> bytes:
        return bytes([self.byte]) * n_bytes

    def uuid4(self) -> str:
        raise AssertionError("no id is needed")


class RemoteHome:
    """One home over several starts of the daemon, `terms` as its settings have them."""

    def __init__(self, **terms: Any) -> None:
        self.disk, self.clock, self.rng, self.server = MemoryDisk(), CalendarClock(), FixedRng(), Played()
        self.terms = RemoteTerms(url=URL, **terms)
        self.mark: HighWater | None = None
        self.pin(PINNED)
        self.prices = self.source()

    def pin(self, *keys: PinnedKey, threshold: int = 1) -> None:
        """Write trust.toml."""
        self.disk.files[TRUST] = write_trust(Trust(keys, threshold)).encode()

    def source(self, **terms: Any) -> RemotePrices:
        """Return the source of one start of the daemon."""
        return RemotePrices(
            FOLDER,
            TRUST,
            replace(self.terms, **terms),
            fetch=self.server,
            disk=self.disk,
            clock=self.clock,
            rng=self.rng,
        )

    async def look(self, *answers: Answer | Exception) -> PriceBook | None:
        """Ask and judge as the keeper does; what is new is accepted and put to use."""
        self.server.answers.extend(answers)
        await self.prices.ask()
        book = self.prices.refresh(self.mark)
        assert not self.server.answers
        if book is not None:
            self.mark = HighWater(book.sequence, book.document_sha256)
            self.prices.adopt(book)
        return book

    def restart(self, **terms: Any) -> PriceBook:
        """Start anew from what is on disk."""
        self.prices = self.source(**terms)
        book = self.prices.load(self.mark)
        self.prices.adopt(book)
        return book

    @property
    def files(self) -> dict[Path, bytes]:
        """What the source wrote."""
        return {path: data for path, data in self.disk.files.items() if path != TRUST}
