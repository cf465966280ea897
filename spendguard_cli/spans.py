"""Lengths of time as a person types them: 30m, 24h, 7d. Pure."""

import re

from spendguard_daemon.errors import Code, SpendGuardError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)


def span_seconds(option: str, text: str, *, days_max: int) -> int:
    """Read 90s, 30m, 24h or 7d, above nothing and at most `days_max`; raise USAGE naming the option."""
    match = _SPAN.fullmatch(text.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 1 <= seconds <= days_max * 86_400:
        raise SpendGuardError(
            Code.USAGE,
            f"{option}: {text!r} is not a time of at most {days_max} days",
            remedy=f"write {option} 24h, 7d, 30m or 90s",
        )
    return seconds
