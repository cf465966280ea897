"""The documented error of OpenAI: only this, whole and alone, proves that nothing was billed."""

import gzip
import json
from typing import Any

import pytest

from replies import load
from spendguard_daemon.providers import AnswerReader
from spendguard_daemon.providers.answers import ERROR_BYTES_MAX
from spendguard_daemon.providers.openai_errors import reader

QUOTA = {"message": "You exceeded your quota", "type": "insufficient_quota", "param": None, "code": "x"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1}


def fed(raw: bytes, encoding: str = "") -> AnswerReader:
    """Read a whole answer."""
    taken = reader(encoding)
    assert taken.feed(raw) == raw
    assert taken.end() == b""
    return taken


@pytest.mark.parametrize("name", ["10-openai-chat-400", "11-openai-chat-401"])
def test_recorded_errors_are_documented(name: str) -> None:
    raw = load(name).reply.body
    for taken in (fed(raw), fed(gzip.compress(raw), "gzip")):
        assert (taken.documented_error, taken.complete, taken.problem) == (True, True, None)
        assert taken.usage is None


@pytest.mark.parametrize(
    "error",
    [
        QUOTA,
        {"message": "The model does not exist", "type": "invalid_request_error", "code": "model_not_found"},
        {"message": "overloaded", "type": "server_error", "param": None, "code": None},
        {"message": "no", "code": 429},
        {"message": "half a character \ud83d"},
    ],
)
def test_errors_of_this_shape_are_documented(error: dict[str, Any]) -> None:
    assert fed(json.dumps({"error": error}).encode()).documented_error


@pytest.mark.parametrize(
    "body",
    [
        {"error": QUOTA, "usage": None},
        {"error": QUOTA, "usage": USAGE},
        {"error": QUOTA, "Usage": USAGE},
        {"error": QUOTA, "choices": [{"message": {"content": "a full answer"}}]},
        {"error": QUOTA, "response": {"usage": USAGE}},
        {"error": QUOTA, "id": "x"},
        {"error": {**QUOTA, "usage": USAGE}},
        {"error": {**QUOTA, "usage": 5}},
        {"error": {**QUOTA, "param": {"usage": USAGE}}},
        {"error": {**QUOTA, "code": [USAGE]}},
        {"error": {**QUOTA, "code": True}},
        {"error": {"type": "x"}},
        {"error": {"message": 5}},
        {"error": {"message": None}},
        {"error": "no"},
        {"error": None},
        {"error": []},
        {"detail": "no"},
        {},
    ],
)
def test_anything_beside_it_or_inside_it_may_have_been_billed(body: dict[str, Any]) -> None:
    taken = fed(json.dumps(body).encode())
    assert (taken.documented_error, taken.complete) == (False, True)
    assert taken.problem == "the error answer is not the documented one"


TWICE = b'{"error":{"message":"a","message":"b"}}'


@pytest.mark.parametrize("raw", [b"", b"[]", b"<html>", b'{"error":{"message":"no"}', b"{" * 500, TWICE])
def test_what_is_not_json_is_no_documented_error(raw: bytes) -> None:
    taken = fed(raw)
    assert (taken.documented_error, taken.complete) == (False, False)
    assert taken.problem is not None


@pytest.mark.parametrize("fill", [b" ", b"{},"])
def test_a_huge_error_passes_unread(fill: bytes) -> None:
    raw = b'{"error":{"message":"no"}}' + fill * (ERROR_BYTES_MAX // len(fill))
    taken = fed(raw)
    assert (taken.documented_error, taken.complete) == (False, False)
    assert taken.problem == "the answer is larger than can be read"


def test_an_error_of_many_values_is_not_decoded() -> None:
    assert not fed(b'{"error":{"message":"no"},"j":[' + b"{}," * 300_000 + b"{}]}").complete
