"""OpenAI `chat/completions`: what a request can cost at most, and how it is held to that.

Owns reading, bounding and rewriting requests, and the error shape; `openai_answers` reads the answers. Does
no I/O and knows no prices. Invariant: what `rewrite` returns, read again, has the same input bound and
choices, and the cap that was asked of it.
"""

import json
from collections.abc import Mapping

from spendguard_daemon.errors import Fact, MalformedError
from spendguard_daemon.providers import fields, openai_answers, openai_errors, splice, tokens
from spendguard_daemon.providers.contract import AnswerReader, Outgoing, Request
from spendguard_daemon.providers.json_text import Document, Json, Member, join_path, kind_of, parse
from spendguard_daemon.providers.openai_messages import Content, one_of, read_messages, read_tools
from spendguard_daemon.providers.refusals import unbounded, unpriced
from spendguard_daemon.usage import InputBound, Limits

OUTPUT_TOKENS_MAX = 2**31 - 1
CHOICES_MAX = 128
MODEL_CHARACTERS_MAX = 200
FLOOR_TOKENS = 1_024
FLOOR_TOKENS_REASONING = 4_096

_CAP, _OLD_CAP = "max_completion_tokens", "max_tokens"
_READ_AND_DONE = frozenset(name for name, use in fields.CHAT_FIELDS.items() if use.use is fields.Use.INPUT)
"""Members whose values nobody needs once they were bounded; they may be nearly the whole body."""

_ERROR_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
}


