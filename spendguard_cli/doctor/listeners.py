"""Ports of this machine: is one free for a sidecar, and which program has it if not. Keeps nothing bound."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from spendguard_daemon.text import safe

LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_LISTENS = "0A"
PORTS_TRIED = 200


def is_free(port: int) -> bool:
    """Tell whether a sidecar could have this port on both loopback addresses."""
    return all(_can_bind(family, address, port) for family, address in LOOPBACK)


def can_listen(host: str) -> bool:
    """Tell whether an address is one of this machine's."""
    return _can_bind(socket.AF_INET6 if ":" in host else socket.AF_INET, host, 0, missing=False)


def free_port(taken: int) -> int | None:
    """Return the next free port above one that is taken."""
    return next((port for port in range(taken + 1, min(taken + PORTS_TRIED, 65_536)) if is_free(port)), None)


def listener(port: int) -> str:
    """Name the process that listens on a port, as far as Linux shows it to us; empty where it does not."""
    process = _process(port)
    if process is None:
        return ""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return f"process {process.name}: {safe(b' '.join(words).decode(errors='replace').strip()[:200])}"


def variable(port: int, name: str) -> str | None:
    """Return a variable of the process that listens on a port, if it is this user's and Linux shows it."""
    process = _process(port)
    try:
        if process is None or process.stat().st_uid != os.geteuid():
            return None
        rows = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    begins = name.encode() + b"="
    return next((os.fsdecode(row.removeprefix(begins)) for row in rows if row.startswith(begins)), None)


def _process(port: int) -> Path | None:
    """Return the folder in /proc of the process that listens on a port."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(port)}
    for folder in Path("/proc").glob("[0-9]*/fd") if inodes else ():
        with contextlib.suppress(OSError):
            if any(str(link.readlink()) in inodes for link in folder.iterdir()):
                return folder.parent
    return None


def _can_bind(family: socket.AddressFamily, address: str, port: int, *, missing: bool = True) -> bool:
    """Tell whether an address can be bound; `missing` is the answer where this machine has no such one."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as bound:
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((address, port))
    except OSError as error:
        return missing and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _inodes(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]:
                # `0: 0100007F:2253 00000000:0000 0A ... inode`: the local address, the state, the inode
                words = line.split()
                if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                    yield words[9]
