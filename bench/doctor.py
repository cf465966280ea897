"""How long `spendguard doctor` takes on a healthy system, as a ratio to `spendguard status`.

    python bench/doctor.py [--rounds 15] [--json]

Both are whole processes, one after the other in each round, against one sidecar on a fresh home.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = (sys.executable, "-m", "spendguard_cli")


def seconds(env: dict[str, str], *words: str) -> float:
    """Run a command to its end; return how long it took. A red finding is no failure of the measurement."""
    began = time.perf_counter()
    done = subprocess.run([*PROGRAM, *words], env=env, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr.decode())
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"SPENDGUARD_HOME": str(Path(folder) / "home"), "SPENDGUARD_DAEMON_PORT": "0"}
        seconds(env, "up")
        try:
            for name in ("one", "two"):
                seconds(env, "agent", "create", "--name", name, "--mock")
                seconds(env, "budget", "set", "--agent", name, "--limit", "500")
            rounds = [(seconds(env, "status"), seconds(env, "doctor")) for _ in range(given.rounds)]
        finally:
            seconds(env, "down", "--now")
    found = {
        "status_ms": round(1000 * statistics.median(status for status, _ in rounds)),
        "doctor_ms": round(1000 * statistics.median(doctor for _, doctor in rounds)),
        "doctor_x_status": round(statistics.median(doctor / status for status, doctor in rounds), 2),
    }
    sys.stdout.write(
        json.dumps(found) + "\n" if given.json else "".join(f"{k}={v}\n" for k, v in found.items())
    )


if __name__ == "__main__":
    main()
