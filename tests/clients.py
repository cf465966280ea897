"""Measure what clients do when refused: `python -m tests.clients` prints the routing page's table.

    python -m tests.clients              every client of `references/routing-patterns.md`
    python -m tests.clients curl llm     these

Attempts are counted by the sidecar, seconds by the client's process, once; tests hold the former only.
"""

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for place in (ROOT / "tests" / "support", ROOT / "daemon"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

from clients.process import ClientProcess  # noqa: E402 (they are found by the lines above)
from routed import CLIENTS, Routed, Running, attempts  # noqa: E402
from routing_page import STATUSES  # noqa: E402


def main() -> None:
    """Print a row for each client that was named, or for all."""
    with tempfile.TemporaryDirectory() as folder, Routed(Path(folder)) as routed:
        for number, name in enumerate(sys.argv[1:] or CLIENTS):
            with ClientProcess(Path(folder) / f"client-{number}") as process:
                running = Running(name, process)
                running.block(routed.sidecar.base, routed.sidecar.agent())  # what is imported is not counted
                cells, seen = [f"`{name}`"], []
                for status in STATUSES:
                    with routed.refusing(status) as (sidecar, agent_id):
                        told = running.block(sidecar.base, agent_id)
                        count = attempts(sidecar, agent_id, status)
                    cells.append(f"{count} ({told.seconds:.1f} s)")
                    seen.append(f"`{_name(told.raised or told.printed)}`")
                print(f"| {' | '.join([*cells, ', '.join(seen)])} |", flush=True)


def _name(seen: str) -> str:
    """Return how what is seen begins: the name of the client's error, or what stands before our text."""
    return re.split(r"[:\n] ?", seen.strip(), maxsplit=1)[0]


if __name__ == "__main__":
    main()
