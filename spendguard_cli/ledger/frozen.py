"""Who froze an agent, and when: found in the ledger's files from their end, beside a running sidecar."""

from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.folder import LedgerFolder
from spendguard_daemon.ledger.lines import LineError, open_line, read_event, read_time
from spendguard_daemon.system import SystemDisk
from spendguard_daemon.wire import iso

SEARCHED_BYTES = 64 * 1024 * 1024
"""How far back is looked: an older freeze is not worth the wait."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Who did it, as the ledger writes it, and when (ISO 8601)."""

    actor: str
    at: str


def last_freeze(path: Path, agent_id: str) -> Frozen | None:
    """Return the newest freeze of an agent; None where none is found. Raises OSError."""
    folder, left = LedgerFolder(path, SystemDisk()), SEARCHED_BYTES
    for file in reversed(folder.segments):
        raw = folder.read(file).raw
        at = raw.rfind(b'"t":"freeze"')
        while at >= 0:
            start, end = raw.rfind(b"\n", 0, at) + 1, raw.find(b"\n", at)
            found = _read(raw[start:end], agent_id) if end > 0 else None
            if found is not None:
                return found
            at = raw.rfind(b'"t":"freeze"', 0, start)
        left -= len(raw)
        if left <= 0:
            return None
    return None


def _read(line: bytes, agent_id: str) -> Frozen | None:
    try:
        envelope = open_line(line)
        event = read_event(line, envelope)
    except LineError:
        return None
    if not isinstance(event, ev.Freeze) or event.agent_id != agent_id:
        return None
    return Frozen(event.actor, iso(read_time(envelope)))
