"""Around an Anthropic message: headers both ways, errors both ways, and the free count endpoint."""

import json
from typing import Any

import pytest

from replies import load
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.providers import anthropic_count
from spendguard_daemon.providers.anthropic import FORMAT
from spendguard_daemon.providers.contract import Asked, Request
from spendguard_daemon.providers.policy import CAREFUL, Policy
from spendguard_daemon.usage import InputBound

PLAIN = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
CLAUDE_CODE = (
    "claude-code-20250219,oauth-2025-04-20,interleaved-thinking-2025-05-14,thinking-token-count-2026-05-13,"
    "context-management-2025-06-27,prompt-caching-scope-2026-01-05,mid-conversation-system-2026-04-07,"
    "advisor-tool-2026-03-01,effort-2025-11-24,extended-cache-ttl-2025-04-11"
)
"""As Claude Code 2.1.185 sends it."""


def read(headers: dict[str, str] | None = None, policy: Policy = CAREFUL, **fields: Any) -> Request:
    return FORMAT.read(Asked(json.dumps(PLAIN | fields).encode(), policy=policy, headers=headers or {}))


def test_the_version_is_the_clients_own_or_the_first_one() -> None:
    assert read().headers == (("anthropic-version", "2023-06-01"),)
    assert read({"anthropic-version": " 2026-10-21"}).headers == (("anthropic-version", "2026-10-21"),)
    assert read({"anthropic-version": "x\r\ny"}).headers == (("anthropic-version", "2023-06-01"),)


def test_the_betas_of_claude_code_pass_but_for_the_one_of_subscriptions() -> None:
    request = read({"anthropic-beta": CLAUDE_CODE})
    assert dict(request.headers)["anthropic-beta"] == CLAUDE_CODE.replace("oauth-2025-04-20,", "")
    assert request.stripped == ("anthropic.beta:oauth-2025-04-20",)


def test_unknown_betas_are_left_out_and_named_and_an_operator_may_let_one_pass() -> None:
    header = (
        " newest-2027-01-01 , fast-mode-2026-02-01,,message-threads-2026-08-12, fast-mode-2026-02-01,\x00é"
    )
    request = read({"anthropic-beta": header})
    assert dict(request.headers)["anthropic-beta"] == "fast-mode-2026-02-01"
    assert request.stripped == (
        "anthropic.beta:newest-2027-01-01",
        "anthropic.beta:message-threads-2026-08-12",
        "anthropic.beta:<value>",
    )
    policy = Policy(allow=frozenset({"anthropic.beta:newest-2027-01-01"}))
    allowed = read({"anthropic-beta": "newest-2027-01-01,newest-2027-01-02"}, policy)
    assert dict(allowed.headers)["anthropic-beta"] == "newest-2027-01-01"
    assert allowed.stripped == ("anthropic.beta:newest-2027-01-02",)


def test_no_other_header_of_the_client_passes() -> None:
    headers = {
        "x-api-key": "k",
        "authorization": "Bearer k",
        "anthropic-dangerous-direct-browser-access": "true",
        "anthropic-workspace-id": "w",
        "anthropic-user-profile-id": "u",
    }
    assert read(headers).headers == (("anthropic-version", "2023-06-01"),)


def test_headers_that_went_out_are_read_back_the_same() -> None:
    request = read(
        {"anthropic-beta": CLAUDE_CODE + ",context-1m-2025-08-07", "anthropic-version": "2026-10-21"}
    )
    again = read(dict(request.headers))
    assert (again.headers, again.stripped) == (request.headers, ())


def test_the_answer_headers_that_a_client_may_see() -> None:
    assert "request-id" in FORMAT.brought_back
    assert "anthropic-ratelimit-" in FORMAT.brought_back
    for hidden in ("anthropic-organization-id", "set-cookie", "anthropic-workspace-id", "cf-ray"):
        assert not any(
            hidden == name or (name.endswith("-") and hidden.startswith(name)) for name in FORMAT.brought_back
        )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_an_error_of_ours_has_anthropics_shape(status: int, kind: str) -> None:
    raw = FORMAT.error_body(status, "some_code", "Why é", {"code": "some_code", "n": 1})
    assert raw.isascii()
    assert json.loads(raw) == {
        "type": "error",
        "error": {"type": kind, "message": "Why é"},
        "detail": "Why é",
        "spendguard": {"code": "some_code", "n": 1},
    }


