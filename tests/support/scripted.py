"""A provider that plays a script, in the wire formats of the recordings, and is as strict as the real ones.

`ScriptedProvider(turn_of)` is a director for `RecordedUpstream`: for each request `turn_of(path, body)` says
what is answered, a `Turn`; the shapes are those of recordings 01, 09, 12, 15, 16, 19, 22, 23 and 38 to 40;
those of Gemini are in `scripted_gemini`. What a real provider would refuse (a cap below its minimum or above
the model's, a thinking budget that the cap does not exceed, two caps, a parameter that the model does not
take) is answered with its 400 and noted in `refused`. Count routes are answered with what the same request
would be billed as input. xAI is told by the model, for it has OpenAI's paths.
"""

import base64
import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import scripted_gemini as gemini
from published import catalogue_row
from recorded import Act, Received, Reply
from replies import refusal

Body = dict[str, Any]
Json = dict[str, Any]

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
RESPONSES_CAP_MIN = 16
THINKING_BUDGET_MIN = 1_024
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301"
        "0100c9fe92ef0000000049454e44ae426082"
    )
).decode()
"""A picture of one pixel (PNG)."""

CHAT = "/v1/chat/completions"
COUNT_PATHS = ("/v1/messages/count_tokens", "/v1/responses/input_tokens")


