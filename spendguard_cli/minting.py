"""A narrower agent key made from another one, without the sidecar. Pure: times and chance are handed in.

Nothing here can make a key wider: what the chain above it does not allow, the sidecar does not allow either.
What is asked beyond that is told, as it would have no effect.
"""

from collections.abc import Sequence

from spendguard_cli import shapes
from spendguard_daemon.agent_keys import CHILD_DAYS_MAX, Caveats, Presented, mint, parse
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.money import format_usd
from spendguard_daemon.wire import iso

__all__ = ("CHILD_DAYS_MAX", "minted", "read_parent", "without_effect")


def read_parent(text: str) -> tuple[str, Presented]:
    """Return the key to mint from, and what it says; raise USAGE without ever repeating it."""
    token = text.strip()
    remedy = "printenv SPENDGUARD_AGENT_KEY | spendguard agent mint --limit 50"
    if not token:
        detail = "No key to mint from came on stdin, and SPENDGUARD_AGENT_KEY holds none"
        raise SpendGuardError(Code.USAGE, detail, remedy=remedy)
    try:
        return token, parse(token)
    except SpendGuardError:
        raise SpendGuardError(
            Code.USAGE, "What came to mint from is not an agent key, or not the whole of it", remedy=remedy
        ) from None


def minted(token: str, caveats: Caveats, seed: bytes) -> shapes.KeyMinted:
    """Return a key below `token`; raise USAGE for what no key may say."""
    try:
        child = mint(token, caveats, seed)
    except MalformedError as error:
        raise SpendGuardError(
            Code.USAGE,
            f"--{error.facts['path']}: expected {error.facts['expected']}",
            remedy="spendguard agent mint --help",
        ) from None
    said = parse(child)
    return shapes.KeyMinted(
        key_id=said.links[-1].key_id,
        root_id=said.root_id,
        generation=len(said.links),
        label=caveats.label,
        limit_usd=None if caveats.limit_nusd is None else format_usd(caveats.limit_nusd),
        expires_at=iso(caveats.expires_ns or 0),
        models=None if caveats.models is None else list(caveats.models),
        key=child,
    )


def without_effect(parent: Presented, wanted: Caveats) -> list[str]:
    """Return what of `wanted` is wider than the keys above it, as sentences.

    Of the key that an operator made, the first of all, its own limits are not in the token, so that nothing
    is known of them here.
    """
    above = [link.caveats for link in parent.links]
    told = []
    limits = [caveats.limit_nusd for caveats in above if caveats.limit_nusd is not None]
    if limits and wanted.limit_nusd is not None and wanted.limit_nusd > min(limits):
        told.append(
            f"--limit ${format_usd(wanted.limit_nusd)} has no effect beyond the ${format_usd(min(limits))} "
            "of the key above it"
        )
    ends = [caveats.expires_ns for caveats in above if caveats.expires_ns is not None]
    if ends and wanted.expires_ns is not None and wanted.expires_ns > min(ends):
        told.append(f"--expires has no effect beyond {iso(min(ends))}, when the key above it ends")
    lists = [caveats.models for caveats in above if caveats.models is not None]
    for pattern in wanted.models or ():
        narrower = next((models for models in lists if not _covers(models, pattern)), None)
        if narrower is not None:
            told.append(
                f"--model {pattern} has no effect beyond {', '.join(narrower)}, which the key above it allows"
            )
    return told


def _covers(models: Sequence[str], pattern: str) -> bool:
    """Tell whether all that a pattern names is surely named by a list."""
    return any(
        wider == "*"
        or wider == pattern
        or (wider.endswith("*") and ("/" in wider) == ("/" in pattern) and pattern.startswith(wider[:-1]))
        for wider in models
    )
