"""What the remote price source says, and how much of it: the rules of asking that need no socket.

Owns the bounds of an answer and what each kind of it means (ledger-and-security.md 3.3: endless data,
redirect, gzip bomb, 304). Pure. Invariant: what `body_of` returns is a document as it came, whole and not
decoded; all else is one PRICING_UNAVAILABLE, whose detail says what was wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.wire_json import BYTES_MAX

HEADER_BYTES_MAX = 64 * 1024
ETAG_CHARACTERS_MAX = 256
OK, NOT_MODIFIED = 200, 304
_REDIRECTS = range(300, 400)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has come to its end. The names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        """The entity tag, empty where there is none that could be sent back."""
        etag = self.headers.get("etag", "")
        fits = len(etag) <= ETAG_CHARACTERS_MAX and etag.isascii() and etag.isprintable()
        return etag if fits else ""


class Fetch(Protocol):
    """The door to the network: `pricing.source.fetch`."""

    async def __call__(self, url: str, *, etag: str, timeout_seconds: float) -> Answer:
        """Ask once, with `If-None-Match` where an entity tag is given; never follow a redirect.

        Raises PRICING_UNAVAILABLE where no whole answer came in time, or more than there may be.
        """


def body_of(answer: Answer) -> bytes | None:
    """Return the document, None for `not modified`; raise PRICING_UNAVAILABLE for any other answer."""
    check_head(answer.status, answer.headers)
    if answer.status == NOT_MODIFIED:
        return None
    return answer.body


def check_head(status: int, headers: Mapping[str, str]) -> None:
    """Raise PRICING_UNAVAILABLE if nothing that follows this head can be a document."""
    if status in _REDIRECTS and status != NOT_MODIFIED:
        raise failed(f"it answered {status}, and no redirect is followed")
    if status not in (OK, NOT_MODIFIED):
        raise failed(f"it answered {status}")
    if "content-encoding" in headers:
        raise failed("its answer is encoded, and it was asked for none that is")
    if sum(len(name) + len(value) for name, value in headers.items()) > HEADER_BYTES_MAX:
        raise failed(f"its headers are larger than {HEADER_BYTES_MAX} bytes")
    length = headers.get("content-length", "")
    if (
        length.isascii()
        and length.isdigit()
        and (len(length) > len(str(BYTES_MAX)) or int(length) > BYTES_MAX)
    ):
        raise too_large()


def too_large() -> SpendGuardError:
    """Return the error of a body that does not end where it should."""
    return failed(f"its answer is larger than {BYTES_MAX} bytes")


def failed(why: str) -> SpendGuardError:
    """Return the error of a question to the remote source that led to no document."""
    return SpendGuardError(
        Code.PRICING_UNAVAILABLE,
        f"Remote pricing request failed: {why}",
        remedy="check CAP_PRICING_URL ([prices] url) and the network; spendguard pricing refresh tries again",
    )
