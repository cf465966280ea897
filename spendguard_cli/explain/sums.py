"""The two sums of a call, computed again: what was held, and what it cost. Pure; integers only.

A record keeps the rates, the bounds and the amount, but not how often a fee was counted, nor the output that
a cap does not count: where the rest is a whole number of those it is told as worked out. Invariant: a sum is
called `equal` only if it gives the ledger's amount to the nano-dollar, rounded up once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import prod

import msgspec

from spendguard_cli.explain.life import CostLine, Held
from spendguard_daemon.money import PUSD_PER_NUSD, ceil_div, format_usd

EQUAL, WORKED_OUT, AT_LEAST, DIFFERENT = "equal", "worked_out", "at_least", "different"

_OUTPUT = ("output", "reasoning_output", "output_audio", "output_image")
_BASIS_POINTS = 10_000


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One product of a sum: `quantity` times `rate` (USD per 1M tokens, or per 1,000 events) is `usd`."""

    name: str
    quantity: int
    unit: str
    rate: str
    usd: str


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """A sum written out. `exact_usd` is rounded up once to `usd`, which is held against `ledger_usd`.

    `result` is equal; worked_out: equal, with a part that the record does not list; at_least: the record has
    not all of it; or different, which must not be. `factors` scale what tokens cost.
    """

    terms: list[Term]
    factors: list[str]
    exact_usd: str
    usd: str
    ledger_usd: str
    result: str


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A term in exact units: `rate` in pUSD per token, or in nUSD per event."""

    name: str
    quantity: int
    unit: str
    rate: int

    @property
    def pusd(self) -> int:
        return self.quantity * self.rate * (PUSD_PER_NUSD if self.unit == "event" else 1)


def hold_sum(held: Held) -> Sum | None:
    """Return what the hold is made of; None where the record has neither rates nor bounds."""
    if not held.rates or held.input_tokens is None or held.output_tokens is None:
        return None
    factors = _held_factors(held.rates)
    fees = [
        _Part(name=name, quantity=1, unit="event", rate=rate)
        for name, rate in held.rates.items()
        if name.startswith("fee:")
    ]
    nearest: Sum | None = None
    for into, out in _rate_pairs(held.rates, held.input_tokens):
        parts = [
            _Part(name=into[0], quantity=held.input_tokens, unit="token", rate=into[1]),
            _Part(name=out[0], quantity=held.choices * held.output_tokens, unit="token", rate=out[1]),
        ]
        parts = [part for part in parts if part.quantity]
        made = _made([*parts, *fees], factors, held.amount_nusd)
        if made.result == EQUAL:
            return made
        nearest = nearest or made
        for fuller in _worked_out(parts, fees, factors, held.amount_nusd, out, held.choices):
            if fuller.result == EQUAL:
                return msgspec.structs.replace(fuller, result=WORKED_OUT)
    if nearest is not None and nearest.result == DIFFERENT and _nusd(nearest.usd) < held.amount_nusd:
        return msgspec.structs.replace(nearest, result=AT_LEAST)
    return nearest


def cost_sum(lines: Sequence[CostLine], cost_nusd: int, rates: Mapping[str, int]) -> Sum | None:
    """Return the bill of a settled call; None where its record has no lines, or others than we know."""
    try:
        parts = [_part(line) for line in lines]
    except (KeyError, ValueError):
        return None
    if not parts:
        return None
    known = {name.removeprefix("bp:"): rate for name, rate in rates.items() if name.startswith("bp:")}
    made = _made(parts, (), cost_nusd)
    for length in range(1, len(known) + 1):
        for chosen in combinations(sorted(known.items()), length):
            if made.result != EQUAL:
                scaled = _made(parts, chosen, cost_nusd)
                made = scaled if scaled.result == EQUAL else made
    wrong = any(
        _exact_nusd(part.pusd) != str(line.get("cost_nusd")) for part, line in zip(parts, lines, strict=True)
    )
    return msgspec.structs.replace(made, result=DIFFERENT) if wrong else made


def _part(line: CostLine) -> "_Part":
    return _Part(
        name=str(line["name"]),
        quantity=int(line["quantity"]),
        unit=str(line["unit"]),
        rate=int(line["rate"]),
    )


def rate_usd(rate: int) -> str:
    """Write a rate (micro-USD per 1M tokens, or per 1,000 events) in USD."""
    return _decimal(rate, 6)


def _rate_pairs(
    rates: Mapping[str, int], input_tokens: int
) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Yield an input and an output rate that the hold may have been made with, the plain ones first.

    The dearest rate within reach was taken: never below the dearest plain one. A record has the rates of all
    tiers that another rung's bound would have reached; those that begin above its own bound do not count.
    """
    tokens = [
        (name, rate)
        for name, rate in rates.items()
        if not name.startswith(("fee:", "bp:")) and _begins_at(name) <= input_tokens
    ]
    into = [pair for pair in tokens if _dimension(pair[0]) not in _OUTPUT]
    out = [pair for pair in tokens if _dimension(pair[0]) in _OUTPUT]
    for first in _dearest(into, "input"):
        for second in _dearest(out, "output") or [("output", 0)]:
            yield first, second


