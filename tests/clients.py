"""Measure what clients do when refused: `python -m tests.clients` prints the routing page's table.

    python -m tests.clients              every client of `references/routing-patterns.md`
    python -m tests.clients curl Codex   these

Attempts are counted by the sidecar, seconds by the client's process, once; tests hold the former only. What
needs Node is started anew for each, and its start is in the seconds.
"""

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for place in (ROOT / "tests" / "support", ROOT / "daemon"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import coding_agents  # noqa: E402 (they are found by the lines above)
from clients.process import ClientProcess  # noqa: E402
from node_programs import DeadEnd, Place  # noqa: E402
from routed import CLIENTS, TEXTS, Routed, Running, attempts  # noqa: E402
from routing_page import STATUSES, blocks  # noqa: E402

Ask = Callable[[str, str, int], tuple[float, str]]
"""Run a client at an address, for an agent that is refused so: its seconds, and what its user sees first."""


def main() -> None:
    """Print a row for each client that was named, or for all."""
    with tempfile.TemporaryDirectory() as folder, Routed(Path(folder)) as routed:
        for number, name in enumerate(sys.argv[1:] or [*CLIENTS, *blocks("node")]):
            home = Path(folder) / f"client-{number}"
            if name in CLIENTS:
                with ClientProcess(home) as process:
                    running = Running(name, process)
                    running.block(
                        routed.sidecar.base, routed.sidecar.agent()
                    )  # what is imported is not counted
                    print(_row(name, routed, _python(running)), flush=True)
            else:
                with DeadEnd() as dead_end:
                    print(_row(name, routed, _node(name, home, dead_end)), flush=True)


def _row(name: str, routed: Routed, ask: Ask) -> str:
    cells, seen = [f"`{name}`"], []
    for status in STATUSES:
        with routed.refusing(status) as (sidecar, agent_id):
            seconds, first = ask(sidecar.base, agent_id, status)
            count = attempts(sidecar, agent_id, status)
        cells.append(f"{count} ({seconds:.1f} s)")
        seen.append(f"`{first}`")
    return f"| {' | '.join([*cells, ', '.join(seen)])} |"


def _python(running: Running) -> Ask:
    def ask(base: str, agent_id: str, _status: int) -> tuple[float, str]:
        told = running.block(base, agent_id)
        return told.seconds, _name(told.raised or told.printed)

    return ask


def _node(name: str, home: Path, dead_end: DeadEnd) -> Ask:
    def ask(base: str, agent_id: str, status: int) -> tuple[float, str]:
        own = home / str(status)
        if name in coding_agents.AGENTS:
            place = coding_agents.placed(coding_agents.AGENTS[name], own, dead_end)
            ended = coding_agents.run(name, place, base, agent_id)
        else:
            ended = Place(own, dead_end, {}).run(blocks("node")[name], base, agent_id)
        line = next(line for line in (ended.out + ended.err).splitlines() if TEXTS[status] in line)
        return ended.seconds, line[: line.index(TEXTS[status])] + " ".join(TEXTS[status].split()[:2])

    return ask


def _name(seen: str) -> str:
    """Return how what is seen begins: the name of the client's error, or what stands before our text."""
    return re.split(r"[:\n] ?", seen.strip(), maxsplit=1)[0]


if __name__ == "__main__":
    main()
