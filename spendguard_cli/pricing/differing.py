"""What changed between two sets of cards, each number with the one before it and their ratio. Pure.

Invariant: every price, limit, flag and name of a card is compared; a change that may be a slip or an attack
(cheaper, or ten times what it was or more) has a flag.
"""

from collections.abc import Mapping, Sequence

from spendguard_cli.pricing.results import Change, Compared
from spendguard_daemon.pricing.changes import TENFOLD_AT, by_name, prices_of
from spendguard_daemon.pricing.ratecard import RateCard

DECREASE, TENFOLD = "decrease", "ten-fold"

Value = int | str


def compare(old: Sequence[RateCard], new: Sequence[RateCard], *, old_name: str, new_name: str) -> Compared:
    """Compare two documents' cards by provider and model."""
    before, after = by_name(old), by_name(new)
    both = [name for name in before if name in after]
    changes = [change for name in both for change in _changes(name, before[name], after[name])]
    return Compared(
        old=old_name,
        new=new_name,
        added=sorted(after.keys() - before.keys()),
        removed=sorted(before.keys() - after.keys()),
        changed_models=len({change.model for change in changes}),
        flagged=sum(bool(change.flag) for change in changes),
        changes=changes,
    )


def _changes(model: str, old: RateCard, new: RateCard) -> list[Change]:
    found = _differences(model, prices_of(old), prices_of(new), flagged=True)
    return found + _differences(model, _rest(old), _rest(new), flagged=False)


def _differences(
    model: str, old: Mapping[str, Value], new: Mapping[str, Value], *, flagged: bool
) -> list[Change]:
    names = [*old, *(name for name in new if name not in old)]
    changed = [name for name in names if old.get(name) != new.get(name)]
    return [_change(model, name, old.get(name), new.get(name), flagged=flagged) for name in changed]


def _change(model: str, what: str, old: Value | None, new: Value | None, *, flagged: bool) -> Change:
    ratio, flag = None, ""
    if flagged and isinstance(old, int) and isinstance(new, int):
        thousandths = new * 1000 // old if old else None
        ratio = None if thousandths is None else f"{thousandths // 1000}.{thousandths % 1000:03d}"
        flag = DECREASE if new < old else TENFOLD if new >= TENFOLD_AT * old else ""
    return Change(model=model, what=what, old=old, new=new, ratio=ratio, flag=flag)


def _rest(card: RateCard) -> dict[str, Value]:
    """Return what is no price: what a call may be, and how it is bounded."""
    limits = card.limits
    values: dict[str, Value | None] = {
        "aliases": " ".join(sorted(card.aliases)),
        "endpoints": " ".join(sorted(card.endpoints)),
        "context_tokens": limits.context_tokens,
        "input_tokens_max": limits.input_tokens_max,
        "output_tokens_max": limits.output_tokens_max,
        "output_tokens_min": card.output_tokens_min,
        "image_tokens_max": limits.image_tokens_max,
        "audio_bytes_per_token": limits.audio_bytes_per_token,
        "per_request_tokens": limits.per_request_tokens,
        "per_message_tokens": limits.per_message_tokens,
        "per_tool_tokens": limits.per_tool_tokens,
        "tools_base_tokens": limits.tools_base_tokens,
        "encoding": limits.encoding,
        "reasoning": str(card.reasoning).lower(),
        "implicit_cache_write": str(card.implicit_cache_write).lower(),
        "free": str(card.free).lower(),
    }
    return {name: value for name, value in values.items() if value is not None}
