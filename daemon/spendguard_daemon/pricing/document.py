"""Price documents of schema 2 as values, and the book of cards that calls are priced from.

Owns the head of a document and the lookup by exact id or listed alias. Knows nothing of keys, signatures and
clocks: `trust.verify` alone makes documents from bytes that came from outside. Invariant: within a provider
a name means one card; the mock cards are constants of ours and never come from a document.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from spendguard_daemon.canonical import Json
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.pricing import cards
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.pricing.wire_json import Row, invalid

SCHEMA = 2
MOCK_PROVIDER = "mock"
SEQUENCE_MAX = 2**53 - 1
NEAR_MAX = 3
NAME_LENGTH_MAX = 128
"""Longer names are like none of ours, and would take long to be compared."""

KEY_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
PROVIDER = re.compile(r"[a-z][a-z0-9_-]{0,31}")
UNITS = {"currency": "USD", "token_unit": "usd_micros_per_1m", "fee_unit": "usd_micros_per_1k"}
_NO_LIMITS = ", which the price document lists, but whose limits are not known here"


@dataclass(frozen=True, slots=True)
class PriceDocument:
    """A document whose form is right; only `trust.verify` says that it may be used.

    `document_sha256` is of the bytes as received, `key_id` that of a key that signed it. `warnings` are for
    the operator's eyes; `without_limits` names the models (provider, model) that it prices, but of which
    nobody here knows how much a call can take.
    """

    sequence: int
    issued_ns: int
    expires_ns: int
    key_id: str
    document_sha256: str
    cards: tuple[RateCard, ...]
    warnings: tuple[str, ...]
    schema: int = SCHEMA
    without_limits: frozenset[tuple[str, str]] = frozenset()


def read_document(body: dict[str, Json], document_sha256: str) -> PriceDocument:
    """Read the content of a document, signature apart. Raises PRICING_INVALID on any bad row."""
    row = Row(body, "document")
    row.integer("schema", SCHEMA, SCHEMA)
    for name, unit in UNITS.items():
        row.text(name, re.compile(re.escape(unit)))
    sequence = row.integer("sequence", 1, SEQUENCE_MAX)
    issued_ns, expires_ns = row.time_ns("issued_at"), row.time_ns("expires_at")
    key_id = row.text("key_id", KEY_ID)
    found = _read_providers(row.row("providers"))
    row.end()
    return PriceDocument(
        sequence=sequence,
        issued_ns=issued_ns,
        expires_ns=expires_ns,
        key_id=key_id,
        document_sha256=document_sha256,
        cards=found,
        warnings=tuple(warning for card in found for warning in cards.warnings_of(card)),
    )


class PriceBook:
    """Verified cards by name, beside the constants for the mock. What quotes and bills are made from."""

    def __init__(
        self,
        document: PriceDocument,
        mock_cards: tuple[RateCard, ...],
        *,
        self_signed: bool,
        verified: bool = True,
    ):
        self.document = document
        self.self_signed = self_signed
        self.verified = verified
        self._cards = (*document.cards, *mock_cards)
        self._by_name = {(card.provider, name): card for card in self._cards for name in _names(card)}
        self._providers: dict[str, tuple[str, ...]] = {}
        for provider, name in self._by_name:
            self._providers[name] = (*self._providers.get(name, ()), provider)

    @property
    def document_sha256(self) -> str:
        """SHA-256 of the document as received; each hold stores it."""
        return self.document.document_sha256

    @property
    def sequence(self) -> int:
        """The document's sequence number, which only ever rises."""
        return self.document.sequence

    @property
    def issued_ns(self) -> int:
        """When the document was signed."""
        return self.document.issued_ns

    @property
    def expires_ns(self) -> int:
        """From when the document prices no new call."""
        return self.document.expires_ns

    @property
    def key_id(self) -> str:
        """Whose signature it bears."""
        return self.document.key_id

    def card(self, provider: str, model: str) -> RateCard:
        """Return the card of a model by exact id or listed alias. Raises UNKNOWN_MODEL."""
        card = self._by_name.get((provider, model))
        if card is None:
            known = (provider, model) in self.document.without_limits
            raise SpendGuardError(
                Code.UNKNOWN_MODEL,
                f"Unknown model for pricing: {provider}:{model}" + (_NO_LIMITS if known else ""),
                facts={"provider": provider, "model": model, "setting": "[prices.overrides]"}
                | self._near(provider, model),
            )
        return card

    def providers_of(self, model: str) -> tuple[str, ...]:
        """Return the providers that have a card of this name, none where nobody knows it."""
        return self._providers.get(model, ())

    def _near(self, provider: str, model: str) -> dict[str, Fact]:
        """Return the fact that names the priced models which an unknown name is like, if there are any."""
        names = [name for owner, name in self._by_name if owner == provider]
        near = get_close_matches(model, names, NEAR_MAX) if len(model) <= NAME_LENGTH_MAX else []
        return {"near_models": list[str](near)} if near else {}

    def cards(self) -> tuple[RateCard, ...]:
        """Return all cards, in the document's order, the mock's last."""
        return self._cards


def _read_providers(row: Row) -> tuple[RateCard, ...]:
    found: list[RateCard] = []
    for provider, part in row.members():
        if not PROVIDER.fullmatch(provider) or provider == MOCK_PROVIDER:
            raise invalid(f"{part.path}: not a provider that a document may price")
        taken: set[str] = set()
        for model, member in part.row("models").members():
            card = cards.read_card(provider, model, member)
            for name in _names(card):
                if name in taken:
                    raise invalid(f"{member.path}: {name} names another card already, or this one twice")
                taken.add(name)
            found.append(card)
        part.end()
    if not found:
        raise invalid(f"{row.path}: it prices no model")
    return tuple(found)


def _names(card: RateCard) -> tuple[str, ...]:
    return (card.model, *card.aliases)
