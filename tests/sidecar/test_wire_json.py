"""Strict JSON on the wire: one form, integers only, one typed error (ledger-and-security.md 3.2)."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import wire_json

VECTORS = {
    "empty": b"",
    "duplicate key": b'{"a":1,"a":1}',
    "duplicate key deep down": b'{"a":[{"b":{"c":1,"c":2}}]}',
    "duplicate key by escape": b'{"a":1,"\\u0061":2}',
    "exponent": b'{"a":1e5}',
    "fraction": b'{"a":1.0}',
    "minus zero": b'{"a":-0}',
    "minus zero as a float": b'{"a":-0.0}',
    "2^53": b'{"a":9007199254740992}',
    "2^53 + 1": b'{"a":9007199254740993}',
    "-2^53": b'{"a":-9007199254740992}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "minus Infinity": b'{"a":-Infinity}',
    "1e400": b'{"a":1e400}',
    "4,301 digits": b'{"a":' + b"9" * 4301 + b"}",
    "4 million digits": b'{"a":' + b"9" * 4_000_000 + b"}",
    "leading zero": b'{"a":01}',
    "leading plus": b'{"a":+1}',
    "other digits": '{"a":²}'.encode(),
    "lone surrogate, escaped": b'{"a":"\\ud800"}',
    "lone surrogate in a key": b'{"\\udfff":1}',
    "lone surrogate, raw": b'{"a":"\xed\xa0\x80"}',
    "not UTF-8": b'{"a":"\xff"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "BOM": b'\xef\xbb\xbf{"a":1}',
    "trailing bytes": b'{"a":1}x',
    "trailing line feed": b'{"a":1}\n',
    "leading space": b' {"a":1}',
    "inner space": b'{"a": 1}',
    "two documents": b'{"a":1}{"a":1}',
    "keys out of order": b'{"b":1,"a":1}',
    "needless escape": b'{"a":"\\u0062"}',
    "escaped slash": b'{"a":"\\/"}',
    "upper-case escape": b'{"a":"\\u001F"}',
    "key that is no ASCII": '{"é":1}'.encode(),
    "same key, decomposed": '{"e\u0301":1}'.encode(),
    "key with a space": b'{"a b":1}',
    "empty key": b'{"":1}',
    "key of 129 letters": b'{"' + b"a" * 129 + b'":1}',
    "not an object": b"[]",
    "a string": b'"a"',
    "null": b"null",
    "unterminated": b'{"a":"',
    "unterminated with many escapes": b'{"a":"' + b'\\"' * 100_000,
    "depth of arrays": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "depth of objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "depth, never closed": b"[" * 1_000_000,
    "one too deep": b'{"a":' + b"[" * 12 + b"]" * 12 + b"}",
    "too large": b'{"a":"' + b"x" * wire_json.BYTES_MAX + b'"}',
}


@pytest.mark.parametrize("raw", VECTORS.values(), ids=VECTORS.keys())
def test_every_other_form_is_one_typed_error(raw: bytes) -> None:
    """None of them parses, none of them lets another exception through."""
    with pytest.raises(SpendGuardError) as refused:
        wire_json.loads(raw)
    assert refused.value.code is Code.PRICING_INVALID
    assert refused.value.detail.startswith("Price document is not valid: ")
    assert len(refused.value.detail) < 300


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"a":-1,"b":9007199254740991,"c":[true,false,null,""]}',
        '{"a":"é\U0001f600 \\" \\\\ \\u001f [[[[[[[[[[[[[[[[ {"}'.encode(),
        b'{"a":' + b"[" * 11 + b"]" * 11 + b"}",
        b'{"' + b"a" * 128 + b'":1}',
    ],
)
def test_canonical_bytes_are_read(raw: bytes) -> None:
    """Brackets inside text do not count as depth."""
    assert wire_json.dumps(wire_json.loads(raw)) == raw


def test_a_repeated_key_is_named() -> None:
    """A person who wrote a rate twice learns which."""
    with pytest.raises(SpendGuardError, match="the key gpt-4o stands twice in one object"):
        wire_json.loads(b'{"gpt-4o":1,"gpt-4o":2}')


@given(st.binary(max_size=64) | st.text(alphabet='{}[]",:0123456789-+eE.\\u"naltrufs \ud800', max_size=40))
def test_nothing_else_escapes(raw: bytes | str) -> None:
    """Any bytes give a value that writes back to the same bytes, or the one typed error."""
    data = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    try:
        value = wire_json.loads(data)
    except SpendGuardError as error:
        assert error.code is Code.PRICING_INVALID
    else:
        assert json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == data


def test_digits_are_counted_before_they_are_converted() -> None:
    """The interpreter's own limit (4,300 digits, ValueError) is never reached."""
    assert sys.get_int_max_str_digits() == 4300
    with pytest.raises(SpendGuardError, match="too many digits"):
        wire_json.loads(b'{"a":-' + b"1" * 5000 + b"}")


