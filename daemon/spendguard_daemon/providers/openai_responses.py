"""OpenAI `responses`: what a request can cost at most, and how it is held to that.

Owns reading, bounding and rewriting requests; `openai_items` and `openai_tools` read what is in them,
`openai_responses_answers` the answers. Does no I/O and knows no prices. Invariant: what `rewrite` returns,
read again, has the same input bound, passes and fees, and the cap that was asked of it.
"""

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import openai_bounds, openai_endpoint, openai_tools, splice
from spendguard_daemon.providers import openai_responses_answers as answers
from spendguard_daemon.providers.contract import AnswerReader, Asked, CountQuestion, Outgoing, Request
from spendguard_daemon.providers.json_text import Document, parse
from spendguard_daemon.providers.openai_endpoint import OUTPUT_TOKENS_MAX, Change, Endpoint
from spendguard_daemon.providers.openai_items import read_input, read_prompt
from spendguard_daemon.providers.openai_parts import Found, feature
from spendguard_daemon.providers.openai_responses_fields import (
    COUNTED_FIELDS,
    REASONING_MODES,
    RESPONSES_FIELDS,
    RESPONSES_PARTS,
)
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import SERVER_STATE_WINDOW, allow, unbounded
from spendguard_daemon.usage import InputBound, Limits

API = openai_tools.API
OUTPUT_TOKENS_MIN = 16
"""The least cap that the provider takes (issue 4, done 7)."""

TOOL_CALLS_MAX = 2**31 - 1

PASSES_PER_CALL = 2
"""How often the context may be read for each hosted tool call that the request is held to.

One is what a call takes. [sdk] max_tool_calls: "any further attempts to call a tool by the model will be
ignored"; whether the model reads its context again after one is not told, nor how often, so this is no proof.
"""

COUNT_PATH = "/responses/input_tokens"

_CAP, _CALLS = "max_output_tokens", "max_tool_calls"


