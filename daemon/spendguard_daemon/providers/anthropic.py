"""Anthropic `messages`: what a request can cost at most, and how it is held to that.

Owns reading, bounding and rewriting requests. `anthropic_fields` lists what they may hold;
`anthropic_content`, `anthropic_tools` and `anthropic_options` read it, `anthropic_answers` the answers. Does
no I/O and knows no prices. Invariant: what `rewrite` returns, read again, has the same bounds and rates, and
the cap that was asked of it.
"""

from collections.abc import Mapping
from dataclasses import replace

from spendguard_daemon.errors import Fact, MalformedError
from spendguard_daemon.providers import (
    anthropic_answers,
    anthropic_betas,
    anthropic_count,
    anthropic_errors,
    splice,
    tokens,
)
from spendguard_daemon.providers.anthropic_content import Content, cache_rate, read_content
from spendguard_daemon.providers.anthropic_fields import FIELDS
from spendguard_daemon.providers.anthropic_options import GLOBAL, US, Options, read_options, takes_geography
from spendguard_daemon.providers.anthropic_tools import ToolPlan, plan_tools
from spendguard_daemon.providers.contract import AnswerReader, Asked, CountQuestion, Media, Outgoing, Request
from spendguard_daemon.providers.fields import Use
from spendguard_daemon.providers.json_text import Document, Member, join_path, kind_of, parse
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import unbounded, unlisted
from spendguard_daemon.usage import InputBound, Limits

PATH = "/v1/messages"

BROUGHT_BACK = (
    "content-type",
    "content-encoding",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "anthropic-ratelimit-",
)
"""The headers of Anthropic's answers that a client may see: no cookies, organisation or workspace."""

_CAP = "max_tokens"
_READ_AND_DONE = frozenset(name for name, known in FIELDS.items() if known.use is Use.INPUT)
"""Members whose values nobody needs once they were bounded; they may be nearly the whole body."""


