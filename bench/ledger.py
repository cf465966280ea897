"""What the ledger costs: `python bench/ledger.py [--json] [--folder DIR] [--records N] [--quick]`.

Durable holds per second with 1 to 1,000 callers, as a ratio to a loop that only writes and syncs the very
same batches right afterwards on the same disk; replay speed; start-up time with a long history, before and
after compaction; memory for each 100,000 agents. Figures of one machine say little: the ratio travels.
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "daemon"))

from spendguard_daemon.ledger import commands as cmd  # noqa: E402 (found by the line above)
from spendguard_daemon.ledger.events import Hold  # noqa: E402
from spendguard_daemon.ledger.journal import Entry, Journal, Writer  # noqa: E402
from spendguard_daemon.ledger.ledger import Ledger  # noqa: E402
from spendguard_daemon.ledger.room import RoomLimits  # noqa: E402
from spendguard_daemon.money import LinearCost  # noqa: E402
from spendguard_daemon.system import SystemClock, SystemDisk, SystemFile, SystemRng  # noqa: E402

NO_ROOM_NEEDED = RoomLimits(free_bytes_min=0, ballast_bytes=0)
HOLDS = {1: 3_000, 10: 15_000, 100: 40_000, 1_000: 60_000}
OFFERS = (cmd.Offer("bytes", 400, LinearCost(60_000_000, 600_000, 1_000)),)
RATES = {"input": 150_000, "cache_read": 75_000, "output": 600_000}
USAGE = {"input_tokens": 310, "output_tokens": 120}
LINES: list[dict[str, int | str]] = [
    {"name": "input", "quantity": 310, "unit": "token", "rate": 150_000, "cost_nusd": "46500"},
    {"name": "output", "quantity": 120, "unit": "token", "rate": 600_000, "cost_nusd": "72000"},
]


def hold_call(number: int, agent_id: str) -> cmd.HoldCall:
    """Return a hold as a common call makes it."""
    return cmd.HoldCall(
        call_id=f"3f0c1a52-7d3e-4a5b-9c1d-{number:012d}",
        agent_id=agent_id,
        run_id="default",
        provider="openai",
        endpoint="chat/completions",
        model="gpt-4o-mini",
        offers=OFFERS,
        choices=1,
        asked_output_tokens=400,
        output_tokens=400,
        floor_output_tokens=400,
        injected=False,
        document_sha256="d" * 64,
        rates=RATES,
        deadline_ns=2_000_000_000 * 10**9,
    )


class LazyDisk(SystemDisk):
    """The real disk without syncs, to make a long history in a short time."""

    def open_append(self, path: Path) -> SystemFile:
        return _LazyFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))

    def sync_folder(self, _: Path) -> None:
        return


class _LazyFile(SystemFile):
    def sync(self) -> None:
        return


class NotingWriter:
    """Counts the batches that a writer makes durable, and the bytes of each."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self._append = Writer._append

    def __enter__(self) -> Self:
        def append(writer: Writer, data: bytes) -> None:
            self.batches.append(len(data))
            self._append(writer, data)

        Writer._append = append  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Writer._append = self._append  # type: ignore[method-assign]


def open_ledger(folder: Path, disk: SystemDisk | None = None, kind: type[Ledger] = Ledger) -> Ledger:
    """Open a ledger; a disk that fails ends the run."""
    return kind.open(
        folder,
        disk=disk or SystemDisk(),
        clock=SystemClock(),
        rng=SystemRng(),
        fatal=lambda _: os._exit(74),
        version="bench",
        limits=NO_ROOM_NEEDED,
        unsafe_fs=True,
    )


def add_agents(ledger: Ledger, count: int) -> list[str]:
    """Make agents with money without end."""
    agents = [f"b6a1c2d3-0000-4000-8000-{number:012d}" for number in range(count)]
    for agent_id in agents:
        ledger.post(cmd.NewAgent(agent_id, "bench", "shared", "clamp", False, "bench"))
        ledger.post(cmd.GrantBudget(agent_id, 10**15, None, "bench"))
    return agents


