"""Who may use up how many file descriptors, so that the journal always finds some left.

A new descriptor always gets the lowest number that is free. So a number that lies in a reserve says that all
below are in use, whoever uses them, and nothing need be counted.
"""

import asyncio
import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

WANTED = 10_240
"""Two for each call in flight. The most that every macOS takes; there programs start with 256."""

RESERVE = 64
"""Not for clients: for calls on their way to a provider, the journal, the log, prices."""

JOURNALS_RESERVE = 16
"""The part of it that is not for providers either."""

NONE_LEFT = 2**31


def raise_limit() -> None:
    """Let a thousand clients be served where the machine allows it; beyond the limit connections fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < WANTED:
        wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
        with suppress(OSError, ValueError):  # some systems have a lower ceiling that they do not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def first_but(reserve: int) -> int:
    """Return the number from which on descriptors are in a reserve; a quarter of few is enough for it."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        NONE_LEFT if soft == resource.RLIM_INFINITY else soft - min(reserve, soft * reserve // 4 // RESERVE)
    )


def next_free() -> int:
    """Return the number that the next descriptor gets, one beyond every limit where there is none."""
    try:
        number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return NONE_LEFT
    os.close(number)
    return number


def hear_no_accept_twice(loop: asyncio.AbstractEventLoop) -> None:
    """Have asyncio's own loop not log each connection that it cannot take: it tries again in a second.

    uvloop closes such connections without a word. What is short is logged by `connections`.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        if context.get("message") != "socket.accept() out of system resource":
            loop.default_exception_handler(dict(context))

    loop.set_exception_handler(handle)