class AnthropicMessages:
    """The wire format of `POST /v1/messages`; satisfies `contract.Format`."""

    endpoint = "messages"
    brought_back = BROUGHT_BACK

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION, with the path."""
        document = parse(asked.body)
        _check_fields(document, asked.policy)
        plan = plan_tools(document, asked.policy)
        if plan.edits:
            document = parse(splice.apply(document.text, plan.edits))
        options = read_options(document, asked.policy)
        content = read_content(document.value("messages"), document.value("system"), asked.policy)
        headers, betas_left_out = anthropic_betas.read_headers(asked.headers, asked.policy)
        tools = document.value("tools") or []
        return Request(
            model=options.model,
            stream=document.value("stream") is True,
            choices=1,
            asked_output_tokens=options.output_tokens,
            asked_field=_CAP,
            input_bytes=_input_bytes(document, content, plan, options),
            messages=content.messages,
            tools=len(tools),
            reach=_reach(document, content),
            wants_usage=True,
            service_tier="default",
            document=document.forgetting(_READ_AND_DONE),
            floor_output_tokens=options.floor_output_tokens,
            least_output_tokens=options.least_output_tokens,
            media=Media(images=content.images, documents=content.documents),
            foreign_state=content.foreign,
            passes=plan.passes,
            output_passes=plan.passes,
            events=plan.events,
            modifiers=options.modifiers,
            stripped=(*plan.stripped, *betas_left_out),
            headers=headers,
            query=anthropic_count.beta_query(asked),
            changed=plan.changed,
        )

    def path(self, request: Request) -> str:
        """Return the path below the provider's base URL, with its query."""
        return f"{PATH}?{request.query}" if request.query else PATH

    def auth(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return the header that carries the operator's key."""
        return (("x-api-key", key),)

    def bounds(
        self, request: Request, limits: Limits, _state_tokens: int | None = None
    ) -> tuple[InputBound, ...]:
        """Return the upper bounds of the input known offline, smallest first.

        Raises UNBOUNDED_FEATURE for images where the card has no cap. Files, and what lies at the provider,
        are bounded by the window alone, and so is each pass of a loop with hosted tools.
        """
        if anthropic_betas.opens_1m(request.headers):
            least = anthropic_betas.CONTEXT_1M_TOKENS
            limits = replace(
                limits,
                input_tokens_max=max(least, limits.input_tokens_max),
                context_tokens=max(least, limits.context_tokens),
            )
        window = min(limits.input_tokens_max, limits.context_tokens)
        if request.passes > 1 or request.media.documents or request.foreign_state:
            return (InputBound("window", request.passes * window),)
        images = request.media.images
        if images and limits.image_tokens_max is None:
            raise unbounded("messages", f"an image for {request.model}")
        bound = tokens.byte_bound(
            limits, input_bytes=request.input_bytes, messages=request.messages, tools=request.tools
        )
        return tokens.ladder(limits, bound + images * (limits.image_tokens_max or 0))

    def local_bound(
        self, _asked: Asked, _request: Request, _limits: Limits, _state_tokens: int | None = None
    ) -> InputBound | None:
        """Return nothing: Anthropic's tokenizer is not public."""
        return None

    def count_question(self, asked: Asked, request: Request) -> CountQuestion | None:
        """Return the question; None for what the endpoint does not take: hosted tools, files elsewhere."""
        if request.passes > 1 or request.foreign_state:
            return None
        document = parse(request.document.text.encode())
        content = read_content(document.value("messages"), document.value("system"), asked.policy)
        if content.remote:
            return None
        query = f"?{request.query}" if request.query else ""
        return CountQuestion(anthropic_count.PATH + query, anthropic_count.question(document))

    def count_bound(self, _request: Request, status: int, body: bytes) -> InputBound | None:
        """Return the bound that the count endpoint's answer gives, margin included."""
        return anthropic_count.answer_bound(status, body)

    def floor_output_tokens(self, request: Request, *, output_tokens_min: int, reasoning: bool) -> int:
        """Return the smallest cap that a clamp may reach (design 5.3); never above what was asked."""
        return request.floor(output_tokens_min, reasoning=reasoning)

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Hold the request to `output_tokens`, the standard tier, and a geography whose rate is known.

        Raises ValueError where that would raise the client's own cap: no change may cost the user more.
        """
        changes = [
            change
            for change in (_set_cap(request, output_tokens), _set_tier(request), _set_geo(request))
            if change is not None
        ]
        return Outgoing(
            body=splice.apply(request.document.text, [edit for edit, _ in changes]),
            changed=(*request.changed, *(said for _, said in changes)),
            hides_usage=False,
        )

    def reader(self, request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer: of an error, else of a stream where one was asked for."""
        if hides_usage:
            raise ValueError("Anthropic's usage is never ours to hide")
        if not 200 <= status < 300:
            return self.errors(encoding)
        writes_1h = "cache_write_1h" in request.reach
        return anthropic_answers.reader(stream=request.stream, writes_1h=writes_1h, encoding=encoding)

    def errors(self, encoding: str) -> AnswerReader:
        """Return the reader of an answer that is no success."""
        return anthropic_errors.reader(encoding)

    def error_body(self, status: int, _code: str, detail: str, spendguard: Mapping[str, Fact]) -> bytes:
        """Return an error of ours in Anthropic's shape, with `detail` and `spendguard` beside it."""
        return anthropic_errors.error_body(status, detail, spendguard)


FORMAT = AnthropicMessages()

_Change = tuple[splice.Edit, str]


def _check_fields(document: Document, policy: Policy) -> None:
    for name, member in document.members.items():
        known, feature = FIELDS.get(name), f"anthropic.messages.field:{name}"
        if known is None:
            if feature not in policy.allow:
                raise unlisted(join_path("", name), "a field of messages whose cost is known", feature)
        elif member.value is None:
            continue
        elif known.use is Use.REFUSED:
            raise unbounded(name, feature)
        elif kind_of(member.value) not in known.kinds:
            raise MalformedError(name, " or ".join(known.kinds))


def _input_bytes(document: Document, content: Content, plan: ToolPlan, options: Options) -> int:
    """Return what may be billed as input: the bytes of what is shown, and the allowances beyond them."""
    shown = [
        member
        for name, member in document.members.items()
        if member.value is not None and (name not in FIELDS or FIELDS[name].use is Use.INPUT)
    ]
    counted = tokens.normalised_input_bytes(shown) - content.uncounted_bytes
    tools = document.value("tools")
    if content.references and tools:
        # A tool named in the conversation is shown again there; which one, is not ours to look up.
        largest = max(tokens.normalised_input_bytes([Member(tool, 0, 0, 0)]) for tool in tools)
        counted += content.references * (largest + tokens.number_bytes(document.members["tools"]))
    return counted + content.tokens + plan.injected_tokens + options.shown_tokens


def _reach(document: Document, content: Content) -> frozenset[str]:
    """Return the rates beyond plain input and output: cache writes, where the client marked anything."""
    top = {name: member.value for name, member in document.members.items() if name == "cache_control"}
    holders = [(top, ""), *((tool, f"tools[{i}]") for i, tool in enumerate(document.value("tools") or []))]
    rates = {rate for holder, path in holders if (rate := cache_rate(holder, path)) is not None}
    return frozenset(rates | content.reach)


def _set_cap(request: Request, output_tokens: int) -> _Change | None:
    asked = request.asked_output_tokens or 0
    if output_tokens == asked:
        return None
    if not 1 <= output_tokens < asked:
        raise ValueError(f"a cap of {output_tokens} where {asked} was asked")
    edit = splice.set_member(request.document, _CAP, str(output_tokens))
    return edit, f"{_CAP}: {asked} -> {output_tokens}"


def _set_tier(request: Request) -> _Change | None:
    tier = request.document.value("service_tier")
    if tier == "standard_only":
        return None
    edit = splice.set_member(request.document, "service_tier", '"standard_only"')
    return edit, f"service_tier: {tier or 'none'} -> standard_only"


def _set_geo(request: Request) -> _Change | None:
    """Pin the geography: absent, it is the workspace's default, which may bill at the dearer rate."""
    named = request.document.value("inference_geo") is not None
    if named or US in request.modifiers or not takes_geography(request.model):
        return None
    edit = splice.set_member(request.document, "inference_geo", f'"{GLOBAL}"')
    return edit, f"inference_geo: none -> {GLOBAL}"
