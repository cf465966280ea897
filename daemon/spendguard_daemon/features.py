"""The names by which an operator lets features pass: their form, and which kinds of them anyone asks about.

Owns the names only; what each means, its provider's module says. A provider may have new fields and tools any
day, so of most kinds any word is a name. Invariant: whatever a refusal names is known here.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import product

FEATURE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+:[A-Za-z0-9_.*/-]{1,100}", re.ASCII)
FEATURES_MAX = 64

CLOSED: Mapping[str, frozenset[str]] = {
    "anthropic.geo": frozenset({"workspace"}),
    "grok.chat.cap": frozenset({"reasoning", "calls"}),
    "grok.fee": frozenset({"violation"}),
}
"""The kinds of which there are these and no others: by them an operator relies on a provider."""

KINDS = frozenset(
    {
        *CLOSED,
        *(
            f"{api}.{kind}"
            for api, kind in product(
                ("openai.chat", "openai.responses", "grok.chat", "grok.responses", "gemini.openai_chat"),
                ("field", "item", "part", "tool"),
            )
        ),
        "openai.embeddings.field",
        "gemini.openai_chat.extra",
        "anthropic.messages.field",
        *(f"anthropic.{kind}" for kind in ("beta", "block", "edit", "source", "thinking", "tool")),
        *(
            f"gemini.{kind}"
            for kind in ("config", "count", "embed", "field", "media", "part", "thinking", "tool")
        ),
    }
)
"""What stands before the colon."""


def is_feature(text: str) -> bool:
    """Tell whether this is the name of a feature as refusals give it: `anthropic.tool:bash_20250124`."""
    return FEATURE.fullmatch(text) is not None


def known(feature: str) -> bool:
    """Tell whether anything may ask about this feature; of an open kind any word is known."""
    kind, _, word = feature.partition(":")
    return kind in KINDS and (kind not in CLOSED or word in CLOSED[kind])


def nearest(feature: str) -> str:
    """Return the known feature that an unknown one is likely meant for; empty where none is near."""
    kind, _, word = feature.partition(":")
    near = kind if kind in KINDS else next(iter(get_close_matches(kind, sorted(KINDS), 1)), "")
    if near in CLOSED:
        word = next(iter(get_close_matches(word, sorted(CLOSED[near]), 1)), "")
    return f"{near}:{word}" if near and word else ""
