"""Documents looked at: verified in full against the keys that are trusted, or read for what they say.

Pure over bytes. Invariant: `verified` returns only what `trust.verify` returned.
"""

from collections.abc import Sequence

from spendguard_cli.pricing import contents
from spendguard_cli.pricing.results import Serving, SignedDocument
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.pricing import schema1, trust
from spendguard_daemon.pricing.document import PriceDocument
from spendguard_daemon.pricing.trust import PinnedKey, Trust
from spendguard_daemon.pricing.wire_json import format_time


def verified(raw: bytes, trusted: Trust, now_ns: int, source: str) -> SignedDocument:
    """Verify a document of either schema; raise PRICING_SIGNATURE, PRICING_INVALID or PRICING_EXPIRED."""
    document = _verify(raw, trusted, now_ns)
    return shown(document, signers(raw, trusted.keys, now_ns), source)


def signers(raw: bytes, keys: Sequence[PinnedKey], now_ns: int) -> list[str]:
    """Return the names of the keys of which the document bears a good signature, in time and not revoked."""
    found = []
    for key in keys:
        try:
            _verify(raw, Trust((key,)), now_ns)
        except SpendGuardError:
            continue
        found.append(key.name)
    return found


def shown(document: PriceDocument, signed_by: Sequence[str], source: str) -> SignedDocument:
    """Return what there is to say of a document."""
    return SignedDocument(
        source=source,
        schema=document.schema,
        document_sha256=document.document_sha256,
        sequence=document.sequence,
        signed_by=list(signed_by),
        issued_at=format_time(document.issued_ns),
        expires_at=format_time(document.expires_ns),
        models=[f"{card.provider}:{card.model}" for card in document.cards],
        warnings=list(document.warnings),
    )


def serving(document: PriceDocument, signed_by: Sequence[str], url: str) -> Serving:
    """Return what there is to say of a document that is served."""
    return Serving(
        url=url,
        document_sha256=document.document_sha256,
        signed_by=list(signed_by) or [document.key_id],
        expires_at=format_time(document.expires_ns),
    )


def read_cards(raw: bytes, where: str) -> PriceDocument:
    """Read a document of either schema, signed or not, or a catalogue, whoever made it and for when.

    Raises USAGE where it is none of these, PRICING_INVALID on any bad row.
    """
    if "schema_version" in contents.load(raw, where):
        content = {name: value for name, value in schema1.loads(raw).items() if name != "signature"}
        return schema1.read_document(content, sha256_hex(raw))
    return contents.unsigned(contents.providers_of(raw, where), sha256_hex(raw))


def _verify(raw: bytes, trusted: Trust, now_ns: int) -> PriceDocument:
    return trust.verify(raw, pinned=trusted, now_ns=now_ns, high_water=None, schemas=trust.BOTH_SCHEMAS)