@given(st.integers(0, 253_402_300_799))
def test_times_round_trip_to_the_second(second: int) -> None:
    """From 1970 to the end of 9999."""
    text = wire_json.format_time(second * 10**9 + 999_999_999)
    assert wire_json.Row({"t": text}, "x").time_ns("t") == second * 10**9


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23",
        "2026-11-23T12:00:00",
        "2026-11-23T12:00:00+00:00",
        "2026-11-23T12:00:00.5Z",
        "2026-11-23 12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-11-23T12:60:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-23T12:00:00Z\n",
        "\u0662026-11-23T12:00:00Z",
        1_795_435_200,
        None,
    ],
)
def test_there_is_one_form_of_time(text: object) -> None:
    """UTC, to the second, and it must exist."""
    with pytest.raises(SpendGuardError, match=r"x\.t"):
        wire_json.Row({"t": text}, "x").time_ns("t")


def test_a_row_refuses_what_nobody_took() -> None:
    """A misspelled optional key is an error, not a rate that silently is not there."""
    row = wire_json.Row({"a": 1, "b": 2}, "x")
    row.integer("a", 0, 9)
    with pytest.raises(SpendGuardError, match=r"x\.b: unknown"):
        row.end()
    row.take("b")
    row.end()


@pytest.mark.parametrize("value", [True, "5", None, [], -1, 10, {}])
def test_an_integer_is_an_integer_in_range(value: object) -> None:
    """A boolean is none, though Python thinks so."""
    with pytest.raises(SpendGuardError, match=r"x\.a: expected an integer from 0 to 9"):
        wire_json.Row({"a": value}, "x").integer("a", 0, 9)


@pytest.mark.parametrize("value", [None, "a", ["a", "a"], ["a", 1], ["a", ""], [["a"]], {}])
def test_texts_are_different_texts(value: object) -> None:
    """An array of strings of the right form, each once."""
    with pytest.raises(SpendGuardError, match=r"x\.a: expected different texts"):
        wire_json.Row({"a": value}, "x").texts("a", wire_json.KEY)


def test_missing_and_wrong_kinds_name_their_path() -> None:
    """The operator's override is found by its path."""
    row = wire_json.Row({"a": [{}, 1], "b": 1, "c": {"d": 1}}, "x")
    for match, call in {
        r"x\.z: missing": lambda: row.take("z"),
        r"x\.a\[1\]: expected an object": lambda: row.rows("a"),
        r"x\.b: expected an array": lambda: row.rows("b"),
        r"x\.b: expected an object": lambda: row.row("b"),
        r"x\.b: expected true or false": lambda: row.flag("b"),
        r"x\.c\.d: unknown": lambda: row.row("c").integers(frozenset({"e"}), 0, 9),
    }.items():
        with pytest.raises(SpendGuardError, match=match):
            call()
