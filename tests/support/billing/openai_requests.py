"""Requests to OpenAI that are to be accepted: chat completions, responses, embeddings."""

from base64 import b64encode
from typing import Any

from hypothesis import strategies as st

from billing.cases import case
from billing.openai import PRICES
from billing.texts import flag, piece, schema, sometimes, text, word

PIXEL = "data:image/png;base64," + b64encode(b"\x89PNG" + bytes(60)).decode()
mark = st.just({"mode": "explicit"}) | st.just({"mode": "explicit", "ttl": "30m"})
marks = {"prompt_cache_breakpoint": mark}
detail = st.sampled_from(["auto", "low", "high", "original"])
audio = st.sampled_from([0, 1, 999, 8_000, 40_000]).map(lambda size: b64encode(bytes(size)).decode())
tier = st.sampled_from([None, None, "auto", "default", "default", "default", "flex", "priority", "fast"])
cap = st.sampled_from([16, 17, 200, 1_024, 4_096, 5_000, 16_384, 128_000, 2_000_000])
shared: dict[str, st.SearchStrategy[Any]] = {
    "service_tier": tier,
    "stream": st.booleans(),
    "metadata": sometimes(st.dictionaries(word, piece, max_size=1)),
    "prompt_cache_options": st.fixed_dictionaries({"mode": st.sampled_from(["implicit", "explicit"])}),
    "prompt_cache_key": piece,
    "temperature": st.floats(0, 2),
    "parallel_tool_calls": st.booleans(),
}

# Chat completions
seeing = st.sampled_from(
    [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4.1-mini",
        "gpt-5",
        "gpt-5.4",
        "gpt-5.6-sol",
        "gpt-6-astra",
        "o3",
        "o4-mini",
    ]
)
hearing = st.sampled_from(["gpt-audio-mini", "gpt-audio-1.5", "gpt-4o-audio-preview"])
reading = st.sampled_from(
    ["gpt-3.5-turbo", "gpt-4", "o1-mini", "gpt-5-nano", "gpt-5.5-2026-04-23", "gpt-6.1-terra"]
)

said = st.fixed_dictionaries({"type": st.just("text"), "text": text}, optional=marks)
shown = st.fixed_dictionaries(
    {
        "type": st.just("image_url"),
        "image_url": st.fixed_dictionaries(
            {"url": st.sampled_from([PIXEL, "https://example.org/a.png"])}, optional={"detail": detail}
        ),
    }
)
heard = st.fixed_dictionaries(
    {
        "type": st.just("input_audio"),
        "input_audio": st.fixed_dictionaries({"data": audio, "format": st.sampled_from(["mp3", "wav"])}),
    }
)
file = st.just(
    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
)


