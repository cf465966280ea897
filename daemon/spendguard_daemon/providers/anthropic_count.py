"""Anthropic's free count endpoint: asked by us to sharpen a bound, or by a client through us.

Owns what the endpoint takes and how far its answer is trusted: it is an estimate that "may differ by a small
amount" ([docs] token counting), so a margin is added. Sources: costs.md C4; the anthropic SDK 2.12.0,
`types/beta/message_count_tokens_params.py`.
"""

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import tokens
from spendguard_daemon.providers.anthropic_betas import read_headers
from spendguard_daemon.providers.anthropic_fields import COUNT_FIELDS
from spendguard_daemon.providers.contract import Asked, CountAsked
from spendguard_daemon.providers.json_text import Document, join_path, kind_of, parse
from spendguard_daemon.providers.refusals import unlisted
from spendguard_daemon.usage import TOKENS_MAX, InputBound

PATH = "/v1/messages/count_tokens"
MODEL_CHARACTERS_MAX = 200

_RENDERED = COUNT_FIELDS - {"compaction", "billing_policy", "mcp_servers", "speed"}
"""What we ask with. Edits of the context are among it: `clear_thinking` with `keep: all`, which Claude Code
sends, leaves more in than the default of older models does. [docs] context editing."""


def read_count(asked: Asked) -> CountAsked:
    """Check a client's question; raise MALFORMED_REQUEST where a field is not the endpoint's.

    Nothing in it can bill, so tools and blocks are the provider's to judge.
    """
    document = parse(asked.body)
    for name in document.members:
        feature = f"anthropic.messages.field:{name}"
        if name not in COUNT_FIELDS and feature not in asked.policy.allow:
            raise unlisted(join_path("", name), "a field of count_tokens", feature)
    headers, stripped = read_headers(asked.headers, asked.policy)
    query = beta_query(asked)
    return CountAsked(model_of(document), f"{PATH}?{query}" if query else PATH, headers, stripped)


def question(document: Document) -> bytes:
    """Return the question for a message: those of its members that the endpoint takes, as they stand."""
    taken = [
        document.text[member.key_start : member.value_end]
        for name, member in document.members.items()
        if name in _RENDERED
    ]
    return ("{" + ",".join(taken) + "}").encode()


def answer_bound(status: int, body: bytes) -> InputBound | None:
    """Return the bound that an answer gives, margin included; None where it gives none.

    Of the counts before and after edits of the context the larger counts.
    """
    if status != 200:
        return None
    try:
        answer = parse(body)
    except MalformedError:
        return None
    edited = answer.value("context_management")
    counts = [
        answer.value("input_tokens"),
        (edited if isinstance(edited, dict) else {}).get("original_input_tokens", 1),
    ]
    if any(kind_of(count) != "integer" or not 0 < count <= TOKENS_MAX for count in counts):
        return None
    return tokens.counted(max(counts))


def model_of(document: Document) -> str:
    """Return the model that a request names."""
    model = document.value("model")
    if not isinstance(model, str) or not 0 < len(model) <= MODEL_CHARACTERS_MAX or not model.isprintable():
        raise MalformedError("model", f"1 to {MODEL_CHARACTERS_MAX} printable characters")
    return model


def beta_query(asked: Asked) -> str:
    """Return the query to send on: the SDKs mark calls of their beta side with it (wire.md 2)."""
    return "beta=true" if asked.query.get("beta") == "true" else ""
