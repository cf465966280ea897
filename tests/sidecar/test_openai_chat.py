"""OpenAI chat requests: what is read, refused, bounded and rewritten."""

import json
from typing import Any

import pytest

from replies import load
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers import Asked, Policy, Request, format_for
from spendguard_daemon.providers.openai_chat import FORMAT
from spendguard_daemon.usage import Limits

LIMITS = Limits(
    input_tokens_max=128_000, context_tokens=128_000, output_tokens_max=16_384, audio_bytes_per_token=100
)
USER = {"role": "user", "content": "hi"}
CHAT_RECORDINGS = ["01-openai-chat-plain", "02-openai-chat-gzip", "03-openai-chat-tools"]
CHAT_RECORDINGS += ["04-openai-chat-cached-reasoning", "05-openai-chat-reasoning"]
CHAT_RECORDINGS += ["06-openai-chat-audio"]
CHAT_RECORDINGS += ["07-openai-chat-stream-no-usage", "08-openai-chat-stream-usage"]
CHAT_RECORDINGS += ["09-openai-chat-stream-tools-usage", "10-openai-chat-400", "11-openai-chat-401"]


def body(**fields: Any) -> bytes:
    """Return a small request with these fields."""
    return json.dumps({"model": "gpt-4o-mini", "messages": [USER], **fields}).encode()


def read(**fields: Any) -> Request:
    """Read a small request with these fields."""
    return FORMAT.read(Asked(body(**fields)))


def user(*parts: Any) -> list[dict[str, Any]]:
    """Return a message list of one user message with these parts."""
    return [{"role": "user", "content": list(parts)}]


# -- refusals ---------------------------------------------------------------------------------------------

MALFORMED: list[tuple[dict[str, Any], str]] = [
    *[({"max_tokens": v}, "max_tokens") for v in (-1, 0, 2**31, 10**30, 1.0, 1.5, True, False, "5", [], {})],
    *[({"max_completion_tokens": v}, "max_completion_tokens") for v in (-1, 0, 2**31, 5.0, True, "5")],
    ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
    *[({"n": v}, "n") for v in (0, -1, 129, 10**9, 1.0, True, "2", [2])],
    *[({"stream": v}, "stream") for v in ("true", 1, 0, [], {})],
    *[({"stream_options": v}, "stream_options") for v in (True, "x", [], 1)],
    *[({"stream_options": {"include_usage": v}}, "stream_options.include_usage") for v in (1, "true", {})],
    *[({"model": v}, "model") for v in ("", "x" * 201, "a\nb", "a\u202eb", "a\x7f")],
    *[({"model": v}, "model") for v in (None, 5, ["gpt-4o-mini"])],
    *[({"messages": v}, "messages") for v in ([], None, "hi", {}, 5)],
    *[({"messages": [v]}, "messages[0]") for v in ("hi", None, 5, [USER])],
    *[({"messages": [USER, {"role": v}]}, "messages[1].role") for v in ("robot", "", None, 1, [], {})],
    ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    *[({"messages": [{"role": "user", "content": v}]}, "messages[0].content") for v in (5, {}, True)],
    ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
    *[({"messages": user(USER, v)}, "messages[0].content[0].type") for v in ("x", None)],
    *[({"messages": user(v)}, "messages[0].content[0]") for v in ("x", None, [])],
    *[
        ({"messages": user({"type": v})}, "messages[0].content[0].type")
        for v in ("video", "", None, 1, [], {})
    ],
    ({"temperature": "1"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"seed": 1.5}, "seed"),
    ({"metadata": []}, "metadata"),
    ({"tools": {}}, "tools"),
    ({"tools": ["x"]}, "tools[0]"),
    *[({"tools": [{"type": v}]}, "tools[0].type") for v in ("web_search", None, [], {})],
    ({"functions": ["x"]}, "functions[0]"),
    *[({"service_tier": v}, "service_tier") for v in (1, "turbo", "Default")],
    *[({"modalities": v}, "modalities") for v in (["text", "smell"], [{}], "text")],
    *[({"audio": v}, "audio") for v in ([], "alloy")],
    *[
        ({"messages": user({"type": "image_url", "image_url": v})}, "messages[0].content[0].image_url.url")
        for v in ({}, {"url": 5})
    ],
    ({"messages": user({"type": "image_url"})}, "messages[0].content[0].image_url"),
    *[
        (
            {"messages": user({"type": "input_audio", "input_audio": v})},
            "messages[0].content[0].input_audio.data",
        )
        for v in (None, {}, {"data": 5}, "x")
    ],
    ({"messages": [{"role": "assistant", "audio": "audio_1"}]}, "messages[0].audio"),
    ({"max_output_tokens": 5}, "max_output_tokens"),
    ({"Max_tokens": 5}, "Max_tokens"),
    ({"top_k": None}, "top_k"),
    ({"what is this": 5}, "<key>"),
]


