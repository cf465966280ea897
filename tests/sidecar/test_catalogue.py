"""The bundled prices, against sums done by hand from the providers' recorded usage."""

import json
import re
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import signed_prices
from signed_prices import NOW_NS
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import PriceBook, read_document
from spendguard_daemon.settings import load
from spendguard_daemon.usage import Usage


def book(overrides: dict[str, Any] | None = None) -> PriceBook:
    providers = catalogue.merge(catalogue.bundled().models, overrides or {})
    document = read_document(signed_prices.body(providers=providers), "00" * 32)
    return PriceBook(document, catalogue.MOCK_CARDS, self_signed=True)


BOOK = book()
ROOT = json.loads((Path(catalogue.__file__).parent / "data" / "catalogue.json").read_bytes())
ROWS = [(provider, model, row) for provider, rows in ROOT["models"].items() for model, row in rows.items()]
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
    (  # 16x0.60 + 43x10 + 123x2.40 = 9.6 + 430 + 295.2
        "06",
        "gpt-audio-mini-2025-12-15",
        Usage(input_tokens=59, audio_input_tokens=43, output_tokens=123),
        734_800,
    ),
    (  # 330x2.50 + 446x10 + one search at 25,000 = 825 + 4,460 + 25,000
        "13",
        "gpt-4o-2024-08-06",
        Usage(input_tokens=330, output_tokens=446, events={"web_search": 1}),
        30_285_000,
    ),
    (  # 3x4 + 1217x5 + 100x20 = 12 + 6,085 + 2,000
        "17",
        "gpt-5.6-sol",
        Usage(input_tokens=1220, cache_write_input_tokens=1217, output_tokens=100),
        8_097_000,
    ),
    ("19", "text-embedding-3-small", Usage(input_tokens=9), 180),  # 9x0.02 = 0.18
]


@pytest.mark.parametrize(("recording", "model", "usage", "nusd"), RECORDED)
def test_recorded_calls_by_hand(recording: str, model: str, usage: Usage, nusd: int) -> None:
    """The models of the recordings are there, under the names that the answers use, at these prices."""
    cost = BOOK.card("openai", model).price(usage, from_ns=NOW_NS, until_ns=NOW_NS)
    assert cost.total_nusd == nusd


def test_claude_by_hand() -> None:
    """One token of each bucket: haiku-4-5 at 1, 0.10, 1.25, 2 and 5 USD per 1M; a search at 10 per 1,000."""
    usage = Usage(
        input_tokens=4,
        cached_input_tokens=1,
        cache_write_input_tokens=1,
        cache_write_1h_input_tokens=1,
        output_tokens=1,
        events={"web_search": 1},
    )
    cost = BOOK.card("anthropic", "claude-haiku-4-5-20251001").price(usage, from_ns=0, until_ns=0)
    assert cost.total_nusd == 1_000 + 100 + 1_250 + 2_000 + 5_000 + 10_000_000


def test_claude_scaled_by_hand() -> None:
    """opus-5-5, fast and in the US: (4 + 20) x 2 x 1.1 = 52.8 uUSD; the search costs what it costs."""
    usage = Usage(
        input_tokens=1, output_tokens=1, events={"web_search": 1}, modifiers=("geo:us", "speed:fast")
    )
    cost = BOOK.card("anthropic", "claude-opus-5-5").price(usage, from_ns=0, until_ns=0)
    assert cost.total_nusd == 52_800 + 10_000_000


@pytest.mark.parametrize("number", range(1, 42))
def test_every_recorded_model_is_priced(number: int) -> None:
    """All recordings, by the model of the request and that of the answer.

    Only 08 is refused: its model is of another company that speaks OpenAI's protocol.
    """
    path = next(Path(__file__).parents[1].glob(f"recordings/{number:02}-*.json"))
    recorded = json.loads(path.read_bytes())
    endpoint = re.sub(r"^/v1/|^/v1beta/models/.*:|/count_tokens$", "", recorded["request"]["path"])
    endpoint = endpoint.replace("streamG", "g")
    reports = map(json.loads, (path.parent / "expected_usage.jsonl").read_text().splitlines())
    own = [report for report in reports if report["id"] == recorded["id"]]
    asked = json.loads(recorded["request"]["body"]).get("model")
    names = {asked, *(report[key] for report in own for key in ("req_model", "model"))} - {None}
    assert names
    for name in names - {"muse-spark-1.1"}:
        assert endpoint in BOOK.card(recorded["provider"], name).endpoints


