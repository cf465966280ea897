"""Gemini contents: what is read and refused, what bounds it, and how it is held to that."""

import json
from typing import Any

import pytest

from gemini_said import (
    MODEL,
    WINDOW,
    allowing,
    asked,
    body,
    read,
    refused,
    rewritten,
    rungs,
)
from spendguard_daemon.errors import Code
from spendguard_daemon.providers.gemini import FORMAT
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.usage import Limits

NO_STATE = Policy(server_state="refuse")


def config(**fields: Any) -> dict[str, Any]:
    return body(generationConfig=fields)


def test_the_plain_case() -> None:
    request = read(config(maxOutputTokens=9))
    assert (request.model, request.stream, request.choices) == (MODEL, False, 1)
    assert (request.asked_output_tokens, request.service_tier) == (9, "default")
    assert (request.messages, request.tools, request.reach, request.passes) == (1, 0, frozenset(), 1)
    assert FORMAT.path(request) == f"/v1beta/models/{MODEL}:generateContent"
    assert FORMAT.auth("k") == (("x-goog-api-key", "k"),)


def test_the_path_says_how_the_answer_comes() -> None:
    events = read(body(), stream=True, alt="sse")
    assert (events.stream, FORMAT.path(events)) == (
        True,
        f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse",
    )
    array = read(body(), stream=True)
    assert FORMAT.path(array) == f"/v1beta/models/{MODEL}:streamGenerateContent"
    assert array.headers == (("accept", "application/json"),)
    assert refused(body(), alt="sse").facts["path"] == "query.alt"


@pytest.mark.parametrize("cap", [0, -1, 1.5, True, "9", 2**31])
def test_a_cap_is_a_whole_number_and_not_zero_which_means_none(cap: Any) -> None:
    error = refused(config(maxOutputTokens=cap))
    assert (error.code, error.facts["path"]) == (Code.MALFORMED_REQUEST, "generationConfig.maxOutputTokens")


@pytest.mark.parametrize("count", [0, -1, 129, "2", 2.0])
def test_candidates_are_a_whole_number(count: Any) -> None:
    assert refused(config(candidateCount=count)).facts["path"] == "generationConfig.candidateCount"
    assert read(config(candidateCount=3)).choices == 3


@pytest.mark.parametrize(
    ("fields", "floor"),
    [
        ({"maxOutputTokens": 9_000, "thinkingConfig": {"thinkingBudget": 2_000}}, 3_024),
        ({"maxOutputTokens": 2_000, "thinkingConfig": {"thinking_budget": 2_000}}, 2_000),
        ({"thinkingConfig": {"thinkingBudget": 8_192}}, 9_216),
        ({"thinkingConfig": {"thinkingBudget": 0}}, 0),
        ({"thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}}, 0),
        ({"thinkingConfig": {"thinkingLevel": "LOW"}}, 0),
        ({"thinkingConfig": None}, 0),
    ],
)
def test_a_thinking_budget_moves_the_floor_alone(fields: dict[str, Any], floor: int) -> None:
    request = read(config(**fields))
    assert request.floor_output_tokens == floor
    assert request.least_output_tokens == 1


@pytest.mark.parametrize("budget", [-2, "9", 1.5])
def test_a_thinking_budget_is_a_number(budget: Any) -> None:
    path = "generationConfig.thinkingConfig.thinkingBudget"
    assert refused(config(thinkingConfig={"thinkingBudget": budget})).facts["path"] == path


# -- two spellings ------------------------------------------------------------------------------------------


def test_snake_is_read_like_camel() -> None:
    camel = {
        "contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}],
        "systemInstruction": {"parts": [{"text": "x"}]},
        "generationConfig": {"maxOutputTokens": 7, "candidateCount": 2, "responseModalities": ["AUDIO"]},
        "serviceTier": "flex",
        "cachedContent": "cachedContents/1",
    }
    snake = {
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "AAAA"}}]}],
        "system_instruction": {"parts": [{"text": "x"}]},
        "generation_config": {"max_output_tokens": 7, "candidate_count": 2, "response_modalities": ["AUDIO"]},
        "service_tier": "flex",
        "cached_content": "cachedContents/1",
    }
    one, other = read(camel), read(snake)
    for name in ("asked_output_tokens", "choices", "reach", "service_tier", "media", "foreign_state"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.asked_output_tokens == 7
    assert one.media.images == 1


@pytest.mark.parametrize(
    ("model", "rate"),
    [("gemini-2.5-flash-image", "output_image"), ("gemini-2.5-pro-preview-tts", "output_audio")],
)
def test_models_that_draw_or_speak_need_no_word_for_it(model: str, rate: str) -> None:
    """Without modalities they answer with pictures or sound all the same, at their rate."""
    assert read(body({"text": "hi"}), model=model).reach == {rate}


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (body(generationConfig={}, generation_config={}), "generation_config"),
        (body(systemInstruction={"parts": []}, system_instruction=None) | {"system_instruction": None}, ""),
        (config(maxOutputTokens=1, max_output_tokens=9), "generationConfig.max_output_tokens"),
        (config(max_output_tokens=None, maxOutputTokens=9), "generationConfig.maxOutputTokens"),
        (body(serviceTier="standard", service_tier="priority"), "service_tier"),
        (
            body({"inlineData": {"mimeType": "image/png", "data": ""}, "inline_data": {"data": ""}}),
            "contents[0].parts[0].inline_data",
        ),
        (
            body({"inlineData": {"mimeType": "image/png", "mime_type": "video/mp4", "data": ""}}),
            "contents[0].parts[0].inlineData.mime_type",
        ),
        (body(tools=[{"googleSearch": {}, "google_search": {}}]), "tools[0].google_search"),
        (
            config(thinkingConfig={"thinkingBudget": 1, "thinking_budget": 9}),
            "generationConfig.thinkingConfig.thinking_budget",
        ),
    ],
)
def test_twins_are_refused(request_: dict[str, Any], path: str) -> None:
    error = refused(request_)
    assert error.code is Code.MALFORMED_REQUEST
    assert "which are one field" in str(error.facts["expected"])
    if path:
        assert error.facts["path"] == path


