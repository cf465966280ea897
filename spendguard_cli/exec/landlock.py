"""Landlock as the kernel has it: a ruleset made here, which a child puts on before it becomes a program.

A binding and nothing more: what may be reached is decided in `isolation`. Numbers, structures and the
version that brought each are from the kernel's `uapi/linux/landlock.h`. Invariant: nothing here restricts
this process but `restrict`, and that only after a fork.
"""

import contextlib
import ctypes
import os
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture but alpha
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1 << 0, 1 << 1
_PORT_MAX = 65_535

ABI_REFER, ABI_TRUNCATE, ABI_NET, ABI_IOCTL, ABI_SCOPE = 2, 3, 4, 5, 6
"""The version that brought each: moving between folders, truncating, ports, devices, signals and sockets."""


class Right(IntFlag):
    """What may be done with a file, or with what is below a folder."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


EVERYTHING = Right((1 << 16) - 1)
READING = Right.EXECUTE | Right.READ_FILE | Right.READ_DIR
OF_FILES = Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV
"""Those that make sense for what is no folder; the kernel refuses the others there."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    _fields_ = (("rights", ctypes.c_uint64), ("port", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights to a path and all that is below it."""

    path: Path
    rights: Right


def abi() -> int:
    """Return the version that this kernel has; 0 where there is none, or it is switched off or filtered."""
    if not sys.platform.startswith("linux"):
        return 0
    version: int = _libc().syscall(_CREATE_RULESET, None, 0, _VERSION)
    return max(version, 0)


def ruleset(version: int, grants: Iterable[Grant], denied_port: int | None) -> int:
    """Make a ruleset of all that the version knows; return its descriptor, which is not inherited.

    `denied_port` is the one TCP port, of any host, that may not be connected to, nor taken. Paths that are
    gone by now are left out, and so are symbolic links, for what they lead to has rules of its own. Raises
    OSError.
    """
    libc = _libc()
    net = version >= ABI_NET and denied_port is not None
    scoped = (_SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL) if version >= ABI_SCOPE else 0
    wanted = _Ruleset(_known(version), _BIND_TCP | _CONNECT_TCP if net else 0, scoped)
    size = 24 if version >= ABI_SCOPE else 16 if version >= ABI_NET else 8
    descriptor: int = _done(libc.syscall(_CREATE_RULESET, ctypes.byref(wanted), size, 0))
    try:
        for grant in grants:
            _grant(libc, descriptor, grant, _known(version))
        if net:
            _grant_ports(libc, descriptor, denied_port)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def restrict(descriptor: int) -> Callable[[], None]:
    """Return what puts a ruleset on the process that calls it and on its children, for good.

    It is for a child between fork and exec: what can be loaded is loaded here. Raises OSError.
    """
    libc = _libc()

    def put_on() -> None:
        _done(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _done(libc.syscall(_RESTRICT_SELF, descriptor, 0))

    return put_on


def _known(version: int) -> Right:
    rights = EVERYTHING
    if version < ABI_IOCTL:
        rights &= ~Right.IOCTL_DEV
    if version < ABI_TRUNCATE:
        rights &= ~Right.TRUNCATE
    if version < ABI_REFER:
        rights &= ~Right.REFER
    return rights


def _grant(libc: ctypes.CDLL, descriptor: int, grant: Grant, known: Right) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        place = os.open(grant.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            mode = os.fstat(place).st_mode
            if stat.S_ISLNK(mode):
                return
            rights = grant.rights & known & (EVERYTHING if stat.S_ISDIR(mode) else OF_FILES)
            if rights:
                rule = _PathBeneath(rights, place)
                _done(libc.syscall(_ADD_RULE, descriptor, _PATH_BENEATH, ctypes.byref(rule), 0))
        finally:
            os.close(place)


def _grant_ports(libc: ctypes.CDLL, descriptor: int, denied: int | None) -> None:
    """Grant every port but one, as there is no rule that denies: 65,535 rules."""
    rule = _NetPort(_BIND_TCP | _CONNECT_TCP, 0)
    place, add, kind = ctypes.byref(rule), libc.syscall, _NET_PORT
    for port in range(_PORT_MAX + 1):
        if port != denied:
            rule.port = port
            if add(_ADD_RULE, descriptor, kind, place, 0):
                _done(-1)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _done(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result
