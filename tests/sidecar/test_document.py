"""The head of a document, and the book that calls are priced from."""

from typing import Any

import pytest

import signed_prices
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.catalogue import MOCK_CARDS
from spendguard_daemon.pricing.document import PriceBook, PriceDocument, read_document


def read(**changes: Any) -> PriceDocument:
    return read_document(signed_prices.body(**changes), "00" * 32)


def book(**models: Any) -> PriceBook:
    return PriceBook(read(providers={"openai": {"models": models}}), MOCK_CARDS, self_signed=True)


def test_a_good_document() -> None:
    """Its head as values, times in nanoseconds."""
    document = read()
    assert document.sequence == 7
    assert document.issued_ns == signed_prices.NOW_NS
    assert document.expires_ns == signed_prices.NOW_NS + 6 * signed_prices.DAY_NS
    assert document.key_id == signed_prices.KEY_ID
    assert [card.model for card in document.cards] == ["small"]
    assert document.warnings == ()


GOOD_CARD = signed_prices.card()
MANY = {f"m{n}": GOOD_CARD for n in range(50)}
BAD: dict[str, dict[str, Any]] = {
    "schema as text": {"schema": "2"},
    "schema 1": {"schema": 1},
    "schema true": {"schema": True},
    "schema with a space": {"schema": "1 "},
    "schema 3": {"schema": 3},
    "other currency": {"currency": "EUR"},
    "other token unit": {"token_unit": "usd_per_1k"},
    "other fee unit": {"fee_unit": "usd_micros_per_1"},
    "sequence 0": {"sequence": 0},
    "sequence as text": {"sequence": "7"},
    "sequence true": {"sequence": True},
    "no such time": {"issued_at": "2026-02-30T00:00:00Z"},
    "time as a number": {"expires_at": 1_795_435_200},
    "key id with a space": {"key_id": "test key"},
    "unknown member": {"grace_seconds": 10**9},
    "providers are no object": {"providers": []},
    "no provider": {"providers": {}},
    "provider without models": {"providers": {"openai": {}}},
    "no model": {"providers": {"openai": {"models": {}}}},
    "provider with more": {"providers": {"openai": {"models": {"m": GOOD_CARD}, "hosts": {}}}},
    "provider in capitals": {"providers": {"OpenAI": {"models": {"m": GOOD_CARD}}}},
    "prices for the mock": {"providers": {"mock": {"models": {"mock-small": GOOD_CARD}}}},
    "one bad row among many": {
        "providers": {
            "openai": {"models": MANY | {"m50": GOOD_CARD | {"fees": {"maps": -1}}}},
        }
    },
    "alias of a model": {
        "providers": {"openai": {"models": {"a": GOOD_CARD, "b": GOOD_CARD | {"aliases": ["a"]}}}}
    },
    "one alias for two": {
        "providers": {
            "openai": {
                "models": {"a": GOOD_CARD | {"aliases": ["x"]}, "b": GOOD_CARD | {"aliases": ["x"]}},
            }
        }
    },
    "alias of itself": {"providers": {"openai": {"models": {"a": GOOD_CARD | {"aliases": ["a"]}}}}},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD.keys())
def test_any_bad_member_refuses_the_document(changes: dict[str, Any]) -> None:
    """Nothing is skipped: one bad row and there are no prices at all."""
    with pytest.raises(SpendGuardError) as refused:
        read(**changes)
    assert refused.value.code is Code.PRICING_INVALID


@pytest.mark.parametrize("missing", sorted(signed_prices.body()))
def test_every_member_must_be_there(missing: str) -> None:
    """The head has no optional members."""
    body = {key: value for key, value in signed_prices.body().items() if key != missing}
    with pytest.raises(SpendGuardError, match=f"document.{missing}: missing"):
        read_document(body, "00" * 32)


def test_a_book_finds_by_exact_id_or_listed_alias() -> None:
    """No prefix, no other case, no other provider."""
    prices = book(small=signed_prices.card(aliases=["small-2026-01-01"]))
    assert prices.card("openai", "small") is prices.card("openai", "small-2026-01-01")
    for provider, model in [("openai", "small-2026-01-02"), ("openai", "Small"), ("grok", "small"), ("", "")]:
        with pytest.raises(SpendGuardError) as refused:
            prices.card(provider, model)
        assert refused.value.code is Code.UNKNOWN_MODEL
        assert refused.value.detail == f"Unknown model for pricing: {provider}:{model}"


def test_a_book_knows_whose_a_model_is() -> None:
    """On the bare route the provider follows from the model."""
    prices = book(small=signed_prices.card(aliases=["small-1"]))
    assert prices.providers_of("small-1") == ("openai",)
    assert prices.providers_of("mock-large") == ("mock",)
    assert prices.providers_of("muse-spark-1.1") == ()


def test_one_name_at_two_providers() -> None:
    """Each has its own card."""
    providers = {
        "grok": {"models": {"same": signed_prices.card()}},
        "openai": {"models": {"same": signed_prices.card()}},
    }
    prices = PriceBook(read(providers=providers), MOCK_CARDS, self_signed=False)
    assert prices.providers_of("same") == ("grok", "openai")
    assert prices.card("grok", "same").provider == "grok"


def test_a_book_always_has_the_mock_and_its_document_s_head() -> None:
    """The mock needs no document to price it."""
    prices = book(small=signed_prices.card())
    assert [card.model for card in prices.cards()] == ["small", "mock-small", "mock-large"]
    assert prices.self_signed
    assert (prices.sequence, prices.key_id, prices.document_sha256) == (7, "test-key", "00" * 32)
    assert prices.expires_ns - prices.issued_ns == 6 * signed_prices.DAY_NS