# -- what is on no list -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        (body(unheardOf=1), "gemini.field:unheardOf"),
        (config(unheardOf=1), "gemini.config:unheardOf"),
        (config(max_outputTokens=1), "gemini.config:max_outputTokens"),
        (config(thinkingConfig={"x": 1}), "gemini.thinking:x"),
        (body({"text": "x", "hologram": {}}), "gemini.part:hologram"),
        (body(tools=[{"telescope": {}}]), "gemini.tool:telescope"),
    ],
)
def test_what_is_on_no_list_names_its_setting(request_: dict[str, Any], feature: str) -> None:
    error = refused(request_)
    assert (error.code, error.facts["feature"]) == (Code.MALFORMED_REQUEST, feature)
    assert read(request_, allowing(feature)).messages == 1


@pytest.mark.parametrize("name", ["routingConfig", "model_selection_config", "translationConfig"])
def test_what_has_no_bound_is_refused(name: str) -> None:
    assert refused(config(**{name: {}})).code is Code.UNBOUNDED_FEATURE
    assert read(config(**{name: None})).choices == 1


def test_only_the_model_of_the_path_may_be_named() -> None:
    assert read(body(model=f"models/{MODEL}")).model == MODEL
    assert refused(body(model="gemini-2.5-pro")).facts["path"] == "model"


# -- media and state ----------------------------------------------------------------------------------------


