"""No copy of this process's memory on the disk: it holds provider keys, the admin token and prompts."""

import resource
from contextlib import suppress


def forbid() -> None:
    """Let no core dump be written, whatever the shell that started us allows.

    Collectors that take a dump through a pipe (systemd-coredump, apport) heed the same limit. The process
    stays readable for its own user, since the command line finds a lost sidecar by its open files.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
