"""The providers: one module per wire format, pure, and the table that names them.

A new format is its module and one line of `FORMATS`. None of them imports the ledger or pricing.
"""

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers import (
    anthropic,
    gemini,
    gemini_chat,
    gemini_embeddings,
    grok,
    mock,
    openai_chat,
    openai_embeddings,
    openai_responses,
)
from spendguard_daemon.providers.contract import AnswerReader, Asked, Format, Outgoing, Request
from spendguard_daemon.providers.policy import Policy

__all__ = [
    "BARE_ROOT",
    "FORMATS",
    "AnswerReader",
    "Asked",
    "Format",
    "Outgoing",
    "Policy",
    "Request",
    "format_for",
    "key_headers",
    "speaker_of",
]

FORMATS: dict[tuple[str, str], Format] = {
    ("openai", openai_chat.FORMAT.endpoint): openai_chat.FORMAT,
    ("openai", openai_responses.FORMAT.endpoint): openai_responses.FORMAT,
    ("openai", openai_embeddings.FORMAT.endpoint): openai_embeddings.FORMAT,
    ("anthropic", anthropic.FORMAT.endpoint): anthropic.FORMAT,
    ("gemini", gemini.FORMAT.endpoint): gemini.FORMAT,
    **{("gemini", form.endpoint): form for form in gemini_embeddings.FORMATS},
    ("gemini", gemini_chat.FORMAT.endpoint): gemini_chat.FORMAT,
    ("grok", grok.CHAT.endpoint): grok.CHAT,
    ("grok", grok.RESPONSES.endpoint): grok.RESPONSES,
    ("mock", mock.FORMAT.endpoint): mock.FORMAT,
}
"""The formats by provider and endpoint."""

BARE_ROOT = {
    "messages": "anthropic",
    "generateContent": "gemini",
    "embedContent": "gemini",
    "batchEmbedContents": "gemini",
}
"""Whose wire format an endpoint of the bare root has, where it is not OpenAI's."""


def format_for(provider: str, endpoint: str) -> Format:
    """Return the format of a provider's endpoint; raise ROUTE_NOT_FOUND where there is none."""
    try:
        return FORMATS[provider, endpoint]
    except KeyError:
        raise SpendGuardError(
            Code.ROUTE_NOT_FOUND, f"No such route: {endpoint} of {provider}", remedy="see the README's routes"
        ) from None


def speaker_of(provider: str, endpoint: str) -> str:
    """Return whose format a request to this endpoint is in; on the bare root `provider` is empty."""
    return provider or BARE_ROOT.get(endpoint, "openai")


def key_headers(provider: str, key: str) -> tuple[tuple[str, str], ...]:
    """Return the headers that carry an operator's key to a provider; none for one that is not served."""
    form = next((form for (name, _), form in FORMATS.items() if name == provider), None)
    return () if form is None else form.auth(key)
