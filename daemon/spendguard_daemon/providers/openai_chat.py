"""OpenAI `chat/completions`: what a request can cost at most, and how it is held to that.

Owns reading, bounding and rewriting requests; `openai_answers` reads the answers, `openai_endpoint` has what
other endpoints share. Does no I/O and knows no prices. Invariant: what `rewrite` returns, read again, has the
same input bound and choices, and the cap that was asked of it.
"""

from collections.abc import Mapping

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import openai_answers, openai_bounds, openai_endpoint, splice
from spendguard_daemon.providers.contract import AnswerReader, Asked, Outgoing, Request
from spendguard_daemon.providers.fields import Field
from spendguard_daemon.providers.json_text import Document, parse
from spendguard_daemon.providers.openai_endpoint import OUTPUT_TOKENS_MAX, Change, Endpoint
from spendguard_daemon.providers.openai_fields import CHAT_FIELDS, CHAT_PARTS, MODALITIES, SERVICE_TIERS, Part
from spendguard_daemon.providers.openai_messages import read_messages, read_tools
from spendguard_daemon.providers.openai_parts import Found, one_of
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.usage import InputBound, Limits

API = "openai.chat"
CHOICES_MAX = 128

_CAP, _OLD_CAP = "max_completion_tokens", "max_tokens"


class OpenAIChat(Endpoint):
    """The wire format of `POST /v1/chat/completions`; satisfies `contract.Format`.

    Others speak it too. Theirs differ in what a request may hold (`fields`, `parts`, `modalities`, and, where
    any file may stand in an image's place, `image_types`), in the
    `tiers`, of which `plain_tier` is the default one (`pins_tier`: also where none is asked for), in
    whether their tokenizer may normalise the text first (`normalised`), in the fields that make the provider
    search (`searches`), and in their answers (`meter`, `errors`).
    """

    endpoint = "chat/completions"
    api = API
    fields: Mapping[str, Field] = CHAT_FIELDS
    parts: Mapping[str, Part] = CHAT_PARTS
    image_types: frozenset[str] | None = None
    modalities = MODALITIES
    tiers: Mapping[str, str] = SERVICE_TIERS
    plain_tier: str | None = "default"
    pins_tier = True
    normalised = False
    searches: tuple[str, ...] = ("web_search_options",)

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION, with the path."""
        document, stripped = self.opened(asked)
        model = openai_endpoint.read_model(document)
        stream, wants_usage = _streaming(document)
        asked_field, asked_cap = _asked_cap(document)
        choices = _choices(document)
        tier = openai_endpoint.read_tier(document, self.tiers)
        speaks = _speaks(document, self.modalities)
        found = self._content(document, asked.policy)
        writes = openai_endpoint.read_cache_options(document) or found.writes_cache
        return Request(
            model=model,
            stream=stream,
            choices=choices,
            asked_output_tokens=asked_cap,
            asked_field=asked_field,
            input_bytes=openai_endpoint.billed_bytes(document, self.fields, normalised=self.normalised),
            messages=found.messages,
            tools=found.tools,
            reach=frozenset(found.reach)
            | ({"cache_write"} if writes else set())
            | ({"output_audio"} if speaks else set()),
            wants_usage=wants_usage,
            service_tier=tier,
            document=document.forgetting(openai_endpoint.billed_names(document, self.fields)),
            media=found.media,
            foreign_state=found.stored,
            stripped=stripped,
        )

    def opened(self, asked: Asked) -> tuple[Document, tuple[str, ...]]:
        """Parse a body and check its fields; leave out searches, or refuse them: their uses have no limit.

        Returns also the names of what was left out.
        """
        document = parse(asked.body)
        openai_endpoint.check_fields(document, self.fields, self.api, asked.policy)
        self.refuse_unbounded(document, asked.policy)
        edits, names = openai_endpoint.search_edits(document, self.searches, self.api, asked.policy)
        return (parse(splice.apply(document.text, edits)) if edits else document), names

    def refuse_unbounded(self, _document: Document, _policy: Policy) -> None:
        """Refuse values of fields by which the cost has no bound; OpenAI's have none such."""

    def meter(self, request: Request) -> openai_answers.ChatMeter:
        """Return what reads the usage of one answer."""
        return openai_answers.ChatMeter(unsaid_tier=request.unsaid_tier)

    def _content(self, document: Document, policy: Policy) -> Found:
        found = Found(self.api, self.parts, policy, image_types=self.image_types)
        read_messages(document.value("messages"), found)
        read_tools(document.value("tools"), document.value("functions"), found)
        return found

    def path(self, _request: Request) -> str:
        """Return the path below the provider's base URL."""
        return "/chat/completions"

    def bounds(
        self, request: Request, limits: Limits, state_tokens: int | None = None
    ) -> tuple[InputBound, ...]:
        """Return the upper bounds of the input known offline, smallest first."""
        return openai_bounds.bounds(request, limits, state_tokens)

    def local_bound(
        self, asked: Asked, request: Request, limits: Limits, state_tokens: int | None = None
    ) -> InputBound | None:
        """Return the bound with the messages' texts counted in tokens; None where that cannot be done."""
        if limits.encoding is None:
            return None
        document, _ = self.opened(asked)
        texts = self._content(document, asked.policy).texts
        return openai_bounds.local_bound(request, limits, state_tokens, texts)

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Hold the request to `output_tokens` per choice, a pinned tier, and usage in its stream.

        Raises ValueError where that would raise the client's own cap: no change may cost the user more.
        """
        changes = [
            change
            for change in (
                openai_endpoint.set_cap(request, output_tokens, _CAP, _OLD_CAP),
                openai_endpoint.set_tier(request, self.plain_tier, unasked=self.pins_tier),
                _set_usage(request),
            )
            if change is not None
        ]
        return Outgoing(
            body=splice.apply(request.document.text, [edit for edit, _ in changes]),
            changed=(*(f"{name}: taken out" for name in request.stripped), *(said for _, said in changes)),
            hides_usage=request.stream and not request.wants_usage,
        )

    def reader(self, request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer: of an error, else of a stream where one was asked for."""
        return self.error_reader(status, encoding) or openai_answers.reader(
            stream=request.stream, hides_usage=hides_usage, encoding=encoding, meter=self.meter(request)
        )


FORMAT = OpenAIChat()


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
    return given[0], openai_endpoint.within(document.value(given[0]), given[0], 1, OUTPUT_TOKENS_MAX)


def _choices(document: Document) -> int:
    value = document.value("n")
    return 1 if value is None else openai_endpoint.within(value, "n", 1, CHOICES_MAX)


def _speaks(document: Document, known: frozenset[str]) -> bool:
    """Tell whether the answer may be audio, which has a rate of its own and is inside the cap."""
    modalities = document.value("modalities") or []
    if not all(one_of(modality, known) for modality in modalities):
        raise MalformedError("modalities", "a list of " + " and ".join(sorted(known)))
    return "audio" in modalities or document.value("audio") is not None


def _set_usage(request: Request) -> Change | None:
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
