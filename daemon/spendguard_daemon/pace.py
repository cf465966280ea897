"""How often somebody may have what costs nothing: a bucket of tokens for each name.

Invariant: within any time t a name takes at most `burst + t * per_second`. What is noted with `charge` has
happened already, so it is never refused: the next ones are, until that is made up for.
"""

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ports import Clock

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000
NAMES_MAX = 10_000
WAIT_MS_MAX = 60_000
"""The longest wait that an answer names (design 6); who comes back too early is told again."""

VOIDS_PER_SECOND, VOIDS_BURST = 1 / 3, 120
VOIDS_DEBT_SECONDS = 300
"""Calls that cost nothing, as the provider refused them or could not be reached: each leaves some 1 kB in the
journal, and no budget ends them. One at a time makes 28 MB a day; of many at once an agent is let go on when
these seconds are over, for its program may mean well and the provider be short of capacity."""


class Pace:
    """One bucket for each name; a full one need not be kept."""

    def __init__(self, *, per_second: float, burst: int, clock: Clock, debt_seconds: float = 0):
        self._step_ns = round(NS_PER_SECOND / per_second)
        self._most_ns = burst * self._step_ns
        self._debt_ns = round(debt_seconds * NS_PER_SECOND)
        self._clock = clock
        self._full_at_ns: dict[str, int] = {}

    @classmethod
    def of_voids(cls, clock: Clock) -> "Pace":
        """Return the pace of an agent's calls that cost nothing."""
        return cls(
            per_second=VOIDS_PER_SECOND, burst=VOIDS_BURST, clock=clock, debt_seconds=VOIDS_DEBT_SECONDS
        )

    def take(self, name: str) -> int:
        """Take one; return 0, or in how many milliseconds there will be one to take."""
        wait_ms = self._wait_ms(name)
        if not wait_ms:
            self.charge(name)
        return wait_ms

    def charge(self, name: str) -> None:
        """Take one that cannot be refused any more."""
        now_ns = self._clock.monotonic_ns()
        full_at_ns = max(now_ns, self._full_at_ns.pop(name, now_ns)) + self._step_ns
        self._full_at_ns[name] = min(full_at_ns, now_ns + self._most_ns + self._debt_ns)
        if len(self._full_at_ns) > NAMES_MAX:
            del self._full_at_ns[next(iter(self._full_at_ns))]

    def book(self, name: str) -> int:
        """Take one in any case; return in how many milliseconds its time has come, 0 for now."""
        wait_ms = self._wait_ms(name)
        self.charge(name)
        return wait_ms

    def check(self, name: str) -> None:
        """Take one; raise RATE_LIMITED where there is none."""
        _refuse(self.take(name))

    def look(self, name: str) -> None:
        """Raise RATE_LIMITED where there is none to take, and take none."""
        _refuse(self._wait_ms(name))

    def _wait_ms(self, name: str) -> int:
        now_ns = self._clock.monotonic_ns()
        full_at_ns = max(now_ns, self._full_at_ns.get(name, now_ns)) + self._step_ns
        return max(0, -(-(full_at_ns - now_ns - self._most_ns) // NS_PER_MS))


def _refuse(wait_ms: int) -> None:
    if wait_ms:
        wait_ms = min(wait_ms, WAIT_MS_MAX)
        raise SpendGuardError(
            Code.RATE_LIMITED, TABLE[Code.RATE_LIMITED].title, facts={"retry_after_ms": wait_ms}
        )
