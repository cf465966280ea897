"""Hypothesis strategies for chat requests that the reader must accept, written as no sane client would.

`bodies` yields (request, bytes): keys in any order, odd white space, characters and keys escaped at random.
"""

import json
from random import Random
from typing import Any

from hypothesis import strategies as st

from json_values import texts, values

image_urls = st.sampled_from(["data:image/png;base64,AAAA", "https://x.example/i.png", ""])
plain_part = st.fixed_dictionaries({"type": st.just("text"), "text": texts}) | st.fixed_dictionaries(
    {"type": st.just("refusal"), "refusal": texts}, optional={"x": values}
)
media_part = st.one_of(
    plain_part,
    st.fixed_dictionaries(
        {"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": image_urls})},
        optional={"x": values},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("input_audio"),
            "input_audio": st.fixed_dictionaries({"data": st.sampled_from(["", "AAAA"]), "format": texts}),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("file"), "file": st.dictionaries(st.sampled_from(["file_id", "file_data"]), texts)}
    ),
)
kept_audio = st.fixed_dictionaries({"id": texts}, optional={"data": texts})


def messages(part: st.SearchStrategy[Any], audio: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return messages with these parts, and with this of an earlier audio answer."""
    message = st.fixed_dictionaries(
        {"role": st.sampled_from(["developer", "system", "user", "assistant", "tool", "function"])},
        optional={
            "content": st.none() | texts | st.lists(part, max_size=3),
            "name": texts,
            "refusal": st.none() | texts,
            "tool_call_id": texts,
            "annotations": st.lists(values, max_size=2),
            "tool_calls": st.none() | st.lists(values, max_size=2),
            "audio": st.none() | audio,
            "unheard_of": values,
        },
    )
    return st.lists(message, min_size=1, max_size=3)


plain_messages = messages(plain_part, st.none())
media_messages = messages(media_part, kept_audio)
tool = st.fixed_dictionaries({"type": st.sampled_from(["function", "custom"])}, optional={"function": values})
cap = st.none() | st.integers(1, 2**31 - 1)
options = st.fixed_dictionaries(
    {},
    optional={"include_usage": st.none() | st.booleans(), "include_obfuscation": st.booleans(), "x": values},
)
plain_fields: dict[str, st.SearchStrategy[Any]] = {
    "stream": st.none() | st.booleans(),
    "stream_options": st.none() | options,
    "service_tier": st.none()
    | st.sampled_from(["auto", "default", "standard", "scale", "flex", "fast", "priority"]),
    "n": st.none() | st.integers(1, 128),
    "tools": st.none() | st.lists(tool, max_size=2),
    "functions": st.none() | st.lists(st.dictionaries(texts, values, max_size=2), max_size=2),
    "response_format": st.none() | st.fixed_dictionaries({"type": texts, "json_schema": values}),
    "tool_choice": st.none() | texts,
    "temperature": st.none() | st.floats(0, 2),
    "stop": st.none() | texts | st.lists(texts, max_size=2),
    "metadata": st.none() | st.dictionaries(texts, texts, max_size=2),
    "modalities": st.none() | st.sampled_from([["text"], ["audio", "text"]]),
    "web_search_options": st.none() | st.dictionaries(texts, values, max_size=2),
    "logit_bias": st.none() | st.dictionaries(texts, st.integers(-100, 100), max_size=2),
    "prompt_cache_options": st.none()
    | st.fixed_dictionaries({"mode": st.sampled_from(["implicit", "explicit"])}),
    "user": st.none() | texts,
}


@st.composite
def requests(draw: st.DrawFn, *, media: bool = False) -> dict[str, Any]:
    """Draw a request with at most one cap that is not null, in either field; without media if so told."""
    required = {"model": st.just("gpt-4o-mini"), "messages": media_messages if media else plain_messages}
    request: dict[str, Any] = draw(st.fixed_dictionaries(required, optional=plain_fields))
    one, other = draw(st.permutations(["max_tokens", "max_completion_tokens"]))
    if draw(st.booleans()):
        request[one] = draw(cap)
    if draw(st.booleans()):
        request[other] = None
    return request


def write(value: Any, random: Random) -> str:
    """Write JSON with its keys in a random order and random white space and escapes."""
    space = random.choice(("", "", " ", "\n\t", "\r\n"))
    match value:
        case dict():
            pairs = list(value.items())
            random.shuffle(pairs)
            inner = [f"{space}{write(k, random)}{space}:{space}{write(v, random)}" for k, v in pairs]
            return "{" + f"{space},".join(inner) + space + "}"
        case list():
            return "[" + f"{space},{space}".join(write(item, random) for item in value) + space + "]"
        case str():
            return '"' + "".join(_character(one, random) for one in value) + '"'
    return json.dumps(value)


def _character(one: str, random: Random) -> str:
    if random.random() < 0.3:
        units = one.encode("utf-16-be")
        return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    return json.dumps(one, ensure_ascii=random.random() < 0.5)[1:-1]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """Draw a request and its bytes."""
    request = draw(requests(media=True))
    random = draw(st.randoms(use_true_random=False))
    return request, write(request, random).encode()
