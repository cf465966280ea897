"""What people did to an agent's budget and its leave to spend: a bounded view, fed by events, for people.

Owns no money and decides nothing; when it forgets, the journal still knows. Live and on replay alike. An
agent's list that begins with its making is whole; of any other, older deeds were forgotten.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from spendguard_daemon.ledger import events as ev

DEEDS_PER_AGENT_MAX = 32
DEEDS_MAX = 20_000
KEPT_DEEDS = 5_000
"""How many outlive a compaction and a restart: the latest of all agents."""

DeedKind = Literal["made", "budget", "frozen", "unfrozen", "settings", "restored", "confirmed"]


class Deed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was done to an agent at `at_ns` (wall ns), and by whom. Money in nUSD.

    Of a budget: the limit since then, what was granted, what of the grant did not fit, what was taken away.
    `spent_nusd` is what was entered as spent between a backup and its restore.
    """

    agent_id: str
    at_ns: int
    kind: DeedKind
    actor: str
    limit_nusd: int | None = None
    applied_nusd: int = 0
    ignored_nusd: int = 0
    cut_nusd: int = 0
    spent_nusd: int = 0
    reason: str = ""


class Deeds:
    """The deeds of late. Of too many, the first one of the agent that was left alone the longest goes."""

    def __init__(self, deeds: Iterable[Deed] = ()) -> None:
        self._of: dict[str, tuple[Deed, ...]] = {}
        self._count = 0
        for deed in deeds:
            self._add(deed)

    def of(self, agent_id: str) -> tuple[Deed, ...]:
        """Return the deeds of an agent, oldest first."""
        return self._of.get(agent_id, ())

    def agents(self) -> Iterable[str]:
        """Return the ids of the agents of which any deed is known."""
        return self._of

    def copy(self) -> "Deeds":
        """Return one that goes on apart from this one."""
        copied = Deeds()
        copied._of, copied._count = dict(self._of), self._count
        return copied

    def kept(self) -> list[Deed]:
        """Return what a snapshot keeps, oldest first."""
        deeds = [deed for of_agent in self._of.values() for deed in of_agent]
        return sorted(deeds, key=lambda deed: deed.at_ns)[-KEPT_DEEDS:]

    def note(self, event: ev.Event, wall_ns: int) -> None:
        """Follow one event; whoever is deleted is forgotten."""
        if isinstance(event, ev.AgentDel):
            self._count -= len(self._of.pop(event.agent_id, ()))
        elif isinstance(event, ev.Restored):
            for agent_id in list(self._of):
                self._add(Deed(agent_id=agent_id, at_ns=wall_ns, kind="restored", actor=event.actor))
        else:
            deed = _deed(event, wall_ns)
            if deed is not None:
                self._add(deed)

    def _add(self, deed: Deed) -> None:
        of_agent = self._of.pop(deed.agent_id, ())
        self._of[deed.agent_id] = (*of_agent, deed)[-DEEDS_PER_AGENT_MAX:]
        self._count += len(self._of[deed.agent_id]) - len(of_agent)
        if self._count > DEEDS_MAX:
            first = next(iter(self._of))
            self._of[first] = self._of[first][1:]
            self._count -= 1
            if not self._of[first]:
                del self._of[first]


def _deed(event: ev.Event, wall_ns: int) -> Deed | None:
    """Return what an event tells of a deed, None where it tells of none."""
    match event:
        case ev.AgentNew(agent_id=agent_id, actor=actor):
            return Deed(agent_id=agent_id, at_ns=wall_ns, kind="made", actor=actor)
        case ev.AgentSet(agent_id=agent_id, actor=actor):
            return Deed(agent_id=agent_id, at_ns=wall_ns, kind="settings", actor=actor)
        case ev.Freeze(agent_id=agent_id, actor=actor, reason=reason):
            return Deed(agent_id=agent_id, at_ns=wall_ns, kind="frozen", actor=actor, reason=reason)
        case ev.Unfreeze(agent_id=agent_id, actor=actor):
            return Deed(agent_id=agent_id, at_ns=wall_ns, kind="unfrozen", actor=actor)
        case ev.BudgetSet():
            return Deed(
                agent_id=event.agent_id,
                at_ns=wall_ns,
                kind="budget",
                actor=event.actor,
                limit_nusd=event.limit_nusd,
                applied_nusd=event.applied_nusd,
                ignored_nusd=event.ignored_nusd,
                cut_nusd=event.cut_nusd,
            )
        case ev.RestoreConfirmed():
            return Deed(
                agent_id=event.agent_id,
                at_ns=wall_ns,
                kind="confirmed",
                actor=event.actor,
                spent_nusd=event.spent_nusd,
                reason=event.reason,
            )
    return None
