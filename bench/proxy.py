"""What the sidecar costs beside a bare aiohttp proxy on uvloop.

    python bench/proxy.py [--rounds N] [--seconds S] [--json]

Upstream, bare proxy, sidecar and load are processes of their own. The targets take turns within each round,
so that whatever else the machine does hits all alike; ratios are taken inside a round, then the median. The
sidecar has its durable holds on: each call waits for an fsync before its first byte leaves.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30
BUDGET_CENTS = 100_000_000

LOADS = {
    "plain c=32": ("plain", 32),
    "SSE burst c=8": ("burst", 8),
    "SSE drip c=8": ("drip", 8),
    "plain c=1": ("plain", 1),
}
Figures = dict[str, float]
Results = dict[str, dict[str, list[Figures]]]
"""Load -> target -> what each round gave."""


@dataclass(frozen=True, slots=True)
class Target:
    """A port to put load on, and the process whose CPU time is counted."""

    name: str
    port: int
    pid: int
    agent_id: str = "none"


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def measure(target: Target, load: str, seconds: float) -> Figures:
    """Put a load on a target; return the load's own figures and the CPU time per call in us."""
    kind, connections = LOADS[load]
    before = cpu_seconds(target.pid)
    done = subprocess.run(
        [
            sys.executable,
            HERE / "load.py",
            str(target.port),
            kind,
            str(connections),
            str(seconds),
            target.agent_id,
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    )
    result: Figures = json.loads(done.stdout)
    result["cpu_us"] = (cpu_seconds(target.pid) - before) * 1e6 / result["calls"]
    return result


@contextlib.contextmanager
def targets() -> Iterator[list[Target]]:
    """Start everything, and stop it at the end."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spendguard-bench-")))

        def start(*command: object, env: dict[str, str] | None = None) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, *map(str, command)], env=env, stdout=subprocess.PIPE, text=True
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        upstream = start(HERE / "upstream.py")
        upstream_port = int(_line(upstream))
        bare = start(HERE / "bare_proxy.py", upstream_port)
        yield [
            Target("direct", upstream_port, upstream.pid),
            Target("bare", int(_line(bare)), bare.pid),
            _sidecar(
                home, start("-P", "-m", "spendguard_daemon", "--port", "0", env=_env(home, upstream_port))
            ),
        ]


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _env(home: Path, upstream_port: int) -> dict[str, str]:
    ours = {
        "SPENDGUARD_HOME": str(home),
        "SPENDGUARD_OPENAI_BASE_URL": f"http://127.0.0.1:{upstream_port}/v1",
        "OPENAI_API_KEY": "sk-bench",
        # As fast as it goes is the question; what an agent may is set elsewhere.
        "SPENDGUARD_LIMITS_AGENT_REQUESTS_PER_SECOND": "100000",
    }
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, **ours}


def _sidecar(home: Path, process: "subprocess.Popen[str]") -> Target:
    """Wait for the sidecar; make a shared agent that is never short of money."""
    info_path = home / "run" / "daemon.json"
    deadline = time.monotonic() + START_SECONDS
    while not info_path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the sidecar did not start")
        time.sleep(0.02)
    port: int = json.loads(info_path.read_text())["port"]
    token = (home / "admin.token").read_text().strip()

    def post(path: str, body: dict[str, object]) -> dict[str, str]:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), headers, method="POST"
        )
        with urllib.request.urlopen(request) as answer:
            result: dict[str, str] = json.load(answer)
            return result

    agent_id = post("/v1/agents", {"name": "bench", "concurrency": "shared"})["agent_id"]
    post(f"/v1/agents/{agent_id}/budget", {"hard_limit_cents": BUDGET_CENTS})
    return Target("sidecar", port, process.pid, agent_id)


def run(rounds: int, seconds: float) -> Results:
    """Measure all loads on all targets, in turns, after a warm-up that is thrown away."""
    results: Results = {load: {} for load in LOADS}
    with targets() as all_targets:
        for target in all_targets:
            for load in LOADS:
                measure(target, load, min(seconds, 0.5))
        for number in range(rounds):
            for load, of_load in results.items():
                turn = number % len(all_targets)
                for target in all_targets[turn:] + all_targets[:turn]:
                    of_load.setdefault(target.name, []).append(measure(target, load, seconds))
    return results


def derive(value: Figures, direct: Figures, bare: Figures) -> Figures:
    """Return what one round says of a target, beside the same round's other targets."""
    return {
        "per_second": value["per_second"],
        "per_second_x_bare": value["per_second"] / bare["per_second"],
        "cpu_us": value["cpu_us"],
        "cpu_x_bare": value["cpu_us"] / bare["cpu_us"],
        "p50_us": value["p50_us"],
        "added_p50_us": value["p50_us"] - direct["p50_us"],
        "added_first_byte_us": value["first_byte_p50_us"] - direct["first_byte_p50_us"],
    }


def medians(results: Results) -> list[dict[str, object]]:
    """Return one row for each load and target."""
    rows: list[dict[str, object]] = []
    for load, of_load in results.items():
        for name, values in of_load.items():
            rounds = [derive(*r) for r in zip(values, of_load["direct"], of_load["bare"], strict=True)]
            figures = {figure: statistics.median(r[figure] for r in rounds) for figure in rounds[0]}
            rows.append({"load": load, "target": name, **figures})
    return rows


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows as text."""
    lines = []
    for row in rows:
        cells = [f"{row['load']:<14}{row['target']:<9}"]
        for figure, value in row.items():
            if isinstance(value, float):
                cells.append(f"{value:>{max(len(figure), 8)}.{2 if figure.endswith('_x_bare') else 0}f}")
        lines.append("  ".join(cells))
    names = [f"{name:>{max(len(name), 8)}}" for name in list(rows[0])[2:]]
    return "\n".join(["  ".join([f"{'load':<14}{'target':<9}", *names]), *lines])


def main() -> None:
    """Read the flags, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load on each target")
    parser.add_argument("--json", action="store_true", help="print all rounds, as JSON")
    flags = parser.parse_args()
    results = run(flags.rounds, flags.seconds)
    cores = len(os.sched_getaffinity(0))
    if flags.json:
        print(json.dumps({"cores": cores, "medians": medians(results), "rounds": results}, indent=1))
        return
    print(f"{cores} cores, {flags.rounds} rounds of {flags.seconds:g} s, medians; ratios within a round")
    print(table(medians(results)))


if __name__ == "__main__":
    main()
