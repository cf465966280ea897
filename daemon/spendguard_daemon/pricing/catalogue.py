"""The prices that ship with us: the bundled catalogue, the operator's overrides on it, the mock's constants.

Owns where the local authority's content comes from. Every card in `data/catalogue.json` was compared by hand
in two sources and carries their names and the date; only the card itself gets signed. Invariant: nothing here
is used to price a call before it has gone through the signature and the verifier, but the mock's cards.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import cast

from spendguard_daemon.canonical import Json
from spendguard_daemon.pricing.document import MOCK_PROVIDER
from spendguard_daemon.pricing.ratecard import Period, RateCard, Tier
from spendguard_daemon.pricing.wire_json import invalid
from spendguard_daemon.usage import Limits

Models = Mapping[str, Mapping[str, Mapping[str, Json]]]
"""provider -> model -> card, as rows of a schema 2 document."""

REVIEW_KEYS = frozenset({"checked", "sources", "note"})
"""What a catalogue row carries for its reviewers, beside the card."""

NO_OVERRIDES: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The bundled cards, and the day (ISO 8601) on which they were last compared with their sources."""

    checked: str
    models: Models


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


def merge(models: Models, overrides: Mapping[str, object] = NO_OVERRIDES) -> dict[str, Json]:
    """Return the `providers` of a document: the catalogue, with the operator's cards added or in its place.

    `overrides[provider][model]` is a whole card. A name that an override takes is taken from the aliases of
    the catalogue's cards. Raises PRICING_INVALID where the tables are not of that form.
    """
    merged = {
        provider: {model: dict(card) for model, card in rows.items()} for provider, rows in models.items()
    }
    for provider, rows in overrides.items():
        cards = merged.setdefault(provider, {})
        for model, card in _table(rows, provider).items():
            _release_name(cards, model)
            cards[model] = _table(card, f"{provider}.{model}")
    return cast("dict[str, Json]", {provider: {"models": cards} for provider, cards in merged.items()})


def _release_name(cards: Mapping[str, dict[str, Json]], name: str) -> None:
    for card in cards.values():
        aliases = card.get("aliases")
        if isinstance(aliases, list) and name in aliases:
            card["aliases"] = [alias for alias in aliases if alias != name]


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
