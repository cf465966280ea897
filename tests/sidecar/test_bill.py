"""Which card a call is billed by, when the answer names its model."""

import json
from dataclasses import replace

import pytest

import signed_prices
from signed_prices import NOW_NS
from spendguard_daemon.bill import bill
from spendguard_daemon.call import Plan
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger.commands import HoldCall
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import PriceBook, read_document
from spendguard_daemon.providers import Asked, format_for
from spendguard_daemon.usage import Usage

BOOK = PriceBook(
    read_document(signed_prices.body(providers=catalogue.merge(catalogue.bundled().models, {})), "00" * 32),
    catalogue.MOCK_CARDS,
    self_signed=True,
)
USAGE = Usage(input_tokens=1_000, output_tokens=100)
SMALL_NUSD = 1_000 * 150 + 100 * 600  # gpt-4o-mini: $0.15 and $0.60
LARGE_NUSD = 1_000 * 2_500 + 100 * 10_000  # gpt-4o: $2.50 and $10


def plan(model: str, provider: str = "openai") -> Plan:
    """Return the plan of a call to this model."""
    card = BOOK.card(provider, model)
    form = format_for(provider, "chat/completions")
    hold = HoldCall(
        call_id="c",
        agent_id="a",
        run_id="r",
        provider=provider,
        endpoint=form.endpoint,
        model=card.model,
        offers=(),
        choices=1,
        asked_output_tokens=None,
        output_tokens=100,
        floor_output_tokens=1,
        injected=True,
        document_sha256=BOOK.document_sha256,
        rates={},
        deadline_ns=NOW_NS,
    )
    request = form.read(Asked(b'{"model":"%s","messages":[{"role":"user","content":"x"}]}' % model.encode()))
    return Plan(Asked(b""), form, request, card, BOOK, hold, NOW_NS, "")


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("gpt-4o-mini", None),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-mini", "gpt-4o-mini-2031-12-31"),
        ("gpt-4o-mini", "gpt-4o-mini-0125"),
    ],
)
def test_the_model_asked_for_by_any_of_its_names(asked: str, named: str | None) -> None:
    cost, odd = bill(plan(asked), USAGE, named, NOW_NS)
    assert (cost.total_nusd, odd) == (SMALL_NUSD, "")


@pytest.mark.parametrize(
    ("asked", "served", "times"),
    [
        ("priority", "", 1.8),
        ("priority", "priority", 1.8),
        ("priority", "default", 1),
        ("flex", "", 1),
        ("flex", "flex", 0.5),
        ("default", "default", 1),
    ],
)
def test_where_no_tier_is_named_the_dearest_that_may_have_served(
    asked: str, served: str, times: float
) -> None:
    """Google tells of the tier in a header; a call that asked for more may have been served by it."""
    before = plan("gemini-2.5-flash", "gemini")
    tiered = replace(before, request=replace(before.request, service_tier=asked))
    cost, _ = bill(tiered, replace(USAGE, service_tier=served), None, NOW_NS)
    assert cost.total_nusd == times * (1_000 * 300 + 100 * 2_500)


def test_asked_for_by_its_date_alone_a_model_may_name_itself_without() -> None:
    """Where the card knows no other name; a name that is merely longer is another model."""
    asked = plan("gpt-4o-mini")
    dated = replace(asked, card=replace(asked.card, model="gpt-odd-2026-01-01", aliases=("gpt-even-0101",)))
    cost, odd = bill(dated, USAGE, "gpt-odd", NOW_NS)
    assert (cost.total_nusd, odd) == (SMALL_NUSD, "")
    with pytest.raises(SpendGuardError, match="another model"):
        bill(dated, USAGE, "gpt-od", NOW_NS)


CLAUDE_NUSD = 1_000 * 3_000 + 100 * 15_000  # claude-sonnet-4-5: $3 and $15


def claude(model: str = "claude-sonnet-4-5", **fields: object) -> Plan:
    """Return the plan of a message to this model."""
    form, card = format_for("anthropic", "messages"), BOOK.card("anthropic", model)
    body = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], **fields}
    before = plan("gpt-4o-mini")
    hold = replace(before.hold, provider="anthropic", endpoint="messages", model=card.model)
    read = form.read(Asked(json.dumps(body).encode()))
    return replace(before, format=form, request=read, card=card, hold=hold)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20311231"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
    ],
)
def test_anthropics_dates_have_no_dashes(asked: str, named: str) -> None:
    cost, odd = bill(claude(asked), USAGE, named, NOW_NS)
    assert (cost.total_nusd, odd) == (CLAUDE_NUSD, "")


