"""How far this machine's clock is from those of the servers that it talks to: price server, providers.

A price document lives by the wall clock, so a clock that is a day off looks like expired prices. Each server
says its time in the `Date` of its answer; who sees an answer notes it here. Holds one observation, the last.
"""

from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from spendguard_daemon.ports import Clock

NoteHeaders = Callable[[Mapping[str, str]], None]
"""Told the headers of each answer, their names compared without case or in small letters."""

_SECOND_NS = 1_000_000_000
_AGE_DIGITS_MAX = 9


class Skew:
    """The last server's time beside ours."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._ahead_ns: int | None = None
        self._server_ns = 0

    def note(self, headers: Mapping[str, str]) -> None:
        """Note an answer's `Date`; one that a cache kept is as old as its `Age` says."""
        try:
            said = parsedate_to_datetime(headers.get("date", ""))
            # A date without a zone, or with -0000, is UTC (RFC 5322 3.3), and never this machine's own time.
            seconds = (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, TypeError, IndexError):
            return  # whatever stands there, an answer must not be lost for it
        age = headers.get("age", "")
        kept_seconds = int(age) if age.isascii() and age.isdigit() and len(age) <= _AGE_DIGITS_MAX else 0
        server_ns = (int(seconds) + kept_seconds) * _SECOND_NS
        self._ahead_ns = self._clock.wall_ns() - server_ns
        self._server_ns = server_ns - self._clock.monotonic_ns()

    def seconds(self) -> int | None:
        """Return how far our clock is ahead of the last server that said its time, None if none did.

        The clock may have been set since, and this machine may have slept: the smaller of what was seen then
        and what that server's clock would show by now.
        """
        if self._ahead_ns is None:
            return None
        now_ns = self._clock.wall_ns() - (self._server_ns + self._clock.monotonic_ns())
        return int(min(self._ahead_ns, now_ns, key=abs) / _SECOND_NS)
