"""How often somebody may ask: a burst, then a rate, each name for itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import SimClock
from spendguard_daemon import pace
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pace import Pace

MS = 10**6


def test_a_burst_then_a_rate() -> None:
    clock = SimClock()
    made = Pace(per_second=2, burst=3, clock=clock)
    assert [made.take("a") for _ in range(5)] == [0, 0, 0, 500, 500]
    clock.monotonic += 499 * MS
    assert made.take("a") == 1
    clock.monotonic += 1 * MS
    assert [made.take("a"), made.take("a")] == [0, 500]


def test_names_do_not_share() -> None:
    made = Pace(per_second=1, burst=1, clock=SimClock())
    assert [made.take("a"), made.take("b"), made.take("a") > 0] == [0, 0, True]


def test_the_refusal_says_how_long() -> None:
    made = Pace(per_second=1, burst=1, clock=SimClock())
    made.check("a")
    with pytest.raises(SpendGuardError) as refused:
        made.check("a")
    assert (refused.value.code, refused.value.facts["retry_after_ms"]) == (Code.RATE_LIMITED, 1000)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was seen longest ago is forgotten, and has a full bucket again."""
    monkeypatch.setattr(pace, "NAMES_MAX", 2)
    made = Pace(per_second=1, burst=1, clock=SimClock())
    assert [made.take(name) for name in "abc"] == [0, 0, 0]
    assert [made.take("c") > 0, made.take("a")] == [True, 0]


@given(st.lists(st.integers(0, 3_000), max_size=60), st.integers(1, 20), st.integers(1, 10))
def test_never_more_than_burst_and_rate_allow(waits_ms: list[int], per_second: int, burst: int) -> None:
    """From any moment on, so many at once, and then so many a second."""
    clock = SimClock()
    made = Pace(per_second=per_second, burst=burst, clock=clock)
    taken_ns: list[int] = []
    for wait_ms in waits_ms:
        clock.monotonic += wait_ms * MS
        if made.take("a") == 0:
            taken_ns.append(clock.monotonic_ns())
    for index, first in enumerate(taken_ns):
        for later in range(index, len(taken_ns)):
            span_ns = taken_ns[later] - first
            assert later - index + 1 <= burst + span_ns * per_second // 10**9 + 1


def test_what_has_happened_is_charged_and_the_next_ones_wait() -> None:
    """Many at once may fail before any of them is known to; the debt for that has an end."""
    clock = SimClock()
    made = Pace(per_second=1, burst=2, clock=clock, debt_seconds=100)
    made.look("a")
    for _ in range(1000):
        made.charge("a")
    with pytest.raises(SpendGuardError) as refused:
        made.look("a")
    assert refused.value.facts["retry_after_ms"] == 60_000
    clock.monotonic += 100_999 * MS
    assert made.take("a") == 1
    clock.monotonic += MS
    made.look("a")
    made.look("a")
    assert made.take("a") == 0
    made.look("b")
