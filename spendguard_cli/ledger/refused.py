"""Refusals from the ledger's files alone, for when no sidecar can be asked: the newest, or one by its id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spendguard_cli.ledger.journal import Journal
from spendguard_cli.ledger.one_call import search
from spendguard_cli.ledger.refused_call import call_of
from spendguard_cli.ways_on import refs_of
from spendguard_daemon import wire
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.system import SystemDisk


@dataclass(frozen=True, slots=True)
class Told:
    """A refused call; the name of its agent, and how a command names it; how many it has of this code."""

    call: wire.Call
    name: str
    ref: str
    count: int


def last_refused(path: Path, codes: Sequence[str], agent_ref: str | None) -> Told | None:
    """Return the newest refusal with one of these codes, of any agent or of one named by id or name.

    None too where no ledger was ever made. Raises LEDGER_DAMAGED or LEDGER_NEWER with the place, OSError
    where the files cannot be read.
    """
    if not path.exists():
        return None
    journal = Journal.read(path, disk=SystemDisk(), on_progress=lambda _done, _all: None)
    last: ev.Refused | None = None
    counts: dict[tuple[str, str], int] = {}
    for record in journal.records():
        event = record.event
        if not isinstance(event, ev.Refused) or event.code not in codes:
            continue
        if agent_ref is None or agent_ref in (event.agent_id, journal.names.get(event.agent_id)):
            last = event
            kind = (event.agent_id, event.code)
            counts[kind] = counts.get(kind, 0) + event.count
    if last is None:
        return None
    living = {agent_id: name for agent_id, name in journal.names.items() if agent_id not in journal.gone}
    return _told(last, living, counts[last.agent_id, last.code])


def refused_call(path: Path, call_id: str) -> Told | None:
    """Return one refused call by its whole id; raises OSError where the files cannot be read."""
    found = search(path, call_id, disk=SystemDisk(), on_progress=lambda _done, _all: None)
    for event, _ in found.calls.get(call_id, ()):
        if isinstance(event, ev.Refused):
            return _told(event, found.names, event.count)
    return None


def _told(event: ev.Refused, names: Mapping[str, str], count: int) -> Told:
    agent_id = event.agent_id
    ref = refs_of(names).get(agent_id, agent_id)
    return Told(call_of(event), names.get(agent_id) or agent_id, ref, count)
