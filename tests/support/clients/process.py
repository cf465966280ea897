"""A client's process, seen from outside: start it in a bare environment, give it something to do, end it."""

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

SUPPORT = Path(__file__).parents[1]
PATIENCE_SECONDS = 180
"""What ends a hang. It is no measure of a client: the first thing that one does is to import itself."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a user of the client has before them, and after how many seconds."""

    printed: str
    raised: str
    seconds: float


class ClientProcess:
    """One process, whose home is an empty folder; it can reach nothing but what it is told."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        self._stderr = (home / "stderr").open("wb")
        env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(SUPPORT)}
        env |= {"HOME": str(home), "LLM_USER_PATH": str(home), "NO_PROXY": "*"}
        # Without it litellm looks for its price list on GitHub, three times, whenever it is imported.
        env |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "clients"],
            cwd=home,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def do(self, what: str, **asked: str) -> Told:
        """Let it do something to its end; raise AssertionError where that does not come."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"do": what, **asked}).encode() + b"\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], PATIENCE_SECONDS)
        assert ready, f"{what}: not done within {PATIENCE_SECONDS} s"
        told: dict[str, Any] = json.loads(stdout.readline())
        return Told(**told)
