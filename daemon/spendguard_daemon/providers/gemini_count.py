"""Gemini's free count endpoint, `:countTokens`: asked by us to sharpen a bound, or by a client through us.

Owns what it takes and how far its answer is trusted: a margin is added. It counts media too (costs.md C4).
Sources: [rest] models.countTokens takes `contents`, or a whole `generateContentRequest`; the google-genai SDK
3.6.1, `types.py`: CountTokensConfig, CountTokensResponse.
"""

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import tokens
from spendguard_daemon.providers.contract import Asked, CountAsked
from spendguard_daemon.providers.gemini_names import canonical, spellings
from spendguard_daemon.providers.gemini_options import read_model
from spendguard_daemon.providers.json_text import Document, join_path, kind_of, parse
from spendguard_daemon.providers.refusals import unlisted
from spendguard_daemon.usage import TOKENS_MAX, InputBound

COUNT_FIELDS = frozenset(
    {"contents", "generateContentRequest", "model", "systemInstruction", "tools", "generationConfig"}
)
"""[rest] the first two; [sdk] the others. Nothing in them can bill, so they are the provider's to judge."""

_NAMES = spellings(COUNT_FIELDS)
_RENDERED = ("contents", "systemInstruction", "tools", "toolConfig", "generationConfig")
"""What of a request decides how many tokens it has."""


def path(model: str) -> str:
    """Return the path below the base URL at which a model's tokens are counted."""
    return f"/v1beta/models/{model}:countTokens"


def read_count(asked: Asked) -> CountAsked:
    """Check a client's question; raise MALFORMED_REQUEST where a field is not the endpoint's."""
    document = canonical(parse(asked.body), _NAMES)
    for name in document.members:
        feature = f"gemini.count:{name[:100]}"
        if name not in COUNT_FIELDS and feature not in asked.policy.allow:
            raise unlisted(join_path("", name), "a field of countTokens", feature)
    model = read_model(asked.model)
    return CountAsked(model, path(model))


def question(document: Document, model: str) -> bytes:
    """Return the question for a request: those of its members that are counted, as they stand."""
    taken = [
        document.text[member.key_start : member.value_end]
        for name, member in document.members.items()
        if name in _RENDERED
    ]
    whole = ",".join((f'"model":"models/{model}"', *taken))
    return f'{{"generateContentRequest":{{{whole}}}}}'.encode()


def answer_bound(status: int, body: bytes) -> InputBound | None:
    """Return the bound that an answer gives, margin included; None where it gives none."""
    if status != 200:
        return None
    try:
        count = parse(body).value("totalTokens")
    except MalformedError:
        return None
    if kind_of(count) != "integer" or not 0 < count <= TOKENS_MAX:
        return None
    return tokens.counted(count)
