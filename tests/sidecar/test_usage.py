"""Usage that cannot be true is refused: its call will be settled at worst."""

from typing import Any

import pytest

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.usage import COST_PUSD_MAX, TOKENS_MAX, Limits, Usage, absurd

FULL = Usage(
    input_tokens=100,
    cached_input_tokens=40,
    cache_write_input_tokens=20,
    cache_write_1h_input_tokens=10,
    audio_input_tokens=30,
    cached_audio_input_tokens=30,
    image_input_tokens=40,
    video_input_tokens=30,
    output_tokens=50,
    reasoning_output_tokens=50,
    audio_output_tokens=20,
    image_output_tokens=30,
    events={"web_search": 2},
    service_tier="flex",
)


def test_parts_may_fill_their_whole() -> None:
    """All counts at their limits are a usage."""
    assert FULL.counts() == {
        "input_tokens": 100,
        "cached_input_tokens": 40,
        "cache_write_input_tokens": 20,
        "cache_write_1h_input_tokens": 10,
        "audio_input_tokens": 30,
        "cached_audio_input_tokens": 30,
        "image_input_tokens": 40,
        "video_input_tokens": 30,
        "output_tokens": 50,
        "reasoning_output_tokens": 50,
        "audio_output_tokens": 20,
        "image_output_tokens": 30,
    }
    assert FULL.events == {"web_search": 2}


def test_counts_always_name_input_and_output() -> None:
    """Zeros elsewhere are left out."""
    assert Usage().counts() == {"input_tokens": 0, "output_tokens": 0}
    assert Usage(input_tokens=5, cached_input_tokens=2).counts() == {
        "input_tokens": 5,
        "cached_input_tokens": 2,
        "output_tokens": 0,
    }


@pytest.mark.parametrize("name", sorted(FULL.counts()))
@pytest.mark.parametrize("count", [-1, TOKENS_MAX + 1, 2**63, 1.0, True, "5", None])
def test_a_count_is_a_count(name: str, count: Any) -> None:
    """No negative, no absurd number, no float, boolean, text or null, in any field."""
    with pytest.raises(SpendGuardError, match="Absurd usage") as caught:
        Usage(**{"input_tokens": TOKENS_MAX, "output_tokens": TOKENS_MAX, name: count})
    assert caught.value.code is Code.UPSTREAM_FAILED


@pytest.mark.parametrize("count", [-1, TOKENS_MAX + 1, 1.5, True])
def test_events_are_counted_too(count: Any) -> None:
    """A search is billed like a token."""
    with pytest.raises(SpendGuardError, match="web_search"):
        Usage(events={"web_search": count})


def test_the_largest_count_passes() -> None:
    """2^40 is absurd enough to stop at, not below."""
    assert Usage(input_tokens=2**40).input_tokens == 2**40 == TOKENS_MAX


@pytest.mark.parametrize(
    "counts",
    [
        {"input_tokens": 9, "cached_input_tokens": 10},
        {"input_tokens": 9, "cached_input_tokens": 5, "cache_write_input_tokens": 5},
        {"input_tokens": 9, "cache_write_input_tokens": 5, "cache_write_1h_input_tokens": 5},
        {"input_tokens": 9, "audio_input_tokens": 5, "image_input_tokens": 5},
        {"input_tokens": 9, "image_input_tokens": 5, "video_input_tokens": 5},
        {"input_tokens": 9, "cached_input_tokens": 5, "cached_audio_input_tokens": 5},
        {"input_tokens": 9, "audio_input_tokens": 5, "cached_audio_input_tokens": 5},
        {"input_tokens": 9, "video_input_tokens": 5, "unsorted_input_tokens": 5},
        {"output_tokens": 9, "reasoning_output_tokens": 10},
        {"output_tokens": 9, "audio_output_tokens": 5, "image_output_tokens": 5},
    ],
)
def test_a_part_is_not_more_than_its_whole(counts: dict[str, Any]) -> None:
    """Whichever parts are added up."""
    with pytest.raises(SpendGuardError, match="more than its whole"):
        Usage(**counts)


def test_a_reported_cost_is_an_amount() -> None:
    """From nothing to a million dollars, which no call costs."""
    assert COST_PUSD_MAX == 10**18
    for cost in (0, COST_PUSD_MAX):
        assert Usage(cost_pusd=cost).cost_pusd == cost
    for cost in (-1, COST_PUSD_MAX + 1):
        with pytest.raises(SpendGuardError, match="a cost of"):
            Usage(cost_pusd=cost)


def test_limits_have_framing_that_never_counts_too_little() -> None:
    """A message is more than its text; by so much, and a change must be meant."""
    limits = Limits(input_tokens_max=1, context_tokens=2, output_tokens_max=3)
    assert (
        limits.per_request_tokens,
        limits.per_message_tokens,
        limits.per_tool_tokens,
        limits.tools_base_tokens,
    ) == (64, 16, 64, 128)


def test_absurd_says_what_is() -> None:
    """For the call's record."""
    assert absurd("x is -1").detail == "Absurd usage: x is -1"
