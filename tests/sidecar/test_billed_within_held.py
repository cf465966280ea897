"""Whatever a request lets its provider bill, the hold covers it: for each wire format, by each rung.

`SPENDGUARD_TEST_BILLS` sets how many requests are drawn (2,000 a format); `python -m tests.campaign --only
bills` draws them without end.
"""

import os
from fractions import Fraction

import pytest

from billing import anthropic, holds, openai
from billing.worst import UnboundedBillError, Worst

EXAMPLES = int(os.environ.get("SPENDGUARD_TEST_BILLS", "2000"))
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
