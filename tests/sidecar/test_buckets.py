"""Splitting a usage into buckets of one rate each."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import buckets
from spendguard_daemon.usage import Usage

RATES = {
    "input": 10,
    "cache_read": 1,
    "cache_read_audio": 2,
    "cache_write": 12,
    "cache_write_1h": 20,
    "input_audio": 40,
    "input_image": 10,
    "input_video": 15,
}


def cost(split: list[buckets.Bucket], rates: dict[str, int] = RATES) -> int:
    return sum(rates[name] * quantity for name, quantity in split if quantity)


def test_cached_and_written_are_parts_of_the_input() -> None:
    """100 in, of which 60 cached, 10 written, 5 written for long: 25 are left for the plain rate."""
    usage = Usage(
        input_tokens=100,
        cached_input_tokens=60,
        cache_write_input_tokens=10,
        cache_write_1h_input_tokens=5,
    )
    split = {name: n for name, n in buckets.of_input(usage, RATES.__getitem__) if n}
    assert split == {"cache_read": 60, "cache_write": 10, "cache_write_1h": 5, "input": 25}


def test_audio_has_its_own_cached_part() -> None:
    """Of 50 audio tokens 20 came from the cache; so did 10 of the 50 text tokens."""
    usage = Usage(
        input_tokens=100, cached_input_tokens=30, audio_input_tokens=50, cached_audio_input_tokens=20
    )
    split = {name: n for name, n in buckets.of_input(usage, RATES.__getitem__) if n}
    assert split == {"cache_read": 10, "cache_read_audio": 20, "input_audio": 30, "input": 40}


def test_what_was_cached_is_read_in_the_dearest_way() -> None:
    """40 image tokens, 60 of text, 50 cached: nobody says which, so the dear images count as not cached."""
    usage = Usage(input_tokens=100, cached_input_tokens=50, image_input_tokens=40)
    dear = dict(RATES, input_image=99)
    split = {name: n for name, n in buckets.of_input(usage, dear.__getitem__) if n}
    assert split == {"cache_read": 50, "input_image": 40, "input": 10}
    cheap = dict(RATES, input_image=3)
    split = {name: n for name, n in buckets.of_input(usage, cheap.__getitem__) if n}
    assert split == {"cache_read": 50, "input": 50}


@pytest.mark.parametrize(
    ("kinds", "name"),
    [
        ((), "input"),
        (("input_audio", "input_image", "input_video"), "input_audio"),
        (("input_image", "input_video"), "input_video"),
        (("cheap",), "input"),
    ],
)
def test_what_is_not_sorted_is_of_the_dearest_kind(kinds: tuple[str, ...], name: str) -> None:
    """Nobody says of what kind 80 tokens are; 10 were cached, the cheapest of all."""
    usage = Usage(input_tokens=100, cached_input_tokens=10, unsorted_input_tokens=80, unsorted_rates=kinds)
    split = {one: n for one, n in buckets.of_input(usage, (RATES | {"cheap": 3}).__getitem__) if n}
    expected = (
        {"cache_read": 10, "input": 10, name: 80} if name != "input" else {"cache_read": 10, "input": 90}
    )
    assert split == expected


@st.composite
def small_usages(draw: st.DrawFn) -> Usage:
    text, audio, image, video = (draw(st.integers(0, 4)) for _ in range(4))
    whole = text + audio + image + video
    cached = draw(st.integers(0, whole))
    written = draw(st.integers(0, whole - cached))
    return Usage(
        input_tokens=whole,
        cached_input_tokens=cached,
        cache_write_input_tokens=written,
        audio_input_tokens=audio,
        cached_audio_input_tokens=draw(st.integers(0, min(audio, cached))),
        image_input_tokens=image,
        video_input_tokens=video,
    )


@given(small_usages(), st.dictionaries(st.sampled_from(sorted(RATES)), st.integers(0, 50)))
def test_no_reading_of_the_report_is_dearer(usage: Usage, other_rates: dict[str, int]) -> None:
    """Every way to say which tokens were not cached costs at most what the split says, and one as much."""
    rates = RATES | other_rates
    split = buckets.of_input(usage, rates.__getitem__)
    assert sum(n for _, n in split) == usage.input_tokens
    counted = {name: n for name, n in split if name.startswith("cache")}
    uncached = usage.input_tokens - sum(counted.values())
    most = {
        "input": usage.input_tokens
        - usage.audio_input_tokens
        - usage.image_input_tokens
        - usage.video_input_tokens,
        "input_audio": usage.audio_input_tokens - usage.cached_audio_input_tokens,
        "input_image": usage.image_input_tokens,
        "input_video": usage.video_input_tokens,
    }
    readings = [
        sum(rates[name] * n for name, n in zip(most, counts, strict=True))
        for counts in itertools.product(*(range(n + 1) for n in most.values()))
        if sum(counts) == uncached
    ]
    assert cost(split, rates) == max(readings) + cost(list(counted.items()), rates)


def test_a_modality_that_was_not_used_needs_no_rate() -> None:
    """Only the rates of what is there are asked for."""
    asked: list[str] = []

    def rate(name: str) -> int:
        asked.append(name)
        return RATES[name]

    buckets.of_input(Usage(input_tokens=5), rate)
    assert set(asked) == {"input"}


def test_reasoning_is_plain_output_unless_it_has_a_rate() -> None:
    """85 out, of which 64 reasoning."""
    usage = Usage(output_tokens=85, reasoning_output_tokens=64)
    assert [b for b in buckets.of_output(usage, reasoning_apart=False) if b[1]] == [("output", 85)]
    split = [b for b in buckets.of_output(usage, reasoning_apart=True) if b[1]]
    assert split == [("output", 21), ("reasoning_output", 64)]


def test_output_parts_may_fill_their_whole() -> None:
    """Each at its own rate, and nothing is left for the plain one."""
    usage = Usage(output_tokens=9, reasoning_output_tokens=4, audio_output_tokens=3, image_output_tokens=2)
    assert buckets.of_output(usage, reasoning_apart=True) == [
        ("output", 0),
        ("reasoning_output", 4),
        ("output_audio", 3),
        ("output_image", 2),
    ]


@pytest.mark.parametrize("media", ["audio_output_tokens", "image_output_tokens"])
def test_output_parts_beyond_their_whole_are_absurd(media: str) -> None:
    """10 of reasoning and 10 of audio or images do not go into 15."""
    usage = Usage(**{"output_tokens": 15, "reasoning_output_tokens": 10, media: 10})
    with pytest.raises(SpendGuardError) as refused:
        buckets.of_output(usage, reasoning_apart=True)
    assert refused.value.code is Code.UPSTREAM_FAILED
