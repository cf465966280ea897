"""One row of the catalogue, from what two sources offer and what our reviewers found by hand.

Owns how a card is put together: the dearer rate, the larger window, later periods, whole service tiers. Must
not know the sources' formats, files and the row of yesterday. Invariant: a rate, fee or limit of a row is at
least what each source gives for it, but for what the facts leave out with a reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from catalogue.offer import NOW, Grid, Offer, at, dearer, rates_from

_ORDER = (
    *("input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "cache_read_audio"),
    *("input_image", "input_video", "output", "reasoning_output", "output_audio", "output_image"),
)
_TIERS = ("default", "flex", "priority", "ultrafast")
_INCLUDED = {"reasoning_output": "output", "input_image": "input", "input_video": "input"}
"""What a source may write out although it costs what another dimension does."""

_LIMITS = ("context", "max_input", "max_output", "min_output", "image_tokens", "audio_bytes_per_token")


@dataclass(frozen=True, slots=True)
class Built:
    """A row as it goes into the file, and what was decided on the way, for the report."""

    row: dict[str, Any]
    remarks: tuple[str, ...]


def build_row(
    facts: Mapping[str, Any], offers: Sequence[Offer], ways: Mapping[str, Any], today: str
) -> Built:
    """Return the row of a model, by its provider's `ways`. Raises ValueError where a part is missing."""
    without = facts.get("without", {})
    own = _own_offer(facts)
    parts = [
        replace(offer, periods=_terse(offer)) for offer in (*offers, *([own] if own else [])) if offer.periods
    ]
    remarks = [*_conflicts(offers, today)]
    periods, left = _periods(parts, facts.get("same_as", ways.get("same_as", {})), without, today)
    row: dict[str, Any] = {}
    if "aliases" in facts:
        row["aliases"] = facts["aliases"]
    row["endpoints"] = facts["endpoints"]
    row["limits"] = _limits(facts, offers, ways, without)
    for key in ("tok", "reasoning", "implicit_cache_write"):
        if facts.get(key):
            row[key] = facts[key]
    row["periods"] = periods
    fees = _largest([_renamed(offer.fees, facts, ways) for offer in offers], facts.get("fees", {}))
    modifiers = _largest([offer.modifiers_bp for offer in offers], facts.get("modifiers_bp", {}))
    for key, found in (("fees", fees), ("modifiers_bp", modifiers)):
        kept = {name: value for name, value in found.items() if f"{key}.{name}" not in without}
        if kept:
            row[key] = kept
    row["checked"] = facts["checked"]
    row["sources"] = sorted({offer.source for offer in offers})
    if "note" in facts:
        row["note"] = facts["note"]
    kept_remarks = (*remarks, *left, *(f"{what} left out: {why}" for what, why in without.items()))
    return Built(row, kept_remarks)


def _own_offer(facts: Mapping[str, Any]) -> Offer | None:
    """Return the rates that a reviewer wrote down as one more offer."""
    if "rates" not in facts:
        return None
    periods = {
        day: {tier: {int(start): rates for start, rates in sizes.items()} for tier, sizes in grid.items()}
        for day, grid in facts["rates"].items()
    }
    return Offer("facts", "facts", periods)


def _terse(offer: Offer) -> dict[str, Grid]:
    """Return the rates of an offer without those that only repeat another: not every size tier does so."""
    every = [rates for grid in offer.periods.values() for sizes in grid.values() for rates in sizes.values()]
    same = {
        name
        for name, other in _INCLUDED.items()
        if all(name not in rates or rates[name] == rates.get(other) for rates in every)
    }
    return {
        day: {
            tier: {
                start: {name: rate for name, rate in rates.items() if name not in same}
                for start, rates in sizes.items()
            }
            for tier, sizes in grid.items()
        }
        for day, grid in offer.periods.items()
    }


def _periods(
    offers: Sequence[Offer], same_as: Mapping[str, str], without: Mapping[str, str], today: str
) -> tuple[list[dict[str, Any]], list[str]]:
    later = sorted({day for offer in offers for day in offer.periods if day > today})
    found, left = [], []
    for day in (NOW, *later):
        grid = _joined(offers, max(day, today))
        if "input" not in grid.get("default", {}).get(0, {}):
            raise ValueError("no source has a rate for input")
        whole, gone = _whole(_plain(grid, same_as, without))
        left += [f"{line} ({'now' if day == NOW else day})" for line in gone]
        found.append(_period(day, whole))
    return found, left


def _joined(offers: Sequence[Offer], day: str) -> Grid:
    """Return the dearest rates of a day, those of a source that is out of date raised in step."""
    every = [(offer.source, at(offer, day)) for offer in offers]
    steps = [
        _in_step(grid, dearer(other for name, other in every if name != source)) for source, grid in every
    ]
    return dearer(steps)


