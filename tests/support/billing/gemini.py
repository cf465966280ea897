"""Gemini, billing all that its documentation lets it (costs.md B4, C1, C4; google-genai 3.6.1's docstrings).

What is assumed, beyond the price list: a text costs at most a token for each byte of the longest of raw, NFC
and NFKC, and one more (C1); a turn 4 tokens more, tools 64 and 16 each (recordings 31 and 35 need less than
half of that); media what `gemini_media` says; what a search finds is unknown, up to the window. Thoughts are
inside `maxOutputTokens` (recordings 31, 34); each candidate has that cap for itself. A grounded prompt is
read once to search and once to answer.
Names are read in both spellings, as protocol buffers' JSON has them; a name that is said twice is whichever
costs more, so it has no bound. Functions take the body as it left us, parsed, and the model of its path.
"""

import re
from collections.abc import Mapping
from typing import Any

from billing.byte_tokens import FORMS, Form, shown
from billing.gemini_media import OLDER, WINDOW, Media, parts_of, said
from billing.worst import UnboundedBillError, Worst, price_list

PRICES = price_list("gemini")
REQUEST, TURN, TOOLS, TOOL = 8, 4, 64, 16
KEPT_FIELDS = ("cachedContent", "continuationToken")
"""What names input that lies at Google, of whatever kind."""

UNBOUNDED_FIELDS = ("automaticContinuation", "modelArmorConfig", "generationOutputConfig")
UNBOUNDED_CONFIG = ("routingConfig", "modelSelectionConfig", "automaticContinuation", "translationConfig")
TIERS = {"unspecified": "default", "standard": "default", "service_tier_unspecified": "default"}


def generate(body: Mapping[str, Any], model: str) -> Worst:
    """Return the most that a request to generateContent or streamGenerateContent allows."""
    for name in UNBOUNDED_FIELDS:
        if said(body, name):
            raise UnboundedBillError(f"{name}: billed without a bound")
    row, config = PRICES[model], said(body, "generationConfig") or {}
    for name in UNBOUNDED_CONFIG:
        if said(config, name):
            raise UnboundedBillError(f"{name}: another model, or more than one answer")
    cap = said(config, "maxOutputTokens")
    if not isinstance(cap, int) or isinstance(cap, bool):
        raise UnboundedBillError("no output cap")
    choices = said(config, "candidateCount")
    grounded, fees = _tools(body, model, row)
    system = said(body, "systemInstruction") or {}
    turns = [
        *(body.get("contents") or ()),
        {"parts": [{"text": system}]} if isinstance(system, str) else system,
    ]
    media = Media()
    for part in parts_of(turns):
        media.add(part, model)
    for name in KEPT_FIELDS:
        if said(body, name):
            media.add_unknown("video")
    text = max(_text(body, turns, form) for form in FORMS)
    size = text + media.image_tokens + media.sound_tokens
    return Worst(
        row=row,
        input_tokens=WINDOW if grounded or media.unknown else size,
        output_tokens=cap * (1 if choices is None else choices),
        audio_tokens=media.sound_tokens,
        image_tokens=media.image_tokens,
        buckets=frozenset({"input", "cache_read"} | media.rates),
        outputs=_outputs(model, said(config, "responseModalities")),
        tiers=tiers(said(body, "serviceTier")),
        passes=1 + grounded,
        fees=fees,
    )


def embed(body: Mapping[str, Any], model: str) -> Worst:
    """Return the most that a request to embedContent or batchEmbedContents allows: input alone."""
    requests = body.get("requests")
    asked = [body] if requests is None else requests
    if any((one.get("model") or model).removeprefix("models/") != model for one in asked):
        raise UnboundedBillError("a model that is not the path's")
    sizes = []
    for form in FORMS:
        texts = [shown(one.get("content"), form) + shown(one.get("title"), form) + REQUEST for one in asked]
        sizes.append(sum(texts))
    media = Media()
    for part in parts_of([one.get("content") or {} for one in asked]):
        media.add(part, model)
    return Worst(
        row=PRICES[model],
        input_tokens=WINDOW if media.unknown else max(sizes) + media.image_tokens + media.sound_tokens,
        output_tokens=0,
        audio_tokens=media.sound_tokens,
        image_tokens=media.image_tokens,
        buckets=frozenset({"input"} | media.rates),
    )


