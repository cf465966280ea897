"""The byte bound: no string, key or number of a billable field is worth more tokens than it counts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed, values
from spendguard_daemon.providers import tokens
from spendguard_daemon.providers.json_text import parse
from spendguard_daemon.usage import InputBound, Limits

LIMITS = Limits(input_tokens_max=1_000, context_tokens=1_200, output_tokens_max=100)


def counted(value: object, *, escape: bool = False, indent: int | None = None) -> int:
    """Count a value as the input field of a body."""
    raw = json.dumps({"x": value}, ensure_ascii=escape, indent=indent).encode()
    return tokens.input_bytes(parse(raw).members.values())


def least(value: object) -> int:
    """Return the bytes that a model cannot be spared: every string, key and number, however shown."""
    match value:
        case str():
            return len(value.encode())
        case bool() | None:
            return 4
        case int() | float():
            return len(repr(value))
        case list():
            return sum(map(least, value))
        case dict():
            return sum(least(key) + least(item) for key, item in value.items())
    raise AssertionError(value)


def test_strings_count_their_utf8_bytes_and_quotes() -> None:
    assert counted("abc") == 5
    assert counted("é€😀") == 2 + 3 + 4 + 2


def test_escapes_and_white_space_of_the_client_do_not_count() -> None:
    value = [{"é": "\U0001f600"}, 12]
    assert counted(value, escape=True, indent=4) == counted(value)


def test_numbers_that_are_no_integers_count_for_every_way_to_write_them() -> None:
    assert counted(1.5) == 3 + 26
    assert counted(1e300) == 6 + 330
    assert counted([1.5, {"a": 2.5}]) == len('[1.5,{"a":2.5}]') + 2 * 26
    assert counted(12345) == 5 + 2
    assert counted([1, -2]) == len("[1,-2]") + 2 * 2


@relaxed
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_writing_of_a_double_is_longer_than_its_allowance(number: float) -> None:
    plain = f"{number:.1f}" if number == int(number) else ""
    exact = repr(number)
    if "e-" in exact:
        digits, _, exponent = exact.partition("e-")
        plain = "-0." + "0" * (int(exponent) - 1) + digits.replace(".", "").removeprefix("-")
    assert max(len(exact), len(plain)) <= counted(number) - len(exact)


@relaxed
@given(values)
def test_the_count_covers_every_string_key_and_number(value: object) -> None:
    assert counted(value) >= least(value)


@relaxed
@given(values, st.booleans(), st.sampled_from([None, 0, 3]))
def test_the_count_does_not_depend_on_how_the_client_writes(
    value: object, escape: bool, indent: int | None
) -> None:
    assert counted(value, escape=escape, indent=indent) == counted(value)


def test_framing_is_added_per_request_message_and_tool() -> None:
    assert tokens.byte_bound(LIMITS, input_bytes=100, messages=2, tools=0) == 100 + 64 + 2 * 16
    assert tokens.byte_bound(LIMITS, input_bytes=100, messages=2, tools=3) == 100 + 64 + 32 + 128 + 3 * 64


@pytest.mark.parametrize(
    ("bound", "rungs"), [(999, ["bytes", "window"]), (1_000, ["bytes", "window"]), (1_001, ["window"])]
)
def test_the_ladder_leaves_out_what_says_less_than_the_window(bound: int, rungs: list[str]) -> None:
    ladder = tokens.ladder(LIMITS, bound)
    assert [rung.rung for rung in ladder] == rungs
    assert ladder[-1] == InputBound("window", 1_000)
    assert [rung.tokens for rung in ladder] == sorted(rung.tokens for rung in ladder)


def test_the_window_is_the_smaller_of_the_two_limits() -> None:
    limits = Limits(input_tokens_max=5_000, context_tokens=1_200, output_tokens_max=100)
    assert tokens.ladder(limits, 9_999) == (InputBound("window", 1_200),)


@relaxed
@given(values)
def test_what_is_counted_is_the_compact_json(value: object) -> None:
    """Written fast where that makes no difference, else as Python writes it."""
    member = parse(json.dumps({"x": value}, ensure_ascii=False).encode()).members["x"]
    dense = json.dumps(member.value, ensure_ascii=False, separators=(",", ":")).encode()
    assert tokens.input_bytes([member]) == len(dense) + tokens.number_bytes(member)


@pytest.mark.parametrize("value", [2**64, -(2**70), [1.5, 2**64], 1e22, 1e-7, [1e16], '\x00\x1f\x7f\u2028"'])
def test_odd_numbers_and_characters_are_counted_alike(value: object) -> None:
    member = parse(json.dumps({"x": value}, ensure_ascii=False).encode()).members["x"]
    dense = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert tokens.input_bytes([member]) == len(dense) + tokens.number_bytes(member)