def blob(kind: str, data: str = "AAAA", **beside: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": kind, "data": data}, **beside}


MP3 = "//uQ" + "A" * 5_996
"""4,500 bytes that begin as an MPEG stream does."""


def test_an_image_is_held_at_the_cap_of_the_card() -> None:
    bare = rungs(read(body({"text": "x"}, {"text": ""})))["bytes"]
    small, large = (
        read(body({"text": "x"}, blob("image/png"))),
        read(body({"text": "x"}, blob("image/png", "A" * 9_000))),
    )
    assert rungs(small) == rungs(large)
    assert bare + 6_450 <= rungs(small)["bytes"] < bare + 6_450 + 200
    assert small.reach == {"input_image"}
    with pytest.raises(Exception, match="Unbounded feature"):
        FORMAT.bounds(small, Limits(1_000, 1_000, 10))


def test_sound_of_a_known_pace_is_held_by_its_size() -> None:
    request = read(body(blob("audio/mp3", MP3)))
    assert (request.reach, request.media.audio_bytes) == ({"input_audio"}, 4_500)
    assert 300 < rungs(request)["bytes"] < 600
    unknown = Limits(WINDOW, WINDOW, 65_536)
    assert rungs(request, unknown) == {"window": WINDOW}


@pytest.mark.parametrize(
    ("part", "reach"),
    [
        (blob("audio/flac"), {"input_audio"}),
        (blob("video/mp4"), {"input_audio", "input_video"}),
        (blob("application/pdf"), {"input_image"}),
        (blob("text/plain"), set()),
        (blob("image/gif"), {"input_image"}),
        (blob(""), {"input_audio", "input_image", "input_video"}),
        (blob("image/png", mediaResolution={"numTokens": 100_000}), {"input_image"}),
        (
            {"fileData": {"fileUri": "https://x.example/a.jpg", "mimeType": "image/jpeg"}},
            {"input_audio", "input_image", "input_video"},  # what lies there may be of another type
        ),
        ({"file_data": {"file_uri": "files/1"}}, {"input_audio", "input_image", "input_video"}),
    ],
)
def test_other_media_are_held_at_the_window(part: dict[str, Any], reach: set[str]) -> None:
    request = read(body(part))
    assert rungs(request) == {"window": WINDOW}
    assert request.reach == reach
    error = refused(body(part), NO_STATE)
    assert (error.code, error.facts["setting"]) == (
        Code.UNBOUNDED_FEATURE,
        '[policy] server_state = "window"',
    )


def test_media_in_the_answer_of_a_function_count() -> None:
    inner = {"functionResponse": {"name": "f", "response": {}, "parts": [blob("image/png")]}}
    assert read(body(inner)).media.images == 1


@pytest.mark.parametrize("name", ["cachedContent", "continuationToken"])
def test_what_lies_at_the_provider_is_held_at_the_window(name: str) -> None:
    request = read(body(**{name: "cachedContents/1"}))
    assert request.foreign_state
    assert rungs(request) == {"window": WINDOW}
    assert request.reach == {"input_audio", "input_image", "input_video"}
    assert refused(body(**{name: "x"}), NO_STATE).code is Code.UNBOUNDED_FEATURE


def test_a_video_that_the_model_goes_through_in_turns_has_no_bound() -> None:
    assert refused(body(blob("video/mp4", mediaProcessing="AGENTIC"))).code is Code.UNBOUNDED_FEATURE
    assert read(body(blob("video/mp4", mediaProcessing="STATIC"))).media.documents


@pytest.mark.parametrize(
    ("modalities", "reach"),
    [(["TEXT"], set()), (["TEXT", "IMAGE"], {"output_image"}), (["audio"], {"output_audio"}), (None, set())],
)
def test_modalities_need_their_rates(modalities: Any, reach: set[str]) -> None:
    assert read(config(responseModalities=modalities)).reach == reach


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (config(responseModalities=["VIDEO"]), "generationConfig.responseModalities[0]"),
        (body(serviceTier="ultra"), "serviceTier"),
    ],
)
def test_what_has_no_rate_is_refused(request_: dict[str, Any], path: str) -> None:
    error = refused(request_)
    assert (error.code, error.facts["path"]) == (Code.UNPRICED_DIMENSION, path)


def test_one_object_may_stand_for_a_list() -> None:
    lone = {"contents": {"parts": {"text": "hi"}}, "system_instruction": {"parts": {"text": "be brief"}}}
    assert read(lone).messages == 2
    assert read({"contents": {"parts": blob("image/png")}}).media.images == 1


@pytest.mark.parametrize(
    "request_",
    [{}, {"contents": []}, {"contents": "hi"}, {"contents": ["hi"]}, body("hi"), body({"inlineData": "x"})],
)
def test_contents_are_contents(request_: dict[str, Any]) -> None:
    assert refused(request_).code is Code.MALFORMED_REQUEST


def test_numbers_and_strings_count_by_the_largest_form() -> None:
    plain = rungs(read(body({"text": "a" * 100})))["bytes"]
    grown = rungs(read(body({"text": "\U0001d160" * 25})))["bytes"]
    assert grown > plain  # the same raw bytes, three times as many once they are normalised


# -- rewriting ----------------------------------------------------------------------------------------------


def test_what_needs_no_change_leaves_byte_for_byte() -> None:
    raw = b' {"contents" : [{"parts":[{"text":"\\u0068i"}]}],"service_tier":"standard",\n'
    raw += b'"generation_config":{"max_output_tokens": 64 , "temperature":1e-3}} '
    assert rewritten(raw, 64).body == raw


def test_the_cap_is_set_in_the_clients_own_spelling() -> None:
    raw = b'{"contents":[{"parts":[{"text":"x"}]}],"generation_config":{"max_output_tokens": 64, "topK":3}}'
    outgoing = rewritten(raw, 16)
    assert outgoing.body == raw.replace(b"64", b"16")[:-1] + b',"serviceTier":"standard"}'
    assert outgoing.changed == (
        "generationConfig.maxOutputTokens: 64 -> 16",
        "serviceTier: none -> standard",
    )


@pytest.mark.parametrize("given", ["", ',"generationConfig":null', ',"generation_config":{}'])
def test_the_cap_is_put_in_where_there_is_none(given: str) -> None:
    raw = f'{{"contents":[{{"parts":[{{"text":"x"}}]}}]{given}}}'.encode()
    outgoing = json.loads(rewritten(raw, 16).body)
    found = outgoing.get("generationConfig") or outgoing.get("generation_config")
    assert found == {"maxOutputTokens": 16}
    assert not {"generationConfig", "generation_config"} <= outgoing.keys()


