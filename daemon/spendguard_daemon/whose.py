"""Whose model a call asks for, and so in whose wire format its body is (design 6). Pure.

On the bare root the provider follows from the model, so a glance at the body comes before its strict reading.
Invariant: nothing is decided here but who reads; what a body may hold, that reader says.
"""

import msgspec

from spendguard_daemon.call import Arrival
from spendguard_daemon.ledger.state import Account
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.providers import FORMATS, speaker_of


class _Named(msgspec.Struct):
    """What of a body tells whose format it is in; the strict reader checks the rest."""

    model: str = ""


_names = msgspec.json.Decoder(_Named)


def glance(body: bytes) -> str:
    """Return the model that a body names, empty where that cannot be told: then its reader says why."""
    try:
        return _names.decode(body).model
    except (msgspec.DecodeError, RecursionError):
        return ""


def speaker(arrival: Arrival) -> str:
    """Return whose wire format the endpoint has by itself."""
    return speaker_of(arrival.provider, arrival.endpoint)


def provider_of(book: PriceBook, model: str, arrival: Arrival, account: Account) -> str:
    """Return whose model this is; on the bare root it follows from the model and the endpoint (design 6).

    A mock agent finds its models on every root, so that a program needs no other base URL to be tried out.
    """
    providers = book.providers_of(model)
    if account.mock and "mock" in providers:
        return "mock"
    if arrival.provider:
        return arrival.provider
    endpoint = arrival.endpoint
    able = (name for name in providers if endpoint in book.card(name, model).endpoints)
    served = next((name for name in able if (name, endpoint) in FORMATS), None)
    return served or (providers[0] if providers else speaker(arrival))
