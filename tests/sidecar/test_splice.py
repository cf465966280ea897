"""Splicing changes what it is told to, and no other byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed, scalars
from spendguard_daemon.providers import splice
from spendguard_daemon.providers.json_text import parse

names = st.sampled_from(["a", "b", "c", "new"])
objects = st.dictionaries(names, scalars, max_size=4)


def spliced(raw: bytes, *changes: tuple[str, str]) -> bytes:
    """Set members of the object `raw` one by one."""
    document = parse(raw)
    return splice.apply(document.text, [splice.set_member(document, *change) for change in changes])


def test_without_edits_the_text_is_the_same_bytes() -> None:
    raw = ' {"a" : "\\u00e9é\\/" }\n'.encode()
    assert spliced(raw) == raw


def test_a_member_that_is_there_keeps_its_place_and_its_surroundings() -> None:
    assert spliced(b'{ "a" : 1 ,\n"b":2}', ("a", "null")) == b'{ "a" : null ,\n"b":2}'


def test_a_new_member_comes_last_and_white_space_stays() -> None:
    assert spliced(b'{"a": {"x":"}"} \n}', ("b", "2")) == b'{"a": {"x":"}"},"b":2 \n}'


def test_an_empty_object_gets_its_first_member_without_a_comma() -> None:
    assert spliced(b" { } ", ("a", "1")) == b' {"a":1 } '


def test_several_new_members_keep_their_order_behind_a_changed_last_one() -> None:
    assert spliced(b'{"a":1}', ("b", "2"), ("a", "9"), ("c", "3")) == b'{"a":9,"b":2,"c":3}'


def test_a_nested_member_is_set_in_place() -> None:
    document = parse(b'{"o": {"k":[1, 2]}, "z":0}')
    edit = splice.set_member(document.child("o"), "n", "true")
    assert splice.apply(document.text, [edit]) == b'{"o": {"k":[1, 2],"n":true}, "z":0}'


def test_a_member_is_replaced_with_its_key() -> None:
    document = parse(b'{"old" : null , "z":0}')
    assert splice.apply(document.text, [splice.replace_member(document, "old", "new", "5")]) == (
        b'{"new":5 , "z":0}'
    )


def test_an_escaped_key_is_the_same_member() -> None:
    assert spliced(b'{"\\u0061":1}', ("a", "2")) == b'{"\\u0061":2}'


def test_overlapping_edits_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="overlap"):
        splice.apply("0123456789", [splice.Edit(2, 6, "x"), splice.Edit(5, 7, "y")])


@relaxed
@given(objects, names, st.integers(), st.sampled_from([None, 1]), st.booleans())
def test_the_result_is_the_object_with_that_member_set(
    value: dict[str, object], name: str, number: int, indent: int | None, escape: bool
) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=escape).encode()
    changed = json.loads(spliced(raw, (name, str(number))))
    assert changed == {**value, name: number}
    assert list(changed) == list({**value, name: number})
