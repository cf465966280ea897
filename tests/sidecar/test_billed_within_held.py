"""Whatever a request lets its provider bill, the hold covers it: for each wire format, by each rung.

`SPENDGUARD_TEST_BILLS` sets how many requests are drawn (250 a format); `python -m tests.campaign --only
bills` draws them without end, and drew 100,000 a format for the last release (CONTRIBUTING.md).
"""

import os
from base64 import b64encode
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from billing import anthropic, gemini, grok, holds, openai
from billing.worst import UnboundedBillError, Worst

TODAY = datetime(2026, 11, 29, tzinfo=UTC)
EXAMPLES = int(os.environ.get("SPENDGUARD_TEST_BILLS", "250"))
ROW = {
    "limits": {"max_input": 1_000},
    "periods": [
        {
            "rates": {
                "default": {"input": 4, "cache_write": 5, "output": 10},
                "flex": {"input": 9, "output": 1},
            },
            "tiers": [{"input_tokens_ge": 501, "rates": {"default": {"input": 1, "output": 2}}}],
        }
    ],
}


@pytest.mark.parametrize("key", sorted(holds.CASES), ids="-".join)
def test_no_bill_is_above_its_hold(key: tuple[str, str]) -> None:
    """By each rung of the bound, at any cap that a clamp may leave; and most that is drawn is accepted."""
    went = holds.run(key, EXAMPLES)
    assert went["accepted"] > 0.8 * went.total(), went


