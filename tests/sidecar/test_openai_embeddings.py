"""OpenAI embeddings: input alone is billed, and every part of it has a ceiling."""

import json
from typing import Any

import pytest

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers import AnswerReader, Asked, Policy, Request, format_for
from spendguard_daemon.providers.openai_embeddings import FORMAT
from spendguard_daemon.usage import InputBound, Limits, Usage

LIMITS = Limits(8_191, 8_191, 0, encoding="cl100k_base")
GOOD = {"prompt_tokens": 9, "total_tokens": 9}


def asked(**fields: Any) -> Asked:
    return Asked(json.dumps({"model": "text-embedding-3-small", "input": "hi", **fields}).encode())


def read(**fields: Any) -> Request:
    return FORMAT.read(asked(**fields))


def tokens_of(value: Any) -> list[tuple[str, int]]:
    return [(bound.rung, bound.tokens) for bound in FORMAT.bounds(read(input=value), LIMITS)]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        *[({"input": v}, "input") for v in (None, [], {}, 5, [None], ["a", 1], [[]], [["a"]], [[1], "a"])],
        *[({"input": v}, "input") for v in ([1.5], [True], [-1], [[1, -2]])],
        ({"model": ""}, "model"),
        ({"dimensions": "x"}, "dimensions"),
        ({"n": 1}, "n"),
        ({"stream": True}, "stream"),
    ],
)
def test_malformed_requests_are_refused_with_their_path(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpendGuardError) as refused:
        read(**fields)
    assert (refused.value.code, refused.value.facts["path"]) == (Code.MALFORMED_REQUEST, path)


def test_a_field_that_an_operator_lets_through_counts_as_input() -> None:
    body = asked(speed=5).body
    request = FORMAT.read(Asked(body, policy=Policy(allow=frozenset({"openai.embeddings.field:speed"}))))
    assert request.input_bytes > read().input_bytes


def test_text_is_bound_by_its_bytes_and_the_ceilings() -> None:
    assert tokens_of("hi") == [("bytes", 4), ("window", 8_192)]
    assert tokens_of(["hi", "é"]) == [("bytes", len('["hi","é"]'.encode())), ("window", 16_384)]
    assert tokens_of("a" * 9_000) == [("window", 8_192)]
    assert tokens_of(["a" * 9_000] * 50) == [("window", 300_000)]


def test_token_ids_are_what_is_billed() -> None:
    assert tokens_of([1, 2, 3]) == [("local", 3), ("window", 8_192)]
    assert tokens_of([[1, 2, 3], [4]]) == [("local", 4), ("window", 16_384)]
    assert tokens_of([[7] * 8_000] * 38) == [("window", 300_000)]
    assert read(input=[1, 2]).input_tokens_exact == 2
    assert FORMAT.local_bound(asked(input=[1]), read(input=[1]), LIMITS) is None


def test_as_many_token_ids_as_the_provider_takes_are_read() -> None:
    assert read(input=[[1] * 1_500] * 200).input_tokens_exact == 300_000


def test_texts_are_counted_each_by_itself() -> None:
    """Documented example: tiktoken is great! has six tokens in cl100k_base."""
    one = asked(input="tiktoken is great!")
    assert FORMAT.local_bound(one, FORMAT.read(one), LIMITS) == InputBound("local", 6)
    two = asked(input=["tiktoken is great!"] * 2)
    assert FORMAT.local_bound(two, FORMAT.read(two), LIMITS) == InputBound("local", 12)
    unknown = Limits(8_191, 8_191, 0)
    assert FORMAT.local_bound(one, FORMAT.read(one), unknown) is None


def test_nothing_is_rewritten() -> None:
    body = b' {"model":"m", "input":["\\u00e9"],"encoding_format":"base64","dimensions":null}\n'
    request = FORMAT.read(Asked(body))
    outgoing = FORMAT.rewrite(request, output_tokens=0)
    assert (outgoing.body, outgoing.changed, outgoing.hides_usage) == (body, (), False)
    assert (request.capless, request.stream, request.choices) == (True, False, 1)
    assert format_for("openai", "embeddings") is FORMAT
    assert FORMAT.path(request) == "/embeddings"
    with pytest.raises(ValueError, match="cap"):
        FORMAT.rewrite(request, output_tokens=1)


def fed(raw: bytes, status: int = 200) -> AnswerReader:
    taken = FORMAT.reader(read(), hides_usage=False, status=status, encoding="")
    assert taken.feed(raw) + taken.end() == raw
    return taken


def answer(usage: Any, **fields: Any) -> bytes:
    return json.dumps({"object": "list", "model": "m", "data": [[0.5]], "usage": usage, **fields}).encode()


def test_the_usage_is_read_beside_any_vectors() -> None:
    for data in ([{"embedding": [0.1] * 400_000}], [{"embedding": "AAAA"}], None):
        taken = fed(answer(GOOD, data=data))
        assert (taken.complete, taken.problem, taken.model) == (True, None, "m")
        assert taken.usage == Usage(input_tokens=9)


@pytest.mark.parametrize(
    "report",
    [
        {"prompt_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 9, "total_tokens": 10},
        {"prompt_tokens": 9.0},
        {"prompt_tokens": -9, "total_tokens": -9},
        {},
        [],
        "9",
    ],
)
def test_a_usage_that_cannot_be_true_is_no_usage(report: Any) -> None:
    taken = fed(answer(report))
    assert (taken.complete, taken.usage) == (True, None)
    assert taken.problem is not None
    assert taken.problem.startswith("Absurd usage")


@pytest.mark.parametrize(
    ("raw", "complete", "problem"),
    [
        (answer(None), True, "the answer reports no usage"),
        (answer(GOOD, error={"message": "x"}), True, "the answer reports an error"),
        (answer(GOOD)[:-1], False, "the answer is not whole JSON"),
        (b"", False, "the answer is not whole JSON"),
        (b"[]", False, "the answer is not whole JSON"),
    ],
)
def test_what_speaks_against_the_usage(raw: bytes, complete: bool, problem: str) -> None:
    taken = fed(raw)
    assert (taken.complete, taken.problem) == (complete, problem)
    assert taken.usage is None


def test_errors_are_read_as_errors() -> None:
    taken = fed(b'{"error":{"message":"no"}}', status=400)
    assert taken.documented_error
