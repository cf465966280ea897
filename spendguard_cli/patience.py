"""A limit of time for who cannot wait: whoever presses TAB, and the status bar of a terminal."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn


class LateError(BaseException):
    """It took too long; no ordinary handler on the way may take this for its own error."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise LateError where the block takes longer; on the main thread alone."""
    before = signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _late(_number: int, _frame: FrameType | None) -> NoReturn:
    raise LateError
