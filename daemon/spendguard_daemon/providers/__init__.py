"""The providers: one module per wire format, pure, and the table that names them.

A new format is its module and one line of `FORMATS`. None of them imports the ledger or pricing.
"""

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers import mock, openai_chat
from spendguard_daemon.providers.contract import AnswerReader, Format, Outgoing, Request

__all__ = ["FORMATS", "AnswerReader", "Format", "Outgoing", "Request", "format_for"]

FORMATS: dict[tuple[str, str], Format] = {
    ("openai", openai_chat.FORMAT.endpoint): openai_chat.FORMAT,
    ("mock", mock.FORMAT.endpoint): mock.FORMAT,
}
"""The formats by provider and endpoint."""


def format_for(provider: str, endpoint: str) -> Format:
    """Return the format of a provider's endpoint; raise ROUTE_NOT_FOUND where there is none."""
    try:
        return FORMATS[provider, endpoint]
    except KeyError:
        raise SpendGuardError(
            Code.ROUTE_NOT_FOUND, f"No such route: {endpoint} of {provider}", remedy="see the README's routes"
        ) from None
