"""The bundled prices, against sums done by hand from the providers' recorded usage."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import signed_prices
from signed_prices import NOW_NS
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import PriceBook, read_document
from spendguard_daemon.usage import Usage


def book(overrides: dict[str, Any] | None = None) -> PriceBook:
    providers = catalogue.merge(catalogue.bundled().models, overrides or {})
    document = read_document(signed_prices.body(providers=providers), "00" * 32)
    return PriceBook(document, catalogue.MOCK_CARDS, self_signed=True)


BOOK = book()
RECORDED = [
    # recording, model as answered, usage, nano-USD by hand: tokens x USD per 1M, in uUSD
    ("01", "gpt-4o-mini", Usage(input_tokens=10, output_tokens=12), 8_700),  # 10x0.15 + 12x0.60 = 8.7
    ("02", "gpt-3.5-turbo-0125", Usage(input_tokens=19, output_tokens=1), 11_000),  # 9.5 + 1.5
    ("03", "gpt-3.5-turbo", Usage(input_tokens=85, output_tokens=38), 99_500),  # 42.5 + 57
    (  # 120x2.00 + 1024x0.50 + 2x8.00 = 240 + 512 + 16
        "04",
        "gpt-4.1-2025-04-14",
        Usage(input_tokens=1144, cached_input_tokens=1024, output_tokens=2),
        768_000,
    ),
    (  # 147x0.25 + 85x2.00 = 36.75 + 170, reasoning included
        "05",
        "gpt-5-mini-2025-08-07",
        Usage(input_tokens=147, output_tokens=85, reasoning_output_tokens=64),
        206_750,
    ),
]


@pytest.mark.parametrize(("recording", "model", "usage", "nusd"), RECORDED)
def test_recorded_calls_by_hand(recording: str, model: str, usage: Usage, nusd: int) -> None:
    """The models of the recordings are there, under the names that the answers use, at these prices."""
    cost = BOOK.card("openai", model).price(usage, from_ns=NOW_NS, until_ns=NOW_NS)
    assert cost.total_nusd == nusd


@pytest.mark.parametrize("model", ["gpt-4o", "o1-mini", "gpt-4o-mini-2024-07-18", "gpt-4.1"])
def test_the_other_recorded_models_are_priced(model: str) -> None:
    """They are answered with 400, 401 or without usage, but have to be let through."""
    assert "chat/completions" in BOOK.card("openai", model).endpoints


@pytest.mark.parametrize("model", ["muse-spark-1.1", "gpt-audio-mini", "gpt-audio-mini-2025-12-15"])
def test_what_is_not_priced_is_unknown(model: str) -> None:
    """Recordings 06 and 08 are refused."""
    with pytest.raises(SpendGuardError) as refused:
        BOOK.card("openai", model)
    assert refused.value.code is Code.UNKNOWN_MODEL


def test_the_long_context_cliff() -> None:
    """gpt-6-sol above 272,000 tokens: 4 USD in, 15 USD out, for the whole call (costs.md A3)."""
    card = BOOK.card("openai", "gpt-6-sol")

    def nusd(tokens: int) -> int:
        usage = Usage(input_tokens=tokens, output_tokens=1000)
        return card.price(usage, from_ns=NOW_NS, until_ns=NOW_NS).total_nusd

    assert nusd(272_000) == 272_000 * 2_000 + 1000 * 10_000
    assert nusd(272_001) == 272_001 * 4_000 + 1000 * 15_000


def test_unasked_cache_writes_are_quoted() -> None:
    """From gpt-5.6 on the provider writes its cache unasked, at 1.25 times the input rate."""
    for card in BOOK.cards():
        rates = card.periods[0].tiers[0].rates["default"]
        newer = re.match(r"gpt-(5\.6|6)", card.model) is not None
        assert card.implicit_cache_write == newer == ("cache_write" in rates)
        if newer:
            assert rates["cache_write"] * 4 == rates["input"] * 5
            quote = card.quote(
                input_tokens=1000, choices=1, reach=frozenset(), from_ns=NOW_NS, until_ns=NOW_NS
            )
            assert quote.at(0) == rates["cache_write"]


def test_every_bundled_card_is_plausible() -> None:
    """Reading costs less than sending, writing less than reading back; the window holds the limits."""
    names = [card.model for card in BOOK.cards() if card.provider != "mock"]
    assert names == sorted(names)
    assert 25 <= len(names) <= 40
    for card in BOOK.cards():
        for tier in card.periods[-1].tiers:
            rates = tier.rates["default"]
            assert rates["input"] < rates["output"]
            assert rates.get("cache_read", 0) < rates["input"] <= rates.get("cache_write", rates["input"])
        limits = card.limits
        assert limits.output_tokens_max <= limits.input_tokens_max <= limits.context_tokens
        assert card.reasoning == bool(re.match(r"o[134]|gpt-[56]", card.model))


def test_every_row_says_when_and_where_it_was_checked() -> None:
    """Two sources and a day; none of it gets into the signed document."""
    raw = json.loads((Path(catalogue.__file__).parent / "data" / "catalogue.json").read_bytes())
    for row in raw["models"]["openai"].values():
        assert row["sources"] == ["genai-prices", "litellm"]
        assert re.fullmatch(r"2026-\d\d-\d\d", row["checked"])
        assert row["checked"] <= raw["checked"] == catalogue.bundled().checked
    for row in catalogue.bundled().models["openai"].values():
        assert not {"checked", "sources", "note"} & set(row)


class TestOverrides:
    CARD = signed_prices.card()

    def test_a_new_model_and_a_new_provider(self) -> None:
        """Whole cards, beside the bundled ones."""
        prices = book({"openai": {"mine": self.CARD}, "grok": {"theirs": self.CARD}})
        assert prices.card("openai", "mine").limits.context_tokens == 1000
        assert prices.card("grok", "theirs").provider == "grok"
        assert prices.card("openai", "gpt-4o")

    def test_a_card_in_place_of_a_bundled_one(self) -> None:
        """All of it, aliases too: nothing of the old card shines through."""
        prices = book({"openai": {"gpt-4o": self.CARD}})
        assert prices.card("openai", "gpt-4o").limits.context_tokens == 1000
        assert prices.providers_of("gpt-4o-2024-08-06") == ()

    def test_a_card_for_what_was_an_alias(self) -> None:
        """The name moves, the other names stay."""
        prices = book({"openai": {"gpt-4o-2024-08-06": self.CARD}})
        assert prices.card("openai", "gpt-4o-2024-08-06").model == "gpt-4o-2024-08-06"
        assert prices.card("openai", "gpt-4o-2024-11-20").model == "gpt-4o"

    @pytest.mark.parametrize(
        "overrides", [{"openai": 5}, {"openai": {"gpt-4o": 2.5}}, {"openai": [{"gpt-4o": {}}]}]
    )
    def test_something_else_than_tables(self, overrides: dict[str, Any]) -> None:
        """Named by its path in config.toml."""
        with pytest.raises(SpendGuardError, match=r"prices\.overrides\.openai") as refused:
            book(overrides)
        assert refused.value.code is Code.PRICING_INVALID

    @pytest.mark.parametrize("overrides", [{"mock": {"mock-small": CARD}}, {"openai": {"m": {"input": 1}}}])
    def test_overrides_are_read_as_strictly_as_all(self, overrides: dict[str, Any]) -> None:
        """The mock's constants cannot be overridden, and half a card is none."""
        with pytest.raises(SpendGuardError) as refused:
            book(overrides)
        assert refused.value.code is Code.PRICING_INVALID

    def test_merging_leaves_the_catalogue_alone(self) -> None:
        """The same catalogue merges twice to the same prices."""
        models = catalogue.bundled().models
        before = catalogue.merge(models)
        catalogue.merge(models, {"openai": {"gpt-4o-2024-08-06": self.CARD}})
        assert catalogue.merge(models) == before


def test_the_mock_costs_whole_dollars() -> None:
    """A million tokens in and out: 1 + 5 USD for the small one, ten times that for the large one."""
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    costs = [card.price(usage, from_ns=0, until_ns=0).total_nusd for card in catalogue.MOCK_CARDS]
    assert costs == [6 * 10**9, 60 * 10**9]
    assert [card.model for card in catalogue.MOCK_CARDS] == ["mock-small", "mock-large"]
