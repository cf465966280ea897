"""What people did to an agent's money and leave to spend it, in words. Pure.

It is asked of the sidecar, or told by the journal; `deed` is what the feed alone tells of it, by which one
knows that there is more to ask, and that is shown where nobody can be asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from spendguard_cli.views.ink import nusd
from spendguard_cli.ways.case import dollars
from spendguard_daemon import wire
from spendguard_daemon.feed_wire import Event, Money
from spendguard_daemon.money import format_usd
from spendguard_daemon.text import safe

DEEDS_MAX = 50
"""How many that were heard are kept of each agent; the oldest go first."""

LEDGER = "ledger"
"""Who freezes an agent that is billed above its hold: no person."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something was done: when, by whom, and in words what. All of it is safe to show."""

    at: str
    actor: str
    said: str


def told(found: wire.Deeds) -> list[Deed]:
    """Return deeds in words, newest first; where there were older ones, the last line says so."""
    said, limit_usd = list[Deed](), None
    for one in reversed(found.deeds):
        actor = "the sidecar" if one.actor == LEDGER else safe(one.actor)
        said.append(Deed(one.at, actor, ", ".join(_words(one, limit_usd, whole=found.whole))))
        limit_usd = one.hard_limit_usd or limit_usd
    said.reverse()
    if not found.whole:
        since = f"this is all since {safe(said[-1].at)[:19].replace('T', ' ')}Z; " if said else ""
        said.append(older(f"{since}what was done before is not at hand"))
    return said


def older(why: str) -> Deed:
    """Return the last line of a list that is not whole."""
    return Deed("", "", why)


def _words(one: wire.Deed, limit_usd: str | None, *, whole: bool) -> Iterator[str]:
    """Yield what was done; `limit_usd` is the limit before, None for none or where it is not known."""
    why = f": {safe(one.reason)}" if one.reason else ""
    match one.kind:
        case "budget":
            yield from _budget(one, limit_usd, whole=whole)
        case "made":
            yield "made it"
        case "frozen":
            yield f"froze it{why}"
        case "unfrozen":
            yield "unfroze it"
        case "restored":
            yield "put it back from a backup: frozen until it is entered what it spent since"
        case "confirmed":
            yield f"entered {dollars(one.spent_usd or '0')} as spent since the backup{why}"
        case _:
            yield "changed its settings"


def _budget(one: wire.Deed, limit_usd: str | None, *, whole: bool) -> Iterator[str]:
    limit, is_new = dollars(one.hard_limit_usd or "0"), one.hard_limit_usd != limit_usd
    if is_new and (limit_usd is not None or whole):
        yield f"set the limit to {limit}" + (f", it was {dollars(limit_usd)}" if limit_usd else "")
    elif is_new:
        yield f"the limit is {limit}"
    if nusd(one.granted_usd or "0"):
        yield f"granted {dollars(one.granted_usd)}"
    if nusd(one.taken_usd or "0"):
        yield f"took back {dollars(one.taken_usd)}"
    if nusd(one.ignored_usd or "0"):
        yield f"{dollars(one.ignored_usd)} more did not fit below the limit"
    elif not is_new and not nusd(one.granted_usd or "0") and not nusd(one.taken_usd or "0"):
        yield "granted nothing"


def deed(before: Money | None, event: Event) -> Deed | None:
    """Return what an event tells of a deed, beside the money before it; None where it tells of none."""
    after = event.money
    parts = [] if before is None or after is None else list(_changes(before, after))
    if not parts and (event.actor is None or event.kind != "agent"):
        return None
    return Deed(
        event.at, safe(event.actor or "the sidecar"), ", ".join(parts) or "changed its settings or keys"
    )


def note(deeds: list[Deed], before: Money, event: Event) -> None:
    """Add what an event tells of a deed to those of its agent, of which the oldest go."""
    found = deed(before, event)
    if found is not None:
        deeds.append(found)
        del deeds[:-DEEDS_MAX]


def _changes(before: Money, after: Money) -> list[str]:
    said = []
    if after.hard_limit_usd != before.hard_limit_usd:
        was = "" if before.hard_limit_usd is None else f", it was {dollars(before.hard_limit_usd)}"
        said.append(f"set the limit to {dollars(after.hard_limit_usd)}{was}")
    more_nusd = nusd(after.funded_usd) - nusd(before.funded_usd)
    if more_nusd:
        said.append(
            f"granted {dollars(format_usd(more_nusd))}"
            if more_nusd > 0
            else f"took back {dollars(format_usd(-more_nusd))}"
        )
    if after.frozen_reason != before.frozen_reason:
        why = safe(after.frozen_reason or "")
        said.append(
            "unfroze it" if after.frozen_reason is None else f"froze it: {why}" if why else "froze it"
        )
    return said
