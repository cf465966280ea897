"""Quotes and bills by hand; `test_ratecard_properties.py` holds that no bill is above its quote."""

from dataclasses import replace
from typing import Any

import pytest

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import LinearCost
from spendguard_daemon.pricing.ratecard import Cost, Period, RateCard, Tier
from spendguard_daemon.usage import Limits, Usage

NOTHING: frozenset[str] = frozenset()
LIMITS = Limits(input_tokens_max=900_000, context_tokens=1_000_000, output_tokens_max=128_000)


def card(*tiers: Tier, periods: tuple[Period, ...] = (), **changes: Any) -> RateCard:
    made = RateCard(
        provider="openai",
        model="m",
        aliases=(),
        endpoints=("chat/completions",),
        limits=LIMITS,
        output_tokens_min=1,
        reasoning=False,
        implicit_cache_write=False,
        periods=periods or (Period(0, tiers),),
    )
    return replace(made, **changes)


def tier(start: int = 0, **rates: int) -> Tier:
    return Tier(start, {"default": rates})


def quote(of: RateCard, input_tokens: int, *, reach: frozenset[str] = NOTHING, **more: Any) -> LinearCost:
    given = {"choices": 1, "from_ns": 0, "until_ns": 0} | more
    return of.quote(input_tokens=input_tokens, reach=reach, **given)


def price(of: RateCard, **counts: Any) -> Cost:
    return of.price(Usage(**counts), from_ns=0, until_ns=0)


SMALL = card(tier(input=150_000, cache_read=75_000, output=600_000))
CLIFF = card(
    tier(input=2_000_000, cache_read=200_000, cache_write=2_500_000, output=10_000_000),
    tier(272_001, input=4_000_000, cache_read=400_000, cache_write=5_000_000, output=15_000_000),
    implicit_cache_write=True,
)