def test_what_is_not_priced_is_unknown() -> None:
    """Recording 08 is refused."""
    with pytest.raises(SpendGuardError) as refused:
        BOOK.card("openai", "muse-spark-1.1")
    assert refused.value.code is Code.UNKNOWN_MODEL


@pytest.mark.parametrize(
    ("provider", "model", "start", "below", "above"),
    [
        ("openai", "gpt-6-sol", 272_001, (2_000, 10_000), (4_000, 15_000)),  # costs.md A3
        ("anthropic", "claude-haiku-5-5", 100_001, (100, 500), (500, 2_500)),
        ("anthropic", "claude-sonnet-4-5", 200_001, (3_000, 15_000), (6_000, 22_500)),
        ("gemini", "gemini-2.5-pro", 200_001, (1_250, 10_000), (2_500, 15_000)),
        ("gemini", "gemini-pro-latest", 200_001, (2_000, 12_000), (4_000, 18_000)),
        ("grok", "grok-4.3", 200_000, (1_250, 2_500), (2_500, 5_000)),  # its border belongs to the dearer
        ("grok", "grok-4.7", 200_000, (2_000, 6_000), (4_000, 12_000)),
    ],
)
def test_the_long_context_cliff(
    provider: str, model: str, start: int, below: tuple[int, int], above: tuple[int, int]
) -> None:
    """One token more and the whole call is billed at the upper rates, in nano-USD per token here."""
    card = BOOK.card(provider, model)

    def nusd(tokens: int) -> int:
        usage = Usage(input_tokens=tokens, output_tokens=1000)
        return card.price(usage, from_ns=NOW_NS, until_ns=NOW_NS).total_nusd

    assert nusd(start - 1) == (start - 1) * below[0] + 1000 * below[1]
    assert nusd(start) == start * above[0] + 1000 * above[1]


def test_unasked_cache_writes_are_quoted() -> None:
    """From gpt-5.6 on OpenAI writes its cache unasked, at 1.25 times the input rate."""
    for card in BOOK.cards():
        rates = card.periods[0].tiers[0].rates["default"]
        newer = re.match(r"gpt-(5\.6|6)", card.model) is not None
        assert card.implicit_cache_write == newer
        if newer:
            assert rates["cache_write"] * 4 == rates["input"] * 5
            quote = card.quote(
                input_tokens=1000, choices=1, reach=frozenset(), from_ns=NOW_NS, until_ns=NOW_NS
            )
            assert quote.at(0) == rates["cache_write"]


def test_every_bundled_card_is_plausible() -> None:
    """Reading costs less than sending, writing less than reading back; the window holds the limits."""
    for provider, least, most in (
        ("openai", 40, 60),
        ("anthropic", 20, 30),
        ("gemini", 15, 25),
        ("grok", 5, 15),
    ):
        names = [card.model for card in BOOK.cards() if card.provider == provider]
        assert names == sorted(names)
        assert least <= len(names) <= most
    for card in BOOK.cards():
        for tier in card.periods[-1].tiers:
            for rates in tier.rates.values():
                assert rates["input"] < rates["output"] or "embed" in card.endpoints[0]
                assert rates.get("cache_read", 0) < rates["input"]
                written = rates.get("cache_write", rates["input"])
                assert rates["input"] <= written <= rates.get("cache_write_1h", written)
                assert rates["input"] <= rates.get("input_audio", rates["input"])
        limits = card.limits
        assert limits.output_tokens_max <= limits.input_tokens_max <= limits.context_tokens
        hears = "audio" in card.model or card.endpoints[0] == "generateContent"
        assert (limits.audio_bytes_per_token is not None) == hears


def test_service_tiers_keep_their_order() -> None:
    """Flex is the cheapest and ultrafast the dearest, in every dimension and tier.

    Only what Gemini reads from its cache costs as much under flex.
    """
    order = ("flex", "default", "priority", "ultrafast")
    for card in BOOK.cards():
        for tier in card.periods[0].tiers:
            named = [tier.rates[name] for name in order if name in tier.rates]
            assert set(tier.rates) <= set(order)
            for cheaper, dearer in pairwise(named):
                assert cheaper.keys() == dearer.keys()
                same = {name for name in cheaper if cheaper[name] == dearer[name]}
                assert all(cheaper[name] <= dearer[name] for name in cheaper)
                assert same <= ({"cache_read", "cache_read_audio"} if card.provider == "gemini" else set())


