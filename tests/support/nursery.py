"""The process beside the tests that has the command line loaded, and forks for each wish (`warm.py`).

Between it and each command stands a keeper, which waits for the command's end and tells it. Wishes come over
a Unix socket, whose path is the only argument.
"""

import os
import select
import socket
import sys
from collections.abc import Sequence

from warm_client import HEAD, NUMBER


def _serve(path: str) -> None:
    """Fork for each wish, and return in the forked process only; end when stdin does."""
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(64)
    os.write(1, b"ready\n")
    while True:
        if 0 in select.select([door, 0], [], [])[0]:
            os._exit(0)
        line, _ = door.accept()
        if os.fork() == 0:
            door.close()
            return _keep(line)
        line.close()
        _bury()


def _bury() -> None:
    """Reap the keepers that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # there is none
        pass


def _keep(line: socket.socket) -> None:
    """Fork the command, tell its pid and how it ended; return in the command only."""
    head, streams, _, _ = socket.recv_fds(line, HEAD.size, 3)
    words, variables, length = HEAD.unpack(head)
    parts = line.recv(length, socket.MSG_WAITALL).split(b"\0")
    pid = os.fork()
    if pid == 0:
        line.close()
        return _become(parts[:words], parts[words : words + variables], parts[words + variables], streams)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (*streams, 0, 1, 2):
        os.dup2(null, descriptor)
    try:
        line.sendall(NUMBER.pack(pid))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        line.sendall(NUMBER.pack(code))
    except BrokenPipeError:  # nobody wants to know
        pass
    os._exit(0)


def _become(words: list[bytes], variables: list[bytes], folder: bytes, streams: Sequence[int]) -> None:
    """Take on what a new process is given."""
    for place, descriptor in enumerate(streams):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.environ.clear()
    for variable in variables:
        name, _, value = variable.partition(b"=")
        os.environb[name] = value
    os.chdir(folder)
    sys.path.insert(0, os.fsdecode(folder))
    sys.argv[:] = [os.fsdecode(word) for word in words]


def _load() -> None:
    """Load what commands load, and compose their tree."""
    del sys.path[0]  # where this file is; a command has its own folder there
    import gc
    import importlib
    import pkgutil

    import httpcore  # noqa: F401 - httpx loads it only when it first connects

    import spendguard_cli
    from spendguard_cli import app

    for module in pkgutil.walk_packages(spendguard_cli.__path__, "spendguard_cli."):
        if not module.name.startswith(("spendguard_cli.__main__", "spendguard_cli.watch")):
            importlib.import_module(module.name)
    app._tree().make_context("spendguard", ["status"])
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    _serve(sys.argv[1])
    from spendguard_cli.entry import main

    main()
