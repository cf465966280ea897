"""What opencode reads of a refusal: no digits that it takes for a passing fault, and nothing else changed."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway.calm import calm
from spendguard_daemon.gateway.respond import refusal

LIKE_A_STATUS = re.compile("429|500|502|503|504|524")
OPENCODE = "opencode/1.18.33 ai-sdk/provider-utils/4.0.23 runtime/bun/1.3.14"
JOINER = "\u2060"

VALUES = st.recursive(
    st.one_of(st.integers(0, 2**53), st.text('0123459 .\\"$', max_size=12), st.none(), st.booleans()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("0459", max_size=6), inner, max_size=3)
    ),
    max_leaves=12,
)


def plain(value: object) -> object:
    """Return a value without the invisible sign."""
    if isinstance(value, str):
        return value.replace(JOINER, "")
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(name): plain(item) for name, item in value.items()}
    return value


def texts(value: object) -> list[str]:
    """Return every text in a value."""
    if isinstance(value, dict):
        return [text for name, item in value.items() for text in (name, *texts(item))]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


@given(VALUES)
def test_the_digits_are_apart_and_the_value_is_the_same(value: object) -> None:
    """No text that is read out of it has such digits; numbers are equal."""
    written = calm(json.dumps(value).encode())
    read = json.loads(written)
    assert plain(read) == value
    assert not any(LIKE_A_STATUS.search(text) for text in texts(read))


@pytest.mark.parametrize("number", [429, 500, 4_290, 15_004, 150_000, 524_288, 5_000_000, 50_298])
def test_numbers_that_are_met(number: int) -> None:
    """Token counts keep their value without the digits."""
    written = calm(b"%d" % number)
    assert json.loads(written) == number
    assert not LIKE_A_STATUS.search(written.decode())


def test_only_opencode_is_written_to_like_this() -> None:
    """Every other program gets the bytes as they were; so does opencode where it is to try again."""
    error = SpendGuardError(Code.INSUFFICIENT_BUDGET, "Insufficient budget: $0.429 remains")
    body = {
        program: refusal(error, "c", program=program).body
        for program in (OPENCODE, "OpenAI/Python 3.57.0", "")
    }
    assert LIKE_A_STATUS.search(str(body[""]))
    assert body["OpenAI/Python 3.57.0"] == body[""]
    assert not LIKE_A_STATUS.search(str(body[OPENCODE]))
    held = SpendGuardError(Code.BUDGET_HELD, "held: 429", facts={"worth_waiting": True})
    assert b"429" in bytes(refusal(held, "c", program=OPENCODE).body)  # type: ignore[arg-type]
