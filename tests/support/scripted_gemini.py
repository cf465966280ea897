"""Gemini's part of the scripted provider: what it refuses, and its answers (recordings 30, 31, 34 and 35).

Bodies are read in camel case alone, as clients write them. Thoughts are inside the cap, and counted apart;
the usage of a stream is cumulative. A stream is events where `alt=sse` asks for them, else one JSON array.
"""

import json
from collections.abc import Iterator
from typing import Any

from published import catalogue_row
from recorded import Reply

Json = dict[str, Any]

JSON = {"content-type": "application/json; charset=UTF-8"}
SSE = {"content-type": "text/event-stream"}
CANDIDATES_MAX = 8
THINKING_BUDGETS = {
    "gemini-2.5-pro": range(128, 32_769),
    "gemini-2.5-flash": range(24_577),
    "gemini-2.5-flash-lite": range(512, 24_577),
}
"""ai.google.dev/gemini-api/docs/thinking; -1 is always possible, 0 for all but pro."""


def of_path(path: str) -> tuple[str, str]:
    """Return model and verb of a path of Gemini's own."""
    model, _, verb = path.rpartition("/")[2].partition(":")
    return model, verb


def complaint(path: str, body: Json) -> str | None:
    """Return why Gemini would answer 400 to a request in its own format, None where it would not."""
    model, verb = of_path(path)
    if verb not in ("generateContent", "streamGenerateContent"):
        return None
    config, most = body.get("generationConfig") or {}, catalogue_row("gemini", model)["limits"]["max_output"]
    if not body.get("contents"):
        return "contents is not specified"
    cap = config.get("maxOutputTokens", 1)
    if type(cap) is not int or not 1 <= cap <= most:
        return f"max_output_tokens must be in the range [1, {most}]"
    if not 1 <= config.get("candidateCount", 1) <= CANDIDATES_MAX:
        return "candidate_count"
    budget = (config.get("thinkingConfig") or {}).get("thinkingBudget", -1)
    allowed = THINKING_BUDGETS.get(model, range(0))
    if budget != -1 and budget not in allowed and not (budget == 0 and "pro" not in model):
        return f"thinking_budget {budget} is out of range"
    if body.get("serviceTier") not in (None, "standard", "flex", "priority"):
        return "service_tier"
    return None


def refusal(why: str) -> Reply:
    """Return a 400 in Gemini's shape."""
    error = {"code": 400, "message": why, "status": "INVALID_ARGUMENT"}
    return Reply(400, JSON, json.dumps({"error": error}).encode())


def input_tokens(body: Json) -> int:
    """Return what of a request is billed as input here: a quarter of its bytes."""
    asked = body.get("generateContentRequest", body)
    names = ("contents", "systemInstruction", "tools", "content", "requests")
    return len(json.dumps([asked.get(name) for name in names])) // 4


def counted(body: Json) -> Reply:
    """Answer a count question."""
    return Reply(200, JSON, json.dumps({"totalTokens": input_tokens(body)}).encode())


def embeddings(path: str, body: Json) -> Reply:
    """Answer with vectors; the recorded API reports no usage with them."""
    vector = {"values": [0.25, -0.5, 0.125]}
    many = of_path(path)[1] == "batchEmbedContents"
    told = {"embeddings": [vector] * len(body["requests"])} if many else {"embedding": vector}
    return Reply(200, JSON, json.dumps(told).encode())


def content(path: str, query: str, parts: list[Json], usage: tuple[int, int, int], number: int) -> Reply:
    """Answer with these parts, whole or as a stream; `usage` is (input, candidates, thoughts)."""
    model, verb = of_path(path)
    head = {"modelVersion": model, "responseId": f"resp-{number:08}"}
    if verb == "generateContent":
        answer = {**_chunk(parts, usage, finish=True), **head}
        return Reply(200, JSON, json.dumps(answer, indent=2).encode())
    chunks = [{**chunk, **head} for chunk in _chunks(parts, usage)]
    if "alt=sse" in query:
        events = (b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)
        return Reply(200, SSE, b"".join(events))
    listed = b"\n,\r\n".join(json.dumps(chunk, indent=2).encode() for chunk in chunks)
    return Reply(200, JSON, b"[" + listed + b"\n]")


def _chunks(parts: list[Json], usage: tuple[int, int, int]) -> Iterator[Json]:
    read, wrote, thought = usage
    for at, part in enumerate(parts[:-1], 1):
        yield _chunk([part], (read, wrote * at // len(parts), thought), finish=False)
    yield _chunk(parts[-1:], usage, finish=True)


def _chunk(parts: list[Json], usage: tuple[int, int, int], *, finish: bool) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    read, wrote, thought = usage
    told: Json = {
        "promptTokenCount": read,
        "candidatesTokenCount": wrote,
        "totalTokenCount": sum(usage),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": read}],
        "serviceTier": "standard",
    }
    if thought:
        told["thoughtsTokenCount"] = thought
    return {
        "candidates": [candidate | ({"finishReason": "STOP"} if finish else {})],
        "usageMetadata": told,
    }
