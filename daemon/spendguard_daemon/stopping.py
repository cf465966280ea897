"""The wish to stop, uttered by a signal or by the control API, heard by the composition root; and the end."""

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from spendguard_daemon.codes import Exit


class Stopping:
    """The wish to stop: by signal or by the control API; a second one means now."""

    def __init__(self) -> None:
        self._now = asyncio.Event()
        self._asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    @property
    def asked(self) -> bool:
        """Whether somebody wants the daemon to stop."""
        return self._asked.is_set()

    @property
    def now(self) -> bool:
        """Whether somebody does not want to wait for calls in flight."""
        return self._now.is_set()

    def ask(self, now: bool) -> None:
        """Stop soon, or at once."""
        if now:
            self._now.set()
        self._asked.set()

    async def wait(self) -> None:
        """Return when somebody wants the daemon to stop."""
        await self._asked.wait()

    async def wait_for_now(self) -> None:
        """Return when somebody wants it to stop at once."""
        await self._now.wait()

    def _on_signal(self) -> None:
        if self._asked.is_set():
            # Holds that are open now settle at worst at the next start: nothing is lost by leaving.
            os._exit(Exit.FAILED)
        self.ask(now=False)


def leave(code: int) -> NoReturn:
    """End the process when all is closed and durable; to take down all that was imported takes far longer."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever reads it may be gone
            stream.flush()
    os._exit(code)
