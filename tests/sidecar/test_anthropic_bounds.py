"""Anthropic bounds: bytes, images and files, the window, the least cap, and every recorded prompt."""

import json
from dataclasses import replace
from typing import Any

import pytest

from anthropic_said import CUSTOM, LIMITS, PDF, PIXEL, allowing, body, read, refused, rungs
from replies import RECORDINGS, load
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers.anthropic import FORMAT
from spendguard_daemon.providers.contract import Asked, Request
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.usage import Limits


def test_an_image_costs_its_cap_not_its_bytes() -> None:
    plain = read(body({"type": "text", "text": "x"}))
    request = read(body({"type": "text", "text": "x"}, PIXEL))
    assert request.media.images == 1
    assert rungs(request)["bytes"] < rungs(plain)["bytes"] + 1_650 + 300
    nested = {"type": "tool_result", "tool_use_id": "i", "content": [PIXEL, PIXEL]}
    assert read(body(nested, PIXEL)).media.images == 3
    deeper = {"type": "document", "source": {"type": "content", "content": [PIXEL]}}
    assert read(body(deeper)).media.images == 1
    with pytest.raises(SpendGuardError) as caught:
        FORMAT.bounds(request, replace(LIMITS, image_tokens_max=None))
    assert caught.value.code == Code.UNBOUNDED_FEATURE


