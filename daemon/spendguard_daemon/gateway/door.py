"""Through which door a request came, and what may be asked there. Pure: a socket's own name in, a `Door` out.

`loopback` is the address that people are shown. `agents` is a second pair of loopback sockets where an agent
key is all that counts and operators are not served, so that a program can be let to it and to nothing else.
`listen` are the addresses of `[access] listen`, with the same rights. `unix` is the operator's own socket.
The door follows from the socket that the kernel gave the connection to, never from what a request says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal
from urllib.parse import urlsplit

from spendguard_daemon.gateway.routes import OWN_READS
from spendguard_daemon.setting_values import DANGER

LOOPBACK = ("127.0.0.1", "::1")
UNIX_HOST = "localhost"
HTTP_PORT = 80

SERVED_TO_AGENTS = frozenset({"health", *OWN_READS})
"""What a door without control serves of the control table; model routes and roots are served at each."""

Address = tuple[IPv4Address | IPv6Address, int]
Name = Literal["loopback", "agents", "listen", "unix"]


@dataclass(frozen=True, slots=True)
class Door:
    """What holds for all that comes in one way.

    `hosts` are the Host headers it takes, `origins` the web pages that may call models there with an agent
    key. `keys_only`: an agent's id is not enough. `control`: operators are served, and then `served` is None,
    else what is left of the control table. `place` is what its proof of identity binds.
    """

    name: Name
    hosts: frozenset[str]
    origins: frozenset[str]
    keys_only: bool
    control: bool
    place: str

    @property
    def served(self) -> frozenset[str] | None:
        """The routes of the control table that exist here; None for all."""
        return None if self.control else SERVED_TO_AGENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What was opened: ports, the addresses of `[access] listen`, and the names and pages of `[access]`.

    `agents_port` 0: there is no such door.
    """

    port: int
    agents_port: int = 0
    listening: Sequence[tuple[str, int]] = ()
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()


class Doors:
    """Every door of one daemon, by the local name of a connection's socket."""

    def __init__(self, opened: Opened):
        self._opened = opened
        self._unix = Door("unix", frozenset({UNIX_HOST}), frozenset(), True, True, unix_place(opened.port))
        # A port where the wildcard listens is that of the loopback door too: the exact address goes first.
        self._exact = _exact(opened)
        self._wild = {
            (ip_address(host).version, port)
            for host, port in opened.listening
            if ip_address(host).is_unspecified
        }

    def of(self, local: object) -> Door | None:
        """Return the door of a connection by its `getsockname`; None for what no door is known for."""
        if isinstance(local, str | bytes):
            return self._unix
        if not isinstance(local, tuple) or len(local) < 2:
            return None
        address, port = ip_address(str(local[0]).partition("%")[0]), int(local[1])
        found = self._exact.get((address, port))
        if found is None and (address.version, port) in self._wild:
            return _listen(str(address), port, self._opened)
        return found


def unix_place(port: int) -> str:
    """Return what a proof over the Unix socket binds: that it is one, and the port of the same daemon."""
    return f"unix:{port}"


def url(host: str, port: int) -> str:
    """Return the URL of an address."""
    return f"http://{at(host, port)}"


def at(host: str, port: int) -> str:
    """Return an address as a Host header names it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reach_warnings(listening: Sequence[str]) -> list[str]:
    """Return what an operator must know of URLs that other machines, or containers, can reach."""
    reached = [url for url in listening if not _ip_of(url).is_loopback]
    if not reached:
        return []
    everywhere = any(_ip_of(url).is_unspecified for url in reached)
    where = "every address of this machine, " if everywhere else ""
    told = (
        f"{DANGER}reachable from elsewhere at {where}{', '.join(reached)}: whoever has an agent key can call "
        "models there, over plain HTTP ([access] listen)"
    )
    return [told]


def _ip_of(url: str) -> IPv4Address | IPv6Address:
    return ip_address(urlsplit(url).hostname or "")


def _exact(opened: Opened) -> Mapping[Address, Door]:
    own = _names(("127.0.0.1", "localhost", "::1"), opened.port)
    loopback = Door(
        "loopback",
        own | _names(opened.hosts, opened.port),
        frozenset(opened.origins),
        keys_only=False,
        control=True,
        place=str(opened.port),
    )
    agents = replace(
        loopback,
        name="agents",
        hosts=_names(("127.0.0.1", "localhost", "::1"), opened.agents_port),
        keys_only=True,
        control=False,
        place=str(opened.agents_port),
    )
    found = {
        (ip_address(host), port): _listen(host, port, opened)
        for host, port in opened.listening
        if not ip_address(host).is_unspecified
    }
    for host in LOOPBACK:
        if opened.agents_port:
            found[(ip_address(host), opened.agents_port)] = agents
        found[(ip_address(host), opened.port)] = loopback
    return found


def _listen(host: str, port: int, opened: Opened) -> Door:
    """Return the door at an address of `[access] listen`.

    Its proof binds the address too, so that it cannot be passed on by who sits on that port of loopback.
    """
    return Door(
        "listen",
        _names((host, *opened.hosts), port),
        frozenset(opened.origins),
        keys_only=True,
        control=False,
        place=at(host, port),
    )


def _names(hosts: Sequence[str], port: int) -> frozenset[str]:
    """Return the Host headers of some names at a port; that of HTTP itself is left out by clients."""
    named = {at(host, port) for host in hosts}
    if port == HTTP_PORT:
        named |= {name.removesuffix(f":{HTTP_PORT}") for name in named}
    return frozenset(named)
