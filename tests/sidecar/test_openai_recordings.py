"""Every OpenAI recording, settled to what OpenAI's documentation says; any chunking, any line end.

The computation here is written from the documentation, not from the readers: `prompt_tokens` and
`input_tokens` include what was cached or written to the cache, output includes reasoning, audio has its own
rates, a web search is billed per search, embeddings by input alone.
"""

import gzip
import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed
from replies import Recording, load_all
from spendguard_daemon.pricing.ratecard import Period, RateCard, Tier
from spendguard_daemon.providers import FORMATS, AnswerReader, Asked, Format, Policy
from spendguard_daemon.usage import Limits

RATES = {
    "input": 2_000_003,
    "cache_read": 200_001,
    "cache_write": 2_500_007,
    "input_audio": 9_000_011,
    "output": 10_000_013,
    "output_audio": 20_000_017,
}
"""Micro-USD per 1M tokens; primes tell the buckets apart."""

SEARCH_FEE = 10_000_019
"""Micro-USD per 1,000 searches."""

LIMITS = Limits(
    400_000, 400_000, 100_000, image_tokens_max=2_000, audio_bytes_per_token=10, encoding="o200k_base"
)
CARD = RateCard(
    provider="openai",
    model="m",
    aliases=(),
    endpoints=(),
    limits=LIMITS,
    output_tokens_min=1,
    reasoning=False,
    implicit_cache_write=True,
    periods=(Period(0, (Tier(0, {"default": RATES}),)),),
    fees={"web_search": SEARCH_FEE, "file_search": 2_500_000},
)
RECORDINGS = [one for one in load_all() if one.provider == "openai"]
OK = [one for one in RECORDINGS if one.reply.status == 200]
UNSETTLED = {"07-openai-chat-stream-no-usage", "18-openai-responses-incomplete"}
"""One has no usage, as its client did not ask; one reports none of its tokens."""

STREAMS = [one for one in OK if one.request.get("stream")]


def form_of(recording: Recording) -> Format:
    return FORMATS["openai", recording.path.removeprefix("/v1/")]


def named(recordings: list[Recording]) -> dict[str, Any]:
    return {"argvalues": recordings, "ids": [one.name for one in recordings]}


def read(recording: Recording, chunks: list[bytes] | None = None) -> AnswerReader:
    """Read a recorded answer; every byte must come through."""
    form = form_of(recording)
    request = form.read(Asked(recording.request_body, policy=Policy(hosted_tools="allow")))
    encoding = recording.reply.headers.get("content-encoding", "")
    reader = form.reader(request, hides_usage=False, status=recording.reply.status, encoding=encoding)
    sent = [recording.reply.body] if chunks is None else chunks
    assert b"".join(map(reader.feed, sent)) + reader.end() == b"".join(sent)
    return reader


def reported(recording: Recording) -> dict[str, Any]:
    """Return the object with the usage, found in the body by hand."""
    body = recording.reply.body
    if recording.reply.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    if not recording.request.get("stream"):
        found: dict[str, Any] = json.loads(body)
        return found
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]
    last: dict[str, Any] = [one for one in events if (one.get("response") or one).get("usage")][-1]
    return last.get("response") or last


def documented_cost_nusd(answer: dict[str, Any]) -> int:
    """Return what an answer costs by the documentation of its usage object."""
    usage = answer["usage"]
    read = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    wrote = usage.get("completion_tokens_details") or {}
    whole_in = usage["prompt_tokens"] if "prompt_tokens" in usage else usage["input_tokens"]
    whole_out = usage.get("completion_tokens", usage.get("output_tokens", 0))
    cached, written = read.get("cached_tokens") or 0, read.get("cache_write_tokens") or 0
    heard, spoken = read.get("audio_tokens") or 0, wrote.get("audio_tokens") or 0
    cost = Fraction(0)
    cost += (whole_in - cached - written - heard) * RATES["input"]
    cost += cached * RATES["cache_read"] + written * RATES["cache_write"] + heard * RATES["input_audio"]
    cost += (whole_out - spoken) * RATES["output"] + spoken * RATES["output_audio"]
    searches = [one for one in answer.get("output") or [] if one["type"] == "web_search_call"]
    searched = sum((one.get("action") or {"type": "search"})["type"] == "search" for one in searches)
    return ceil(cost / 1_000 + searched * Fraction(SEARCH_FEE))


