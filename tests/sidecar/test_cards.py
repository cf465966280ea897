"""Rate cards on the wire: read in full, or refused by name."""

from typing import Any

import pytest

import signed_prices
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.cards import read_card, warnings_of
from spendguard_daemon.pricing.ratecard import Period, RateCard, Tier
from spendguard_daemon.pricing.wire_json import Row
from spendguard_daemon.usage import Limits

GOOD = {"input": 1_000_000, "output": 5_000_000}


def read(**changes: Any) -> RateCard:
    return read_card("openai", "small", Row(signed_prices.card(**changes), "card"))


def rated(rates: object, **more: Any) -> dict[str, Any]:
    """Changes that put these default rates into the one period."""
    return {"periods": [{"from": "1970-01-01T00:00:00Z", "rates": {"default": rates}}], **more}


def tiered(*tiers: dict[str, Any]) -> dict[str, Any]:
    return {"periods": [{"from": "1970-01-01T00:00:00Z", "rates": {"default": GOOD}, "tiers": list(tiers)}]}


def test_a_full_card() -> None:
    """Every key there is."""
    card = read(
        aliases=["small-1", "small-2"],
        endpoints=["chat/completions", "responses"],
        limits={
            "context": 1000,
            "max_input": 900,
            "max_output": 100,
            "min_output": 16,
            "image_tokens": 765,
            "audio_bytes_per_token": 50,
        },
        tok={"enc": "o200k_base", "per_request": 1, "per_message": 2, "per_tool": 3, "tools_base": 4},
        reasoning=True,
        implicit_cache_write=True,
        periods=[
            {
                "from": "2026-01-01T00:00:00Z",
                "rates": {"default": GOOD | {"cache_write": 7}, "flex": GOOD | {"cache_write": 3}},
                "tiers": [
                    {
                        "input_tokens_ge": 201,
                        "rates": {"default": GOOD | {"cache_write": 9}, "flex": GOOD | {"cache_write": 4}},
                    }
                ],
            },
            {"from": "2027-01-01T00:00:00Z", "rates": {"default": GOOD | {"cache_write": 8}}},
        ],
        fees={"web_search": 10_000_000},
        modifiers_bp={"geo:us": 11_000},
        storage_cache_mtok_hour=4_500_000,
    )
    assert card == RateCard(
        provider="openai",
        model="small",
        aliases=("small-1", "small-2"),
        endpoints=("chat/completions", "responses"),
        limits=Limits(900, 1000, 100, 1, 2, 3, 4, 765, 50, "o200k_base"),
        output_tokens_min=16,
        reasoning=True,
        implicit_cache_write=True,
        periods=(
            Period(
                1_767_225_600 * 10**9,
                (
                    Tier(0, {"default": GOOD | {"cache_write": 7}, "flex": GOOD | {"cache_write": 3}}),
                    Tier(201, {"default": GOOD | {"cache_write": 9}, "flex": GOOD | {"cache_write": 4}}),
                ),
            ),
            Period(1_798_761_600 * 10**9, (Tier(0, {"default": GOOD | {"cache_write": 8}}),)),
        ),
        fees={"web_search": 10_000_000},
        modifiers_bp={"geo:us": 11_000},
        storage_cache_mtok_hour=4_500_000,
    )


def test_the_smallest_card() -> None:
    """Framing and the least output have defaults; nothing that costs money has."""
    card = read()
    assert card.limits == Limits(900, 1000, 100)
    assert (card.output_tokens_min, card.fees, card.modifiers_bp, card.aliases) == (1, {}, {}, ())
    limits = card.limits
    assert (limits.image_tokens_max, limits.audio_bytes_per_token, limits.encoding) == (None, None, None)


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
def test_a_tokenizer_alone_leaves_the_framing_as_it_is(encoding: str) -> None:
    """`tok` may hold any part of what it can hold."""
    assert read(tok={"enc": encoding}).limits == Limits(900, 1000, 100, encoding=encoding)


def limited(**more: Any) -> dict[str, Any]:
    return {"limits": {"context": 1000, "max_input": 900, "max_output": 100} | more}


