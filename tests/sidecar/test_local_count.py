"""Token counts made here: exact for a text by itself, never too low for one that is joined with others."""

import toktok
from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed
from spendguard_daemon.providers import local_count

ENCODINGS = ["o200k_base", "cl100k_base"]
WORDS = [
    "the",
    "Hello",
    "'",
    "'s",
    "'LL",
    ".",
    ",",
    "!!!",
    "...",
    "123",
    "4567",
    "é",
    "漢字",
    "。",
    "ひら",
    "한국",
]
MORE = [
    "Привет",
    "😀",
    "_",
    "/",
    "\\",
    '"',
    "aB",
    "<|endoftext|>",
    "<|",
    "|>",
    "{",
    "}",
    "[]",
    "ﷺ",
    "١٢",
    "½",
    "x" * 40,
]
SPACES = [" ", "  ", "\n", "\r\n", "\t", "\u3000", "\u00a0"]
words = st.sampled_from([*WORDS, *MORE, *SPACES, "\u0301", "\u1c89", "\U0003248d"])
texts = st.lists(words, max_size=30).map("".join) | st.text(max_size=30)


def tokens(text: str, encoding: str, *, special: bool = False) -> int:
    """Count as the provider does: special marks as ordinary text or as what they are."""
    count: int = toktok.batch_count([text], encoding, threads=1, with_special=special)[0]
    return count


def size(text: str) -> int:
    return len(text.encode())


@relaxed
@given(st.lists(texts, min_size=1, max_size=4), st.lists(texts, min_size=5, max_size=5))
def test_texts_joined_in_any_way_have_no_more_tokens_than_was_said(
    parts: list[str], around: list[str]
) -> None:
    """Whatever stands between, before and behind them may take its bytes; the texts keep what they saved."""
    for encoding in ENCODINGS:
        saved = local_count.saved(parts, encoding)
        assert saved is not None
        assert 0 <= saved <= sum(map(size, parts))
        for joints in (around, [""] * 5, ["\n"] * 5, [" "] * 5):
            pieces = [piece for pair in zip(joints, parts, strict=False) for piece in pair] + joints[4:]
            whole = "".join(pieces)
            for special in (False, True):
                assert tokens(whole, encoding, special=special) <= size(whole) - saved


@relaxed
@given(st.lists(texts, max_size=4))
def test_texts_by_themselves_have_no_more_tokens_than_was_said(parts: list[str]) -> None:
    for encoding in ENCODINGS:
        said = local_count.exact(parts, encoding)
        assert said is not None
        assert said <= sum(map(size, parts))
        for special in (False, True):
            assert sum(tokens(part, encoding, special=special) for part in parts) <= said


def test_a_plain_text_is_counted_exactly() -> None:
    for encoding in ENCODINGS:
        for text in ("", "a", "The quick brown fox.", "Größe 12345\n漢字、ひらがな 😀", "don't" * 50):
            assert local_count.exact([text], encoding) == tokens(text, encoding)


def test_prose_is_counted_but_for_its_first_and_last_word() -> None:
    prose = "The quick brown fox jumps over the lazy dog. " * 100
    for encoding in ENCODINGS:
        saved = local_count.saved([prose], encoding)
        assert saved is not None
        assert tokens(prose, encoding) <= size(prose) - saved <= tokens(prose, encoding) + 10


def test_joined_texts_can_have_more_tokens_than_apart() -> None:
    """Why texts are not simply counted one by one: merging is not optimal, so a whole may need more."""
    for encoding in ENCODINGS:
        assert tokens("ness", encoding) + tokens("the", encoding) == 2
        assert tokens("nessthe", encoding) == 3
        assert local_count.saved(["ness", "the"], encoding) == 0


def test_special_marks_and_new_characters_count_by_their_bytes() -> None:
    for encoding in ENCODINGS:
        for odd in ("<|endoftext|>", "<|im_start|>", "\u1c89", "\U0003248d"):
            assert local_count.exact([odd], encoding) == size(odd)


def test_one_long_run_is_no_trap() -> None:
    """Bounded by bytes where there is no cut, and counted in one go where there are two."""
    for encoding in ENCODINGS:
        for text in ("a" * 2**20, " " * 2**20, "\n" * 2**20):
            assert local_count.saved([text], encoding) == 0
            core = "x " + text + "y z"
            saved = local_count.saved([core], encoding)
            assert saved is not None
            assert tokens(core, encoding) <= size(core) - saved <= tokens(core, encoding) + 6


def test_an_unknown_vocabulary_is_not_counted() -> None:
    assert local_count.saved(["x"], "p50k_base") is None
    assert local_count.exact(["x"], "") is None
