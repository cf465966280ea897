"""Hypothesis strategies for responses requests that the reader must accept, written as no sane client would.

`bodies` yields (request, bytes): keys in any order, odd white space, characters and keys escaped at random.
"""

from typing import Any

from hypothesis import strategies as st

from chat_requests import write
from json_values import texts, values

urls = st.sampled_from(["data:image/png;base64,AAAA", "https://x.example/i.png"])
part = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["input_text", "output_text"]), "text": texts}),
    st.fixed_dictionaries({"type": st.just("refusal"), "refusal": texts}, optional={"x": values}),
    st.fixed_dictionaries({"type": st.just("input_image"), "image_url": urls}, optional={"detail": texts}),
    st.fixed_dictionaries({"type": st.just("input_file"), "file_data": texts}),
)
content = texts | st.lists(part, max_size=3)
client_tool = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "custom", "local_shell", "apply_patch"])},
    optional={"name": texts, "parameters": values},
)
tool = client_tool | st.fixed_dictionaries(
    {"type": st.sampled_from(["web_search", "file_search", "web_search_preview"])}, optional={"x": values}
)
item = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "developer"]), "content": content},
        optional={"id": texts, "x": values},
    ),
    st.fixed_dictionaries({"type": st.just("function_call"), "arguments": texts, "name": texts}),
    st.fixed_dictionaries({"type": st.just("function_call_output"), "output": content}),
    st.fixed_dictionaries(
        {"type": st.just("reasoning"), "id": texts}, optional={"encrypted_content": st.none() | texts}
    ),
    st.fixed_dictionaries({"type": st.just("image_generation_call"), "result": st.none() | texts}),
    st.fixed_dictionaries({"type": st.just("additional_tools"), "tools": st.lists(client_tool, max_size=2)}),
    st.fixed_dictionaries({"id": texts}),
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "input": texts | st.lists(item, max_size=3),
    "instructions": st.none() | texts,
    "stream": st.none() | st.booleans(),
    "stream_options": st.none() | st.fixed_dictionaries({"include_obfuscation": st.booleans()}),
    "service_tier": st.none() | st.sampled_from(["auto", "default", "scale", "flex", "fast", "priority"]),
    "max_output_tokens": st.none() | st.integers(16, 2**31 - 1),
    "max_tool_calls": st.none() | st.integers(0, 9),
    "tools": st.none() | st.lists(tool, max_size=4),
    "tool_choice": st.none() | st.sampled_from(["auto", "none", {"type": "function", "name": "f"}]),
    "include": st.none()
    | st.lists(st.sampled_from(["web_search_call.results", "reasoning.encrypted_content"]), max_size=3),
    "text": st.none() | st.fixed_dictionaries({"format": values}),
    "reasoning": st.none() | st.fixed_dictionaries({"effort": texts}),
    "previous_response_id": st.none() | texts,
    "prompt_cache_options": st.none()
    | st.fixed_dictionaries({"mode": st.sampled_from(["implicit", "explicit"])}),
    "metadata": st.none() | st.dictionaries(texts, texts, max_size=2),
    "truncation": st.none() | st.sampled_from(["auto", "disabled"]),
    "store": st.none() | st.booleans(),
}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """Draw a request and its bytes."""
    request = draw(st.fixed_dictionaries({"model": st.just("gpt-5")}, optional=fields))
    random = draw(st.randoms(use_true_random=False))
    return request, write(request, random).encode()
