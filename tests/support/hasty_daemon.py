"""The real daemon, but who meets a lock is told to come again after 20 ms, where it says a second.

Clients that obey make the same attempts, and nobody waits for them; `python -m tests.clients` has the second.

    python tests/support/hasty_daemon.py --port 0
"""

import sys

from spendguard_daemon import __main__
from spendguard_daemon.ledger import admission

admission.LOCKED_RETRY_MS = 20

if __name__ == "__main__":
    sys.exit(__main__.main())
