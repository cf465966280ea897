"""Mutation run: change one thing in the code that counts money, and see whether the core suite notices.

    python bench/mutate.py                              every mutant (about an hour on two cores)
    python bench/mutate.py --sample 300 --seed 7        300 of them, by chance
    python bench/mutate.py --files money.py ledger/budgets.py
    python bench/mutate.py --show 1234                  the module with mutant 1234 in it

Ends with 1 where fewer than 95 % are killed, or one survives that `tests/mutants.md` does not explain. A
mutant that makes a test hang is killed. `mutants` says what is changed, `mutant_trial` how it is tried.
"""

import argparse
import ast
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mutant_trial import (
    ROOT,
    SURVIVED,
    UNCHANGED,
    UNREACHED,
    Coverage,
    Server,
    collect_and,
    in_fork,
    judge_in_functions,
    judge_in_modules,
    trace_suite,
)
from mutants import DAEMON, Mutant, all_mutants, mutated, told

TARGETS = (
    "money.py",
    "usage.py",
    "bill.py",
    "pricing/ratecard.py",
    "pricing/buckets.py",
    "pricing/modifiers.py",
    "ledger",
)
CORE = ROOT / "tests" / "core.txt"
EXPLAINED = ROOT / "tests" / "mutants.md"
MEASURE_SECONDS_MAX = 600
KILLED_SHARE_MIN = 0.95


def targets(names: Sequence[str]) -> list[str]:
    """Return the files to mutate, relative to the daemon's package."""
    files: list[str] = []
    for name in names:
        place = DAEMON / name
        found = sorted(place.glob("*.py")) if place.is_dir() else [place]
        files += [str(path.relative_to(DAEMON)) for path in found if path.name != "__init__.py"]
    return files


def measure(suite: Sequence[str]) -> Coverage:
    """Run the suite in a child, with its lines traced; return what it reached."""
    with tempfile.NamedTemporaryFile() as file:

        def attempt() -> int:
            def task(server: Server) -> None:
                coverage = trace_suite(server)
                text = json.dumps({"lines": coverage.lines, "seconds": coverage.seconds})
                Path(file.name).write_text(text, encoding="utf-8")

            collect_and(task, suite)
            return 0

        in_fork(attempt, MEASURE_SECONDS_MAX, loud=True)
        raw = Path(file.name).read_text(encoding="utf-8")
        if not raw:
            raise SystemExit("the core suite cannot be collected, or takes too long")
        data = json.loads(raw)
    lines = {file: {int(line): tests for line, tests in by.items()} for file, by in data["lines"].items()}
    return Coverage(lines, data["seconds"])


def work(mutants: list[Mutant], coverage: Coverage, suite: Sequence[str], writer: int) -> None:
    """Judge some mutants in this process, and write a line for each."""

    def say(mutant: Mutant, verdict: int | None) -> None:
        os.write(writer, f"{mutant.number} {'hangs' if verdict is None else verdict}\n".encode())

    def functions() -> int:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        inside = [mutant for mutant in mutants if mutant.in_function]
        collect_and(lambda server: judge_in_functions(server, coverage, inside, say), suite)
        return 0

    # In a child, so that nothing of ours is imported here when modules are loaded anew after it.
    pid = os.fork()
    if pid == 0:
        os._exit(functions())
    os.waitpid(pid, 0)
    judge_in_modules([mutant for mutant in mutants if not mutant.in_function], suite, coverage, say)


def judge(
    mutants: list[Mutant], coverage: Coverage, suite: Sequence[str], jobs: int
) -> dict[int, int | None]:
    """Try all mutants on so many processes; return each one's verdict."""
    reader, writer = os.pipe()
    children = []
    for job in range(jobs):
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            work(mutants[job::jobs], coverage, suite, writer)
            os._exit(0)
        children.append(pid)
    os.close(writer)
    by_number = {mutant.number: mutant for mutant in mutants}
    verdicts: dict[int, int | None] = {}
    started, said_at = time.monotonic(), 0.0
    with os.fdopen(reader) as lines:
        for line in lines:
            number, verdict = line.split()
            verdicts[int(number)] = None if verdict == "hangs" else int(verdict)
            if verdict in (str(SURVIVED), str(UNREACHED)):
                print(f"alive: {number} {told(by_number[int(number)])}", file=sys.stderr, flush=True)
            if time.monotonic() - said_at > 10:
                said_at = time.monotonic()
                done, rate = len(verdicts), len(verdicts) / (time.monotonic() - started + 0.001)
                print(f"{done} of {len(mutants)}, {rate:.1f}/s", file=sys.stderr, flush=True)
    for pid in children:
        os.waitpid(pid, 0)
    return verdicts


def report(mutants: Sequence[Mutant], verdicts: dict[int, int | None]) -> bool:
    """Print the survivors and the share of killed mutants, by file and in all; tell whether it is enough."""
    explained = EXPLAINED.read_text(encoding="utf-8") if EXPLAINED.exists() else ""
    killed: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    unexplained = 0
    for mutant in mutants:
        verdict = verdicts.get(mutant.number, SURVIVED)
        if verdict == UNCHANGED:
            continue  # the compiler makes the same code of it
        tried[mutant.file] += 1
        if verdict not in (SURVIVED, UNREACHED):
            killed[mutant.file] += 1
            continue
        is_new = f"`{told(mutant)}`" not in explained
        unexplained += is_new
        mark = "not reached" if verdict == UNREACHED else "survived"
        new = ", not explained" if is_new else ""
        print(f"{mutant.number:5} line {mutant.line:3}, {told(mutant)}: {mark}{new}")
    for file in tried:
        print(f"{killed[file]:5} of {tried[file]:5} killed  {killed[file] / tried[file]:7.1%}  {file}")
    share = killed.total() / max(1, tried.total())
    print(
        f"{killed.total():5} of {tried.total():5} killed  {share:7.1%}  {unexplained} survivors unexplained"
    )
    return share >= KILLED_SHARE_MIN and not unexplained


def main() -> int:
    """Run; return 1 where too few mutants were killed, or a survivor is not explained."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--files", nargs="+", default=list(TARGETS), help="below daemon/spendguard_daemon")
    parser.add_argument("--sample", type=int, help="how many mutants, by chance")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of mutants, as a run printed them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", type=int, help="print the module with this mutant in it")
    args = parser.parse_args()
    os.environ["LEDGER_MACHINE_EXAMPLES"] = "12"
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT / "daemon"), str(ROOT / "tests" / "support"), str(ROOT)]
    mutants = all_mutants(targets(args.files))
    if args.show is not None:
        print(ast.unparse(mutated(mutants[args.show])))
        return 0
    if args.only:
        mutants = [mutants[number] for number in args.only]
    elif args.sample:
        mutants = sorted(random.Random(args.seed).sample(mutants, args.sample), key=lambda m: m.number)
    suite = CORE.read_text(encoding="utf-8").splitlines()
    started = time.monotonic()
    coverage = measure(suite)
    print(f"measured in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"{len(mutants)} mutants, {len(coverage.seconds)} tests, {sum(coverage.seconds.values()):.1f} s")
    return 0 if report(mutants, judge(mutants, coverage, suite, args.jobs)) else 1


if __name__ == "__main__":
    sys.exit(main())