class TestBills:
    def test_tokens_by_hand(self) -> None:
        """10 in at 0.15 USD/M are 1.5 uUSD, 12 out at 0.60 are 7.2 uUSD: 8.7 uUSD = 8,700 nUSD."""
        assert price(SMALL, input_tokens=10, output_tokens=12).total_nusd == 8_700

    def test_cached_tokens_are_a_part_of_the_input(self) -> None:
        """120 x 0.15 + 1,024 x 0.075 + 2 x 0.6 = 96.0 uUSD."""
        cost = price(SMALL, input_tokens=1144, cached_input_tokens=1024, output_tokens=2)
        assert cost.total_nusd == 96_000

    def test_the_sum_is_rounded_up_once(self) -> None:
        """Two lines of 0.15 and 0.6 nUSD make 0.75: one nUSD, not two."""
        odd = card(tier(input=150, output=600))
        assert price(odd, input_tokens=1, output_tokens=1).total_nusd == 1

    def test_exact_thousands_are_not_rounded(self) -> None:
        """1,000 pUSD are 1 nUSD."""
        assert price(card(tier(input=1_000, output=1)), input_tokens=1).total_nusd == 1

    def test_the_cliff_is_inclusive_and_takes_the_whole_call(self) -> None:
        """272,000 tokens at the base rate; one more, and every token is billed at the upper tier."""
        below = price(CLIFF, input_tokens=272_000, output_tokens=1)
        above = price(CLIFF, input_tokens=272_001, output_tokens=1)
        assert below.total_nusd == 272_000 * 2_000 + 10_000
        assert above.total_nusd == 272_001 * 4_000 + 15_000

    def test_events_and_the_fee_of_every_request(self) -> None:
        """Two searches at 10 USD/1k and one request at 5 USD/1k: 0.02 + 0.005 USD."""
        fees = card(tier(input=1, output=1), fees={"web_search": 10_000_000, "request": 5_000_000})
        cost = price(fees, events={"web_search": 2})
        assert cost.total_nusd == 25_000_000
        assert [line.to_json() for line in cost.lines] == [
            {
                "name": "fee:request",
                "quantity": 1,
                "unit": "event",
                "rate": 5_000_000,
                "cost_nusd": "5000000",
            },
            {
                "name": "fee:web_search",
                "quantity": 2,
                "unit": "event",
                "rate": 10_000_000,
                "cost_nusd": "20000000",
            },
        ]

    def test_a_report_cannot_waive_the_fee_of_the_request(self) -> None:
        """A count of 0 is still one request; a larger one is believed."""
        fees = card(tier(input=1, output=1), fees={"request": 5})
        costs = [price(fees, events={"request": count}).total_nusd for count in (0, 1, 3)]
        assert costs == [5, 5, 15]

    def test_lines_are_exact_decimals(self) -> None:
        """7 tokens at 0.075 USD/M are 0.525 uUSD = 525 nUSD; at 0.0751 they are 525.7 nUSD."""
        lines = price(card(tier(input=75_100, output=1)), input_tokens=7).lines
        assert [line.to_json() for line in lines] == [
            {"name": "input", "quantity": 7, "unit": "token", "rate": 75_100, "cost_nusd": "525.7"}
        ]

    def test_modifiers_multiply_before_the_rounding(self) -> None:
        """3 pUSD x 1.1 x 2 = 6.6 pUSD: one nUSD. 10,000 tokens: 66,000 pUSD: 66 nUSD exactly."""
        geo = card(tier(input=3, output=1), modifiers_bp={"geo:us": 11_000, "speed:fast": 20_000})
        both = ("geo:us", "speed:fast")
        assert geo.price(Usage(input_tokens=1), from_ns=0, until_ns=0, modifiers=both).total_nusd == 1
        cost = geo.price(Usage(input_tokens=10_000), from_ns=0, until_ns=0, modifiers=both)
        assert cost.total_nusd == 66
        assert cost.modifiers_bp == {"geo:us": 11_000, "speed:fast": 20_000}

    def test_modifiers_scale_tokens_not_events(self) -> None:
        """1.1 x 1,000 pUSD + one search at 2 nUSD: 3.1 nUSD, so 4."""
        geo = card(tier(input=1_000, output=1), fees={"web_search": 2}, modifiers_bp={"geo:us": 11_000})
        usage = Usage(input_tokens=1, events={"web_search": 1}, modifiers=("geo:us",))
        assert geo.price(usage, from_ns=0, until_ns=0).total_nusd == 4

    def test_what_was_served_counts_before_what_was_asked(self) -> None:
        """Fast was asked for, standard was served, in the US: 10 x 1.1; nothing reported: 10 x 2 x 1.1."""
        geo = card(tier(input=10_000, output=1), modifiers_bp={"geo:us": 11_000, "speed:fast": 20_000})

        def nusd(*reported: str) -> int:
            usage = Usage(input_tokens=1, modifiers=reported)
            both = ("geo:us", "speed:fast")
            return geo.price(usage, from_ns=0, until_ns=0, modifiers=both).total_nusd

        assert [nusd("speed:standard"), nusd(), nusd("geo:global", "speed:fast")] == [11, 22, 20]

    def test_a_reported_modifier_needs_a_rate(self) -> None:
        """A place that the card does not know is not priced as if it were everywhere."""
        with pytest.raises(SpendGuardError) as refused:
            price(SMALL, input_tokens=1, modifiers=("geo:moon",))
        assert refused.value.facts["dimension"] == "modifier:geo:moon"

    def test_the_service_tier_that_was_served_counts(self) -> None:
        """The report says flex, so flex is billed."""
        flex = card(
            Tier(0, {"default": {"input": 2_000, "output": 1}, "flex": {"input": 1_000, "output": 1}})
        )
        assert price(flex, input_tokens=1, service_tier="flex").total_nusd == 1
        assert price(flex, input_tokens=1).total_nusd == 2

    def test_a_call_across_a_price_change_pays_the_dearer(self) -> None:
        """Cheap until 100, dear from 100, cheap again from 200; the borders are inclusive."""
        dated = card(
            periods=(
                Period(0, (tier(input=1_000, output=1),)),
                Period(100, (tier(input=9_000, output=1),)),
                Period(200, (tier(input=2_000, output=1),)),
            )
        )

        def nusd(from_ns: int, until_ns: int) -> int:
            return dated.price(Usage(input_tokens=1), from_ns=from_ns, until_ns=until_ns).total_nusd

        assert [nusd(0, 99), nusd(0, 100), nusd(199, 200), nusd(200, 10**30)] == [1, 9, 9, 2]
        assert nusd(150, 50) == 9  # the clock was set back during the call

    def test_before_the_first_period_nothing_is_priced(self) -> None:
        """A price that was not yet in force is no price."""
        late = card(periods=(Period(100, (tier(input=1, output=1),)),))
        with pytest.raises(SpendGuardError) as refused:
            late.price(Usage(), from_ns=99, until_ns=200)
        assert refused.value.code is Code.UNPRICED_DIMENSION

    def test_a_cost_beyond_all_amounts_is_absurd(self) -> None:
        """The report is a lie; its call is settled at worst."""
        with pytest.raises(SpendGuardError) as refused:
            price(card(tier(input=10**10, output=1)), input_tokens=2**40)
        assert refused.value.code is Code.UPSTREAM_FAILED

    def test_the_largest_amount_is_still_a_cost(self) -> None:
        """2^53 - 1 nUSD: 129,728,784,761 tokens at 69,431 nUSD. One pUSD more is absurd."""
        dear = card(tier(input=69_431_000, output=1))
        most = price(dear, input_tokens=129_728_784_761)
        assert most.total_nusd == 2**53 - 1
        with pytest.raises(SpendGuardError, match="largest amount"):
            price(dear, input_tokens=129_728_784_761, output_tokens=1)

    @pytest.mark.parametrize(
        ("counts", "dimension"),
        [
            ({"input_tokens": 9, "cache_write_input_tokens": 1}, "cache_write"),
            ({"input_tokens": 9, "cache_write_1h_input_tokens": 1}, "cache_write_1h"),
            ({"input_tokens": 9, "audio_input_tokens": 1}, "input_audio"),
            ({"input_tokens": 9, "image_input_tokens": 1}, "input_image"),
            ({"input_tokens": 9, "video_input_tokens": 1}, "input_video"),
            ({"output_tokens": 9, "audio_output_tokens": 1}, "output_audio"),
            ({"output_tokens": 9, "image_output_tokens": 1}, "output_image"),
            ({"events": {"maps": 1}}, "fee:maps"),
            ({"service_tier": "priority"}, "service_tier:priority"),
        ],
    )
    def test_a_missing_rate_is_named_never_guessed(self, counts: dict[str, Any], dimension: str) -> None:
        """No fallback to the input rate, for any dimension."""
        with pytest.raises(SpendGuardError) as refused:
            price(SMALL, **counts)
        assert refused.value.code is Code.UNPRICED_DIMENSION
        assert refused.value.detail == f"Unpriced dimension: the card of openai:m has no rate for {dimension}"
        assert refused.value.facts["dimension"] == dimension

    def test_events_that_did_not_happen_need_no_fee(self) -> None:
        """A count of zero costs nothing."""
        assert price(SMALL, events={"maps": 0}).total_nusd == 0


