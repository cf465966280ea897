"""Canonical JSON: one value, one byte string."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_daemon import canonical
from spendguard_daemon.errors import Code, SpendGuardError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-canonical.INT_MAX, canonical.INT_MAX)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_round_trip(value: canonical.Json) -> None:
    """What was written reads back as the same value, and writes again as the same bytes."""
    raw = canonical.dumps(value)
    assert json.loads(raw) == value
    assert canonical.dumps(json.loads(raw)) == raw


def test_form() -> None:
    """Keys are sorted by code point, there is no space, and text stays UTF-8."""
    assert (
        canonical.dumps({"b": [1, True, None], "a": "é", "B": {}})
        == '{"B":{},"a":"é","b":[1,true,null]}'.encode()
    )


def test_order_of_insertion_does_not_matter() -> None:
    """Two dictionaries that are equal have the same bytes."""
    assert canonical.dumps({"a": 1, "b": 2}) == canonical.dumps({"b": 2, "a": 1})


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        [0.5],
        {"a": {"b": float("nan")}},
        canonical.INT_MAX + 1,
        -canonical.INT_MAX - 1,
        {1: "a"},
        {"a": (1,)},
        b"raw",
        "\ud800",
        {"\udfff": 1},
    ],
)
def test_refuses_what_has_no_canonical_form(value: object) -> None:
    """Floats, numbers beyond 2^53 - 1, strange keys and types, lone surrogates."""
    with pytest.raises(SpendGuardError) as refused:
        canonical.dumps(value)
    assert refused.value.code is Code.PRICING_INVALID


def test_the_refusal_names_the_place() -> None:
    """A person can find the float."""
    with pytest.raises(SpendGuardError, match=r"\$\.a\[1\]\.b is a float"):
        canonical.dumps({"a": [0, {"b": 1.5}]})


def test_sha256() -> None:
    """The hash is the well-known one of the empty string."""
    assert canonical.sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
