"""Rate cards: the prices of one model, the most a call can cost by them, and what it did cost.

Owns the cost arithmetic (costs.md A3, A4): integers only, summed exactly in pico-USD, rounded up once. Knows
nothing of documents, signatures, budgets or requests. Invariant: for every usage within what `quote` was told
(input within the bound, output within choices x (cap + what is uncapped), buckets within reach, events within
their counts, the service tier asked for or the default one, modifiers among those given or plain),
`price(usage).total_nusd <= quote(...).at(cap)`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import NUSD_MAX, PUSD_PER_NUSD, LinearCost, Nusd, ceil_div
from spendguard_daemon.pricing import buckets
from spendguard_daemon.pricing import modifiers as scaling
from spendguard_daemon.pricing.dimensions import OUTPUT_DIMENSIONS
from spendguard_daemon.usage import Limits, Usage, absurd

DEFAULT_TIER = "default"
NO_EVENTS: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates of a call whose input has at least `input_tokens_ge` tokens (inclusive), up to the next tier.

    `rates[service_tier][dimension]` is in micro-USD per 1M tokens, which is pico-USD per token.
    """

    input_tokens_ge: int
    rates: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Period:
    """The tiers in force from `from_ns` (UTC) until the next period begins; the first tier starts at 0."""

    from_ns: int
    tiers: tuple[Tier, ...]

    def tier_of(self, input_tokens: int) -> Tier:
        """Return the tier that bills a call with this input: the last one that starts at or below it."""
        return [tier for tier in self.tiers if tier.input_tokens_ge <= input_tokens][-1]


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of a bill. `rate` is in micro-USD per 1M tokens, or per 1,000 events."""

    name: str
    quantity: int
    unit: str
    rate: int
    cost_pusd: int

    def to_json(self) -> dict[str, int | str]:
        """Return the line for the API and the ledger, its cost as an exact decimal string of nano-USD."""
        nano, pico = divmod(self.cost_pusd, PUSD_PER_NUSD)
        exact = f"{nano}.{pico:03d}".rstrip("0").rstrip(".")
        return {
            "name": self.name,
            "quantity": self.quantity,
            "unit": self.unit,
            "rate": self.rate,
            "cost_nusd": exact,
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cost, rounded up once: token lines times each modifier / 10,000, and event lines."""

    total_nusd: Nusd
    lines: tuple[CostLine, ...]
    modifiers_bp: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RateCard:
    """The prices and limits of one model at one provider. Built and checked by `cards.read_card`.

    `fees` are in micro-USD per 1,000 events (= nano-USD each), `modifiers_bp` in basis points. A rate that
    is not there is never guessed: what needs it is refused with UNPRICED_DIMENSION.
    """

    provider: str
    model: str
    aliases: tuple[str, ...]
    endpoints: tuple[str, ...]
    limits: Limits
    output_tokens_min: int
    reasoning: bool
    implicit_cache_write: bool
    periods: tuple[Period, ...]
    fees: Mapping[str, int] = field(default_factory=dict)
    modifiers_bp: Mapping[str, int] = field(default_factory=dict)
    storage_cache_mtok_hour: int | None = None
    free: bool = False

    def quote(
        self,
        *,
        input_tokens: int,
        choices: int,
        reach: frozenset[str],
        from_ns: int,
        until_ns: int,
        events: Mapping[str, int] = NO_EVENTS,
        service_tier: str = "default",
        modifiers: tuple[str, ...] = (),
        uncapped_tokens: int = 0,
    ) -> LinearCost:
        """Return the most a call can cost, as a function of its output cap per choice (costs.md A4).

        `input_tokens` bounds the whole billed input, `reach` names the dimensions beside input and output
        that the request may be billed at, `events` the most of each fee it may cause, `service_tier` the
        tier asked for (a provider may serve the default one instead), `modifiers` all that may scale it,
        `uncapped_tokens` the most output per choice that the cap does not count, and the call runs within
        [from_ns, until_ns]. The dearest rate over all periods and tiers it may land in
        is taken, for input and for output apart. Raises UNPRICED_DIMENSION where the card lacks a rate
        within reach.
        """
        reachable = self._reachable(input_tokens, from_ns, until_ns, service_tier)
        input_rate = max(self._dearest_input(rates, reach) for rates in reachable)
        output_rate = max(self._dearest_output(rates, reach) for rates in reachable)
        fees_nusd = sum(fee * count for _, fee, count in self.fee_items(events))
        factor, unit = _product(scaling.worst(modifiers, self._modifier_bp))
        return LinearCost(
            fixed=(input_rate * input_tokens + output_rate * choices * uncapped_tokens) * factor
            + fees_nusd * PUSD_PER_NUSD * unit,
            per_token=output_rate * choices * factor,
            divisor=PUSD_PER_NUSD * unit,
        )

    def price(self, usage: Usage, *, from_ns: int, until_ns: int, modifiers: tuple[str, ...] = ()) -> Cost:
        """Return what a call with this usage costs, at the dearest of the periods it ran in.

        `modifiers` are those of the request; they count for what the usage does not report (its geography,
        its speed). Raises UNPRICED_DIMENSION where the usage needs a rate that the card lacks,
        UPSTREAM_FAILED where the usage cannot be true; such a call is settled at its hold.
        """
        modifiers = scaling.applied(modifiers, usage.modifiers)
        bills = [self._price_in(period, usage, modifiers) for period in self._in_force(from_ns, until_ns)]
        return max(bills, key=lambda cost: cost.total_nusd)

    def pinned_rates(
        self,
        *,
        input_tokens: int,
        from_ns: int,
        until_ns: int,
        events: Mapping[str, int] = NO_EVENTS,
        service_tier: str = "default",
        modifiers: tuple[str, ...] = (),
    ) -> dict[str, int]:
        """Return, flat, the rates that a hold is based on: what its ledger record keeps.

        `input` is the base rate, `input@272001` that of a tier, `input+1` that of the next period within the
        call's time, `flex:input` that of another service tier; `fee:` and `bp:` mark fees and modifiers.
        """
        flat: dict[str, int] = {}
        for index, period in enumerate(self._in_force(from_ns, until_ns)):
            for tier in _tiers_up_to(period, input_tokens):
                start = f"@{tier.input_tokens_ge}" if tier.input_tokens_ge else ""
                later = f"+{index}" if index else ""
                for served in _served(service_tier):
                    apart = "" if served == DEFAULT_TIER else f"{served}:"
                    rates = self._rates_for(tier, served)
                    flat |= {f"{apart}{name}{start}{later}": rate for name, rate in rates.items()}
        flat |= {f"fee:{name}": fee for name, fee, _ in self.fee_items(events)}
        flat |= {f"bp:{name}": self._bp(name) for name in modifiers}
        return flat

    def _price_in(self, period: Period, usage: Usage, modifiers: tuple[str, ...]) -> Cost:
        rates = self._rates_for(period.tier_of(usage.input_tokens), usage.service_tier)
        leaves = buckets.of_input(usage, lambda name: self._rate(rates, name))
        leaves += buckets.of_output(usage, reasoning_apart="reasoning_output" in rates)
        lines = [self._token_line(rates, name, quantity) for name, quantity in leaves if quantity]
        lines += [
            CostLine(f"fee:{name}", count, "event", fee, fee * count * PUSD_PER_NUSD)
            for name, fee, count in self.fee_items(usage.events)
        ]
        factors = {name: self._bp(name) for name in modifiers}
        factor, unit = _product(factors.values())
        # Providers scale what tokens cost; a search costs the same from anywhere.
        pusd = sum(line.cost_pusd * (factor if line.unit == "token" else unit) for line in lines)
        total = ceil_div(pusd, PUSD_PER_NUSD * unit)
        if total > NUSD_MAX:
            raise absurd("its cost is beyond the largest amount")
        return Cost(Nusd(total), tuple(lines), factors)

    def _token_line(self, rates: Mapping[str, int], name: str, quantity: int) -> CostLine:
        rate = self._rate(rates, name)
        return CostLine(name, quantity, "token", rate, rate * quantity)

    def _dearest_input(self, rates: Mapping[str, int], reach: frozenset[str]) -> int:
        names = {"input"} | (reach - OUTPUT_DIMENSIONS)
        if self.implicit_cache_write:
            names.add("cache_write")
        # A provider may serve any input from its cache unasked; that matters only where it is the dearer.
        names |= {"cache_read"} & rates.keys()
        if "cache_write_1h" in reach:
            names |= {"cache_write"} & rates.keys()
        if "input_audio" in reach:
            names |= {"cache_read_audio"} & rates.keys()
        return max(self._rate(rates, name) for name in sorted(names))

    def _dearest_output(self, rates: Mapping[str, int], reach: frozenset[str]) -> int:
        names = {"output"} | ({"reasoning_output"} & rates.keys())
        names |= (reach & OUTPUT_DIMENSIONS) - {"reasoning_output"}
        return max(self._rate(rates, name) for name in sorted(names))

    def _reachable(
        self, input_tokens: int, from_ns: int, until_ns: int, service_tier: str
    ) -> list[Mapping[str, int]]:
        return [
            self._rates_for(tier, served)
            for period in self._in_force(from_ns, until_ns)
            for tier in _tiers_up_to(period, input_tokens)
            for served in _served(service_tier)
        ]

    def _in_force(self, from_ns: int, until_ns: int) -> tuple[Period, ...]:
        """Return the periods that overlap [from_ns, until_ns]; refuse a call from before the first one."""
        if from_ns < self.periods[0].from_ns:
            raise self._unpriced("the time before its first period")
        last_ns = max(from_ns, until_ns)  # a wall clock may have been set back during the call
        ends = [*(period.from_ns for period in self.periods[1:]), last_ns + 1]
        pairs = zip(self.periods, ends, strict=True)
        return tuple(period for period, end in pairs if period.from_ns <= last_ns and end > from_ns)

    def _rates_for(self, tier: Tier, service_tier: str) -> Mapping[str, int]:
        if service_tier not in tier.rates:
            raise self._unpriced(f"service_tier:{service_tier}")
        return tier.rates[service_tier]

    def _rate(self, rates: Mapping[str, int], name: str) -> int:
        if name not in rates:
            raise self._unpriced(name)
        return rates[name]

    def fee_items(self, events: Mapping[str, int]) -> list[tuple[str, int, int]]:
        """Return (name, fee in nano-USD each, count) of all events; a fee per request always counts once."""
        counts = dict(events)
        if "request" in self.fees:
            counts["request"] = max(1, counts.get("request", 1))
        return [(name, self._fee(name), count) for name, count in sorted(counts.items()) if count]

    def _fee(self, name: str) -> int:
        if name not in self.fees:
            raise self._unpriced(f"fee:{name}")
        return self.fees[name]

    def _modifier_bp(self, name: str) -> int:
        if name not in self.modifiers_bp:
            raise self._unpriced(f"modifier:{name}")
        return self.modifiers_bp[name]

    def _bp(self, name: str) -> int:
        return scaling.points(name, self._modifier_bp)

    def _unpriced(self, dimension: str) -> SpendGuardError:
        return SpendGuardError(
            Code.UNPRICED_DIMENSION,
            f"Unpriced dimension: the card of {self.provider}:{self.model} has no rate for {dimension}",
            facts={
                "provider": self.provider,
                "model": self.model,
                "dimension": dimension,
                "setting": "[prices.overrides]",
            },
        )


def _served(service_tier: str) -> tuple[str, ...]:
    """Return the tiers that may serve a call: a provider short of the one asked for serves the default."""
    return (DEFAULT_TIER,) if service_tier == DEFAULT_TIER else (DEFAULT_TIER, service_tier)


def _product(factors: Iterable[int]) -> tuple[int, int]:
    """Return the product of factors in basis points, and what stands for 1 beside it."""
    points = list(factors)
    return prod(points), scaling.BASIS_POINTS ** len(points)


def _tiers_up_to(period: Period, input_tokens: int) -> list[Tier]:
    return [tier for tier in period.tiers if tier.input_tokens_ge <= input_tokens]
