"""Gemini embeddings: input alone, and mostly no usage."""

import json
from typing import Any

import pytest

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers.contract import Asked, Format, Request
from spendguard_daemon.providers.gemini_embeddings import FORMATS
from spendguard_daemon.usage import Limits

ONE, MANY = FORMATS
MODEL = "gemini-embedding-001"
TEXT = {"parts": [{"text": "a text"}]}
LIMITS = Limits(204_800, 204_800, 0)


def read(form: Format, request: Any) -> Request:
    return form.read(Asked(json.dumps(request).encode(), model=MODEL))


def test_one_text() -> None:
    request = read(ONE, {"content": TEXT, "task_type": "RETRIEVAL_QUERY", "output_dimensionality": 64})
    assert (request.model, request.capless, request.messages) == (MODEL, True, 1)
    assert ONE.path(request) == f"/v1beta/models/{MODEL}:embedContent"
    small, window = ONE.bounds(request, LIMITS)
    assert (small.rung, window.rung, window.tokens) == ("bytes", "window", 204_800)
    assert 6 < small.tokens < 200


def test_a_batch_counts_each_and_leaves_as_it_came() -> None:
    raw = b'{ "requests": [{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"x"}]}}, '
    raw += b'{"content":{"parts":[{"text":"y"}]},"title":"t"}] }'
    request = MANY.read(Asked(raw, model=MODEL))
    assert request.messages == 2
    assert MANY.path(request) == f"/v1beta/models/{MODEL}:batchEmbedContents"
    assert MANY.rewrite(request, output_tokens=0).body == raw
    with pytest.raises(ValueError, match="no output"):
        MANY.rewrite(request, output_tokens=1)


@pytest.mark.parametrize(
    ("form", "request_"),
    [
        (ONE, {}),
        (ONE, {"content": "x"}),
        (ONE, {"content": TEXT, "taskType": "X", "task_type": "Y"}),
        (ONE, {"content": TEXT, "model": "models/other"}),
        (ONE, {"content": TEXT, "unheardOf": 1}),
        (MANY, {"content": TEXT}),
        (MANY, {"requests": []}),
        (MANY, {"requests": ["x"]}),
        (MANY, {"requests": [{"content": TEXT, "model": "models/other"}]}),
    ],
)
def test_what_is_no_embedding_is_refused(form: Format, request_: Any) -> None:
    with pytest.raises(SpendGuardError) as caught:
        read(form, request_)
    assert caught.value.code is Code.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        ({"embedding": {"values": [1.0]}, "usageMetadata": {"promptTokenCount": 7}}, 7),
        ({"embedding": {"values": [1.0]}}, None),
        ({"embedding": {"values": []}, "usageMetadata": {"promptTokenCount": 0}}, None),
        ({"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 1}}, None),
        ({"usageMetadata": {"promptTokenCount": 7}, "error": {"code": 1}}, None),
        ({"usageMetadata": "7"}, None),
        ([], None),
    ],
)
def test_usage_where_there_is_one(answer: Any, tokens: int | None) -> None:
    found = ONE.reader(read(ONE, {"content": TEXT}), hides_usage=False, status=200, encoding="")
    raw = json.dumps(answer).encode()
    assert found.feed(raw) + found.end() == raw
    assert (found.usage.input_tokens if found.usage else None) == tokens
    assert (found.problem is None) is (tokens is not None)


def test_an_error_is_googles() -> None:
    found = ONE.reader(read(ONE, {"content": TEXT}), hides_usage=False, status=400, encoding="")
    found.feed(b'{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}')
    found.end()
    assert found.documented_error
