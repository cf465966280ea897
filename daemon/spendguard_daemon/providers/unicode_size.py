"""The bytes that a text can take once a tokenizer has normalised it, for tokenizers that we do not know.

Some normalise first (NFC, or NFKC for older ones), and may then see more bytes than were sent: U+1D160 takes
three times as many in NFC, U+FDFA eleven times in NFKC (costs.md C1). So the bound is the largest of raw, NFC
and NFKC. Facts of Unicode it rests on, each held by a test over all characters: decomposing works on one
character at a time; composing never takes more bytes than the parts; no ASCII character is ever a later part
of a composition, so cutting a text before one changes nothing; none grows more than `GROWTH_MAX` times.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

GROWTH_MAX = 11
"""The most that any character grows under any normalisation, U+FDFA: 3 bytes become 33."""

EXACT_BYTES_MAX = 4 * 2**20
"""Above this, which is more than any context window holds, growth is assumed instead of worked out. Only what
is not ASCII counts, so long plain data beside it (base64) does not matter."""

PIECE_CHARACTERS = 64 * 1024
"""Texts are worked on in pieces of about this size, so that no hostile one takes much memory at once."""

_ASCII = re.compile(r"[\x00-\x7f]")
_Forms = tuple[Literal["NFC", "NFD"], Literal["NFKC", "NFKD"]]
_COMPOSED: _Forms = ("NFC", "NFKC")
_DECOMPOSED: _Forms = ("NFD", "NFKD")


def normalised_bytes(text: str) -> int:
    """Return an upper bound of the UTF-8 bytes of `text` as it stands, in NFC, and in NFKC.

    Exact but for texts of many characters without one of ASCII among them, or above `EXACT_BYTES_MAX`.
    Raises UnicodeEncodeError on half characters.
    """
    if text.isascii():
        return len(text)
    plain = worked = 0
    for start, end, whole in _pieces(text):
        piece = text[start:end]
        if piece.isascii():
            plain += len(piece)
        elif worked > EXACT_BYTES_MAX:
            worked += len(piece.encode()) * GROWTH_MAX
        else:
            worked += _largest(piece, _COMPOSED if whole else _DECOMPOSED)
    return plain + worked


def _pieces(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield the places of the pieces, and whether both ends are where cutting changes nothing."""
    start, safe = 0, True
    while start < len(text):
        found = _ASCII.search(text, start + PIECE_CHARACTERS, start + 2 * PIECE_CHARACTERS)
        at_end = start + 2 * PIECE_CHARACTERS >= len(text)
        end = found.start() if found else min(len(text), start + 2 * PIECE_CHARACTERS)
        ends_safe = found is not None or at_end
        yield start, end, safe and ends_safe
        start, safe = end, ends_safe


def _largest(piece: str, forms: _Forms) -> int:
    return max(len(piece.encode()), *(len(unicodedata.normalize(form, piece).encode()) for form in forms))
