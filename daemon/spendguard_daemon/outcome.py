"""What an ended call costs: from what was seen to settle, void or settle at worst, one pure table (5.8).

The rule behind each row: a hold is dropped only when it is proved that nothing was billed; whatever is not
known is charged at the worst case. Knows no I/O and no prices.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from spendguard_daemon.usage import Usage

NEVER_VOID = frozenset({408, 499})
"""4xx by which a provider says that time ran out or the client left: work may have been done and billed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known of a call when it has ended.

    `status` is None where no answer's head came. `whole` means the answer arrived to its documented end.
    `documented_error` means the whole body has the provider's documented error shape and no usage in it.
    `problem` says in a few words what went wrong, empty where nothing did.
    """

    status: int | None
    whole: bool
    usage: Usage | None
    documented_error: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to book. `usage` is set exactly where `kind` is `settle`."""

    kind: Literal["settle", "void", "worst"]
    reason: str
    usage: Usage | None = None


def not_sent(why: str) -> Outcome:
    """Return the outcome of a call of which no byte left this machine."""
    return Outcome("void", f"not sent: {why}")


def outcome(seen: Seen, void_statuses: Collection[int]) -> Outcome:
    """Return what to book for a call whose bytes left (costs.md D)."""
    status = seen.status
    if status is None:
        return Outcome("worst", seen.problem or "no answer")
    if 200 <= status < 300:
        return _of_success(seen)
    may_be_void = (400 <= status < 500 and status not in NEVER_VOID) or status in void_statuses
    if may_be_void and seen.whole and seen.documented_error:
        return Outcome("void", f"provider refused with {status}")
    return Outcome("worst", seen.problem or f"provider answered {status}")


def _of_success(seen: Seen) -> Outcome:
    if seen.problem:
        return Outcome("worst", seen.problem)
    if not seen.whole:
        # Usage seen before the end may be a running total that was still growing.
        return Outcome("worst", "the answer was torn")
    if seen.usage is None:
        return Outcome("worst", "no usage reported")
    return Outcome("settle", "reported usage", seen.usage)
