"""Gemini `generateContent`: what a request can cost at most, and how it is held to that.

Owns reading, bounding and rewriting requests. `gemini_fields` lists what they may hold; `gemini_body`,
`gemini_content`, `gemini_tools` and `gemini_options` read it, `gemini_answers` the answers. Does no I/O and
knows no prices. Invariant: what `rewrite` returns, read again, has the same bounds and rates, and the cap
that was asked of it.
"""

from collections.abc import Mapping

from spendguard_daemon.errors import Fact
from spendguard_daemon.providers import gemini_answers, gemini_count, gemini_errors, splice, tokens
from spendguard_daemon.providers.contract import AnswerReader, Asked, CountQuestion, Outgoing, Request
from spendguard_daemon.providers.fields import Use
from spendguard_daemon.providers.gemini_body import Body, read_body
from spendguard_daemon.providers.gemini_content import ANY_MEDIA, Content
from spendguard_daemon.providers.gemini_fields import FIELD_NAMES, FIELDS
from spendguard_daemon.providers.gemini_names import canonical
from spendguard_daemon.providers.gemini_options import (
    check_fields,
    config_of,
    read_options,
    read_tier,
    unasked_rates,
)
from spendguard_daemon.providers.gemini_tools import bills_per_prompt, plan_tools
from spendguard_daemon.providers.json_text import Document, Member, parse
from spendguard_daemon.providers.openai_endpoint import OUTPUT_TOKENS_MAX
from spendguard_daemon.providers.refusals import unbounded
from spendguard_daemon.usage import InputBound, Limits

BROUGHT_BACK = (
    "content-type",
    "content-encoding",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "server-timing",
    "x-gemini-service-tier",
)
"""The headers of Google's answers that a client may see: no cookies, no project."""

_CAP = "maxOutputTokens"
_KEPT = {"cachedContent": "gemini.field:cachedContent", "continuationToken": "gemini.field:continuationToken"}
_READ_AND_DONE = frozenset(name for name, known in FIELDS.items() if known.use is Use.INPUT)
_SSE = "alt=sse"


