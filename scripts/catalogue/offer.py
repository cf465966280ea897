"""What one source says of one model, in our units, and how two of them become the dearer.

Owns the common form that each source is read into. Must not know any source's file format, nor the form of
a catalogue row. Invariant: whatever is joined costs at least as much as each of its parts, in every period,
size of input, service tier and dimension that it names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal

NOW = "1970-01-01"
"""The day of the period that is in force; since when does not matter."""

Grid = dict[str, dict[int, dict[str, int]]]
"""service tier -> first token of the size tier, 0 for all -> dimension -> micro-USD per 1M tokens."""

_SOURCE_DIGITS = Context(prec=12)
"""Sources keep prices as binary floats: 12 digits are all that a price has, the rest is noise."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as one source has it. `periods` maps the day on which rates begin (ISO 8601) to them."""

    source: str
    name: str
    periods: Mapping[str, Grid]
    fees: Mapping[str, int] = field(default_factory=dict)
    modifiers_bp: Mapping[str, int] = field(default_factory=dict)
    max_input: int | None = None
    max_output: int | None = None
    ends: str | None = None
    why_not: str | None = None


def micros(value: Decimal, per_unit: int) -> int:
    """Return a price in micro-USD per `per_unit` units of the source's price, rounded up after its noise."""
    exact = _SOURCE_DIGITS.create_decimal(value) * per_unit * 1_000_000
    return int(exact.to_integral_value(ROUND_CEILING))


def at(offer: Offer, day: str) -> Grid:
    """Return the rates that an offer has on a day: those of the last period that has begun."""
    begun = [start for start in offer.periods if start <= day]
    return offer.periods[max(begun)] if begun else {}


def dearer(grids: Iterable[Grid]) -> Grid:
    """Join rates of several sources, the dearest of each; without a size tier a source has its lower one."""
    known = [grid for grid in grids if grid]
    joined: Grid = {}
    for service_tier in sorted({name for grid in known for name in grid}):
        mine = [grid[service_tier] for grid in known if service_tier in grid]
        joined[service_tier] = {
            start: _dearest([rates_from(sizes, start) for sizes in mine])
            for start in sorted({start for sizes in mine for start in sizes})
        }
    return joined


def rates_from(sizes: Mapping[int, dict[str, int]], start: int) -> dict[str, int]:
    """Return the rates of the size tier in which this many tokens of input are, empty where there is none."""
    reached = [size for size in sizes if size <= start]
    return sizes[max(reached)] if reached else {}


def _dearest(rates: list[dict[str, int]]) -> dict[str, int]:
    return {
        name: max(one[name] for one in rates if name in one) for name in {n for one in rates for n in one}
    }
