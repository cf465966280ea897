"""One line for a status bar: what is left, what is going on, how long it lasts. Pure."""

from spendguard_cli.watch.board import seconds
from spendguard_cli.watch.figures import short_age, short_usd
from spendguard_cli.watch.seen import Glance
from spendguard_daemon.money import NUSD_PER_USD

CELLS_MAX = 80
USD_CELLS = 9
AWAY = "sg away"
"""What is said where no sidecar answers, or none in time."""


def line(shown: Glance) -> str:
    """Return the line, at most CELLS_MAX cells: what does not fit is left out. It holds no name."""
    parts = [part for part in _parts(shown) if part[1]]
    while len(told := " · ".join(text for _, text in parts)) > CELLS_MAX:
        parts.remove(min(parts))
    return told


def _sum_nusd(usd: str) -> int:
    """Read an exact sum in nano-USD; of many agents it may be more than any one amount can be."""
    whole, _, part = usd.removeprefix("-").partition(".")
    nusd = int(whole) * NUSD_PER_USD + int(part.ljust(9, "0"))
    return -nusd if usd.startswith("-") else nusd


def _counted(shown: Glance) -> str:
    """Say in which time refusals were counted."""
    since = seconds(shown.sums.refusals_since or "")
    return f" in {short_age(seconds(shown.at) - since)}" if since else ""


def _parts(shown: Glance) -> list[tuple[int, str]]:
    """Return what may be said, in its order; the heaviest is left out last, an empty one always."""
    sums = shown.sums
    pace = max(_sum_nusd(sums.usd_per_minute), _sum_nusd(sums.usd_per_minute_of_15))
    seconds = sums.seconds_to_empty
    return [
        (9, f"sg {short_usd(_sum_nusd(sums.left_usd), USD_CELLS)} left"),
        (8, "draining" if shown.state == "draining" else ""),
        (5, f"{sums.calls_in_flight} in flight"),
        (7, f"{sums.calls_waiting} waiting" if sums.calls_waiting else ""),
        (4, f"{sums.refusals} refused{_counted(shown)}" if sums.refusals else ""),
        (3, f"burn {short_usd(pace, USD_CELLS, up=True)}/m" if pace else ""),
        (6, "" if seconds is None else f"{short_age(seconds)} to empty"),
        (2, f"{sums.unconfirmed_calls} unconfirmed" if sums.unconfirmed_calls else ""),
    ]