BAD: dict[str, dict[str, Any]] = {
    "negative rate": rated(GOOD | {"output": -1}),
    "negative optional rate": rated(GOOD | {"cache_read": -1}),
    "null rate": rated(GOOD | {"cache_read": None}),
    "rate as text": rated(GOOD | {"cache_read": "5"}),
    "rate as a boolean": rated(GOOD | {"cache_read": True}),
    "rate beyond all sense": rated(GOOD | {"cache_read": 10**12}),
    "no input rate": rated({"output": 1}),
    "no output rate": rated({"input": 1}),
    "output for nothing": rated(GOOD | {"output": 0}),
    "input for nothing": rated(GOOD | {"input": 0}),
    "all for nothing": rated({"input": 0, "output": 0}),
    "unknown dimension": rated(GOOD | {"cache_writ": 1}),
    "rates are no object": rated(5),
    "no default service tier": {"periods": [{"from": "1970-01-01T00:00:00Z", "rates": {"flex": GOOD}}]},
    "service tier with capitals": {
        "periods": [{"from": "1970-01-01T00:00:00Z", "rates": {"default": GOOD, "Flex": GOOD}}]
    },
    "no periods": {"periods": []},
    "periods are no array": {"periods": {}},
    "period without a start": {"periods": [{"rates": {"default": GOOD}}]},
    "period without rates": {"periods": [{"from": "1970-01-01T00:00:00Z"}]},
    "period with more": {"periods": [{"from": "1970-01-01T00:00:00Z", "rates": {"default": GOOD}, "to": 1}]},
    "two periods from one time": {
        "periods": [{"from": "1970-01-01T00:00:00Z", "rates": {"default": GOOD}}] * 2
    },
    "tier at 0": tiered({"input_tokens_ge": 0, "rates": {"default": GOOD}}),
    "tiers not ascending": tiered(
        {"input_tokens_ge": 9, "rates": {"default": GOOD}},
        {"input_tokens_ge": 9, "rates": {"default": GOOD}},
    ),
    "tier without a start": tiered({"rates": {"default": GOOD}}),
    "tier with more": tiered({"input_tokens_ge": 9, "rates": {"default": GOOD}, "x": 1}),
    "tier that forgets a rate": {
        "periods": [
            {
                "from": "1970-01-01T00:00:00Z",
                "rates": {"default": GOOD | {"cache_read": 1}},
                "tiers": [{"input_tokens_ge": 9, "rates": {"default": GOOD}}],
            }
        ]
    },
    "free by accident in a tier": tiered({"input_tokens_ge": 9, "rates": {"default": GOOD | {"output": 0}}}),
    "writes its cache at no known rate": {"implicit_cache_write": True},
    "unknown fee": {"fees": {"telepathy": 1}},
    "negative fee": {"fees": {"maps": -1}},
    "modifier of 0": {"modifiers_bp": {"geo:us": 0}},
    "modifier as text": {"modifiers_bp": {"geo:us": "1.1"}},
    "storage as text": {"storage_cache_mtok_hour": "4.50"},
    "no endpoints": {"endpoints": []},
    "endpoint of strange letters": {"endpoints": ["chat completions"]},
    "alias of strange letters": {"aliases": ["gpt 4"]},
    "alias twice": {"aliases": ["a", "a"]},
    "context of 0": {"limits": {"context": 0, "max_input": 0, "max_output": 0}},
    "input beyond the context": {"limits": {"context": 10, "max_input": 11, "max_output": 1}},
    "output beyond the context": {"limits": {"context": 10, "max_input": 1, "max_output": 11}},
    "least output beyond the most": {
        "limits": {"context": 10, "max_input": 1, "max_output": 5, "min_output": 6}
    },
    "no output at all": {"limits": {"context": 10, "max_input": 1, "max_output": 0}},
    "limits without max_output": {"limits": {"context": 10, "max_input": 1}},
    "limits with more": {"limits": {"context": 10, "max_input": 1, "max_output": 1, "x": 1}},
    "images at no tokens": limited(image_tokens=0),
    "images beyond all sense": limited(image_tokens=10**7),
    "image tokens as text": limited(image_tokens="1445"),
    "audio without bytes": limited(audio_bytes_per_token=0),
    "audio in fractions": limited(audio_bytes_per_token=0.5),
    "unknown framing": {"tok": {"per_word": 1}},
    "framing as text": {"tok": {"per_tool": "64"}},
    "a tokenizer that nobody has": {"tok": {"enc": "o400k_base"}},
    "tokenizer as a number": {"tok": {"enc": 200}},
    "no tokenizer": {"tok": {"enc": None}},
    "reasoning as a number": {"reasoning": 1},
    "free as text": {"free": "yes"},
    "unknown key": {"note": "cheap"},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD.keys())
def test_any_bad_row_is_refused(changes: dict[str, Any]) -> None:
    """With the path of what is wrong."""
    with pytest.raises(SpendGuardError) as refused:
        read(**changes)
    assert refused.value.code is Code.PRICING_INVALID
    assert refused.value.detail.startswith("Price document is not valid: card")


@pytest.mark.parametrize("missing", ["endpoints", "limits", "periods"])
def test_what_a_card_must_have(missing: str) -> None:
    """No card without limits and prices."""
    row = {key: value for key, value in signed_prices.card().items() if key != missing}
    with pytest.raises(SpendGuardError, match=f"card.{missing}: missing"):
        read_card("openai", "small", Row(row, "card"))


def test_free_must_be_said() -> None:
    """Zero is a price only where the card says so."""
    assert read(free=True, **rated({"input": 0, "output": 0})).free


def test_embeddings_have_no_output() -> None:
    """For them alone an output rate and an output limit of 0 are no slip."""
    no_output = {"limits": {"context": 8192, "max_input": 8192, "max_output": 0}}
    card = read(endpoints=["embeddings"], **no_output, **rated({"input": 20_000, "output": 0}))
    assert (card.limits.output_tokens_max, card.output_tokens_min) == (0, 0)


def test_a_tier_that_gets_cheaper_is_worth_a_look() -> None:
    """It is allowed, for someone may price so; the operator is told."""
    cheaper = tiered({"input_tokens_ge": 9, "rates": {"default": GOOD | {"output": 4_999_999}}})
    assert warnings_of(read(**cheaper)) == ["openai:small: output cheaper from 9"]
    assert warnings_of(read()) == []