def test_openai_cards() -> None:
    """Which models reason, and whose tokens we can count; images are capped wherever one can be sent."""
    for card in BOOK.cards():
        if card.provider != "openai":
            continue
        assert card.reasoning == bool(re.match(r"o[134]|gpt-[56]", card.model))
        countable = not re.match(r"gpt-6|gpt-audio", card.model)
        assert (card.limits.encoding is not None) == countable
        if card.limits.encoding == "cl100k_base":
            assert re.match(r"gpt-(3\.5|4$|4-)|text-embedding", card.model)
        blind = re.match(r"gpt-3|gpt-4$|text-|o1-mini|o3-mini|.*audio", card.model)
        assert (card.limits.image_tokens_max is None) == bool(blind)


def test_anthropic_cards() -> None:
    """All five buckets at the published ratios: reads at most 0.1, writes 1.25, and 2 for an hour."""
    for card in BOOK.cards():
        if card.provider != "anthropic" or card.model == "claude-2.1":
            continue
        assert card.endpoints == ("messages",)
        assert (card.limits.tools_base_tokens, card.output_tokens_min) == (1024, 1)
        assert card.limits.image_tokens_max in {1_650, 5_050}
        assert card.limits.encoding is None
        for tier in card.periods[0].tiers:
            rates = tier.rates["default"]
            assert rates["cache_read"] * 10 <= rates["input"]
            assert rates["cache_write"] * 4 == rates["input"] * 5
            assert rates["cache_write_1h"] == rates["input"] * 2
            assert set(tier.rates) == {"default"}
        assert card.fees == {"web_search": 10_000_000}
        assert card.modifiers_bp.items() <= {"geo:us": 11_000, "speed:fast": 20_000}.items()


def test_gemini_by_hand() -> None:
    """2.5-flash at 0.30, 0.03, 1 and 2.50 USD per 1M: text, cached text, sound, answer; a grounded prompt."""
    usage = Usage(
        input_tokens=6,
        cached_input_tokens=1,
        audio_input_tokens=2,
        image_input_tokens=1,
        output_tokens=3,
        events={"grounded_request": 1},
    )
    cost = BOOK.card("gemini", "gemini-2.5-flash").price(usage, from_ns=0, until_ns=0)
    assert cost.total_nusd == 3 * 300 + 30 + 2 * 1_000 + 3 * 2_500 + 35_000_000


@pytest.mark.parametrize(
    ("model", "day", "before", "after"),
    [
        ("gemini-flash-latest", "2027-01-01", 750 + 3_750, 1_500 + 7_500),
        ("gemini-4-argon", "2026-12-01", 2_000 + 10_000, 4_000 + 20_000),
        ("gemini-robotics-er-2-preview", "2027-01-01", 1_000 + 5_000, 2_000 + 10_000),
    ],
)
def test_introductory_rates_end(model: str, day: str, before: int, after: int) -> None:
    """One token in and out, in the last nanosecond of the old year and the first of the new one."""
    start = int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) * 10**9
    card = BOOK.card("gemini", model)
    usage = Usage(input_tokens=1, output_tokens=1)
    assert card.price(usage, from_ns=start - 1, until_ns=start - 1).total_nusd == before
    assert card.price(usage, from_ns=start - 1, until_ns=start).total_nusd == after
    assert card.price(usage, from_ns=start, until_ns=start).total_nusd == after


def test_gemini_cards() -> None:
    """Every kind of input has its rate written out, a search is billed by prompt until 2.5, then by query."""
    for card in BOOK.cards():
        if card.provider != "gemini":
            continue
        rates = card.periods[0].tiers[0].rates["default"]
        assert card.limits.context_tokens == card.limits.input_tokens_max + card.limits.output_tokens_max
        if "embed" in card.endpoints[0]:
            assert card.endpoints == ("embedContent", "batchEmbedContents")
            assert (rates["output"], card.limits.output_tokens_max, card.reasoning) == (0, 0, False)
            continue
        assert card.endpoints == ("generateContent", "chat/completions")
        assert card.reasoning
        assert rates["input_image"] == rates["input_video"] == rates["input"]
        assert rates["cache_read_audio"] * rates["input"] == rates["cache_read"] * rates["input_audio"] or (
            card.model == "gemini-3.1-flash-lite"
        )
        older = card.model.startswith("gemini-2")
        assert ("grounded_request" in card.fees, "grounding_query" in card.fees) == (older, not older)
        assert card.limits.image_tokens_max == (6_450 if older else 2_240)


