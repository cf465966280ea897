"""Small disks of a test's own: a command in which a script may mount, where the kernel lets us have one."""

import os
import subprocess
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from sidecar import KEPT

SUPPORT = Path(__file__).parent
NAMESPACES = (("unshare", "--user", "--map-root-user", "--mount"), ("unshare", "--mount"))
"""For anyone, where the kernel lets users have their own; for root anyway."""


@lru_cache
def namespace() -> tuple[str, ...] | None:
    """Return the command in which a shell script may mount, seen by nobody else; None where there is none."""
    for command in NAMESPACES:
        trial = [*command, "sh", "-c", "mount -t tmpfs none /mnt"]
        with suppress(FileNotFoundError):
            if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
                return command
    return None


def environment() -> dict[str, str]:
    """Return what a program of ours needs of this one's environment."""
    paths = [str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}
