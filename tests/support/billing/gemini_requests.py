"""Requests to Gemini that are to be accepted: content, as SDKs and agents send it; embeddings; chat."""

import re
from base64 import b64encode
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from billing.cases import Case, case
from billing.gemini import PRICES
from billing.texts import flag, piece, schema, text, values, word


def listed(*wanted: str) -> st.SearchStrategy[str]:
    """Draw one of these models; each must have a price."""
    assert all(name in PRICES for name in wanted), [name for name in wanted if name not in PRICES]
    return st.sampled_from(wanted)


READING = (
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.5-pro",
    "gemini-2.0-flash",
    "gemini-3-flash-preview",
    "gemini-3.1-pro-preview",
    "gemini-3.8-flash",
    "gemini-4-argon",
    "gemini-robotics-er-2-preview",
)
PICTURE = b64encode(b"\x89PNG" + bytes(60)).decode()
mpeg = st.sampled_from([0, 1, 999, 8_000, 40_000]).map(
    lambda size: b64encode(b"\xff\xe3\x18\xc4" + bytes(size)).decode()
)
WAVS = [
    b64encode(
        b"RIFF\x64\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
        + rate.to_bytes(4, "little") * 2
        + b"\x01\x00\x08\x00data\x40\x00\x00\x00"
        + bytes(64)
    ).decode()
    for rate in (8_000, 1)
]
"""Some milliseconds at the rate of a telephone, and a minute at one sample a second."""

