"""The sockets behind the doors: bound before anything is served, all or none. The only place that binds.

The ledger's lock is held by whoever opens them, so one daemon of a home does. Invariant: both loopback
addresses of a port are ours, or the start is refused; the Unix socket is 0600 before it takes a connection.
"""

import errno
import logging
import os
import socket
import stat
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from spendguard_daemon import runtime
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway.door import LOOPBACK, Doors, Opened, at, url
from spendguard_daemon.ports import Disk
from spendguard_daemon.runtime import Home
from spendguard_daemon.setting_values import split_listen
from spendguard_daemon.settings import Settings

BACKLOG = 1024
SUN_PATH_BYTES = 104 if sys.platform == "darwin" else 108
"""The room for a socket's path, its final zero included: unix(4) of macOS, unix(7) of Linux."""

_XUCRED = struct.Struct("=IIhxx16I")
"""struct xucred of macOS, sys/ucred.h: version, uid, number of groups, groups."""

_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1

log = logging.getLogger(__name__)

Pair = dict[str, socket.socket]
"""A port's sockets by loopback address; one where the machine has no IPv6."""


@dataclass(frozen=True, slots=True)
class Bound:
    """All that listens, what leads where, and how it is told to people.

    `addresses` are those of the loopback door, `listening` those of `[access] listen`.
    """

    sockets: Sequence[socket.socket]
    doors: Doors
    port: int
    addresses: tuple[str, ...]
    agents_url: str
    listening: tuple[str, ...]
    unix: "UnixSocket | None"

    @property
    def socket(self) -> str | None:
        """The path of the Unix socket, None where there is none."""
        return None if self.unix is None else str(self.unix.path)

    @property
    def told(self) -> list[str]:
        """Every address, as the log names them."""
        return [*self.addresses, *self.listening, self.agents_url, *([self.socket] if self.socket else [])]

    def remove_socket(self) -> None:
        """Take the Unix socket's name away; to be called while the ledger is still locked."""
        if self.unix is not None:
            self.unix.remove()


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """The socket of the home, and which file it is, so that none but it is removed."""

    path: Path
    bound: socket.socket
    file: os.stat_result

    def remove(self) -> None:
        """Remove its name, if that is still its own."""
        with suppress(OSError):
            if os.path.samestat(self.path.lstat(), self.file):
                self.path.unlink()


def open_doors(settings: Settings, home: Home, disk: Disk) -> Bound:
    """Bind every door; raise PORT_TAKEN, or USAGE for an address that is none of this machine."""
    loopback = listen(settings.port)
    port = _port(loopback)
    opened: list[socket.socket] = []
    try:
        places = [split_listen(item) for item in settings.listen]
        for host, wanted in places:
            opened.append(_listen_at(host, port if wanted is None else wanted, loopback, port))
        agents = _agents(home, disk)
    except BaseException:
        for bound in (*loopback.values(), *opened):
            bound.close()
        raise
    listening = [(host, _port_of(bound)) for (host, _), bound in zip(places, opened, strict=True)]
    unix = _unix(home.socket)
    doors = Doors(
        Opened(
            port=port,
            agents_port=_port(agents),
            listening=listening,
            hosts=settings.hosts,
            origins=settings.origins,
        )
    )
    served = {host for host in LOOPBACK if host in loopback} | _wild_families(listening, port)
    return Bound(
        sockets=[*loopback.values(), *opened, *agents.values(), *([unix.bound] if unix else [])],
        doors=doors,
        port=port,
        addresses=tuple(url(host, port) for host in LOOPBACK if host in served),
        agents_url=url(LOOPBACK[0], _port(agents)),
        listening=tuple(url(host, at_port) for host, at_port in listening),
        unix=unix,
    )


def listen(port: int) -> Pair:
    """Bind both loopback addresses to one port (a free one for 0); raise PORT_TAKEN.

    Both, because a stranger on the other one would be reached by whoever says `localhost`. A machine without
    IPv6 has only one.
    """
    for attempt in range(20):
        pair: Pair = {}
        try:
            for address in LOOPBACK:
                bound = _bind(address, _port(pair) if pair else port)
                pair |= {address: bound} if bound else {}
            return pair
        except OSError as error:
            for bound in pair.values():
                bound.close()
            if error.errno != errno.EADDRINUSE or (port == 0 and attempt < 19):
                continue
            break
    raise SpendGuardError(
        Code.PORT_TAKEN,
        f"The port is taken: {port} on a loopback address",
        remedy="spendguard up --port <another>",
        facts={"port": port},
    )


