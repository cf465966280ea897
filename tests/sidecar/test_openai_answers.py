"""OpenAI chat answers: the usage that is believed, and why others are not."""

import json
from typing import Any

import pytest

from replies import RECORDINGS, load
from spendguard_daemon.providers import AnswerReader, Asked, format_for
from spendguard_daemon.providers.openai_answers import STRICT_BYTES_MAX, reader
from spendguard_daemon.usage import Usage

EXPECTED = {
    line["id"]: line["usage"]
    for line in map(json.loads, (RECORDINGS / "expected_usage.jsonl").read_text().splitlines())
}
PLAIN = ["01-openai-chat-plain", "02-openai-chat-gzip", "03-openai-chat-tools"]
PLAIN += ["04-openai-chat-cached-reasoning", "05-openai-chat-reasoning", "06-openai-chat-audio"]
STREAMS = ["08-openai-chat-stream-usage", "09-openai-chat-stream-tools-usage"]
GOOD = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def answer(usage: Any, **fields: Any) -> bytes:
    """Return a plain answer that reports this usage."""
    return json.dumps({"model": "m", "choices": [{}], "usage": usage, **fields}).encode()


def stream(*chunks: Any, done: bool = True) -> bytes:
    """Return a stream of these chunks."""
    end = b"data: [DONE]\n\n" if done else b""
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + end


def fed(raw: bytes, *, size: int = 0, streaming: bool = False, encoding: str = "") -> AnswerReader:
    """Feed an answer in chunks of a size (0: whole)."""
    taken = reader(stream=streaming, hides_usage=False, encoding=encoding)
    for at in range(0, len(raw), size or len(raw) or 1):
        taken.feed(raw[at : at + (size or len(raw))])
    taken.end()
    return taken


