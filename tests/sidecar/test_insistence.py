"""A run that keeps asking for money that others hold is told to stop after half a minute."""

import pytest

from sim import SimClock
from spendguard_daemon import insistence
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.insistence import Insistence

SECOND = 10**9


def held() -> SpendGuardError:
    """Return the refusal as the ledger makes it."""
    return SpendGuardError(Code.BUDGET_HELD, "held", facts={"worth_waiting": True, "retry_after_ms": 500})


def judged(made: Insistence, run_id: str = "run-1") -> dict[str, Fact]:
    """Return what a refusal says after it was judged."""
    error = held()
    made.judge(error, "agent", run_id)
    return error.facts


def test_after_half_a_minute_it_is_in_vain() -> None:
    """Until then it is worth another try; other runs have their own time; a hold begins it anew."""
    clock = SimClock()
    made = Insistence(clock)
    assert judged(made) == {"worth_waiting": True, "retry_after_ms": 500, "waited_seconds": 0}
    clock.monotonic += 20 * SECOND
    assert judged(made)["worth_waiting"] is True
    clock.monotonic += 10 * SECOND - 1
    assert judged(made)["worth_waiting"] is True
    clock.monotonic += 1
    assert judged(made) == {"worth_waiting": False, "waited_seconds": 30}
    assert judged(made, "run-2")["worth_waiting"] is True
    made.got_it("agent", "run-1")
    assert judged(made)["worth_waiting"] is True


def test_a_call_that_waited_in_its_request_says_so() -> None:
    """Where its run has not tried for longer."""
    clock = SimClock()
    made = Insistence(clock)
    for later_seconds, waited_seconds in ((0, 12), (20, 20)):
        clock.monotonic += later_seconds * SECOND
        error = SpendGuardError(
            Code.BUDGET_HELD, "held", facts={"worth_waiting": False, "waited_seconds": 12}
        )
        made.judge(error, "agent", "run-1")
        assert error.facts == {"worth_waiting": False, "waited_seconds": waited_seconds}


def test_after_a_silence_it_is_a_first_try() -> None:
    """Half a minute without a try: somebody else asks, or the same another time."""
    clock = SimClock()
    made = Insistence(clock)
    judged(made)
    clock.monotonic += 30 * SECOND
    assert judged(made) == {"worth_waiting": True, "retry_after_ms": 500, "waited_seconds": 0}


def test_other_refusals_are_left_as_they_are() -> None:
    """Only held money comes back by itself."""
    error = SpendGuardError(Code.INSUFFICIENT_BUDGET, "no", facts={})
    Insistence(SimClock()).judge(error, "agent", "run")
    assert error.facts == {}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that asked longest ago is forgotten, and begins anew."""
    monkeypatch.setattr(insistence, "RUNS_MAX", 2)
    clock = SimClock()
    made = Insistence(clock)
    for run_id in ("run-1", "run-2", "run-3"):
        judged(made, run_id)
    clock.monotonic += 29 * SECOND
    judged(made, "run-3")
    clock.monotonic += SECOND
    assert judged(made, "run-1")["worth_waiting"] is True
    assert judged(made, "run-3")["worth_waiting"] is False
