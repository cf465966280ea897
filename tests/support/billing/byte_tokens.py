"""Tokenizers that nobody here has: they may normalise, and fall back to bytes (costs.md C1).

A text costs at most a token for each byte of the longest of raw, NFC and NFKC, and one more.
"""

import json
import unicodedata
from typing import Literal

from billing.worst import strings

Form = Literal["", "NFC", "NFKC"]
FORMS: tuple[Form, ...] = ("", "NFC", "NFKC")


def shown(value: object, form: Form) -> int:
    """Return the tokens that a value may take: as JSON, or string by string."""
    if value is None:
        return 0
    as_json = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return max(_tokens(as_json, form), sum(_tokens(text, form) for text in strings(value)))


def _tokens(text: str, form: Form) -> int:
    return len((unicodedata.normalize(form, text) if form else text).encode()) + 1
