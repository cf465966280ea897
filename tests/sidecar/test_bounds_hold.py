"""No bound of a recorded request is below what its provider reported; `bench/bounds.py` shows how tight."""

import pytest

from recorded_bounds import Bounded, bounded_recordings

ALL = {each.number: each for each in bounded_recordings()}


def numbers(rung: str) -> set[int]:
    return {number for number, each in ALL.items() if rung in {bound.rung for bound in each.bounds}}


@pytest.mark.parametrize("recorded", ALL.values(), ids=[f"{number:02}" for number in ALL])
def test_each_rung_holds(recorded: Bounded) -> None:
    """Also where the body does not show all of the input: there the window alone is left."""
    assert [bound.rung for bound in recorded.bounds if bound.tokens < recorded.reported] == []
    if not recorded.carries_prompt:
        assert [bound.rung for bound in recorded.bounds] == ["window"]


def test_which_recordings_were_bounded_by_what() -> None:
    """All that report their input, but 08, whose model has no price; 36 and 37 report none.

    Bytes bound all but those with a web search (13, 27, 33, 41) or a file kept by the provider (26); tokens
    are counted here for OpenAI, where the tokenizer is known (not for 06).
    """
    openai = {1, 2, 3, 4, 5, 6, 9, 12, 13, 14, 15, 16, 17, 19}
    anthropic = {20, 21, 22, 23, 24, 25, 26, 27}
    others = {30, 31, 32, 33, 34, 35, 38, 39, 40, 41}
    assert set(ALL) == numbers("window") == openai | anthropic | others
    assert numbers("bytes") == set(ALL) - {13, 26, 27, 33, 41}
    assert numbers("local") == openai - {6, 13}


def test_counting_is_closer_than_bytes() -> None:
    """A rung that costs time must be worth it: over long English text at most half above what was billed."""
    for number in (4, 17):
        closest = ALL[number].bounds[0]
        assert closest.rung == "local"
        assert closest.tokens < 1.5 * ALL[number].reported
