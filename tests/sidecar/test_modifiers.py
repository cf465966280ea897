"""Modifiers of one kind exclude one another: what a quote is scaled by, and what a bill."""

import pytest

from spendguard_daemon.pricing import modifiers

CARD = {"geo:us": 11_000, "geo:eu": 12_000, "speed:fast": 20_000, "speed:slow": 5_000}


def test_a_quote_takes_the_dearest_of_each_kind() -> None:
    """Never less than plain: a discount may not be granted."""
    assert modifiers.worst(["geo:us", "speed:fast", "geo:eu"], CARD.__getitem__) == [12_000, 20_000]
    assert modifiers.worst(["speed:slow", "geo:global"], CARD.__getitem__) == [10_000, 10_000]
    assert modifiers.worst([], CARD.__getitem__) == []


@pytest.mark.parametrize(
    ("requested", "reported", "applied"),
    [
        ((), (), ()),
        (("geo:us",), (), ("geo:us",)),
        ((), ("geo:us",), ("geo:us",)),
        (("geo:us",), ("geo:us", "geo:us"), ("geo:us",)),
        (("geo:us", "speed:fast"), ("speed:standard",), ("speed:standard", "geo:us")),
        (("geo:us", "speed:fast"), ("geo:global", "speed:fast"), ("geo:global", "speed:fast")),
    ],
)
def test_the_report_replaces_the_request(
    requested: tuple[str, ...], reported: tuple[str, ...], applied: tuple[str, ...]
) -> None:
    """Kind by kind; what was not reported is billed as it was asked for."""
    assert modifiers.applied(requested, reported) == applied


def test_plain_names_need_no_card() -> None:
    """All others do."""
    assert {modifiers.points(name, CARD.__getitem__) for name in modifiers.PLAIN} == {10_000}
    with pytest.raises(KeyError):
        modifiers.points("geo:moon", CARD.__getitem__)