class OpenAIChat:
    """The wire format of `POST /v1/chat/completions`; satisfies `contract.Format`."""

    endpoint = "chat/completions"
    upstream_path = "/chat/completions"

    def read(self, body: bytes) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION, with the path."""
        document = parse(body)
        _check_fields(document)
        model = _model(document)
        stream, wants_usage = _streaming(document)
        asked_field, asked = _asked_cap(document)
        _check_tier_and_modalities(document)
        messages = read_messages(document.value("messages"))
        tools = read_tools(document.value("tools"), document.value("functions"))
        return Request(
            model=model,
            stream=stream,
            choices=_choices(document),
            asked_output_tokens=asked,
            asked_field=asked_field,
            input_bytes=tokens.input_bytes(_billable(document)),
            messages=messages.count,
            tools=tools.count,
            reach=_reach(document, messages, tools),
            wants_usage=wants_usage,
            service_tier="default",
            document=document.forgetting(_READ_AND_DONE),
        )

    def bounds(self, request: Request, limits: Limits) -> tuple[InputBound, ...]:
        """Return the upper bounds of the input known offline, smallest first."""
        bound = tokens.byte_bound(
            limits, input_bytes=request.input_bytes, messages=request.messages, tools=request.tools
        )
        return tokens.ladder(limits, bound)

    def floor_output_tokens(self, request: Request, *, output_tokens_min: int, reasoning: bool) -> int:
        """Return the smallest cap that a clamp may reach (design 5.3); never above what was asked."""
        useful = max(output_tokens_min, FLOOR_TOKENS_REASONING if reasoning else FLOOR_TOKENS)
        asked = request.asked_output_tokens
        return useful if asked is None else min(asked, useful)

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Hold the request to `output_tokens` per choice, the default tier, and usage in its stream.

        Raises ValueError where that would raise the client's own cap: no change may cost the user more.
        """
        changes = [
            change
            for change in (_set_cap(request, output_tokens), _set_tier(request), _set_usage(request))
            if change is not None
        ]
        return Outgoing(
            body=splice.apply(request.document.text, [edit for edit, _ in changes]),
            changed=tuple(said for _, said in changes),
            hides_usage=request.stream and not request.wants_usage,
        )

    def reader(self, request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer: of an error, else of a stream where one was asked for."""
        if not 200 <= status < 300:
            return openai_errors.reader(encoding)
        return openai_answers.reader(stream=request.stream, hides_usage=hides_usage, encoding=encoding)

    def error_body(self, status: int, code: str, detail: str, spendguard: Mapping[str, Fact]) -> bytes:
        """Return an error of ours in OpenAI's shape; ASCII, so no text of a client can break it."""
        kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        error = {"message": detail, "type": kind, "param": spendguard.get("path"), "code": code}
        return json.dumps({"error": error, "detail": detail, "spendguard": dict(spendguard)}).encode()


FORMAT = OpenAIChat()

_Change = tuple[splice.Edit, str]


def _check_fields(document: Document) -> None:
    for name, member in document.members.items():
        known = fields.CHAT_FIELDS.get(name)
        if known is None:
            raise MalformedError(
                join_path("", name),
                "a field of chat completions that can be priced",
                remedy="leave the field out",
            )
        if member.value is None:
            continue
        if known.use is fields.Use.REFUSED:
            raise unbounded(name, name)
        if kind_of(member.value) not in known.kinds:
            raise MalformedError(name, " or ".join(known.kinds))


def _model(document: Document) -> str:
    model = document.value("model")
    if not isinstance(model, str) or not 0 < len(model) <= MODEL_CHARACTERS_MAX or not model.isprintable():
        raise MalformedError("model", f"1 to {MODEL_CHARACTERS_MAX} printable characters")
    return model


def _streaming(document: Document) -> tuple[bool, bool]:
    """Return whether the answer is a stream, and whether the client wants usage in it."""
    options = document.value("stream_options") or {}
    wanted = options.get("include_usage")
    if wanted is not None and not isinstance(wanted, bool):
        raise MalformedError("stream_options.include_usage", "boolean")
    return document.value("stream") is True, wanted is True


def _asked_cap(document: Document) -> tuple[str | None, int | None]:
    """Return the field and value of the client's output cap; null is no cap."""
    given = [name for name in (_CAP, _OLD_CAP) if document.value(name) is not None]
    if len(given) == 2:
        raise MalformedError(_OLD_CAP, f"only one of {_CAP} and {_OLD_CAP}")
    if not given:
        return None, None
    return given[0], _within(document.value(given[0]), given[0], OUTPUT_TOKENS_MAX)


def _choices(document: Document) -> int:
    value = document.value("n")
    return 1 if value is None else _within(value, "n", CHOICES_MAX)


def _within(value: Json, path: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise MalformedError(path, f"an integer from 1 to {most}")
    return value


def _check_tier_and_modalities(document: Document) -> None:
    tier = document.value("service_tier")
    if tier is not None and tier not in fields.CHAT_TIERS_DEFAULT:
        raise unbounded("service_tier", "a service tier other than default")
    modalities = document.value("modalities")
    if modalities is not None and any(item != "text" for item in modalities):
        raise unbounded("modalities", "output other than text")


def _billable(document: Document) -> list[Member]:
    return [
        member
        for name, member in document.members.items()
        if fields.CHAT_FIELDS[name].use is fields.Use.INPUT and member.value is not None
    ]


def _reach(document: Document, messages: Content, tools: Content) -> frozenset[str]:
    """Return the rates beyond plain input and output: cache writes, where the client asks for them."""
    options = document.value("prompt_cache_options") or {}
    ttl = options.get("ttl")
    if ttl is not None and not one_of(ttl, fields.CACHE_TTLS):
        raise unpriced("prompt_cache_options.ttl", "a cache lifetime without a known rate")
    implicit = bool(options) and options.get("mode") != "explicit"
    writes = implicit or messages.writes_cache or tools.writes_cache
    return frozenset({"cache_write"}) if writes else frozenset()


def _set_cap(request: Request, output_tokens: int) -> _Change | None:
    document, asked = request.document, request.asked_output_tokens
    if not 1 <= output_tokens <= (asked or OUTPUT_TOKENS_MAX):
        raise ValueError(f"a cap of {output_tokens} where {asked} was asked")
    if asked == output_tokens:
        return None
    if request.asked_field is not None:
        edit = splice.set_member(document, request.asked_field, str(output_tokens))
        return edit, f"{request.asked_field}: {asked} -> {output_tokens}"
    if _OLD_CAP in document.members and _CAP not in document.members:
        # `"max_tokens": null`: the cap takes its place, so that no reader can see two.
        edit = splice.replace_member(document, _OLD_CAP, _CAP, str(output_tokens))
    else:
        edit = splice.set_member(document, _CAP, str(output_tokens))
    return edit, f"{_CAP}: none -> {output_tokens}"


def _set_tier(request: Request) -> _Change | None:
    tier = request.document.value("service_tier")
    if tier == "default":
        return None
    edit = splice.set_member(request.document, "service_tier", '"default"')
    return edit, f"service_tier: {tier or 'none'} -> default"


def _set_usage(request: Request) -> _Change | None:
    if not request.stream or request.wants_usage:
        return None
    document = request.document
    options = document.value("stream_options")
    if options is None:
        edit = splice.set_member(document, "stream_options", '{"include_usage":true}')
    else:
        edit = splice.set_member(document.child("stream_options"), "include_usage", "true")
    before = "none" if options is None or options.get("include_usage") is None else "false"
    return edit, f"stream_options.include_usage: {before} -> true"