@pytest.mark.parametrize(
    "block",
    [
        PDF,
        {"type": "document", "source": {"type": "url", "url": "u"}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "container_upload", "file_id": "f"},
        {"type": "tool_result", "tool_use_id": "i", "content": [PDF]},
        {"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "content": PDF}},
    ],
)
def test_files_are_bounded_by_the_window_alone_or_refused(block: dict[str, Any]) -> None:
    assert rungs(read(body(block))) == {"window": 200_000}
    error = refused(body(block), Policy(server_state="refuse"))
    assert error.facts["setting"] == '[policy] server_state = "window"'


def test_a_text_document_is_bounded_by_its_bytes_unless_it_is_cut_for_citations() -> None:
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x" * 500}}
    assert 500 < rungs(read(body(text)))["bytes"] < 1_000
    assert rungs(read(body(text | {"citations": {"enabled": True}}))) == {"window": 200_000}


def test_the_byte_bound_allows_for_normalisation_marks_and_arguments() -> None:
    base = rungs(read(body({"type": "text", "text": ""})))["bytes"]
    assert rungs(read(body({"type": "text", "text": "ﷺ" * 100})))["bytes"] == base + 3_300
    assert rungs(read(body({"type": "text", "text": "\U0001d160" * 100})))["bytes"] == base + 1_200
    called = {"type": "tool_use", "id": "i", "name": "n", "input": {str(i): "" for i in range(100)}}
    assert rungs(read(body(called)))["bytes"] > base + 100 * 16


@pytest.mark.parametrize(
    ("block", "allowed"),
    [
        ({"type": "text", "text": ""}, 8),
        ({"type": "thinking", "thinking": "", "signature": ""}, 64),
        ({"type": "tool_result", "tool_use_id": "", "content": ""}, 64),
        ({"type": "tool_use", "id": "", "name": "", "input": {"a": 1}}, 64 + 16),
    ],
)
def test_each_block_is_allowed_its_marks(block: dict[str, Any], allowed: int) -> None:
    """Ten more blocks are their bytes, and the allowance each."""
    one, more = (read(body(*[block] * count)).input_bytes for count in (1, 11))
    written = len(json.dumps(block, separators=(",", ":"))) + 1
    assert more - one >= 10 * (written + allowed)
    assert more - one <= 10 * (written + allowed + 2)


def test_a_source_that_an_operator_allowed_is_held_at_the_window() -> None:
    tape = body({"type": "image", "source": {"type": "tape"}})
    assert rungs(read(tape, allowing("anthropic.source:tape"))) == {"window": 200_000}


def test_a_tool_shown_again_by_name_is_counted_again() -> None:
    large = {"name": "big", "description": "x" * 1_000, "input_schema": {}}
    once = read(body(tools=[large, CUSTOM])).input_bytes
    again = {
        "type": "tool_result",
        "tool_use_id": "i",
        "content": [{"type": "tool_reference", "tool_name": "big"}],
    }
    assert read(body(again, again, tools=[large, CUSTOM])).input_bytes > once + 2_000


def test_a_larger_window_is_opened_by_its_beta() -> None:
    request = read(body(PDF), anthropic_beta="context-1m-2025-08-07")
    assert rungs(request) == {"window": 1_000_000}
    assert rungs(request, Limits(2_000_000, 2_000_000, 9)) == {"window": 2_000_000}


@pytest.mark.parametrize(
    ("fields", "reasoning", "floor"),
    [
        ({"max_tokens": 32_000}, False, 1_024),
        ({"max_tokens": 32_000}, True, 4_096),
        ({"max_tokens": 500}, True, 500),
        ({"max_tokens": 32_000, "thinking": {"type": "enabled", "budget_tokens": 10_000}}, False, 11_024),
        ({"max_tokens": 10_500, "thinking": {"type": "enabled", "budget_tokens": 10_000}}, True, 10_500),
        ({"max_tokens": 32_000, "thinking": {"type": "adaptive"}}, True, 4_096),
        ({"max_tokens": 32_000, "thinking": {"type": "disabled"}}, False, 1_024),
    ],
)
def test_no_clamp_goes_below_what_thinking_and_answer_need(
    fields: dict[str, Any], reasoning: bool, floor: int
) -> None:
    request = read(body() | fields)
    assert FORMAT.floor_output_tokens(request, output_tokens_min=1, reasoning=reasoning) == floor


EXPECTED = {
    line["id"]: line["usage"]
    for line in map(json.loads, (RECORDINGS / "expected_usage.jsonl").read_text().splitlines())
}


def recorded(number: int) -> tuple[str, Request]:
    [path] = RECORDINGS.glob(f"{number}-*.json")
    return path.stem.split("-", 1)[1], FORMAT.read(Asked(load(path.stem).request_body))


@pytest.mark.parametrize("number", [20, 21, 22, 23, 24, 25])
def test_every_recorded_prompt_is_within_its_bound(number: int) -> None:
    name, request = recorded(number)
    billed = EXPECTED[name]["input"]
    assert billed <= rungs(request)["bytes"] <= 20 * billed


def test_a_recorded_file_is_held_at_the_window() -> None:
    name, request = recorded(26)
    assert rungs(request) == {"window": 200_000}
    assert EXPECTED[name]["input"] <= 200_000


@pytest.mark.parametrize("number", range(20, 29))
def test_every_recorded_request_passes_under_the_policy_of_a_new_agent(number: int) -> None:
    _, request = recorded(number)
    assert request.stripped == (("anthropic.tool:web_search_20250305",) if number == 27 else ())


def test_an_answer_can_be_sent_back_as_it_came() -> None:
    """Also blocks of hosted tools that were never in the request, as after a change of policy."""
    history = [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "server_tool_use", "id": "i", "name": "web_search", "input": {"query": "q"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "i",
            "content": [{"type": "web_search_result", "title": "t", "url": "u", "encrypted_content": "e"}],
        },
        {
            "type": "text",
            "text": "x",
            "citations": [{"type": "web_search_result_location", "cited_text": "c"}],
        },
        {"type": "code_execution_tool_result", "content": {"type": "code_execution_result", "content": []}},
        {"type": "mcp_tool_use", "id": "i", "name": "n", "server_name": "s", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "x"}]},
        {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}},
        {"type": "compaction", "content": None, "encrypted_content": "e"},
    ]
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": history}]
    request = read(body(messages=messages))
    assert (request.stripped, request.foreign_state, request.media.documents) == ((), False, False)