def test_grok_cards() -> None:
    """The border of the long tier is inclusive, all rates double; tools and violations have fees."""
    for card in BOOK.cards():
        if card.provider != "grok":
            continue
        assert card.endpoints == ("chat/completions", "responses")
        below, above = card.periods[0].tiers
        assert above.input_tokens_ge == 200_000
        assert {name: 2 * rate for name, rate in below.rates["default"].items()} == above.rates["default"]
        assert card.reasoning is not card.model.endswith("non-reasoning")
        assert card.limits.image_tokens_max == 1_792
        assert (card.fees["web_search"], card.fees["x_search"]) == (5_000_000, 5_000_000)
        assert (card.fees["file_search"], card.fees["violation"]) == (2_500_000, 50_000_000)


@pytest.mark.parametrize(
    ("cached", "uncached", "output", "events", "ticks"),
    [
        (128, 9, 114, {}, 3_218_500),  # 38: 128x0.20 + 9x1.25 + 114x2.50 = 321.85 uUSD; 1 tick = 0.1 nUSD
        (128, 114, 160, {}, 5_681_000),  # 39
        (128, 161, 171, {}, 6_543_500),  # 40
        (2_048, 3_865, 364, {"web_search": 2}, 161_508_500),  # 41
    ],
)
def test_recorded_grok_to_the_tick(
    cached: int, uncached: int, output: int, events: dict[str, int], ticks: int
) -> None:
    """xAI's own bill of each recording is what the card says."""
    usage = Usage(
        input_tokens=cached + uncached, cached_input_tokens=cached, output_tokens=output, events=events
    )
    cost = BOOK.card("grok", "grok-4.3").price(usage, from_ns=NOW_NS, until_ns=NOW_NS)
    assert cost.total_nusd * 10 == ticks


def test_every_row_says_when_and_where_it_was_checked() -> None:
    """Sources and a day; a row with one source alone says so. None of it gets into the signed document."""
    for provider, model, row in ROWS:
        assert row["sources"] in (["genai-prices", "litellm"], ["genai-prices"], ["litellm"])
        assert len(row["sources"]) == 2 or "alone" in row["note"]
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["checked"])
        assert row["checked"] <= ROOT["checked"] == catalogue.bundled().checked
        assert not {"checked", "sources", "note"} & set(catalogue.bundled().models[provider][model])


CHECKED_NS = int(datetime.fromisoformat(f"{ROOT['checked']}T00:00:00+00:00").timestamp()) * 10**9


@pytest.mark.parametrize(
    ("days", "age", "told"),
    [(-3, 0, False), (0.99, 0, False), (1, 1, False), (45.99, 45, False), (46, 46, True)],
)
def test_a_catalogue_of_more_than_45_days_is_reported(days: float, age: int, told: bool) -> None:
    now_ns = CHECKED_NS + int(days * 86_400) * 10**9
    assert catalogue.age_days(now_ns) == age
    warnings = catalogue.warnings(now_ns)
    assert len(warnings) == told
    assert all(f"{age} days ago, on {ROOT['checked']}" in warning for warning in warnings)


def test_what_is_left_out_is_named_with_its_reason() -> None:
    """No name stands on both lists, and each omission says why."""
    for provider, omissions in ROOT["left_out"].items():
        for names, reason in omissions.items():
            assert len(reason) > 15
            for name in names.split(", "):
                assert BOOK.providers_of(name) == (), f"{provider}:{name} is priced"


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

    def test_half_a_card_is_refused_with_its_path_and_an_example(self) -> None:
        """What is wrong by its name in config.toml, and a whole card that can be pasted there."""
        with pytest.raises(SpendGuardError) as refused:
            book({"openai": {"my-4o": {"endpoints": ["chat/completions"]}}})
        assert refused.value.detail.endswith("prices.overrides.openai.my-4o.limits: missing")
        where, _, example = refused.value.remedy.partition(", such as: ")
        assert where == 'write the whole card under [prices.overrides.openai."my-4o"] in config.toml'
        pasted = load(f'[prices.overrides.openai."my-4o"]\n{example.replace("; ", chr(10))}', {})
        assert book(dict(pasted.price_overrides)).card("openai", "my-4o").limits.context_tokens == 128_000

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