@dataclass(frozen=True, slots=True)
class Turn:
    """What is answered: thinking, then text, then calls of the client's tools as (name, arguments).

    `fresh`, `read` and `written` are input tokens by what the cache had of them; without them the input is a
    quarter of the request's bytes. `output` are all output tokens; without them a quarter of what is said.
    `ticks` is what xAI says that it costs; without them what its card says.
    """

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, Json], ...] = ()
    fresh: int | None = None
    read: int = 0
    written: int = 0
    output: int | None = None
    ticks: int | None = None

    def usage_of(self, body: Body) -> tuple[int, int]:
        """Return (uncached input, output) tokens."""
        said = len(self.text) + len(self.thinking) + sum(len(json.dumps(args)) + 20 for _, args in self.calls)
        fresh = input_tokens(body) if self.fresh is None else self.fresh
        return fresh, max(1, said // 4) if self.output is None else self.output


TurnOf = Callable[[str, Body], Turn]


def always(text: str = "hello") -> TurnOf:
    """Return a script that says the same thing to everyone."""
    return lambda _path, _body: Turn(text)


class ScriptedProvider:
    """Give it to an upstream as its director. `received` are the bodies that were answered with a turn."""

    def __init__(self, turn_of: TurnOf | None = None) -> None:
        self.turn_of = turn_of or always()
        self.refused: list[str] = []
        self.received: list[Body] = []

    def __call__(self, received: Received) -> Act:
        """Answer one request."""
        body: Body = json.loads(received.body)
        if received.path.endswith(":countTokens"):
            return Act(reply=gemini.counted(body))
        if received.path in COUNT_PATHS:
            told = {"object": "response.input_tokens"} if "responses" in received.path else {}
            return Act(reply=_json({**told, "input_tokens": input_tokens(body)}))
        why = complaint(received.path, body)
        if why is not None:
            self.refused.append(why)
            return Act(reply=_refusal(received.path, why))
        self.received.append(body)
        if received.path.startswith("/v1beta/models/"):
            return Act(reply=self._gemini_reply(received, body, len(self.received)))
        return Act(reply=self._reply(received.path, body, len(self.received)))

    def _gemini_reply(self, received: Received, body: Body, number: int) -> Reply:
        if "mbedContent" in received.path:
            return gemini.embeddings(received.path, body)
        turn = self.turn_of(received.path, body)
        parts: list[Json] = [{"text": piece} for piece in _pieces(turn.text)]
        parts += [{"functionCall": {"name": name, "args": args}} for name, args in turn.calls]
        fresh, output = turn.usage_of({"messages": body["contents"], "tools": body.get("tools")})
        thoughts = min(len(turn.thinking) // 4, output - 1)
        usage = (fresh + turn.read, output - thoughts, thoughts)
        return gemini.content(received.path, received.query, parts or [{"text": ""}], usage, number)

    def _reply(self, path: str, body: Body, number: int) -> Reply:
        if path == "/v1/embeddings":
            return _embeddings(body)
        turn = self.turn_of(path, body)
        streams = body.get("stream") is True
        if path == "/v1/messages":
            message = _message(body, turn, number)
            return Reply(200, SSE, _message_stream(message)) if streams else _json(message)
        if path == "/v1/responses":
            response = _response(body, turn, number)
            return Reply(200, SSE, _response_stream(response)) if streams else _json(response)
        completion = _completion(body, turn, number)
        if streams:
            return Reply(200, SSE, _completion_stream(completion, body))
        return _json(completion)


def _json(body: Json) -> Reply:
    return Reply(200, JSON, json.dumps(body).encode())


def input_tokens(body: Body) -> int:
    """Return what of a request is billed as input here: a quarter of its bytes."""
    names = ("messages", "system", "instructions", "input", "tools", "text", "response_format")
    return len(json.dumps([body.get(name) for name in names])) // 4


# -- what providers refuse ----------------------------------------------------------------------------------


def complaint(path: str, body: Body) -> str | None:
    """Return why the real provider would answer 400, None where it would not."""
    if path.startswith("/v1beta/models/"):
        return gemini.complaint(path, body)
    provider = provider_of(path, body)
    row = catalogue_row(provider, body["model"])
    if path == "/v1/embeddings":
        return None
    names = {"/v1/messages": ("max_tokens",), "/v1/responses": ("max_output_tokens",)}
    caps = {
        name: body[name]
        for name in names.get(path, ("max_tokens", "max_completion_tokens"))
        if body.get(name) is not None
    }
    if len(caps) > 1:
        return "both caps are set"
    least = RESPONSES_CAP_MIN if path == "/v1/responses" and provider == "openai" else 1
    for name, cap in caps.items():
        if not least <= cap <= row["limits"]["max_output"]:
            return f"{name}: {cap} is not from {least} to {row['limits']['max_output']}"
    if path == "/v1/messages":
        return _message_complaint(body, caps)
    if provider == "grok":
        return _grok_complaint(body, reasoning=bool(row.get("reasoning")))
    if provider == "openai" and path == CHAT and row.get("reasoning") and "max_tokens" in caps:
        return "max_tokens is not supported with this model"
    if body.get("service_tier") not in (None, "auto", "default", "flex", "priority"):
        return "service_tier"
    return None


def provider_of(path: str, body: Body) -> str:
    """Return whose request this is."""
    if path.startswith("/v1beta/"):
        return "gemini"
    if path == "/v1/messages":
        return "anthropic"
    return "grok" if body["model"].startswith("grok") else "openai"


def _grok_complaint(body: Body, *, reasoning: bool) -> str | None:
    """Return what docs.x.ai says of reasoning models: they take no penalties and no stop sequences."""
    unknown = [
        name for name in ("presence_penalty", "frequency_penalty", "stop") if body.get(name) is not None
    ]
    if reasoning and unknown:
        return f"{unknown} are not supported by reasoning models"
    return None


def _message_complaint(body: Body, caps: dict[str, int]) -> str | None:
    thinking = body.get("thinking") or {}
    if not caps:
        return "max_tokens: field required"
    if thinking.get("type") == "enabled":
        budget = thinking["budget_tokens"]
        if budget < THINKING_BUDGET_MIN:
            return "thinking.budget_tokens: at least 1024"
        if budget >= caps["max_tokens"]:
            return "max_tokens must be greater than thinking.budget_tokens"
    if "inference_geo" in body and re.search(
        r"claude-(3|haiku-4|sonnet-4(-5|-2|$)|opus-4(-1|-5))", body["model"]
    ):
        return "inference_geo is not supported with this model"
    if body.get("service_tier") not in (None, "auto", "standard_only"):
        return "service_tier"
    return None


def _refusal(path: str, why: str) -> Reply:
    if path.startswith("/v1beta/models/"):
        return gemini.refusal(why)
    if path != "/v1/messages":
        return refusal(400, why)
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": why}}
    return Reply(400, JSON, json.dumps(error).encode())


# -- OpenAI -------------------------------------------------------------------------------------------------


def _completion(body: Body, turn: Turn, number: int) -> Json:
    fresh, output = turn.usage_of(body)
    calls = [
        {
            "id": f"call_{number}_{index}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(args)},
        }
        for index, (name, args) in enumerate(turn.calls)
    ]
    message: Json = {"role": "assistant", "content": turn.text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    finish = "tool_calls" if calls else "stop"
    usage: Json = {
        "prompt_tokens": fresh + turn.read,
        "completion_tokens": output,
        "total_tokens": fresh + turn.read + output,
        "prompt_tokens_details": {"cached_tokens": turn.read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(turn.thinking) // 4, "audio_tokens": 0},
    }
    if body["model"].startswith("grok"):  # the reasoning is beside the completion, and xAI says its own bill
        usage["completion_tokens"] = output - len(turn.thinking) // 4
        usage |= _ticks(body["model"], turn, fresh, output)
    if "gemini" in body["model"]:  # thoughts are in the total alone
        usage["completion_tokens"] = output - len(turn.thinking) // 4
        del usage["completion_tokens_details"], usage["prompt_tokens_details"]
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_763_000_000,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": usage,
        "service_tier": "default",
    }


def _completion_stream(completion: Json, body: Body) -> bytes:
    choice = completion["choices"][0]
    message, asked = choice["message"], (body.get("stream_options") or {}).get("include_usage")
    head = {**completion, "object": "chat.completion.chunk"}
    del head["usage"]
    deltas: list[tuple[Json, str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": piece}, None) for piece in _pieces(message["content"] or "")]
    for index, call in enumerate(message.get("tool_calls") or ()):
        deltas.append(({"tool_calls": [{"index": index, **call}]}, None))
    deltas.append(({}, choice["finish_reason"]))
    nothing = {"usage": None} if asked else {}
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **nothing}
        for delta, finish in deltas
    ]
    if asked:
        chunks.append({**head, "choices": [], "usage": completion["usage"]})
    return (
        b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    )


def _ticks(model: str, turn: Turn, fresh: int, output: int) -> Json:
    """Return xAI's own bill, of input below its cliff; 1e10 ticks are a dollar."""
    rates = catalogue_row("grok", model)["periods"][0]["rates"]["default"]
    pico_usd = fresh * rates["input"] + turn.read * rates["cache_read"] + output * rates["output"]
    ticks = -(-pico_usd // 100) if turn.ticks is None else turn.ticks
    return {"num_sources_used": 0, "cost_in_usd_ticks": ticks}


def _response(body: Body, turn: Turn, number: int) -> Json:
    fresh, output = turn.usage_of(body)
    items: list[Json] = []
    if turn.thinking:
        reasoning = {"id": f"rs_{number}", "type": "reasoning", "summary": []}
        hidden = "reasoning.encrypted_content" in (body.get("include") or ())
        sealed = base64.b64encode(turn.thinking.encode()).decode()
        items.append(reasoning | ({"encrypted_content": sealed} if hidden else {}))
    if turn.text:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": turn.text}
        message = {"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant"}
        items.append({**message, "content": [part]})
    for index, (name, args) in enumerate(turn.calls):
        call = {"id": f"fc_{number}_{index}", "type": "function_call", "call_id": f"call_{number}_{index}"}
        items.append({**call, "name": name, "arguments": json.dumps(args), "status": "completed"})
    usage: Json = {
        "input_tokens": fresh + turn.read,
        "input_tokens_details": {"cached_tokens": turn.read},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": len(turn.thinking) // 4},
        "total_tokens": fresh + turn.read + output,
    }
    if body["model"].startswith("grok"):
        usage |= _ticks(body["model"], turn, fresh, output)
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_763_000_000,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body["model"],
        "output": items,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }


def _response_stream(response: Json) -> bytes:
    start = {**response, "status": "in_progress", "output": [], "usage": None, "service_tier": "auto"}
    events: list[Json] = [{"type": "response.created", "response": start}]
    events.append({"type": "response.in_progress", "response": start})
    for index, item in enumerate(response["output"]):
        at = {"output_index": index}
        open_item: Json = {"content": []} if item["type"] == "message" else {}
        added = {**item, **open_item, "status": "in_progress"} if item["type"] != "reasoning" else item
        events.append({"type": "response.output_item.added", "item": added, **at})
        events += [{**event, "item_id": item["id"], **at} for event in _item_events(item)]
        events.append({"type": "response.output_item.done", "item": item, **at})
    events.append({"type": "response.completed", "response": response})
    return _named_events({**event, "sequence_number": number} for number, event in enumerate(events))


def _item_events(item: Json) -> Iterator[Json]:
    if item["type"] == "function_call":
        for piece in _pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", "delta": piece}
        yield {"type": "response.function_call_arguments.done", "arguments": item["arguments"]}
    if item["type"] == "message":
        (part,), at = item["content"], {"content_index": 0}
        yield {"type": "response.content_part.added", "part": {**part, "text": ""}, **at}
        for piece in _pieces(part["text"]):
            yield {"type": "response.output_text.delta", "delta": piece, "logprobs": [], **at}
        yield {"type": "response.output_text.done", "text": part["text"], "logprobs": [], **at}
        yield {"type": "response.content_part.done", "part": part, **at}


def _embeddings(body: Body) -> Reply:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    texts = [texts] if texts and isinstance(texts[0], int) else texts
    vector: Any = [0.25, -0.5, 0.125]
    if body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<3f", *vector)).decode()
    data = [{"object": "embedding", "index": at, "embedding": vector} for at in range(len(texts))]
    used = sum(max(1, len(text) // 4) for text in texts)
    usage = {"prompt_tokens": used, "total_tokens": used}
    told = {"object": "list", "data": data, "model": body["model"], "usage": usage}
    return Reply(200, JSON, json.dumps(told).encode())


# -- Anthropic ----------------------------------------------------------------------------------------------


def _message(body: Body, turn: Turn, number: int) -> Json:
    fresh, output = turn.usage_of(body)
    content: list[Json] = []
    if turn.thinking:
        signature = base64.b64encode(turn.thinking.encode() * 3).decode()
        content.append({"type": "thinking", "thinking": turn.thinking, "signature": signature})
    if turn.text:
        content.append({"type": "text", "text": turn.text})
    for index, (name, args) in enumerate(turn.calls):
        content.append({"type": "tool_use", "id": f"toolu_{number}_{index}", "name": name, "input": args})
    usage = {
        "input_tokens": fresh,
        "cache_creation_input_tokens": turn.written,
        "cache_read_input_tokens": turn.read,
        "cache_creation": {"ephemeral_5m_input_tokens": turn.written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }
    return {
        "model": body["model"],
        "id": f"msg_{number:024}",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": "tool_use" if turn.calls else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def _message_stream(message: Json) -> bytes:
    usage = message["usage"]
    started = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": started}]
    for index, block in enumerate(message["content"]):
        at = {"index": index}
        events.append({"type": "content_block_start", "content_block": _opened(block), **at})
        if index == 0:
            events.append({"type": "ping"})
        events += [{"type": "content_block_delta", "delta": delta, **at} for delta in _deltas(block)]
        events.append({"type": "content_block_stop", **at})
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    totals = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    events.append({"type": "message_delta", "delta": stop, "usage": {name: usage[name] for name in totals}})
    events.append({"type": "message_stop"})
    return _named_events(iter(events))


def _opened(block: Json) -> Json:
    empty: dict[str, Json] = {
        "thinking": {"thinking": "", "signature": ""},
        "text": {"text": ""},
        "tool_use": {"input": {}},
    }
    return {**block, **empty[block["type"]]}


def _deltas(block: Json) -> Iterator[Json]:
    match block["type"]:
        case "thinking":
            for piece in _pieces(block["thinking"]):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "text":
            for piece in _pieces(block["text"]):
                yield {"type": "text_delta", "text": piece}
        case _:
            for piece in _pieces(json.dumps(block["input"])):
                yield {"type": "input_json_delta", "partial_json": piece}


def _pieces(text: str, size: int = 24) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _named_events(events: Iterator[Json]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)