class OpenAIResponses(Endpoint):
    """The wire format of `POST /v1/responses`; satisfies `contract.Format`."""

    endpoint = "responses"

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION, with the path."""
        document, stripped = _opened(asked)
        _refuse_unbounded(document, asked.policy)
        found = _content(document, asked.policy)
        cap = document.value(_CAP)
        asked_cap = None if cap is None else openai_endpoint.within(cap, _CAP, 1, OUTPUT_TOKENS_MAX)
        uses = _uses(document, asked.policy) if found.hosted else 0
        writes = openai_endpoint.read_cache_options(document) or found.writes_cache
        return Request(
            model=openai_endpoint.read_model(document),
            stream=document.value("stream") is True,
            choices=1,
            asked_output_tokens=asked_cap,
            asked_field=None if asked_cap is None else _CAP,
            input_bytes=openai_endpoint.billed_bytes(document, RESPONSES_FIELDS) + found.built_in_bytes,
            messages=found.messages,
            tools=found.tools,
            reach=frozenset(found.reach) | ({"cache_write"} if writes else set()),
            wants_usage=True,
            service_tier=openai_endpoint.read_tier(document),
            document=document.forgetting(openai_endpoint.billed_names(document, RESPONSES_FIELDS)),
            least_output_tokens=OUTPUT_TOKENS_MIN,
            media=found.media,
            state_ids=_state_ids(document, asked.policy),
            foreign_state=found.stored or _may_outgrow(document),
            leaves_out=_leaves_out(document),
            passes=1 + PASSES_PER_CALL * uses,
            events=openai_tools.fees(sorted(found.hosted), uses),
            stripped=stripped,
        )

    def path(self, _request: Request) -> str:
        """Return the path below the provider's base URL."""
        return "/responses"

    def bounds(
        self, request: Request, limits: Limits, state_tokens: int | None = None
    ) -> tuple[InputBound, ...]:
        """Return the upper bounds of the input known offline, smallest first."""
        return openai_bounds.bounds(request, limits, state_tokens)

    def local_bound(
        self, asked: Asked, request: Request, limits: Limits, state_tokens: int | None = None
    ) -> InputBound | None:
        """Return the bound with instructions and texts counted in tokens; None where that cannot be done."""
        if limits.encoding is None:
            return None
        document, _ = _opened(asked)
        texts = _content(document, asked.policy).texts
        return openai_bounds.local_bound(request, limits, state_tokens, texts)

    def count_question(self, asked: Asked, request: Request) -> CountQuestion | None:
        """Return the same input for the count endpoint; None where the call may see another.

        That is where the model reads several times, and where input may change in between: a conversation,
        a template, what is fetched from an address.
        """
        document, _ = _opened(asked)
        mutable = any(document.value(name) is not None for name in ("conversation", "prompt"))
        if request.passes > 1 or mutable or _content(document, asked.policy).remote:
            return None
        members = [
            f'"{name}":{document.text[member.value_start : member.value_end]}'
            for name in COUNTED_FIELDS
            if (member := document.members.get(name)) is not None and member.value is not None
        ]
        return CountQuestion(COUNT_PATH, ("{" + ",".join(members) + "}").encode())

    def count_bound(self, _request: Request, status: int, body: bytes) -> InputBound | None:
        """Return the bound that a count gives, None for no answer.

        The provider calls its count exact; the margin is for what it may change on the day.
        """
        count = answers.read_count(status, body)
        return None if count is None else InputBound("counted", count + max(16, -(-count // 100)))

    def floor_output_tokens(self, request: Request, *, output_tokens_min: int, reasoning: bool) -> int:
        """Return the smallest cap that a clamp may reach; never above what was asked."""
        least = max(output_tokens_min, OUTPUT_TOKENS_MIN)
        return super().floor_output_tokens(request, output_tokens_min=least, reasoning=reasoning)

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Hold the request to `output_tokens`, a pinned tier, and its limit of hosted tool calls.

        Raises ValueError where that would raise the client's own cap: no change may cost the user more.
        """
        changes = [
            change
            for change in (
                openai_endpoint.set_cap(request, output_tokens, _CAP),
                openai_endpoint.set_tier(request),
                _set_calls(request),
            )
            if change is not None
        ]
        return Outgoing(
            body=splice.apply(request.document.text, [edit for edit, _ in changes]),
            changed=(
                *(f"{name}: taken out" for name in request.stripped),
                *(said for _, said in changes),
            ),
            hides_usage=False,
        )

    def reader(self, request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer: of an error, else of a stream where one was asked for."""
        return openai_endpoint.error_reader(status, encoding) or answers.reader(
            stream=request.stream, hides_usage=hides_usage, encoding=encoding
        )


FORMAT = OpenAIResponses()


def _opened(asked: Asked) -> tuple[Document, tuple[str, ...]]:
    """Parse a body, check its fields, and leave out the hosted tools if the policy says so."""
    document = parse(asked.body)
    openai_endpoint.check_fields(document, RESPONSES_FIELDS, API, asked.policy)
    edits, stripped = openai_tools.strip(document, asked.policy)
    return (parse(splice.apply(document.text, edits)) if stripped else document), stripped


def _content(document: Document, policy: Policy) -> Found:
    found = Found(API, RESPONSES_PARTS, policy)
    read_input(document.value("input"), found)
    read_prompt(document.value("prompt"), found)
    openai_tools.read_tools(document.value("tools"), "tools", found)
    instructions = document.value("instructions")
    if instructions is not None:
        found.texts.append(instructions)
        found.messages += 1
    conversation = document.value("conversation")
    if conversation is not None:
        found.keep("conversation", "a conversation kept by the provider")
    return found


def _refuse_unbounded(document: Document, policy: Policy) -> None:
    """Refuse what runs on after the answer, or makes passes that no limit of the request covers."""
    background = feature(API, "field", "background")
    if document.value("background") is True and background not in policy.allow:
        # Its usage comes only with a later request, so where it is let through it is charged at its hold.
        raise unbounded("background", background, allow(background))
    if document.value("context_management"):
        raise unbounded("context_management", "compaction, which is a pass of its own")
    mode = (document.value("reasoning") or {}).get("mode")
    if mode is not None and not (isinstance(mode, str) and mode in REASONING_MODES):
        raise unbounded("reasoning.mode", "a reasoning mode other than standard")


def _state_ids(document: Document, policy: Policy) -> tuple[str, ...]:
    """Return the earlier answer that the request goes on from, if the policy takes such."""
    previous = document.value("previous_response_id")
    if previous is None:
        return ()
    if policy.server_state == "refuse":
        raise unbounded("previous_response_id", "an earlier answer", setting=SERVER_STATE_WINDOW)
    if document.value("conversation") is not None:
        raise MalformedError("conversation", "only one of conversation and previous_response_id")
    return (previous,)


def _leaves_out(document: Document) -> bool:
    """Tell whether this call may leave out what a later one, by the model's default, reads again.

    [sdk] shared_params/reasoning.py: the default is to read the reasoning of all turns for some models.
    """
    context = (document.value("reasoning") or {}).get("context")
    return document.value("truncation") == "auto" or context not in (None, "auto", "all_turns")


def _may_outgrow(document: Document) -> bool:
    """Tell whether earlier turns may come back larger than they were read and written.

    That is where an earlier call may have dropped some of them, or the reasoning in them, to fit its window.
    """
    if document.value("previous_response_id") is None:
        return False
    context = (document.value("reasoning") or {}).get("context")
    return document.value("truncation") == "auto" or context == "all_turns"


def _uses(document: Document, policy: Policy) -> int:
    """Return how many calls of hosted tools the request is held to."""
    asked = document.value(_CALLS)
    if asked is None:
        return policy.hosted_tool_uses
    return min(openai_endpoint.within(asked, _CALLS, 0, TOOL_CALLS_MAX), policy.hosted_tool_uses)


def _set_calls(request: Request) -> Change | None:
    uses = (request.passes - 1) // PASSES_PER_CALL
    asked = request.document.value(_CALLS)
    if uses == 0 or asked == uses:
        return None
    edit = splice.set_member(request.document, _CALLS, str(uses))
    return edit, f"{_CALLS}: {'none' if asked is None else asked} -> {uses}"
