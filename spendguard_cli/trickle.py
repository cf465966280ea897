"""An end to answers that trickle: a byte now and then keeps every time-out of a single read from passing.

What a watch has seen connect is shut down when the time is over, so that whoever reads it is told at once.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any


class Watch:
    """Holds one client's answers to a time in all. `over`: the time of the last one ended it."""

    def __init__(self) -> None:
        self.over = False
        self._socket: socket.socket | None = None

    @property
    def extensions(self) -> dict[str, Any]:
        """What a request of httpx is given, so that this sees the socket that it goes over."""
        return {"trace": self._seen}

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give what is asked in here this many seconds from its first byte to its last."""
        self.over = False
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def cut(self) -> None:
        """End the answer that is being read, from any thread, and each that is begun until `within`."""
        self._end()

    def _seen(self, event: str, info: dict[str, Any]) -> None:
        if event.startswith("connection.") and event.endswith(".complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            if self.over:
                self._end()

    def _end(self) -> None:
        self.over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                self._socket.shutdown(socket.SHUT_RDWR)
