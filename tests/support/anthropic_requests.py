"""Hypothesis strategies for Anthropic messages that the reader must accept, written as no sane client would.

`bodies` yields (request, bytes, policy): keys in any order, odd white space, characters and keys escaped at
random, hosted tools among the client's own, everything that a provider may have answered sent back.
"""

import json
from random import Random
from typing import Any

from hypothesis import strategies as st

from chat_requests import write
from json_values import texts, values
from spendguard_daemon.providers.policy import Policy

cache = st.none() | st.fixed_dictionaries(
    {"type": st.just("ephemeral")}, optional={"ttl": st.sampled_from(["5m", "1h"]), "scope": texts}
)
text = st.fixed_dictionaries(
    {"type": st.just("text"), "text": texts}, optional={"cache_control": cache, "citations": st.none()}
)
base64 = st.text("ABCabc019+/=", max_size=40)
image = st.fixed_dictionaries(
    {
        "type": st.just("image"),
        "source": st.fixed_dictionaries({"type": st.just("base64"), "data": base64, "media_type": texts})
        | st.fixed_dictionaries({"type": st.just("url"), "url": texts})
        | st.fixed_dictionaries({"type": st.just("file"), "file_id": texts}),
    },
    optional={"cache_control": cache},
)
document = st.fixed_dictionaries(
    {
        "type": st.just("document"),
        "source": st.fixed_dictionaries({"type": st.just("text"), "data": texts})
        | st.fixed_dictionaries({"type": st.just("base64"), "data": base64})
        | st.fixed_dictionaries(
            {"type": st.just("content"), "content": texts | st.lists(text | image, max_size=2)}
        ),
    },
    optional={"citations": st.none() | st.fixed_dictionaries({"enabled": st.booleans()}), "title": texts},
)
found = st.fixed_dictionaries(
    {"type": st.just("search_result"), "source": texts, "title": texts, "content": st.lists(text, max_size=2)}
)
reference = st.fixed_dictionaries({"type": st.just("tool_reference"), "tool_name": texts})
arguments = st.dictionaries(texts, values, max_size=3)
called = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]),
        "id": texts,
        "input": arguments,
    }
)
result = st.fixed_dictionaries(
    {"type": st.just("tool_result"), "tool_use_id": texts},
    optional={
        "content": texts | st.lists(text | image | document | found | reference, max_size=2),
        "cache_control": cache,
        "is_error": st.booleans(),
    },
)
answered = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "thinking",
                "redacted_thinking",
                "web_search_tool_result",
                "mcp_tool_result",
                "compaction",
                "fallback",
            ]
        )
    },
    optional={
        "thinking": texts,
        "signature": texts,
        "data": texts,
        "content": texts | st.lists(values, max_size=2),
    },
)
block = text | image | document | found | called | result | answered
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"])},
    optional={"content": texts | st.lists(block, max_size=3), "unheard_of": values},
)
custom = st.fixed_dictionaries(
    {"name": texts, "input_schema": st.dictionaries(texts, values, max_size=2)},
    optional={"type": st.none() | st.just("custom"), "description": texts, "cache_control": cache},
)
searching = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["web_search_20250305", "web_fetch_20250910"]),
        "name": st.just("a hosted one"),
    },
    optional={"max_uses": st.none() | st.integers(1, 20), "cache_control": cache},
)
endless = st.fixed_dictionaries(
    {"type": st.sampled_from(["code_execution_20250825", "mcp_toolset", "advisor_20260301"]), "name": texts}
)
options: dict[str, st.SearchStrategy[Any]] = {
    "system": texts | st.lists(text, max_size=2),
    "stream": st.none() | st.booleans(),
    "tool_choice": st.none() | st.fixed_dictionaries({"type": st.sampled_from(["auto", "none"])}),
    "service_tier": st.none() | st.sampled_from(["auto", "standard_only"]),
    "inference_geo": st.none() | st.sampled_from(["global", "us"]),
    "speed": st.none() | st.sampled_from(["standard", "fast"]),
    "temperature": st.none() | st.floats(0, 1),
    "stop_sequences": st.none() | st.lists(texts, max_size=2),
    "metadata": st.none() | st.dictionaries(texts, texts, max_size=2),
    "thinking": st.none()
    | st.fixed_dictionaries({"type": st.sampled_from(["adaptive", "disabled"])})
    | st.fixed_dictionaries({"type": st.just("enabled"), "budget_tokens": st.integers(1, 4000)}),
    "output_config": st.none() | st.fixed_dictionaries({}, optional={"effort": texts, "format": values}),
    "cache_control": cache,
    "context_management": st.none()
    | st.just({"edits": [{"type": "clear_tool_uses_20250919", "keep": {"type": "tool_uses", "value": 3}}]}),
    "diagnostics": st.none(),
}


@st.composite
def requests(draw: st.DrawFn, hosted: str) -> dict[str, Any]:
    """Draw a request for a policy of hosted tools."""
    tools = {"refuse": custom, "allow": custom | searching, "strip": custom | searching | endless}[hosted]
    stripped = {
        "mcp_servers": st.lists(st.just({"type": "url", "url": "u", "name": "n"}), max_size=1),
        "container": st.none() | texts,
    }
    required = {
        "model": st.sampled_from(["claude-haiku-4-5", "claude-opus-5-5"]),
        "max_tokens": st.integers(0, 2**31 - 1),
        "messages": st.lists(message, min_size=1, max_size=3),
    }
    optional = options | {"tools": st.none() | st.lists(tools, max_size=3)}
    return draw(st.fixed_dictionaries(required, optional=optional | (stripped if hosted == "strip" else {})))


@st.composite
def bodies(draw: st.DrawFn) -> tuple[dict[str, Any], bytes, Policy]:
    """Draw a request, one way of writing it, and the policy that it passes."""
    hosted = draw(st.sampled_from(["strip", "refuse", "allow"]))
    request = draw(requests(hosted))
    random = Random(draw(st.integers(0, 2**32)))
    raw = write(request, random).encode()
    assert json.loads(raw) == request
    return request, raw, Policy(hosted_tools=hosted, hosted_tool_uses=draw(st.integers(1, 9)))
