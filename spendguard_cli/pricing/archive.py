"""The price documents of a home as they were received, each verified again before it says anything.

Reads `pricing/<sha256>.json` only. What a key has signed stays signed: a key that was revoked since, or is
over, still vouches for the documents of its time. Invariant: a book that comes out has the bytes it was asked
for by, a known key's signature, and had not expired at the time it was asked for.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from spendguard_cli.pricing import contents
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ports import Disk
from spendguard_daemon.pricing import catalogue, trust, wire_json
from spendguard_daemon.pricing.document import PriceBook, PriceDocument
from spendguard_daemon.pricing.trust import PinnedKey


class Archive:
    """The documents below one folder, each read and verified once."""

    def __init__(
        self, folder: Path, keys: Iterable[PinnedKey], disk: Disk, *, skew_ns: int = trust.EXPIRY_SKEW_NS
    ):
        self._folder = folder
        self._keys = [replace(key, revoked=False, not_after_ns=None) for key in keys]
        self._disk = disk
        self._skew_ns = skew_ns
        self._books: dict[str, PriceBook | SpendGuardError] = {}

    def book(self, document_sha256: str, at_ns: int) -> PriceBook:
        """Return the document of this hash, as a call at `at_ns` was priced by it.

        Raises FileNotFoundError where it is not there, PRICING_SIGNATURE where no key known here has signed
        it, PRICING_INVALID where its bytes are others, PRICING_EXPIRED where its time was over.
        """
        if document_sha256 not in self._books:
            self._books[document_sha256] = self._read(document_sha256)
        found = self._books[document_sha256]
        if isinstance(found, SpendGuardError):
            raise found
        trust.check_unexpired(found.expires_ns, at_ns, self._skew_ns)
        return found

    def _read(self, document_sha256: str) -> PriceBook | SpendGuardError:
        raw = self._disk.read(self._folder / f"{document_sha256}.json")
        if sha256_hex(raw) != document_sha256:
            return wire_json.invalid(f"pricing/{document_sha256}.json does not have the bytes it is named by")
        try:
            document = self._verified(raw, document_sha256)
        except SpendGuardError as error:
            return error
        return PriceBook(document, catalogue.MOCK_CARDS, self_signed=False)

    def _verified(self, raw: bytes, name: str) -> PriceDocument:
        """Verify as of the document's own beginning: whether it was over is asked for each call."""
        body = contents.load(raw, name)
        began = body.get("issued_at", body.get("generated_at"))
        try:
            began_ns = wire_json.to_ns(datetime.fromisoformat(str(began)))
        except (ValueError, TypeError):
            raise SpendGuardError(
                Code.PRICING_INVALID, f"Price document is not valid: {name} has no time of issue"
            ) from None
        return trust.verify(
            raw, pinned=self._keys, now_ns=began_ns, high_water=None, schemas=trust.BOTH_SCHEMAS
        )
