"""The body of a Gemini request as it is read: native, native with its model in it, or the short form.

Owns what design 6 adds for the route without a model in its path: `{model, prompt, max_tokens}`, which is
written as a native request, and a native body with `model` (and `stream`) beside its own members. What comes
out is the native body that leaves, and which model and kind of stream it is for.
"""

import json
from dataclasses import dataclass

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import splice
from spendguard_daemon.providers.contract import Asked
from spendguard_daemon.providers.gemini_fields import FIELD_NAMES
from spendguard_daemon.providers.gemini_names import canonical
from spendguard_daemon.providers.gemini_options import read_model
from spendguard_daemon.providers.json_text import Document, join_path, parse
from spendguard_daemon.providers.openai_endpoint import OUTPUT_TOKENS_MAX, within

SHORT_FIELDS = frozenset({"model", "prompt", "max_tokens", "stream"})
"""[design 6] The body that the original's clients send."""


@dataclass(frozen=True, slots=True)
class Body:
    """A native body, and what it is for. `form` is how the answer comes: `json`, `sse` or `array`.

    `changed` says, for a person, in what the body already differs from what the client sent.
    """

    document: Document
    model: str
    form: str
    changed: tuple[str, ...] = ()


def read_body(asked: Asked) -> Body:
    """Read it; raise MALFORMED_REQUEST with the path. The members come under their camel names."""
    document = parse(asked.body)
    if asked.model:
        return _of_path(document, asked)
    model, stream = read_model(document.value("model")), document.value("stream")
    if stream is not None and not isinstance(stream, bool):
        raise MalformedError("stream", "boolean")
    form = "sse" if stream else "json"
    if "prompt" in document.members:
        return Body(_native(document), model, form, ("prompt: written as a native request",))
    native = parse(splice.apply(document.text, splice.remove_members(document, ("model", "stream"))))
    return Body(canonical(native, FIELD_NAMES), model, form, ("model: moved into the path",))


def _of_path(document: Document, asked: Asked) -> Body:
    """Take a body whose model the path names; where it names one too, it must be the same."""
    model = read_model(asked.model)
    if document.value("model") is not None and read_model(document.value("model")) != model:
        raise MalformedError("model", f"the model of the path, {model}")
    sse = asked.query.get("alt") == "sse"
    if sse and not asked.stream:
        raise MalformedError("query.alt", "json: only streamGenerateContent answers as a stream of events")
    form = ("sse" if sse else "array") if asked.stream else "json"
    return Body(canonical(document, FIELD_NAMES), model, form)


def _native(document: Document) -> Document:
    """Write a short body as a native one."""
    for name in document.members:
        if name not in SHORT_FIELDS:
            raise MalformedError(join_path("", name), "one of " + ", ".join(sorted(SHORT_FIELDS)))
    prompt, cap = document.value("prompt"), document.value("max_tokens")
    if not isinstance(prompt, str):
        raise MalformedError("prompt", "string")
    native = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    config = {} if cap is None else {"maxOutputTokens": within(cap, "max_tokens", 1, OUTPUT_TOKENS_MAX)}
    text = json.dumps({**native, "generationConfig": config}, ensure_ascii=False)
    return parse(text.encode())