class TestQuotes:
    def test_by_hand(self) -> None:
        """1,000 in at 0.15 are 150 uUSD; each token of the cap costs 0.6 uUSD, twice for two choices."""
        cost = quote(SMALL, 1000, choices=2)
        assert [cost.at(0), cost.at(1), cost.at(100)] == [150_000, 151_200, 270_000]

    def test_implicit_cache_writes_are_held_for(self) -> None:
        """The provider may write any input to its cache unasked, at 1.25 times the rate."""
        assert quote(CLIFF, 1000).at(0) == 2_500_000

    def test_every_tier_up_to_the_bound_counts(self) -> None:
        """A bound of 272,001 may land above the cliff: whole input at the dearest, output too."""
        assert quote(CLIFF, 272_000).at(1) == 272_000 * 2_500 + 10_000
        assert quote(CLIFF, 272_001).at(1) == 272_001 * 5_000 + 15_000

    def test_a_dearer_tier_below_counts_too(self) -> None:
        """Rates that fall with size: the bound may be far above what is really sent."""
        falling = card(tier(input=5_000, output=3_000), tier(100, input=1_000, output=9_000))
        cost = quote(falling, 1000)
        assert (cost.at(0), cost.at(1)) == (5_000, 5_009)

    def test_a_dearer_cache_read_counts(self) -> None:
        """Odd, but nobody promised that reading the cache is the cheaper."""
        odd = card(tier(input=1_000, cache_read=2_000, output=1))
        assert quote(odd, 10).at(0) == 20

    def test_a_dearer_cached_audio_counts_where_audio_may_come(self) -> None:
        """The same for audio, and only if the request has some."""
        odd = card(tier(input=1_000, input_audio=2_000, cache_read_audio=3_000, output=1))
        assert quote(odd, 10).at(0) == 10
        assert quote(odd, 10, reach=frozenset({"input_audio"})).at(0) == 30

    def test_reasoning_with_its_own_rate(self) -> None:
        """All of the cap may be reasoning."""
        cost = quote(card(tier(input=1_000, output=2_000, reasoning_output=3_000)), 0)
        assert cost.at(1000) == 3_000

    def test_no_card_is_free_unless_it_says_so(self) -> None:
        """A rate of zero is a mistake anywhere else (`cards`)."""
        assert not SMALL.free

    def test_events_and_modifiers(self) -> None:
        """1 token x 1,000 pUSD x 1.1 + 3 x 2 nUSD + 1 nUSD per request = 8.1 nUSD: 9."""
        fees = card(
            tier(input=1_000, output=0), fees={"maps": 2, "request": 1}, modifiers_bp={"geo:us": 11_000}
        )
        assert quote(fees, 1, events={"maps": 3}, modifiers=("geo:us",)).at(99) == 9

    def test_a_quote_takes_the_dearest_modifier_of_each_kind(self) -> None:
        """Somewhere in the US or the EU, perhaps fast: 10 nUSD x 1.2 x 2; a discount is not relied on."""
        points = {"geo:us": 11_000, "geo:eu": 12_000, "speed:fast": 20_000, "speed:slow": 5_000}
        geo = card(tier(input=10_000, output=1), modifiers_bp=points)
        assert quote(geo, 1, modifiers=("geo:us", "geo:eu", "speed:fast")).at(0) == 24
        assert quote(geo, 1, modifiers=("speed:slow",)).at(0) == 10
        assert quote(geo, 1, modifiers=("geo:global", "speed:standard")).at(0) == 10

    def test_the_tier_asked_for_may_not_be_the_one_that_serves(self) -> None:
        """Flex is half the price, but the provider may serve the default tier instead, and bill that."""
        rates = {"default": {"input": 2_000, "output": 4_000}, "flex": {"input": 1_000, "output": 9_000}}
        cost = quote(card(Tier(0, rates)), 10, service_tier="flex")
        assert (cost.at(0), cost.at(1)) == (20, 29)

    def test_short_cache_writes_count_where_long_ones_may_come(self) -> None:
        """A request that may write for an hour may write for five minutes as well, whatever that costs."""
        odd = card(tier(input=1_000, cache_write=3_000, cache_write_1h=2_000, output=1))
        assert quote(odd, 10, reach=frozenset({"cache_write_1h"})).at(0) == 30

    def test_modifiers_multiply_the_output_too(self) -> None:
        """Two choices of 10 tokens at 3 nUSD, x 1.1 x 2 = 132 nUSD."""
        dear = card(tier(input=0, output=3_000), modifiers_bp={"geo:us": 11_000, "speed:fast": 20_000})
        assert quote(dear, 0, choices=2, modifiers=("geo:us", "speed:fast")).at(10) == 132

    @pytest.mark.parametrize(
        ("more", "dimension"),
        [
            ({"reach": frozenset({"cache_write"})}, "cache_write"),
            ({"reach": frozenset({"cache_write_1h"})}, "cache_write_1h"),
            ({"reach": frozenset({"input_audio"})}, "input_audio"),
            ({"reach": frozenset({"output_audio"})}, "output_audio"),
            ({"reach": frozenset({"telepathy"})}, "telepathy"),
            ({"events": {"x_search": 1}}, "fee:x_search"),
            ({"service_tier": "flex"}, "service_tier:flex"),
            ({"modifiers": ("geo:us",)}, "modifier:geo:us"),
        ],
    )
    def test_what_the_card_lacks_is_refused(self, more: dict[str, Any], dimension: str) -> None:
        """The request could be billed at a rate that nobody knows: it is not sent."""
        with pytest.raises(SpendGuardError) as refused:
            quote(SMALL, 10, **more)
        assert refused.value.code is Code.UNPRICED_DIMENSION
        assert refused.value.facts["dimension"] == dimension

    def test_pinned_rates_name_all_that_the_hold_is_based_on(self) -> None:
        """Tiers, later periods, fees and modifiers within reach; nothing else."""
        dated = card(
            periods=(
                Period(
                    0, (tier(input=1, output=2), tier(50, input=3, output=4), tier(500, input=5, output=6))
                ),
                Period(100, (tier(input=7, output=8),)),
                Period(900, (tier(input=9, output=9),)),
            ),
            fees={"maps": 10, "request": 11, "x_search": 12},
            modifiers_bp={"geo:us": 11_000},
        )
        assert dated.pinned_rates(
            input_tokens=60, from_ns=0, until_ns=100, events={"maps": 1}, modifiers=("geo:us",)
        ) == {
            "input": 1,
            "output": 2,
            "input@50": 3,
            "output@50": 4,
            "input+1": 7,
            "output+1": 8,
            "fee:maps": 10,
            "fee:request": 11,
            "bp:geo:us": 11_000,
        }

    def test_pinned_rates_of_another_tier_stand_beside_the_default_ones(self) -> None:
        """Either may be what the call is billed at."""
        rates = {"default": {"input": 2, "output": 4}, "flex": {"input": 1, "output": 3}}
        pinned = card(Tier(0, rates)).pinned_rates(input_tokens=1, from_ns=0, until_ns=0, service_tier="flex")
        assert pinned == {"input": 2, "output": 4, "flex:input": 1, "flex:output": 3}
