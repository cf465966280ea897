"""Strict JSON: what is let through is one well-formed object, and its members are found where they stand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import objects, relaxed
from spendguard_daemon.errors import Code, MalformedError
from spendguard_daemon.providers.json_size import DEPTH_MAX
from spendguard_daemon.providers.json_text import (
    MEMBERS_MAX,
    NUMBER_CHARACTERS_MAX,
    join_path,
    kind_of,
    parse,
    parse_object,
)


def nested(depth: int) -> bytes:
    """Return an object whose deepest value stands at this depth."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "body"),
        (b"   ", "body"),
        (b"not json", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"null", "body"),
        (b"12", "body"),
        (b"{", "body"),
        (b'{"a"', "body"),
        (b'{"a":', "body"),
        (b'{"a":1', "body"),
        (b'{"a":1,', "body"),
        (b'{"a":1,}', "body"),
        (b"{a:1}", "body"),
        (b"{'a':1}", "body"),
        (b'{"a":01}', "body"),
        (b'{"a":+1}', "body"),
        (b'{"a":.5}', "body"),
        (b'{"a":1}//', "body"),
        (b'{"a":1} x', "body"),
        (b'{"a":1}{"a":1}', "body"),
        (b'{"a":1}\x00', "body"),
        (b'{"a":"\x01"}', "body"),
        (b'{"a":"\\x"}', "body"),
        (b'{"a":"\xff"}', "body"),
        (b'{"a":"\xed\xa0\x80"}', "body"),
        (b'\xef\xbb\xbf{"a":1}', "body"),
        ('{"a":1}'.encode("utf-16"), "body"),
        ('{"a":1}'.encode("utf-16-le"), "body"),
        ('{"a":1}'.encode("utf-16-be"), "body"),
        ('{"a":1}'.encode("utf-32"), "body"),
        (b'\xa0{"a":1}', "body"),
        ('{"a":\u00a01}'.encode(), "body"),
        (b'{"a":1,"a":2}', "a"),
        (b'{"a":1,"\\u0061":2}', "a"),
        (b'{"x":{"a":1,"\\u0061":1}}', "x.a"),
        (b'{"x":[0,{"y":[{"b":{},"b":{}}]}]}', "x[1].y[0].b"),
        (b'{"a":NaN}', "a"),
        (b'{"a":[Infinity]}', "a[0]"),
        (b'{"a":[0,{"b":-Infinity}]}', "a[1].b"),
        (b'{"a":1e400}', "a"),
        (b'{"a":{"b":-1e400}}', "a.b"),
        (b'{"a":' + b"9" * 401 + b"}", "a"),
        (b'{"a":[' + b"9" * 100_000 + b"]}", "a[0]"),
        (b'{"a":"\\ud800"}', "a"),
        (b'{"a":["x","\\udc00\\ud800"]}', "a[1]"),
        (b'{"a":{"\\uD83D":1}}', "a.<key>"),
        (b'{"a b":{"c":NaN}}', "<key>.c"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_path(body: bytes, path: str) -> None:
    with pytest.raises(MalformedError) as refused:
        parse(body)
    assert refused.value.code is Code.MALFORMED_REQUEST
    assert refused.value.facts["path"] == path
    assert refused.value.detail.startswith(f"Malformed request: {path}: expected ")


@pytest.mark.parametrize("depth", [DEPTH_MAX + 1, 1_000, 10_000, 199_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(MalformedError, match="levels of nesting"):
        parse(nested(depth))


def test_deep_nesting_of_objects_that_never_close_is_refused() -> None:
    with pytest.raises(MalformedError, match="levels of nesting"):
        parse(b'{"a":' * 10_000)


def test_nesting_up_to_the_limit_is_taken() -> None:
    assert parse(nested(DEPTH_MAX)).value("a") is not None


def test_brackets_in_strings_are_no_nesting() -> None:
    text = "[{" * 5_000 + '\\"' + "[" * 5_000
    body = json.dumps({"a": text, "b": ["[" * 300, "\\"]}).encode()
    assert parse(body).value("a") == text


@pytest.mark.parametrize(
    "body", [b'{"a":"' + b'\\"' * 500_000, b'{"a":"' + b"[" * 500_000, b"[" * 300 + b'"\\']
)
def test_strings_that_never_end_are_refused_in_linear_time(body: bytes) -> None:
    """A quadratic scan of half a million quotes would not come back within the suite's patience."""
    with pytest.raises(MalformedError):
        parse(body)


def test_the_longest_integer_is_taken() -> None:
    assert parse(b'{"a":' + b"9" * NUMBER_CHARACTERS_MAX + b"}").value("a") == 10**NUMBER_CHARACTERS_MAX - 1


def test_the_longest_float_is_taken_and_no_longer_one() -> None:
    digits = b"1." + b"1" * (NUMBER_CHARACTERS_MAX - 2)
    assert parse(b'{"a":' + digits + b"}").value("a") == pytest.approx(10 / 9)
    with pytest.raises(MalformedError, match="400 characters"):
        parse(b'{"a":' + digits + b"1}")


def test_members_at_the_top_are_counted() -> None:
    members = [f'"{number}":0' for number in range(MEMBERS_MAX + 1)]
    assert len(parse_object(b"{" + ",".join(members[1:]).encode() + b"}")) == MEMBERS_MAX
    with pytest.raises(MalformedError, match="members at the top"):
        parse(b"{" + ",".join(members).encode() + b"}")


def test_a_fault_far_down_among_many_values_is_told_by_its_path() -> None:
    """Every path at that depth, written out, would be gigabytes."""
    key = "k" * 64
    body = f'{{"{key}":' * 150 + "[" + "0," * 100_000 + "NaN]" + "}" * 150
    with pytest.raises(MalformedError) as refused:
        parse(body.encode())
    assert refused.value.facts["path"] == ".".join([key] * 150) + "[100000]"


def test_a_document_can_forget_values_and_keeps_their_places() -> None:
    document = parse(b'{"a":[1,2.5],"b":2}')
    slim = document.forgetting({"a", "c"})
    assert (slim.value("a"), slim.value("b"), slim.text) == (None, 2, document.text)
    assert slim.members["a"].value_end == document.members["a"].value_end
    assert slim.members["a"].floats == ()


def test_lone_surrogates_pass_where_they_are_allowed() -> None:
    assert parse(b'{"a":"\\ud800"}', lone_surrogates=True).value("a") == "\ud800"


def test_an_escaped_pair_is_a_whole_character() -> None:
    assert parse(b'{"a":"\\ud83d\\ude00"}').value("a") == "\U0001f600"


def test_the_error_shows_no_key_that_could_be_content() -> None:
    with pytest.raises(MalformedError) as refused:
        parse(json.dumps({"a": {"my secret plan": 1}}).replace("1", "NaN").encode())
    assert "secret" not in refused.value.detail


@relaxed
@given(objects, st.sampled_from([None, 2]), st.booleans())
def test_any_object_is_read_and_its_members_stand_where_they_are_said_to(
    value: dict[str, object], indent: int | None, escape: bool
) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=escape, allow_nan=False).encode()
    document = parse(b" \n" + raw + b"\t\r\n")
    assert parse_object(raw) == value
    assert document.text.encode() == b" \n" + raw + b"\t\r\n"
    assert document.text[document.start] == "{"
    assert list(document.members) == list(value)
    for name, member in document.members.items():
        assert json.loads(document.text[member.value_start : member.value_end]) == value[name]
        assert document.text[member.key_start] == '"'
        assert member.key_start < member.value_start < member.value_end


@relaxed
@given(st.binary(max_size=200) | objects.map(lambda value: json.dumps(value).encode()[:-1]))
def test_any_bytes_are_read_or_refused_and_never_more_lenient_than_the_standard_library(raw: bytes) -> None:
    try:
        taken = parse_object(raw)
    except MalformedError:
        return
    assert json.loads(raw) == taken


def test_floats_are_told_apart_from_integers() -> None:
    document = parse(b'{"a":[1,2.5,{"b":1e2}],"c":3,"d":0.0}')
    found = {name: (member.integers, member.floats) for name, member in document.members.items()}
    assert found == {"a": (1, (2.5, 100.0)), "c": (1, ()), "d": (0, (0.0,))}


def test_a_child_is_a_document_in_the_same_text() -> None:
    document = parse(b'{"x" : {"y" :1, "z":{}} }')
    child = document.child("x")
    assert child.text is document.text
    assert child.text[child.members["y"].value_start : child.members["y"].value_end] == "1"
    assert child.child("z").members == {}


def test_kinds() -> None:
    kinds = [kind_of(value) for value in (None, True, 1, 1.0, "", [], {})]
    assert kinds == ["null", "boolean", "integer", "number", "string", "array", "object"]


def test_paths() -> None:
    assert join_path(join_path(join_path("", "a"), 3), "b") == "a[3].b"
    assert join_path("a", "x" * 65) == "a.<key>"
