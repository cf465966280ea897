"""The calls that a sidecar left in flight, read as its next start reads them. Nothing is written."""

from dataclasses import dataclass
from pathlib import Path

from spendguard_daemon.ledger.basis import newest_basis
from spendguard_daemon.ledger.folder import LedgerFolder
from spendguard_daemon.ledger.recovery import plan
from spendguard_daemon.ledger.replay import replay
from spendguard_daemon.system import SystemDisk


@dataclass(frozen=True, slots=True)
class Open:
    """How many calls have a hold and no end, what they hold together (nUSD), and of which agents (ids)."""

    calls: int
    held_nusd: int
    agent_ids: tuple[str, ...]


def left_open(folder: Path) -> Open:
    """Return the open calls of a ledger that no sidecar has open.

    Raises LEDGER_DAMAGED or LEDGER_NEWER as a start would, OSError where the files cannot be read.
    """
    files = LedgerFolder(folder, SystemDisk())
    if not files.segments:
        return Open(0, 0, ())
    basis = newest_basis(files, [])
    tail = files.after(basis.origin.seq)
    found = plan(files.read_all(tail), files.read_head(), origin=basis.origin, begun_seq=files.begun_seq)
    replay(files.read_all(tail), found, basis.state, basis.history, wall_ns=basis.wall_ns)
    holds = [call.hold for call in basis.state.open_calls.values()]
    agents = tuple(dict.fromkeys(hold.agent_id for hold in holds))
    return Open(len(holds), sum(hold.amount_nusd for hold in holds), agents)
