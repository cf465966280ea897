"""Money, ages and bars for narrow cells. Pure; money is in nano-USD (`nusd`) and never passes a float.

What is rounded never flatters: what remains or may be held is rounded down, what was spent or is held up.
"""

from rich.text import Text

from spendguard_daemon.money import NUSD_PER_USD, ceil_div

SETTLED, HELD, FREE = "█", "▒", "·"
"""What is gone, what calls in flight hold, what is left; told apart without colour."""

SETTLED_STYLE, HELD_STYLE, FREE_STYLE = "dim", "cyan", "green"
_UNITS = ((NUSD_PER_USD * 1_000, "k"), (NUSD_PER_USD * 1_000_000, "M"))


def short_usd(nusd: int, cells: int, *, up: bool = False) -> str:
    """Write an amount in at most `cells` cells, as exactly as they allow: $12.34, $0.0021, $1.2k, -$3.

    Rounded down (towards less money), or `up` where it is money that is gone. Where not even a whole number
    of millions fits it is "…": no digit is better than a wrong one.
    """
    for decimals in range(_decimals(nusd), -1, -1):
        text = _written(nusd, NUSD_PER_USD, decimals, up=up)
        if len(text) <= cells:
            return text
    for unit_nusd, name in _UNITS:
        for decimals in (1, 0):
            text = _written(nusd, unit_nusd, decimals, up=up) + name
            if len(text) <= cells:
                return text
    return "…"[:cells]


def _decimals(nusd: int) -> int:
    """Return how many decimals say enough: two, or more where the first two digits would not show."""
    decimals, least = 2, NUSD_PER_USD // 10
    while 0 < abs(nusd) < least and decimals < 9:
        least //= 10
        decimals += 1
    return decimals


def _written(nusd: int, unit_nusd: int, decimals: int, *, up: bool) -> str:
    scaled = nusd * 10**decimals
    rounded = ceil_div(scaled, unit_nusd) if up else scaled // unit_nusd
    sign, digits = ("-", str(-rounded)) if rounded < 0 else ("", str(rounded))
    digits = digits.rjust(decimals + 1, "0")
    if not decimals:
        return f"{sign}${digits}"
    return f"{sign}${digits[:-decimals]}.{digits[-decimals:]}"


def short_age(seconds: float) -> str:
    """Write for how long something has gone on, or will: 9s, 1m15s, 2h05m, 3d04h; never more than it is."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def bar(settled_nusd: int, held_nusd: int, free_nusd: int, limit_nusd: int, cells: int) -> Text:
    """Draw a budget in exactly `cells` cells: settled, held, free; blank what the limit allows on top of it.

    Holds are seen however small; nothing is drawn as free where nothing is, nor more than there is.
    """
    parts = [max(0, part) for part in (settled_nusd, held_nusd, free_nusd)]
    whole = max(1, limit_nusd, sum(parts))
    free = min(cells, parts[2] * cells // whole)
    held = min(cells - free, ceil_div(parts[1] * cells, whole))
    if parts[1] and not held and cells:
        free, held = free - 1, 1
    settled = min(cells - free - held, ceil_div(parts[0] * cells, whole))
    line = Text(SETTLED * settled, style=SETTLED_STYLE, no_wrap=True)
    line.append(HELD * held, style=HELD_STYLE)
    line.append(FREE * free, style=FREE_STYLE)
    return line.append(" " * (cells - settled - held - free))
