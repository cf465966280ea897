"""Gemini, billing all that its documentation lets it (costs.md B4, C1, C4; google-genai 3.6.1's docstrings).

What is assumed, beyond the price list: a text costs at most a token for each byte of the longest of raw, NFC
and NFKC, and one more (C1); a turn 4 tokens more, tools 64 and 16 each (recordings 31 and 35 need less than
half of that). An image is what its resolution allows at most, sound 32 tokens a second at the lowest bit rate
of MP3. What a file, a film or a search result holds is unknown, up to the window. Thoughts are inside
`maxOutputTokens` (recordings 31, 34); each candidate has that cap for itself. A grounded prompt is read once
to search and once to answer.
Names are read in both spellings, as protocol buffers' JSON has them; a name that is said twice is whichever
costs more, so it has no bound. Functions take the body as it left us, parsed, and the model of its path.
"""

import base64
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from billing.byte_tokens import FORMS, Form, shown
from billing.worst import UnboundedBillError, Worst, price_list

PRICES = price_list("gemini")
WINDOW = 10**12
"""More than any window: what the provider may fill as far as it goes."""

REQUEST, TURN, TOOLS, TOOL = 8, 4, 64, 16
IMAGE = (24 + 1) * 258
"""Before Gemini 3: 258 tokens for the whole and for each of its tiles. A tile is two thirds of the shorter
side, from 256 to 768 pixels, and the longer side at most 3,072: twelve times two, for 3,072 x 384."""

IMAGE_ULTRA_HIGH = 2_240
"""From Gemini 3 on: the dearest of the resolutions that a part may ask for."""

SOUND_TOKENS_A_SECOND, SOUND_BYTES_A_SECOND, SAMPLES_A_SECOND = 32, 1_000, 4_000
OLDER = re.compile(r"(models/)?(gemini-[12][.-]|gemini-embedding|gemma)")
RATES = {
    "audio": frozenset({"input_audio"}),
    "video": frozenset({"input_audio", "input_video", "input_image"}),
    "application": frozenset({"input_image"}),
    "image": frozenset({"input_image"}),
}
"""The rates beside text's of what is of this kind: a film has sound, a document pictures."""

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
    turns = [*(body.get("contents") or ()), said(body, "systemInstruction") or {}]
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


def said(value: Mapping[str, Any], name: str) -> Any:
    """Return what stands under a name in either of its spellings."""
    snake = re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name)
    both = [value[key] for key in dict.fromkeys((name, snake)) if value.get(key) is not None]
    if len(both) > 1:
        raise UnboundedBillError(f"{name} is said twice")
    return both[0] if both else None


def parts_of(turns: list[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield all parts, and those inside of functions' answers."""
    for turn in turns:
        parts = [turn] if isinstance(turn, str) else turn.get("parts") or ()
        for part in [parts] if isinstance(parts, dict) else parts:
            if isinstance(part, dict):
                yield part
                answer = said(part, "functionResponse") or {}
                yield from parts_of([{"parts": answer.get("parts") or ()}])


class Media:
    """What is not text: tokens of images, tokens of sound, and the rates of what nobody can size."""

    def __init__(self) -> None:
        self.image_tokens = self.sound_tokens = 0
        self.unknown = False
        self.rates: frozenset[str] = frozenset()

    def add_unknown(self, kind: str) -> None:
        """Take what fills the window as far as it goes: of any kind, where it lies elsewhere."""
        self.unknown = True
        self.rates |= RATES.get(kind.partition("/")[0], frozenset())

    def add(self, part: Mapping[str, Any], model: str) -> None:
        """Take a part."""
        resolution = said(part, "mediaResolution")
        if isinstance(resolution, dict) and said(resolution, "numTokens"):
            self.add_unknown(said(said(part, "inlineData") or {}, "mimeType") or "video")
        if str(said(part, "mediaProcessing") or "STATIC").upper() != "STATIC":
            raise UnboundedBillError("media that an agent looks at as often as it likes")
        if said(part, "fileData") or said(part, "videoMetadata"):
            self.add_unknown("video")
        data = said(part, "inlineData")
        if data:
            self._add_data(said(data, "mimeType") or "", data.get("data") or "", model)

    def add_openai(self, part: Mapping[str, Any], model: str) -> bool:
        """Take a part in OpenAI's shape; tell whether it is media."""
        match part.get("type"):
            case "image_url":
                kind, _, data = str(part["image_url"]["url"]).removeprefix("data:").partition(";base64,")
                self._add_data(kind if data else "video", data, model)
            case "input_audio":
                self._add_data("audio/" + str(part["input_audio"].get("format")), _data_of(part), model)
            case "file":
                kind = str(part["file"].get("file_data", "data:video/x")).removeprefix("data:")
                self.add_unknown(kind)
            case _:
                return False
        return True

    def _add_data(self, kind: str, data: str, model: str) -> None:
        match kind.partition("/")[0]:
            case "image":
                self.image_tokens += _image(model)
            case "audio" if _keeps_pace(data):
                seconds = len(base64.b64decode(data)) / SOUND_BYTES_A_SECOND
                self.sound_tokens += math.ceil(seconds * SOUND_TOKENS_A_SECOND)
            case _:
                self.add_unknown(kind)


def tiers(asked: object) -> frozenset[str]:
    """Return the tiers that may serve: standard is what is meant where none is named."""
    named = "standard" if asked is None else str(asked).lower().removeprefix("service_tier_")
    return frozenset({"default", TIERS.get(named, named)})


def _data_of(part: Mapping[str, Any]) -> str:
    data: str = part["input_audio"]["data"]
    return data


def _keeps_pace(data: str) -> bool:
    """Tell whether sound lasts as its bytes say: MPEG, or WAV at 4,000 samples a second and more."""
    head = base64.b64decode(data[:64])
    if head.startswith(b"RIFF"):
        return int.from_bytes(head[24:28], "little") >= SAMPLES_A_SECOND
    return len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0 and head[1] & 0b110 != 0


def _image(model: str) -> int:
    return IMAGE if OLDER.match(model) else IMAGE_ULTRA_HIGH


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
