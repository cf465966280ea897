"""OpenAI `embeddings`: input alone is billed, and every part of it has a ceiling.

Owns reading and bounding requests and the usage in answers. Nothing is rewritten. Does no I/O and knows no
prices. Sources: the openai SDK 3.54.0, `types/embedding_create_params.py`, `create_embedding_response.py`.
"""

import msgspec

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import local_count, openai_endpoint
from spendguard_daemon.providers.answers import JsonAnswer
from spendguard_daemon.providers.contract import AnswerReader, Asked, Outgoing, Request
from spendguard_daemon.providers.embedding_answers import EmbeddingMeter, Said
from spendguard_daemon.providers.json_text import Json, parse, parse_object
from spendguard_daemon.providers.openai_endpoint import Endpoint
from spendguard_daemon.providers.openai_fields import (
    EMBEDDING_REQUEST_TOKENS_MAX,
    EMBEDDING_TOKENS_MAX,
    EMBEDDINGS_FIELDS,
)
from spendguard_daemon.providers.openai_usage import count
from spendguard_daemon.usage import InputBound, Limits, Usage, absurd

API = "openai.embeddings"
VALUES_MAX = EMBEDDING_REQUEST_TOKENS_MAX + 10_000
"""Most JSON values taken: every token id is one."""

_EXPECTED = "text or token ids, or a list of either"


class OpenAIEmbeddings(Endpoint):
    """The wire format of `POST /v1/embeddings`; satisfies `contract.Format`. `messages` counts the inputs."""

    endpoint = "embeddings"

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST with the path."""
        document = parse(asked.body, values_max=VALUES_MAX)
        openai_endpoint.check_fields(document, EMBEDDINGS_FIELDS, API, asked.policy)
        texts, token_lists = _inputs(document.value("input"))
        return Request(
            model=openai_endpoint.read_model(document),
            stream=False,
            choices=1,
            asked_output_tokens=None,
            asked_field=None,
            input_bytes=openai_endpoint.billed_bytes(document, EMBEDDINGS_FIELDS),
            messages=len(texts) + len(token_lists),
            tools=0,
            reach=frozenset(),
            wants_usage=True,
            service_tier="default",
            document=document.forgetting(openai_endpoint.billed_names(document, EMBEDDINGS_FIELDS)),
            capless=True,
            input_tokens_exact=sum(map(len, token_lists)) if token_lists else None,
        )

    def path(self, _request: Request) -> str:
        """Return the path below the provider's base URL."""
        return "/embeddings"

    def bounds(
        self, request: Request, limits: Limits, _state_tokens: int | None = None
    ) -> tuple[InputBound, ...]:
        """Return the bounds known offline, smallest first.

        The provider refuses, unbilled, an input above its window and a request above 300,000 tokens. Token
        ids are what is billed, one each; text has at most a token for each byte, and no framing.
        """
        each = max(EMBEDDING_TOKENS_MAX, limits.input_tokens_max)
        window = InputBound("window", min(request.messages * each, EMBEDDING_REQUEST_TOKENS_MAX))
        exact = request.input_tokens_exact
        bound = InputBound("bytes", request.input_bytes) if exact is None else InputBound("local", exact)
        return (bound, window) if bound.tokens <= window.tokens else (window,)

    def local_bound(
        self, asked: Asked, request: Request, limits: Limits, _state_tokens: int | None = None
    ) -> InputBound | None:
        """Return the tokens of the texts, each an input of its own; None where nobody can count."""
        if limits.encoding is None or request.input_tokens_exact is not None:
            return None
        texts, _ = _inputs(parse(asked.body, values_max=VALUES_MAX).value("input"))
        tokens = local_count.exact(texts, limits.encoding)
        return None if tokens is None else InputBound("local", tokens)

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Return the request as it came: there is nothing to hold it to."""
        if output_tokens:
            raise ValueError(f"a cap of {output_tokens} where there is no output")
        return Outgoing(body=request.document.text.encode(), changed=(), hides_usage=False)

    def reader(self, _request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer; there is no stream to hide anything in."""
        if hides_usage:
            raise ValueError("embeddings are no stream")
        return self.error_reader(status, encoding) or JsonAnswer(
            EmbeddingMeter(_answers.decode, _usage), encoding
        )


FORMAT = OpenAIEmbeddings()


_answers = msgspec.json.Decoder(Said)


def read_usage(report: dict[str, Json]) -> Usage:
    """Read a usage object; raises UPSTREAM_FAILED where it cannot be true."""
    usage = Usage(input_tokens=count(report, "prompt_tokens"))
    if usage.input_tokens < 1:
        raise absurd("prompt_tokens is 0: no input is empty")
    if count(report, "total_tokens", usage.input_tokens) != usage.input_tokens:
        raise absurd("total_tokens is not prompt_tokens")
    return usage


def _usage(report: bytes) -> Usage:
    return read_usage(parse_object(report))


def _inputs(value: Json) -> tuple[list[str], list[list[int]]]:
    """Return the inputs: texts, or lists of token ids."""
    if isinstance(value, str):
        return [value], []
    if not isinstance(value, list) or not value:
        raise MalformedError("input", _EXPECTED)
    if all(isinstance(one, str) for one in value):
        return value, []
    if all(_is_token(one) for one in value):
        return [], [value]
    if not all(isinstance(one, list) and one and all(map(_is_token, one)) for one in value):
        raise MalformedError("input", _EXPECTED)
    return [], value


def _is_token(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
