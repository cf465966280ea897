"""Inside a client's process: run blocks of the page, or an adapter's function, as told on standard input.

One JSON object a line in, one out: what was printed, what was raised (the last line of a traceback, or
all that a failed command said), and how many seconds it took.
"""

import contextlib
import importlib
import io
import json
import sys
import time
import traceback
from typing import Any

from clients.commands import CommandError, shell

made: dict[str, Any] = {}
"""The global names of the block that ran last."""


def main() -> None:
    """Serve until standard input ends."""
    out = sys.stdout
    for line in sys.stdin:
        asked = json.loads(line)
        printed, raised = io.StringIO(), ""
        start = time.monotonic()
        with contextlib.redirect_stdout(printed):
            try:
                _do(asked)
            except CommandError as error:
                raised = str(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, its user would see it)
                raised = traceback.format_exception_only(error)[-1]
        seconds = time.monotonic() - start
        told = {"printed": printed.getvalue(), "raised": raised, "seconds": seconds}
        print(json.dumps(told), file=out, flush=True)


def _do(asked: dict[str, str]) -> None:
    if asked["do"] in ("stream", "tools"):
        adapter = importlib.import_module(f"clients.{asked['adapter']}")
        print(getattr(adapter, asked["do"])(made, asked["model"]))
    elif asked["do"] == "sh":
        print(shell(asked["text"]))
        made.clear()
        made["text"] = asked["text"]
    else:
        made.clear()
        made["__name__"] = "__main__"
        exec(compile(asked["text"], "routing-patterns.md", "exec"), made)


if __name__ == "__main__":
    main()