def _in_step(grid: Grid, other: Grid) -> Grid:
    """Raise what this source alone has by as much as its default rates are below the other's.

    LiteLLM has no dates: from the day on which genai-prices has new rates, those of LiteLLM's service tiers
    and of sound, which genai-prices lacks, are of yesterday.
    """

    def raised(name: str, rate: int, start: int) -> int:
        own, theirs = rates_from(grid.get("default", {}), start), rates_from(other.get("default", {}), start)
        step = name if name in theirs else ("output" if "output" in name else "input")
        old, new = own.get(step, 0), theirs.get(step, 0)
        return -(-rate * new // old) if 0 < old < new else rate

    return {
        tier: {
            start: {
                name: rate if name in rates_from(other.get(tier, {}), start) else raised(name, rate, start)
                for name, rate in rates.items()
            }
            for start, rates in sizes.items()
        }
        for tier, sizes in grid.items()
    }


def _plain(grid: Grid, same_as: Mapping[str, str], without: Mapping[str, str]) -> Grid:
    """Write out the rates that the provider gives as those of another, and leave out what the facts do."""
    plain: Grid = {}
    for tier, sizes in grid.items():
        if f"rates.{tier}" in without:
            continue
        plain[tier] = {}
        for start, rates in sizes.items():
            full = {name: rates[other] for name, other in same_as.items() if other in rates} | rates
            kept = {name: full[name] for name in _ORDER if name in full and f"rates.{name}" not in without}
            plain[tier][start] = kept
    return plain


def _whole(grid: Grid) -> tuple[Grid, list[str]]:
    """Keep the service tiers that have a rate for all that the default has, at every size."""
    default = grid["default"]
    names = set(default[0])
    if any(set(rates) != names for rates in default.values()):
        raise ValueError(f"default: a size tier lacks rates: {default}")
    kept, left = {"default": default}, []
    for tier in [name for name in _TIERS if name in grid and name != "default"]:
        sizes = grid[tier]
        starts = sorted(set(default) - set(sizes))
        lacking = sorted({name for rates in sizes.values() for name in names - set(rates)})
        if starts or lacking:
            what = [f"from {start:,} tokens" for start in starts] + lacking
            left.append(f"service tier {tier} left out: no rate {', '.join(what)}")
        else:
            kept[tier] = {start: {name: sizes[start][name] for name in default[start]} for start in default}
    return kept, left


def _period(day: str, grid: Grid) -> dict[str, Any]:
    starts = sorted(grid["default"])
    rates = [{tier: sizes[start] for tier, sizes in grid.items()} for start in starts]
    period: dict[str, Any] = {"from": f"{day}T00:00:00Z", "rates": rates[0]}
    if starts[1:]:
        upper = zip(starts[1:], rates[1:], strict=True)
        period["tiers"] = [{"input_tokens_ge": start, "rates": one} for start, one in upper]
    return period


def _limits(
    facts: Mapping[str, Any], offers: Sequence[Offer], ways: Mapping[str, Any], without: Mapping[str, str]
) -> dict[str, int]:
    """Return the limits: the largest named. Windows are those of the source that tells input from output."""
    own = facts.get("limits", {})
    told = [offer.max_input for offer in offers if offer.max_output is not None and offer.max_input]
    windows = [offer.max_input for offer in offers if offer.max_input]
    outputs = [offer.max_output for offer in offers if offer.max_output is not None]
    found = {
        "max_input": max(told or windows, default=None),
        "max_output": max(outputs, default=None),
        "context": max(windows, default=None),
    }
    limits = {
        name: value for name, value in found.items() if value is not None and f"limits.{name}" not in without
    }
    for name, value in own.items():
        limits[name] = max(value, limits.get(name, value))
    missing = [name for name in ("max_input", "max_output") if name not in limits]
    if missing:
        raise ValueError(f"limits without {', '.join(missing)}: no source has them, and no fact")
    if ways.get("output_apart") and limits["max_output"]:
        limits["context"] = limits["max_input"] + limits["max_output"]
    limits["context"] = max(limits.get("context", 0), limits["max_input"])
    return {name: limits[name] for name in _LIMITS if name in limits}


def _renamed(fees: Mapping[str, int], facts: Mapping[str, Any], ways: Mapping[str, Any]) -> dict[str, int]:
    names = ways.get("fee_names", {}) | facts.get("fee_names", {})
    return {names.get(name, name): fee for name, fee in fees.items()}


def _largest(found: Sequence[Mapping[str, int]], own: Mapping[str, int]) -> dict[str, int]:
    every = [*found, own]
    names = sorted({name for one in every for name in one})
    return {name: max(one[name] for one in every if name in one) for name in names}


def _conflicts(offers: Sequence[Offer], today: str) -> Iterable[str]:
    """Yield where the sources differ; the dearer and larger are taken."""
    for what, values in sorted(_told(offers, today).items()):
        if len({value for _source, value in values}) > 1:
            yield f"{what} differs: " + ", ".join(
                f"{source} {value:,}" for source, value in sorted(set(values))
            )


def _told(offers: Sequence[Offer], today: str) -> dict[str, list[tuple[str, int]]]:
    told: dict[str, list[tuple[str, int]]] = {}
    for offer in offers:
        for tier, sizes in at(offer, today).items():
            for start, rates in sizes.items():
                for name, rate in rates.items():
                    told.setdefault(f"{tier} {name} from {start:,}", []).append((offer.source, rate))
        for name, fee in offer.fees.items():
            told.setdefault(f"fee {name}", []).append((offer.source, fee))
    return told
