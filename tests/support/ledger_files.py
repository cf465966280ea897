"""Ledgers of tests as real files, for commands that read a folder; and what a plain reader sees."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from compacting import SEGMENT_BYTES, busy, compact, first_steps
from ledger_kit import FOLDER, open_ledger
from sim import SimClock, SimDisk
from spendguard_daemon.ledger.ledger import Ledger


def archived_history(steps: int = 300) -> tuple[SimDisk, Ledger]:
    """Return a ledger with small segments, most of them archived, some behind no snapshot yet, calls open."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    busy(ledger, clock, steps)
    compact(ledger, disk)
    clock.advance(3 * 86_400)
    busy(ledger, clock, steps, seed=1)
    compact(ledger, disk)
    busy(ledger, clock, 40, seed=2)
    return disk, ledger


def put_down(disk: SimDisk, folder: Path) -> None:
    """Write a simulated ledger's files into a real folder, with the modes of a home."""
    for path, node in disk.files.items():
        target = folder / path.relative_to(FOLDER)
        for parent in (folder.parent, folder, target.parent):
            parent.mkdir(mode=0o700, exist_ok=True)
        target.write_bytes(bytes(node.data))
        target.chmod(0o600)


def records(folder: Path) -> list[dict[str, Any]]:
    """Return every whole record of a ledger's folder, archived ones first."""
    files = sorted([*folder.glob("archive/seg-*"), *folder.glob("seg-*")], key=lambda path: path.name)
    lines = [line for path in files for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def costs(told: list[dict[str, Any]]) -> dict[str, Counter[tuple[str, ...]]]:
    """Add up what calls cost in the end, in nUSD, by agent, run, model and the day of their end."""
    holds = {record["call_id"]: record for record in told if record["t"] == "hold"}
    ends = {
        record["call_id"]: record for record in told if record["t"] in ("settle", "settle_worst", "overrun")
    }
    final = {call_id: record["cost_nusd"] for call_id, record in ends.items()}
    voids = {record["call_id"]: record for record in told if record["t"] == "void"}
    for record in told:
        if record["t"] == "adjust":
            final[record["call_id"]] = record["to_nusd"]
    sums: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for call_id, nusd in final.items():
        hold, end = holds[call_id], ends.get(call_id) or voids[call_id]
        sums["agent"][(hold["agent_id"],)] += nusd
        sums["run"][(hold["agent_id"], hold["run_id"])] += nusd
        sums["model"][(hold["provider"], hold["model"])] += nusd
        sums["day"][(end["ts"][:10],)] += nusd
    return sums
