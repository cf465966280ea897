"""For any card, any request and any answer: no bill above its quote, every bill exact, rounded up once."""

from dataclasses import replace
from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from spendguard_daemon.pricing.dimensions import FEES
from spendguard_daemon.pricing.ratecard import Cost, Period, RateCard, Tier
from spendguard_daemon.usage import Limits, Usage

NOTHING: frozenset[str] = frozenset()
LIMITS = Limits(input_tokens_max=900_000, context_tokens=1_000_000, output_tokens_max=128_000)
OPTIONAL = (
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "cache_read_audio",
    "input_image",
    "input_video",
    "reasoning_output",
    "output_audio",
    "output_image",
)
REACHABLE = frozenset(OPTIONAL) - {"cache_read", "cache_read_audio", "reasoning_output"}
rate = st.integers(0, 20_000_000)


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    names = ["input", "output", *draw(st.lists(st.sampled_from(OPTIONAL), unique=True))]
    implicit = "cache_write" in names and draw(st.booleans())
    service_tiers = ["default", *(["flex"] if draw(st.booleans()) else [])]

    def rates() -> dict[str, dict[str, int]]:
        return {service: {name: draw(rate) for name in names} for service in service_tiers}

    def tiers() -> tuple[Tier, ...]:
        starts = [0, *sorted(draw(st.sets(st.integers(1, 40), max_size=2)))]
        return tuple(Tier(start, rates()) for start in starts)

    starts = [0, *sorted(draw(st.sets(st.integers(1, 40), max_size=2)))]
    return RateCard(
        provider="openai",
        model="m",
        aliases=(),
        endpoints=("chat/completions",),
        limits=LIMITS,
        output_tokens_min=1,
        reasoning=False,
        periods=tuple(Period(start, tiers()) for start in starts),
        implicit_cache_write=implicit,
        fees={
            name: draw(rate)
            for name in draw(st.lists(st.sampled_from(sorted(FEES)), unique=True, max_size=3))
        },
        modifiers_bp={name: draw(st.integers(1, 30_000)) for name in ("geo:us", "geo:eu", "speed:fast")},
    )


def part(draw: st.DrawFn, most: int, *, allowed: bool) -> int:
    return draw(st.integers(0, most)) if allowed else 0


@st.composite
def usages(
    draw: st.DrawFn,
    names: frozenset[str],
    bound: int,
    out: int,
    events: dict[str, int],
    service_tiers: tuple[str, ...] = ("default",),
    modifiers: tuple[str, ...] = (),
) -> Usage:
    """Any usage within a bound that lands only in the buckets `names`, served at one of these tiers.

    Of each kind of modifier one is reported, or the plain one, or nothing.
    """
    whole = draw(st.integers(0, bound))
    cached = part(draw, whole, allowed="cache_read" in names)
    written = part(draw, whole - cached, allowed="cache_write" in names)
    long = part(draw, whole - cached - written, allowed="cache_write_1h" in names)
    audio = part(draw, whole, allowed="input_audio" in names)
    image = part(draw, whole - audio, allowed="input_image" in names)
    output = draw(st.integers(0, out))
    reasoning = draw(st.integers(0, output))
    voice = part(draw, output - reasoning, allowed="output_audio" in names)
    return Usage(
        input_tokens=whole,
        cached_input_tokens=cached,
        cache_write_input_tokens=written,
        cache_write_1h_input_tokens=long,
        audio_input_tokens=audio,
        cached_audio_input_tokens=part(draw, min(audio, cached), allowed="cache_read_audio" in names),
        image_input_tokens=image,
        video_input_tokens=part(draw, whole - audio - image, allowed="input_video" in names),
        output_tokens=output,
        reasoning_output_tokens=reasoning,
        audio_output_tokens=voice,
        image_output_tokens=part(draw, output - reasoning - voice, allowed="output_image" in names),
        events={name: draw(st.integers(0, count)) for name, count in events.items()},
        service_tier=draw(st.sampled_from(service_tiers)),
        modifiers=(
            *draw(said("geo", "geo:global", modifiers)),
            *draw(said("speed", "speed:standard", modifiers)),
        ),
    )