def chat(body: Mapping[str, Any]) -> Worst:
    """Return the most that a request to the OpenAI-compatible endpoint allows."""
    caps = [body[name] for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    if len(caps) != 1:
        raise UnboundedBillError(f"{len(caps)} output caps")
    for name in ("web_search_options", "prediction", "audio"):
        if body.get(name) is not None:
            raise UnboundedBillError(f"{name}: billed without a bound")
    google = ((body.get("extra_body") or {}).get("google") or {}) | (body.get("google") or {})
    if said(google, "cachedContent") or any(
        said(google, name) for name in ("tools", "safetyTools", "responseModalities")
    ):
        raise UnboundedBillError("extra_body.google: billed without a bound")
    if any(tool.get("type") != "function" for tool in body.get("tools") or ()):
        raise UnboundedBillError("tools at Google")
    model = body["model"].removeprefix("models/")
    media, texts = Media(), []
    for message in body["messages"]:
        content = message.get("content")
        for part in content if isinstance(content, list) else [content]:
            if not (isinstance(part, dict) and media.add_openai(part, model)):
                texts.append(part)
        texts.append({k: v for k, v in message.items() if k not in ("role", "content")})
    tools, more = body.get("tools") or [], [body.get("response_format"), body.get("tool_choice")]
    text = REQUEST + TURN * len(body["messages"]) + (TOOLS if tools else 0) + TOOL * len(tools)
    text += max(sum(shown(one, form) for one in [*texts, *tools, *more] if one) for form in FORMS)
    return Worst(
        row=PRICES[model],
        input_tokens=WINDOW if media.unknown else text + media.image_tokens + media.sound_tokens,
        output_tokens=caps[0] * (1 if body.get("n") is None else body["n"]),
        audio_tokens=media.sound_tokens,
        image_tokens=media.image_tokens,
        buckets=frozenset({"input", "cache_read"} | media.rates),
        outputs=_outputs(model, body.get("modalities")),
        tiers=tiers(body.get("service_tier")),
    )


def tiers(asked: object) -> frozenset[str]:
    """Return the tiers that may serve: standard is what is meant where none is named."""
    named = "standard" if asked is None else str(asked).lower().removeprefix("service_tier_")
    return frozenset({"default", TIERS.get(named, named)})


def _outputs(model: str, modalities: object) -> frozenset[str]:
    """Return the rates that the answer may have: models that draw or speak do so unasked."""
    asked = {str(one).lower() for one in modalities} if isinstance(modalities, list) else set()
    found = {"output"}
    if "image" in asked or "-image" in model:
        found.add("output_image")
    if "audio" in asked or "-tts" in model or "-audio" in model:
        found.add("output_audio")
    return frozenset(found)


def _text(body: Mapping[str, Any], turns: list[Any], form: Form) -> int:
    """Return the tokens of all text, by a tokenizer that normalises to this form."""
    total = REQUEST + TURN * len(turns)
    for part in parts_of(turns):
        total += shown({key: value for key, value in part.items() if key not in MEDIA}, form)
    tools = body.get("tools") or []
    declared = [one for tool in tools for one in said(tool, "functionDeclarations") or ()]
    total += (TOOLS if tools else 0) + sum(TOOL + shown(one, form) for one in declared)
    config = said(body, "generationConfig") or {}
    schemas = [said(config, name) for name in ("responseSchema", "responseJsonSchema", "responseFormat")]
    return total + sum(shown(one, form) for one in (*schemas, said(body, "toolConfig")) if one)


MEDIA = ("inlineData", "inline_data", "fileData", "file_data")
SEARCHES = ("googleSearch", "googleSearchRetrieval")


def _tools(
    body: Mapping[str, Any], model: str, row: Mapping[str, Any]
) -> tuple[bool, tuple[tuple[int, int], ...]]:
    """Return whether the answer may be grounded, and what that costs: before Gemini 3 each prompt once."""
    tools = body.get("tools") or []
    hosted = {
        name
        for tool in tools
        for name in tool
        if name not in ("functionDeclarations", "function_declarations")
    }
    searches = {name for tool in tools for name in SEARCHES if said(tool, name) is not None}
    spelt = {name for one in SEARCHES for name in (one, re.sub(r"([A-Z])", r"_\1", one).lower())}
    if hosted - spelt:
        raise UnboundedBillError(f"{sorted(hosted - spelt)} have no limit of uses")
    if not searches:
        return False, ()
    if not OLDER.match(model):
        raise UnboundedBillError("searches are billed by the query, without a limit")
    return True, ((row["fees"]["grounded_request"], 1),)
