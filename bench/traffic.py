"""What the benchmark sends and what the upstream answers: about 1 kB each way, or a stream of 50 deltas."""

import json

MODEL = "gpt-4o-mini"
DELTAS = 50
PLAIN, BURST, DRIP = "plain", "burst", "drip"
"""A whole answer; a stream in one piece; a stream with each event in a packet of its own."""

_USAGE = {"prompt_tokens": 190, "completion_tokens": DELTAS, "total_tokens": 190 + DELTAS}
_HEAD = {"id": "chatcmpl-bench", "created": 1_700_000_000, "model": MODEL, "service_tier": "default"}


def request_body(kind: str) -> bytes:
    """Return a chat request as an agent would send it; `user` tells the upstream how to answer."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant. " * 8},
        {"role": "user", "content": "Summarise the following notes in one sentence. " * 12},
    ]
    body: dict[str, object] = {"model": MODEL, "messages": messages, "max_tokens": 300, "user": kind}
    return json.dumps(body if kind == PLAIN else {**body, "stream": True}).encode()


def plain_answer() -> bytes:
    """Return a whole answer as a provider sends it, head and body."""
    message = {"role": "assistant", "content": "Here is the sentence that you asked for. " * 12}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()
    return _head("application/json", f"content-length: {len(body)}") + body


def stream_answer(*, with_usage: bool) -> list[bytes]:
    """Return a stream as chunked HTTP, one piece for the head and one for each event."""
    head = {**_HEAD, "object": "chat.completion.chunk"}
    nothing = {"usage": None} if with_usage else {}
    deltas = [{"index": 0, "delta": {"content": f" word{i}"}, "finish_reason": None} for i in range(DELTAS)]
    chunks: list[dict[str, object]] = [{**head, "choices": [delta], **nothing} for delta in deltas]
    if with_usage:
        chunks.append({**head, "choices": [], "usage": _USAGE})
    events = [b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
    pieces = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
    return [_head("text/event-stream", "transfer-encoding: chunked"), *pieces, b"0\r\n\r\n"]


def _head(content_type: str, framing: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"content-type: {content_type}", framing, "x-request-id: req_bench", "", ""]
    return "\r\n".join(lines).encode()
