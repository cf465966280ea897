"""Requests to xAI that are to be accepted: chat completions and responses."""

from typing import Any

from hypothesis import strategies as st

from billing.cases import case
from billing.grok import PRICES
from billing.openai_requests import PIXEL, chat_messages, function, own_tool, response_items
from billing.texts import piece, schema, sometimes, text, word

cap = st.sampled_from([1, 16, 300, 1_024, 4_096, 16_384, 128_000, 2_000_000])
shared: dict[str, st.SearchStrategy[Any]] = {
    "stream": st.booleans(),
    "temperature": st.floats(0, 2),
    "parallel_tool_calls": st.booleans(),
    "user": piece,
    "service_tier": st.sampled_from([None, "auto", "default"]),
}
models = st.sampled_from(sorted(PRICES))
detail = st.sampled_from(["auto", "low", "high"])

# Chat completions
said = st.fixed_dictionaries({"type": st.just("text"), "text": text})
shown = st.fixed_dictionaries(
    {
        "type": st.just("image_url"),
        "image_url": st.fixed_dictionaries(
            {"url": st.sampled_from([PIXEL, "https://example.org/a.png"])}, optional={"detail": detail}
        ),
    }
)
chat_fields: dict[str, st.SearchStrategy[Any]] = {
    **shared,
    "n": sometimes(st.integers(1, 8)),
    "tools": st.lists(
        st.fixed_dictionaries({"type": st.just("function"), "function": function}), min_size=1, max_size=3
    ),
    "tool_choice": st.sampled_from(["auto", "none", "required"]),
    "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
    "response_format": st.fixed_dictionaries(
        {
            "type": st.just("json_schema"),
            "json_schema": st.fixed_dictionaries({"name": word, "schema": schema}),
        }
    ),
    "search_parameters": st.sampled_from([None, None, None, {"mode": "off"}]),
    "deferred": st.just(False),
}
chat_cases = case(
    "grok",
    "chat/completions",
    st.one_of(
        [
            st.fixed_dictionaries(
                {"model": models, "messages": chat_messages(said | shown)} | capped, optional=chat_fields
            )
            for capped in ({}, {"max_tokens": cap}, {"max_completion_tokens": cap})
        ]
    ),
)

# Responses
looked_at = st.fixed_dictionaries(
    {"type": st.just("input_image"), "detail": detail, "image_url": st.just(PIXEL)}
)
asked = st.fixed_dictionaries({"type": st.just("input_text"), "text": text})
hosted_tool = st.sampled_from([{"type": "web_search"}, {"type": "x_search"}, {"type": "code_interpreter"}])
responses_fields: dict[str, st.SearchStrategy[Any]] = {
    **shared,
    "instructions": text,
    "max_output_tokens": cap,
    "tools": st.lists(own_tool, min_size=1, max_size=2)
    | st.lists(own_tool | hosted_tool, min_size=1, max_size=3),
    "text": st.fixed_dictionaries(
        {"format": st.fixed_dictionaries({"type": st.just("json_schema"), "name": word, "schema": schema})}
    ),
    "reasoning": st.just({"effort": "low"}),
    "store": st.booleans(),
    "include": st.just(["reasoning.encrypted_content"]),
}
plain = {"model": models, "input": text | response_items(asked | looked_at)}
responses_cases = case(
    "grok",
    "responses",
    st.one_of(
        st.fixed_dictionaries(plain, optional=responses_fields),
        st.fixed_dictionaries(plain, optional=responses_fields),
        st.fixed_dictionaries(plain | {"previous_response_id": st.just("resp_1")}, optional=responses_fields),
    ),
    state_tokens=st.none() | st.integers(0, 300_000),
)
