"""Trying mutants: the core suite is collected once, and a fork of that process judges each of them.

The child puts the mutated code into the functions concerned and runs the tests that reach the mutated
statement, fastest first, until one fails. A mutant outside of functions (a constant, a default, the body of
a class) needs its module loaded anew: its child forks before anything of ours is imported, and loads the
mutated source through an import hook. Nothing is written to the tree.
"""

import contextlib
import gc
import importlib.abc
import importlib.util
import os
import resource
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any

from mutants import DAEMON, Mutant, module_name, mutated

ROOT = Path(__file__).resolve().parents[1]
SURVIVED, KILLED, UNREACHED, UNCHANGED = 0, 1, 3, 4
"""What a child ends with; whatever else, it broke on the way, which kills as well."""

MUTANT_SECONDS_MAX = 120
HANGS_SECONDS, HANGS_TIMES = 5.0, 20
"""A test hangs that takes so many times as long as without a mutant, and so many seconds."""

Say = Callable[[Mutant, int | None], None]


# -- in a child: put the mutant in place ------------------------------------------------------------------


def codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object and all that are nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_of(constant)


class Living:
    """The functions of ours that are in memory, by file, and the caches of any."""

    def __init__(self) -> None:
        self._functions: dict[str, list[types.FunctionType]] = {}
        self._caches: list[Any] = []
        for thing in gc.get_objects():
            if isinstance(thing, types.FunctionType) and thing.__code__.co_filename.startswith(str(DAEMON)):
                self._functions.setdefault(thing.__code__.co_filename, []).append(thing)
            elif isinstance(thing, _lru_cache_wrapper) and str(thing.__module__).startswith("spendguard"):
                self._caches.append(thing)

    def mutate(self, mutant: Mutant) -> bool:
        """Give the functions of the mutated module their mutated code; tell whether any was changed."""
        path = str(DAEMON / mutant.file)
        module = compile(mutated(mutant), path, "exec")
        new = {(code.co_qualname, code.co_firstlineno): code for code in codes_of(module)}
        changed = False
        for function in self._functions[path]:
            code = new.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
            if code is not None and len(code.co_freevars) == len(function.__code__.co_freevars):
                changed |= code != function.__code__
                function.__code__ = code
        for cache in self._caches:
            cache.cache_clear()
        return changed


class MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutated module in place of the real one."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant, self._name = mutant, module_name(mutant.file)

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        if name != self._name:
            return None
        return importlib.util.spec_from_file_location(name, str(DAEMON / self._mutant.file), loader=self)

    def create_module(self, _: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(compile(mutated(self._mutant), str(module.__file__), "exec"), module.__dict__)


# -- the suite, collected ---------------------------------------------------------------------------------


@dataclass
class Coverage:
    """Which tests reach which line, and how long each test takes."""

    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def tests_for(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach a mutant, the fastest first."""
        lines = self.lines.get(mutant.file, {})
        tests = lines.get(mutant.line) or lines.get(mutant.statement_line) or []
        return sorted(tests, key=lambda test: self.seconds[test])


class Server:
    """A pytest plugin: takes over the run loop, and runs tests one by one."""

    def __init__(self, task: Callable[["Server"], None]) -> None:
        self._task = task
        self.items: dict[str, Any] = {}
        self.failed = False

    def pytest_runtestloop(self, session: Any) -> bool:
        self.items = {item.nodeid: item for item in session.items}
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

    def run_all(self, tests: Sequence[str], seconds: dict[str, float]) -> int:
        """Run tests until one fails, and end this process where one hangs; return a verdict."""
        for test in tests:
            signal.setitimer(signal.ITIMER_REAL, HANGS_SECONDS + HANGS_TIMES * seconds[test])
            if not self.run_one(test):
                return KILLED
        return SURVIVED


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
    options = ["-q", "-x", "-p", "no:cacheprovider", "-n", "0", "--no-header", "--no-summary"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    pytest.main([*options, "--rootdir", str(ROOT), *suite], plugins=[Server(task)])


def trace_suite(server: Server) -> Coverage:
    """Run every test twice: for the lines that it reaches, and for the time it takes."""
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
    for path in data.measured_files():
        contexts = data.contexts_by_lineno(path)
        by_line = {line: sorted(found.seconds.keys() & set(tests)) for line, tests in contexts.items()}
        found.lines[os.path.relpath(path, DAEMON)] = by_line
    return found


# -- judgement --------------------------------------------------------------------------------------------


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


def judge_in_functions(server: Server, coverage: Coverage, mutants: Sequence[Mutant], say: Say) -> None:
    """Try mutants inside functions, each in a fork of this process, in which the suite is collected."""
    living = Living()
    gc.freeze()
    for mutant in mutants:
        tests = coverage.tests_for(mutant)

        def attempt(mutant: Mutant = mutant, tests: list[str] = tests) -> int:
            return server.run_all(tests, coverage.seconds) if living.mutate(mutant) else UNCHANGED

        say(mutant, in_fork(attempt, MUTANT_SECONDS_MAX) if tests else UNREACHED)


def judge_in_modules(mutants: Sequence[Mutant], suite: Sequence[str], coverage: Coverage, say: Say) -> None:
    """Try mutants outside functions: first on the tests named after their module, then on all."""
    order = sorted(coverage.seconds, key=lambda test: coverage.seconds[test])
    for mutant in mutants:
        near = [word for word in suite if not word.endswith(".py") or Path(mutant.file).stem in word]
        verdict: int | None = SURVIVED
        for words in [near, suite] if any(word.endswith(".py") for word in near) else [suite]:

            def attempt(mutant: Mutant = mutant, words: Sequence[str] = words) -> int:
                return _load_and_run(mutant, words, order, coverage.seconds)

            if verdict == SURVIVED:
                verdict = in_fork(attempt, MUTANT_SECONDS_MAX)
        say(mutant, verdict)


def _load_and_run(
    mutant: Mutant, suite: Sequence[str], order: Sequence[str], seconds: dict[str, float]
) -> int:
    """Load the mutated module, collect this part of the suite, run its tests in this order."""
    sys.meta_path.insert(0, MutantFinder(mutant))
    verdict = [KILLED]

    def task(server: Server) -> None:
        verdict[0] = server.run_all([test for test in order if test in server.items], seconds)

    collect_and(task, suite)
    return verdict[0]
