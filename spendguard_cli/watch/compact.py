"""One line for a status bar: what is left, what is going on, how long it lasts. Pure."""

from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.figures import short_age, short_usd
from spendguard_cli.watch.once import Glance

CELLS_MAX = 80
USD_CELLS = 10
AWAY = "sg away"
"""What is said where no sidecar answers, or none in time."""


def line(shown: Glance) -> str:
    """Return the line, at most CELLS_MAX cells: what fits, the most important first. It holds no name."""
    sums = shown.sums
    parts = [f"{short_usd(nusd(sums.left_usd), USD_CELLS)} left"]
    parts += ["draining"] if shown.state == "draining" else []
    parts += [f"{sums.calls_in_flight} in flight"]
    parts += [f"{sums.calls_waiting} waiting"] if sums.calls_waiting else []
    parts += [f"{sums.refusals} refused"] if sums.refusals else []
    pace = max(nusd(sums.usd_per_minute), nusd(sums.usd_per_minute_of_15))
    parts += [f"burn {short_usd(pace, USD_CELLS, up=True)}/m"] if pace else []
    if sums.seconds_to_empty is not None:
        parts.append(f"{short_age(sums.seconds_to_empty)} to empty")
    parts += [f"{sums.unconfirmed_calls} unconfirmed"] if sums.unconfirmed_calls else []
    told = f"sg {parts[0]}"
    for part in parts[1:]:
        longer = f"{told} · {part}"
        told = longer if len(longer) <= CELLS_MAX else told
    return told