@pytest.mark.parametrize(("fields", "path"), MALFORMED)
def test_malformed_requests_are_refused_with_their_path(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpendGuardError) as refused:
        read(**fields)
    assert (refused.value.code, refused.value.facts["path"]) == (Code.MALFORMED_REQUEST, path)


UNBOUNDED: list[tuple[dict[str, Any], str]] = [
    ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
    ({"moderation": {"model": "omni-moderation-latest"}}, "moderation"),
]


@pytest.mark.parametrize(("fields", "path"), UNBOUNDED)
def test_what_has_no_bound_is_refused_by_name(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpendGuardError) as refused:
        read(**fields)
    assert (refused.value.code, refused.value.facts["path"]) == (Code.UNBOUNDED_FEATURE, path)
    assert refused.value.detail.startswith("Unbounded feature")
    assert refused.value.facts["feature"] == f"openai.chat.field:{path}"


UNLISTED: list[tuple[dict[str, Any], str]] = [
    ({"top_k": 5}, "openai.chat.field:top_k"),
    ({"tools": [{"type": "hologram"}]}, "openai.chat.tool:hologram"),
    ({"messages": user({"type": "video_url"})}, "openai.chat.part:video_url"),
]


@pytest.mark.parametrize(("fields", "feature"), UNLISTED)
def test_what_is_on_no_list_passes_once_an_operator_lets_it(fields: dict[str, Any], feature: str) -> None:
    with pytest.raises(SpendGuardError) as refused:
        read(**fields)
    assert refused.value.facts["feature"] == feature
    assert refused.value.facts["setting"] == f"[policy] allow: {feature}"
    assert feature in refused.value.remedy
    allowed = FORMAT.read(Asked(body(**fields), policy=Policy(allow=frozenset({feature}))))
    added = len(json.dumps(fields, separators=(",", ":"))) - len('{"messages":[],"tools":}')
    assert allowed.input_bytes >= max(added, 1)


@pytest.mark.parametrize(
    "fields",
    [{"what is this": 5}, {"tools": [{"type": "a b"}]}, {"messages": user({"type": ["x"]})}],
)
def test_words_that_are_no_names_stay_out_of_refusals(fields: dict[str, Any]) -> None:
    with pytest.raises(SpendGuardError) as refused:
        read(**fields)
    assert str(refused.value.facts["feature"]).endswith(":<word>")


@pytest.mark.parametrize("mark", [{"mode": "explicit", "ttl": "12h"}, {"ttl": ["30m"]}])
def test_a_cache_lifetime_without_a_rate_is_refused(mark: dict[str, Any]) -> None:
    part = {"type": "text", "text": "x", "prompt_cache_breakpoint": mark}
    for fields in ({"messages": user(part)}, {"prompt_cache_options": mark}):
        with pytest.raises(SpendGuardError) as refused:
            read(**fields)
        assert refused.value.code is Code.UNPRICED_DIMENSION


# -- reading ----------------------------------------------------------------------------------------------


def test_the_defaults_of_a_small_request() -> None:
    request = read()
    assert (request.stream, request.choices, request.wants_usage) == (False, 1, False)
    assert (request.asked_field, request.asked_output_tokens) == (None, None)
    assert (request.messages, request.tools, request.reach) == (1, 0, frozenset())
    assert request.input_bytes == len('[{"role":"user","content":"hi"}]')
    assert "hi" not in repr(request)


def test_null_is_as_good_as_absent() -> None:
    nulls = dict.fromkeys(["max_tokens", "max_completion_tokens", "n", "stream", "stream_options", "tools"])
    nulls |= dict.fromkeys(["service_tier", "audio", "prediction", "modalities", "response_format", "stop"])
    plain, with_nulls = read(), read(**nulls)
    for name in ("stream", "choices", "asked_field", "asked_output_tokens", "input_bytes", "tools", "reach"):
        assert getattr(plain, name) == getattr(with_nulls, name)


def test_what_a_provider_answered_can_be_sent_back() -> None:
    answered = json.loads(load("04-openai-chat-cached-reasoning").reply.body)["choices"][0]["message"]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = [
        USER,
        answered,
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None, "annotations": []},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "42"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "audio": None},
        {"role": "assistant", "content": "x", "reasoning_content": "kept", "function_call": None},
        {"role": "function", "name": "f", "content": None},
    ]
    request = read(messages=history)
    assert request.messages == len(history)
    assert request.input_bytes == len(json.dumps(history, separators=(",", ":"), ensure_ascii=False).encode())


