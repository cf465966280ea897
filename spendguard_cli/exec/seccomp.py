"""The ways past Landlock, closed by a filter of system calls: to the sidecar's port, and to your keyboard.

Landlock asks at `connect` on TCP sockets. It is not asked where multipath TCP or SMC falls back to plain TCP,
and not where `sendto` connects by the way (TCP Fast Open); io_uring does all of them unseen by a filter. Each
of the four is refused as by a kernel that does not have it, so that programs fall back. Numbers are from the
kernel's `uapi` headers. And a program may not type into the terminal that it was started from: what it typed
would be run by your shell once it has ended. Invariant: nothing else is refused, and nothing here restricts
this process.
"""

import ctypes
import errno
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # in `struct seccomp_data`; words lie low half first
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_MSG_FASTOPEN = 0x2000_0000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_AF_SMC, _IPPROTO_SMC, _IPPROTO_MPTCP = 43, 256, 262
_X32 = 0x4000_0000
_IO_URING_SETUP = 425

Step = tuple[int, int, int, int]
"""One instruction: its code, how many to skip if so and if not, and its operand."""


@dataclass(frozen=True, slots=True)
class _Calls:
    """The numbers of an architecture's calls; `socketcall` is the old one for all, if there is one."""

    architecture: int
    socket: int
    sendto: int
    sendmsg: int
    sendmmsg: int
    ioctl: int
    socketcall: int | None = None


_X86_64 = _Calls(0xC000_003E, 41, 44, 46, 307, 16)
_I386 = _Calls(0x4000_0003, 359, 369, 370, 345, 54, socketcall=102)
_AARCH64 = _Calls(0xC000_00B7, 198, 206, 211, 269, 29)
_ARM = _Calls(0x4000_0028, 281, 290, 296, 374, 54, socketcall=102)
_MACHINES = {"x86_64": (_X86_64, _I386), "aarch64": (_AARCH64, _ARM)}


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("so", ctypes.c_uint8),
        ("not_so", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Instruction)))


def steps(machine: str) -> list[Step]:
    """Return the filter for a machine, as `uname` names it; nothing for one that is not known here."""
    if machine not in _MACHINES:
        return []
    program: list[Step] = []
    for calls in _MACHINES[machine]:
        block = _block(calls)
        program += [_load(_ARCHITECTURE_AT), (_IF_EQUAL, 0, len(block), calls.architecture), *block]
    return [*program, _refuse(errno.ENOSYS)]


def restrict() -> Callable[[], None] | None:
    """Return what puts the filter on the process that calls it; None on a machine that is not known here.

    It is for a child between fork and exec that has given up new privileges. Raises OSError.
    """
    program = steps(platform.machine())
    if not program:
        return None
    laid = (_Instruction * len(program))(*(_Instruction(*step) for step in program))
    put = _Program(len(program), laid)
    libc = ctypes.CDLL(None, use_errno=True)

    def put_on() -> None:
        if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(put), 0, 0):
            number = ctypes.get_errno()
            raise OSError(number, f"seccomp: {os.strerror(number)}")

    return put_on


def _block(calls: _Calls) -> list[Step]:
    """Judge a call of one architecture to its end."""
    block = [_load(_NUMBER_AT)]
    if calls is _X86_64:
        block += [(_IF_AT_LEAST, 0, 1, _X32), _refuse(errno.ENOSYS)]
    for number, judged in (
        (calls.socket, _socket()),
        (calls.sendto, _flags(3)),
        (calls.sendmsg, _flags(2)),
        (calls.sendmmsg, _flags(3)),
        (calls.ioctl, _ioctl()),
        (_IO_URING_SETUP, [_refuse(errno.ENOSYS)]),
        (calls.socketcall, [_refuse(errno.ENOSYS)]),
    ):
        if number is not None:
            block += [(_IF_EQUAL, 0, len(judged), number), *judged]
    return [*block, _allow()]


def _socket() -> Sequence[Step]:
    return [
        _argument(0),
        (_IF_EQUAL, 0, 1, _AF_SMC),
        _refuse(errno.EAFNOSUPPORT),
        _argument(2),
        (_IF_EQUAL, 1, 0, _IPPROTO_MPTCP),
        (_IF_EQUAL, 0, 1, _IPPROTO_SMC),
        _refuse(errno.EPROTONOSUPPORT),
        _allow(),
    ]


def _ioctl() -> Sequence[Step]:
    return [
        _argument(1),
        (_IF_EQUAL, 1, 0, _TIOCSTI),
        (_IF_EQUAL, 0, 1, _TIOCLINUX),
        _refuse(errno.EPERM),
        _allow(),
    ]


def _flags(place: int) -> Sequence[Step]:
    return [_argument(place), (_IF_ANY_BIT, 0, 1, _MSG_FASTOPEN), _refuse(errno.EOPNOTSUPP), _allow()]


def _argument(place: int) -> Step:
    return _load(_ARGUMENTS_AT + 8 * place)


def _load(offset: int) -> Step:
    return (_LOAD, 0, 0, offset)


def _allow() -> Step:
    return (_RETURN, 0, 0, _ALLOW)


def _refuse(number: int) -> Step:
    return (_RETURN, 0, 0, _REFUSE | number)
