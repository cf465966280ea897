"""What a Gemini request may hold: fields, parts and tools, with class and source. Data only.

Fields at the top and in `generationConfig`, kinds of parts and kinds of tools can bill, so they are
allow-lists: what is not here is refused until an operator allows it by name (design 5.2). Names are in camel
case; their snake spelling counts as the same (`gemini_names`).

Sources: [sdk] is the official google-genai Python SDK, 3.6.1, `types.py`, and `models.py` for what it sends
to the Gemini API; [rest] is the reference of generativelanguage v1beta; [costs B4] is our table of what
Google bills.
"""

from dataclasses import dataclass

from spendguard_daemon.providers.fields import Field, Use
from spendguard_daemon.providers.gemini_names import spellings

_NUMBER = ("integer", "number")
_OBJECTS = ("array", "object")

FIELDS: dict[str, Field] = {
    "contents": Field(Use.INPUT, _OBJECTS, "[sdk] contents"),
    "systemInstruction": Field(Use.INPUT, ("object", "string"), "[sdk] system_instruction"),
    "tools": Field(Use.INPUT, _OBJECTS, "[sdk] tools; TOOLS classes their kinds"),
    "toolConfig": Field(Use.INPUT, ("object",), "[sdk] tool_config; names functions, and a place"),
    "generationConfig": Field(Use.CONTROL, ("object",), "[sdk] GenerateContentConfig; CONFIG lists it"),
    "cachedContent": Field(Use.CONTROL, ("string",), "[sdk] cached_content: input kept at the provider"),
    "continuationToken": Field(
        Use.CONTROL, ("string",), "[sdk] continuation_token: goes on from an answer kept at the provider"
    ),
    "serviceTier": Field(Use.CONTROL, ("string",), "[sdk] service_tier; flex and priority have own rates"),
    "model": Field(Use.CONTROL, ("string",), "[rest] model; the path names it"),
    "safetySettings": Field(
        Use.FREE, _OBJECTS, "[sdk] safety_settings; what is blocked is billed as reported"
    ),
    "labels": Field(Use.FREE, ("object",), "[sdk] labels, on the bill only"),
    "store": Field(Use.FREE, ("boolean",), "[sdk] store: logging at the provider"),
    "modelArmorConfig": Field(Use.REFUSED, (), "[sdk] model_armor_config: a service with a bill of its own"),
    "generationOutputConfig": Field(
        Use.REFUSED, (), "[sdk] generation_output_config: output kept in storage that is billed apart"
    ),
}
"""Every field of the body of generateContent that the SDK can send."""

CONFIG: dict[str, Field] = {
    "responseSchema": Field(Use.INPUT, ("object",), "[sdk] response_schema, shown to the model"),
    "responseJsonSchema": Field(
        Use.INPUT, ("object", "array", "boolean"), "[sdk] response_json_schema, shown to the model"
    ),
    "_responseJsonSchema": Field(Use.INPUT, ("object",), "[rest] the older name of responseJsonSchema"),
    "speechConfig": Field(Use.INPUT, ("object",), "[sdk] speech_config: voices by name"),
    "imageConfig": Field(Use.INPUT, ("object",), "[sdk] image_config: shape of images within the cap"),
    "audioTranscriptionConfig": Field(
        Use.INPUT, ("object",), "[sdk] audio_transcription_config: phrases to listen for"
    ),
    "maxOutputTokens": Field(Use.CONTROL, ("integer",), "[sdk] covers thoughts and answer: [costs B4]"),
    "candidateCount": Field(Use.CONTROL, ("integer",), "[sdk] each candidate is billed: [costs B4]"),
    "thinkingConfig": Field(Use.CONTROL, ("object",), "[sdk] a soft hint within the cap: [costs B4]"),
    "responseModalities": Field(Use.CONTROL, ("array",), "[sdk] images and sound have rates of their own"),
    "mediaResolution": Field(Use.FREE, ("string",), "[sdk] the card's cap is for any: [costs B4]"),
    "responseMimeType": Field(Use.FREE, ("string",), "[sdk] form of the answer"),
    "temperature": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "topP": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "topK": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "seed": Field(Use.FREE, ("integer",), "[sdk] sampling"),
    "presencePenalty": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "frequencyPenalty": Field(Use.FREE, _NUMBER, "[sdk] sampling"),
    "stopSequences": Field(Use.FREE, ("array",), "[sdk] only ever ends an answer early"),
    "responseLogprobs": Field(Use.FREE, ("boolean",), "[sdk] not billed"),
    "logprobs": Field(Use.FREE, ("integer",), "[sdk] not billed"),
    "enableEnhancedCivicAnswers": Field(Use.FREE, ("boolean",), "[sdk] a filter of answers"),
    "audioTimestamp": Field(Use.REFUSED, (), "[sdk] puts times of unknown size into the input; Vertex only"),
    "enableAffectiveDialog": Field(Use.REFUSED, (), "[sdk] for live sessions, which are not served"),
    "translationConfig": Field(Use.REFUSED, (), "[sdk] for live sessions, which are not served"),
    "responseFormat": Field(Use.REFUSED, (), "[sdk] delivery of output, without a known price"),
    "routingConfig": Field(Use.REFUSED, (), "[sdk] another model may answer: [costs B4]"),
    "modelSelectionConfig": Field(Use.REFUSED, (), "[sdk] another model may answer: [costs B4]"),
}
"""Every field of `generationConfig` that the SDK can send, and those of its type GenerationConfig."""

