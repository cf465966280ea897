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


def test_members_are_left_out_with_their_commas() -> None:
    def left(raw: bytes, *gone: str) -> bytes:
        document = parse(raw)
        return splice.apply(document.text, splice.remove_members(document, gone))

    raw = b'{ "a" : 1 , "b":[2] ,\n"c":3 }'
    assert left(raw, "b") == b'{ "a" : 1 ,\n"c":3 }'
    assert left(raw, "a") == b'{ "b":[2] ,\n"c":3 }'
    assert left(raw, "c") == b'{ "a" : 1 , "b":[2] }'
    assert left(raw, "a", "b", "c") == b"{  }"
    assert left(raw, "x") == raw


@relaxed
@given(objects, st.sets(names), st.booleans())
def test_what_is_left_out_is_gone_and_nothing_else(
    members: dict[str, object], gone: set[str], add: bool
) -> None:
    document = parse(json.dumps(members, indent=1).encode())
    edits = splice.remove_members(document, gone)
    if add and document.members:
        edits.append(splice.set_member(document, "added", "1"))
    kept = {name: value for name, value in members.items() if name not in gone}
    if kept or not (add and document.members):
        expected = kept | ({"added": 1} if add and document.members else {})
        assert json.loads(splice.apply(document.text, edits)) == expected


@relaxed
@given(st.lists(scalars, max_size=6), st.data())
def test_elements_are_left_out_with_their_commas(items: list[object], data: st.DataObject) -> None:
    document = parse(
        json.dumps({"x": 0, "list": items, "y": 0}, indent=data.draw(st.none() | st.just(1))).encode()
    )
    spans = document.elements("list")
    assert [json.loads(document.text[start:end]) for start, end in spans] == items
    drops = data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items)))
    left = json.loads(splice.apply(document.text, splice.remove(spans, drops)))
    kept = [item for item, drop in zip(items, drops, strict=True) if not drop]
    assert left == {"x": 0, "list": kept, "y": 0}
