"""xAI Grok, `chat/completions` and `responses`: OpenAI's wire formats, held by what xAI bills otherwise.

Owns the differences; reading, bounding and rewriting are OpenAI's. Does no I/O and knows no prices.

What a cap of chat counts is told in two ways: xAI's reference once said that it includes reasoning, and says
now that it bounds the visible output; one log shows both within a cap (evalstate/fast-agent#276). So
reasoning, and calls of functions, are held beside it, unless the operator trusts the cap (`CAP_REASONING`,
`CAP_CALLS`). Of responses it is documented that the cap includes both.
"""

from collections.abc import Sequence
from dataclasses import replace

from spendguard_daemon.providers import grok_answers, grok_fields, splice
from spendguard_daemon.providers.contract import AnswerReader, Asked, Request
from spendguard_daemon.providers.json_text import Document
from spendguard_daemon.providers.openai_answers import ChatMeter
from spendguard_daemon.providers.openai_chat import OpenAIChat
from spendguard_daemon.providers.openai_endpoint import Change
from spendguard_daemon.providers.openai_parts import feature
from spendguard_daemon.providers.openai_responses import OpenAIResponses
from spendguard_daemon.providers.openai_responses_answers import ResponsesMeter
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import unbounded

CAP_REASONING = "grok.chat.cap:reasoning"
CAP_CALLS = "grok.chat.cap:calls"
NO_VIOLATION = "grok.fee:violation"
"""The features by which an operator relies on xAI: that a cap of chat counts reasoning, that it counts calls,
and that no request will break xAI's rules, for which it takes a fee."""

_VIOLATION = "violation"


class GrokChat(OpenAIChat):
    """The wire format of xAI's `POST /v1/chat/completions`; satisfies `contract.Format`."""

    api = "grok.chat"
    fields = grok_fields.CHAT_FIELDS
    parts = grok_fields.CHAT_PARTS
    modalities = frozenset({"text"})
    tiers = grok_fields.SERVICE_TIERS
    pins_tier = False
    normalised = True
    searches = grok_fields.SEARCHES

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION, with the path."""
        request = super().read(asked)
        beside = {"reasoning": CAP_REASONING} | ({"calls": CAP_CALLS} if request.tools else {})
        beside = {name: trust for name, trust in beside.items() if trust not in asked.policy.allow}
        request = replace(request, uncapped=frozenset(beside), trusts=beside, capped_by="responses")
        return _with_penalty(request, asked.policy)

    def refuse_unbounded(self, document: Document, _policy: Policy) -> None:
        """Refuse answers that come later, models of several agents, and tools that run at xAI."""
        _refuse_agents(document, self.api)
        if document.value("deferred") is True:
            raise unbounded("deferred", feature(self.api, "field", "deferred"))
        for index, tool in enumerate(document.value("tools") or ()):
            kind = tool.get("type") if isinstance(tool, dict) else None
            if isinstance(kind, str) and kind in grok_fields.TOOLS.hosted:
                raise unbounded(f"tools[{index}]", feature(self.api, "tool", kind))

    def meter(self, request: Request) -> ChatMeter:
        """Return what reads the usage of one answer."""
        return ChatMeter(grok_answers.read_chat_usage, unsaid_tier=request.unsaid_tier)

    def errors(self, encoding: str) -> AnswerReader:
        """Return the reader of an answer that is no success."""
        return grok_answers.errors(encoding)


class GrokResponses(OpenAIResponses):
    """The wire format of xAI's `POST /v1/responses`; satisfies `contract.Format`.

    Tools that run at xAI are held to `max_turns` rounds, each of one call, for with parallel calls a round
    may have any number (xai-sdk, chat.py, max_turns); each round may read the whole context, and write the
    whole cap, as nothing says that the cap is for all of them. The bound rests on xAI's word, the settlement
    on its bill.
    """

    api = "grok.responses"
    fields = grok_fields.RESPONSES_FIELDS
    parts = grok_fields.RESPONSES_PARTS
    table = grok_fields.TOOLS
    searches = grok_fields.SEARCHES
    tiers = grok_fields.SERVICE_TIERS
    pins_tier = False
    uses_field, uses_min = "max_turns", 1  # none may be read as no limit
    cap_per_pass = True
    normalised = True
    least_output_tokens = 1
    counts = False

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION, with the path."""
        return _with_penalty(super().read(asked), asked.policy)

    def refuse_unbounded(self, document: Document, policy: Policy) -> None:
        """Refuse also models of several agents."""
        _refuse_agents(document, self.api)
        super().refuse_unbounded(document, policy)

    def hold_uses(self, request: Request) -> Sequence[Change | None]:
        """Return the changes that hold tools that run at xAI to their rounds, and these to one call each."""
        if request.passes == 1:
            return ()
        name, asked = "parallel_tool_calls", request.document.value("parallel_tool_calls")
        if asked is False:
            return super().hold_uses(request)
        edit = splice.set_member(request.document, name, "false")
        said = f"{name}: {'none' if asked is None else 'true'} -> false"
        return (*super().hold_uses(request), (edit, said))

    def meter(self, request: Request) -> ResponsesMeter:
        """Return what reads the usage of one answer; fees are counted by what the usage says of them."""
        tools = request.passes > 1
        read = grok_answers.read_tools_usage if tools else grok_answers.read_responses_usage
        return ResponsesMeter(read, itemised=False, unsaid_tier=request.unsaid_tier)

    def errors(self, encoding: str) -> AnswerReader:
        """Return the reader of an answer that is no success."""
        return grok_answers.errors(encoding)


CHAT = GrokChat()
RESPONSES = GrokResponses()


def _with_penalty(request: Request, policy: Policy) -> Request:
    """Return a request with xAI's fee for one that breaks its rules, unless the operator rules that out."""
    if NO_VIOLATION in policy.allow:
        return request
    return replace(request, penalties=(_VIOLATION,), trusts={**request.trusts, _VIOLATION: NO_VIOLATION})


def _refuse_agents(document: Document, api: str) -> None:
    """Refuse models that set several agents to work on one request, whose output no cap holds together."""
    model = document.value("model")
    if isinstance(model, str) and grok_fields.MULTI_AGENT in model:
        raise unbounded("model", feature(api, "model", grok_fields.MULTI_AGENT))
