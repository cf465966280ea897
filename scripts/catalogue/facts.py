"""What our reviewers found by hand, one TOML file a provider, and the sources' rows that belong to a model.

Owns the form of `facts/*.toml` and the names by which models are found in the sources. Must not know rates.
Invariant: a model of the sources is in `models`, or left out for a reason, or named as not reviewed.

    ways       of the provider: output_apart (context is input and output), same_as (dimension -> whose rate)
    defaults   keys of `models` that hold for all of them
    left_out   "name, name*" -> why: names of the sources, or what has no name there
    models     name -> aliases, endpoints, limits, tok, reasoning, implicit_cache_write, checked, note as in
               the catalogue; fees, modifiers_bp and rates (day -> service tier -> first token -> dimension)
               beside the sources', as are limits: the larger counts; genai (id, where it is another), also
               (LiteLLM's rows of other hosts), same_as, fee_names (source's -> ours), kept (why, after its
               end), without ("fees.web_search", "rates.flex", "limits.context" -> why it is not taken)
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from catalogue import genai_source, litellm_source
from catalogue.offer import Offer

PROVIDERS = ("openai", "anthropic", "gemini", "grok")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was found by hand: of the catalogue, and of each provider."""

    catalogue: Mapping[str, Any]
    providers: Mapping[str, Mapping[str, Any]]

    def models(self, provider: str) -> dict[str, dict[str, Any]]:
        """Return the facts of each model, with what holds for all of its provider."""
        own = self.providers[provider]
        return {name: _under(own.get("defaults", {}), model) for name, model in sorted(own["models"].items())}


@dataclass(frozen=True, slots=True)
class Sources:
    """The two sources' data, with their versions, and a provider's offers in them."""

    genai: Mapping[str, Any]
    litellm: Mapping[str, Any]

    def offers(self, provider: str, name: str, facts: Mapping[str, Any]) -> list[Offer]:
        """Return what the sources have of a model: its id, its aliases, and the rows that the facts name."""
        genai = genai_source.offers(self.genai, provider)
        litellm = litellm_source.offers(self.litellm, provider)
        names = [name, *facts.get("aliases", ())]
        found = [genai[facts["genai"]]] if "genai" in facts else [genai[name]] if name in genai else []
        found += [litellm[one] for one in names if one in litellm]
        rows = self.litellm["models"]
        return found + [litellm_source.offer_of(one, rows[one]) for one in facts.get("also", ())]


@dataclass(frozen=True, slots=True)
class Absent:
    """A name that a source has and the catalogue has not; `why` is None where nobody has looked at it."""

    provider: str
    name: str
    sources: tuple[str, ...]
    why: str | None


def read(folder: Path) -> Facts:
    """Read the folder of facts. Raises OSError, or tomllib.TOMLDecodeError with the line."""
    files = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.toml")}
    return Facts(files["catalogue"], {provider: files[provider] for provider in PROVIDERS})


def ended(offers: list[Offer], name: str, today: str) -> str | None:
    """Return the day on which a model ended, if a source says so of its own name."""
    days = [offer.ends for offer in offers if offer.ends and offer.name.rpartition("/")[2] == name]
    return max(days) if days and max(days) <= today else None


def absent(
    facts: Facts, sources: Sources, provider: str, built: Mapping[str, Any], today: str
) -> list[Absent]:
    """Return every name of the sources that no row of the catalogue has, with the reason."""
    genai = genai_source.offers(sources.genai, provider)
    litellm = litellm_source.offers(sources.litellm, provider)
    known = {name for model, row in built.items() for name in (model, *row.get("aliases", ()))}
    known |= {model["genai"] for model in facts.models(provider).values() if "genai" in model}
    found = []
    for name in sorted({*genai, *litellm} - known):
        offers = [source[name] for source in (genai, litellm) if name in source]
        why = _reason(facts.providers[provider]["left_out"], name) or _said_by(offers, name, today)
        found.append(Absent(provider, name, tuple(offer.source for offer in offers), why))
    return found


def _reason(left_out: Mapping[str, str], name: str) -> str | None:
    for names, why in left_out.items():
        if any(fnmatchcase(name, pattern) for pattern in names.split(", ")):
            return why
    return None


def _said_by(offers: list[Offer], name: str, today: str) -> str | None:
    """Return what a source itself says against a model."""
    day = ended(offers, name, today)
    if day is not None:
        return f"ended on {day}"
    return next((offer.why_not for offer in offers if offer.why_not), None)


def _under(defaults: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    joined = {**defaults, **model}
    for key, value in defaults.items():
        if isinstance(value, dict) and key in model:
            joined[key] = {**value, **model[key]}
    return joined