class GeminiContent:
    """The wire format of `models/{model}:generateContent` and its stream; satisfies `contract.Format`."""

    endpoint = "generateContent"
    brought_back = BROUGHT_BACK

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION, with the path."""
        body = read_body(asked)
        document = body.document
        check_fields(document, FIELDS, "field", asked.policy)
        plan = plan_tools(document, body.model, asked.policy)
        if plan.edits:
            document = canonical(parse(splice.apply(document.text, plan.edits)), FIELD_NAMES)
        options = read_options(config_of(document), asked.policy)
        content = _content(document, asked)
        return Request(
            model=body.model,
            stream=body.form != "json",
            choices=options.choices,
            asked_output_tokens=options.output_tokens,
            asked_field=None if options.output_tokens is None else f"generationConfig.{_CAP}",
            input_bytes=_input_bytes(document, options.shown) + content.tokens,
            messages=content.messages,
            tools=plan.declarations,
            reach=options.reach | content.reach | unasked_rates(body.model),
            wants_usage=True,
            service_tier=read_tier(document.value("serviceTier")),
            document=document.forgetting(_READ_AND_DONE),
            floor_output_tokens=options.floor_output_tokens,
            media=content.media,
            foreign_state=content.foreign,
            passes=plan.passes,
            output_passes=plan.passes,
            events=plan.events,
            stripped=plan.stripped,
            headers=_headers(body),
            query=_SSE if body.form == "sse" else "",
            changed=(*body.changed, *(f"{name}: taken out" for name in plan.stripped)),
        )

    def path(self, request: Request) -> str:
        """Return the path below the provider's base URL, with its query."""
        verb = "streamGenerateContent" if request.stream else "generateContent"
        query = f"?{request.query}" if request.query else ""
        return f"/v1beta/models/{request.model}:{verb}{query}"

    def auth(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return the header that carries the operator's key."""
        return (("x-goog-api-key", key),)

    def bounds(
        self, request: Request, limits: Limits, _state_tokens: int | None = None
    ) -> tuple[InputBound, ...]:
        """Return the upper bounds of the input known offline, smallest first.

        Raises UNBOUNDED_FEATURE for images where the card has no cap. Other media, and what lies elsewhere,
        are bounded by the window alone, and so is each pass of a grounded prompt.
        """
        return bounds(request, limits)

    def local_bound(
        self, _asked: Asked, _request: Request, _limits: Limits, _state_tokens: int | None = None
    ) -> InputBound | None:
        """Return nothing: no tokenizer of Gemini is at hand."""
        return None

    def count_question(self, _asked: Asked, request: Request) -> CountQuestion | None:
        """Return the question; None where it may be about another input: tools at Google, files elsewhere."""
        if request.passes > 1 or request.foreign_state:
            return None
        document = canonical(parse(request.document.text.encode()), FIELD_NAMES)
        return CountQuestion(gemini_count.path(request.model), gemini_count.question(document, request.model))

    def count_bound(self, _request: Request, status: int, body: bytes) -> InputBound | None:
        """Return the bound that the count endpoint's answer gives, margin included."""
        return gemini_count.answer_bound(status, body)

    def floor_output_tokens(self, request: Request, *, output_tokens_min: int, reasoning: bool) -> int:
        """Return the smallest cap that a clamp may reach (design 5.3); never above what was asked."""
        return request.floor(output_tokens_min, reasoning=reasoning)

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Hold the request to `output_tokens` per candidate and to the standard tier.

        Raises ValueError where that would raise the client's own cap: no change may cost the user more.
        """
        changes = [
            change for change in (_set_cap(request, output_tokens), _set_tier(request)) if change is not None
        ]
        return Outgoing(
            body=splice.apply(request.document.text, [edit for edit, _ in changes]),
            changed=(*request.changed, *(said for _, said in changes)),
            hides_usage=False,
        )

    def reader(self, request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer: of an error, else of the form in which it was asked for."""
        if hides_usage:
            raise ValueError("Gemini's usage is never ours to hide")
        if not 200 <= status < 300:
            return self.errors(encoding)
        form = ("sse" if request.query == _SSE else "array") if request.stream else "json"
        return gemini_answers.reader(
            form=form,
            choices=request.choices,
            per_prompt=bills_per_prompt(request.model),
            encoding=encoding,
            reach=request.reach,
            unsaid_tier=request.unsaid_tier,
        )

    def errors(self, encoding: str) -> AnswerReader:
        """Return the reader of an answer that is no success."""
        return gemini_errors.reader(encoding)

    def error_body(self, status: int, _code: str, detail: str, spendguard: Mapping[str, Fact]) -> bytes:
        """Return an error of ours in Google's shape, with `detail` and `spendguard` beside it."""
        return gemini_errors.error_body(status, detail, spendguard)


FORMAT = GeminiContent()

_Change = tuple[splice.Edit, str]


def bounds(request: Request, limits: Limits) -> tuple[InputBound, ...]:
    """Return the bounds of an input of contents, smallest first."""
    window = min(limits.input_tokens_max, limits.context_tokens)
    media, pace = request.media, limits.audio_bytes_per_token
    unsized = media.documents or (media.audio_bytes > 0 and pace is None)
    if request.passes > 1 or request.foreign_state or unsized:
        return (InputBound("window", request.passes * window),)
    if media.images and limits.image_tokens_max is None:
        raise unbounded("contents", f"an image for {request.model}")
    images = media.images * (limits.image_tokens_max or 0)
    audio = -(-media.audio_bytes // pace) if pace else 0
    text = tokens.byte_bound(
        limits, input_bytes=request.input_bytes, messages=request.messages, tools=request.tools
    )
    return tokens.ladder(limits, text + images + audio)


def _content(document: Document, asked: Asked) -> Content:
    found = Content(asked.policy)
    found.contents(document.value("contents"), "contents")
    found.system(document.value("systemInstruction"))
    for name, feature in _KEPT.items():
        if document.value(name) is not None:
            found.keep(name, feature)
            found.reach |= ANY_MEDIA
    return found


def _input_bytes(document: Document, shown: tuple[Member, ...]) -> int:
    """Return the bytes that may be billed as input, also of members that only an operator let through."""
    members = [
        member
        for name, member in document.members.items()
        if member.value is not None and (name not in FIELDS or FIELDS[name].use is Use.INPUT)
    ]
    return tokens.normalised_input_bytes((*members, *shown))


def _headers(body: Body) -> tuple[tuple[str, str], ...]:
    """Return the header by which an array is asked for where a stream of events would be."""
    return (("accept", "application/json"),) if body.form == "array" else ()


def _set_cap(request: Request, output_tokens: int) -> _Change | None:
    asked, document = request.asked_output_tokens, request.document
    if not 1 <= output_tokens <= (asked or OUTPUT_TOKENS_MAX):
        raise ValueError(f"a cap of {output_tokens} where {asked} was asked")
    if asked == output_tokens:
        return None
    config = config_of(document)
    if config is None:
        edit = splice.set_member(document, "generationConfig", f'{{"{_CAP}":{output_tokens}}}')
    else:
        edit = splice.set_member(config, _CAP, str(output_tokens))
    return edit, f"generationConfig.{_CAP}: {'none' if asked is None else asked} -> {output_tokens}"


def _set_tier(request: Request) -> _Change | None:
    """Pin the tier: where it is left open, what a project is set to could be dearer."""
    tier = request.document.value("serviceTier")
    if request.service_tier != "default" or tier == "standard":
        return None
    edit = splice.set_member(request.document, "serviceTier", '"standard"')
    return edit, f"serviceTier: {tier or 'none'} -> standard"
