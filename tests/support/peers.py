"""Published programs that run against the sidecar from a folder of their own: they share a name with ours.

Knows where the README's test command installs them (`tests/peers.txt`), nothing of what they do. A missing
peer is a failure that says the command, never a skip.
"""

import sys
from pathlib import Path

PEERS = Path(sys.prefix) / "peers"
INSTALL = f"{sys.executable} -m pip install --no-deps --upgrade --target {PEERS} -r tests/peers.txt"


def peer(distribution: str, version: str) -> Path:
    """Return the folder that the peers are installed in; raise AssertionError without this one in it."""
    marked = PEERS / f"{distribution.replace('-', '_')}-{version}.dist-info"
    assert marked.is_dir(), f"{distribution} {version} is not installed apart; run: {INSTALL}"
    return PEERS