def test_an_alias_of_the_latest_is_answered_by_its_snapshot() -> None:
    made = claude("claude-3-5-haiku-latest")
    assert bill(made, USAGE, "claude-3-5-haiku-20311231", NOW_NS)[1] == ""


@pytest.mark.parametrize("named", ["claude-sonnet-4-5-2025", "claude-sonnet-4-5-20251399", "claude-sonnet-4"])
def test_what_only_looks_like_a_date_is_another_model(named: str) -> None:
    try:
        _, odd = bill(claude(), USAGE, named, NOW_NS)
    except SpendGuardError:
        return
    assert odd == "answered by model claude-sonnet-4"


def test_events_are_billed_at_their_fee() -> None:
    """Two searches at $10 a thousand."""
    cost, _ = bill(claude(), replace(USAGE, events={"web_search": 2}), None, NOW_NS)
    assert cost.total_nusd == CLAUDE_NUSD + 2 * 10_000_000
    assert [(line.name, line.quantity) for line in cost.lines][-1] == ("fee:web_search", 2)


def test_the_tier_that_served_counts() -> None:
    """Below the one that was asked for, or above: as reported, where the card has it."""
    fast = plan("gpt-4o-mini")
    dear = bill(fast, replace(USAGE, service_tier="priority"), None, NOW_NS)[0].total_nusd
    assert dear > SMALL_NUSD
    with pytest.raises(SpendGuardError, match="service_tier:unheard-of"):
        bill(fast, replace(USAGE, service_tier="unheard-of"), None, NOW_NS)


def test_a_geography_that_was_pinned_counts_unless_another_is_reported() -> None:
    model = "claude-opus-4-6"
    assert "geo:us" in BOOK.card("anthropic", model).modifiers_bp
    base = bill(claude(model, inference_geo="global"), USAGE, None, NOW_NS)[0].total_nusd
    pinned = claude(model, inference_geo="us")
    assert pinned.request.modifiers == ("geo:us",)
    assert bill(pinned, USAGE, None, NOW_NS)[0].total_nusd == base * 11 // 10
    reported = replace(USAGE, modifiers=("geo:global",))
    assert bill(pinned, reported, None, NOW_NS)[0].total_nusd == base


@pytest.mark.parametrize(
    ("asked", "named", "card"),
    [
        ("gpt-4o-mini", "gpt-4o", "gpt-4o"),
        ("gpt-4o", "gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini", "gpt-4o-2024-08-06", "gpt-4o"),
    ],
)
def test_of_two_cards_the_dearer_counts(asked: str, named: str, card: str) -> None:
    cost, odd = bill(plan(asked), USAGE, named, NOW_NS)
    assert (cost.total_nusd, odd) == (LARGE_NUSD, f"answered by model {card}")


@pytest.mark.parametrize(
    "named",
    [
        "gpt-9-ultra",
        "gpt-4o-mini-2024",
        "gpt-4o-mini-9999",
        "gpt-4o-mini-1399",
        "gpt-4o-mini-audio-2024-07-18",
        "gpt-4o-mini-2024-07-18-x",
        "gpt-9o-mini-2024-07-18",
        "gpt-4o-mini-\u0662\u0660\u0662\u0664-07-18",
        "GPT-4o-mini",
        "mock-small",
        " gpt-4o-mini",
    ],
)
def test_a_model_without_a_price_is_not_guessed(named: str) -> None:
    with pytest.raises(SpendGuardError, match="answered by another model, which has no price"):
        bill(plan("gpt-4o-mini"), USAGE, named, NOW_NS)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("gemini-2.0-flash", "gemini-2.0-flash-001"),
        ("gemini-2.0-flash", "gemini-2.0-flash-009"),
        ("gemini-3-flash-preview", "gemini-3-flash-preview-12-17"),
        ("gemini-3-flash-preview", "gemini-3-flash-preview-09-2026"),
        ("gemini-flash-latest", "gemini-3.8-flash"),
    ],
)
def test_google_numbers_and_dates_what_it_serves(asked: str, named: str) -> None:
    assert bill(plan(asked, "gemini"), USAGE, named, NOW_NS)[1] == ""


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("gemini-2.5-flash", "gemini-2.5-flash-preview-05-20"),
        ("gemini-2.5-flash", "gemini-2.5-flash-preview"),
        ("gemini-2.5-flash", "gemini-2.5-flash-05-20"),
        ("gemini-2.0-flash", "gemini-2.0-flash-000"),
        ("gemini-2.0-flash", "gemini-2.0-flash-101"),
        ("gemini-2.0-flash", "gemini-2.0-flash-0011"),
        ("gemini-3-flash-preview", "gemini-3-flash-preview-13-17"),
        ("gemini-3-flash-preview", "gemini-3-flash-preview-09-1926"),
    ],
)
def test_a_preview_of_google_may_have_other_prices(asked: str, named: str) -> None:
    with pytest.raises(SpendGuardError, match="answered by another model, which has no price"):
        bill(plan(asked, "gemini"), USAGE, named, NOW_NS)


