"""The pinned keys of a home: who is trusted, added, revoked. Pure edits of trust.toml, and how it is told.

Invariants: a revoked key stays in the file, so that nobody pins it again unawares; no key stands in it twice,
under whatever id, for a threshold counts different keys.
"""

from collections.abc import Sequence
from dataclasses import replace

from spendguard_cli.pricing.results import Trusted, TrustedKey
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import trust
from spendguard_daemon.pricing.document import KEY_ID
from spendguard_daemon.pricing.trust import PinnedKey, Trust
from spendguard_daemon.pricing.wire_json import format_time
from spendguard_daemon.text import safe

LIST = "spendguard pricing trust list"


def read(text: str) -> Trust:
    """Read trust.toml's text; one that is not there trusts nobody. Raises PRICING_SIGNATURE."""
    return trust.read_trust(text) if text else Trust(())


def pinned(key_id: str, public_key: str, not_after_ns: int | None) -> PinnedKey:
    """Return a key as typed; raise USAGE where its id or its public half cannot be one."""
    if not KEY_ID.fullmatch(key_id):
        raise SpendGuardError(
            Code.USAGE, f"{safe(key_id)!r} is no key id", remedy="copy the line that pricing keygen printed"
        )
    raw = trust.decode_base64(public_key, trust.PUBLIC_KEY_BYTES)
    if raw is None:
        raise SpendGuardError(
            Code.USAGE,
            "PUBLIC_KEY: expected the base64 of 32 bytes, 44 characters",
            remedy="copy the line that pricing keygen printed",
        )
    return PinnedKey(key_id, raw, not_after_ns)


def added(before: Trust, key: PinnedKey) -> Trust:
    """Return the trust with one key more, or with another end of one that is in it; raise USAGE."""
    for known in before.keys:
        if known.key_id != key.key_id and known.public_key != key.public_key:
            continue
        if (known.key_id, known.public_key) != (key.key_id, key.public_key):
            what = "another key has this id" if known.key_id == key.key_id else "it is pinned already"
            raise SpendGuardError(
                Code.USAGE, f"{key.key_id}: {what}, see {known.key_id}", remedy=f"{LIST} shows the keys"
            )
        if known.revoked:
            raise SpendGuardError(
                Code.USAGE,
                f"{key.key_id} was revoked, and stays so",
                remedy="pin a new key: spendguard pricing keygen FILE",
            )
        return replace(before, keys=tuple(key if one is known else one for one in before.keys))
    return replace(before, keys=(*before.keys, key))


def revoked(before: Trust, key_id: str) -> Trust:
    """Return the trust with one key revoked; raise USAGE where it is not pinned."""
    if key_id not in [key.key_id for key in before.keys]:
        raise SpendGuardError(Code.USAGE, f"{safe(key_id)!r} is not pinned", remedy=f"{LIST} shows the keys")
    keys = tuple(replace(key, revoked=True) if key.key_id == key_id else key for key in before.keys)
    return replace(before, keys=keys)


def with_threshold(before: Trust, threshold: int | None) -> Trust:
    """Return the trust that asks for so many signatures; raise USAGE where there are not so many keys."""
    if threshold is None:
        return before
    good = sum(not key.revoked for key in before.keys)
    if not 1 <= threshold <= good:
        raise SpendGuardError(
            Code.USAGE,
            f"--threshold: expected a number from 1 to {good}, as many keys as are good",
            remedy="pin the other keys first",
        )
    return replace(before, threshold=threshold)


def shown(path: str, value: Trust, now_ns: int) -> Trusted:
    """Return the trust as it is told."""
    return Trusted(path=path, threshold=value.threshold, keys=_rows(value.keys, now_ns))


def _rows(keys: Sequence[PinnedKey], now_ns: int) -> list[TrustedKey]:
    return [
        TrustedKey(
            key_id=key.key_id,
            public_key=trust.encode_base64(key.public_key),
            not_after=None if key.not_after_ns is None else format_time(key.not_after_ns),
            state=state(key, now_ns),
        )
        for key in keys
    ]


def state(key: PinnedKey, now_ns: int) -> str:
    """Return whether a key counts: good, revoked, or over, since its time is."""
    if key.revoked:
        return "revoked"
    return "over" if key.refusal(now_ns) else "good"
