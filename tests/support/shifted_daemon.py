"""The real daemon on a clock that is off: $SPENDGUARD_TEST_CLOCK names a file with the seconds to add.

The file may change while it runs. Only the wall clock moves, as when somebody sets it; time-outs go on.

    python tests/support/shifted_daemon.py --port 0
"""

import os
import sys
import time
from pathlib import Path

from spendguard_daemon import __main__, system

SHIFT = Path(os.environ["SPENDGUARD_TEST_CLOCK"])


def wall_ns(_clock: system.SystemClock) -> int:
    return time.time_ns() + int(SHIFT.read_text() or 0) * 10**9


system.SystemClock.wall_ns = wall_ns  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(__main__.main())