def test_a_refused_thread_says_so_in_the_words_that_the_sdk_understands() -> None:
    """Its tool runner then goes on without one; no other refused field speaks so."""
    for name, details in (
        ("thread", {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}),
        ("x", None),
    ):
        with pytest.raises(SpendGuardError) as caught:
            read(**{name: {"type": "new"}})
        raw = FORMAT.error_body(400, "unbounded_feature", caught.value.detail, caught.value.facts)
        assert json.loads(raw)["error"].get("details") == details


def test_the_sdk_reads_an_error_of_ours() -> None:
    """Its exception carries our sentence, and its type."""
    import anthropic
    import httpx2

    raw = FORMAT.error_body(402, "insufficient_budget", "Insufficient budget: ...", {})
    client = anthropic.Anthropic(api_key="k")
    response = httpx2.Response(402, content=raw, request=httpx2.Request("POST", "http://localhost/"))
    error = client._make_status_error_from_response(response)  # the very method that requests go through
    assert isinstance(error, anthropic.APIStatusError)
    assert "Insufficient budget" in str(error)
    client.close()


def error_reader(status: int, raw: bytes, encoding: str = "") -> Any:
    reader = FORMAT.reader(read(stream=True), hides_usage=False, status=status, encoding=encoding)
    assert reader.feed(raw[:5]) + reader.feed(raw[5:]) + reader.end() == raw
    return reader


def test_the_recorded_error_is_documented() -> None:
    reply = load("28-anthropic-400").reply
    reader = error_reader(400, reply.body)
    assert (reader.documented_error, reader.complete, reader.usage) == (True, True, None)


@pytest.mark.parametrize(
    ("answer", "documented"),
    [
        ({"type": "error", "error": {"type": "api_error", "message": "m"}}, True),
        ({"type": "error", "error": {"type": "x", "message": "m"}, "request_id": None}, True),
        ({"type": "error", "error": {"type": "x", "message": "m", "details": {"error_code": "c"}}}, True),
        ({"type": "error", "error": {"type": "x", "message": "m", "details": None}}, True),
        ({"type": "error", "error": {"type": "x", "message": "m", "details": {"usage": {}}}}, False),
        ({"type": "error", "error": {"type": "x", "message": "m", "details": {"a": {}}}}, False),
        ({"type": "error", "error": {"type": "x", "message": "m"}, "usage": {"input_tokens": 1}}, False),
        ({"type": "error", "error": {"type": "x", "message": "m", "usage": 1}}, False),
        ({"type": "error", "error": {"type": "x"}}, False),
        ({"type": "error", "error": "m"}, False),
        ({"type": "message", "error": {"type": "x", "message": "m"}}, False),
        ({"error": {"type": "x", "message": "m"}}, False),
        ({"type": "error", "error": {"type": "x", "message": "m"}, "request_id": 5}, False),
    ],
)
def test_only_the_documented_error_says_that_nothing_was_billed(answer: Any, documented: bool) -> None:
    reader = error_reader(529, json.dumps(answer).encode())
    assert reader.documented_error == documented
    assert (reader.problem is None) == documented
    assert reader.usage is None


def test_a_page_of_a_proxy_is_no_documented_error() -> None:
    for raw in (b"<html>502</html>", b"", b'{"type":"error"'):
        assert not error_reader(502, raw).documented_error


def test_nothing_of_anthropics_usage_is_ours_to_hide() -> None:
    with pytest.raises(ValueError, match="hide"):
        FORMAT.reader(read(), hides_usage=True, status=200, encoding="")


def test_an_answer_of_success_is_read_as_a_stream_where_one_was_asked_for() -> None:
    plain = load("25-anthropic-cache-write-1h").reply
    reader = FORMAT.reader(read(), hides_usage=False, status=200, encoding="gzip")
    reader.feed(plain.body)
    reader.end()
    assert reader.usage is not None
    assert reader.usage.cache_write_1h_input_tokens == 2056


COUNTED = {
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "cache_control",
}


def question(policy: Policy = CAREFUL, query: dict[str, str] | None = None, **fields: Any) -> Any:
    asked = Asked(json.dumps(PLAIN | fields).encode(), policy=policy, query=query or {})
    return FORMAT.count_question(asked, FORMAT.read(asked))


