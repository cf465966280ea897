"""Text from outside made fit for a terminal, a log line and a record.

A name or a provider's message may hold escape sequences, bidi controls or markup; Rich lets them through
even from `escape()` and `Text`. So everything foreign passes `safe` before a person sees it. It may also hold
a key that was put where none belongs; so what is written down, or said back, passes `without_keys`.
"""

import re
import unicodedata

NAME_LENGTH_MAX = 200

_BIDI = frozenset(
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
)
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_KEY = re.compile(
    r"(?:\b|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
    r"(?:(?:sk-|xai-|AIza|AQ\.)[A-Za-z0-9_-]{16,}|(?i:sg_admin_|sg_agent_)[A-Za-z0-9_.-]{6,})"
)
"""What looks like a key. It may begin where a word does, also behind what JSON or a URL has escaped. An
agent's key is one with its dots: all behind the first is its secret, or what it was narrowed by.
"""

_BEARER = re.compile(r"(?i:bearer)\s+[^\s\"',}\\]+")


def is_safe(character: str) -> bool:
    """Tell whether a character prints as itself: no control, bidi, zero-width, surrogate or private one."""
    return character not in _BIDI and unicodedata.category(character) not in _INVISIBLE_CATEGORIES


def safe(text: str, length_max: int = NAME_LENGTH_MAX) -> str:
    """Return `text` without what could steer a terminal, cut to `length_max` characters."""
    kept = "".join(c if is_safe(c) else " " if c in "\n\r\t" else "" for c in text[: length_max * 4])
    return kept if len(kept) <= length_max else kept[: length_max - 1] + "…"


def is_name(text: str) -> bool:
    """Tell whether `text` may be an agent's name: 1 to 200 printable characters, not only space."""
    return bool(text.strip()) and len(text) <= NAME_LENGTH_MAX and all(map(is_safe, text))


def without_keys(text: str) -> str:
    """Return `text` with what looks like a key of a provider or of ours, or is a bearer's, blotted out."""
    return _KEY.sub("[redacted]", _BEARER.sub("[redacted]", text))


def holds_key(text: str) -> bool:
    """Tell whether something in `text` looks like a key."""
    return _KEY.search(text) is not None