@pytest.mark.parametrize("endpoint", ["chat/completions", "responses"])
@pytest.mark.parametrize(("asked", "meant"), [("default", "default"), ("priority", ""), ("flex", "")])
def test_a_tier_that_no_answer_names_is_known_only_where_one_may_serve(
    endpoint: str, asked: str, meant: str
) -> None:
    """It is billed at the dearest that may have served."""
    form = format_for("openai", endpoint)
    fields = {"messages": [{"role": "user", "content": "x"}]} if endpoint != "responses" else {"input": "x"}
    body = {"model": "gpt-5", "service_tier": asked, **fields}
    chat = {"choices": [{}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    response = {"status": "completed", "usage": {"input_tokens": 1, "output_tokens": 2}}
    found = form.reader(
        form.read(Asked(json.dumps(body).encode())), hides_usage=False, status=200, encoding=""
    )
    found.feed(json.dumps(chat if endpoint != "responses" else response).encode())
    found.end()
    assert found.usage is not None
    assert found.usage.service_tier == meant


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("name", PLAIN + STREAMS)
def test_each_recording_is_read_as_it_was_by_hand(name: str, size: int) -> None:
    recording = load(name)
    encoding = recording.reply.headers.get("content-encoding", "")
    taken = fed(recording.reply.body, size=size, streaming="stream" in name, encoding=encoding)
    expected = EXPECTED[name.split("-", 1)[1]]
    assert (taken.complete, taken.problem) == (True, None)
    assert taken.usage == Usage(
        input_tokens=expected["input"],
        cached_input_tokens=expected.get("cached", 0),
        audio_input_tokens=expected.get("audio_in", 0),
        output_tokens=expected["output"],
        reasoning_output_tokens=expected.get("reasoning", 0),
    )


def test_a_stream_without_usage_is_complete_but_has_nothing_to_settle_by() -> None:
    taken = fed(load("07-openai-chat-stream-no-usage").reply.body, streaming=True)
    assert (taken.complete, taken.usage) == (True, None)
    assert taken.problem == "the answer reports no usage"
    assert taken.model == "gpt-4.1-2025-04-14"


def test_all_buckets_are_read() -> None:
    prompt = {"cached_tokens": 3, "audio_tokens": 2, "cache_write_tokens": 4, "text_tokens": 99}
    completion = {"reasoning_tokens": 2, "audio_tokens": 1, "rejected_prediction_tokens": None}
    report = {**GOOD, "prompt_tokens_details": prompt, "completion_tokens_details": completion, "cost": 0.5}
    assert fed(answer(report, service_tier="priority")).usage == Usage(
        input_tokens=10,
        cached_input_tokens=3,
        cache_write_input_tokens=4,
        audio_input_tokens=2,
        output_tokens=5,
        reasoning_output_tokens=2,
        audio_output_tokens=1,
        service_tier="priority",
    )


@pytest.mark.parametrize("tier", [{}, {"service_tier": None}, {"service_tier": "default"}])
def test_no_tier_is_the_default_tier(tier: dict[str, Any]) -> None:
    assert fed(answer(GOOD, **tier)).usage == Usage(input_tokens=10, output_tokens=5)


@pytest.mark.parametrize("details", [{}, {"prompt_tokens_details": None, "completion_tokens_details": None}])
def test_details_and_total_may_be_missing(details: dict[str, Any]) -> None:
    report = {"prompt_tokens": 10, "completion_tokens": 5, **details}
    assert fed(answer(report)).usage == Usage(input_tokens=10, output_tokens=5)


ABSURD: list[Any] = [
    {"prompt_tokens": 0, "completion_tokens": 5},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    *[{**GOOD, "prompt_tokens": v} for v in (-10, 10.0, "10", True, None, [], 10**13, int("9" * 400))],
    *[{**GOOD, "completion_tokens": v} for v in (-5, 5.5, "5", False, None, {})],
    *[{**GOOD, "total_tokens": v} for v in (14, 16, 0, "15", 15.0)],
    {**GOOD, "prompt_tokens_details": {"cached_tokens": 11}},
    {**GOOD, "prompt_tokens_details": {"cached_tokens": -1}},
    {**GOOD, "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 5}},
    {**GOOD, "prompt_tokens_details": {"audio_tokens": 1.0}},
    {**GOOD, "prompt_tokens_details": []},
    {**GOOD, "completion_tokens_details": {"reasoning_tokens": 6}},
    {**GOOD, "completion_tokens_details": {"audio_tokens": "1"}},
    {},
    [],
    "none",
    5,
]


@pytest.mark.parametrize("report", ABSURD)
def test_a_usage_that_cannot_be_true_is_no_usage(report: Any) -> None:
    for taken in (fed(answer(report)), fed(stream({"choices": [], "usage": report}), streaming=True)):
        assert taken.usage is None
        assert taken.complete
        assert taken.problem is not None
        assert taken.problem.startswith("Absurd usage")
        assert len(taken.problem) <= 200


def test_one_lie_spoils_the_stream_even_if_a_plausible_report_follows() -> None:
    lie = {**GOOD, "total_tokens": 1}
    assert fed(stream({"choices": [], "usage": lie}, {"usage": GOOD}), streaming=True).usage is None


def test_a_tier_that_is_no_name_spoils_the_usage() -> None:
    taken = fed(answer(GOOD, service_tier=5))
    assert (taken.usage, taken.problem) == (None, "service_tier is no name")


TWICE = b'{"usage":{"prompt_tokens":1,"prompt_tokens":2}}'


@pytest.mark.parametrize("raw", [b"", b"{", b"<html>", b"[]", TWICE, answer(GOOD)[:-1]])
def test_what_is_not_whole_json_is_not_complete(raw: bytes) -> None:
    taken = fed(raw)
    assert (taken.complete, taken.usage) == (False, None)
    assert taken.problem is not None


def test_half_a_character_in_the_text_does_not_cost_the_usage() -> None:
    raw = answer(GOOD, choices=[{"text": "\ud83d"}])
    assert b"\\ud83d" in raw
    assert fed(raw).usage == Usage(input_tokens=10, output_tokens=5)
    chunk = {"choices": [{"delta": {"content": "\ud83d"}}], "usage": None}
    taken = fed(stream(chunk, {"choices": [], "usage": GOOD}), streaming=True)
    assert (taken.usage, taken.problem) == (Usage(input_tokens=10, output_tokens=5), None)


def test_an_error_inside_a_stream_is_a_problem_even_with_usage() -> None:
    error = {"error": {"message": "overloaded"}}
    for chunks in ([error, {"choices": [], "usage": GOOD}], [{"choices": [], "usage": GOOD}, error]):
        assert fed(stream(*chunks), streaming=True).problem == "the answer reports an error"


def test_an_event_that_is_not_json_is_a_problem() -> None:
    taken = fed(b"data: hello\n\n" + stream({"usage": GOOD}), streaming=True)
    assert taken.problem is not None
    assert taken.problem.startswith("an event is not JSON")


def test_deep_nesting_in_an_event_is_survived() -> None:
    deep = b'data: {"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n"
    assert fed(deep + stream({"usage": GOOD}), streaming=True).problem is not None


def test_the_last_of_several_reports_counts() -> None:
    more = {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19}
    reports = [GOOD, None, more]
    raw = stream(*[{"choices": [{}], "usage": report} for report in reports])
    assert fed(raw, streaming=True).usage == Usage(input_tokens=10, output_tokens=9)


WORD = {"model": "m", "choices": [{"index": 0, "delta": {"content": "w"}}]}
LAST = {"model": "m", "choices": [], "usage": GOOD}


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (stream(LAST, WORD), "content after the last usage"),
        (stream({**WORD, "usage": GOOD}, {**WORD, "usage": None}), "content after the last usage"),
        (stream(LAST, {"choices": [{}], "service_tier": "default"}), "content after the last usage"),
        (stream(LAST, done=False) + stream(LAST), None),
        (stream(LAST) + stream(WORD, done=False), "an event after [DONE]"),
        (stream(WORD, LAST) + stream(LAST, done=False), "an event after [DONE]"),
        (stream(LAST) + b"data: [DONE]\n\n", "an event after [DONE]"),
        (stream(LAST) + b": bye\n\n", None),
        (stream(LAST, {"choices": []}, {"model": "m", "choices": None}), None),
    ],
)
def test_nothing_that_bills_may_follow_the_usage(raw: bytes, problem: str | None) -> None:
    assert fed(raw, streaming=True).problem == problem


@pytest.mark.parametrize(
    ("name", "less"),
    [("prompt_tokens", 9), ("completion_tokens", 4)],
)
def test_a_later_report_that_falls_is_absurd(name: str, less: int) -> None:
    report = {**GOOD, name: less, "total_tokens": 14}
    taken = fed(stream(LAST, {"choices": [], "usage": report}), streaming=True)
    assert taken.usage is None
    assert taken.problem is not None
    assert "fell from" in taken.problem


def test_a_later_report_that_lost_a_part_is_absurd() -> None:
    first = {**GOOD, "completion_tokens_details": {"reasoning_tokens": 2}}
    raw = stream({"choices": [], "usage": first}, LAST)
    assert fed(raw, streaming=True).usage is None


@pytest.mark.parametrize(
    ("first", "second", "good"),
    [
        ({"model": "m"}, {"model": "n"}, False),
        ({"model": ""}, {"model": "m"}, True),
        ({"model": "m"}, {"model": ""}, True),
        ({"model": 5}, {}, False),
        ({"service_tier": "priority"}, {"service_tier": "default"}, False),
        ({"service_tier": "default"}, {"service_tier": "priority"}, False),
        ({"service_tier": "auto"}, {"service_tier": "default"}, True),
    ],
)
def test_two_names_in_one_answer_are_not_believed(
    first: dict[str, Any], second: dict[str, Any], good: bool
) -> None:
    for chunks in ([first, {"usage": GOOD, **second}], [{"usage": GOOD, **first}, second]):
        assert (fed(stream(*chunks), streaming=True).usage is not None) == good


def test_a_tier_named_after_the_usage_counts() -> None:
    taken = fed(stream(LAST, {"choices": [], "service_tier": "priority"}), streaming=True)
    assert taken.usage == Usage(10, output_tokens=5, service_tier="priority")


LONG = [{"logprobs": [0] * 600_000}]


def test_a_large_answer_is_read_without_its_choices() -> None:
    """Log probabilities of a long answer are millions of values; the usage beside them still counts."""
    raw = answer(GOOD, choices=LONG, service_tier="flex")
    assert len(raw) > STRICT_BYTES_MAX
    taken = fed(raw)
    assert (taken.complete, taken.problem, taken.model) == (True, None, "m")
    assert taken.usage == Usage(10, output_tokens=5, service_tier="flex")
    chunk = {"model": "m", "choices": LONG}
    assert fed(stream(chunk, LAST), streaming=True).usage == Usage(10, output_tokens=5)
    beside = fed(stream({**chunk, "usage": GOOD}), streaming=True)
    assert (beside.usage, beside.problem) == (Usage(10, output_tokens=5), None)
    assert fed(stream(LAST, {**chunk, "usage": None}), streaming=True).problem is not None


@pytest.mark.parametrize(
    "raw",
    [
        answer(GOOD, choices=LONG, error={"message": "x"}),
        answer(GOOD, choices=LONG)[:-1],
        answer([1] * 600_000),
        answer({**GOOD, "x": [1] * 600_000}),
        answer(GOOD, choices=LONG, model=5),
        answer(GOOD, choices=LONG).replace(
            b'"prompt_tokens": 10', b'"prompt_tokens": 10, "prompt_tokens": 1'
        ),
    ],
    ids=["error", "torn", "list", "full", "model", "twice"],
)
def test_a_large_answer_is_doubted_as_a_small_one_is(raw: bytes) -> None:
    for taken in (fed(raw), fed(b"data: " + raw + b"\n\ndata: [DONE]\n\n", streaming=True)):
        assert taken.problem is not None


def test_model_and_tier_come_from_any_chunk() -> None:
    chunks = [{"model": "m-2026", "service_tier": "flex", "choices": [{}]}, {"choices": [], "usage": GOOD}]
    taken = fed(stream(*chunks), streaming=True)
    assert (taken.model, taken.usage) == ("m-2026", Usage(10, output_tokens=5, service_tier="flex"))


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n", b""])
def test_the_end_mark_counts_however_its_line_ends(end: bytes) -> None:
    raw = stream({"choices": [], "usage": GOOD}, done=False) + b"data: [DONE]" + end
    assert fed(raw, streaming=True).complete


def test_a_stream_cut_at_any_byte_is_complete_only_with_its_end_mark() -> None:
    raw = load("09-openai-chat-stream-tools-usage").reply.body
    whole = raw.index(b"[DONE]") + len(b"[DONE]")
    for at in range(len(raw) - 700, len(raw)):
        taken = fed(raw[:at], streaming=True)
        assert taken.complete == (at >= whole)
