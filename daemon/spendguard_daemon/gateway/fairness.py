"""What one agent may use of the sidecar: requests at a time, requests a second, bytes of bodies in memory.

Counted from the moment on that a request has named an agent that is known, before any of its body is read;
for nobody else anything is kept. A refusal holds nothing and forwards nothing. Pure but for the clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.refusals import Refusal
from spendguard_daemon.pace import Pace
from spendguard_daemon.ports import Clock
from spendguard_daemon.settings import Settings

BURST_SECONDS = 20
"""So many seconds' worth of requests may come at once."""

AGAIN_MS = 1_000
"""When to come again for what frees itself when another request ends, which nobody knows."""

REFUSALS_PER_SECOND, REFUSALS_BURST = 500, 1_000
REFUSAL_WAIT_SECONDS_MAX = 0.5


@dataclass(slots=True)
class _Share:
    """What one agent uses now."""

    requests: int = 0
    body_bytes: int = 0


class OverLimitError(SpendGuardError):
    """RATE_LIMITED by a limit of `[limits]`; facts: limit, limit_value, retry_after_ms."""


class Stay:
    """One request of an agent, from identification to its end; in a `with` block it gives all back."""

    def __init__(self, fairness: "Fairness", agent_id: str, share: _Share):
        self._fairness, self._agent_id, self._share = fairness, agent_id, share
        self._body_bytes = 0

    @property
    def body_bytes_max(self) -> int:
        """The largest body that could ever be let in, in bytes."""
        return self._fairness.body_bytes_max

    def reserve(self, total_bytes: int) -> None:
        """Make room for a body of `total_bytes` in all; raise OverLimitError where there is none."""
        more = total_bytes - self._body_bytes
        if more > 0:
            self._fairness.reserve(self._share, more)
            self._body_bytes = total_bytes

    def free_body(self) -> None:
        """Give the body's room back: it is not in memory any more."""
        self._fairness.free(self._share, self._body_bytes)
        self._body_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.free_body()
        self._fairness.end(self._agent_id, self._share)


class Fairness:
    """The shares of all agents. `calls_open` tells how many calls of an agent go on, with a client or not.

    `note` keeps a refused call in sight of its operator.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        calls_open: Callable[[str], int],
        note: Callable[[Refusal], None],
    ):
        self._settings = settings
        self.note = note
        self._calls_open = calls_open
        per_second = settings.agent_requests_per_second
        self._pace = Pace(per_second=per_second, burst=BURST_SECONDS * per_second, clock=clock)
        self._shares: dict[str, _Share] = {}
        self._body_bytes = 0
        self.body_bytes_max = min(settings.body_bytes_max, settings.agent_bytes_max, settings.bytes_max)

    def enter(self, agent_id: str) -> Stay:
        """Let a request of a known agent in; raise OverLimitError."""
        most = self._settings.agent_calls_max
        share = self._shares.get(agent_id)
        # Calls whose clients have left are among the open ones: leaving makes no room for more.
        if (share is not None and share.requests >= most) or self._calls_open(agent_id) >= most:
            raise _refusal("agent_calls_max", most, "requests of one agent at a time", AGAIN_MS)
        wait_ms = self._pace.take(agent_id)
        if wait_ms:
            most = self._settings.agent_requests_per_second
            raise _refusal("agent_requests_per_second", most, "requests of one agent a second", wait_ms)
        if share is None:
            share = self._shares[agent_id] = _Share()
        share.requests += 1
        return Stay(self, agent_id, share)

    def reserve(self, share: _Share, more_bytes: int) -> None:
        """Count bytes of a body; raise OverLimitError, and count nothing, where they are too many."""
        most = self._settings.agent_bytes_max
        if share.body_bytes + more_bytes > most:
            raise _refusal("agent_bytes_max", most, "bytes of bodies of one agent at a time", AGAIN_MS)
        most = self._settings.bytes_max
        if self._body_bytes + more_bytes > most:
            raise _refusal("bytes_max", most, "bytes of bodies at a time", AGAIN_MS)
        share.body_bytes += more_bytes
        self._body_bytes += more_bytes

    def free(self, share: _Share, n_bytes: int) -> None:
        """Count bytes no longer."""
        share.body_bytes -= n_bytes
        self._body_bytes -= n_bytes

    def end(self, agent_id: str, share: _Share) -> None:
        """Note the end of a request; an agent without any has no entry."""
        share.requests -= 1
        if not share.requests:
            del self._shares[agent_id]

    def in_use(self) -> tuple[int, int]:
        """Return how many agents have requests under way, and the bytes of all their bodies."""
        return len(self._shares), self._body_bytes


class Brake:
    """Slows down answers that cost their asker nothing, so that a loop of them leaves time for others.

    One pace for all who named nobody, and one for each agent that is above its limits. The wait has a small
    end: beyond it, memory would be what is used up.
    """

    def __init__(self, clock: Clock):
        self._pace = Pace(
            per_second=REFUSALS_PER_SECOND,
            burst=REFUSALS_BURST,
            clock=clock,
            debt_seconds=REFUSAL_WAIT_SECONDS_MAX,
        )

    def wait_seconds(self, agent_id: str = "") -> float:
        """Return how long the next such answer has to wait."""
        return self._pace.book(agent_id) / 1_000


def _refusal(limit: str, most: int, what: str, wait_ms: int) -> OverLimitError:
    return OverLimitError(
        Code.RATE_LIMITED,
        f"{TABLE[Code.RATE_LIMITED].title}: at most {most} {what}",
        facts={"limit": limit, "limit_value": most, "retry_after_ms": wait_ms},
    )
