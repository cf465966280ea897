"""How fast money goes, and for how long it lasts: reckoned from what was settled, when. Pure.

Owns the last fifteen minutes of one agent's spending in steps of ten seconds, by the daemon's clock. What it
is told are absolute sums, so that a message lost or told twice changes nothing. A correction downwards counts
as no spending, never as earning. Only `settle` and `Spend.of` change it: who looks, at whatever time, does
not. Where the daemon's clock goes back, what was spent stays in its steps and the newest one goes on from the
time of then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from spendguard_daemon.feed_wire import SPEND_STEP_SECONDS, SPEND_STEPS

STEPS_A_MINUTE = 60 // SPEND_STEP_SECONDS
SPARKS = "▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class Spend:
    """What one agent spent in each step, the newest last; `step` is the newest one's number since the epoch.

    `settled_nusd` is the sum that was told last.
    """

    settled_nusd: int
    step: int
    steps: list[int] = field(default_factory=lambda: [0] * SPEND_STEPS)

    @classmethod
    def of(cls, settled_nusd: int, spent_nusd: Sequence[int], now_seconds: float) -> "Spend":
        """Begin with the steps of a snapshot, oldest first; those before are empty."""
        spend = cls(settled_nusd, _step(now_seconds))
        known = [max(0, one) for one in spent_nusd[-SPEND_STEPS:]]
        spend.steps[SPEND_STEPS - len(known) :] = known
        return spend

    def settle(self, settled_nusd: int, at_seconds: float) -> None:
        """Note how much was settled in all by a time; messages come in the order of their `seq`."""
        more, self.settled_nusd = settled_nusd - self.settled_nusd, settled_nusd
        if more <= 0:
            return  # the steps pass by themselves when the next spending is noted, or when they are looked at
        passed = self._passed(at_seconds)
        if passed:
            self.steps = self.steps[passed:] + [0] * passed
        self.step = _step(at_seconds)
        self.steps[-1] += more

    def per_minute_nusd(self, minutes: int, now_seconds: float) -> int:
        """Return what a minute costs, on the average of the last `minutes` (1 to 15)."""
        width = minutes * STEPS_A_MINUTE
        return sum(self.steps[SPEND_STEPS - width + self._passed(now_seconds) :]) // minutes

    def seconds_to_empty(self, remaining_nusd: int, now_seconds: float) -> int | None:
        """Return for how long `remaining_nusd` lasts at the pace of now; None where nothing is spent.

        The pace is the faster one of the last minute and the last fifteen: who is warned early can act.
        """
        lately = self.steps[self._passed(now_seconds) :]
        pace = max(sum(lately[SPEND_STEPS - STEPS_A_MINUTE :]), sum(lately) // 15)
        return None if pace <= 0 else max(0, remaining_nusd) * 60 // pace

    def spark(self, cells: int, now_seconds: float) -> str:
        """Draw the last fifteen minutes in so many cells; a blank where nothing was spent."""
        passed = self._passed(now_seconds)
        steps = self.steps[passed:] + [0] * passed
        sums = [sum(steps[SPEND_STEPS * i // cells : SPEND_STEPS * (i + 1) // cells]) for i in range(cells)]
        most = max(sums, default=0)
        return "".join(SPARKS[(one * 8 - 1) // most] if one > 0 else " " for one in sums)

    def _passed(self, now_seconds: float) -> int:
        """Return how many steps have begun since the newest that is known; none where the clock went back."""
        return min(max(0, _step(now_seconds) - self.step), SPEND_STEPS)


def _step(at_seconds: float) -> int:
    return int(at_seconds) // SPEND_STEP_SECONDS
