"""Hypothesis strategies for Gemini requests that the reader must accept, written as no sane client would.

`bodies` yields (request in camel names, bytes, policy): each known name in either spelling at random, keys in
any order, odd white space and escapes, lone objects for lists, hosted tools among the client's own.
"""

import json
from random import Random
from typing import Any

from hypothesis import strategies as st

from chat_requests import write
from json_values import texts, values
from spendguard_daemon.providers import gemini_fields
from spendguard_daemon.providers.gemini_names import snake
from spendguard_daemon.providers.policy import Policy

base64 = st.text("ABCabc019+/=-_", max_size=40)
types = st.sampled_from(
    ["image/png", "image/gif", "audio/mp3", "video/mp4", "application/pdf", "text/csv", ""]
)
inline = st.fixed_dictionaries({"data": base64}, optional={"mimeType": types, "displayName": texts})
file = st.fixed_dictionaries({"fileUri": texts}, optional={"mimeType": types})
call = st.fixed_dictionaries({"name": texts}, optional={"args": st.dictionaries(texts, values, max_size=3)})
beside: dict[str, st.SearchStrategy[Any]] = {
    "thought": st.booleans(),
    "thoughtSignature": texts,
    "mediaResolution": st.fixed_dictionaries({}, optional={"level": texts, "numTokens": st.integers(1, 9)}),
    "partMetadata": st.dictionaries(texts, values, max_size=2),
}
part = st.one_of(
    st.fixed_dictionaries({"text": texts}, optional=beside),
    st.fixed_dictionaries({"inlineData": inline}, optional=beside),
    st.fixed_dictionaries({"fileData": file}),
    st.fixed_dictionaries({"functionCall": call}, optional=beside),
    st.fixed_dictionaries(
        {
            "functionResponse": st.fixed_dictionaries(
                {"name": texts, "response": values.map(lambda v: {"r": v})}
            )
        }
    ),
    st.fixed_dictionaries({"executableCode": st.dictionaries(texts, texts, max_size=2)}),
)
content = st.fixed_dictionaries({"parts": st.lists(part, max_size=3)}, optional={"role": texts}) | (
    st.fixed_dictionaries({"parts": part})
)
functions = st.fixed_dictionaries(
    {"functionDeclarations": st.lists(st.fixed_dictionaries({"name": texts}), max_size=2)}
)
hosted = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.just({}) for name in ("googleSearch", "urlContext", "codeExecution")},
        "functionDeclarations": st.lists(st.fixed_dictionaries({"name": texts}), max_size=2),
    },
)
searching = st.fixed_dictionaries(
    {}, optional={"googleSearch": st.just({}), "googleSearchRetrieval": st.just({})}
)
config = st.fixed_dictionaries(
    {},
    optional={
        "maxOutputTokens": st.none() | st.integers(1, 2**31 - 1),
        "candidateCount": st.none() | st.integers(1, 8),
        "thinkingConfig": st.none()
        | st.fixed_dictionaries({}, optional={"thinkingBudget": st.integers(-1, 9_000)}),
        "responseSchema": st.dictionaries(texts, values, max_size=2),
        "responseModalities": st.lists(st.sampled_from(["TEXT", "IMAGE"]), max_size=2),
        "temperature": st.none() | st.floats(0, 2),
        "stopSequences": st.lists(texts, max_size=2),
    },
)
options: dict[str, st.SearchStrategy[Any]] = {
    "systemInstruction": content | texts,
    "generationConfig": st.none() | config,
    "toolConfig": st.fixed_dictionaries({}, optional={"functionCallingConfig": st.just({"mode": "AUTO"})}),
    "serviceTier": st.none() | st.sampled_from(["standard", "unspecified", "flex", "priority"]),
    "cachedContent": st.none() | texts,
    "safetySettings": st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2),
    "labels": st.dictionaries(texts, texts, max_size=2),
}
NAMES = gemini_fields.FIELD_NAMES | gemini_fields.CONFIG_NAMES | gemini_fields.PART_NAMES
NAMES |= gemini_fields.TOOL_NAMES | gemini_fields.THINKING_NAMES
NAMES |= {"mimeType": "mimeType", "fileUri": "fileUri", "numTokens": "numTokens"}


def respelt(value: Any, random: Random) -> Any:
    """Return the same with known names in either spelling."""
    if isinstance(value, list):
        return [respelt(one, random) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        snake(name) if name in NAMES and random.random() < 0.5 else name: respelt(inner, random)
        for name, inner in value.items()
    }


@st.composite
def bodies(draw: st.DrawFn) -> tuple[dict[str, Any], bytes, Policy]:
    """Draw a request, one way of writing it, and the policy that it passes."""
    kind = draw(st.sampled_from(["strip", "refuse", "allow"]))
    tools = {"strip": hosted, "refuse": functions, "allow": functions | searching}[kind]
    lone = tools | st.lists(tools, max_size=3)
    required = {"contents": st.lists(content, min_size=1, max_size=3)}
    request = draw(st.fixed_dictionaries(required, optional=options | {"tools": st.none() | lone}))
    random = Random(draw(st.integers(0, 2**32)))
    spelt = respelt(request, random)
    raw = write(spelt, random).encode()
    assert json.loads(raw) == spelt
    return spelt, raw, Policy(hosted_tools=kind)
