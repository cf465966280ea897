"""Runs that ask again and again for money that other calls hold: after a while they are told to stop.

A program that doubles its wait, and has tried for half a minute, would come again after more than a minute;
who waits before it should hear by then that nothing came of it. Lives only as long as the process; moves no
money. A lock that another run has is `ledger.turns`' matter.
"""

from collections import OrderedDict
from dataclasses import dataclass

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ports import Clock

NS_PER_SECOND = 1_000_000_000
ENOUGH_NS = 30 * NS_PER_SECOND
SILENCE_NS = 30 * NS_PER_SECOND
"""Who has not asked for so long asks for the first time again."""

RUNS_MAX = 4_096


@dataclass(slots=True)
class _Tries:
    first_ns: int
    last_ns: int


class Insistence:
    """How long each run has asked in vain. One per daemon."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._runs: OrderedDict[tuple[str, str], _Tries] = OrderedDict()

    def got_it(self, agent_id: str, run_id: str) -> None:
        """Note that a run got its hold: what it asks for next is asked for the first time."""
        self._runs.pop((agent_id, run_id), None)

    def judge(self, refusal: SpendGuardError, agent_id: str, run_id: str) -> None:
        """Note a call that was refused; where the run has insisted for long enough, say so in the refusal.

        Only BUDGET_HELD is worth another try, so any other refusal is left as it is.
        """
        if refusal.code is not Code.BUDGET_HELD:
            return
        now_ns = self._clock.monotonic_ns()
        tries = self._runs.pop((agent_id, run_id), None)
        if tries is None or now_ns - tries.last_ns >= SILENCE_NS:
            tries = _Tries(now_ns, now_ns)
        tries.last_ns = now_ns
        self._runs[agent_id, run_id] = tries
        if len(self._runs) > RUNS_MAX:
            self._runs.popitem(last=False)
        waited_ns = now_ns - tries.first_ns
        own_seconds = refusal.facts.get("waited_seconds")  # of a call that waited in its request
        run_seconds = waited_ns // NS_PER_SECOND
        refusal.facts["waited_seconds"] = max(run_seconds, own_seconds if isinstance(own_seconds, int) else 0)
        if waited_ns >= ENOUGH_NS:
            refusal.facts["worth_waiting"] = False
            refusal.facts.pop("retry_after_ms", None)
