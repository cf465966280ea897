"""The newest refusal of some codes, from the ledger's files alone: for when no sidecar can be asked."""

from collections.abc import Sequence
from pathlib import Path

from spendguard_cli.ledger.journal import Journal
from spendguard_daemon import wire
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.system import SystemDisk

Last = tuple[wire.Call, str, int]
"""The refused call, the name of its agent, and how many calls of that agent were refused with its code."""


def last_refused(path: Path, codes: Sequence[str], agent_ref: str | None) -> Last | None:
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
    name = journal.names.get(last.agent_id) or last.agent_id
    return call_of(last), name, counts[last.agent_id, last.code]


def call_of(event: ev.Refused) -> wire.Call:
    """Return the call of a record as the sidecar tells it, which ended when the last one like it did."""
    return wire.Call(
        call_id=event.call_id,
        agent_id=event.agent_id,
        run_id=event.run_id,
        provider=event.provider,
        endpoint=event.endpoint,
        model=event.model,
        state="refused",
        hold_usd="0",
        cost_usd="0",
        usage=None,
        lines=[],
        changed=[],
        document_sha256=None,
        http_status=event.http_status,
        code=event.code,
        reason=event.detail,
        created_at=event.at,
        ended_at=event.until,
        count=event.count,
        facts=dict(event.facts),
    )
