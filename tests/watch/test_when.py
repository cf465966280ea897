"""Which moment `--at` means."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_cli.watch.when import moment_ns, shown, within
from spendguard_daemon.errors import Code, SpendGuardError

NOW = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def read(text: str, now: datetime = NOW) -> str:
    """Return the moment as text, in UTC."""
    return shown(moment_ns(text, now, UTC), UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("03:12", "2026-11-30 03:12:00 UTC"),
        ("3:12", "2026-11-30 03:12:00 UTC"),
        ("03:12:05", "2026-11-30 03:12:05 UTC"),
        ("08:00", "2026-11-30 08:00:00 UTC"),
        ("08:01", "2026-11-29 08:01:00 UTC"),
        ("23:59:59", "2026-11-29 23:59:59 UTC"),
        ("2026-11-30T03:12:05Z", "2026-11-30 03:12:05 UTC"),
        ("2026-11-30T03:12:05+01:00", "2026-11-30 02:12:05 UTC"),
        ("2026-11-30 03:12", "2026-11-30 03:12:00 UTC"),
        ("2026-11-29", "2026-11-29 00:00:00 UTC"),
        ("-15m", "2026-11-30 07:45:00 UTC"),
        ("15m ago", "2026-11-30 07:45:00 UTC"),
        ("-1h30m", "2026-11-30 06:30:00 UTC"),
        ("2d 1h ago", "2026-11-28 07:00:00 UTC"),
        ("-90s", "2026-11-30 07:58:30 UTC"),
        ("2 min ago", "2026-11-30 07:58:00 UTC"),
        ("2 minutes ago", "2026-11-30 07:58:00 UTC"),
        ("1 day 2 hrs 1 hour ago", "2026-11-29 05:00:00 UTC"),
        ("-3 secs", "2026-11-30 07:59:57 UTC"),
        ("now", "2026-11-30 08:00:00 UTC"),
    ],
)
def test_what_is_meant(text: str, meant: str) -> None:
    """A time of day is the last such time before now; a day, a zone, a distance are taken at their word."""
    assert read(text) == meant


def test_a_time_of_day_is_of_the_zone_here() -> None:
    """Half past midnight in Berlin is of the day that it is there, and the clocks there may have changed."""
    now = datetime(2026, 11, 29, 23, 45, tzinfo=UTC)
    assert shown(moment_ns("00:30", now, BERLIN), BERLIN) == "2026-11-30 00:30:00 CET"
    after_change = datetime(2026, 10, 25, 8, 0, tzinfo=UTC)
    assert shown(moment_ns("01:30", after_change, BERLIN), BERLIN) == "2026-10-25 01:30:00 CEST"
    assert moment_ns("12:00", NOW) <= moment_ns("2026-11-30T08:00:00Z", NOW)


NO_TIMES = (
    *(
        "",
        "soon",
        "now ago",
        "2 months ago",
        "1hm ago",
        "25:00",
        "03:60",
        "3",
        "-",
        "-m",
        "ago",
        "15 ago",
        "-15",
        "15m",
        "-5m x",
        "2026-13-01",
    ),
    *("9" * 40, "-99999999d", "0001-01-01T00:00+14:00", "9999-12-31", "\x1b[31m03:12", "\u0660\u0663:12"),
)


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time(text: str) -> None:
    """It is said with examples, and safe to show."""
    with pytest.raises(SpendGuardError) as refused:
        moment_ns(text, NOW, UTC)
    assert refused.value.code is Code.USAGE
    assert "03:12" in refused.value.remedy
    assert "-15m" in refused.value.remedy
    assert "\x1b" not in refused.value.detail


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    """Whatever is typed is a moment, or refused as none."""
    try:
        moment_ns(text, NOW, UTC)
    except SpendGuardError as refused:
        assert refused.code is Code.USAGE


def test_what_the_journal_cannot_tell() -> None:
    """What is to come, and what was before the first record, is refused with the nearest that there is."""
    first, now = moment_ns("07:00:00", NOW, UTC) + 1, moment_ns("08:00", NOW, UTC)
    assert within(now, first, now) == now
    assert within(first, first, now) == first
    assert within(0, None, now) == 0
    with pytest.raises(SpendGuardError) as to_come:
        within(now + 1, first, now)
    assert "still to come" in to_come.value.detail
    with pytest.raises(SpendGuardError) as too_early:
        within(moment_ns("06:59", NOW, UTC), first, now)
    assert "before the first record, of 2026-11-30 07:00:00 UTC" in too_early.value.detail
    assert "--at 2026-11-30T07:00:01Z" in too_early.value.remedy
    nearest = too_early.value.remedy.split()[3]
    assert within(moment_ns(nearest, NOW, UTC), first, now)
    with pytest.raises(SpendGuardError) as once:
        within(moment_ns("06:59", NOW, UTC), first, now, "spendguard watch --once")
    assert once.value.remedy.startswith("spendguard watch --once --at 2026-11-30T07:00:01Z")
