"""What a new catalogue changes of the present one, and which changes a person has to acknowledge.

Owns the comparison of two catalogues and the form of `acknowledged.toml`. Must not know sources and facts.
Invariant: a change after which a call could cost more than it holds (a rate, fee, factor or limit that falls,
another tokenizer), or that looks like a slip of the unit (ten times and more), never passes unseen.

    [[change]]  model = "openai:gpt-5"  field = "fees.web_search"  old = 25000000  new = 10000000
                date = "2026-11-29"     reason = "..."              (old or new left out: not there)
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FACTOR = 10
_CHEAPER_WHEN_MORE = "audio_bytes_per_token"
_COUNTS = ("limits", "tok", "fees", "modifiers_bp")
_FLAGS = ("reasoning", "implicit_cache_write", "free")

Value = int | str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one model, before and after; None is: not there."""

    model: str
    field: str
    old: Value
    new: Value

    @property
    def alarm(self) -> str | None:
        """Return why this has to be acknowledged, None where it has not."""
        if self.old is None:
            return "counted exactly from now on" if self.field == "tok.enc" else None
        if self.new is None:
            return "gone"
        if isinstance(self.old, str) or isinstance(self.new, str):
            return "another tokenizer" if self.field == "tok.enc" else None
        falls = self.new > self.old if self.field.endswith(_CHEAPER_WHEN_MORE) else self.new < self.old
        small, large = sorted((self.old, self.new))
        if falls:
            return "falls"
        return "ten times and more" if large >= FACTOR * small and small > 0 else None

    def __str__(self) -> str:
        told = f"{self.model}  {self.field}  {_shown(self.old)} -> {_shown(self.new)}"
        return f"{told}  ({self.alarm})" if self.alarm else told


def compare(old: Mapping[str, Any], new: Mapping[str, Any], today: str) -> list[Change]:
    """Return all that differs between two `models` of a catalogue, rates as they apply from `today` on."""
    found: list[Change] = []
    for provider in sorted({*old, *new}):
        before, after = old.get(provider, {}), new.get(provider, {})
        for model in sorted({*before, *after}):
            name = f"{provider}:{model}"
            if model not in before or model not in after:
                found.append(Change(name, "model", _headline(before.get(model)), _headline(after.get(model))))
            else:
                found += _differences(name, before[model], after[model], today)
    return found


def acknowledged(path: Path) -> frozenset[Change]:
    """Read the changes that were acknowledged. Raises KeyError where one lacks a reason or a date."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("change", [])
    for entry in entries:
        if not entry["reason"] or not entry["date"]:
            raise ValueError(f"{path.name}: {entry['model']} {entry['field']}: expected a reason and a date")
    return frozenset(
        Change(entry["model"], entry["field"], entry.get("old"), entry.get("new")) for entry in entries
    )


def unacknowledged(changes: Sequence[Change], known: frozenset[Change]) -> list[Change]:
    """Return the changes that nobody has answered for."""
    return [change for change in changes if change.alarm and change not in known]


def _differences(name: str, old: Mapping[str, Any], new: Mapping[str, Any], today: str) -> list[Change]:
    before, after = dict(_fields(old)), dict(_fields(new))
    places = _places(old, today) | _places(new, today)
    for day, start in sorted(places):
        where = f"{day or 'now'}, {start:,} tokens" if start else day or "now"
        before |= {f"{field} ({where})": rate for field, rate in _rates_at(old, day or today, start)}
        after |= {f"{field} ({where})": rate for field, rate in _rates_at(new, day or today, start)}
    return [
        Change(name, field, before.get(field), after.get(field))
        for field in sorted({*before, *after})
        if before.get(field) != after.get(field)
    ]


def _fields(row: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for part in _COUNTS:
        for name, value in row.get(part, {}).items():
            yield f"{part}.{name}", value
    for flag in _FLAGS:
        yield flag, int(row.get(flag, False))
    for names in ("aliases", "endpoints"):
        yield names, ", ".join(row.get(names, ()))


def _places(row: Mapping[str, Any], today: str) -> set[tuple[str, int]]:
    """Return where rates may step: today (empty) and later days, at each size of input."""
    days = {""} | {period["from"][:10] for period in row["periods"] if period["from"][:10] > today}
    sizes = {0} | {tier["input_tokens_ge"] for period in row["periods"] for tier in period.get("tiers", ())}
    return {(day, size) for day in days for size in sizes}


def _rates_at(row: Mapping[str, Any], day: str, size: int) -> Iterator[tuple[str, Value]]:
    period = [one for one in row["periods"] if one["from"][:10] <= day][-1]
    steps = [period] + [tier for tier in period.get("tiers", ()) if tier["input_tokens_ge"] <= size]
    for service_tier, rates in steps[-1]["rates"].items():
        for dimension, rate in rates.items():
            yield f"{service_tier} {dimension}", rate


def _headline(row: Mapping[str, Any] | None) -> str | None:
    if row is None:
        return None
    rates = row["periods"][0]["rates"]["default"]
    return f"input {rates['input']:,}, output {rates['output']:,}"


def _shown(value: Value) -> str:
    return "nothing" if value is None else f"{value:,}" if isinstance(value, int) else value or "nothing"
