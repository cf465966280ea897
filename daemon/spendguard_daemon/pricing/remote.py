"""The remote price source: asks for a signed document, and uses nothing that was not verified in full.

Owns what an answer changes: which document is in use, which is kept for the next start, under which entity
tag. Knows no socket (`fetch` comes in) and no ledger. Invariants: a file is written only after `trust.verify`
took the document, so an answer that is refused moves nothing; a tag is kept only with the body it came with,
and used only for the same address and the same pinned keys; trust.toml is read anew at each question, so a
revoked key's document ends there.
"""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from spendguard_daemon import canonical
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ports import Clock, Disk, Rng
from spendguard_daemon.pricing import catalogue, trust
from spendguard_daemon.pricing.answers import Answer, Fetch, body_of, failed
from spendguard_daemon.pricing.archive import Archive, unavailable
from spendguard_daemon.pricing.document import PriceBook, PriceDocument
from spendguard_daemon.pricing.trust import HighWater, Trust

RETRY_SECONDS = 2.0
"""After a failure; doubled with each further one, up to the usual time between two looks."""

JITTER_PARTS = 8
"""The usual time is shortened by up to an eighth, so that a thousand daemons do not ask at once."""

_STATE = "remote.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTerms:
    """Whom to ask and what to accept, as the settings say; a public key stands in for trust.toml."""

    url: str
    public_key: str = ""
    schemas: frozenset[int] = trust.BOTH_SCHEMAS
    refresh_seconds: float = 300
    skew_ns: int = trust.EXPIRY_SKEW_NS
    timeout_seconds: float = 10
    verifies: bool = True


@dataclass(frozen=True, slots=True)
class _Kept:
    """A document as received, the tag that it came with, if any, and the keys pinned then, hashed."""

    raw: bytes
    etag: str
    keys_sha256: str


