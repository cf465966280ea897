"""The words in which tables say what a request may hold: a field, its use, its source. Data only.

Fields at the top, tool types and part types can bill, so the tables are allow-lists: what is not there is
refused (design 5.2). Unknown keys inside messages, parts and schemas are not listed: they count as input
bytes.
"""

from dataclasses import dataclass
from enum import Enum


class Use(Enum):
    """What a field does to the bill."""

    INPUT = "input"
    """Its bytes are billed as input."""
    CONTROL = "control"
    """It decides what is billed; the reader reads it, the rewrite may set it."""
    FREE = "free"
    """It is not billed, and changes nothing beyond the bounds that other fields give."""
    REFUSED = "refused"
    """What it costs has no bound that we know; null is as good as absent."""


@dataclass(frozen=True, slots=True)
class Field:
    """One top-level field: the JSON types it may have (null is as good as absent), and where that is said."""

    use: Use
    kinds: tuple[str, ...]
    source: str
