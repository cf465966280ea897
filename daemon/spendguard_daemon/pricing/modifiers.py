"""What scales a call's token rates: `geo:us`, `speed:fast`; integer basis points, never a float.

Owns how modifiers of one kind (the text before the colon) exclude one another: a call runs in one place and
at one speed. Knows no rates. Invariant: for a request's modifiers and any report of a provider that names,
for each kind, one of them or the plain one, the factor of the bill is at most the factor of the quote.
"""

from collections.abc import Callable, Iterable

BASIS_POINTS = 10_000

PLAIN = frozenset({"geo:global", "geo:not_available", "speed:standard"})
"""What Anthropic calls the unscaled case (`inference_geo`, `speed`); a card needs no entry for it."""

Lookup = Callable[[str], int]
"""The basis points of a modifier; raises where a card has none."""


def worst(modifiers: Iterable[str], lookup: Lookup) -> list[int]:
    """Return the factors that a call may be billed with: of each kind the dearest, plain at least."""
    dearest: dict[str, int] = {}
    for name in modifiers:
        kind = _kind(name)
        dearest[kind] = max(dearest.get(kind, BASIS_POINTS), points(name, lookup))
    return list(dearest.values())


def applied(requested: Iterable[str], reported: Iterable[str]) -> tuple[str, ...]:
    """Return the modifiers that a bill has: as reported, and as requested where nothing was reported.

    Of several of one kind the provider's word counts, for it says what was served (costs.md D).
    """
    said = tuple(dict.fromkeys(reported))
    kinds = {_kind(name) for name in said}
    return *said, *(name for name in dict.fromkeys(requested) if _kind(name) not in kinds)


def points(name: str, lookup: Lookup) -> int:
    """Return the basis points of a modifier, 10,000 for a plain one. Raises what `lookup` raises."""
    return BASIS_POINTS if name in PLAIN else lookup(name)


def _kind(name: str) -> str:
    return name.partition(":")[0]