class RemotePrices:
    """The strict source: no valid document, no call. It never falls back to anything else."""

    kind = "remote"

    def __init__(
        self,
        folder: Path,
        trust_path: Path,
        terms: RemoteTerms,
        *,
        fetch: Fetch,
        disk: Disk,
        clock: Clock,
        rng: Rng,
    ):
        self._files = Archive(folder, disk)
        self._trust_path = trust_path
        self._terms = terms
        self._fetch = fetch
        self._clock = clock
        self._rng = rng
        self._pinned = Trust(())
        self._book: PriceBook | None = None
        self._kept: _Kept | None = None
        self._answer: _Kept | None = None
        self._asked = False
        self._lacking = "none has been received yet"
        self.url = terms.url
        self.mark_source = "remote" if terms.verifies else "insecure"

    def load(self, high_water: HighWater | None) -> PriceBook:
        """Return the document that was kept, verified in full; nobody is asked.

        Raises PRICING_UNAVAILABLE where none was kept from this address, or what `verify` does.
        """
        kept = self._stored()
        book = self._book_of(self._verified(kept.raw, self._trust(), high_water))
        self._kept = kept
        return book

    async def ask(self) -> None:
        """Ask for the document in force; `refresh` judges the answer.

        Raises PRICING_UNAVAILABLE where there is none, PRICING_SIGNATURE where trust.toml cannot be used.
        """
        self._asked, self._answer = True, None
        keys_sha256 = self._recheck()
        if not self._terms.url:
            raise failed("no address is set: CAP_PRICING_URL, or spendguard up --strict for the public one")
        same_keys = self._kept is not None and self._kept.keys_sha256 == keys_sha256
        until_ns = self._clock.monotonic_ns() + int(self._terms.timeout_seconds * _SECOND_NS)
        answer = await self._get(self._kept.etag if self._kept and same_keys else "", until_ns)
        if self._kept is None and body_of(answer) is None:
            answer = await self._get("", until_ns)
        body = body_of(answer)
        if body is not None:
            self._answer = _Kept(body, answer.etag, keys_sha256)
        elif self._kept is None:
            raise failed("it answered 304 to a question without If-None-Match")

    def refresh(self, high_water: HighWater | None) -> PriceBook | None:
        """Return the book that the answer to `ask` makes, None where that is the one in use.

        The caller records its acceptance, then calls `adopt`. Raises what `verify` does.
        """
        said = self._answer or self._kept
        if said is None:
            raise unavailable(self._lacking)
        pinned = self._trust()
        try:
            document = self._verified(said.raw, pinned, high_water)
        except SpendGuardError:
            if self._answer is None:
                self._kept = replace(said, etag="")  # it says that this has not changed: ask for it whole
            raise
        if self._answer is not None:
            self._keep(said, document.document_sha256)
        unchanged = self._book is not None and self._book.document_sha256 == document.document_sha256
        return None if unchanged else self._book_of(document)

    def adopt(self, book: PriceBook) -> None:
        """Use this book from now on."""
        self._book = book

    def current(self, now_ns: int) -> PriceBook:
        """Return the book in use. Raises PRICING_UNAVAILABLE, or PRICING_EXPIRED once its time is over."""
        if self._book is None:
            raise unavailable(self._lacking)
        trust.check_unexpired(self._book.expires_ns, max(now_ns, self._book.issued_ns), self._terms.skew_ns)
        return self._book

    def counts(self, source: str, key_id: str) -> bool:
        """Tell whether the mark of a key counts: one of this source, that is pinned, and not revoked."""
        if source != self.mark_source:
            return False
        return not self._terms.verifies or key_id in self._trust().names()

    def key_ids(self) -> tuple[str, ...]:
        """Return the names of the keys that might sign when they were last looked at."""
        return tuple(sorted(self._pinned.names()))

    def wait_seconds(self, now_ns: int, failures: int) -> float:
        """Return how long to wait until the next question: a third of the document's time at most."""
        if not self._asked:
            return 0.0
        usual = self._most_seconds()
        if self._book is not None:
            usual = min(usual, max(1.0, (self._book.expires_ns - now_ns) / 2 / _SECOND_NS))
        if failures:
            usual = min(self._most_seconds(), RETRY_SECONDS * 2 ** min(failures - 1, 16))
        return usual * (1 - self._rng.token(1)[0] / 255 / JITTER_PARTS)

    def _most_seconds(self) -> float:
        if self._book is None:
            return self._terms.refresh_seconds
        life_ns = self._book.expires_ns - self._book.issued_ns
        return min(self._terms.refresh_seconds, life_ns / 3 / _SECOND_NS)

    async def _get(self, etag: str, until_ns: int) -> Answer:
        left_seconds = max(0, until_ns - self._clock.monotonic_ns()) / _SECOND_NS
        return await self._fetch(self._terms.url, etag=etag, timeout_seconds=left_seconds)

    def _recheck(self) -> str:
        """Put the document in use aside if the keys of today would not have it; return their hash."""
        try:
            pinned = self._trust()
            if self._kept is not None:
                self._verified(self._kept.raw, pinned, None)
        except SpendGuardError as error:
            if error.code is Code.PRICING_SIGNATURE:
                self._book = self._kept = None
                self._lacking = error.detail
        return self._trust().sha256()

    def _trust(self) -> Trust:
        """Return the keys pinned now: trust.toml may have changed since the last look."""
        self._pinned = self._read_trust()
        return self._pinned

    def _read_trust(self) -> Trust:
        if not self._terms.verifies:
            return Trust(())
        if self._terms.public_key:
            return trust.read_public_key(self._terms.public_key)
        text = self._files.read(self._trust_path)
        return Trust(()) if text is None else trust.read_trust(text.decode("utf-8", "replace"))

    def _verified(self, raw: bytes, pinned: Trust, high_water: HighWater | None) -> PriceDocument:
        now_ns = self._clock.wall_ns()
        if self._book is not None:
            now_ns = max(now_ns, self._book.issued_ns)
        schemas, skew_ns = self._terms.schemas, self._terms.skew_ns
        if not self._terms.verifies:
            return trust.read_unverified(
                raw, now_ns=now_ns, high_water=high_water, schemas=schemas, skew_ns=skew_ns
            )
        return trust.verify(
            raw, pinned=pinned, now_ns=now_ns, high_water=high_water, schemas=schemas, skew_ns=skew_ns
        )

    def _book_of(self, document: PriceDocument) -> PriceBook:
        return PriceBook(document, catalogue.MOCK_CARDS, self_signed=False, verified=self._terms.verifies)

    def _stored(self) -> _Kept:
        """Return what `_keep` wrote, if it came from this address."""
        state = _read_state(self._files.read(self._files.path(_STATE)))
        if not state or state.get("url") != self._terms.url:
            raise unavailable("none has been received from this address")
        sha256 = state.get("document_sha256", "")
        raw = self._files.read(self._files.document(sha256)) if _SHA256.fullmatch(sha256) else None
        if raw is None:
            raise unavailable("the one last received is not there")
        if canonical.sha256_hex(raw) != sha256:
            raise SpendGuardError(
                Code.PRICING_INVALID, "Price document is not valid: the file is not what was received"
            )
        return _Kept(raw, state.get("etag", ""), state.get("keys_sha256", ""))

    def _keep(self, said: _Kept, document_sha256: str) -> None:
        """Write a verified document, then what names it and its tag."""
        state = {
            "url": self._terms.url,
            "keys_sha256": said.keys_sha256,
            "etag": said.etag,
            "document_sha256": document_sha256,
        }
        if self._kept != said:
            self._files.write(self._files.document(document_sha256), said.raw)
            self._files.write(self._files.path(_STATE), json.dumps(state, indent=1).encode() + b"\n")
        self._kept = said


def _read_state(raw: bytes | None) -> dict[str, str]:
    """Return the texts of remote.json; a file that is none of ours says nothing."""
    try:
        value = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        return {}
    members = value.items() if isinstance(value, dict) else ()
    return {name: text for name, text in members if isinstance(text, str)}
