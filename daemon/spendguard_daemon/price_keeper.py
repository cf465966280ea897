"""Keeps the price document in force: loads it, renews it in time, notes each acceptance in the ledger.

The ledger's `price_accept` record is the durable high-water mark: it is written before a document is used
for the first time, so no restart can bring an older one back. Whether a document's time is over is judged by
`PriceClock`, which never stands before the ledger's last record: a clock set back revives nothing.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.commands import AcceptPrices
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ports import Clock
from spendguard_daemon.pricing import changes
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.pricing.trust import HighWater

log = logging.getLogger(__name__)


class PriceOrigin(Protocol):
    """Where documents come from: `LocalPrices`, `RemotePrices`."""

    @property
    def kind(self) -> str:
        """Return local or remote."""

    @property
    def mark_source(self) -> str:
        """Return under which name the ledger keeps its new marks."""

    @property
    def url(self) -> str:
        """Return whom it asks; empty for nobody."""

    def load(self, high_water: HighWater | None) -> PriceBook:
        """Return the document to start with, without asking anybody."""

    async def ask(self) -> None:
        """Ask whoever is to be asked, for `refresh` to judge."""

    def refresh(self, high_water: HighWater | None) -> PriceBook | None:
        """Return what should replace the current document, if anything."""

    def adopt(self, book: PriceBook) -> None:
        """Use this document from now on."""

    def current(self, now_ns: int) -> PriceBook:
        """Return the document in use."""

    def counts(self, source: str, key_id: str) -> bool:
        """Tell whether the mark of a key counts that was set while prices came from `source`."""

    def key_ids(self) -> tuple[str, ...]:
        """Return the names of the keys that may sign."""

    def wait_seconds(self, now_ns: int, failures: int) -> float:
        """Return how long to wait until the next look."""


class PriceClock:
    """The clock that documents live by: the wall's, or the ledger's last record if that is later."""

    def __init__(self, clock: Clock, ledger: Ledger):
        self._clock = clock
        self._ledger = ledger

    def wall_ns(self) -> int:
        """Return UTC as nanoseconds since the epoch, never before the ledger's last record."""
        return max(self._clock.wall_ns(), self._ledger.now().wall_ns)

    def monotonic_ns(self) -> int:
        """Return nanoseconds that only ever grow."""
        return self._clock.monotonic_ns()


@dataclass(frozen=True, slots=True)
class LastError:
    """Why the last look brought no document, and when (UTC, ns)."""

    code: Code
    detail: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceReport:
    """The document in force and how it is kept, at `now_ns`, for people and programs to look at."""

    book: PriceBook
    source: str
    url: str
    key_ids: tuple[str, ...]
    last_error: LastError | None
    next_refresh_ns: int | None
    now_ns: int
    slips: tuple[str, ...] = ()


class PriceKeeper:
    """The price source that the planner asks."""

    def __init__(self, source: PriceOrigin, ledger: Ledger, clock: Clock):
        self._source = source
        self._ledger = ledger
        self._clock = PriceClock(clock, ledger)
        self._turn = asyncio.Lock()
        self._failures = 0
        self._last_error: LastError | None = None
        self._next_ns: int | None = None
        self._in_force: PriceBook | None = None
        self._slips: tuple[str, ...] = ()

    async def load(self) -> None:
        """Load, make or fetch the first document; raise its refusal."""
        try:
            await self._accept(self._source.load(self._high_water()))
        except SpendGuardError as error:
            if self._source.kind == "local":
                raise
            log.info("no stored price document can be used", extra={"facts": {"detail": error.detail}})
            await self.refresh()

    async def keep(self) -> None:
        """Renew the document for ever, well before it expires; a failure leaves the current one in force."""
        while True:
            now_ns = self._clock.wall_ns()
            seconds = self._source.wait_seconds(now_ns, self._failures)
            self._next_ns = now_ns + int(seconds * 1e9)
            await asyncio.sleep(seconds)
            try:
                await self.refresh()
            except SpendGuardError as error:
                log.warning(
                    "prices were not renewed", extra={"facts": {"code": error.code, "detail": error.detail}}
                )

    async def refresh(self) -> None:
        """Look for a newer document now; raise why there is none that may be used."""
        async with self._turn:
            try:
                await self._source.ask()
                book = self._source.refresh(self._high_water())
                if book is not None:
                    await self._accept(book)
            except SpendGuardError as error:
                self._failures += 1
                self._last_error = LastError(error.code, error.detail, self._clock.wall_ns())
                raise
            self._failures, self._last_error = 0, None

    def current(self, now_ns: int) -> PriceBook:
        """Return the verified document in force; its expiry is checked at each use.

        Raises PRICING_UNAVAILABLE or PRICING_EXPIRED, with what was wrong when it was last looked for.
        """
        try:
            return self._source.current(max(now_ns, self._clock.wall_ns()))
        except SpendGuardError as error:
            last = self._last_error
            if last is None or last.detail == error.detail:
                raise
            raise SpendGuardError(
                error.code, f"{error.detail}; the last attempt to get one: {last.detail} ({last.code})"
            ) from None

    def report(self) -> PriceReport:
        """Return the document in force and how it is kept; raise as `current` does."""
        now_ns = self._clock.wall_ns()
        return PriceReport(
            book=self.current(now_ns),
            source=self._source.kind,
            url=self._source.url,
            key_ids=self._source.key_ids(),
            last_error=self._last_error,
            next_refresh_ns=self._next_ns,
            now_ns=now_ns,
            slips=self._slips,
        )

    def _high_water(self) -> HighWater | None:
        # The ledger keeps a mark for each key; those of revoked keys bind nobody.
        marks = self._ledger.state.high_water.values()
        counting = (mark for mark in marks if self._source.counts(mark.source, mark.key_id))
        accepted = max(counting, key=lambda mark: mark.sequence, default=None)
        return None if accepted is None else HighWater(accepted.sequence, accepted.document_sha256)

    async def _accept(self, book: PriceBook) -> None:
        high_water = self._high_water()
        if high_water is None or high_water.document_sha256 != book.document_sha256:
            source = self._source.mark_source
            await self._ledger.submit(AcceptPrices(book.sequence, book.document_sha256, book.key_id, source))
            self._say(book)
        self._compare(book)
        self._source.adopt(book)

    def _compare(self, book: PriceBook) -> None:
        """Warn where a new document says ten times what the one before it said, or a tenth."""
        before, self._in_force = self._in_force, book
        if before is None or before.document_sha256 == book.document_sha256:
            return
        self._slips = changes.slips(before.cards(), book.cards())
        for slip in self._slips:
            log.warning("a price changed ten-fold", extra={"facts": {"warning": slip}})

    def _say(self, book: PriceBook) -> None:
        facts = {"document_sha256": book.document_sha256, "sequence": book.sequence, "key_id": book.key_id}
        log.info("a price document was accepted", extra={"facts": facts})
        for warning in book.document.warnings:
            log.warning("in the price document", extra={"facts": {"warning": warning}})
