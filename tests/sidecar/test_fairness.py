"""What one agent may use: requests at a time, requests a second, bytes of bodies."""

from collections import defaultdict

import pytest

from sim import SimClock
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.gateway import respond
from spendguard_daemon.gateway.fairness import (
    AGAIN_MS,
    BURST_SECONDS,
    REFUSAL_WAIT_SECONDS_MAX,
    REFUSALS_BURST,
    REFUSALS_PER_SECOND,
    Brake,
    Fairness,
    OverLimitError,
)
from spendguard_daemon.setting_table import Settings

MEBIBYTE = 2**20


class Desk:
    """A fairness with what it is told of."""

    def __init__(self, **limits: int) -> None:
        self.clock = SimClock()
        self.calls_open: dict[str, int] = defaultdict(int)
        self.fairness = Fairness(
            Settings(**limits), self.clock, calls_open=self.calls_open.__getitem__, note=lambda _: None
        )

    def refused(self, agent_id: str = "a") -> OverLimitError:
        """Try to come in; return the refusal."""
        with pytest.raises(OverLimitError) as refused:
            self.fairness.enter(agent_id)
        return refused.value


def test_so_many_at_a_time_and_one_that_ends_lets_one_in() -> None:
    desk = Desk(agent_calls_max=2)
    first, second = desk.fairness.enter("a"), desk.fairness.enter("a")
    refused = desk.refused()
    assert refused.code is Code.RATE_LIMITED
    assert refused.facts == {"limit": "agent_calls_max", "limit_value": 2, "retry_after_ms": AGAIN_MS}
    with first:
        desk.fairness.enter("b")  # has a share of its own
    with desk.fairness.enter("a"), second:
        desk.refused()
    assert desk.fairness.in_use() == (1, 0)


def test_calls_whose_clients_have_left_count_too() -> None:
    desk = Desk(agent_calls_max=3)
    desk.calls_open["a"] = 3
    assert desk.refused().facts["limit"] == "agent_calls_max"
    desk.calls_open["a"] = 2
    desk.fairness.enter("a")


def test_so_many_a_second_and_a_burst_of_twenty_seconds() -> None:
    """The wait that is named is the true one, to the millisecond."""
    desk = Desk(agent_requests_per_second=4)
    for _ in range(4 * BURST_SECONDS):
        with desk.fairness.enter("a"):
            pass
    refused = desk.refused()
    assert refused.facts == {
        "limit": "agent_requests_per_second",
        "limit_value": 4,
        "retry_after_ms": 250,
    }
    desk.clock.monotonic += 249 * 10**6
    assert desk.refused().facts["retry_after_ms"] == 1
    desk.clock.monotonic += 10**6
    with desk.fairness.enter("a"):
        pass
    desk.refused()


def test_bytes_are_reserved_once_and_given_back() -> None:
    desk = Desk(agent_bytes_max=2 * MEBIBYTE, bytes_max=3 * MEBIBYTE)
    with desk.fairness.enter("a") as first, desk.fairness.enter("a") as second:
        first.reserve(MEBIBYTE)
        first.reserve(MEBIBYTE)  # the same bytes, as they come
        first.reserve(10)
        with pytest.raises(OverLimitError) as refused:
            second.reserve(MEBIBYTE + 1)
        assert refused.value.facts["limit"] == "agent_bytes_max"
        second.reserve(MEBIBYTE)
        with desk.fairness.enter("b") as other, pytest.raises(OverLimitError) as refused:
            other.reserve(MEBIBYTE + 1)
        assert refused.value.facts == {
            "limit": "bytes_max",
            "limit_value": 3 * MEBIBYTE,
            "retry_after_ms": AGAIN_MS,
        }
        assert desk.fairness.in_use() == (1, 2 * MEBIBYTE)
        first.free_body()
        first.free_body()
        second.reserve(2 * MEBIBYTE)
        assert desk.fairness.in_use() == (1, 2 * MEBIBYTE)
    assert desk.fairness.in_use() == (0, 0)


def test_a_body_that_could_never_be_let_in_is_too_large() -> None:
    assert Desk(agent_bytes_max=MEBIBYTE).fairness.body_bytes_max == MEBIBYTE
    assert Desk(bytes_max=2 * MEBIBYTE).fairness.body_bytes_max == 2 * MEBIBYTE
    assert Desk(body_bytes_max=1024).fairness.body_bytes_max == 1024


def test_agents_that_have_come_and_gone_leave_nothing_behind() -> None:
    desk = Desk()
    for number in range(20_000):
        with desk.fairness.enter(f"agent-{number}") as stay:
            stay.reserve(100)
    assert desk.fairness.in_use() == (0, 0)


def test_the_refusal_is_worth_another_try() -> None:
    desk = Desk(agent_calls_max=1)
    desk.fairness.enter("a")
    answer = respond.refusal(desk.refused(), "id")
    assert answer.status == 429
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["retry-after-ms"] == str(AGAIN_MS)
    full = TABLE[Code.CONNECTIONS_FULL]
    assert (full.status, full.retry) == (503, True)


def test_answers_that_cost_nothing_are_slowed_down_and_never_for_long() -> None:
    clock = SimClock()
    brake = Brake(clock)
    assert [brake.wait_seconds() for _ in range(REFUSALS_BURST)] == [0] * REFUSALS_BURST
    waits = [brake.wait_seconds() for _ in range(REFUSALS_PER_SECOND)]
    assert waits == sorted(waits)
    assert 0 < waits[0] <= 2 / REFUSALS_PER_SECOND
    assert waits[-1] <= REFUSAL_WAIT_SECONDS_MAX + 2 / REFUSALS_PER_SECOND
    assert brake.wait_seconds("an agent of its own") == 0
    clock.advance(REFUSAL_WAIT_SECONDS_MAX + 1)
    assert brake.wait_seconds() == 0
