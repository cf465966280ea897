"""Numbers of schema 1 documents, as they are signed: exact rationals, never binary floats.

Owns what a number with a point or an exponent means. Python's `json` writes a float as the shortest decimal
text that means it, and that text is what schema 1 signs; so that text is the number. Invariant: what `Exact`
holds and what the signature is over cannot differ.
"""

import math
from fractions import Fraction

from spendguard_daemon.pricing.wire_json import Row, invalid

CHARACTERS_MAX = 40
"""More than any price needs; a text of thousands of digits is not even converted."""


class Exact(float):
    """A number with a fraction; `json` writes it as it writes any float."""

    __slots__ = ()

    @property
    def fraction(self) -> Fraction:
        """The value of the text that is signed."""
        return Fraction(float.__repr__(self))


def read_float(text: str) -> Exact:
    """Read a number with a point or an exponent; raise PRICING_INVALID for one that no price can be."""
    if len(text) > CHARACTERS_MAX:
        raise invalid("a number has too many digits")
    value = Exact(text)
    if text.startswith("-") or not math.isfinite(value):
        raise invalid(f"{text} is no number that a price can be")
    return value


def take(row: Row, key: str, high: int) -> Fraction:
    """Return a number from 0 to `high`, exactly; a boolean and a text are none. Raises PRICING_INVALID."""
    value: object = row.take(key)
    if isinstance(value, Exact):
        number = value.fraction
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Fraction(value)
    else:
        number = Fraction(-1)
    if not 0 <= number <= high:
        raise invalid(f"{row.path}.{key}: expected a number from 0 to {high}")
    return number
