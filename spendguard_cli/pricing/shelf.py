"""What a price server has on its shelf: a signed file as it is, or content that is signed anew in time.

Owns when to sign: when the content changes, and when half of a document's life is over. Invariants: the
sequence number only ever rises, also over a restart of the server, for it is never below the time of signing
in seconds; content that cannot be signed leaves the document before it in place, until that expires.
"""

from collections.abc import Callable

from spendguard_cli.pricing.recipes import Recipe
from spendguard_cli.pricing.serving import Served
from spendguard_cli.pricing.signing import NS_PER_SECOND, Signed
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ports import Clock
from spendguard_daemon.pricing.wire_json import format_time

Say = Callable[[str], None]


class Shelf:
    """Holds one document, made by a recipe for `lifetime_seconds` (0: the recipe's document has its own)."""

    def __init__(self, recipe: Recipe, *, clock: Clock, lifetime_seconds: int, ttl_seconds: int, say: Say):
        self._recipe = recipe
        self._clock = clock
        self._lifetime_seconds = lifetime_seconds
        self._ttl_seconds = ttl_seconds
        self._say = say
        self._said = ""
        self._content = recipe.read()
        self.signed = self._made(self._content, 0)

    def current(self) -> Served:
        """Return the document to serve now, made anew where it is time."""
        try:
            self._renew()
        except (SpendGuardError, OSError) as error:
            self._tell(f"the document before it is still served: {getattr(error, 'detail', error)}")
        left_seconds = max(0, min(self._ttl_seconds, self._left_seconds()))
        return Served(self.signed.raw, self.signed.document.document_sha256, left_seconds)

    def _renew(self) -> None:
        content = self._recipe.read()
        if content == self._content and self._left_seconds() > self._lifetime_seconds // 2:
            return
        self.signed = self._made(content, self.signed.document.sequence)
        self._content = content
        document = self.signed.document
        self._tell(f"serving sequence {document.sequence}, good until {format_time(document.expires_ns)}")

    def _left_seconds(self) -> int:
        return (self.signed.document.expires_ns - self._clock.wall_ns()) // NS_PER_SECOND

    def _made(self, content: bytes, previous: int) -> Signed:
        now_ns = self._clock.wall_ns()
        sequence = max(previous + 1, now_ns // NS_PER_SECOND)
        return self._recipe.make(content, sequence, now_ns, self._lifetime_seconds)

    def _tell(self, what: str) -> None:
        """Say something once, however many clients ask meanwhile."""
        if what != self._said:
            self._say(what)
        self._said = what