def chat_messages(part: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw messages, the last of them with such parts."""
    call = st.fixed_dictionaries(
        {
            "id": st.just("call_1"),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": word, "arguments": piece}),
        }
    )
    asked = st.fixed_dictionaries(
        {"role": st.just("user"), "content": st.lists(part, min_size=1, max_size=3)},
        optional={"name": word},
    )
    short = st.fixed_dictionaries({"role": st.just("user"), "content": text})
    answered = st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": sometimes(text)},
        optional={"tool_calls": st.lists(call, min_size=1, max_size=2), "refusal": sometimes(piece)},
    )
    told = st.fixed_dictionaries({"role": st.sampled_from(["system", "developer"]), "content": text})
    result = st.fixed_dictionaries(
        {"role": st.just("tool"), "tool_call_id": st.just("call_1"), "content": text}
    )
    others = st.lists(asked | answered | told | result | short, max_size=3)
    return st.builds(lambda before, last: [*before, last], others, asked)


function = st.fixed_dictionaries(
    {"name": word}, optional={"description": text, "parameters": schema, "strict": flag()}
)
chat_tool = st.fixed_dictionaries(
    {"type": st.just("function"), "function": function}
) | st.fixed_dictionaries(
    {
        "type": st.just("custom"),
        "custom": st.fixed_dictionaries({"name": word}, optional={"description": piece}),
    }
)
chat_fields: dict[str, st.SearchStrategy[Any]] = {
    **shared,
    "n": sometimes(st.integers(1, 8)),
    "tools": st.lists(chat_tool, min_size=1, max_size=3),
    "functions": st.lists(function, max_size=2),
    "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
    "response_format": st.fixed_dictionaries(
        {
            "type": st.just("json_schema"),
            "json_schema": st.fixed_dictionaries({"name": word, "schema": schema}),
        }
    ),
    "tool_choice": st.sampled_from(["auto", "none", "required"]),
    "web_search_options": st.sampled_from([None, None, None, {"search_context_size": "high"}]),
    "logit_bias": st.just({"50256": -100}),
    "user": piece,
}


def _chat_bodies(
    models: st.SearchStrategy[str], part: st.SearchStrategy[Any], more: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    fields = {"model": models, "messages": chat_messages(part)}
    capped = [{}, {"max_tokens": cap}, {"max_completion_tokens": cap}]
    drawn = st.one_of([st.fixed_dictionaries(fields | one, optional=chat_fields | more) for one in capped])
    return drawn.map(priced)


def priced(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out what has no price for the model: a service tier, cache writes that are asked for."""
    rates = PRICES[body["model"]]["periods"][-1]["rates"]
    named = {"fast": "priority"}.get(body.get("service_tier") or "auto", body.get("service_tier"))
    if named not in (None, "auto", *rates):
        body = body | {"service_tier": None}
    return body if "cache_write" in rates["default"] else dict(_unmarked(body))


def _unmarked(value: Any) -> Any:
    match value:
        case dict():
            kept = {k: v for k, v in value.items() if not k.startswith(("prompt_cache_b", "prompt_cache_o"))}
            return {k: _unmarked(v) for k, v in kept.items()}
        case list():
            return [_unmarked(inner) for inner in value]
    return value


speaking = {
    "modalities": st.sampled_from([["text"], ["text", "audio"]]),
    "audio": st.just({"voice": "x", "format": "mp3"}),
}
chat_cases = case(
    "openai",
    "chat/completions",
    _chat_bodies(seeing, said | said | shown | shown | file, {})
    | _chat_bodies(reading, said, {})
    | _chat_bodies(hearing, said | heard, speaking),
)

# Responses
part = st.one_of(
    st.fixed_dictionaries({"type": st.just("input_text"), "text": text}, optional=marks),
    st.fixed_dictionaries({"type": st.just("input_text"), "text": text}),
    st.fixed_dictionaries({"type": st.just("input_image"), "detail": detail, "image_url": st.just(PIXEL)}),
)
stored = st.just({"type": "input_file", "file_id": "file_1"}) | st.just(
    {"type": "input_image", "file_id": "f", "detail": "auto"}
)


def response_item(part: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw what responses take as input, with such parts."""
    return st.one_of(
        st.fixed_dictionaries(
            {"role": st.just("user"), "content": text | st.lists(part, min_size=1, max_size=2)}
        ),
        st.fixed_dictionaries({"role": st.just("developer"), "content": text}),
        st.fixed_dictionaries(
            {
                "type": st.just("message"),
                "role": st.just("assistant"),
                "content": st.lists(
                    st.fixed_dictionaries(
                        {"type": st.just("output_text"), "text": text, "annotations": st.just([])}
                    ),
                    max_size=2,
                ),
            }
        ),
        st.fixed_dictionaries(
            {"type": st.just("function_call"), "call_id": st.just("c"), "name": word, "arguments": piece}
        ),
        st.fixed_dictionaries(
            {
                "type": st.just("function_call_output"),
                "call_id": st.just("c"),
                "output": text | st.lists(part, max_size=2),
            }
        ),
        st.fixed_dictionaries(
            {"type": st.just("reasoning"), "summary": st.just([]), "encrypted_content": piece},
            optional={"id": word},
        ),
    )


item = response_item(part)
kept = st.sampled_from(
    [
        {"type": "item_reference", "id": "msg_1"},
        {"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]},
    ]
)
own_tool = st.fixed_dictionaries(
    {"type": st.just("function"), "name": word, "parameters": schema},
    optional={"description": text, "strict": flag()},
)
hosted_tool = st.sampled_from(
    [
        {"type": "web_search"},
        {"type": "web_search_preview", "search_context_size": "high"},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
    ]
)
responses_fields: dict[str, st.SearchStrategy[Any]] = {
    **shared,
    "instructions": text,
    "max_output_tokens": cap,
    "tools": st.lists(own_tool, min_size=1, max_size=2)
    | st.lists(own_tool | hosted_tool | hosted_tool, min_size=1, max_size=3),
    "max_tool_calls": st.integers(1, 20),
    "text": st.fixed_dictionaries(
        {"format": st.fixed_dictionaries({"type": st.just("json_schema"), "name": word, "schema": schema})}
    ),
    "reasoning": st.just({"effort": "low"}),
    "truncation": st.sampled_from(["auto", "disabled"]),
    "store": st.booleans(),
    "include": st.just(["reasoning.encrypted_content"]),
}
responses_models = st.sampled_from(
    [
        "gpt-4o",
        "gpt-4.1",
        "gpt-5",
        "gpt-5.5",
        "gpt-5.6-luna",
        "gpt-6-astra",
        "gpt-6.1-sol",
        "o3",
        "gpt-5.4-pro",
    ]
)


def response_items(part: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw an input of items, the last of them from the user, with such parts."""
    asked = st.fixed_dictionaries(
        {"role": st.just("user"), "content": st.lists(part, min_size=1, max_size=2)}
    )
    return st.builds(lambda before, last: [*before, last], st.lists(response_item(part), max_size=3), asked)


items = response_items(part)
_plain = {"model": responses_models, "input": text | items}
_kept = {"model": responses_models, "input": st.lists(item | kept, min_size=1, max_size=3)}
responses_cases = case(
    "openai",
    "responses",
    st.one_of(
        st.fixed_dictionaries(_plain, optional=responses_fields),
        st.fixed_dictionaries(_plain, optional=responses_fields),
        st.fixed_dictionaries(
            _plain | {"previous_response_id": st.just("resp_1")}, optional=responses_fields
        ),
        st.fixed_dictionaries(_kept, optional=responses_fields),
        st.fixed_dictionaries(
            _plain,
            optional=responses_fields
            | {"prompt": st.just({"id": "pmpt_1"}), "conversation": st.just("conv_1")},
        ),
    ).map(priced),
    state_tokens=st.none() | st.integers(0, 300_000),
)

# Embeddings
token_ids = st.lists(st.integers(0, 100_000), min_size=1, max_size=50)
embeddings_cases = case(
    "openai",
    "embeddings",
    st.fixed_dictionaries(
        {
            "model": st.sampled_from(
                ["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"]
            ),
            "input": text
            | st.lists(text, min_size=1, max_size=6)
            | token_ids
            | st.lists(token_ids, min_size=1, max_size=5),
        },
        optional={"dimensions": st.integers(1, 1024), "encoding_format": st.just("float"), "user": piece},
    ),
)
