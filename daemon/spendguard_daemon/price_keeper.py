"""Keeps the price document in force: loads it, renews it in time, notes each acceptance in the ledger.

The ledger's `price_accept` record is the durable high-water mark: it is written before a document is used
for the first time, so no restart can bring an older one back.
"""

import asyncio
import logging

from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger.commands import AcceptPrices
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ports import Clock
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.pricing.local import LocalPrices
from spendguard_daemon.pricing.trust import HighWater

REFRESH_SECONDS = 300

log = logging.getLogger(__name__)


class PriceKeeper:
    """The price source that the planner asks."""

    def __init__(self, source: LocalPrices, ledger: Ledger, clock: Clock):
        self._source = source
        self._ledger = ledger
        self._clock = clock

    async def load(self) -> None:
        """Load or make the first document; raise its refusal."""
        await self._accept(self._source.load(self._high_water()))

    async def keep(self) -> None:
        """Renew the document for ever, well before it expires; a failure leaves the current one in force."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                book = self._source.refresh(self._high_water())
                if book is not None:
                    await self._accept(book)
            except SpendGuardError as error:
                log.warning(
                    "prices were not renewed", extra={"facts": {"code": error.code, "detail": error.detail}}
                )

    def current(self, now_ns: int) -> PriceBook:
        """Return the verified document in force; its expiry is checked at each use."""
        return self._source.current(now_ns)

    def _high_water(self) -> HighWater | None:
        # The ledger keeps a mark for each key; a local key made anew goes on counting from the old one's.
        marks = (mark for mark in self._ledger.state.high_water.values() if mark.source == "local")
        accepted = max(marks, key=lambda mark: mark.sequence, default=None)
        return None if accepted is None else HighWater(accepted.sequence, accepted.document_sha256)

    async def _accept(self, book: PriceBook) -> None:
        high_water = self._high_water()
        if high_water is None or high_water.document_sha256 != book.document_sha256:
            await self._ledger.submit(AcceptPrices(book.sequence, book.document_sha256, book.key_id, "local"))
        self._source.adopt(book)