def test_the_question_holds_what_the_endpoint_takes_as_it_stands() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}, {"name": "f", "input_schema": {}}]
    asked = question(
        query={"beta": "true"},
        system="s",
        tools=tools,
        stream=True,
        thinking={"type": "adaptive"},
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
        inference_geo="us",
        metadata={"user_id": "u"},
    )
    assert asked.path == "/v1/messages/count_tokens?beta=true"
    sent = json.loads(asked.body)
    assert sent.keys() == {"model", "messages", "system", "tools", "thinking", "context_management"}
    assert sent["tools"] == tools[1:]
    assert sent.keys() <= COUNTED | {"context_management"}  # by its beta header, which goes with it


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        (Policy(hosted_tools="allow"), {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        (
            Policy(),
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]},
        ),
        (
            Policy(),
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url"}}]}]},
        ),
        (
            Policy(),
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
        ),
    ],
)
def test_what_the_endpoint_does_not_take_is_not_asked(policy: Policy, fields: dict[str, Any]) -> None:
    assert question(policy, **fields) is None


def test_edits_that_leave_more_in_are_asked_with() -> None:
    """Older models drop earlier thinking unless told to keep it: the count must not be of less."""
    keep = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    asked = question(context_management=keep, thinking={"type": "enabled", "budget_tokens": 1_024})
    assert json.loads(asked.body)["context_management"] == keep


def test_a_pdf_in_the_body_can_be_counted() -> None:
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}
    assert question(messages=[{"role": "user", "content": [pdf]}]) is not None


@pytest.mark.parametrize(
    ("status", "answer", "bound"),
    [
        (200, {"input_tokens": 14}, 78),
        (200, {"input_tokens": 3_200}, 3_264),
        (200, {"input_tokens": 10_001}, 10_202),
        (200, {"input_tokens": 9, "context_management": {"original_input_tokens": 12}}, 76),
        (200, {"input_tokens": 12, "context_management": {"original_input_tokens": 9}}, 76),
        (200, {"input_tokens": 12, "context_management": {}}, 76),
        (200, {"input_tokens": 12, "context_management": None}, 76),
        (200, {"input_tokens": 12, "context_management": {"original_input_tokens": "9"}}, None),
        (400, {"input_tokens": 14}, None),
        (200, {"input_tokens": 0}, None),
        (200, {"input_tokens": -5}, None),
        (200, {"input_tokens": True}, None),
        (200, {"input_tokens": 1.0}, None),
        (200, {"input_tokens": 2**50}, None),
        (200, {}, None),
    ],
)
def test_a_count_bounds_with_its_margin(status: int, answer: Any, bound: int | None) -> None:
    found = FORMAT.count_bound(read(), status, json.dumps(answer).encode())
    assert found == (None if bound is None else InputBound("counted", bound))


def test_an_answer_that_is_no_json_bounds_nothing() -> None:
    assert FORMAT.count_bound(read(), 200, b"<html>") is None


def test_the_recorded_count_is_asked_and_answered() -> None:
    recording = load("29-anthropic-count-tokens")
    asked = anthropic_count.read_count(Asked(recording.request_body, query={"beta": "true"}))
    assert (asked.model, asked.stripped) == ("claude-haiku-4-5", ())
    assert asked.path == recording.path + "?beta=true"
    assert asked.headers == (("anthropic-version", "2023-06-01"),)
    assert FORMAT.count_bound(read(), 200, recording.reply.body) == InputBound("counted", 78)


def test_a_clients_question_may_hold_what_the_provider_will_judge() -> None:
    raw = {"model": "m", "messages": [], "tools": [{"type": "web_search_20250305"}], "mcp_servers": []}
    headers = {"anthropic-beta": "token-counting-2024-11-01,x-1"}
    asked = anthropic_count.read_count(Asked(json.dumps(raw).encode(), headers=headers))
    assert asked.path == "/v1/messages/count_tokens"
    assert asked.stripped == ("anthropic.beta:x-1",)


@pytest.mark.parametrize(
    "raw", [b"[]", b"{}", b'{"model":5}', b'{"model":"m","max_tokens":5}', b'{"model":"m","q":1}']
)
def test_a_question_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(SpendGuardError):
        anthropic_count.read_count(Asked(raw))
    allowed = Policy(allow=frozenset({"anthropic.messages.field:q", "anthropic.messages.field:max_tokens"}))
    if b'model":"m' in raw:
        assert anthropic_count.read_count(Asked(raw, policy=allowed)).model == "m"
