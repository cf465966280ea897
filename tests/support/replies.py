"""What the recorded upstream says: recordings as bytes, and invented answers in OpenAI's shape."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is to be sent."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of `tests/recordings`, its bodies as bytes."""

    name: str
    provider: str
    path: str
    request_body: bytes
    reply: Reply
    request: dict[str, Any] = field(repr=False)
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def model(self) -> str:
        """The model that was asked for; Google's requests name it in their path."""
        of_path = self.path.rpartition("/models/")[2].partition(":")[0]
        named: str = self.request.get("model", of_path)
        return named

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream, whatever its form."""
        return "event-stream" in self.reply.headers["content-type"] or ":stream" in self.path


def load(name: str) -> Recording:
    """Load one recording by its file name without `.json`."""
    raw = json.loads((RECORDINGS / f"{name}.json").read_bytes())
    request, response = raw["request"], raw["response"]
    headers = {"content-type": "application/json", **response["headers"]}
    if response["content_encoding"]:
        headers["content-encoding"] = response["content_encoding"]
    request_body = _bytes_of(request)
    parsed = json.loads(request_body) if request_body.startswith(b"{") else {}
    reply = Reply(response["status"], headers, _bytes_of(response))
    query = urlencode(request.get("query") or {})
    return Recording(
        name,
        raw["provider"],
        request["path"],
        request_body,
        reply,
        parsed,
        query,
        request.get("headers") or {},
    )


def load_all() -> list[Recording]:
    """Load all recordings, in the order of their names."""
    return [load(path.stem) for path in sorted(RECORDINGS.glob("*.json"))]


def default_usage(body: dict[str, Any]) -> tuple[int, int]:
    """Return a usage that any sound bound covers."""
    cap = body.get("max_completion_tokens") or body.get("max_tokens") or 20
    return len(json.dumps(body.get("messages", []))) // 4, min(cap, 20) * (body.get("n") or 1)


def _bytes_of(side: dict[str, Any]) -> bytes:
    if "body_base64" in side:
        return base64.b64decode(side["body_base64"])
    body = side.get("body", "")
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def refusal(status: int, message: str) -> Reply:
    """Return an error in OpenAI's shape."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return Reply(status, _JSON, json.dumps({"error": error}).encode())


def invented(body: dict[str, Any], usage: dict[str, int]) -> Reply:
    """Return a plain completion that reports this usage."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": "invented"}, "finish_reason": "stop"}
        for i in range(body.get("n") or 1)
    ]
    answer = {**_head(body, "chat.completion"), "choices": choices, "usage": usage}
    return Reply(200, _JSON, json.dumps(answer).encode())


def invented_stream(body: dict[str, Any], usage: dict[str, int]) -> Reply:
    """Return a stream that reports this usage, if it was asked to."""
    asked = (body.get("stream_options") or {}).get("include_usage")
    nothing = {"usage": None} if asked else {}
    head = _head(body, "chat.completion.chunk")
    chunks: list[dict[str, Any]] = []
    for index in range(body.get("n") or 1):
        for delta, finish in (({"role": "assistant", "content": "invented"}, None), ({}, "stop")):
            choice = {"index": index, "delta": delta, "finish_reason": finish}
            chunks.append({**head, "choices": [choice], **nothing})
    if asked:
        chunks.append({**head, "choices": [], "usage": usage})
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]
    return Reply(200, {"content-type": "text/event-stream; charset=utf-8"}, "".join(events).encode())


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-invented",
        "object": kind,
        "created": 0,
        "model": body.get("model"),
        "service_tier": "default",
    }
