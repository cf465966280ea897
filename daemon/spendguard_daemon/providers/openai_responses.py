"""OpenAI `responses`: what a request can cost at most, and how it is held to that.

Owns reading, bounding and rewriting requests; `openai_items`, `openai_tools` and `openai_state` read what is
in them, `openai_responses_answers` the answers. Does no I/O and knows no prices. Invariant: what `rewrite`
returns, read again, has the same input bound, passes and fees, and the cap that was asked of it.
"""

from collections.abc import Mapping, Sequence

from spendguard_daemon.providers import openai_bounds, openai_endpoint, openai_state, openai_tools, splice
from spendguard_daemon.providers import openai_responses_answers as answers
from spendguard_daemon.providers.contract import AnswerReader, Asked, CountQuestion, Outgoing, Request
from spendguard_daemon.providers.fields import Field
from spendguard_daemon.providers.json_text import Document, parse
from spendguard_daemon.providers.openai_endpoint import OUTPUT_TOKENS_MAX, Change, Endpoint
from spendguard_daemon.providers.openai_fields import SERVICE_TIERS, Part
from spendguard_daemon.providers.openai_items import read_input, read_prompt
from spendguard_daemon.providers.openai_parts import Found, feature
from spendguard_daemon.providers.openai_responses_fields import (
    COUNTED_FIELDS,
    REASONING_MODES,
    RESPONSES_FIELDS,
    RESPONSES_PARTS,
    TOOLS,
)
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import allow, unbounded
from spendguard_daemon.usage import InputBound, Limits

API = "openai.responses"
OUTPUT_TOKENS_MIN = 16
"""The least cap that the provider takes (issue 4, done 7)."""

TOOL_CALLS_MAX = 2**31 - 1

PASSES_PER_CALL = 2
"""How often the context may be read for each hosted tool call that the request is held to.

One is what a call takes. [sdk] max_tool_calls: "any further attempts to call a tool by the model will be
ignored"; whether the model reads its context again after one is not told, nor how often, so this is no proof.
"""

COUNT_PATH = "/responses/input_tokens"

_CAP = "max_output_tokens"


