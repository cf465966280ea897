"""Gemini `embedContent` and `batchEmbedContents`: input alone is billed.

Owns reading and bounding requests, and the usage in answers. Most answers report none (15 of 32 recorded ones
had none, wire.md 1): such a call is settled at its hold, which is the bound of its input. Nothing is
rewritten. Does no I/O and knows no prices. Sources: the google-genai SDK 3.6.1, `models.py` and `types.py`:
EmbedContentConfig, EmbedContentResponse.
"""

from collections.abc import Collection, Mapping
from functools import partial

import msgspec

from spendguard_daemon.errors import Fact, MalformedError
from spendguard_daemon.providers import gemini_errors, tokens
from spendguard_daemon.providers.answers import JsonAnswer
from spendguard_daemon.providers.contract import AnswerReader, Asked, CountQuestion, Outgoing, Request
from spendguard_daemon.providers.embedding_answers import NULL, EmbeddingMeter, Said
from spendguard_daemon.providers.fields import Use
from spendguard_daemon.providers.gemini import BROUGHT_BACK, bounds
from spendguard_daemon.providers.gemini_content import Content
from spendguard_daemon.providers.gemini_fields import EMBED_FIELDS, EMBED_NAMES
from spendguard_daemon.providers.gemini_names import canonical
from spendguard_daemon.providers.gemini_options import check_fields, read_model
from spendguard_daemon.providers.gemini_usage import read_usage
from spendguard_daemon.providers.json_text import Document, join_path, object_at, parse, parse_object
from spendguard_daemon.providers.refusals import unlisted
from spendguard_daemon.usage import InputBound, Limits, Usage, absurd

_BATCH_FIELDS = frozenset({"requests", "model"})


class GeminiEmbedding:
    """The wire format of `models/{model}:embedContent`; satisfies `contract.Format`. `messages`: inputs."""

    endpoint = "embedContent"
    brought_back = BROUGHT_BACK

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST or UNBOUNDED_FEATURE, with the path."""
        document = parse(asked.body)
        model = read_model(asked.model)
        found = Content(asked.policy)
        counted = sum(_read_one(one, path, model, found) for one, path in self._requests(document, asked))
        return Request(
            model=model,
            stream=False,
            choices=1,
            asked_output_tokens=None,
            asked_field=None,
            input_bytes=counted + found.tokens,
            messages=found.messages,
            tools=0,
            reach=frozenset(found.reach),
            wants_usage=True,
            service_tier="default",
            document=document.forgetting(document.members.keys()),
            capless=True,
            media=found.media,
            foreign_state=found.foreign,
        )

    def _requests(self, document: Document, _asked: Asked) -> list[tuple[Document, str]]:
        return [(document, "")]

    def path(self, request: Request) -> str:
        """Return the path below the provider's base URL."""
        return f"/v1beta/models/{request.model}:{self.endpoint}"

    def auth(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return the header that carries the operator's key."""
        return (("x-goog-api-key", key),)

    def bounds(
        self, request: Request, limits: Limits, _state_tokens: int | None = None
    ) -> tuple[InputBound, ...]:
        """Return the bounds known offline, smallest first; the card's window is of a whole batch."""
        return bounds(request, limits)

    def local_bound(
        self, _asked: Asked, _request: Request, _limits: Limits, _state_tokens: int | None = None
    ) -> InputBound | None:
        """Return nothing: no tokenizer of Gemini is at hand."""
        return None

    def count_question(self, _asked: Asked, _request: Request) -> CountQuestion | None:
        """Return nothing: the count endpoint takes contents of a conversation only."""
        return None

    def count_bound(self, _request: Request, _status: int, _body: bytes) -> InputBound | None:
        """Return nothing: nothing was asked."""
        return None

    def floor_output_tokens(self, request: Request, *, output_tokens_min: int, reasoning: bool) -> int:
        """Return the smallest cap that a clamp may reach; without output nothing is clamped."""
        return request.floor(output_tokens_min, reasoning=reasoning)

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Return the request as it came: there is nothing to hold it to."""
        if output_tokens:
            raise ValueError(f"a cap of {output_tokens} where there is no output")
        return Outgoing(body=request.document.text.encode(), changed=(), hides_usage=False)

    def reader(self, request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer; there is no stream to hide anything in."""
        if hides_usage:
            raise ValueError("embeddings are no stream")
        if not 200 <= status < 300:
            return self.errors(encoding)
        return JsonAnswer(EmbeddingMeter(_said, partial(_usage, reach=request.reach)), encoding)

    def errors(self, encoding: str) -> AnswerReader:
        """Return the reader of an answer that is no success."""
        return gemini_errors.reader(encoding)

    def error_body(self, status: int, _code: str, detail: str, spendguard: Mapping[str, Fact]) -> bytes:
        """Return an error of ours in Google's shape, with `detail` and `spendguard` beside it."""
        return gemini_errors.error_body(status, detail, spendguard)


class GeminiEmbeddingBatch(GeminiEmbedding):
    """The wire format of `models/{model}:batchEmbedContents`: several of the same in `requests`."""

    endpoint = "batchEmbedContents"

    def _requests(self, document: Document, asked: Asked) -> list[tuple[Document, str]]:
        for name in document.members:
            feature = f"gemini.embed:{name[:100]}"
            if name not in _BATCH_FIELDS and feature not in asked.policy.allow:
                raise unlisted(join_path("", name), "a field of batchEmbedContents", feature)
        requests = document.value("requests")
        if not isinstance(requests, list) or not requests or not all(isinstance(r, dict) for r in requests):
            raise MalformedError("requests", "a list of at least one request")
        places = document.elements("requests")
        return [(object_at(document.text, at), f"requests[{i}]") for i, (at, _) in enumerate(places)]


FORMATS = (GeminiEmbedding(), GeminiEmbeddingBatch())


class _Said(msgspec.Struct):
    """What an answer says that matters."""

    usageMetadata: msgspec.Raw = NULL  # noqa: N815 - Google's name
    error: msgspec.Raw = NULL


_answers = msgspec.json.Decoder(_Said)


def _said(body: bytes) -> Said:
    """Decode an answer, which names no model."""
    said = _answers.decode(body)
    return Said(usage=said.usageMetadata, error=said.error)


def _usage(report: bytes, reach: Collection[str]) -> Usage:
    """Read a report; raises UPSTREAM_FAILED where it cannot be true."""
    usage = read_usage(parse_object(report), reach=reach)
    if usage.output_tokens:
        raise absurd("output tokens of an embedding")
    return usage


def _read_one(one: Document, path: str, model: str, found: Content) -> int:
    """Read one request, return the bytes of its input; raise MALFORMED_REQUEST or UNBOUNDED_FEATURE."""
    one = canonical(one, EMBED_NAMES, path)
    check_fields(one, EMBED_FIELDS, "embed", found.policy, path)
    named = one.value("model")
    if named is not None and read_model(named, join_path(path, "model")) != model:
        raise MalformedError(join_path(path, "model"), f"the model of the path, {model}")
    found.content(one.value("content"), join_path(path, "content"))
    shown = [
        member
        for name, member in one.members.items()
        if member.value is not None and (name not in EMBED_FIELDS or EMBED_FIELDS[name].use is Use.INPUT)
    ]
    return tokens.normalised_input_bytes(shown)