# -- durable holds ----------------------------------------------------------------------------------------


async def time_holds(folder: Path, callers: int, holds: int) -> tuple[float, list[float]]:
    """Let so many callers hold as fast as they can; return the seconds in all, and those of each hold."""
    ledger = open_ledger(folder)
    agents = add_agents(ledger, min(callers, 20))
    ledger.start(asyncio.get_running_loop())
    seconds: list[float] = []
    numbers = iter(range(holds))

    async def call(agent_id: str) -> None:
        for number in numbers:
            started = time.perf_counter()
            await ledger.hold(hold_call(number, agent_id), 0)
            seconds.append(time.perf_counter() - started)

    gc.collect()
    started = time.perf_counter()
    await asyncio.gather(*(call(agents[caller % len(agents)]) for caller in range(callers)))
    elapsed = time.perf_counter() - started
    await ledger.close("bench")
    return elapsed, seconds


def time_bare_writes(folder: Path, batches: Sequence[int]) -> float:
    """Write and sync batches of these sizes, with a head after each; return the seconds."""
    disk = SystemDisk()
    segment, head = disk.open_append(folder / "bare"), disk.open_update(folder / "bare-head")
    data = os.urandom(max(batches))
    started = time.perf_counter()
    for number, size in enumerate(batches):
        left = size
        while left:
            left -= segment.write(data[:left])
        segment.sync()
        head.write_at(number % 2 * 128, data[:128])
    return time.perf_counter() - started


