"""Try to break the ledger and the bounds, without end: `python -m tests.campaign`; stop it with Ctrl-C.

    python -m tests.campaign                                       all parts in turn, from a random seed
    python -m tests.campaign --only simulate --seed 4711 --once    replay a failure exactly
    python -m tests.campaign --states 100000 --calls 1000000 --flips --kills 200 --bills 100000   once in full

Parts: `powercut` (disks as power cuts leave them), `bitflip` (every bit of a 20 kB journal), `simulate`
(whole histories, through the guard and of the ledger alone), `kill` (kill -9 of the real daemon under load),
`bills` (requests of each wire format, billed by providers that use all that was allowed), `surface` (every
operation of /openapi.json, asked as schemathesis draws it; `--examples 500` asks each so often, and ends),
`damages` (homes with files broken at random, and all that the command line then says of them).
Each job has a seed of its own, counted up from `--seed`; the first that fails is printed with the command
that replays it.
"""

import argparse
import json
import logging
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
for place in (ROOT / "tests" / "support", ROOT / "daemon"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import damages  # noqa: E402 (they are found by the lines above)
from billing import holds  # noqa: E402
from simulator import bare, bitflip, guarded, powercut  # noqa: E402

KILL_TEST = ROOT / "tests" / "e2e" / "test_kill.py"
KILLS_A_JOB = 10
FLIP_SHARES = 64
BARE_A_JOB = 4
BILLS_A_JOB = 500
DAMAGES_A_JOB = 50
SURFACE = ROOT / "tests" / "support" / "surface.py"
SURFACE_SHARES = 32
EXAMPLES = 500
REPORT_SECONDS = 20.0

PARTS = ("powercut", "bitflip", "simulate", "kill", "bills", "surface", "damages")

Result = tuple[Counter[str], set[bytes]]


def cut_job(seed: int) -> Result:
    """Run one scenario of power cuts."""
    report, seen = powercut.CutReport(), set[bytes]()
    powercut.Scenario(seed, report, seen).run_cuts()
    return Counter({"scenarios": 1, **report.kinds}), seen


def simulate_job(seed: int) -> Result:
    """Run one history through the guard, and some of the ledger alone."""
    whole = guarded.run(seed)
    counts = Counter(
        {
            "calls": whole.calls,
            "calls through the guard": whole.calls,
            "billed nUSD": whole.billed_nusd,
            "charged nUSD": whole.charged_nusd,
            "records lost, none acknowledged": whole.records_lost,
        }
    )
    counts.update({f"lives ended: {how}": count for how, count in whole.lives.items()})
    for part in range(BARE_A_JOB):
        alone = bare.run(seed * BARE_A_JOB + part)
        counts.update(
            {
                "calls": alone.calls,
                "calls of the ledger alone": alone.calls,
                "snapshots": alone.snapshots,
                "records lost, none acknowledged": alone.records_lost,
            }
        )
    return counts, set()


def flip_job(seed: int, share: int) -> Result:
    """Flip one share of the bits of the journal of this seed."""
    return Counter({"flips": bitflip.run(seed, share, FLIP_SHARES).flips}), set()


def kill_job(seed: int) -> Result:
    """Kill the real daemon some times under mixed load."""
    if not KILL_TEST.exists():
        raise FileNotFoundError(f"{KILL_TEST} is not there")
    seeds = {"SPENDGUARD_TEST_SEED": str(seed), "SPENDGUARD_TEST_KILLS": str(KILLS_A_JOB)}
    run_apart("-m", "pytest", "-q", "-p", "no:cacheprovider", str(KILL_TEST), env=seeds)
    return Counter({"kills": KILLS_A_JOB}), set()


def surface_job(seed: int, examples: int = EXAMPLES) -> Result:
    """Ask one share of the operations of the document so often each; which share, the seed says."""
    share = seed % SURFACE_SHARES
    told = run_apart(str(SURFACE), *map(str, (seed, examples, share, SURFACE_SHARES)))
    answers = [json.loads(line)[1] for line in told.splitlines()]
    asked = sum(sum(counts.values()) for counts in answers)
    return Counter({"operations": len(answers), "examples": asked, "shares": 1}), set()


def damage_job(seed: int) -> Result:
    """Break some homes, each with a seed of its own, and run all commands on each."""
    with tempfile.TemporaryDirectory() as folder:
        template = damages.Template.make(Path(folder))
        first = seed * DAMAGES_A_JOB
        return damages.run(template, Path(folder), range(first, first + DAMAGES_A_JOB)), set()


def run_apart(*command: str, env: Mapping[str, str] | None = None) -> str:
    """Run Python with these arguments in a process of its own; return what it printed, if it ended well."""
    path = os.pathsep.join(map(str, (ROOT / "daemon", ROOT, ROOT / "tests" / "support")))
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **(env or {}), "PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-8_000:]
    return done.stdout


def bill_job(seed: int, providers: tuple[str, ...] = ()) -> Result:
    """Draw requests of each format, or of these providers; hold their worst bills against their holds."""
    keys = [key for key in holds.CASES if not providers or key[0] in providers]
    accepted = {"/".join(key): holds.run(key, BILLS_A_JOB, seed=seed)["accepted"] for key in keys}
    return Counter({"requests of each format": min(accepted.values()), **accepted}), set()


class JobFailedError(Exception):
    """A job found something wrong: its part, its seed, and the whole trace as text."""

    def __str__(self) -> str:
        part, seed, trace = self.args
        again = f"python -m tests.campaign --only {part} --seed {seed} --once"
        return f"{trace}\n{part} failed with seed {seed}; replay it:\n    {again}"


def work(part: str, job: Callable[..., Result], args: tuple[int, ...]) -> tuple[Result, float]:
    """Run one job in a worker; return what it did, and its seconds."""
    logging.disable()
    started = time.monotonic()
    try:
        return job(*args), time.monotonic() - started
    except BaseException:  # noqa: BLE001 (whatever it is, it is what the campaign is for)
        raise JobFailedError(part, args[0], traceback.format_exc()) from None


@dataclass
class Part:
    """One part on its way. `wanted`: how many of `unit` are enough, None where they never are."""

    name: str
    unit: str
    job: Callable[..., Result]
    seed: int
    wanted: int | None
    counts: Counter[str] = field(default_factory=Counter)
    states: set[bytes] = field(default_factory=set)
    begun: int = 0
    running: int = 0
    seconds: float = 0.0

    def next_args(self) -> tuple[int, ...]:
        """Return the arguments of the next job, the seed first."""
        number = self.begun
        self.begun, self.running = number + 1, self.running + 1
        if self.job is flip_job:
            return self.seed + number // FLIP_SHARES, number % FLIP_SHARES
        return (self.seed + number,)

    def take(self, result: Result, seconds: float) -> None:
        """Add what a job did."""
        counts, states = result
        self.counts += counts
        self.states |= states
        self.running -= 1
        self.seconds += seconds

    @property
    def done(self) -> int:
        """How many of `unit` there were; power-cut states are counted once, however often they came."""
        return len(self.states) if self.job is cut_job else self.counts[self.unit]

    @property
    def over(self) -> bool:
        """Whether no more jobs need to begin."""
        if self.wanted is not None and self.job is flip_job:
            return self.begun >= FLIP_SHARES * self.wanted
        return self.wanted is not None and self.done >= self.wanted

    def line(self) -> str:
        """Return what was done so far, for people."""
        rate = self.done / self.seconds if self.seconds else 0.0
        more = "; ".join(
            f"{name} {count:,}" for name, count in sorted(self.counts.items()) if name != self.unit
        )
        return f"{self.name:9}{self.done:>12,} {self.unit}, {rate:,.1f}/s of one core; {more}"


def run(parts: list[Part], jobs: int, seconds: float, *, once: bool) -> None:
    """Run jobs of all parts, each part as long as the others, until all is done or the time is over."""
    ends_at, report_at = time.monotonic() + seconds, time.monotonic() + REPORT_SECONDS
    running: dict[Future[tuple[Result, float]], Part] = {}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        try:
            while True:
                open_parts = [part for part in parts if not (part.over or (once and part.begun))]
                if time.monotonic() > ends_at or (not open_parts and not running):
                    return
                while open_parts and len(running) < jobs:
                    part = min(open_parts, key=lambda part: (part.seconds + part.running, part.begun))
                    running[pool.submit(work, part.name, part.job, part.next_args())] = part
                    open_parts = [part for part in open_parts if not (part.over or once)]
                for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    running.pop(future).take(*future.result())
                if time.monotonic() > report_at:
                    report_at += REPORT_SECONDS
                    print_report(parts)
        finally:
            pool.shutdown(cancel_futures=True)


def print_report(parts: list[Part]) -> None:
    """Print one line for each part that has begun."""
    print(f"-- {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z", flush=True)
    for part in parts:
        if part.begun:
            print(part.line(), flush=True)


def read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, help="the seed of the first job; by default a random one")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--states", type=int, help="power-cut states that are enough")
    parser.add_argument("--flips", type=int, nargs="?", const=1, help="journals of 20 kB that are enough")
    parser.add_argument("--calls", type=int, help="simulated calls that are enough")
    parser.add_argument("--kills", type=int, help="kills that are enough")
    parser.add_argument("--bills", type=int, help="billed requests of each wire format that are enough")
    parser.add_argument("--examples", type=int, help="examples of each operation of the API that are enough")
    parser.add_argument("--damages", type=int, help="damaged homes that are enough")
    parser.add_argument("--provider", action="append", default=[], help="bills of this provider only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--once", action="store_true", help="one job of each part")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; return 1 where something was found."""
    args: Any = read_arguments(arguments)
    seed = random.SystemRandom().randrange(10**9) if args.seed is None else args.seed
    parts = [
        Part("powercut", "states", cut_job, seed, args.states),
        Part("bitflip", "flips", flip_job, seed, args.flips),
        Part("simulate", "calls", simulate_job, seed, args.calls),
        Part("kill", "kills", kill_job, seed, args.kills),
        Part(
            "bills",
            "requests of each format",
            partial(bill_job, providers=tuple(args.provider)),
            seed,
            args.bills,
        ),
        Part(
            "surface",
            "shares",
            partial(surface_job, examples=args.examples or EXAMPLES),
            seed,
            SURFACE_SHARES if args.examples else None,
        ),
        Part("damages", "damages", damage_job, seed, args.damages),
    ]
    if args.only:
        parts = [part for part in parts if part.name in args.only]
    elif any(part.wanted is not None for part in parts):
        parts = [part for part in parts if part.wanted is not None]
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    status = 0
    try:
        run(parts, args.jobs, args.minutes * 60, once=args.once)
    except JobFailedError as failure:
        print(failure, file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("stopped")
    print_report(parts)
    print(f"seed {seed}, {time.monotonic() - started:,.0f} s, {'FAILED' if status else 'nothing found'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
