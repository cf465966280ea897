"""The price documents of a home as they were received, each verified again before it says anything.

Reads `pricing/<sha256>.json` only. What a key has signed stays signed: a key that was revoked since, or is
over, still vouches for the documents of its time. Invariant: a book that comes out bears the hash it was
asked for by, a pinned key's signature, and was in force at the time it was asked for.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ports import Disk
from spendguard_daemon.pricing import catalogue, trust
from spendguard_daemon.pricing.document import PriceBook, PriceDocument
from spendguard_daemon.pricing.trust import PinnedKey


class Archive:
    """The documents below one folder, each read once."""

    def __init__(self, folder: Path, pinned: Sequence[PinnedKey], disk: Disk):
        self._folder = folder
        self._pinned = [replace(key, revoked=False, not_after_ns=None) for key in pinned]
        self._disk = disk
        self._books: dict[str, PriceBook | SpendGuardError] = {}

    def book(self, document_sha256: str, at_ns: int) -> PriceBook:
        """Return the document that was in force at `at_ns` under this hash.

        Raises FileNotFoundError where it is not there, PRICING_SIGNATURE, PRICING_INVALID or PRICING_EXPIRED
        where it is not what it must be.
        """
        if document_sha256 not in self._books:
            self._books[document_sha256] = self._read(document_sha256, at_ns)
        found = self._books[document_sha256]
        if isinstance(found, SpendGuardError):
            raise found
        trust.check_unexpired(found.expires_ns, at_ns)
        if found.issued_ns > at_ns + trust.ISSUED_AHEAD_MAX_NS:
            raise SpendGuardError(
                Code.PRICING_EXPIRED, "Price document was not in force: it was issued after the call"
            )
        return found

    def _read(self, document_sha256: str, at_ns: int) -> PriceBook | SpendGuardError:
        raw = self._disk.read(self._folder / f"{document_sha256}.json")
        try:
            document = self._verified(raw, at_ns)
        except SpendGuardError as error:
            return error
        if document.document_sha256 != document_sha256:
            return SpendGuardError(
                Code.PRICING_INVALID, "Price document is not valid: its hash is not the one it is filed under"
            )
        return PriceBook(document, catalogue.MOCK_CARDS, self_signed=False)

    def _verified(self, raw: bytes, at_ns: int) -> PriceDocument:
        return trust.verify(raw, pinned=self._pinned, now_ns=at_ns, high_water=None)
