"""Gemini's side of a script: a `Turn` as generateContent and its stream answer it (recordings 30, 31, 34)."""

import json
from typing import Any

from replies import Reply
from scripted import JSON, SSE, Body, Turn

STREAM = ":streamGenerateContent"
PIECE_LENGTH = 24


def speaks(path: str) -> bool:
    """Tell whether a path is one of Gemini's own for calls."""
    return path.startswith("/v1beta/models/") and path.endswith((":generateContent", STREAM))


def reply(path: str, body: Body, turn: Turn) -> Reply:
    """Return the answer to a request; of a stream the usage is told in every chunk, in whole by the last."""
    model = path.removeprefix("/v1beta/models/").partition(":")[0]
    parts: list[dict[str, Any]] = [{"text": turn.text}] if turn.text else []
    parts += [{"functionCall": {"name": name, "args": args}} for name, args in turn.calls]
    fresh, output = turn.usage_of(body)
    if not path.endswith(STREAM):
        return Reply(200, JSON, json.dumps(_chunk(model, parts, fresh, output, end=True)).encode())
    pieces = [{"text": turn.text[at : at + PIECE_LENGTH]} for at in range(0, len(turn.text), PIECE_LENGTH)]
    chunks = [_chunk(model, [piece], fresh, 1) for piece in pieces[:-1]]
    chunks.append(_chunk(model, pieces[-1:] or parts, fresh, output, end=True))
    return Reply(200, SSE, b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks))


def _chunk(
    model: str, parts: list[dict[str, Any]], fresh: int, output: int, *, end: bool = False
) -> dict[str, Any]:
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
    usage = {
        "promptTokenCount": fresh,
        "candidatesTokenCount": output,
        "totalTokenCount": fresh + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": fresh}],
        "serviceTier": "standard",
    }
    return {
        "candidates": [candidate | ({"finishReason": "STOP"} if end else {})],
        "usageMetadata": usage,
        "modelVersion": model,
        "responseId": "8e97asPMLaS4qtsP7oGv4Ag",
    }
