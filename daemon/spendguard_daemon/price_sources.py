"""Which price source the settings ask for, made from them.

Knows the settings and both sources, and nothing of what happens to documents.
"""

from pathlib import Path

from spendguard_daemon.ports import Clock, Disk, Rng
from spendguard_daemon.price_keeper import PriceOrigin
from spendguard_daemon.pricing import trust
from spendguard_daemon.pricing.answers import Answer
from spendguard_daemon.pricing.local import LocalPrices
from spendguard_daemon.pricing.remote import RemotePrices, RemoteTerms
from spendguard_daemon.settings import Settings
from spendguard_daemon.skew import NoteHeaders

_SECOND_NS = 1_000_000_000
_SCHEMAS = {"any": trust.BOTH_SCHEMAS, "1": frozenset({1}), "2": frozenset({2})}


def rehearse(settings: Settings, folder: Path, *, disk: Disk, clock: Clock, rng: Rng) -> None:
    """Read what the settings say of prices, in a folder of no home; nobody is asked.

    Raises PRICING_INVALID for prices of the operator's own that cannot be signed, PRICING_SIGNATURE for a
    public key that is none.
    """
    if settings.price_source == "local":
        make(settings, folder, folder / "trust.toml", disk=disk, clock=clock, rng=rng).load(None)
    elif settings.price_public_key:
        trust.read_public_key(settings.price_public_key)


def make(
    settings: Settings,
    folder: Path,
    trust_path: Path,
    *,
    disk: Disk,
    clock: Clock,
    rng: Rng,
    note: NoteHeaders = lambda _: None,
) -> PriceOrigin:
    """Return the source; nothing is read and nobody asked yet. `note` is told the headers of each answer."""
    if settings.price_source == "local":
        return LocalPrices(
            folder,
            trust_path,
            disk=disk,
            clock=clock,
            rng=rng,
            overrides=settings.price_overrides,
            verifies=settings.price_verify_signature,
        )
    from spendguard_daemon.pricing.source import fetch

    async def noted(url: str, *, etag: str, timeout_seconds: float) -> Answer:
        answer = await fetch(url, etag=etag, timeout_seconds=timeout_seconds)
        note(answer.headers)
        return answer

    terms = RemoteTerms(
        url=settings.price_url,
        public_key=settings.price_public_key,
        schemas=_SCHEMAS[settings.price_schema],
        refresh_seconds=settings.price_refresh_seconds,
        skew_ns=settings.price_expiry_skew_seconds * _SECOND_NS,
        timeout_seconds=settings.price_http_timeout_seconds,
        verifies=settings.price_verify_signature,
    )
    return RemotePrices(folder, trust_path, terms, fetch=noted, disk=disk, clock=clock, rng=rng)
