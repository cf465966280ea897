"""The prices that ship with us: the bundled catalogue, the operator's overrides on it, the mock's constants.

Owns where the local authority's content comes from, and when that is too old. `scripts/build_catalogue.py`
makes `data/catalogue.json` of two sources and of facts found by hand; each row has their names and the day of
its review beside the card, and only the card gets signed. Invariant: nothing here prices a call before it has
gone through the signature and the verifier, but the mock's cards.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from importlib import resources
from typing import cast

from spendguard_daemon.canonical import Json
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.pricing.cards import read_card
from spendguard_daemon.pricing.document import MOCK_PROVIDER
from spendguard_daemon.pricing.ratecard import Period, RateCard, Tier
from spendguard_daemon.pricing.wire_json import Row, invalid, to_ns
from spendguard_daemon.usage import Limits

Models = Mapping[str, Mapping[str, Mapping[str, Json]]]
"""provider -> model -> card, as rows of a schema 2 document."""

REVIEW_KEYS = frozenset({"checked", "sources", "note"})
"""What a catalogue row carries for its reviewers, beside the card."""

NO_OVERRIDES: Mapping[str, object] = {}

STALE_DAYS = 45
"""A catalogue that was compared longer ago is reported: providers change a price every few weeks."""

_DAY_NS = 86_400 * 1_000_000_000
_EXAMPLE = (
    'endpoints = ["chat/completions"]; '
    "limits = { context = 128000, max_input = 128000, max_output = 16384 }; "
    'periods = [{ from = "1970-01-01T00:00:00Z", rates = { default = { input = 200000, output = 800000 } } }]'
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The bundled cards, and the day (ISO 8601) on which they were last compared with their sources."""

    checked: str
    models: Models


@cache
def bundled() -> Catalogue:
    """Read the catalogue of this package. It is part of the program, so it comes by no port."""
    return parse(resources.files(__package__).joinpath("data", "catalogue.json").read_bytes())


def parse(raw: bytes) -> Catalogue:
    """Read a catalogue file of ours, leaving the reviewers' notes out of the cards."""
    root = json.loads(raw)
    models = {
        provider: {
            model: {key: value for key, value in row.items() if key not in REVIEW_KEYS}
            for model, row in rows.items()
        }
        for provider, rows in root["models"].items()
    }
    return Catalogue(root["checked"], models)


def age_days(now_ns: int) -> int:
    """Return how many whole days ago the bundled catalogue was compared; 0 where the clock is before that."""
    checked = datetime.combine(date.fromisoformat(bundled().checked), time(), UTC)
    return max(0, now_ns - to_ns(checked)) // _DAY_NS


def warnings(now_ns: int) -> list[str]:
    """Return what an operator should know of the bundled catalogue's age; empty while it is fresh."""
    age = age_days(now_ns)
    if age <= STALE_DAYS:
        return []
    told = (
        f"the bundled price catalogue was compared {age} days ago, on {bundled().checked}: calls may hold too"
        " little where a provider has raised a price since (update spendguard, or use [prices.overrides])"
    )
    return [told]


def merge(models: Models, overrides: Mapping[str, object] = NO_OVERRIDES) -> dict[str, Json]:
    """Return the `providers` of a document: the catalogue, with the operator's cards added or in its place.

    `overrides[provider][model]` is a whole card: of half a card nobody could say whose rates the rest are. A
    name that an override takes is taken from the aliases of the catalogue's cards. Raises PRICING_INVALID,
    naming the path in config.toml, with an example.
    """
    merged = {
        provider: {model: dict(card) for model, card in rows.items()} for provider, rows in models.items()
    }
    for provider, rows in overrides.items():
        cards = merged.setdefault(provider, {})
        for model, card in _table(rows, provider).items():
            _release_name(cards, model)
            cards[model] = _card(provider, model, card)
    return cast("dict[str, Json]", {provider: {"models": cards} for provider, cards in merged.items()})


def _release_name(cards: Mapping[str, dict[str, Json]], name: str) -> None:
    for card in cards.values():
        aliases = card.get("aliases")
        if isinstance(aliases, list) and name in aliases:
            card["aliases"] = [alias for alias in aliases if alias != name]


def _card(provider: str, model: str, value: object) -> dict[str, Json]:
    """Return an operator's card once it has been read as strictly as one of a document."""
    card = _table(value, f"{provider}.{model}")
    try:
        read_card(provider, model, Row(card, f"prices.overrides.{provider}.{model}"))
    except SpendGuardError as error:
        where = f'[prices.overrides.{provider}."{model}"] in config.toml'
        remedy = f"write the whole card under {where}, such as: {_EXAMPLE}"
        raise SpendGuardError(error.code, error.detail, remedy=remedy) from None
    return card


def _table(value: object, where: str) -> dict[str, Json]:
    if not isinstance(value, Mapping):
        raise invalid(f"prices.overrides.{where}: expected a table")
    return dict(value)


def _mock(model: str, dollars_in: int, dollars_out: int) -> RateCard:
    """Return a card in whole dollars per 1M tokens, so that a demo's sums can be followed by eye."""
    micros = 1_000_000
    rates = {
        "input": dollars_in * micros,
        "cache_read": dollars_in * micros // 10,
        "output": dollars_out * micros,
    }
    return RateCard(
        provider=MOCK_PROVIDER,
        model=model,
        aliases=(),
        endpoints=("chat/completions",),
        limits=Limits(input_tokens_max=128_000, context_tokens=128_000, output_tokens_max=16_384),
        output_tokens_min=1,
        reasoning=False,
        implicit_cache_write=False,
        periods=(Period(0, (Tier(0, {"default": rates}),)),),
    )


MOCK_CARDS = (_mock("mock-small", 1, 5), _mock("mock-large", 10, 50))
"""1 USD and 5 USD per 1M tokens in and out for mock-small, ten times that for mock-large; none is real."""