@pytest.mark.parametrize("recording", **named([one for one in OK if one.name not in UNSETTLED]))
def test_each_answer_settles_at_what_the_documentation_says(recording: Recording) -> None:
    reader = read(recording)
    assert (reader.complete, reader.problem) == (True, None)
    assert reader.usage is not None
    answer = reported(recording)
    assert CARD.price(reader.usage, from_ns=0, until_ns=0).total_nusd == documented_cost_nusd(answer)
    assert reader.model == answer["model"]
    assert reader.answer_id == (answer["id"] if "/responses" in recording.path else None)


@pytest.mark.parametrize("recording", **named([one for one in OK if one.name in UNSETTLED]))
def test_what_reports_nothing_settles_by_nothing(recording: Recording) -> None:
    reader = read(recording)
    assert (reader.complete, reader.usage) == (True, None)
    assert reader.problem is not None


@pytest.mark.parametrize("recording", **named([one for one in RECORDINGS if one.reply.status >= 400]))
def test_each_recorded_error_is_a_documented_one(recording: Recording) -> None:
    assert read(recording).documented_error


@pytest.mark.parametrize("recording", **named(OK))
def test_each_rung_bounds_what_the_provider_reported(recording: Recording) -> None:
    form = form_of(recording)
    policy = Policy(hosted_tools="allow")
    asked = Asked(recording.request_body, policy=policy)
    request = form.read(asked)
    bounds = [*form.bounds(request, LIMITS), form.local_bound(asked, request, LIMITS)]
    usage = read(recording).usage
    for bound in bounds:
        if bound is not None and usage is not None:
            assert bound.tokens >= usage.input_tokens, bound


def test_the_recorded_web_search_is_stripped_refused_or_let_through() -> None:
    recording = next(one for one in RECORDINGS if "web-search" in one.name)
    form = form_of(recording)
    stripped = form.read(Asked(recording.request_body))
    assert stripped.stripped == ("openai.responses.tool:web_search_preview",)
    assert "tools" not in json.loads(form.rewrite(stripped, output_tokens=16).body)
    allowed = form.read(Asked(recording.request_body, policy=Policy(hosted_tools="allow")))
    assert (allowed.passes, dict(allowed.events)) == (11, {"web_search": 25})


def variants(stream: bytes) -> Iterator[bytes]:
    """Yield the same stream as other servers would send it."""
    yield stream
    yield stream.replace(b"\n", b"\r\n")
    yield stream.replace(b"\n", b"\r")
    yield b": hello\n\n" + stream.replace(b"\n\n", b"\n: still here\nid: 5\nretry: 9\n\n: ping\n\n")
    yield b"\xef\xbb\xbf" + stream.replace(b"data: ", b"data:").replace(
        b"\n\n", b"\n\nevent: ping\ndata:\n\n"
    )
    yield stream.replace(b'data: {"', b'data: {\ndata: "')
    yield stream.replace(b"\n\ndata: [DONE]\n\n", b"\n\ndata: [DONE]").rstrip() + b"\n"


@pytest.mark.parametrize("recording", **named(STREAMS))
def test_a_stream_reads_the_same_however_it_is_written_and_cut(recording: Recording) -> None:
    expected = read(recording)
    for stream in variants(recording.reply.body):
        for size in (1, 2, 5, 4_096, len(stream)):
            reader = read(recording, [stream[at : at + size] for at in range(0, len(stream), size)])
            assert (reader.usage, reader.complete, reader.problem, reader.model, reader.answer_id) == (
                expected.usage,
                expected.complete,
                expected.problem,
                expected.model,
                expected.answer_id,
            )


@relaxed
@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 40_000), max_size=6))
def test_a_stream_reads_the_same_wherever_it_is_cut(recording: Recording, places: list[int]) -> None:
    stream = recording.reply.body.replace(b'"delta":"', '"delta":"é€😀'.encode())
    cuts = [0, *sorted(at % len(stream) for at in places), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(cuts)]
    assert read(recording, chunks).usage == read(recording).usage
