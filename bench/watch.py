"""What `spendguard watch` costs while 500 agents make 200 calls a second, and whether it shows the truth.

    python bench/watch.py [--agents 500] [--rate 200] [--seconds 20] [--simulate-hours 1]
        [--simulate-refusals 5000] [--json]

A sidecar on a fresh home, mock agents, the real program in a tmux of 160x50. CPU shares are of one core, by
/proc. When the traffic has stopped, the screen is held against the ledger; exit 1 where it differs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import watch_hours

from spendguard_cli.client import Control
from spendguard_cli.connect import connect
from spendguard_cli.context import Flags, resolve
from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.figures import short_usd

HERE = Path(__file__).parent
COMMAND = (sys.executable, "-P", "-m", "spendguard_cli")
COLUMNS, LINES = 160, 50
LEFT_CELLS = 10
SHARE_MAX_PERCENT = 25.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PATIENCE_SECONDS = 30.0


class Screen:
    """The program in a terminal of its own."""

    def __init__(self, home: str) -> None:
        self._tmux = ("tmux", "-L", f"spendguard-bench-{os.getpid()}", "-f", "/dev/null")
        words = " ".join([*COMMAND, "watch", "--no-spawn", "--home", home])
        size = ("-x", str(COLUMNS), "-y", str(LINES))
        self._do("new-session", "-d", *size, f"exec {words}")
        self.pid = int(self._do("list-panes", "-F", "#{pane_pid}"))

    def _do(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout

    def text(self) -> str:
        """Return what is on the screen."""
        return self._do("capture-pane", "-p")

    def until(self, shown: str, *, gone: bool = False) -> float:
        """Wait until a text is on the screen, or gone; return for how long, in milliseconds."""
        began = time.perf_counter()
        while (shown in self.text()) == gone:
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise SystemExit(f"never seen: {shown}\n{self.text()}")
            time.sleep(0.005)
        return (time.perf_counter() - began) * 1000

    def press(self, key: str) -> None:
        """Press a key."""
        self._do("send-keys", key)

    def end(self) -> None:
        """Close it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid: int) -> float:
    """Return how much memory of a process is resident."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES / 2**20


def make_agents(control: Control, number: int) -> list[str]:
    """Make the agents, each with money."""
    ids = []
    for n in range(number):
        made = control.create_agent({"name": f"bench-{n:03d}", "mock": True, "concurrency": "shared"})
        control.grant(made.agent_id, 100_000, 100_000)
        ids.append(made.agent_id)
    return ids


def measure(control: Control, home: str, daemon_pid: int, asked: argparse.Namespace) -> dict[str, object]:
    """Put the load on, look, press keys, and hold the screen against the ledger."""
    ids = make_agents(control, asked.agents)
    screen = Screen(home)
    try:
        screen.until("bench-000")
        rss_start = rss_mib(screen.pid)
        words = [sys.executable, str(HERE / "watch_load.py"), control.base_url, str(asked.rate)]
        load = subprocess.Popen(
            [*words, str(asked.seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert load.stdin is not None
        load.stdin.write("\n".join(ids))
        load.stdin.close()
        before = time.perf_counter(), cpu_seconds(screen.pid), cpu_seconds(daemon_pid)
        keys_ms = []
        while load.poll() is None:
            screen.press("?")
            keys_ms.append(screen.until("In every list"))
            screen.press("Escape")
            screen.until("In every list", gone=True)
            time.sleep(1)
        after = time.perf_counter(), cpu_seconds(screen.pid), cpu_seconds(daemon_pid)
        took = after[0] - before[0]
        assert load.stdout is not None
        told = json.loads(load.stdout.read())
        return {
            **told,
            "watch_percent_of_a_core": round(100 * (after[1] - before[1]) / took, 1),
            "daemon_percent_of_a_core": round(100 * (after[2] - before[2]) / took, 1),
            "key_to_screen_ms": round(sorted(keys_ms)[len(keys_ms) // 2], 1),
            "key_to_screen_ms_max": round(max(keys_ms), 1),
            "rss_start_mib": round(rss_start, 1),
            "rss_end_mib": round(rss_mib(screen.pid), 1),
            "differences": differences(control, screen, home),
        }
    finally:
        screen.end()


def differences(control: Control, screen: Screen, home: str) -> list[str]:
    """Return where the screen, or `--once`, says something else than the ledger."""
    time.sleep(3)  # the order of the lines is reckoned again, and each of them is drawn
    known = {agent.name: agent for agent in control.agents()}
    found = []
    for line in screen.text().splitlines():
        name = next((word for word in line.split() if word.startswith("bench-")), None)
        if name is not None:
            left = short_usd(nusd(known[name].remaining_usd or "0"), LEFT_CELLS)
            found += [] if left in line.split() else [f"{name}: {left} is not in: {line.strip()}"]
    ran = subprocess.run(
        [*COMMAND, "watch", "--once", "--json", "--home", home], check=True, capture_output=True, text=True
    )
    for one in json.loads(ran.stdout)["agents"]:
        agent = known[one["name"]]
        shown = (one["remaining_usd"], one["settled_usd"], one["held_usd"], one["calls_in_flight"])
        truth = (agent.remaining_usd, agent.settled_usd, agent.held_usd, agent.calls_in_flight)
        found += [] if shown == truth else [f"{one['name']}: {shown} is not {truth}"]
    return found


def main() -> int:
    """Measure, print, and tell whether it is good."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--agents", type=int, default=500)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--simulate-hours", type=float, default=0.0)
    parser.add_argument("--simulate-refusals", type=float, default=0.0, metavar="A_SECOND")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {"SPENDGUARD_HOME": home, "SPENDGUARD_DAEMON_PORT": "0"}
        connection = resolve(Flags(home=home), env)
        control, _ = connect(connection, env, lambda said: print(said, file=sys.stderr))
        try:
            figures = measure(control, home, control.status().pid, asked)
        finally:
            control.close()
            subprocess.run([*COMMAND, "down", "--now", "--home", home], check=False, capture_output=True)
    if asked.simulate_hours:
        figures |= watch_hours.simulate(asked.agents, asked.rate, asked.simulate_hours)
    if asked.simulate_refusals:
        figures |= watch_hours.storm(asked.agents, asked.simulate_refusals)
    if asked.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value}")
    share = figures["watch_percent_of_a_core"]
    assert isinstance(share, float)
    return int(bool(figures["differences"]) or share > SHARE_MAX_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