@pytest.mark.parametrize(
    ("tier", "sent"), [("unspecified", "standard"), ("flex", "flex"), (None, "standard")]
)
def test_the_tier_is_pinned(tier: str | None, sent: str) -> None:
    assert json.loads(rewritten(body(serviceTier=tier), 16).body)["serviceTier"] == sent


def test_no_change_raises_the_clients_cap() -> None:
    with pytest.raises(ValueError, match="asked"):
        FORMAT.rewrite(read(config(maxOutputTokens=8)), output_tokens=9)


# -- the short body -----------------------------------------------------------------------------------------


def test_the_short_body_is_written_as_a_native_request() -> None:
    short = {"model": f"models/{MODEL}", "prompt": "h\u00fc", "max_tokens": 64}
    request = read(short, model="")
    assert (request.model, request.stream, request.asked_output_tokens) == (MODEL, False, 64)
    assert json.loads(FORMAT.rewrite(request, output_tokens=32).body) == {
        "contents": [{"role": "user", "parts": [{"text": "h\u00fc"}]}],
        "generationConfig": {"maxOutputTokens": 32},
        "serviceTier": "standard",
    }
    assert request.changed == ("prompt: written as a native request",)


def test_a_native_body_may_bring_its_model() -> None:
    request = read(body(model=MODEL, stream=True), model="")
    assert FORMAT.path(request) == f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    assert "model" not in json.loads(FORMAT.rewrite(request, output_tokens=8).body)


@pytest.mark.parametrize(
    "request_",
    [
        {"prompt": "x"},
        {"model": MODEL, "prompt": 1},
        {"model": MODEL, "prompt": "x", "max_tokens": 0},
        {"model": MODEL, "prompt": "x", "temperature": 1},
        {"model": "a b", "prompt": "x"},
        {"model": MODEL, "prompt": "x", "stream": 1},
    ],
)
def test_a_short_body_has_its_own_form(request_: dict[str, Any]) -> None:
    assert refused(request_, model="").code is Code.MALFORMED_REQUEST


# -- counting -----------------------------------------------------------------------------------------------


def test_the_provider_is_asked_about_what_it_would_read() -> None:
    before = asked(body(blob("image/png"), system_instruction={"parts": []}, labels={"a": "b"}))
    question = FORMAT.count_question(before, FORMAT.read(before))
    assert question is not None
    assert question.path == f"/v1beta/models/{MODEL}:countTokens"
    inner = json.loads(question.body)["generateContentRequest"]
    assert list(inner) == ["model", "contents", "system_instruction"]
    assert inner["model"] == f"models/{MODEL}"
    assert inner["contents"][0]["parts"][0]["inlineData"]["data"] == "AAAA"


def test_what_lies_elsewhere_is_not_asked_about() -> None:
    before = asked(body({"fileData": {"fileUri": "files/1"}}))
    assert FORMAT.count_question(before, FORMAT.read(before)) is None


@pytest.mark.parametrize(
    ("status", "answer", "tokens"),
    [
        (200, b'{"totalTokens": 100}', 164),
        (200, b'{"totalTokens": 10000, "x": 1}', 10_200),
        (200, b'{"totalTokens": 0}', None),
        (200, b'{"totalTokens": true}', None),
        (200, b'{"totalTokens": "100"}', None),
        (200, b"[1]", None),
        (429, b'{"totalTokens": 100}', None),
    ],
)
def test_a_count_is_believed_with_a_margin(status: int, answer: bytes, tokens: int | None) -> None:
    bound = FORMAT.count_bound(read(body()), status, answer)
    assert (bound.tokens if bound else None) == tokens
    assert bound is None or bound.rung == "counted"


def test_a_large_request_of_a_coding_agent_passes() -> None:
    """Gemini CLI sends such: many tools, thinking, snake nowhere, 31 kB (wire.md 3)."""
    tools = [
        {
            "name": f"tool_{i}",
            "description": "x" * 900,
            "parametersJsonSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
        }
        for i in range(25)
    ]
    request = body(
        systemInstruction={"role": "user", "parts": [{"text": "y" * 5_000}]},
        tools=[{"functionDeclarations": tools}],
        generationConfig={
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8_192},
        },
    )
    found = read(request, stream=True, alt="sse")
    assert (found.tools, found.floor_output_tokens) == (25, 9_216)
    assert rungs(found)["bytes"] < 40_000
    rewritten(request, 16_384, stream=True, alt="sse")
