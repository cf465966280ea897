"""Points in time as text: ISO 8601 in UTC, to the nanosecond in records. Reads no clock."""

import re
from datetime import UTC, datetime
from functools import lru_cache

NS_PER_SECOND = 1_000_000_000

_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z")


def format_time(wall_ns: int) -> str:
    """Write nanoseconds since the epoch as `2026-11-23T14:22:01.123456789Z`, losing nothing."""
    seconds, nanos = divmod(wall_ns, NS_PER_SECOND)
    return f"{_format_second(seconds)}.{nanos:09d}Z"


def format_time_ms(wall_ns: int) -> str:
    """Write nanoseconds since the epoch to the millisecond, as answers to people and programs show it."""
    return f"{format_time(wall_ns)[:23]}Z"


def parse_time(text: str) -> int:
    """Read what `format_time` writes; raise ValueError on anything else."""
    if not _FORM.fullmatch(text):
        raise ValueError(f"{text!r} is not a time of the form 2026-11-23T14:22:01.123456789Z")
    return _parse_second(text[:19]) * NS_PER_SECOND + int(text[20:29])


def parse_time_ms(text: str) -> int:
    """Read what `format_time_ms` writes; raise ValueError on anything else."""
    return parse_time(f"{text[:-1]}000000{text[-1:]}")


# Thousands of records share a second, so the costly part is worked out once for each.
@lru_cache(maxsize=64)
def _format_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=64)
def _parse_second(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())