def test_all_that_the_model_is_shown_counts() -> None:
    base = read().input_bytes
    for name, value in {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "functions": [{"name": "f"}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }.items():
        extra = len(json.dumps(value, separators=(",", ":")))
        assert read(**{name: value}).input_bytes == base + extra, name
    assert read(user="u" * 100, stop=["s" * 100], metadata={"k": "v" * 100}).input_bytes == base


def test_tools_and_functions_are_counted_for_framing() -> None:
    request = read(tools=[{"type": "function"}, {"type": "custom"}], functions=[{"name": "f"}])
    assert request.tools == 3
    framing = 64 + 16 + 128 + 3 * 64
    assert FORMAT.bounds(request, LIMITS)[0].tokens == request.input_bytes + framing


def test_cache_writes_are_reached_only_where_the_client_asks_for_them() -> None:
    part = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert read(messages=user(part)).reach == {"cache_write"}
    assert read(tools=[{"type": "function", "prompt_cache_breakpoint": {"ttl": "30m"}}]).reach == {
        "cache_write"
    }
    assert read(prompt_cache_options={"mode": "implicit", "ttl": "30m"}).reach == {"cache_write"}
    assert read(prompt_cache_options={"mode": "explicit"}).reach == frozenset()
    assert read(prompt_cache_options={}).reach == frozenset()


@pytest.mark.parametrize("name", CHAT_RECORDINGS)
def test_the_bound_of_each_recording_covers_what_the_provider_reported(name: str) -> None:
    recording = load(name)
    request = FORMAT.read(Asked(recording.request_body))
    status, encoding = recording.reply.status, recording.reply.headers.get("content-encoding", "")
    reader = FORMAT.reader(request, hides_usage=False, status=status, encoding=encoding)
    assert reader.feed(recording.reply.body) + reader.end() == recording.reply.body
    assert reader.usage is not None or "no-usage" in name or status >= 400
    if reader.usage is not None:
        assert FORMAT.bounds(request, LIMITS)[0].tokens >= reader.usage.input_tokens


@pytest.mark.parametrize(
    ("asked", "least", "reasoning", "floor"),
    [
        (None, 1, False, 1_024),
        (None, 1, True, 4_096),
        (500, 1, False, 500),
        (50_000, 1, False, 1_024),
        (50_000, 1, True, 4_096),
        (2_000, 1, True, 2_000),
        (None, 9_000, True, 9_000),
        (5, 16, False, 5),
    ],
)
def test_the_floor_of_a_clamp(asked: int | None, least: int, reasoning: bool, floor: int) -> None:
    request = read(max_tokens=asked)
    assert FORMAT.floor_output_tokens(request, output_tokens_min=least, reasoning=reasoning) == floor


# -- errors -----------------------------------------------------------------------------------------------


def test_errors_of_ours_have_openais_shape() -> None:
    facts = {"code": "malformed_request", "path": "n", "held": 5}
    told = json.loads(FORMAT.error_body(400, "malformed_request", "Malformed request: n \ud800", facts))
    assert told["error"]["type"] == "invalid_request_error"
    assert told["error"]["message"] == told["detail"] == "Malformed request: n \ud800"
    assert (told["error"]["param"], told["error"]["code"], told["spendguard"]) == (
        "n",
        "malformed_request",
        facts,
    )


@pytest.mark.parametrize(("status", "documented"), [(200, False), (302, True), (400, True), (503, True)])
def test_only_answers_without_success_are_read_as_errors(status: int, documented: bool) -> None:
    for streaming in (True, False):
        reader = FORMAT.reader(read(stream=streaming), hides_usage=False, status=status, encoding="")
        reader.feed(b'{"error":{"message":"no"}}')
        reader.end()
        assert reader.documented_error is documented


def test_what_was_read_is_forgotten_but_for_what_the_rewriting_needs() -> None:
    """The tree of a prompt takes thirty times its bytes."""
    request = read(metadata={"mock": "hang"}, service_tier="auto")
    assert request.document.value("messages") is None
    assert request.document.value("service_tier") == "auto"
    assert "hi" in request.document.text
    slim = request.without_text()
    assert (slim.document.text, slim.document.members) == ("", {})
    assert slim.input_bytes == request.input_bytes


def test_the_registry_knows_the_formats() -> None:
    assert format_for("openai", "chat/completions") is FORMAT
    assert format_for("mock", "chat/completions").endpoint == "chat/completions"
    with pytest.raises(SpendGuardError) as refused:
        format_for("openai", "images")
    assert refused.value.code is Code.ROUTE_NOT_FOUND
