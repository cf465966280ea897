"""Which moment of the past is meant: what a person types after `--at`, as wall ns. Pure.

A time of day without a date is the last such time before now. What has no zone is in this machine's.
"""

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

EXAMPLES = "03:12, 03:12:05, '2026-11-30 03:12', 2026-11-30T03:12:05Z, -15m, '2 min ago' or now"

NS_PER_SECOND = 1_000_000_000

_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_AGO = re.compile(r"(?:-\s*(?P<minus>[0-9a-z ]+)|(?P<ago>[0-9a-z ]+?)\s*ago)")
_PART = re.compile(
    r"\s*([0-9]{1,9})\s*(?:(d)(?:ays?)?|(h)(?:(?:ou)?rs?)?|(m)(?:in(?:ute)?s?)?|(s)(?:ec(?:ond)?s?)?)(?![a-z])"
)
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def moment_ns(text: str, now: datetime, zone: tzinfo | None = None) -> int:
    """Return the moment (wall ns) that is meant; `now` is with zone, `zone` None is this machine's.

    Raises USAGE with examples.
    """
    text = text.strip()
    try:
        moment = now if text == "now" else _ago(text, now) or _of_day(text, now, zone) or _dated(text, zone)
        if not 1970 < moment.year < 9999:
            raise ValueError(text)
        return round((moment - datetime.fromtimestamp(0, UTC)) / timedelta(microseconds=1)) * 1_000
    except (ValueError, OverflowError, OSError):
        raise SpendGuardError(
            Code.USAGE, f"--at: {safe(text)!r} is not a time", remedy=f"a time is {EXAMPLES}"
        ) from None


def within(at_ns: int, first_ns: int | None, now_ns: int, command: str = "spendguard watch") -> int:
    """Return a moment that the journal can tell of; raise USAGE, which names the nearest that it can.

    `first_ns` is the time of its first record, None where it has none; `command` is what was typed, without
    the time.
    """
    if at_ns > now_ns:
        raise _no_such(at_ns, "is still to come", f"{command} shows what is so now")
    if first_ns is not None and at_ns < first_ns:
        nearest_ns = -(-first_ns // NS_PER_SECOND) * NS_PER_SECOND  # to the second, but not before the record
        nearest = shown(min(nearest_ns, now_ns), UTC)
        raise _no_such(
            at_ns,
            f"is before the first record, of {shown(first_ns, UTC)}",
            f"{command} --at {nearest.replace(' ', 'T').removesuffix('TUTC')}Z shows the nearest",
        )
    return at_ns


def shown(at_ns: int, zone: tzinfo | None = None) -> str:
    """Write a moment with its day, to the second, and with its zone: `2026-11-30 03:12:05 UTC`."""
    moment = datetime.fromtimestamp(at_ns // NS_PER_SECOND, UTC).astimezone(zone)
    return f"{moment:%Y-%m-%d %H:%M:%S} {safe(moment.tzname() or '')}".rstrip()


def _ago(text: str, now: datetime) -> datetime | None:
    """Read `-15m`, `-1h30m`, `15m ago`, `2 minutes ago`; None for what is no such thing."""
    found = _AGO.fullmatch(text)
    if found is None:
        return None
    parts, end = (found["minus"] or found["ago"]), 0
    seconds = 0
    for part in _PART.finditer(parts):
        if part.start() != end:
            break
        seconds, end = seconds + int(part[1]) * _UNITS[part[part.lastindex or 0]], part.end()
    if parts[end:].strip():
        raise ValueError(text)
    return now - timedelta(seconds=seconds)


def _of_day(text: str, now: datetime, zone: tzinfo | None) -> datetime | None:
    """Read `03:12` and `03:12:05`: today, or yesterday where that is still to come; None for another form."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    clock = time(int(found[1]), int(found[2]), int(found[3] or 0))
    today = now.astimezone(zone).date()
    moment = _in_zone(datetime.combine(today, clock), zone)
    return moment if moment <= now else _in_zone(datetime.combine(today - timedelta(days=1), clock), zone)


def _dated(text: str, zone: tzinfo | None) -> datetime:
    """Read a date with a time, or without: then its midnight."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else _in_zone(moment, zone)


def _in_zone(moment: datetime, zone: tzinfo | None) -> datetime:
    """Give a moment without a zone this one; Python knows the rules of this machine's own."""
    return moment.astimezone() if zone is None else moment.replace(tzinfo=zone)


def _no_such(at_ns: int, what: str, remedy: str) -> SpendGuardError:
    return SpendGuardError(Code.USAGE, f"--at: {shown(at_ns, UTC)} {what}", remedy=remedy)
