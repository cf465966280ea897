"""OpenAI chat answers: the usage that is believed, and why others are not."""

import json
from typing import Any

import pytest

from replies import RECORDINGS, load
from spendguard_daemon.providers import AnswerReader
from spendguard_daemon.providers.openai_answers import reader
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
    *[{**GOOD, "prompt_tokens": v} for v in (-10, 10.0, "10", True, None, [], 10**13, int("9" * 4_000))],
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


def test_an_error_answer_is_complete_and_says_so() -> None:
    taken = fed(load("10-openai-chat-400").reply.body)
    assert (taken.complete, taken.usage, taken.problem) == (True, None, "the answer reports an error")
    assert json.loads(taken.body)["error"]["code"] == "unsupported_parameter"


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
