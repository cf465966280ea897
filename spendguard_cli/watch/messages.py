"""What a source of news tells the board: plain values, whatever they came from.

A source is the feed of a sidecar, or the journal replayed. It runs on a thread of its own and hands over
batches, a few a second at most, however much happens. The journal alone tells with them what was done to each
agent by then (`deeds`); of a sidecar that is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from spendguard_daemon import wire
from spendguard_daemon.feed_wire import Event, Snapshot


@dataclass(frozen=True, slots=True)
class Snapped:
    """All there is to see, anew: what was known before does not count any more."""

    snapshot: Snapshot
    deeds: Mapping[str, wire.Deeds] | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """Events, in whatever order they came."""

    events: tuple[Event, ...]
    deeds: Mapping[str, wire.Deeds] | None = None


@dataclass(frozen=True, slots=True)
class Away:
    """The source is silent, for the reason `why`; `remedy` is what to type, empty where it mends itself.

    What is shown from now on is as it was, until the next `Snapped` or `Happened`.
    """

    why: str
    remedy: str = ""


Message = Snapped | Happened | Away
Post = Callable[[Message], None]


class Source(Protocol):
    """Where messages come from."""

    def start(self, post: Post) -> None:
        """Begin to post messages, from another thread."""

    def close(self) -> None:
        """Post no more; return soon."""
