"""How far the clock is off: by the last answer's `Date`, and by no more than is still so."""

import time
from email.utils import formatdate

import pytest

from spendguard_daemon.skew import Skew

NOW_SECONDS = 1_795_435_200
DAY = 86_400


class TwoClocks:
    def __init__(self) -> None:
        self.wall, self.awake = NOW_SECONDS, 5

    def wall_ns(self) -> int:
        return self.wall * 10**9

    def monotonic_ns(self) -> int:
        return self.awake * 10**9


def said(seconds: int, **more: str) -> dict[str, str]:
    return {"date": formatdate(seconds, usegmt=True), **more}


def test_nobody_said_a_time() -> None:
    skew = Skew(TwoClocks())
    assert skew.seconds() is None
    for text in ("", "tomorrow", "Mon, 30 Nov 99999 03:29:06 GMT", "\x1b[31m"):
        skew.note({"date": text})
    skew.note({})
    assert skew.seconds() is None


@pytest.mark.parametrize("off", [DAY, -DAY, 0])
def test_the_last_answer_counts(off: int) -> None:
    skew = Skew(TwoClocks())
    skew.note(said(NOW_SECONDS + 77))
    skew.note(said(NOW_SECONDS - off))
    assert skew.seconds() == off


def test_what_a_cache_kept_is_as_old_as_it_says() -> None:
    skew = Skew(TwoClocks())
    skew.note(said(NOW_SECONDS - 500, age="500"))
    assert skew.seconds() == 0
    skew.note(said(NOW_SECONDS - 500, age="9" * 40))
    assert skew.seconds() == 500


def test_a_clock_that_was_set_since_is_right() -> None:
    clock = TwoClocks()
    skew = Skew(clock)
    skew.note(said(NOW_SECONDS - DAY))
    clock.wall, clock.awake = clock.wall - DAY + 60, clock.awake + 60
    assert skew.seconds() == 0


def test_sleep_is_no_skew() -> None:
    """While a machine sleeps its wall clock goes on, and the other one may not."""
    clock = TwoClocks()
    skew = Skew(clock)
    skew.note(said(NOW_SECONDS))
    clock.wall += DAY
    assert skew.seconds() == 0


def test_a_date_without_a_zone_is_no_time_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        skew = Skew(TwoClocks())
        for zone in ("-0000", ""):
            skew.note({"date": formatdate(NOW_SECONDS, usegmt=True).replace("GMT", zone).strip()})
            assert skew.seconds() == 0
    finally:
        monkeypatch.undo()
        time.tzset()