def _dearest(pairs: list[tuple[str, int]], plain: str) -> list[tuple[str, int]]:
    """Return the dearest plain rate, then all that are dearer, each rate once."""
    base = max((pair for pair in pairs if _dimension(pair[0]) == plain), key=lambda p: p[1], default=None)
    dearer = sorted((p for p in pairs if base is None or p[1] > base[1]), key=lambda pair: pair[1])
    found = {rate: (name, rate) for name, rate in reversed([*([base] if base else []), *dearer])}
    return sorted(found.values(), key=lambda pair: pair[1])


def _dimension(name: str) -> str:
    return name.rpartition(":")[2].partition("@")[0].partition("+")[0]


def _begins_at(name: str) -> int:
    """Return the input tokens from which a rate is that of its tier: `input@272001+1` is 272,001."""
    start = name.partition("@")[2].partition("+")[0]
    return int(start) if start.isascii() and start.isdigit() else 0


def _held_factors(rates: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return of each kind of modifier the dearest, as the hold has it; plain is the least."""
    kinds: dict[str, tuple[str, int]] = {}
    for name, points in rates.items():
        if name.startswith("bp:") and points > _BASIS_POINTS:
            kind = name.split(":")[1]
            kinds[kind] = max(
                kinds.get(kind, ("", 0)), (name.removeprefix("bp:"), points), key=lambda p: p[1]
            )
    return tuple(kinds.values())


def _worked_out(
    parts: list[_Part],
    fees: list[_Part],
    factors: Sequence[tuple[str, int]],
    amount_nusd: int,
    out: tuple[str, int],
    choices: int,
) -> Iterator[Sum]:
    """Yield sums with a count that the record has not: of one fee, else of output beyond the cap."""
    for fee in fees:
        others = [one for one in fees if one is not fee]
        spare_nusd = amount_nusd - _total_nusd([*parts, *others], factors)
        count = spare_nusd // fee.rate if fee.rate else 0
        if count > 1:
            yield _made([*parts, *others, msgspec.structs.replace(fee, quantity=count)], factors, amount_nusd)
    unit, scale = _scale(factors)
    base = sum(part.pusd * (unit if part.unit == "token" else scale) for part in [*parts, *fees])
    each = out[1] * choices * unit
    more = (amount_nusd * PUSD_PER_NUSD * scale - base) // each if each else 0
    if more > 0:
        beyond = _Part(name=f"{out[0]} beyond the cap", quantity=more * choices, unit="token", rate=out[1])
        yield _made([*parts, beyond, *fees], factors, amount_nusd)


def _made(parts: Sequence[_Part], factors: Iterable[tuple[str, int]], ledger_nusd: int) -> Sum:
    chosen = list(factors)
    unit, scale = _scale(chosen)
    exact = sum(part.pusd * (unit if part.unit == "token" else scale) for part in parts)
    total_nusd = ceil_div(exact, PUSD_PER_NUSD * scale)
    return Sum(
        terms=[
            Term(
                name=part.name,
                quantity=part.quantity,
                unit=part.unit,
                rate="" if part.unit == "pusd" else rate_usd(part.rate),
                usd=_decimal(part.pusd, 12),
            )
            for part in parts
        ],
        factors=[f"{name} x {_decimal(points, 4)}" for name, points in chosen],
        exact_usd=_decimal(exact, 12 + 4 * len(chosen)),
        usd=format_usd(total_nusd),
        ledger_usd=format_usd(ledger_nusd),
        result=EQUAL if total_nusd == ledger_nusd else DIFFERENT,
    )


def _total_nusd(parts: Sequence[_Part], factors: Sequence[tuple[str, int]]) -> int:
    unit, scale = _scale(factors)
    exact = sum(part.pusd * (unit if part.unit == "token" else scale) for part in parts)
    return ceil_div(exact, PUSD_PER_NUSD * scale)


def _scale(factors: Sequence[tuple[str, int]]) -> tuple[int, int]:
    """Return what token costs are multiplied by, and what stands for 1 beside it."""
    return prod(points for _, points in factors), _BASIS_POINTS ** len(factors)


def _nusd(usd: str) -> int:
    dollars, _, part = usd.partition(".")
    return int(dollars) * 10**9 + int(part.ljust(9, "0"))


def _exact_nusd(pusd: int) -> str:
    nano, pico = divmod(pusd, PUSD_PER_NUSD)
    return f"{nano}.{pico:03d}".rstrip("0").rstrip(".")


def _decimal(number: int, places: int) -> str:
    """Write number / 10^places exactly, with two decimals at least."""
    whole, part = divmod(number, 10**places)
    return f"{whole}.{f'{part:0{places}d}'.rstrip('0').ljust(2, '0')}"
