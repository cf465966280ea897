"""Foreign text on a terminal: nothing that steers it survives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_daemon.text import is_name, is_safe, safe


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\x1b]0;title\x07", "a\u202eb", "a\u2066b", "\x9b31m", "a\u200bb", "\ud800"]
)
def test_controls_are_dropped(text: str) -> None:
    """Escape sequences, bidi controls, zero-width and C1 characters."""
    assert not any(not is_safe(character) for character in safe(text))
    assert not is_name(text)


@given(st.text(max_size=400))
def test_safe_text_is_safe_and_short(text: str) -> None:
    """Whatever comes in."""
    shown = safe(text)
    assert len(shown) <= 200
    assert all(map(is_safe, shown))
    assert safe(shown) == shown


def test_plain_text_is_left_alone() -> None:
    """Letters of any script, punctuation, emoji."""
    for text in ("my-agent", "Größe 名前", "[/] [link=x]", "🚀"):
        assert safe(text) == text
        assert is_name(text)
    assert safe("two\nlines") == "two lines"
    assert not is_name("   ")
    assert not is_name("x" * 201)
