"""The bytes of a normalised text: the facts of Unicode that the bound rests on, and the bound itself."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed
from spendguard_daemon.providers import unicode_size
from spendguard_daemon.providers.unicode_size import GROWTH_MAX, PIECE_CHARACTERS, normalised_bytes

EVERY = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
AWKWARD = "a1 é\u0301\u0323\u0338e\u1100\u1161\u11a8가각ﷺ𝅘𝅥𝅮\U0001d160\uff0c你\u0344\u0f77"


def size(text: str) -> int:
    return len(text.encode())


def largest(text: str) -> int:
    return max(size(text), *(size(unicodedata.normalize(form, text)) for form in ("NFC", "NFKC")))


def test_no_character_grows_more_than_is_assumed() -> None:
    grown = max(
        size(unicodedata.normalize(form, one)) / size(one)
        for one in EVERY
        for form in ("NFC", "NFD", "NFKC", "NFKD")
    )
    assert grown == GROWTH_MAX


def test_composing_never_takes_more_bytes_and_no_later_part_is_ascii() -> None:
    for one in EVERY:
        parts = unicodedata.decomposition(one).split()
        if len(parts) != 2 or parts[0].startswith("<"):
            continue
        first, second = (chr(int(part, 16)) for part in parts)
        assert not second.isascii()
        if unicodedata.normalize("NFC", first + second) == one:
            assert size(one) <= size(first) + size(second)


def test_ascii_is_counted_as_it_is() -> None:
    assert normalised_bytes("") == 0
    assert normalised_bytes("abc" * 100_000) == 300_000


@relaxed
@given(st.text(AWKWARD, max_size=30) | st.text(max_size=30))
def test_a_short_text_is_counted_exactly(text: str) -> None:
    assert normalised_bytes(text) == largest(text)


@relaxed
@given(st.lists(st.text(AWKWARD, min_size=1, max_size=6), min_size=1, max_size=4), st.integers(1, 9))
def test_a_long_text_is_never_counted_short(parts: list[str], piece: int) -> None:
    """With tiny pieces every cut falls somewhere awkward."""
    text = "".join(part * 5 for part in parts)
    with_pieces = _with_piece(piece, text)
    assert largest(text) <= with_pieces <= GROWTH_MAX * size(text)


def _with_piece(piece: int, text: str) -> int:
    usual = unicode_size.PIECE_CHARACTERS
    unicode_size.PIECE_CHARACTERS = piece
    try:
        return normalised_bytes(text)
    finally:
        unicode_size.PIECE_CHARACTERS = usual


@pytest.mark.parametrize("piece", [1, 2, 3, 4])
@pytest.mark.parametrize("text", ["é\u0323", "é\u0301\u0323", "\u1100\u1161\u11a8", "\u0344é\u0338"])
def test_a_cut_between_a_character_and_its_marks_counts_none_short(text: str, piece: int) -> None:
    """In two pieces é + U+0323 is 4 bytes, in one it is 5: the dot below goes before the accent."""
    for shift in ("", "가", "ﷺ가"):
        whole = shift + text * 7
        assert _with_piece(piece, whole) >= largest(whole)


def test_a_long_text_with_ascii_in_it_is_counted_exactly() -> None:
    text = "e\u0301\u0323 ﷺ" * PIECE_CHARACTERS
    assert normalised_bytes(text) == largest(text)


def test_plain_data_beside_a_hostile_text_costs_nothing_more() -> None:
    """Base64 of some screenshots, and then a word that is not ASCII."""
    assert normalised_bytes("A" * 10_000_000 + "é") == 10_000_002


def test_far_beyond_any_window_growth_is_assumed() -> None:
    text = "ﷺ" * 4_000_000
    assert size(text) * GROWTH_MAX == normalised_bytes(text)
    accented = "é " * 4_000_000
    assert normalised_bytes(accented) >= size(accented)