class TestTheBillsThemselves:
    """By hand, for what bills too little would prove nothing."""

    def test_the_dearest_bucket_of_the_dearest_size(self) -> None:
        """500 tokens at 5 are dearer than 600 at 1; output at 10 below the tier, in nano-USD."""
        worst = Worst(ROW, 600, 7, frozenset({"input", "cache_write"}))
        assert worst.nusd() == -(-(500 * 5 + 7 * 10) // 1_000)

    def test_the_window_passes_fees_and_factors(self) -> None:
        """Two passes of 500 at 4 are dearer than of 1,000 at 1; twice and half of that; a fee of 3 nUSD."""
        worst = Worst(
            ROW,
            10**9,
            0,
            frozenset({"input"}),
            passes=2,
            fees=((3, 1),),
            factors=(Fraction(2), Fraction(1, 2)),
        )
        assert worst.nusd() == 4 + 3

    def test_chat_by_hand(self) -> None:
        """gpt-4o: 3 + 3 and `{}` and an image in, 2 x 5 out, at the priority rate as no tier is named."""
        body = {
            "model": "gpt-4o",
            "n": 2,
            "max_tokens": 5,
            "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        }
        assert openai.chat(body, counted=False).input_tokens == 3 + 3 + 1_445 + 2
        nusd = openai.chat(body, counted=False).nusd()
        assert nusd == -(-((3 + 3 + 1_445 + 2) * 4_250_000 + 10 * 17_000_000) // 1_000)

    def test_messages_by_hand(self) -> None:
        """One ligature: 33 bytes normalised, two quotes, and one; 8 + 4 beside; an hour's write at 2 USD."""
        body = {
            "model": "claude-haiku-4-5",
            "max_tokens": 1,
            "service_tier": "standard_only",
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
            "messages": [{"role": "user", "content": "\ufdfa"}],
        }
        assert anthropic.messages(body, {}).input_tokens == 8 + 4 + 33 + 1 + 2
        assert anthropic.messages(body, {}).nusd() == (8 + 4 + 33 + 1 + 2) * 2_000 + 5_000

    def test_the_dearest_price_while_a_call_may_last(self) -> None:
        """A price that rises within the hour counts, one that rises later does not."""
        periods = [{"from": "1970-01-01T00:00:00Z", "rates": {"default": {"input": 1, "output": 1}}}]
        periods.append({"from": "2027-01-01T00:00:00Z", "rates": {"default": {"input": 9, "output": 9}}})
        worst = Worst(ROW | {"periods": periods}, 1_000, 0, frozenset({"input"}))
        moments = [datetime(2026, 12, 31, 22, 59, tzinfo=UTC), datetime(2026, 12, 31, 23, 1, tzinfo=UTC)]
        assert [worst.nusd(begins) for begins in moments] == [1, 9]

    def test_gemini_by_hand(self) -> None:
        """Each of two candidates may fill the cap; an image, some sound; the tier asked for; one ligature."""
        sound = b64encode(b"\xff\xe3" + bytes(998)).decode()
        parts: list[dict[str, Any]] = [
            {"text": "\ufdfa"},
            {"inline_data": {"mime_type": "image/png", "data": "AAAA"}},
            {"inlineData": {"mimeType": "audio/mp3", "data": sound}},
        ]
        body = {
            "contents": [{"parts": parts}],
            "generation_config": {"max_output_tokens": 5, "candidateCount": 2},
            "service_tier": "priority",
        }
        worst = gemini.generate(body, "gemini-2.5-flash")
        text = 8 + 2 * 4 + len('{"text":""}') + 33 + 1 + 2 * (len("{}") + 1)
        assert worst.image_tokens == 25 * 258
        assert worst.audio_tokens == 32
        assert worst.input_tokens == text + 25 * 258 + 32
        size = worst.input_tokens - 32
        nusd = Fraction(size * 540_000 + 32 * 1_800_000 + 10 * 4_500_000, 1_000)
        assert worst.nusd(TODAY) == -(-nusd // 1)

    def test_gemini_searches_by_hand(self) -> None:
        """Before Gemini 3 a prompt costs its fee once, and is read twice; from then on nothing bounds it."""
        body = {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"maxOutputTokens": 1}}
        searching = body | {"tools": [{"google_search": {}}]}
        window = 1_048_576
        assert (
            gemini.generate(searching, "gemini-2.5-flash").nusd(TODAY)
            == -(-(2 * window * 300_000 + 2_500_000) // 1_000) + 35_000_000
        )
        with pytest.raises(UnboundedBillError):
            gemini.generate(searching, "gemini-3-flash-preview")

    def test_gemini_embeddings_by_hand(self) -> None:
        """A film has sound and pictures: the dearest rate, over the window that a whole batch has."""
        film = {"content": {"parts": [{"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}]}}
        assert gemini.embed(film, "gemini-embedding-2").nusd(TODAY) == 819_200 * 12_000
        with pytest.raises(UnboundedBillError):
            gemini.embed({"requests": [film | {"model": "models/other"}]}, "gemini-embedding-2")

    def test_grok_chat_by_hand(self) -> None:
        """130 and 4 for framing and `x` and one; beside the cap a whole context of reasoning; the fee."""
        body = {"model": "grok-4.3", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        worst = grok.chat(body)
        assert worst.output_tokens == 1_000_005
        assert worst.input_tokens >= 130 + 4 + 1
        assert worst.nusd(TODAY) == worst.input_tokens * 1_250 + 1_000_005 * 2_500 + 50_000_000
        quick = grok.chat(body | {"model": "grok-4.20-non-reasoning", "n": 3})
        assert quick.output_tokens == 15

    def test_grok_at_its_cliff_by_hand(self) -> None:
        """From 200,000 tokens on, not beyond them, all costs twice as much."""
        body = {"model": "grok-4.3", "max_output_tokens": 1, "input": "x"}
        around = grok.responses(body, state_tokens=None).input_tokens - 1
        costs = [
            grok.responses(body | {"input": "x" * (size - around)}, state_tokens=None).nusd(TODAY)
            for size in (199_999, 200_000)
        ]
        assert costs == [199_999 * 1_250 + 2_500 + 50_000_000, 200_000 * 2_500 + 5_000 + 50_000_000]

    @pytest.mark.parametrize(
        "more",
        [
            {"max_completion_tokens": 5},
            {"web_search_options": {}},
            {"prediction": {"type": "content", "content": "x"}},
            {"max_tokens": None},
        ],
    )
    def test_what_chat_must_not_say(self, more: dict[str, object]) -> None:
        """A provider would bill it without limit, so the bill is none."""
        body = {"model": "gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        with pytest.raises(UnboundedBillError):
            openai.chat(body | more, counted=False)

    @pytest.mark.parametrize(
        "more",
        [
            {"max_output_tokens": None},
            {"tools": [{"type": "web_search"}]},
            {"tools": [{"type": "code_interpreter"}], "max_tool_calls": 1},
            {"background": True},
            {"reasoning": {"mode": "pro"}},
        ],
    )
    def test_what_responses_must_not_say(self, more: dict[str, object]) -> None:
        """The same for responses."""
        body = {"model": "gpt-4o", "max_output_tokens": 16, "input": "x"}
        with pytest.raises(UnboundedBillError):
            openai.responses(body | more, counted=False, state_tokens=None)

    @pytest.mark.parametrize(
        "more",
        [
            {"service_tier": "auto"},
            {"mcp_servers": [{"url": "https://example.org"}]},
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            {"tools": [{"type": "web_search_20260209", "name": "web_search", "max_uses": 1}]},
            {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
            {"context_management": {"edits": [{"type": "compact_20260112"}]}},
            {"speed": "fast"},
        ],
    )
    def test_what_messages_must_not_say(self, more: dict[str, object]) -> None:
        """The same for messages."""
        body = {
            "model": "claude-haiku-4-5",
            "max_tokens": 1,
            "service_tier": "standard_only",
            "messages": [{"role": "user", "content": "x"}],
        }
        with pytest.raises(UnboundedBillError):
            anthropic.messages(body | more, {})

    @pytest.mark.parametrize(
        "more",
        [
            {"generationConfig": {}},
            {"generation_config": {"maxOutputTokens": 1}},
            {"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 9}},
            {"generationConfig": {"maxOutputTokens": 1, "routingConfig": {"autoMode": {}}}},
            {"tools": [{"codeExecution": {}}]},
            {"tools": [{"url_context": {}}]},
            {"tools": [{"googleMaps": {}}]},
            {"contents": [{"parts": [{"text": "x", "mediaProcessing": "AGENTIC"}]}]},
        ],
    )
    def test_what_gemini_must_not_be_told(self, more: dict[str, object]) -> None:
        """The same for Gemini, with names that are said twice."""
        body = {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"maxOutputTokens": 1}}
        with pytest.raises(UnboundedBillError):
            gemini.generate(body | more, "gemini-2.5-flash")

    @pytest.mark.parametrize(
        "more",
        [
            {"max_tokens": 5},
            {"deferred": True},
            {"search_parameters": {"mode": "auto"}},
            {"tools": [{"type": "live_search"}]},
        ],
    )
    def test_what_grok_must_not_be_told(self, more: dict[str, object]) -> None:
        """The same for xAI's chat."""
        body = {"model": "grok-4.3", "max_completion_tokens": 5, "messages": []}
        with pytest.raises(UnboundedBillError):
            grok.chat(body | more)

    @pytest.mark.parametrize(
        "more",
        [
            {"max_output_tokens": None},
            {"background": True},
            {"tools": [{"type": "web_search"}], "max_turns": 1},
            {"tools": [{"type": "web_search"}], "parallel_tool_calls": False},
            {"tools": [{"type": "mcp"}], "max_turns": 1, "parallel_tool_calls": False},
        ],
    )
    def test_what_groks_responses_must_not_be_told(self, more: dict[str, object]) -> None:
        """The same for xAI's responses."""
        body = {"model": "grok-4.3", "max_output_tokens": 16, "input": "x"}
        with pytest.raises(UnboundedBillError):
            grok.responses(body | more, state_tokens=None)
