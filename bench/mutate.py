"""Mutation run: change one thing in the code that counts money, and see whether the core suite notices.

    python bench/mutate.py                              every mutant (about half an hour on two cores)
    python bench/mutate.py --sample 300 --seed 7        300 of them, by chance
    python bench/mutate.py --files money.py ledger/budgets.py
    python bench/mutate.py --show 1234                  what mutant 1234 is, as a diff line

The core suite is collected once, in a server process. For each mutant the server forks; the child puts the
mutated code into the functions concerned and runs the tests that reach the mutated line, fastest first, until
one fails. Mutants outside of functions (constants, defaults, class bodies) need the module loaded anew: their
child forks before anything of ours is imported, and loads the mutated source through an import hook. Nothing
is written to the tree. A mutant that takes ten times as long as the suite counts as killed: it hangs.
"""

import argparse
import ast
import contextlib
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any

from mutants import DAEMON, Mutant, module_name, mutants_of, mutated

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("ledger", "money.py", "pricing/ratecard.py", "pricing/buckets.py")
SUITE = (
    "test_money.py",
    "test_buckets.py",
    "test_ratecard.py",
    "test_ratecard_properties.py",
    "test_ledger*.py",
    "test_seeds.py",
)
"""The core suite, below tests/sidecar: it takes less than 20 s."""

TEST_SECONDS_MAX = 1.5
"""Slower tests are not of the core suite."""
MUTANT_SECONDS_MAX = 60
STATEMENT_LINES = 15

# -- in a child: put the mutant in place ------------------------------------------------------------------


def codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object and all that are nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_of(constant)


def replace_code(mutant: Mutant) -> bool:
    """Give the living functions of the mutated module their mutated code; tell whether any was changed."""
    path = str(DAEMON / mutant.file)
    module = compile(mutated(mutant), path, "exec")
    new = {(code.co_qualname, code.co_firstlineno): code for code in codes_of(module)}
    changed = False
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType) and thing.__code__.co_filename == path:
            code = new.get((thing.__code__.co_qualname, thing.__code__.co_firstlineno))
            if code is not None and len(code.co_freevars) == len(thing.__code__.co_freevars):
                changed |= code != thing.__code__
                thing.__code__ = code
        elif isinstance(thing, _lru_cache_wrapper) and (thing.__module__ or "").startswith(
            "spendguard_daemon"
        ):
            thing.cache_clear()
    return changed


class MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutated module in place of the real one."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant, self._name = mutant, module_name(mutant.file)

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        if name != self._name:
            return None
        place = str(DAEMON / self._mutant.file)
        return importlib.util.spec_from_file_location(name, place, loader=self)

    def create_module(self, _: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(compile(mutated(self._mutant), module.__spec__.origin, "exec"), module.__dict__)  # type: ignore[union-attr, arg-type]


# -- the server: the suite collected once, a fork for each mutant -----------------------------------------


@dataclass
class Coverage:
    """Which tests reach which line, and how long each test takes."""

    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def tests_for(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach a mutant's line, the fastest first."""
        lines = self.lines.get(mutant.file, {})
        # A line within a statement is not always counted itself; then the statement's first one is.
        near = (lines.get(line) for line in range(mutant.line, mutant.line - STATEMENT_LINES, -1))
        tests = next((tests for tests in near if tests), [])
        return sorted(tests, key=lambda test: self.seconds[test])


class Server:
    """A pytest plugin: takes over the run loop, and runs tests in forks."""

    def __init__(self, task: Callable[["Server"], None]) -> None:
        self._task = task
        self.items: dict[str, Any] = {}
        self.failed = False

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        self.items = {item.nodeid: item for item in items}

    def pytest_runtestloop(self) -> bool:
        self._task(self)
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.failed |= report.failed

    def run_one(self, test: str) -> bool:
        """Run one test here; tell whether it passed."""
        item = self.items[test]
        self.failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self.failed


def collect_and(task: Callable[[Server], None], suite: Sequence[str]) -> None:
    """Collect the suite in this process and do `task` with it."""
    import hypothesis
    import pytest

    hypothesis.settings.register_profile(
        "mutants",
        max_examples=25,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")
    # The warning: hypothesis was imported before, once for all forks.
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--no-summary"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    pytest.main([*options, "--rootdir", str(ROOT), *suite], plugins=[Server(task)])


def trace_suite(server: Server) -> Coverage:
    """Run every test twice: for the lines that it reaches in the target files, and for the time it takes."""
    import coverage

    tracer = coverage.Coverage(data_file=None, source=[str(DAEMON)], messages=False, config_file=False)
    tracer.start()
    broken = set()
    for test in server.items:
        tracer.switch_context(test)
        if not server.run_one(test):
            broken.add(test)
            print(f"left out, for it fails without any mutant: {test}", file=sys.stderr, flush=True)
    tracer.stop()
    found, data = Coverage(), tracer.get_data()
    for test in server.items.keys() - broken:
        started = time.perf_counter()
        server.run_one(test)
        found.seconds[test] = time.perf_counter() - started
    core = {test for test, seconds in found.seconds.items() if seconds < TEST_SECONDS_MAX}
    found.seconds = {test: found.seconds[test] for test in core}
    for path in data.measured_files():
        contexts = data.contexts_by_lineno(path)
        by_line = {line: sorted(core & set(tests)) for line, tests in contexts.items()}
        found.lines[os.path.relpath(path, DAEMON)] = by_line
    return found


def in_fork(work: Callable[[], int], seconds: float, *, loud: bool = False) -> int | None:
    """Do `work` in a fork, silently unless `loud`; return its exit code, None where it took too long."""
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
            resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
            if not loud:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, 1)
                os.dup2(null, 2)
            status = work()
        except BaseException:  # noqa: BLE001 (whatever a mutant breaks, this child must end here)
            status = 71
            if loud:
                traceback.print_exc()
        finally:
            os._exit(status)
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


SURVIVED, UNREACHED, UNCHANGED = 0, 3, 4


def judge_in_functions(server: Server, coverage: Coverage, mutants: Sequence[Mutant], say: Any) -> None:
    """Try mutants inside functions, each in a fork of this process, in which the suite is collected."""
    for mutant in mutants:
        tests = coverage.tests_for(mutant)

        def attempt(mutant: Mutant = mutant, tests: list[str] = tests) -> int:
            if not replace_code(mutant):
                return UNCHANGED
            return SURVIVED if all(server.run_one(test) for test in tests) else 1

        seconds = min(MUTANT_SECONDS_MAX, 5 + 10 * sum(coverage.seconds[test] for test in tests))
        say(mutant, in_fork(attempt, seconds) if tests else UNREACHED)


def judge_in_modules(mutants: Sequence[Mutant], suite: Sequence[str], coverage: Coverage, say: Any) -> None:
    """Try mutants outside functions: the module is loaded anew, so the suite is collected anew."""
    order = sorted(coverage.seconds, key=lambda test: coverage.seconds[test])
    for mutant in mutants:
        near = [file for file in suite if Path(mutant.file).stem in Path(file).stem]
        verdict = in_fork(
            lambda mutant=mutant, near=near: _load_and_run(mutant, near, order), MUTANT_SECONDS_MAX
        )  # type: ignore[misc]
        if verdict == SURVIVED:
            verdict = in_fork(lambda mutant=mutant: _load_and_run(mutant, suite, order), MUTANT_SECONDS_MAX)  # type: ignore[misc]
        say(mutant, verdict)


def _load_and_run(mutant: Mutant, suite: Sequence[str], order: Sequence[str]) -> int:
    """Load the mutated module, collect these files of the suite, run their tests in this order."""
    if not suite:
        return SURVIVED
    sys.meta_path.insert(0, MutantFinder(mutant))
    verdict = [1]

    def task(server: Server) -> None:
        tests = [test for test in order if test in server.items]
        verdict[0] = SURVIVED if all(server.run_one(test) for test in tests) else 1

    collect_and(task, suite)
    return verdict[0]


# -- the run ----------------------------------------------------------------------------------------------


def targets(names: Sequence[str]) -> list[str]:
    """Return the files to mutate, relative to the daemon's package."""
    files: list[str] = []
    for name in names:
        place = DAEMON / name
        found = sorted(place.glob("*.py")) if place.is_dir() else [place]
        files += [str(path.relative_to(DAEMON)) for path in found if path.name != "__init__.py"]
    return files


def all_mutants(files: Sequence[str]) -> list[Mutant]:
    """Return every mutant of these files, numbered."""
    found: list[Mutant] = []
    for file in files:
        found += mutants_of(file, len(found))
    return found


def suite_files() -> list[str]:
    """Return the files of the core suite."""
    folder = ROOT / "tests" / "sidecar"
    return [str(path) for pattern in SUITE for path in sorted(folder.glob(pattern))]


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

        in_fork(attempt, 300, loud=True)
        raw = Path(file.name).read_text(encoding="utf-8")
        if not raw:
            raise SystemExit("the core suite fails without any mutant, or cannot be collected")
        data = json.loads(raw)
    lines = {file: {int(line): tests for line, tests in by.items()} for file, by in data["lines"].items()}
    return Coverage(lines, data["seconds"])


def judge(
    mutants: list[Mutant], coverage: Coverage, suite: Sequence[str], jobs: int
) -> dict[int, int | None]:
    """Try all mutants on so many processes; return each one's verdict."""
    verdicts: dict[int, int | None] = {}
    reader, writer = os.pipe()
    inside = [mutant for mutant in mutants if mutant.in_function]
    outside = [mutant for mutant in mutants if not mutant.in_function]
    children = []
    for job in range(jobs):
        pid = os.fork()
        if pid:
            children.append(pid)
            continue
        os.close(reader)

        def say(mutant: Mutant, verdict: int | None) -> None:
            os.write(writer, f"{mutant.number} {'T' if verdict is None else verdict}\n".encode())

        # First those that load modules anew: here nothing of ours is imported yet.
        judge_in_modules(outside[job::jobs], suite, coverage, say)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        mine = inside[job::jobs]
        collect_and(lambda server, mine=mine: judge_in_functions(server, coverage, mine, say), suite)  # type: ignore[misc]
        os._exit(0)
    os.close(writer)
    by_number = {mutant.number: mutant for mutant in mutants}
    started, said_at = time.monotonic(), 0.0
    with os.fdopen(reader) as lines:
        for line in lines:
            number, verdict = line.split()
            verdicts[int(number)] = None if verdict == "T" else int(verdict)
            if verdict in (str(SURVIVED), str(UNREACHED)):
                print(told(by_number[int(number)]), file=sys.stderr, flush=True)
            if time.monotonic() - said_at > 10:
                said_at = time.monotonic()
                alive = sum(verdict in (SURVIVED, UNREACHED) for verdict in verdicts.values())
                done, rate = len(verdicts), len(verdicts) / (time.monotonic() - started + 0.001)
                print(f"{done} of {len(mutants)}, {alive} alive, {rate:.1f}/s", file=sys.stderr, flush=True)
    for pid in children:
        os.waitpid(pid, 0)
    return verdicts


def told(mutant: Mutant) -> str:
    """Return what a mutant changes, for people."""
    source = (DAEMON / mutant.file).read_text(encoding="utf-8").splitlines()[mutant.line - 1].strip()
    return f"{mutant.number:5} {mutant.file}:{mutant.line}: {mutant.what}: {source}"


def report(mutants: Sequence[Mutant], verdicts: dict[int, int | None]) -> float:
    """Print the survivors and the share of killed mutants, by file and in all; return the latter."""
    alive: list[Mutant] = []
    killed: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for mutant in mutants:
        verdict = verdicts.get(mutant.number, 1)
        if verdict == UNCHANGED:
            continue  # the compiler makes the same code of it
        tried[mutant.file] += 1
        if verdict in (SURVIVED, UNREACHED):
            alive.append(mutant)
        else:
            killed[mutant.file] += 1
    for mutant in alive:
        mark = "not reached" if verdicts[mutant.number] == UNREACHED else "survived"
        print(f"{told(mutant)}: {mark}")
    for file in tried:
        print(f"{killed[file]:5} of {tried[file]:5} killed  {killed[file] / tried[file]:7.1%}  {file}")
    share = killed.total() / max(1, tried.total())
    print(f"{killed.total():5} of {tried.total():5} killed  {share:7.1%}")
    return share


def main() -> int:
    """Run; return 1 where fewer than 95 % of the mutants were killed."""
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
    suite = suite_files()
    started = time.monotonic()
    coverage = measure(suite)
    print(f"measured in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"{len(mutants)} mutants, {len(coverage.seconds)} tests, {sum(coverage.seconds.values()):.1f} s")
    return 0 if report(mutants, judge(mutants, coverage, suite, args.jobs)) >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