def bench_holds(folder: Path, callers: int, holds: int) -> dict[str, Any]:
    """Return holds per second, their latency, and the ratio to bare writes of the same batches."""
    place = folder / f"holds-{callers}"
    with NotingWriter() as noted:
        elapsed, seconds = run_loop(time_holds(place, callers, holds))
    batches = noted.batches[-_batches_of_holds(noted.batches, callers) :]
    bare = time_bare_writes(place, batches)
    seconds.sort()
    return {
        "callers": callers,
        "holds_per_second": round(holds / elapsed),
        "p50_ms": round(seconds[len(seconds) // 2] * 1_000, 3),
        "p99_ms": round(seconds[len(seconds) * 99 // 100] * 1_000, 3),
        "holds_per_batch": round(holds / len(batches), 1),
        "bare_holds_per_second": round(holds / bare),
        "ratio": round(bare / elapsed, 3),
    }


def _batches_of_holds(batches: Sequence[int], callers: int) -> int:
    """Return how many batches there were after those of opening and of the agents, which are one each."""
    return max(1, len(batches) - 1 - 2 * min(callers, 20) - 1)


def run_loop(work: Any) -> Any:
    """Run on the loop that the daemon would use."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


# -- history ----------------------------------------------------------------------------------------------


class BatchJournal(Journal):
    """Writes in large batches, on the calling thread."""

    def append(self, entries: Sequence[Entry]) -> None:
        self._queue.extend(entries)
        if len(self._queue) >= 2_000:
            self.flush()

    def flush(self) -> None:
        """Write what is queued."""
        batch, self._queue = self._queue, []
        if batch:
            self._on_durable(self._writer.write(batch))


class BatchLedger(Ledger):
    """A ledger that writes a history quickly."""

    journal_kind = BatchJournal


def make_history(folder: Path, records: int) -> float:
    """Write a history of calls in a folder; return the seconds it took."""
    started = time.perf_counter()
    ledger = open_ledger(folder, LazyDisk(), BatchLedger)
    journal = ledger._journal
    assert isinstance(journal, BatchJournal)
    agents = add_agents(ledger, 100)
    for number in range((records - 200) // 3):
        (hold,) = ledger.post(hold_call(number, agents[number % 100]))
        assert isinstance(hold, Hold)
        ledger.post(cmd.MarkSent(hold.call_id, ["service_tier: none -> default"]))
        ledger.post(cmd.SettleCall(hold.call_id, 118_500, USAGE, LINES, 200, "reported usage"))
    journal.flush()
    journal.stop()
    ledger._lock.close()
    return time.perf_counter() - started


async def compact(folder: Path) -> float:
    """Run the daemon's own compaction; return the seconds until it has ended."""
    ledger = open_ledger(folder)
    started = time.perf_counter()
    ledger.start(asyncio.get_running_loop())
    while ledger._compaction.running:
        await asyncio.sleep(0.05)
    elapsed = time.perf_counter() - started
    await ledger.close("bench")
    return elapsed


def in_fresh_process(what: str, *arguments: object) -> dict[str, float]:
    """Measure in a process of its own, so that no garbage of this one counts."""
    command = [sys.executable, str(Path(__file__).resolve()), what, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def measure_open(folder: Path) -> dict[str, float]:
    """Open a ledger, and tell the seconds and the MiB that this took."""
    before_mib = rss_mib()
    started = time.perf_counter()
    ledger = open_ledger(folder)
    elapsed = time.perf_counter() - started
    ledger._journal.stop()
    return {"seconds": elapsed, "mib": rss_mib() - before_mib, "records": ledger.recovered.records}


def measure_agents(folder: Path, count: int) -> dict[str, float]:
    """Tell the MiB that so many agents with a budget take."""
    ledger = open_ledger(folder, LazyDisk(), BatchLedger)
    gc.collect()
    before_mib = rss_mib()
    add_agents(ledger, count)
    gc.collect()
    return {"mib": rss_mib() - before_mib}


def rss_mib() -> float:
    """Return this process's resident memory; Linux only, 0 elsewhere."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def bench_history(folder: Path, records: int) -> dict[str, Any]:
    """Return replay speed and start-up times."""
    place = folder / "history"
    made = make_history(place, records)
    replayed = in_fresh_process("open", place)
    compacted = run_loop(compact(place))
    opened = in_fresh_process("open", place)
    return {
        "records": records,
        "made_seconds": round(made, 1),
        "replay_seconds": round(replayed["seconds"], 2),
        "replay_records_per_second": round(replayed["records"] / replayed["seconds"]),
        "compaction_seconds": round(compacted, 1),
        "open_after_compaction_seconds": round(opened["seconds"], 2),
        "open_after_compaction_mib": round(opened["mib"], 1),
    }


# -- the report -------------------------------------------------------------------------------------------


def table(rows: Iterable[dict[str, Any]]) -> None:
    """Print rows with the same columns."""
    rows = list(rows)
    widths = {name: max(len(name), *(len(f"{row[name]:,}") for row in rows)) for name in rows[0]}
    print("  ".join(name.rjust(width) for name, width in widths.items()))
    for row in rows:
        print("  ".join(f"{row[name]:,}".rjust(width) for name, width in widths.items()))


def main() -> int:
    """Measure and print."""
    if sys.argv[1:2] == ["open"]:
        print(json.dumps(measure_open(Path(sys.argv[2]))))
        return 0
    if sys.argv[1:2] == ["agents"]:
        print(json.dumps(measure_agents(Path(sys.argv[2]), int(sys.argv[3]))))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--folder", type=Path, help="where to write; by default in the system's temporary folder"
    )
    parser.add_argument("--records", type=int, default=1_000_000, help="records of history")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    args = parser.parse_args()
    share = 10 if args.quick else 1
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        holds = [bench_holds(folder, callers, count // share) for callers, count in HOLDS.items()]
        history = bench_history(folder, args.records // share)
        agents = in_fresh_process("agents", folder / "agents", 100_000 // share)
    memory = {"agents": 100_000, "mib": round(agents["mib"] * share, 1)}
    if args.json:
        print(json.dumps({"holds": holds, "history": history, "memory": memory}, sort_keys=True))
        return 0
    table(holds)
    print()
    table([history])
    print()
    table([memory])
    return 0


if __name__ == "__main__":
    sys.exit(main())
