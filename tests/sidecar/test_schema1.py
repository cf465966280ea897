"""Schema 1, the public contract: read exactly, priced by our cards, refused where it is not understood."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import schema1_prices
from schema1_prices import KEY, document, of_row, retold
from signed_prices import NOW_NS
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import catalogue, trust
from spendguard_daemon.pricing.document import PriceBook, PriceDocument
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.pricing.schema1_numbers import read_float
from spendguard_daemon.pricing.trust import BOTH_SCHEMAS, HighWater, PinnedKey, Trust

SECOND_NS = 10**9
EXAMPLE = Path(__file__).parents[1] / "vectors" / "pricing" / "schema1-example.json"


def check(raw: bytes, **changes: Any) -> PriceDocument:
    given: dict[str, Any] = {
        "pinned": [KEY],
        "now_ns": NOW_NS,
        "high_water": None,
        "schemas": BOTH_SCHEMAS,
    }
    return trust.verify(raw, **(given | changes))


def refusal(raw: bytes, **changes: Any) -> Code:
    with pytest.raises(SpendGuardError) as refused:
        check(raw, **changes)
    return refused.value.code


def card(raw: bytes, provider: str = "openai", model: str = "gpt-4o-mini") -> RateCard:
    return PriceBook(check(raw), (), self_signed=False).card(provider, model)


def rates(found: RateCard, tier: int = 0) -> dict[str, int]:
    return dict(found.periods[0].tiers[tier].rates["default"])


class TestExample:
    """The document of an independent program (pricing/README.md)."""

    RAW = EXAMPLE.read_bytes()

    def test_within_its_times(self) -> None:
        """Five minutes, and thirty seconds for clocks that differ."""
        found = check(self.RAW)
        assert (found.sequence, found.schema, found.key_id) == (NOW_NS // SECOND_NS, 1, KEY.name)
        check(self.RAW, now_ns=NOW_NS + 330 * SECOND_NS)
        assert refusal(self.RAW, now_ns=NOW_NS + 330 * SECOND_NS + 1) is Code.PRICING_EXPIRED
        assert refusal(self.RAW, now_ns=NOW_NS - 300 * SECOND_NS - 1) is Code.PRICING_EXPIRED

    def test_what_it_says(self) -> None:
        """Cents per million are ten thousand micro-USD; the cliff is a tier, its cache rates scaled too."""
        found = card(self.RAW, "anthropic", "claude-opus-4-6")
        assert rates(found) == {
            "input": 5_000_000,
            "output": 25_000_000,
            "cache_write": 6_250_000,
            "cache_read": 500_000,
        }
        assert found.periods[0].tiers[1].input_tokens_ge == 200_001
        assert rates(found, 1) == {
            "input": 10_000_000,
            "output": 37_500_000,
            "cache_write": 12_500_000,
            "cache_read": 1_000_000,
        }
        assert card(self.RAW, "gemini", "gemini-3-flash-preview").fees == {"grounding_query": 14_000_000}

    def test_a_model_without_limits(self) -> None:
        """grok-3 is in no catalogue of ours: its calls are refused, and the refusal says why."""
        found = check(self.RAW)
        assert found.warnings == ("grok:grok-3: no limits are known here",)
        with pytest.raises(SpendGuardError) as refused:
            PriceBook(found, (), self_signed=False).card("grok", "grok-3")
        assert refused.value.code is Code.UNKNOWN_MODEL
        assert refused.value.detail.startswith("Unknown model for pricing: grok:grok-3, ")
        assert "limits are not known" in refused.value.detail

    def test_one_flipped_bit_anywhere(self) -> None:
        """Where a flip leaves the meaning as it was (a space for another), so it does the prices."""
        before = check(self.RAW)
        for index in range(len(self.RAW)):
            for bit in range(8):
                flipped = bytearray(self.RAW)
                flipped[index] ^= 1 << bit
                try:
                    after = check(bytes(flipped))
                except SpendGuardError as refused:
                    assert refused.code in (Code.PRICING_INVALID, Code.PRICING_SIGNATURE)
                else:
                    assert (after.cards, after.sequence) == (before.cards, before.sequence)

    def test_not_unless_allowed(self) -> None:
        """The local source takes its own schema alone; a remote one may be told to."""
        assert refusal(self.RAW, schemas=trust.OURS_ALONE) is Code.PRICING_INVALID


class TestKeys:
    def test_any_pinned_key(self) -> None:
        """The document names no key, so each is tried; its name is what the mark is kept under."""
        named = PinnedKey("prices-2026", KEY.public_key)
        other = PinnedKey("other", bytes(32))
        assert check(document(), pinned=[other, named]).key_id == "prices-2026"

    def test_revoked_unknown_and_late_keys(self) -> None:
        """Nobody whom the operator does not trust now."""
        for key in (
            PinnedKey("a", KEY.public_key, revoked=True),
            PinnedKey("a", KEY.public_key, NOW_NS - 1),
            PinnedKey("a", bytes(range(32))),
        ):
            assert refusal(document(), pinned=[key]) is Code.PRICING_SIGNATURE
        assert refusal(document(), pinned=[]) is Code.PRICING_SIGNATURE

    def test_one_signature_is_not_two(self) -> None:
        """Where two must sign, a schema with room for one is refused."""
        keys = (KEY, PinnedKey("other", bytes(32)))
        assert refusal(document(), pinned=Trust(keys, threshold=2)) is Code.PRICING_SIGNATURE

    def test_rollback_by_the_second(self) -> None:
        """`generated_at` counts as the sequence number."""
        raw = document()
        found = check(raw)
        check(raw, high_water=HighWater(found.sequence, found.document_sha256))
        for mark in (HighWater(found.sequence, "0" * 64), HighWater(found.sequence + 1, "0" * 64)):
            assert refusal(raw, high_water=mark) is Code.PRICING_ROLLBACK


class TestForm:
    @pytest.mark.parametrize("version", ["1 ", 1, True, "2", None, ["1"], 1.0])
    def test_schema_version(self, version: object) -> None:
        """Exactly "1"."""
        assert refusal(document(schema_version=version)) is Code.PRICING_INVALID

    @pytest.mark.parametrize(
        "engine",
        [
            {},
            {"min_version": "0.1.0"},
            {"min_version": "0.1.1", "max_version": "9.9.9"},
            {"min_version": "0.0.1", "max_version": "0.0.9"},
            {"min_version": "0.2.0", "max_version": "0.1.0"},
            {"min_version": "0.1", "max_version": "9.9.9"},
            {"min_version": "00.1.0", "max_version": "9.9.9"},
            {"min_version": "0.1.0", "max_version": "9.9.9-rc1"},
            {"min_version": "0.1.0", "max_version": 9},
            {"min_version": "0.1.0", "max_version": "9.9.9", "more": 1},
            {"min_version": "0.\u0661.0", "max_version": "9.9.9"},
            "0.1.0",
        ],
    )
    def test_engine_range(self, engine: object) -> None:
        """Whole numbers compare as such; we are 0.1.0."""
        assert refusal(document(engine=engine)) is Code.PRICING_INVALID

    def test_engine_bounds_are_inclusive_and_numbers(self) -> None:
        """0.10.0 is above 0.9.0, and the name may be left out."""
        check(document(engine={"min_version": "0.1.0", "max_version": "0.1.0"}))
        assert refusal(document(engine={"min_version": "0.10.0", "max_version": "0.9.0"})) is (
            Code.PRICING_INVALID
        )

    @pytest.mark.parametrize(
        "times",
        [
            {"generated_at": "2026-11-23T12:00:00"},
            {"generated_at": "2026-11-23"},
            {"generated_at": 1795435200},
            {"generated_at": "1969-12-31T00:00:00Z"},
            {"generated_at": "2026-02-30T00:00:00Z"},
            {"expires_at": "2026-11-23T12:00:00+00:00"},
            {"expires_at": "2099-01-01T00:00:00Z"},
            {"expires_at": "2026-11-30T12:00:00.000001Z"},
        ],
    )
    def test_times(self, times: dict[str, Any]) -> None:
        """With zone, real, in order, and a week apart at most."""
        assert refusal(document(**times)) is Code.PRICING_INVALID

    def test_other_forms_of_time(self) -> None:
        """Z, another zone, parts of a second."""
        for text in ("2026-11-23T12:00:00Z", "2026-11-23T13:00:00+01:00", "2026-11-23T12:00:00.999999Z"):
            assert check(document(generated_at=text)).sequence == NOW_NS // SECOND_NS

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('"rates"', '"rates": {}, "rates"'),
            (": 30,", ": NaN,"),
            (": 30,", ": Infinity,"),
            (": 30,", ": 1e400,"),
            (": 30,", ": -30,"),
            (": 30,", ": -30.5,"),
            (": 30,", ": -0,"),
            (": 30,", ": -0.0,"),
            (": 30,", ": 9007199254740993,"),
            (": 30,", ": " + "3" * 4301 + ","),
            (": 30,", ": 3." + "0" * 4301 + ","),
            (": 30,", ": " + "[" * 100_000 + "]" * 100_000 + ","),
            (": 30,", ': "30",'),
            (": 30,", ": true,"),
            (": 30,", ": null,"),
            (": 30,", ": 1000000000000,"),
            (": 30,", ": 0,"),
            (": 120\n", ": 0.0\n"),
            ('"gpt-4o-mini"', '"gpt-4\\u00e9"'),
            ('"gpt-4o-mini"', '"gpt-4\\ud800"'),
            ('"spendguard-engine"', '"\\ud800"'),
            ('"openai"', '"mock"'),
            ('"openai"', '"Open AI"'),
            ('"engine"', '"signed_by": "me", "engine"'),
            (": 30,", ': 30, "audio_cents_per_1m": 1,'),
        ],
    )
    def test_syntax(self, old: str, new: str) -> None:
        """Signed by whoever has the key, and refused all the same."""
        assert refusal(retold(old, new)) is Code.PRICING_INVALID

    @pytest.mark.parametrize("frame", [b"\xef\xbb\xbf%s", b"%s{}", b"[%s]", b"", b"%s\xff"])
    def test_something_around_it(self, frame: bytes) -> None:
        """BOM, trailing bytes, an array, nothing."""
        raw = frame % document() if b"%s" in frame else frame
        assert refusal(raw) is Code.PRICING_INVALID

    def test_an_escape_or_a_space_changes_nothing(self) -> None:
        """The signature is over the meaning; the hash over the bytes."""
        plain, other = document(), retold('"gpt-4o-mini"', '"gpt\\u002d4o-mini"')
        assert check(plain).cards == check(other).cards
        assert check(plain).document_sha256 != check(other).document_sha256

    @pytest.mark.parametrize("rows", [{}, {"openai": {}}, [], {"openai": {"gpt-4o-mini": []}}])
    def test_no_rates(self, rows: object) -> None:
        """A document that prices nothing is none."""
        assert refusal(document(rates=rows)) is Code.PRICING_INVALID

    def test_a_bad_row_among_many(self) -> None:
        """Of a model that we do not even know."""
        models: dict[str, Any] = {f"m{n}": schema1_prices.row() for n in range(100)}
        models["gpt-4o-mini"] = schema1_prices.row()
        check(document(rates={"openai": models}))
        models["m57"]["cached_input_cents_per_1m"] = -1
        assert refusal(document(rates={"openai": models})) is Code.PRICING_INVALID


class TestNumbers:
    @pytest.mark.parametrize(
        ("cents", "micros"),
        [(30, 300_000), (30.0, 300_000), (0.1, 1_000), (1e2, 1_000_000), (7.55555, 75_556), (0.00001, 1)],
    )
    def test_rounded_up(self, cents: float, micros: int) -> None:
        """A tenth of a cent is a thousand micro-USD, not a little more; what is no whole one counts up."""
        assert rates(card(of_row(input_cents_per_1m=cents)))["input"] == micros

    def test_the_text_that_is_signed_counts(self) -> None:
        """Two texts of one float are one signature, so they have to be one price."""
        assert read_float("18.0000000000000001").fraction == 18
        assert read_float("0.1").fraction == Fraction(1, 10)

    def test_multiplied_exactly_and_rounded_once(self) -> None:
        """3 x 1.1 is 3.3; floats have it above."""
        raw = of_row(
            input_cents_per_1m=0.0003,
            context_cliff_threshold_tokens=1000,
            context_cliff_input_multiplier=1.1,
        )
        assert rates(card(raw), 1)["input"] == 4
        raw = of_row(
            input_cents_per_1m=0.00015,
            context_cliff_threshold_tokens=1000,
            context_cliff_input_multiplier=2,
        )
        assert (rates(card(raw))["input"], rates(card(raw), 1)["input"]) == (2, 3)


class TestNames:
    def test_dimensions(self) -> None:
        """Of two names for one thing the dearer counts."""
        raw = of_row(
            cached_input_cents_per_1m=3,
            cache_read_input_cents_per_1m=4,
            uncached_input_cents_per_1m=31,
            cache_write_input_cents_per_1m=40,
            reasoning_output_cents_per_1m=130,
        )
        assert rates(card(raw)) == {
            "input": 310_000,
            "output": 1_200_000,
            "cache_read": 40_000,
            "cache_write": 400_000,
            "reasoning_output": 1_300_000,
        }

    def test_fees(self) -> None:
        """Per call, and per thousand queries."""
        raw = of_row(web_search_cents_per_call=1, file_search_cents_per_call=0.25)
        assert card(raw).fees == {"web_search": 10_000_000, "file_search": 2_500_000}

    def test_grounding_by_request_or_by_search(self) -> None:
        """As Google bills the model."""
        asked = {"grounding_cents_per_1k_queries": 3500}
        raw = document(rates={"gemini": {"gemini-2.5-flash": schema1_prices.row(**asked)}})
        assert card(raw, "gemini", "gemini-2.5-flash").fees == {"grounded_request": 35_000_000}

    def test_limits_from_the_bundled_card_of_that_alias(self) -> None:
        """And none of its prices, tiers, fees, modifiers or other names."""
        raw = document(rates={"openai": {"gpt-4o-mini-2024-07-18": schema1_prices.row()}})
        found = card(raw, "openai", "gpt-4o-mini-2024-07-18")
        known = PriceBook(check(document()), (), self_signed=False).card("openai", "gpt-4o-mini")
        assert found.limits == known.limits
        assert found.limits.image_tokens_max == 48_169
        assert (found.aliases, found.fees, found.modifiers_bp) == ((), {}, {})
        assert set(found.periods[0].tiers[0].rates) == {"default"}

    def test_grok_begins_at_the_threshold(self) -> None:
        """xAI bills 200,000 tokens at the higher rate already; the others begin above."""
        cliff = {"context_cliff_threshold_tokens": 200_000, "context_cliff_input_multiplier": 2}
        for provider, model, start in (("grok", "grok-4.3", 200_000), ("openai", "gpt-4o-mini", 200_001)):
            raw = document(rates={provider: {model: schema1_prices.row(**cliff)}})
            assert card(raw, provider, model).periods[0].tiers[1].input_tokens_ge == start

    @pytest.mark.parametrize(
        "cliff",
        [
            {"context_cliff_input_multiplier": 2},
            {"context_cliff_threshold_tokens": 0, "context_cliff_input_multiplier": 2},
            {"context_cliff_threshold_tokens": 1.5, "context_cliff_input_multiplier": 2},
            {"context_cliff_threshold_tokens": 1000, "context_cliff_input_multiplier": 0},
            {"context_cliff_threshold_tokens": 1000, "context_cliff_input_multiplier": 101},
            {
                "context_cliff_threshold_tokens": 1000,
                "context_cliff_input_multiplier": 100,
                "input_cents_per_1m": 900_000,
            },
        ],
    )
    def test_a_cliff_that_is_none(self, cliff: dict[str, Any]) -> None:
        """Each part alone, zero, or beyond what is plausible."""
        assert refusal(of_row(**cliff)) is Code.PRICING_INVALID

    def test_what_a_model_writes_to_its_cache_unasked_needs_a_rate(self) -> None:
        """gpt-5.6 does; a row without that rate cannot bound a call."""
        raw = document(rates={"openai": {"gpt-5.6": schema1_prices.row()}})
        with pytest.raises(SpendGuardError) as refused:
            card(raw, "openai", "gpt-5.6").quote(
                input_tokens=1, choices=1, reach=frozenset(), from_ns=NOW_NS, until_ns=NOW_NS
            )
        assert refused.value.code is Code.UNPRICED_DIMENSION

    def test_embeddings_cost_nothing_by_their_length(self) -> None:
        """Only they may say 0 for output."""
        free = schema1_prices.row(output_cents_per_1m=0)
        card(document(rates={"openai": {"text-embedding-3-small": free}}), "openai", "text-embedding-3-small")
        assert refusal(of_row(output_cents_per_1m=0)) is Code.PRICING_INVALID

    def test_every_bundled_model_can_be_priced(self) -> None:
        """No card of ours is in the way of a row."""
        models = {
            provider: {model: schema1_prices.row() for model in rows}
            for provider, rows in catalogue.bundled().models.items()
        }
        assert check(document(rates=models)).without_limits == frozenset()


def test_an_example_is_a_document_of_its_own_readme() -> None:
    """The members that design 7 lists, and no other."""
    assert set(json.loads(EXAMPLE.read_bytes())) == {*schema1_prices.body(), "signature"}