# Parts
said = st.fixed_dictionaries({"text": text}, optional={"thought": flag(), "thoughtSignature": piece})
shown = st.fixed_dictionaries(
    {
        "inlineData": st.fixed_dictionaries(
            {"mimeType": st.sampled_from(["image/png", "image/jpeg", "image/webp"]), "data": st.just(PICTURE)}
        )
    }
)
sharp = st.fixed_dictionaries(
    {
        "inlineData": st.just({"mimeType": "image/png", "data": PICTURE}),
        "mediaResolution": st.sampled_from(
            [{"level": f"MEDIA_RESOLUTION_{level}"} for level in ("LOW", "MEDIUM", "HIGH", "ULTRA_HIGH")]
        ),
    }
)
heard = st.fixed_dictionaries(
    {
        "inlineData": st.fixed_dictionaries(
            {"mimeType": st.sampled_from(["audio/mp3", "audio/mpeg"]), "data": mpeg}
        )
    }
)
file = st.sampled_from(
    [
        *({"inlineData": {"mimeType": "audio/wav", "data": wav}} for wav in WAVS),
        {"inlineData": {"mimeType": "audio/mp3", "data": WAVS[1]}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0xLjQK"}},
        {"inlineData": {"mimeType": "video/mp4", "data": PICTURE}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.org/a.jpg"}},
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/1"}},
        {"inlineData": {"mimeType": "text/csv", "data": "YSxi"}},
        {
            "inlineData": {"mimeType": "image/png", "data": PICTURE},
            "mediaResolution": {"numTokens": 100_000},
        },
        {
            "fileData": {"mimeType": "video/mp4", "fileUri": "https://example.org/v"},
            "videoMetadata": {"fps": 9},
        },
    ]
)
called = st.fixed_dictionaries(
    {"functionCall": st.fixed_dictionaries({"name": word, "args": values}, optional={"id": word})},
    optional={"thoughtSignature": piece},
)
answered = st.fixed_dictionaries(
    {
        "functionResponse": st.fixed_dictionaries(
            {"name": word, "response": values},
            optional={"id": word, "parts": st.lists(shown, min_size=1, max_size=2)},
        )
    }
)
ran = st.sampled_from(
    [
        {"executableCode": {"language": "PYTHON", "code": "print('\ufdfa' * 3)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "\ufdfa"}},
    ]
)
asking = st.fixed_dictionaries(
    {"parts": st.lists(said | said | shown | answered, min_size=1, max_size=3)},
    optional={"role": st.just("user")},
)
telling = st.fixed_dictionaries(
    {"role": st.just("model"), "parts": st.lists(said | called | ran, min_size=1, max_size=3)}
)


def contents(last: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw turns, the last of them with such parts."""
    ends = st.fixed_dictionaries({"role": st.just("user"), "parts": st.lists(last, min_size=1, max_size=3)})
    return st.builds(lambda before, end: [*before, end], st.lists(asking | telling, max_size=3), ends)


# Options
cap = st.sampled_from([1, 16, 300, 1_024, 8_192, 65_536, 2_000_000])
config: dict[str, st.SearchStrategy[Any]] = {
    "candidateCount": st.integers(1, 8),
    "temperature": st.floats(0, 2),
    "topK": st.integers(1, 40),
    "stopSequences": st.just(["\n\n"]),
    "responseMimeType": st.just("application/json"),
    "responseSchema": schema,
    "thinkingConfig": st.sampled_from(
        [
            {"thinkingBudget": 0},
            {"thinkingBudget": -1},
            {"thinkingBudget": 512, "includeThoughts": True},
            {"thinkingBudget": 24_576},
        ]
    ),
    "mediaResolution": st.sampled_from([f"MEDIA_RESOLUTION_{level}" for level in ("LOW", "MEDIUM", "HIGH")]),
    "responseModalities": st.just(["TEXT"]),
    "seed": st.integers(0, 9),
}
declaration = st.fixed_dictionaries(
    {"name": word}, optional={"description": text, "parameters": schema, "response": schema}
)
own_tools = st.fixed_dictionaries({"functionDeclarations": st.lists(declaration, min_size=1, max_size=3)})
hosted_tool = st.sampled_from(
    [{"googleSearch": {}}, {"codeExecution": {}}, {"urlContext": {}}, {"googleSearch": {}}]
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "systemInstruction": text | st.fixed_dictionaries({"parts": st.lists(said, min_size=1, max_size=2)}),
    "tools": st.lists(own_tools, min_size=1, max_size=2)
    | st.lists(own_tools | hosted_tool, min_size=1, max_size=2),
    "toolConfig": st.just({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["x"]}}),
    "safetySettings": st.just([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]),
    "labels": st.dictionaries(st.just("team"), st.just("a"), max_size=1),
    "serviceTier": st.sampled_from(["standard", "standard", "flex", "priority", "unspecified"]),
    "cachedContent": st.sampled_from([None, None, None, None, "cachedContents/1"]),
    "store": st.booleans(),
}

SPELT = re.compile(r"[a-z]+([A-Z][a-z]+)+")
FIELDS = {
    *config,
    *fields,
    "maxOutputTokens",
    "inlineData",
    "mimeType",
    "fileData",
    "fileUri",
    "videoMetadata",
}
FIELDS |= {"functionCall", "functionResponse", "executableCode", "codeExecutionResult", "thoughtSignature"}
FIELDS |= {
    "functionDeclarations",
    "functionCallingConfig",
    "allowedFunctionNames",
    "googleSearch",
    "thinkingBudget",
}
FIELDS |= {
    "includeThoughts",
    "generationConfig",
    "codeExecution",
    "urlContext",
    "taskType",
    "outputDimensionality",
}
FIELDS |= {"mediaResolution", "numTokens"}
spellings = st.sampled_from(["camel", "camel", "snake", "mixed"])


def spelt(body: Any, spelling: str, depth: int = 0) -> Any:
    """Write the names of Gemini's fields as one of its spellings has them; both are the same to it."""
    if isinstance(body, list):
        return [spelt(one, spelling, depth + 1) for one in body]
    if not isinstance(body, dict):
        return body
    found = {}
    for at, (name, value) in enumerate(body.items()):
        snake = spelling == "snake" or (spelling == "mixed" and (at + depth) % 2)
        told = re.sub(r"([A-Z])", r"_\1", name).lower() if snake and name in FIELDS else name
        found[told] = spelt(value, spelling, depth + 1)
    return found


def written(drawn: Case, spelling: str) -> Case:
    """Spell a request, and leave out a service tier that has no price for its model."""
    body, tiers = drawn.body, PRICES[drawn.model]["periods"][-1]["rates"]
    if body.get("serviceTier") not in (None, "standard", *tiers):
        body = {name: value for name, value in body.items() if name != "serviceTier"}
    return replace(drawn, body=spelt(body, spelling))


def _cases(models: st.SearchStrategy[str], part: st.SearchStrategy[Any]) -> st.SearchStrategy[Case]:
    bodies = []
    for capped in ({"maxOutputTokens": cap}, {}):
        generation = st.fixed_dictionaries(capped, optional=config)
        whole = {"contents": contents(part), "generationConfig": generation}
        bodies.append(st.fixed_dictionaries(whole, optional=fields))
    bodies.append(st.fixed_dictionaries({"contents": contents(part)}, optional=fields))
    drawn = case("gemini", "generateContent", st.one_of(bodies), model=models, stream=st.booleans())
    return st.builds(written, drawn, spellings)


generate_cases = st.one_of(
    _cases(listed(*READING), said | shown | sharp | answered),
    _cases(listed(*READING), said | heard | shown),
    _cases(listed(*READING), said | file),
)

short_cases = case(
    "gemini",
    "generateContent",
    st.fixed_dictionaries(
        {"model": listed(*READING), "prompt": text}, optional={"max_tokens": cap, "stream": st.booleans()}
    ),
)
generate_cases = st.one_of(generate_cases, generate_cases, generate_cases, short_cases)