class OpenAIResponses(Endpoint):
    """The wire format of `POST /v1/responses`; satisfies `contract.Format`.

    Others speak it too. Theirs differ in what a request may hold (`fields`, `parts`, `table` of tools,
    `searches`), in the `tiers`, of which `plain_tier` is the default one (`pins_tier`: also where none is
    asked for), in the field that limits hosted tools (`uses_field`, `hold_uses`), in whether the cap may be
    for each round of these alone (`cap_per_pass`), in whether their tokenizer may normalise the text first,
    in their least cap, and in their answers (`meter`, `errors`). `counts`: there is a free count endpoint.
    """

    endpoint = "responses"
    api = API
    fields: Mapping[str, Field] = RESPONSES_FIELDS
    parts: Mapping[str, Part] = RESPONSES_PARTS
    table = TOOLS
    searches: tuple[str, ...] = ()
    tiers: Mapping[str, str] = SERVICE_TIERS
    plain_tier: str | None = "default"
    pins_tier = True
    uses_field, uses_min = "max_tool_calls", 0
    cap_per_pass = False
    normalised = False
    least_output_tokens = OUTPUT_TOKENS_MIN
    counts = True

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION, with the path."""
        document, stripped = self.opened(asked)
        self.refuse_unbounded(document, asked.policy)
        found = self._content(document, asked.policy)
        cap = document.value(_CAP)
        asked_cap = None if cap is None else openai_endpoint.within(cap, _CAP, 1, OUTPUT_TOKENS_MAX)
        passes = 1 + PASSES_PER_CALL * self._uses(document, asked.policy) if found.hosted else 1
        writes = openai_endpoint.read_cache_options(document) or found.writes_cache
        return Request(
            model=openai_endpoint.read_model(document),
            stream=document.value("stream") is True,
            choices=1,
            asked_output_tokens=asked_cap,
            asked_field=None if asked_cap is None else _CAP,
            input_bytes=openai_endpoint.billed_bytes(document, self.fields, normalised=self.normalised)
            + found.built_in_bytes,
            messages=found.messages,
            tools=found.tools,
            reach=frozenset(found.reach) | ({"cache_write"} if writes else set()),
            wants_usage=True,
            service_tier=openai_endpoint.read_tier(document, self.tiers),
            document=document.forgetting(openai_endpoint.billed_names(document, self.fields)),
            least_output_tokens=self.least_output_tokens,
            media=found.media,
            state_ids=openai_state.state_ids(document, asked.policy),
            foreign_state=found.stored or openai_state.may_outgrow(document),
            leaves_out=openai_state.leaves_out(document),
            passes=passes,
            output_passes=passes if self.cap_per_pass else 1,
            events=openai_tools.fees(sorted(found.hosted), passes // PASSES_PER_CALL, self.table),
            stripped=stripped,
        )

    def opened(self, asked: Asked) -> tuple[Document, tuple[str, ...]]:
        """Parse a body, check its fields, and leave out hosted tools and searches if the policy says so."""
        document = parse(asked.body)
        openai_endpoint.check_fields(document, self.fields, self.api, asked.policy)
        searches, names = openai_endpoint.search_edits(document, self.searches, self.api, asked.policy)
        tools, stripped = openai_tools.strip(document, asked.policy, self.api, self.table)
        edits = [*tools, *searches]
        return (parse(splice.apply(document.text, edits)) if edits else document), (*stripped, *names)

    def refuse_unbounded(self, document: Document, policy: Policy) -> None:
        """Refuse what runs on after the answer, or makes passes that no limit of the request covers."""
        background = feature(self.api, "field", "background")
        if document.value("background") is True and background not in policy.allow:
            # Its usage comes only with a later request, so where it is let through it is charged at its hold.
            raise unbounded("background", background, allow(background))
        if document.value("context_management"):
            raise unbounded("context_management", "compaction, which is a pass of its own")
        mode = (document.value("reasoning") or {}).get("mode")
        if mode is not None and not (isinstance(mode, str) and mode in REASONING_MODES):
            raise unbounded("reasoning.mode", "a reasoning mode other than standard")

    def meter(self, request: Request) -> answers.ResponsesMeter:
        """Return what reads the usage of one answer."""
        return answers.ResponsesMeter(unsaid_tier=request.unsaid_tier)

    def _content(self, document: Document, policy: Policy) -> Found:
        found = Found(self.api, self.parts, policy, self.table)
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

    def _uses(self, document: Document, policy: Policy) -> int:
        """Return how many uses of hosted tools the request is held to."""
        asked = document.value(self.uses_field)
        if asked is None:
            return policy.hosted_tool_uses
        return min(
            openai_endpoint.within(asked, self.uses_field, self.uses_min, TOOL_CALLS_MAX),
            policy.hosted_tool_uses,
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
        document, _ = self.opened(asked)
        texts = self._content(document, asked.policy).texts
        return openai_bounds.local_bound(request, limits, state_tokens, texts)

    def count_question(self, asked: Asked, request: Request) -> CountQuestion | None:
        """Return the same input for the count endpoint; None where the call may see another.

        That is where the model reads several times, and where input may change in between: a conversation,
        a template, what is fetched from an address.
        """
        if not self.counts or request.passes > 1:
            return None
        document, _ = self.opened(asked)
        mutable = any(document.value(name) is not None for name in ("conversation", "prompt"))
        if mutable or self._content(document, asked.policy).remote:
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
        least = max(output_tokens_min, self.least_output_tokens)
        return super().floor_output_tokens(request, output_tokens_min=least, reasoning=reasoning)

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Hold the request to `output_tokens`, a pinned tier, and its limit of hosted tool calls.

        Raises ValueError where that would raise the client's own cap: no change may cost the user more.
        """
        changes = [
            change
            for change in (
                openai_endpoint.set_cap(request, output_tokens, _CAP),
                openai_endpoint.set_tier(request, self.plain_tier, unasked=self.pins_tier),
                *self.hold_uses(request),
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

    def hold_uses(self, request: Request) -> Sequence[Change | None]:
        """Return the changes that hold the request to its number of uses of hosted tools."""
        uses = (request.passes - 1) // PASSES_PER_CALL
        asked, name = request.document.value(self.uses_field), self.uses_field
        if uses == 0 or asked == uses:
            return ()
        edit = splice.set_member(request.document, name, str(uses))
        return ((edit, f"{name}: {'none' if asked is None else asked} -> {uses}"),)

    def reader(self, request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer: of an error, else of a stream where one was asked for."""
        return self.error_reader(status, encoding) or answers.reader(
            stream=request.stream, hides_usage=hides_usage, encoding=encoding, meter=self.meter(request)
        )


FORMAT = OpenAIResponses()