CLIENT_ONLY = frozenset(
    {
        "http_options", "should_return_http_response", "automatic_function_calling",
        "automatic_continuation",
    }
)  # fmt: skip
"""[sdk] what GenerateContentConfig tells the SDK itself; it is never sent."""

FIELD_NAMES, CONFIG_NAMES = spellings(FIELDS), spellings(CONFIG)

THINKING_NAMES = spellings(("includeThoughts", "thinkingBudget", "thinkingLevel"))
"""[sdk] ThinkingConfig."""

PARTS = frozenset(
    {
        "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
        "codeExecutionResult", "toolCall", "toolResponse",
    }
)  # fmt: skip
"""Kinds of parts that are bounded, by their bytes or as `gemini_content` says. [sdk] Part."""

PART_ATTRIBUTES = frozenset(
    {
        "thought", "thoughtSignature", "partMetadata", "mediaResolution", "videoMetadata", "mediaProcessing",
        "documentMetadata", "spreadsheetMetadata", "audioMetadata", "speechMetadata", "audioTranscription",
    }
)  # fmt: skip
"""What may stand beside a part's kind. [sdk] Part."""

PART_NAMES = spellings(PARTS | PART_ATTRIBUTES)

IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
"""The types of still images that the API takes. [rest] image understanding."""

SERVICE_TIERS = {"unspecified": "default", "standard": "default", "flex": "flex", "priority": "priority"}
"""The card's tier for each that may be asked for. [sdk] ServiceTier."""

OUTPUT_MODALITIES = {"TEXT": None, "IMAGE": "output_image", "AUDIO": "output_audio"}
"""The rate that each modality of an answer needs beside plain output. [sdk] Modality; [costs B4]."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A kind of tool. `hosted`: it runs at the provider. `event`: the fee of the one use of a request that
    older models bill; None where neither a fee nor a number of uses bounds it.
    """

    hosted: bool
    event: str | None = None


TOOLS: dict[str, Tool] = {
    "functionDeclarations": Tool(hosted=False),
    "googleSearch": Tool(hosted=True, event="grounded_request"),
    "googleSearchRetrieval": Tool(hosted=True, event="grounded_request"),
    "googleMaps": Tool(hosted=True),
    "urlContext": Tool(hosted=True),
    "fileSearch": Tool(hosted=True),
    "codeExecution": Tool(hosted=True),
    "computerUse": Tool(hosted=True),
    "mcpServers": Tool(hosted=True),
    "retrieval": Tool(hosted=True),
    "enterpriseWebSearch": Tool(hosted=True),
    "parallelAiSearch": Tool(hosted=True),
    "exaAiSearch": Tool(hosted=True),
}
"""[sdk] Tool. Google Search is billed once per grounded prompt up to Gemini 2.5, and once per query, whose
number nothing bounds, from Gemini 3 on: [costs B4]. `computerUse` runs at the client, with definitions of
unknown size that the provider adds."""

TOOL_NAMES = spellings(TOOLS)

EMBED_FIELDS: dict[str, Field] = {
    "content": Field(Use.INPUT, ("object",), "[sdk] contents"),
    "title": Field(Use.INPUT, ("string",), "[sdk] title, embedded with the text"),
    "taskType": Field(Use.INPUT, ("string",), "[sdk] task_type; may become a prefix of the text"),
    "model": Field(Use.CONTROL, ("string",), "[rest] model; the path names it"),
    "outputDimensionality": Field(Use.FREE, ("integer",), "[sdk] length of the result"),
}
"""Every field of one embedding that the SDK can send to the Gemini API."""

EMBED_NAMES = spellings(EMBED_FIELDS)

EMBED_VERTEX_ONLY = frozenset(
    {"mime_type", "auto_truncate", "document_ocr", "audio_track_extraction", "http_options"}
)
"""[sdk] EmbedContentConfig: not for the Gemini API, or for the SDK itself."""
