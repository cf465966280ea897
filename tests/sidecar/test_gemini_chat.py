"""Gemini by OpenAI's words: thoughts that only the total tells, fewer fields, Google's errors."""

import json
from typing import Any

import pytest

from gemini_said import LIMITS, WINDOW
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers.contract import Asked, Media
from spendguard_daemon.providers.gemini_chat import FORMAT, read_usage
from spendguard_daemon.providers.gemini_content import ANY_MEDIA
from spendguard_daemon.providers.policy import Policy

PLAIN = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "hi"}]}


def read(**fields: Any) -> Any:
    return FORMAT.read(Asked(json.dumps(PLAIN | fields).encode()))


def test_models_that_draw_need_no_word_for_it() -> None:
    assert read(model="gemini-2.5-flash-image").reach == {"output_image"}


def test_a_file_may_hold_sound_or_a_film() -> None:
    """It is held at the window, at the dearest rate of what it may be."""
    file = {"type": "file", "file": {"filename": "a", "file_data": "data:audio/mp3;base64,AAAA"}}
    request = read(messages=[{"role": "user", "content": [file]}])
    assert request.media.documents
    assert request.reach == {"input_audio", "input_image", "input_video"}


def test_thoughts_are_what_the_total_has_beyond_the_rest() -> None:
    """wire.md trap 4: 35 + 12, total 109."""
    usage = read_usage({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109})
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_output_tokens) == (35, 74, 62)


@pytest.mark.parametrize(
    "report",
    [
        {"prompt_tokens": 35, "completion_tokens": 12},
        {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 46},
        {"prompt_tokens": 0, "completion_tokens": 12, "total_tokens": 12},
        {"prompt_tokens": 35, "completion_tokens": -1, "total_tokens": 35},
        [],
    ],
)
def test_a_usage_that_cannot_be_true_is_refused(report: Any) -> None:
    with pytest.raises(SpendGuardError) as caught:
        read_usage(report)
    assert caught.value.code is Code.UPSTREAM_FAILED


def test_a_stream_asks_for_usage_and_hides_it() -> None:
    request = read(stream=True)
    outgoing = FORMAT.rewrite(request, output_tokens=64)
    assert json.loads(outgoing.body) == PLAIN | {
        "stream": True,
        "max_completion_tokens": 64,
        "stream_options": {"include_usage": True},
    }
    assert FORMAT.path(request) == "/v1beta/openai/chat/completions"
    assert FORMAT.auth("k") == (("authorization", "Bearer k"),)
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}],"model":"gemini-2.5-flash"}\n\n'
    last = f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode()
    found = FORMAT.reader(request, hides_usage=True, status=200, encoding="")
    assert found.feed(chunk + last) + found.end() == chunk + b"data: [DONE]\n\n"
    assert (found.complete, found.problem) == (True, None)
    assert found.usage is not None
    assert found.usage.output_tokens == 74


def shown(part: dict[str, Any], **policy: Any) -> Any:
    body = PLAIN | {"messages": [{"role": "user", "content": [part]}]}
    return FORMAT.read(Asked(json.dumps(body).encode(), policy=Policy(**policy)))


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize("url", ["data:image/png;base64,AAAA", "data:IMAGE/Jpeg;base64,AAAA"])
def test_an_image_is_one_image(url: str) -> None:
    request = shown(image(url))
    assert (request.media, request.reach) == (Media(images=1), {"input_image"})


@pytest.mark.parametrize(
    "part",
    [
        *(
            image(url)
            for url in (
                "data:application/pdf;base64,AAAA",
                "data:video/mp4;base64,AAAA",
                "data:audio/mp3;base64,AAAA",
                "data:image/tiff;base64,AAAA",
                "data:;base64,AAAA",
                "data:image/png",
                "https://example.com/a.png",
                "gs://bucket/a",
                "AAAA",
            )
        ),
        {"type": "file", "file": {"file_data": "data:audio/mp3;base64,AAAA"}},
    ],
)
def test_any_other_file_is_held_at_the_window_and_the_dearest_rate(part: dict[str, Any]) -> None:
    """Google reads what stands where an image does by the type that its address names: a film, a book."""
    request = shown(part)
    assert (request.media, request.reach) == (Media(documents=True), ANY_MEDIA)
    assert [(bound.rung, bound.tokens) for bound in FORMAT.bounds(request, LIMITS)] == [("window", WINDOW)]
    with pytest.raises(SpendGuardError) as caught:
        shown(part, server_state="refuse")
    assert caught.value.code is Code.UNBOUNDED_FEATURE


def test_how_much_of_an_answer_is_drawn_is_not_told() -> None:
    report = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 47}
    with pytest.raises(SpendGuardError, match="Absurd usage"):
        read_usage(report, reach={"output_image"})


def test_which_of_a_prompt_is_sound_is_not_told_so_all_of_it_may_be() -> None:
    """The usage counts tokens, not kinds; and what of it came from the cache could be sound as well."""
    details = {"cached_tokens": 4, "audio_tokens": 5}
    report = {
        "prompt_tokens": 35,
        "completion_tokens": 12,
        "total_tokens": 47,
        "prompt_tokens_details": details,
    }
    raw = json.dumps({"model": "gemini-2.5-flash", "choices": [{}], "usage": report}).encode()
    sound = {"type": "input_audio", "input_audio": {"data": "//MY", "format": "mp3"}}
    for part, unsorted, cached in ((sound, 30, 0), ({"type": "text", "text": "x"}, 0, 4)):
        found = FORMAT.reader(shown(part), hides_usage=False, status=200, encoding="")
        found.feed(raw)
        found.end()
        assert found.usage is not None
        assert (found.usage.unsorted_input_tokens, found.usage.cached_input_tokens) == (unsorted, cached)


@pytest.mark.parametrize(
    "fields",
    [
        {"web_search_options": {}},
        {"service_tier": "priority"},
        {"store": True},
        {"extra_body": []},
        {"extra_body": {"google": 1}},
        {"extra_body": {"openai": {}}},
        {"extra_body": {"google": {"cached_content": "cachedContents/1"}}},
        {"extra_body": {"google": {"thinking_config": 1}}},
        {"extra_body": {"google": {"thinking_config": {"x": 1}}}},
        {"extra_body": {"google": {"thinking_config": {}, "thinkingConfig": {}}}},
    ],
)
def test_what_google_does_not_document_is_not_taken(fields: dict[str, Any]) -> None:
    with pytest.raises(SpendGuardError) as caught:
        read(**fields)
    assert caught.value.code is Code.MALFORMED_REQUEST


@pytest.mark.parametrize(
    "extra",
    [
        None,
        {},
        {"google": {}},
        {"google": {"thinking_config": {"thinking_budget": 800, "include_thoughts": True}}},
        {"google": {"thinkingConfig": {"thinkingLevel": "low"}, "thought_tag_marker": "t"}},
    ],
)
def test_how_to_think_may_be_said(extra: Any) -> None:
    request = read(extra_body=extra, max_tokens=64)
    assert json.loads(FORMAT.rewrite(request, output_tokens=64).body)["extra_body"] == extra


def test_an_error_is_googles_in_a_list_or_not() -> None:
    error = b'{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}'
    for raw in (error, b"[" + error + b"]\n"):
        found = FORMAT.reader(read(), hides_usage=False, status=400, encoding="")
        found.feed(raw)
        found.end()
        assert found.documented_error
