"""The most that a provider may bill by its price list: token counts, rates and fees in, nano-USD out.

Prices are read from the catalogue's file as published rows, not through our rate cards. All sums are exact.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).parents[3] / "daemon/spendguard_daemon/pricing/data/catalogue.json"


class UnboundedBillError(AssertionError):
    """The request that left us lets the provider bill without limit: nothing can have been held for that."""


def price_list(provider: str) -> dict[str, dict[str, Any]]:
    """Return the provider's rows by model, under each of their names."""
    rows = json.loads(CATALOGUE.read_bytes())["models"][provider]
    return {name: row for model, row in rows.items() for name in (model, *row.get("aliases", ()))}


@dataclass(frozen=True)
class Worst:
    """What a request allows the provider: the most of each count, and the rates it may choose from.

    `input_tokens` is of one pass, `audio_tokens` the part of it that has the audio rate; each of `passes`
    reads up to the window, which a beta may have made as large as `window`. `fees` are micro-USD per 1,000
    events, with their number. `factors` scale what tokens cost.
    """

    row: Mapping[str, Any]
    input_tokens: int
    output_tokens: int
    buckets: frozenset[str]
    outputs: frozenset[str] = frozenset({"output"})
    audio_tokens: int = 0
    tiers: frozenset[str] = frozenset({"default"})
    passes: int = 1
    fees: tuple[tuple[int, int], ...] = ()
    factors: tuple[Fraction, ...] = ()
    window: int = 0

    def nusd(self) -> int:
        """Return the dearest bill: over the sizes that the input may really have, and the tiers allowed."""
        tokens = max(
            self._tokens_usd(size, tier)
            for tier in self.tiers & self.row["periods"][-1]["rates"].keys()
            for size in self._sizes()
        )
        for factor in self.factors:
            tokens *= factor
        fees = sum((Fraction(fee, 10**6 * 1000) * count for fee, count in self.fees), Fraction(0))
        return ceil((tokens + fees) * 10**9)

    def _sizes(self) -> Iterator[int]:
        """Yield the inputs that may be the dearest: all of it, and all that stays below a tier."""
        most = min(self.input_tokens, max(self.window, self.row["limits"]["max_input"]))
        yield most
        for tier in self.row["periods"][-1].get("tiers", ()):
            if tier["input_tokens_ge"] <= most:
                yield tier["input_tokens_ge"] - 1

    def _tokens_usd(self, size: int, tier: str) -> Fraction:
        rates = _rates_at(self.row, size, tier)
        heard = min(self.audio_tokens, size)
        read = _dearest(rates, self.buckets) * (size - heard)
        if heard:
            read += _dearest(rates, {"input_audio", "cache_read_audio"}) * heard
        wrote = _dearest(rates, self.outputs | {"reasoning_output"}) * self.output_tokens
        return Fraction(read * self.passes + wrote, 10**12)


def _rates_at(row: Mapping[str, Any], size: int, tier: str) -> Mapping[str, int]:
    period = row["periods"][-1]
    steps = [step for step in period.get("tiers", ()) if step["input_tokens_ge"] <= size]
    found: Mapping[str, int] = (steps[-1] if steps else period)["rates"][tier]
    return found


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
