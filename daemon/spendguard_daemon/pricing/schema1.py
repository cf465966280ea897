"""Price documents of schema 1, the public wire contract: prices in cents, limits from our own cards.

Owns its form and what its rows mean to us (design 7). Its signature is over the document as Python's `json`
writes it again, so numbers count as that text says them: floats stay exact rationals, never binary ones.
Knows no keys and no clock. Invariant: a row that is not wholly understood refuses the document, and a price
is rounded up where it is no whole micro-USD.

    schema_version   "1"
    engine           {name?, min_version, max_version}: which engines may use it; we are CONTRACT_VERSION
    generated_at, expires_at       ISO 8601, with zone
    rates            {provider: {model: row}}; a row is read by `schema1_rates`
"""

import json
import re
from datetime import datetime

from spendguard_daemon.canonical import Json
from spendguard_daemon.pricing import cards, schema1_numbers, schema1_rates, wire_json
from spendguard_daemon.pricing.document import MOCK_PROVIDER, PROVIDER, PriceDocument
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.pricing.wire_json import Row, invalid

SCHEMA = 1
VERSION = "1"
CONTRACT_VERSION = (0, 1, 0)
"""The version of the engine contract that we keep, which a document's range must hold."""

_ENGINE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PART = "(0|[1-9][0-9]{0,8})"
_SEMVER = re.compile(rf"{_PART}\.{_PART}\.{_PART}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_NS_PER_SECOND = 1_000_000_000


def loads(raw: bytes) -> dict[str, Json]:
    """Parse strictly: no key twice, nothing around, no number that is none; `Exact` stands for fractions.

    Raises PRICING_INVALID.
    """
    return wire_json.parse(raw, read_float=schema1_numbers.read_float)


def check_version(body: dict[str, Json]) -> None:
    """Raise PRICING_INVALID for a document that does not say that it is one of schema 1."""
    if body.get("schema_version") != VERSION:
        raise invalid(f'expected schema_version "{VERSION}"')


def signed_bytes(content: dict[str, Json]) -> bytes:
    """Return what a signature is over: the content, written again by the rule of pricing/README.md."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise invalid("a lone surrogate stands in a text") from None


def read_document(content: dict[str, Json], document_sha256: str) -> PriceDocument:
    """Read the content of a document, signature apart. Raises PRICING_INVALID on any bad row."""
    row = Row(content, "document")
    row.text("schema_version", re.compile(VERSION))
    _check_engine(row.row("engine"))
    issued_ns, expires_ns = _time_ns(row, "generated_at"), _time_ns(row, "expires_at")
    found, without_limits = _read_rates(row.row("rates"))
    row.end()
    return PriceDocument(
        sequence=issued_ns // _NS_PER_SECOND,
        issued_ns=issued_ns,
        expires_ns=expires_ns,
        key_id="",
        document_sha256=document_sha256,
        cards=found,
        warnings=(
            *(f"{provider}:{model}: no limits are known here" for provider, model in without_limits),
            *(warning for card in found for warning in cards.warnings_of(card)),
        ),
        schema=SCHEMA,
        without_limits=frozenset(without_limits),
    )


def _check_engine(row: Row) -> None:
    if "name" in row:
        row.text("name", _ENGINE)
    low, high = _version(row, "min_version"), _version(row, "max_version")
    row.end()
    if low > high:
        raise invalid(f"{row.path}: min_version is above max_version")
    if not low <= CONTRACT_VERSION <= high:
        said = [".".join(map(str, version)) for version in (low, high, CONTRACT_VERSION)]
        raise invalid(f"{row.path}: it is for engines from {said[0]} to {said[1]}, and this one is {said[2]}")


def _version(row: Row, key: str) -> tuple[int, ...]:
    return tuple(int(part) for part in row.text(key, _SEMVER).split("."))


def _time_ns(row: Row, key: str) -> int:
    text = row.text(key, _TIME)
    try:
        at_ns = wire_json.to_ns(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise invalid(f"{row.path}.{key}: there is no such time") from None
    if at_ns < _NS_PER_SECOND:
        raise invalid(f"{row.path}.{key}: it is before 1970")
    return at_ns


def _read_rates(row: Row) -> tuple[tuple[RateCard, ...], list[tuple[str, str]]]:
    """Return the cards of the models whose limits we know, and the others by name; all rows are read."""
    found: list[RateCard] = []
    without_limits: list[tuple[str, str]] = []
    for provider, part in row.members():
        if not PROVIDER.fullmatch(provider) or provider == MOCK_PROVIDER:
            raise invalid(f"{part.path}: not a provider that a document may price")
        for model, member in part.members():
            card = schema1_rates.read_card(provider, model, member)
            if card is None:
                without_limits.append((provider, model))
            else:
                found.append(card)
    if not found and not without_limits:
        raise invalid(f"{row.path}: it prices no model")
    return tuple(found), without_limits