def test_the_name_stays_out_of_the_records() -> None:
    """An answer may have put its own words there; only names of cards are written down."""
    with pytest.raises(SpendGuardError) as refused:
        bill(plan("gpt-4o-mini"), USAGE, "words-of-an-answer", NOW_NS)
    assert "words" not in refused.value.detail


def test_the_mock_answers_by_its_own_names() -> None:
    assert bill(plan("mock-small", "mock"), USAGE, "mock-small", NOW_NS)[1] == ""


OWN_PUSD = 3_218_500 * 100  # recording 38: 3,218,500 ticks
GROK_USAGE = Usage(
    input_tokens=137,
    cached_input_tokens=128,
    output_tokens=114,
    reasoning_output_tokens=112,
    cost_pusd=OWN_PUSD,
)


def test_the_providers_own_bill_is_the_truth() -> None:
    """Where it is what the card says, the card's lines stand."""
    cost, odd = bill(plan("grok-4.3", "grok"), GROK_USAGE, "grok-4.3", NOW_NS)
    assert (cost.total_nusd, odd) == (321_850, "")
    assert [line.name for line in cost.lines] == ["cache_read", "input", "output"]


@pytest.mark.parametrize(
    ("pusd", "nusd", "shown"),
    [
        (OWN_PUSD - 100, 321_850, None),  # rounded up once it is the same
        (OWN_PUSD + 100, 321_851, "0.000321851"),
        (100, 1, "0.000000001"),
        (10**12, 10**9, "1.00"),
    ],
)
def test_a_bill_that_differs_is_charged_and_told(pusd: int, nusd: int, shown: str | None) -> None:
    """Dearer or cheaper: to the tick, rounded up once."""
    cost, odd = bill(plan("grok-4.3", "grok"), replace(GROK_USAGE, cost_pusd=pusd), None, NOW_NS)
    assert cost.total_nusd == nusd
    assert odd == (f"the provider billed {shown} USD; 0.00032185 by our prices" if shown else "")
    if shown:
        assert [(line.name, line.cost_pusd) for line in cost.lines] == [("provider_bill", pusd)]


def test_a_bill_for_what_has_no_price() -> None:
    """A model, a tier or a tool without a rate: the bill is known all the same."""
    asked = plan("grok-4.3", "grok")
    for usage, named in (
        (GROK_USAGE, "grok-99"),
        (replace(GROK_USAGE, service_tier="priority"), "grok-4.3"),
        (replace(GROK_USAGE, events={"document_search": 1}), "grok-4.3"),
    ):
        cost, odd = bill(asked, usage, named, NOW_NS)
        assert (cost.total_nusd, odd.startswith("the provider billed 0.00032185 USD; ")) == (321_850, True)
        with pytest.raises(SpendGuardError):
            bill(asked, replace(usage, cost_pusd=None), named, NOW_NS)


def test_a_bill_of_another_models_answer() -> None:
    """Both are told."""
    _, odd = bill(plan("grok-4.3", "grok"), GROK_USAGE, "grok-4.7", NOW_NS)
    assert odd.startswith("answered by model grok-4.7; the provider billed ")


def test_a_bill_beside_counts_that_cannot_be_true_is_not_believed() -> None:
    """More fees than money there is: whoever counts so may have summed up anything."""
    lie = replace(USAGE, events={"violation": 2**40}, cost_pusd=100)
    with pytest.raises(SpendGuardError, match="beyond the largest amount"):
        bill(plan("grok-4.3", "grok"), lie, None, NOW_NS)
