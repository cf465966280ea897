"""Requests to Anthropic that are to be accepted: messages, as SDKs and coding agents send them."""

from base64 import b64encode
from typing import Any

from hypothesis import strategies as st

from billing.anthropic import PRICES
from billing.cases import case
from billing.texts import flag, piece, schema, text, values, word

MODELS = st.sampled_from(
    [
        "claude-haiku-4-5",
        "claude-haiku-5-5",
        "claude-sonnet-4-20250514",
        "claude-sonnet-5",
        "claude-opus-4-8",
        "claude-opus-5-5",
        "claude-fable-5-2",
        "claude-2.1",
    ]
)
PICTURE = b64encode(b"\x89PNG" + bytes(60)).decode()
mark = st.sampled_from(
    [{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "5m"}, {"type": "ephemeral", "ttl": "1h"}]
)
marks = {"cache_control": mark}
said = st.fixed_dictionaries({"type": st.just("text"), "text": text}, optional=marks)
source = st.sampled_from(
    [
        {"type": "base64", "media_type": "image/png", "data": PICTURE},
        {"type": "url", "url": "https://example.org/a.png"},
    ]
)
shown = st.fixed_dictionaries({"type": st.just("image"), "source": source}, optional=marks)
document = st.fixed_dictionaries(
    {
        "type": st.just("document"),
        "source": st.sampled_from(
            [
                {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"},
                {"type": "text", "media_type": "text/plain", "data": "ﷺ plain text"},
                {"type": "content", "content": [{"type": "text", "text": "in parts ﷺ"}]},
            ]
        ),
    },
    optional={"title": piece, "context": piece, **marks},
)
result = st.fixed_dictionaries(
    {
        "type": st.just("tool_result"),
        "tool_use_id": st.just("toolu_1"),
        "content": text | st.lists(said | said | shown, max_size=2),
    },
    optional={"is_error": flag(), **marks},
)
used = st.fixed_dictionaries(
    {"type": st.just("tool_use"), "id": st.just("toolu_1"), "name": word, "input": values}, optional=marks
)
thought = st.fixed_dictionaries({"type": st.just("thinking"), "thinking": text, "signature": piece})
blind = st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": piece})
message = st.one_of(
    st.fixed_dictionaries({"role": st.just("user"), "content": text}),
    st.fixed_dictionaries(
        {
            "role": st.just("user"),
            "content": st.lists(said | shown | result | document, min_size=1, max_size=3),
        }
    ),
    st.fixed_dictionaries(
        {
            "role": st.just("assistant"),
            "content": st.lists(thought | blind | said | used, min_size=1, max_size=3),
        }
    ),
)
own_tool = st.fixed_dictionaries(
    {"name": word, "input_schema": schema}, optional={"description": text, "type": st.just("custom"), **marks}
)
hosted_tool = st.sampled_from(
    [
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
        {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 9},
        {"type": "web_search_20260209", "name": "web_search", "allowed_callers": ["direct"]},
    ]
)
system = text | st.lists(said, min_size=1, max_size=2)
fields: dict[str, st.SearchStrategy[Any]] = {
    "system": system,
    "stream": st.booleans(),
    "tools": st.lists(own_tool, min_size=1, max_size=3)
    | st.lists(own_tool | hosted_tool | hosted_tool, min_size=1, max_size=3),
    "tool_choice": st.sampled_from([{"type": "auto"}, {"type": "none"}]),
    "thinking": st.sampled_from(
        [{"type": "enabled", "budget_tokens": 1_024}, {"type": "adaptive"}, {"type": "disabled"}]
    ),
    "service_tier": st.sampled_from(["auto", "standard_only"]),
    "metadata": st.just({"user_id": "u"}),
    "cache_control": mark,
    "inference_geo": st.sampled_from(["us", "global"]),
    "speed": st.sampled_from(["standard", "fast"]),
    "output_config": st.fixed_dictionaries(
        {"format": st.fixed_dictionaries({"type": st.just("json_schema"), "schema": schema})}
    ),
    "context_management": st.just({"edits": [{"type": "clear_tool_uses_20250919"}]}),
    "temperature": st.floats(0, 1),
}


def priced(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out what scales the bill of other models only."""
    points = PRICES[body["model"]].get("modifiers_bp", {})
    unknown = {"speed": "speed:fast" not in points, "inference_geo": "geo:us" not in points}
    return {name: value for name, value in body.items() if not unknown.get(name, False)}


bodies = st.fixed_dictionaries(
    {
        "model": MODELS,
        "max_tokens": st.sampled_from([0, 1, 300, 4_096, 32_000, 128_000]),
        "messages": st.lists(message, min_size=1, max_size=4),
    },
    optional=fields,
).map(priced)
headers = st.sampled_from(
    [
        {},
        {},
        {"anthropic-version": "2023-06-01", "anthropic-beta": "fine-grained-tool-streaming-2025-05-14"},
        {"anthropic-beta": "context-1m-2025-08-07,interleaved-thinking-2025-05-14"},
        {"anthropic-beta": "nobody-knows-2026-11-01,extended-cache-ttl-2025-04-11"},
    ]
)
messages_cases = case("anthropic", "messages", bodies, headers=headers)
