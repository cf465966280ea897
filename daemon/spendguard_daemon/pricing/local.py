"""The local price source: the authority of this home, which signs the bundled catalogue itself.

Owns the files of `pricing/` (documents as received, named by their hash; the authority's private key) and
when to sign anew. Knows no HTTP. Invariants: a book comes out of `trust.verify` only, whether its bytes were
signed a moment ago or read back from disk; expiry is checked at each use; the document last accepted is the
one that the ledger's high-water mark names, so no file is a second truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from spendguard_daemon.canonical import Json
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ports import Clock, Disk, Rng
from spendguard_daemon.pricing import catalogue, trust
from spendguard_daemon.pricing.archive import Archive, unavailable
from spendguard_daemon.pricing.authority import Authority
from spendguard_daemon.pricing.catalogue import NO_OVERRIDES
from spendguard_daemon.pricing.document import PriceBook, PriceDocument
from spendguard_daemon.pricing.trust import HighWater, PinnedKey, Trust

SIGN_AHEAD_NS = 24 * 3600 * 1_000_000_000
"""A document with less than this left is replaced."""

REFRESH_SECONDS = 300


class LocalPrices:
    """The self-signed source: the bundled catalogue and the operator's overrides, signed by our own key.

    It verifies whatever the settings say; where they switch that off, its books say so like any other.

    `load` and `refresh` block on the disk. Between a new book and its first use its acceptance has to be
    durable: that is why `refresh` only prepares one and `adopt` puts it to use.
    """

    kind = mark_source = "local"
    url = ""

    def __init__(
        self,
        folder: Path,
        trust_path: Path,
        *,
        disk: Disk,
        clock: Clock,
        rng: Rng,
        overrides: Mapping[str, object] = NO_OVERRIDES,
        verifies: bool = True,
    ):
        self._files = Archive(folder, disk)
        self._trust_path = trust_path
        self._clock = clock
        self._rng = rng
        self._overrides = overrides
        self._verifies = verifies
        self._book: PriceBook | None = None
        self.signed_because = ""
        """Why the last document was signed, for the log; empty where a stored one was still good."""

    def load(self, high_water: HighWater | None) -> PriceBook:
        """Return the book to start with, and put it to use: the accepted document, or a new one.

        At first start this makes the authority's key and pins it in trust.toml. Raises PRICING_UNAVAILABLE,
        PRICING_SIGNATURE, PRICING_INVALID (bad overrides) where there is no way to a valid document.
        """
        book = self._find_or_sign(high_water)
        self.adopt(book)
        return book

    def refresh(self, high_water: HighWater | None) -> PriceBook | None:
        """Return a book that should replace the current one, None where that is good for a day or more.

        The caller records its acceptance, then calls `adopt`. Raises as `load` does.
        """
        book = self._find_or_sign(high_water)
        unchanged = self._book is not None and self._book.document_sha256 == book.document_sha256
        return None if unchanged else book

    def adopt(self, book: PriceBook) -> None:
        """Use this book from now on."""
        self._book = book

    async def ask(self) -> None:
        """Do nothing: whom there is to ask is here, and `refresh` asks it."""

    def counts(self, source: str, key_id: str) -> bool:
        """Tell whether a mark counts: any of this source, as a key made anew goes on from the one before it.

        And that of our own key wherever its document came from: an operator may have served one that was
        signed here. The ledger takes no lower number of that key, so the next one signed goes above it. A
        document of another's key never counts, whatever number it bears.
        """
        return source == self.mark_source or key_id == self._own_key_id()

    def key_ids(self) -> tuple[str, ...]:
        """Return the key that signs here."""
        return () if self._book is None else (self._book.key_id,)

    def wait_seconds(self, _now_ns: int, _failures: int) -> float:
        """Return how long to wait until the next look at how much time is left."""
        return REFRESH_SECONDS

    def current(self, now_ns: int) -> PriceBook:
        """Return the book in use. Raises PRICING_UNAVAILABLE, or PRICING_EXPIRED once its time is over."""
        if self._book is None:
            raise unavailable("none has been loaded yet")
        trust.check_unexpired(self._book.expires_ns, now_ns)
        return self._book

    def _own_key_id(self) -> str | None:
        raw = self._files.read(self._files.path("authority.key"))
        return None if raw is None else Authority.from_key_file(raw).key_id

    def _find_or_sign(self, high_water: HighWater | None) -> PriceBook:
        authority, pinned = self._authority()
        providers = catalogue.merge(catalogue.bundled().models, self._overrides)
        desk = _Desk(authority, pinned, providers, self._clock.wall_ns(), high_water)
        found = self._stored(desk)
        self.signed_because = found if isinstance(found, str) else ""
        document = self._sign(desk) if isinstance(found, str) else found
        return PriceBook(document, catalogue.MOCK_CARDS, self_signed=True, verified=self._verifies)

    def _stored(self, desk: "_Desk") -> PriceDocument | str:
        """Return the document last accepted, or why it cannot go on."""
        if desk.high_water is None:
            return "no document was ever accepted"
        raw = self._files.read(self._files.document(desk.high_water.document_sha256))
        if raw is None:
            return "the document last accepted is not there"
        return desk.judge(raw)

    def _sign(self, desk: "_Desk") -> PriceDocument:
        raw = desk.sign()
        document = desk.verify(raw)
        self._files.write(self._files.document(document.document_sha256), raw)
        return document

    def _authority(self) -> tuple[Authority, tuple[PinnedKey, ...]]:
        """Return our key pair and all pinned keys, made and pinned if there is none yet.

        A threshold is for documents that come from elsewhere: this one is signed here, by one key.

        The key is pinned before it is kept: a crash in between leaves a pin that no one can sign for.
        """
        key_path = self._files.path("authority.key")
        raw = self._files.read(key_path)
        text = self._files.read(self._trust_path)
        before = Trust(()) if text is None else trust.read_trust(text.decode("utf-8", "replace"))
        if raw is not None and text is not None:
            return Authority.from_key_file(raw), before.keys
        authority = Authority.new(self._rng) if raw is None else Authority.from_key_file(raw)
        after = replace(before, keys=(*before.keys, authority.pinned()))
        self._files.write(self._trust_path, trust.write_trust(after).encode())
        if raw is None:
            self._files.write(key_path, authority.key_file())
        return authority, after.keys


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the local authority decides from, all read at one moment; pure from here on."""

    authority: Authority
    pinned: tuple[PinnedKey, ...]
    providers: Mapping[str, Json]
    now_ns: int
    high_water: HighWater | None

    def verify(self, raw: bytes) -> PriceDocument:
        return trust.verify(raw, pinned=self.pinned, now_ns=self.now_ns, high_water=self.high_water)

    def judge(self, raw: bytes) -> PriceDocument | str:
        """Return the stored document if it may go on, or why a new one is needed."""
        try:
            document = self.verify(raw)
        except SpendGuardError as error:
            return f"the document last accepted was refused: {error.detail}"
        said_today = self.authority.sign(
            self.providers,
            sequence=document.sequence,
            issued_ns=document.issued_ns,
            expires_ns=document.expires_ns,
        )
        if said_today != raw:
            return "the catalogue, the overrides or the key changed"
        if document.expires_ns - self.now_ns < SIGN_AHEAD_NS:
            return "the document last accepted has less than a day left"
        return document

    def sign(self) -> bytes:
        return self.authority.sign(
            self.providers,
            sequence=self.high_water.sequence + 1 if self.high_water else 1,
            issued_ns=self.now_ns,
            expires_ns=self.now_ns + trust.LIFETIME_MAX_NS,
        )
