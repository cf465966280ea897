"""What people did to an agent's money and leave to spend it, as far as the feed told it. Pure."""

from dataclasses import dataclass

from spendguard_cli.views.ink import nusd
from spendguard_cli.ways.case import dollars
from spendguard_daemon.feed_wire import Event, Money
from spendguard_daemon.money import format_usd
from spendguard_daemon.text import safe

DEEDS_MAX = 50
"""How many are kept of each agent; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something was done: when, by whom, and in words what. All of it is safe to show."""

    at: str
    actor: str
    said: str


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
