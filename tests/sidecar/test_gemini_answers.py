"""Gemini answers: usage out of JSON, events and arrays, however they are cut, and what is not believed."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from gemini_said import MODEL, body, read
from recorded import load
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.providers import gemini_answers
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.gemini import FORMAT
from spendguard_daemon.providers.gemini_usage import read_usage
from spendguard_daemon.providers.json_array import ArraySplitter

USAGE = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 3,
    "totalTokenCount": 18,
}


def event(usage: Any = None, *, finish: str | None = None, text: str = "x", **fields: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    said = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL} | fields
    return {name: value for name, value in said.items() if value is not None}


WHOLE = [event(USAGE | {"candidatesTokenCount": 1, "totalTokenCount": 14}), event(USAGE, finish="STOP")]


def reader(form: str, *, choices: int = 1, per_prompt: bool = True, encoding: str = "") -> AnswerReader:
    return gemini_answers.reader(form=form, choices=choices, per_prompt=per_prompt, encoding=encoding)


def written(form: str, events: list[Any], line: str = "\r\n") -> bytes:
    texts = [json.dumps(one, indent=2 if form == "array" else None) for one in events]
    match form:
        case "sse":
            return "".join(f"data: {text}{line}{line}" for text in texts).encode()
        case "array":
            return f"[{f',{line}'.join(texts)}{line}]".encode()
    return texts[-1].encode()


def through(found: AnswerReader, raw: bytes, size: int = 10**9) -> AnswerReader:
    """Feed an answer in pieces; every byte is relayed, in order."""
    shown = b"".join(found.feed(raw[at : at + size]) for at in range(0, len(raw), size)) + found.end()
    assert shown == raw
    return found


def settled(found: AnswerReader) -> bool:
    """Tell whether the outcome table settles such an answer at its usage."""
    return found.complete and found.problem is None and found.usage is not None


@pytest.mark.parametrize("form", ["json", "sse", "array"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10**6])
@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_usage_is_the_last_report_however_it_is_cut(form: str, size: int, line: str) -> None:
    found = through(reader(form), written(form, WHOLE, line), size)
    assert settled(found)
    assert found.model == MODEL
    assert found.usage is not None
    assert found.usage.counts() == {"input_tokens": 10, "output_tokens": 8, "reasoning_output_tokens": 3}


@pytest.mark.parametrize("form", ["sse", "array"])
def test_cut_at_every_byte_and_torn_at_every_byte(form: str) -> None:
    """Two pieces with a border anywhere say the same as one; what stops there is no whole answer."""
    raw = written(form, [event(USAGE, text='"]},{[\\" \\\\'), event(USAGE, finish="STOP", text="\u20ac]")])
    for at in range(1, len(raw)):
        found = reader(form)
        assert found.feed(raw[:at]) + found.feed(raw[at:]) + found.end() == raw
        assert settled(found)
        torn = reader(form)
        torn.feed(raw[:at])
        assert not torn.complete  # the transport broke
        torn.end()
        last = form == "sse" and at >= len(raw.rstrip())  # a last event may lack its blank line
        assert settled(torn) is last, raw[:at][-40:]


@pytest.mark.parametrize("form", ["sse", "array"])
def test_an_array_is_over_at_its_bracket_and_events_at_the_end_of_the_transport(form: str) -> None:
    found = reader(form)
    found.feed(written(form, WHOLE))
    assert found.complete is (form == "array")
    found.end()
    assert settled(found)


@pytest.mark.parametrize(
    "raw",
    [
        b"[",
        b"[]",
        b"[] []",
        b"{}",
        b"",
        b'"["',
        b"[{},]",
        b"[,{}]",
        b"[{},,{}]",
        b"[{}]x",
        b"[{}}",
        b"[{]}]",
        b"[1]",
        b"null",
        b"[[{}]]",
        b'{"error":{"code":500,"message":"m","status":"INTERNAL"}}',
        b'[{"error":{"code":500,"message":"m","status":"INTERNAL"}}]',
    ],
)
@pytest.mark.parametrize("form", ["array", "sse", "json"])
def test_what_is_no_answer_is_not_settled(raw: bytes, form: str) -> None:
    for size in (1, 100):
        assert not settled(through(reader(form), raw, size))


def test_an_element_beyond_all_measure_is_relayed_and_not_kept() -> None:
    splitter = ArraySplitter(element_bytes_max=100)
    assert splitter.feed(b'[{"a":"' + b"x" * 200) == []
    assert splitter.problem is not None
    assert splitter.feed(b'"}]') == []
    assert not splitter._buffer


def test_elements_come_out_as_they_stand() -> None:
    elements = [b'{"a": "[,]{}\\"\\\\"}', b"1", b'"x,y"', b"[1,[2,{}]]", b"{}"]
    raw = b" \r\n[" + b" ,\r\n".join(elements) + b"\n] \n"
    for size in range(1, len(raw)):
        splitter = ArraySplitter()
        found = [one for at in range(0, len(raw), size) for one in splitter.feed(raw[at : at + size])]
        assert (found, splitter.closed, splitter.problem) == (elements, True, None)


def hostile() -> Iterator[tuple[str, list[Any]]]:
    done = event(USAGE, finish="STOP")
    yield "no finish", [event(USAGE), event(USAGE)]
    yield "unspecified finish", [event(USAGE, finish="FINISH_REASON_UNSPECIFIED")]
    yield "no usage", [event(finish="STOP")]
    yield "content after", [event(USAGE), event(finish="STOP")]
    yield (
        "fell",
        [event(USAGE), event(USAGE | {"thoughtsTokenCount": 2, "totalTokenCount": 17}, finish="STOP")],
    )
    yield "vanished", [event(USAGE), event({"promptTokenCount": 10}, finish="STOP")]
    yield "two models", [event(USAGE), done | {"modelVersion": "gemini-2.5-pro"}]
    yield "model is no name", [done | {"modelVersion": 1}]
    yield "error", [done | {"error": {"code": 500}}]
    yield "error after", [done, {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}]
    yield "usage is a list", [done | {"usageMetadata": []}]
    yield "candidates is no list", [done | {"candidates": {"0": 1}}]
    yield "index", [done | {"candidates": [{"index": -1, "finishReason": "STOP"}]}]
    for lie in (
        {"promptTokenCount": 0},
        {"promptTokenCount": -10},
        {"promptTokenCount": "10"},
        {"promptTokenCount": True},
        {"promptTokenCount": None},
        {"totalTokenCount": 19},
        {"totalTokenCount": 17},
        {"candidatesTokenCount": -1, "thoughtsTokenCount": 9},
        {"cachedContentTokenCount": 11},
        {"toolUsePromptTokenCount": 1},
        {"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 11}]},
        {"promptTokensDetails": [{"modality": "SMELL", "tokenCount": 1}]},
        {"promptTokensDetails": "TEXT"},
        {"promptTokensDetails": [{"modality": [], "tokenCount": 1}]},
        {"promptTokensDetails": [{"modality": {"a": 1}, "tokenCount": 1}]},
        {"candidatesTokenCount": None, "totalTokenCount": 13},
        {"candidatesTokenCount": 0, "thoughtsTokenCount": None, "totalTokenCount": 10},
        {"candidatesTokensDetails": [{"modality": "VIDEO", "tokenCount": 1}]},
        {"cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 1}]},
        {"serviceTier": 1},
        {"promptTokenCount": 2**41, "totalTokenCount": 2**41 + 8},
    ):
        yield f"lie {lie}", [event(USAGE | lie, finish="STOP")]


HOSTILE = list(hostile())


@pytest.mark.parametrize("form", ["sse", "array"])
@pytest.mark.parametrize("events", [events for _, events in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_usage_that_something_speaks_against_is_not_believed(form: str, events: list[Any]) -> None:
    assert not settled(through(reader(form), written(form, events), 13))


def test_a_comma_too_many_is_no_array_also_where_all_elements_are_whole() -> None:
    raw = written("array", WHOLE)
    for broken in (raw[:-1] + b",]", b"[," + raw[1:], raw.replace(b",\r\n{", b",,\r\n{", 1)):
        for size in (1, 100_000):
            assert not settled(through(reader("array"), broken, size)), broken


@pytest.mark.parametrize("form", ["json", "sse", "array"])
@pytest.mark.parametrize("parts", [[], [{"text": ""}], [{"text": "hm", "thought": True}], None])
def test_an_answer_of_thoughts_alone_needs_no_candidates_tokens(form: str, parts: Any) -> None:
    """The cap went to thoughts, or nothing was to be said; what is there beside needs tokens of its own."""
    said = event(
        {"promptTokenCount": 10, "thoughtsTokenCount": 3, "totalTokenCount": 13}, finish="MAX_TOKENS"
    )
    said["candidates"][0]["content"] = {"role": "model", "parts": parts}
    assert settled(through(reader(form), written(form, [said])))
    said["candidates"][0]["content"] = {"parts": [{"functionCall": {"name": "f", "args": {}}}]}
    assert not settled(through(reader(form), written(form, [said])))


@pytest.mark.parametrize("name", [name for name, _ in HOSTILE if name.startswith("lie")])
def test_the_same_in_one_piece(name: str) -> None:
    assert not settled(through(reader("json"), written("json", dict(HOSTILE)[name])))


def test_a_candidate_of_several_that_is_missing_is_no_end() -> None:
    raw = written("sse", WHOLE)
    assert not settled(through(reader("sse", choices=2), raw))
    second = {"candidates": [{"index": 1, "finishReason": "MAX_TOKENS"}], "usageMetadata": USAGE}
    assert settled(through(reader("sse", choices=2), written("sse", [*WHOLE, second])))


@pytest.mark.parametrize("form", ["json", "sse", "array"])
def test_a_blocked_prompt_is_a_normal_end(form: str) -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8},
        "modelVersion": MODEL,
    }
    found = through(reader(form), written(form, [blocked]))
    assert settled(found)
    assert found.usage is not None
    assert found.usage.counts() == {"input_tokens": 8, "output_tokens": 0}


def test_old_models_finish_every_event() -> None:
    events = [event(USAGE | {"candidatesTokenCount": 1, "totalTokenCount": 14}, finish="STOP")] * 2
    assert settled(through(reader("sse"), written("sse", [*events, event(USAGE, finish="STOP")])))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_answers_are_read_and_relayed_as_they_are(encoding: str) -> None:
    raw = written("array", WHOLE)
    packed = gzip.compress(raw) if encoding == "gzip" else zlib.compress(raw)
    assert settled(through(reader("array", encoding=encoding), packed, 5))


@pytest.mark.parametrize("large", [False, True])
def test_searches_are_counted(large: bool) -> None:
    grounds = {"webSearchQueries": ["a", "", "b"], "imageSearchQueries": ["c"], "searchEntryPoint": {"x": 1}}
    text = "y" * (2**20 if large else 1)
    said = event(USAGE, finish="STOP", text=text)
    said["candidates"][0]["groundingMetadata"] = grounds
    for form in ("json", "sse", "array"):
        found = through(reader(form, per_prompt=True), written(form, [said]), 2**16)
        assert found.usage is not None
        assert found.usage.events == {"grounded_request": 1}
        found = through(reader(form, per_prompt=False), written(form, [said]), 2**16)
        assert found.usage is not None
        assert (settled(found), found.usage.events) == (True, {"grounding_query": 3})
    said["candidates"][0]["groundingMetadata"] = {"webSearchQueries": []}
    found = through(reader("json"), written("json", [said]))
    assert found.usage is not None
    assert found.usage.events == {}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("found", "searches"),
    [
        ({"groundingChunks": [{"web": {"uri": "u"}}]}, 1),
        ({"searchEntryPoint": {"renderedContent": "r"}, "webSearchQueries": []}, 1),
        ({"groundingSupports": [{"segment": {"endIndex": 1}}]}, 1),
        ({"groundingChunks": [], "searchEntryPoint": {}, "groundingSupports": None}, 0),
    ],
)
def test_what_was_found_tells_of_a_search_also_without_its_words(
    large: bool, found: dict[str, Any], searches: int
) -> None:
    said = event(USAGE, finish="STOP", text="y" * (2**20 if large else 1))
    said["candidates"][0]["groundingMetadata"] = found
    taken = through(reader("json", per_prompt=False), written("json", [said]))
    assert taken.usage is not None
    assert taken.usage.events.get("grounding_query", 0) == searches


def test_of_two_candidates_by_one_number_both_are_heard() -> None:
    said = event(USAGE, finish="STOP")
    grounded = {"index": 0, "finishReason": "STOP", "groundingMetadata": {"webSearchQueries": ["a"]}}
    said["candidates"] = [grounded, {"index": 0}]
    found = through(reader("sse"), written("sse", [said]))
    assert settled(found)
    assert found.usage is not None
    assert found.usage.events == {"grounded_request": 1}


def test_an_answer_of_endless_candidates_is_not_decoded() -> None:
    raw = b'{"candidates":[' + b",".join([b"{}"] * 2_100_000) + b"]}"
    found = through(reader("json"), raw)
    assert (found.usage, found.complete) == (None, False)


def test_modalities_have_their_own_counts() -> None:
    report = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "toolUsePromptTokenCount": 20,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 155,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 10},
            {"modality": "AUDIO", "tokenCount": 50},
            {"modality": "IMAGE", "tokenCount": 20},
            {"modality": "DOCUMENT", "tokenCount": 5},
            {"modality": "VIDEO", "tokenCount": 15},
        ],
        "toolUsePromptTokensDetails": [{"modality": "IMAGE", "tokenCount": 4}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 25}, {"modality": "TEXT"}],
        "serviceTier": "priority",
    }
    usage = read_usage(report)
    assert usage.counts() == {
        "input_tokens": 120,
        "cached_input_tokens": 40,
        "audio_input_tokens": 50,
        "cached_audio_input_tokens": 30,
        "image_input_tokens": 29,
        "video_input_tokens": 15,
        "output_tokens": 35,
        "reasoning_output_tokens": 5,
        "image_output_tokens": 25,
    }
    assert usage.service_tier == "priority"
    assert read_usage(USAGE | {"serviceTier": "standard"}).service_tier == "default"


MEDIA = frozenset({"input_audio", "input_image", "input_video"})
TEXT_ROW = {"modality": "TEXT", "tokenCount": 4}


@pytest.mark.parametrize(
    ("rows", "unsorted"),
    [
        (None, 10),
        ([TEXT_ROW], 6),
        ([TEXT_ROW, {"modality": "MODALITY_UNSPECIFIED", "tokenCount": 6}], 6),
        ([TEXT_ROW, {"modality": "AUDIO", "tokenCount": 6}], 0),
    ],
)
def test_input_of_which_no_modality_is_told_may_be_any_that_was_sent(rows: Any, unsorted: int) -> None:
    """Sound costs three times what text does; of a plain request all is text."""
    report = USAGE | {"promptTokensDetails": rows, "cachedContentTokenCount": 2}
    plain = read_usage(report)
    assert (plain.unsorted_input_tokens, plain.cached_input_tokens) == (0, 2)
    seen = read_usage(report, reach={"input_image"})
    assert (seen.unsorted_input_tokens, seen.unsorted_rates) == (unsorted, ("input_image",))
    assert seen.cached_input_tokens == 2
    heard = read_usage(report, reach=MEDIA)
    assert (heard.unsorted_input_tokens, heard.unsorted_rates) == (unsorted, tuple(sorted(MEDIA)))
    assert heard.cached_input_tokens == (0 if unsorted else 2)


def test_the_reader_knows_what_was_sent() -> None:
    sound = {"inlineData": {"mimeType": "audio/mp3", "data": "//MY"}}
    request = read(body(sound))
    for form, alt in (("json", ""), ("array", ""), ("sse", "sse")):
        request = read(body(sound), stream=form != "json", alt=alt)
        found = FORMAT.reader(request, hides_usage=False, status=200, encoding="")
        through(found, written(form, [event(USAGE, finish="STOP")]))
        assert found.usage is not None
        assert (found.usage.unsorted_input_tokens, found.usage.unsorted_rates) == (10, ("input_audio",))


@pytest.mark.parametrize("said", [None, "unspecified", ""])
@pytest.mark.parametrize(("asked", "meant"), [(None, "default"), ("standard", "default"), ("priority", "")])
def test_a_tier_that_is_not_named_is_known_only_where_one_may_serve(
    said: str | None, asked: str | None, meant: str
) -> None:
    request = read(body(serviceTier=asked))
    found = FORMAT.reader(request, hides_usage=False, status=200, encoding="")
    through(found, written("json", [event(USAGE | {"serviceTier": said}, finish="STOP")]))
    assert found.usage is not None
    assert found.usage.service_tier == meant


@pytest.mark.parametrize("rate", ["output_audio", "output_image"])
def test_an_answer_in_sound_or_pictures_tells_how_much_of_it_is(rate: str) -> None:
    told = [{"modality": "IMAGE", "tokenCount": 2}, {"modality": "TEXT", "tokenCount": 3}]
    assert read_usage(USAGE | {"candidatesTokensDetails": told}, reach={rate}).image_output_tokens == 2
    for rows in (None, told[:1]):
        with pytest.raises(SpendGuardError, match="candidatesTokensDetails"):
            read_usage(USAGE | {"candidatesTokensDetails": rows}, reach={rate})


ERROR = {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}
HELP = {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "d", "url": "u"}]}


@pytest.mark.parametrize(
    ("answer", "documented"),
    [
        ({"error": ERROR}, True),
        ([{"error": ERROR | {"details": [HELP]}}], True),
        ({"error": ERROR | {"details": None, "status": None}}, True),
        ({"error": ERROR, "usageMetadata": USAGE}, False),
        ({"error": ERROR | {"usage": 1}}, False),
        ({"error": ERROR | {"details": [HELP | {"usageMetadata": {}}]}}, False),
        ({"error": ERROR | {"details": ["x"]}}, False),
        ({"error": "m"}, False),
        ({"error": {"message": "m"}}, False),
        ([{"error": ERROR}, {"error": ERROR}], False),
        ([], False),
        ({}, False),
    ],
)
def test_one_shape_says_that_nothing_was_billed(answer: Any, documented: bool) -> None:
    for request in (read(body()), read(body(), stream=True), read(body(), stream=True, alt="sse")):
        found = FORMAT.reader(request, hides_usage=False, status=429, encoding="")
        through(found, json.dumps(answer).encode(), 9)
        assert (found.documented_error, found.usage) == (documented, None)


@pytest.mark.parametrize("status", [400, 401, 402, 404, 409, 413, 429, 500, 503])
def test_our_errors_are_in_googles_shape(status: int) -> None:
    answer = json.loads(FORMAT.error_body(status, "x", "d\u2028", {"hold_usd": "1"}))
    assert answer["error"]["code"] == status
    assert answer["error"]["message"] == answer["detail"] == "d\u2028"
    assert answer["error"]["status"].isupper()
    assert answer["spendguard"] == {"hold_usd": "1"}


RECORDED = {
    "30-gemini-plain": ("json", 2, 0, 71),
    "31-gemini-thoughts-tools": ("json", 109, 0, 118),
    "32-gemini-cached": ("json", 557, 330, 143),
    "33-gemini-grounding": ("json", 83, 0, 139),
    "34-gemini-stream-sse": ("sse", 6, 0, 36),
    "35-gemini-stream-array": ("array", 60, 0, 48),
}


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_recorded_answers(name: str, size: int) -> None:
    """The numbers are those of `expected_usage.jsonl`."""
    form, *numbers = RECORDED[name]
    reply = load(name).reply
    found = through(reader(form, encoding=reply.headers.get("content-encoding", "")), reply.body, size)
    assert settled(found)
    assert found.usage is not None
    usage = found.usage
    assert [usage.input_tokens, usage.cached_input_tokens, usage.output_tokens] == numbers


def test_a_recorded_stream_without_its_prompt_is_charged_at_worst() -> None:
    found = through(reader("sse"), load("36-gemini-stream-crlf").reply.body)
    assert (found.complete, found.usage) == (True, None)
    assert found.problem == "Absurd usage: promptTokenCount is 0: no prompt is empty"