def said(kind: str, plain: str, among: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """What a provider may report of one kind."""
    named = [(name,) for name in among if name.startswith(kind)]
    return st.sampled_from([(), (plain,), *named])


@given(st.data())
def test_no_bill_is_above_its_quote(data: st.DataObject) -> None:
    """For any card, any request and any answer within what was quoted."""
    some = data.draw(cards(), "card")
    offered = frozenset(some.periods[0].tiers[0].rates["default"])
    reach = frozenset(data.draw(st.sets(st.sampled_from(sorted(REACHABLE & offered) or ["input"])), "reach"))
    events = {name: data.draw(st.integers(0, 3)) for name in some.fees if name != "request"}
    names = st.sampled_from([*sorted(some.modifiers_bp), "geo:global", "speed:standard"])
    modifiers = tuple(data.draw(st.lists(names, unique=True), "modifiers"))
    service_tier = data.draw(st.sampled_from(sorted(some.periods[0].tiers[0].rates)), "service tier")
    bound, choices, cap = (data.draw(st.integers(0, 60), name) for name in ("bound", "choices", "cap"))
    from_ns, length = data.draw(st.integers(0, 60), "from"), data.draw(st.integers(0, 60), "length")
    quoted = some.quote(
        input_tokens=bound,
        choices=choices,
        reach=reach,
        from_ns=from_ns,
        until_ns=from_ns + length,
        events=events,
        service_tier=service_tier,
        modifiers=modifiers,
    )
    landable = reach | ({"cache_read"} & offered)
    landable |= {"cache_write"} if some.implicit_cache_write else set()
    landable |= {"cache_read_audio"} & offered if "input_audio" in reach else set()
    landable |= {"cache_write"} & offered if "cache_write_1h" in reach else set()
    served = ("default", service_tier)
    usage = data.draw(usages(landable, bound, choices * cap, events, served, modifiers), "usage")
    until_ns = from_ns + data.draw(st.integers(0, length), "ended")
    # Of each kind, the request pins one modifier for what the provider leaves unsaid.
    pinned = tuple({name.partition(":")[0]: name for name in modifiers}.values())
    bill = some.price(usage, from_ns=from_ns, until_ns=until_ns, modifiers=pinned)
    assert bill.total_nusd <= quoted.at(cap)
    assert bill.total_nusd == exact(bill, usage, pinned, some)


def exact(bill: Cost, usage: Usage, pinned: tuple[str, ...], of: RateCard) -> int:
    """Add the lines up again, in fractions of a dollar."""
    tokens = events = Fraction(0)
    for line in bill.lines:
        per = 1_000_000 if line.unit == "token" else 1_000
        dollars = Fraction(line.rate, 1_000_000) * line.quantity / per
        assert Fraction(str(line.to_json()["cost_nusd"])) == dollars * 10**9
        tokens += dollars if line.unit == "token" else 0
        events += dollars if line.unit == "event" else 0
    for kind in ("geo", "speed"):
        said = [name for name in usage.modifiers if name.startswith(kind)]
        name = next(iter(said or [name for name in pinned if name.startswith(kind)]), "")
        tokens *= Fraction(of.modifiers_bp.get(name, 10_000), 10_000)
    return ceil((tokens + events) * 10**9)


@given(cards(), st.data())
def test_text_bills_are_exact(some: RateCard, data: st.DataObject) -> None:
    """A bill of text tokens, from the card's rates alone, in fractions of a dollar."""
    rates = some.periods[0].tiers[0].rates["default"]
    single = replace(some, periods=(Period(0, (Tier(0, {"default": rates}),)),), fees={})
    names = frozenset(rates) & {"cache_read", "cache_write", "cache_write_1h"}
    usage = data.draw(usages(names, 10**7, 10**6, {}))
    thinking = usage.reasoning_output_tokens
    plain = (
        usage.input_tokens
        - usage.cached_input_tokens
        - usage.cache_write_input_tokens
        - usage.cache_write_1h_input_tokens
    )
    micros = (
        Fraction(rates["input"] * plain)
        + rates.get("cache_read", 0) * usage.cached_input_tokens
        + rates.get("cache_write", 0) * usage.cache_write_input_tokens
        + rates.get("cache_write_1h", 0) * usage.cache_write_1h_input_tokens
        + rates["output"] * (usage.output_tokens - thinking)
        + rates.get("reasoning_output", rates["output"]) * thinking
    ) / 10**6
    assert single.price(usage, from_ns=0, until_ns=0).total_nusd == ceil(micros * 1000)


@given(cards(), st.integers(0, 60), st.integers(0, 3), st.integers(0, 10**12))
def test_the_largest_affordable_cap_is_exact(some: RateCard, bound: int, choices: int, budget: int) -> None:
    """One token more would not fit; what the 402 tells the agent is the truth."""
    cost = some.quote(input_tokens=bound, choices=choices, reach=NOTHING, from_ns=0, until_ns=0)
    most = cost.most_tokens(budget)
    if most >= 0:
        assert cost.at(most) <= budget
    if cost.per_token or most < 0:
        assert cost.at(most + 1) > budget
