"""The most that a provider may bill by its price list: token counts, rates and fees in, nano-USD out.

Prices are read from the catalogue's file as published rows, not through our rate cards. All sums are exact.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).parents[3] / "daemon/spendguard_daemon/pricing/data/catalogue.json"


CALL = timedelta(hours=1)
"""How long a call may last: what is dearer by then may be billed."""


class UnboundedBillError(AssertionError):
    """The request that left us lets the provider bill without limit: nothing can have been held for that."""


def price_list(provider: str) -> dict[str, dict[str, Any]]:
    """Return the provider's rows by model, under each of their names."""
    rows = json.loads(CATALOGUE.read_bytes())["models"][provider]
    return {name: row for model, row in rows.items() for name in (model, *row.get("aliases", ()))}


@dataclass(frozen=True)
class Worst:
    """What a request allows the provider: the most of each count, and the rates it may choose from.

    `input_tokens` is of one pass, `audio_tokens` and `image_tokens` the parts of it that have those rates;
    each of `passes` reads up to the window, which a beta may have made as large as `window`. `fees` are
    micro-USD per 1,000 events, with their number. `factors` scale what tokens cost.
    """

    row: Mapping[str, Any]
    input_tokens: int
    output_tokens: int
    buckets: frozenset[str]
    outputs: frozenset[str] = frozenset({"output"})
    audio_tokens: int = 0
    image_tokens: int = 0
    tiers: frozenset[str] = frozenset({"default"})
    passes: int = 1
    fees: tuple[tuple[int, int], ...] = ()
    factors: tuple[Fraction, ...] = ()
    window: int = 0

    def nusd(self, begins: datetime | None = None) -> int:
        """Return the dearest bill of a call that begins then, by default now.

        Over the prices while it may last, the sizes that its input may really have, and the tiers allowed.
        """
        tokens = max(
            self._tokens_usd(period, size, tier)
            for period in self._periods(begins or datetime.now(UTC))
            for tier in self.tiers & period["rates"].keys()
            for size in self._sizes(period)
        )
        for factor in self.factors:
            tokens *= factor
        fees = sum((Fraction(fee, 10**6 * 1000) * count for fee, count in self.fees), Fraction(0))
        return ceil((tokens + fees) * 10**9)

    def _periods(self, begins: datetime) -> list[Mapping[str, Any]]:
        """Return the prices in force when a call begins, and those that come while it may last."""
        first, last = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (begins, begins + CALL))
        known = [period for period in self.row["periods"] if period.get("from", "") <= last]
        before = [at for at, period in enumerate(known) if period.get("from", "") <= first]
        return known[before[-1] :]

    def _sizes(self, period: Mapping[str, Any]) -> Iterator[int]:
        """Yield the inputs that may be the dearest: all of it, and all that stays below a tier."""
        most = min(self.input_tokens, max(self.window, self.row["limits"]["max_input"]))
        yield most
        for tier in period.get("tiers", ()):
            if tier["input_tokens_ge"] <= most:
                yield tier["input_tokens_ge"] - 1

    def _tokens_usd(self, period: Mapping[str, Any], size: int, tier: str) -> Fraction:
        """Return what so much input costs, the dearest of its parts first, and the output with it."""
        steps = [step for step in period.get("tiers", ()) if step["input_tokens_ge"] <= size]
        rates = (steps[-1] if steps else period)["rates"][tier]
        parts = [(size, self.buckets)]
        if self.audio_tokens:
            parts.append((self.audio_tokens, frozenset({"input_audio", "cache_read_audio"})))
        if self.image_tokens:
            parts.append((self.image_tokens, frozenset({"input_image", "cache_read"})))
        read, left = 0, size
        for rate, tokens in sorted(((_dearest(rates, names), most) for most, names in parts), reverse=True):
            taken = min(left, tokens)
            read, left = read + rate * taken, left - taken
        wrote = _dearest(rates, self.outputs | {"reasoning_output"}) * self.output_tokens
        return Fraction(read * self.passes + wrote, 10**12)


def _dearest(rates: Mapping[str, int], names: Iterable[str]) -> int:
    """Return the dearest of the published rates among these, in micro-USD per 1M tokens."""
    found = [rates[name] for name in names if name in rates]
    if not found:
        raise UnboundedBillError(f"no published rate for any of {sorted(names)}")
    return max(found)


def strings(value: object) -> Iterator[str]:
    """Yield every string in a value, keys too, and numbers as they would be written."""
    match value:
        case str():
            yield value
        case dict():
            for key, inner in value.items():
                yield key
                yield from strings(inner)
        case list():
            for inner in value:
                yield from strings(inner)
        case bool() | None:
            pass
        case int() | float():
            yield str(value)


def values_of(name: str, value: object) -> Iterator[Any]:
    """Yield what stands under this key that is not null, at any depth."""
    match value:
        case dict():
            if value.get(name) is not None:
                yield value[name]
            for inner in value.values():
                yield from values_of(name, inner)
        case list():
            for inner in value:
                yield from values_of(name, inner)
