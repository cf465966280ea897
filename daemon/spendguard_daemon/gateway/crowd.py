"""Who is connected, and who must go when there is no room: decides, closes nothing. Pure, time is passed in.

A connection sends a head, has a request under way, or rests between two requests. One with a request under
way is never closed to make room; of the others, the one that has been idle longest goes. So a thousand
connections that are silent, slow or idle keep nobody out. Where all are at work, a few more are let in to be
told so.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

RESTING_SECONDS = 75.0
"""How long a connection may rest between two requests: above what pools of SDKs keep theirs for."""

LATE_MAX = 64
"""Connections beyond the limit that wait to be told that there is no room."""

Guest = TypeVar("Guest", bound=Hashable)


class Crowd(Generic[Guest]):
    """All connections of all doors. Seconds are of one clock, monotonic."""

    def __init__(self, connections_max: int, header_seconds: float, answer_seconds: float):
        self._max = connections_max
        self._header_seconds, self._answer_seconds = header_seconds, answer_seconds
        # Each in the order of the times in it, so that whoever is due or may be closed stands first.
        self._heads: dict[Guest, float] = {}
        self._resting: dict[Guest, float] = {}
        self._late: dict[Guest, float] = {}
        self._answers: dict[Guest, float] = {}
        self._busy: set[Guest] = set()

    def __len__(self) -> int:
        """Return how many connections there are, late ones included."""
        return self._inside() + len(self._late)

    def enter(self, guest: Guest, now: float) -> Guest | None:
        """Let a new connection in; return the one to be closed for it."""
        if self._inside() < self._max:
            self._heads[guest] = now
            return None
        leaving = self.idlest()
        if leaving is not None:
            self.leave(leaving)
            self._heads[guest] = now
            return leaving
        self._late[guest] = now
        if len(self._late) > LATE_MAX:
            leaving = next(iter(self._late))
            del self._late[leaving]
        return leaving

    def idlest(self) -> Guest | None:
        """Return the connection to be closed first, None where all are at work."""
        firsts = [next(iter(place.items())) for place in (self._heads, self._resting) if place]
        return min(firsts, key=lambda first: first[1])[0] if firsts else None

    def begin(self, guest: Guest, now: float) -> None:
        """Note the first byte of a request's head: from now on its deadline runs."""
        if guest not in self._late:
            self._heads.pop(guest, None)
            self._resting.pop(guest, None)
            self._heads[guest] = now

    def ask(self, guest: Guest) -> bool:
        """Note that a request's head is whole; return whether there is room for it."""
        if guest in self._late:
            if self._inside() >= self._max:
                return False
            del self._late[guest]
        self._heads.pop(guest, None)
        self._resting.pop(guest, None)
        self._busy.add(guest)
        return True

    def answer(self, guest: Guest, now: float) -> None:
        """Note that the last of an answer is being sent: from now on the client's time to take it runs."""
        self._answers[guest] = now

    def answered(self, guest: Guest) -> None:
        """Note that all of an answer has been taken."""
        self._answers.pop(guest, None)

    def rest(self, guest: Guest, now: float) -> None:
        """Note that nothing is under way on a connection any more."""
        if guest in self._busy:
            self._busy.remove(guest)
            self._resting[guest] = now

    def leave(self, guest: Guest) -> None:
        """Forget a connection; safe to repeat."""
        self._busy.discard(guest)
        for place in (self._heads, self._resting, self._late, self._answers):
            place.pop(guest, None)

    def due(self, now: float) -> list[Guest]:
        """Return the connections whose time is over."""
        found: list[Guest] = []
        for place, seconds in (
            (self._heads, self._header_seconds),
            (self._late, self._header_seconds),
            (self._answers, self._answer_seconds),
            (self._resting, RESTING_SECONDS),
        ):
            for guest, since in place.items():
                if now - since < seconds:
                    break
                found.append(guest)
        return found

    def _inside(self) -> int:
        return len(self._heads) + len(self._resting) + len(self._busy)