def peer_uid(connected: socket.socket) -> int:
    """Return whose process is at the other end of a Unix socket; raise OSError where it is not told."""
    if sys.platform == "linux":
        raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", raw)[1])
    raw = connected.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED.size)
    return int(_XUCRED.unpack(raw)[1])


def _agents(home: Home, disk: Disk) -> Pair:
    """Bind the door of agents, where it was before if that is still free: programs were given its address."""
    kept = runtime.read_agents_port(home)
    pair: Pair = {}
    if kept:
        try:
            pair = listen(kept)
        except SpendGuardError:
            log.warning("the agents' port is taken by another program", extra={"facts": {"port": kept}})
    pair = pair or listen(0)
    if _port(pair) != kept:
        runtime.write_agents_port(home, disk, _port(pair))
        log.info("the agents' port", extra={"facts": {"port": _port(pair), "before": kept or None}})
    return pair


def _listen_at(host: str, port: int, loopback: Pair, own_port: int) -> socket.socket:
    """Bind one address of `[access] listen`; raise PORT_TAKEN or USAGE."""
    try:
        return _bound(host, port)
    except OSError as error:
        family = LOOPBACK[ip_address(host).version == 6]
        if error.errno == errno.EADDRINUSE and port == own_port and ip_address(host).is_unspecified:
            # Linux gives no port to a wildcard beside an address of its own: the one takes the other's place,
            # and is refused if a stranger is faster. Which door it is, each connection's own address tells.
            own = loopback.pop(family, None)
            if own is not None:
                own.close()
                with suppress(OSError):
                    return _bound(host, port)
        raise _not_bound(host, port, error) from None


def _not_bound(host: str, port: int, error: OSError) -> SpendGuardError:
    if error.errno == errno.EADDRINUSE:
        return SpendGuardError(
            Code.PORT_TAKEN,
            f"The port is taken: {at(host, port)}",
            remedy=f"spendguard up --listen {at(host, 0).removesuffix('0')}<another> --require-agent-key",
            facts={"port": port},
        )
    return SpendGuardError(
        Code.USAGE,
        f"[access] listen: {at(host, port)} cannot be listened on: {error.strerror}",
        remedy="name an address that this machine has",
    )


def _bound(host: str, port: int) -> socket.socket:
    bound = _bind(host, port)
    if bound is None:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return bound


def _bind(address: str, port: int) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None  # no IPv6 in this kernel
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None  # IPv6 is there, its loopback is not
        raise
    bound.setblocking(False)
    return bound


def _unix(path: Path) -> UnixSocket | None:
    """Bind the socket of the home; None, with a word in the log, where that cannot be.

    What a dead daemon left is replaced: under the ledger's lock no other daemon of the home is alive. No
    connection is taken before `listen`, and by then the mode is set; the folder is closed to others anyway.
    """
    if len(os.fsencode(path)) >= SUN_PATH_BYTES:
        log.warning("no Unix socket: its path is too long", extra={"facts": {"path": str(path)}})
        return None
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise FileExistsError(errno.EEXIST, "what is there is no socket")
            path.unlink()
        bound.bind(str(path))
        path.chmod(0o600)
        bound.listen(BACKLOG)
        file = path.lstat()
    except OSError as error:
        bound.close()
        facts = {"path": str(path), "error": error.strerror}
        log.warning("no Unix socket: it could not be made", extra={"facts": facts})
        return None
    bound.setblocking(False)
    return UnixSocket(path, bound, file)


def _wild_families(listening: Sequence[tuple[str, int]], port: int) -> set[str]:
    """Return the loopback addresses that a wildcard on the daemon's own port serves."""
    return {
        LOOPBACK[ip_address(host).version == 6]
        for host, at_port in listening
        if at_port == port and ip_address(host).is_unspecified
    }


def _port(pair: Pair) -> int:
    return _port_of(next(iter(pair.values())))


def _port_of(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port
