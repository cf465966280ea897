"""How large JSON may be: counted before it is decoded, exactly where that decides, and never in strings."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import objects, relaxed
from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.json_size import DEPTH_MAX, VALUES_MAX, check_size
from spendguard_daemon.providers.json_text import parse


def values_in(value: object) -> int:
    """Count the values of a tree, its root not among them, and empty containers twice."""
    match value:
        case dict() | list():
            inner = list(value.values()) if isinstance(value, dict) else value
            return len(inner) + (not inner) + sum(map(values_in, inner))
        case _:
            return 0


def fits(raw: bytes, values_max: int = VALUES_MAX) -> bool:
    """Tell whether a text passes."""
    try:
        check_size(raw, values_max)
    except MalformedError:
        return False
    return True


@relaxed
@given(objects, st.sampled_from([None, 1]), st.booleans(), st.integers(-2, 2))
def test_the_count_is_exact(value: dict[str, object], indent: int | None, escape: bool, spare: int) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=escape).encode()
    limit = max(0, values_in(value) + spare)
    assert fits(raw, limit) == (limit >= values_in(value))


@relaxed
@given(st.text(alphabet='\\\\",[{}]x\\n', max_size=40))
def test_nothing_in_strings_counts(text: str) -> None:
    raw = json.dumps({text: text, "a": [text, "[" * 300]}).encode()
    assert fits(raw, 4)
    assert not fits(raw, 3)


@pytest.mark.parametrize(
    "junk",
    [b"1,", b"[],", b"{},", b'"",', b'{"a":1},', b"[", b"{", b'"', b",", b'","', b'\\"', b'"a":', b"[[],"],
)
def test_hostile_bodies_are_refused_at_once(junk: bytes) -> None:
    """Eight MiB each; decoding the worst took seconds and gigabytes. Some the decoder drops at once."""
    with pytest.raises(MalformedError):
        parse(b'{"a":[' + junk * (2**23 // len(junk)) + b"1]}")


@pytest.mark.parametrize("text", [b"[{,", b"a, b, c ", b"\\\\", b'\\"', b'\\",[', b"\\n"])
def test_the_largest_body_of_text_passes(text: bytes) -> None:
    """Prose and code are a few long strings, whatever is in them."""
    assert fits(b'{"a":"' + text * (2**23 // len(text)) + b'"}')


def test_closing_brackets_are_no_depth() -> None:
    assert fits(b'{"a":' + b"[]," * 90_000 + b"]" * 2**20)
    assert not fits(b"[]," * 1_000 + b"[" * (DEPTH_MAX + 1))
    assert fits(b"[]," * 1_000 + b"[" * DEPTH_MAX)
