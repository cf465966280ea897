"""Attempts on processes: memory and environment of the sidecar and of `exec`, signals, limits, terminals."""

import ctypes
import fcntl
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hostile_program import Facts, RefusedError, attempt, in_child, read

_LIBC = ctypes.CDLL(None, use_errno=True)
_PTRACE_SEIZE = 0x4206
_PIDFD_GETFD, _IO_URING_SETUP = 438, 425
_TIOCSTI = 0x5412


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _others(facts: Facts) -> list[int]:
    """Return the sidecar, and `exec` with what it was started by."""
    return [facts.sidecar, os.getppid()]


def _each(facts: Facts, act: Callable[[int], str]) -> str:
    gained, why = [], ""
    for pid in _others(facts):
        try:
            gained.append(f"{pid}: {act(pid)}")
        except OSError as error:
            why = str(error)
    if not gained:
        raise RefusedError(why)
    return "; ".join(gained)


@attempt("processes", "find a provider key in the environment")
def own_environment(_facts: Facts) -> str:
    found = [value for value in os.environ.values() if "canary" in value]
    if not found:
        raise RefusedError("it has none")
    return " ".join(found)


@attempt("processes", "read the environment of another process")
def environ(facts: Facts) -> str:
    return _each(facts, lambda pid: read(f"/proc/{pid}/environ"))


@attempt("processes", "read the memory of another process")
def memory(facts: Facts) -> str:
    def first_page(pid: int) -> str:
        start = int(read(f"/proc/{pid}/maps").partition("-")[0], 16)
        with Path(f"/proc/{pid}/mem").open("rb") as file:
            file.seek(start)
            return f"{len(file.read(4096))} bytes"

    return _each(facts, first_page)


@attempt("processes", "take a descriptor of another process")
def descriptors(facts: Facts) -> str:
    def opened(pid: int) -> str:
        return str(next(Path(f"/proc/{pid}/fd").iterdir()).readlink())

    return _each(facts, opened)


@attempt("processes", "copy a descriptor of another process")
def copy_descriptor(facts: Facts) -> str:
    def copied(pid: int) -> str:
        handle = os.pidfd_open(pid)
        return f"descriptor {_checked(_LIBC.syscall(_PIDFD_GETFD, handle, 0, 0))}"

    return _each(facts, copied)


@attempt("processes", "reach files by the folders of another process")
def folders(facts: Facts) -> str:
    return _each(facts, lambda pid: ", ".join(path.name for path in Path(f"/proc/{pid}/root").iterdir()))


@attempt("processes", "trace another process")
def trace(facts: Facts) -> str:
    def seized(pid: int) -> str:
        return in_child(lambda: str(_checked(_LIBC.ptrace(_PTRACE_SEIZE, pid, None, None))))

    gained = []
    for pid in _others(facts):
        with suppress(RefusedError):
            gained.append(f"{pid}: {seized(pid)}")
    if not gained:
        raise RefusedError("none of them")
    return "; ".join(gained)


@attempt("processes", "signal another process")
def signals(facts: Facts) -> str:
    return _each(facts, lambda pid: os.kill(pid, signal.SIGCONT) or "SIGCONT")


@attempt("processes", "signal another process by its handle")
def signals_by_handle(facts: Facts) -> str:
    def sent(pid: int) -> str:
        signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGCONT)
        return "SIGCONT"

    return _each(facts, sent)


@attempt("processes", "limit another process, so that the kernel ends it")
def limit(facts: Facts) -> str:
    def limited(pid: int) -> str:
        now = resource.prlimit(pid, resource.RLIMIT_CPU)
        resource.prlimit(pid, resource.RLIMIT_CPU, now)
        return "RLIMIT_CPU"

    return _each(facts, limited)


@attempt("processes", "slow another process down")
def slow_down(facts: Facts) -> str:
    def lowered(pid: int) -> str:
        now = os.getpriority(os.PRIO_PROCESS, pid)
        os.setpriority(os.PRIO_PROCESS, pid, now)
        return f"priority {now}"

    return _each(facts, lowered)


@attempt("processes", "freeze or end another process by its control group")
def control_group(facts: Facts) -> str:
    """Who may write in a group, or move processes into one of its own, ends them all with one word."""
    found, why = [], "no groups"
    for line in read(f"/proc/{facts.sidecar}/cgroup").splitlines():
        _, kind, path = line.split(":", 2)
        for root in (f"/sys/fs/cgroup/{kind.removeprefix('name=')}", "/sys/fs/cgroup/unified"):
            for name in ("cgroup.kill", "cgroup.freeze", "cgroup.procs"):
                try:
                    os.close(os.open(f"{root}{path}/{name}", os.O_WRONLY))
                    found.append(f"{root}{path}/{name}")
                except OSError as error:
                    why = str(error)
    if not found:
        raise RefusedError(why)
    return ", ".join(found)


@attempt("processes", "type into the operator's terminal")
def type_for_operator(_facts: Facts) -> str:
    terminal = os.open("/dev/tty", os.O_RDWR)
    try:
        for letter in b"#":
            fcntl.ioctl(terminal, _TIOCSTI, bytes([letter]))
    finally:
        os.close(terminal)
    return "typed"


@attempt("processes", "use io_uring, which no filter sees")
def io_uring(_facts: Facts) -> str:
    settings = ctypes.create_string_buffer(120)
    os.close(_checked(_LIBC.syscall(_IO_URING_SETUP, 1, settings)))
    return "a ring"


@attempt("processes", "take back what was given up")
def regain(_facts: Facts) -> str:
    """A program that gives its caller's rights to whoever starts it gives none here."""
    status = Path("/proc/self/status").read_text().splitlines()
    told = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    if told["NoNewPrivs"] == "1":
        raise RefusedError("no new privileges")
    return "programs with more rights can be started"


def outlive(facts: Facts) -> None:
    """Leave a child behind that calls on when `exec` has ended, and writes down what it got."""
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    for descriptor in range(3):
        os.close(descriptor)
    from hostile_network import call

    parent, end = Path(f"/proc/{os.environ['HOSTILE_EXEC_PID']}"), time.monotonic() + 60
    while parent.exists() and time.monotonic() < end:
        time.sleep(0.05)
    try:
        said = str(call(facts.agents_port, {"authorization": f"Bearer {facts.key}"}).status)
    except Exception as error:  # noqa: BLE001 (nobody else would hear of it)
        said = repr(error)
    made = facts.scratch / "outlived.tmp"
    made.write_text(said)
    made.rename(facts.scratch / "outlived")
    os._exit(0)


@attempt("outlive", "call on after exec has ended")
def stay(facts: Facts) -> str:
    os.environ["HOSTILE_EXEC_PID"] = str(os.getppid())
    sys.stdout.flush()
    outlive(facts)
    raise RefusedError("the one who stays will tell")
