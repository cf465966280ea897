"""Token counts by OpenAI's public vocabularies: exact, or never too low where text may be joined.

Owns the tokenizer (toktok, which has the vocabularies built in and is loaded at the first count) and one
fact about how its texts split. Slow for large texts: callers count off the event loop. Knows no formats.

Both vocabularies first cut a text into pieces by a pattern that looks at nothing behind it, then count each
piece by itself. A provider may join a string with others, with role marks or templates around it, and joined
text may cut otherwise than its parts; merging is not optimal, so the whole may even count more than its
parts. But behind a letter or digit that is followed by a space or punctuation (but no apostrophe) there is a
cut whatever stands around: a piece that holds a letter goes on with letters alone, or with an apostrophe and
letters; one that holds a digit has digits alone. And from a cut on, the pattern sees only what follows; up to
a cut that comes after a letter or digit, the end of the text reads as the space or mark that follows it. So
of each string the part between its first and its last such place counts the same in any surroundings, and
is counted; what stands before and after it is at most its bytes, as every token takes at least one.

Text like `<|endoftext|>` may be ordinary or one special token, which cuts; and whether a character that is
new in Unicode is a letter depends on whose table is asked. So a string is taken as several there, and what
stands between them by its bytes.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache

Counter = Callable[[list[str]], list[int]]

# Letters and digits, and marks, whose classes were settled long before either vocabulary was made.
_LETTER = (
    r"0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff\u0410-\u044f"
    r"\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
)
_MARK = (
    r" \t\n\r!\"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~"
    r"\u3001\u3002\u300c\u300d\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
)
_CUT = re.compile(f"[{_LETTER}](?=[{_MARK}])")
_SPECIAL = r"<\|[^<>|\s]{0,64}\|>"
_NEW_IN_BMP = (
    "\u088f\u0c5c\u0cdc\u0cf3\u0ece\u1acf\u1c89\u1c8a\u20c1\u2ffc\u2ffd\u2ffe\u2fff\u31e4\u31e5\u31ef"
    "\ua7cb\ua7cc\ua7cd\ua7ce\ua7cf\ua7d2\ua7d4\ua7da\ua7db\ua7dc\ua7f1"
)
"""Assigned in Unicode 15 to 17; for what comes later the interpreter's own table is too old."""

_SETTLED_BEYOND_BMP = "\U0001f000-\U0001faff\U00020000-\U0002a6d6"
"""Pictographs, none of them letters, and the oldest block of ideographs, all letters."""

_TAIL_CHARACTERS = 200
_BMP = 0x10000

_PROOF = "Größe 12345: 漢字、\t<|endoftext|> don't\r\n  x=[1, 2]; 😀 ÅÄ\u0301"
_PROOF_COUNTS = {"o200k_base": 32, "cl100k_base": 34}


@cache
def _apart() -> re.Pattern[str]:
    """Return the pattern of what may or may not cut a text."""
    new = "".join(c for c in map(chr, range(_BMP)) if unicodedata.category(c) == "Cn") + _NEW_IN_BMP
    return re.compile(f"{_SPECIAL}|[{new}]|[^\\u0000-\\uffff{_SETTLED_BEYOND_BMP}]")


@cache
def _counter(encoding: str) -> Counter | None:
    """Return the counter of a vocabulary, None where there is none that counts as it should."""
    try:
        import toktok
    except ImportError:
        return None
    if encoding not in _PROOF_COUNTS:
        return None

    def count(texts: list[str]) -> list[int]:
        counts: list[int] = toktok.batch_count(texts, encoding, threads=1)
        return counts

    return count if count([_PROOF]) == [_PROOF_COUNTS[encoding]] else None


def exact(texts: Sequence[str], encoding: str) -> int | None:
    """Return at least the tokens of texts that are each a prompt of their own; None where nobody can count.

    Exact but for what may or may not cut a text.
    """
    counter = _counter(encoding)
    if counter is None:
        return None
    plain = [text for text in texts if _apart().search(text) is None]
    marked = [text for text in texts if _apart().search(text) is not None]
    size = sum(len(text.encode()) for text in marked)
    return sum(counter(plain)) + size - _saved(marked, counter)


def saved(texts: Sequence[str], encoding: str) -> int | None:
    """Return how far below their bytes the tokens of these texts are at least, in any surroundings.

    None where nobody can count.
    """
    counter = _counter(encoding)
    return None if counter is None else _saved(texts, counter)


def _saved(texts: Sequence[str], counter: Counter) -> int:
    cores = [core for text in texts for piece in _apart().split(text) if (core := _core(piece))]
    return sum(len(core.encode()) for core in cores) - sum(counter(cores))


def _core(text: str) -> str:
    """Return what stands between the first and the last sure cut; empty where there are not two."""
    first = _CUT.search(text)
    if first is None:
        return ""
    return text[first.end() : _last_cut(text, first.end())]


def _last_cut(text: str, start: int) -> int:
    """Return the place of the last sure cut at or after `start`, which is one."""
    size = _TAIL_CHARACTERS
    while True:
        begin = max(start - 1, len(text) - size)
        last = start
        for match in _CUT.finditer(text, begin):
            last = match.end()
        if last > start or begin == start - 1:
            return last
        size *= 8
