"""A listener that says a little now and then, for as long as it is heard, and never comes to an end."""

import contextlib
import socket
import threading
from typing import Self

STEP_SECONDS = 0.05
STEPS = 60
HEAD = b"HTTP/1.1 200 OK\r\n"


class Trickling:
    """Sends `first`, then `more` again and again; gives up after three seconds, so that no test hangs."""

    def __init__(self, first: bytes, more: bytes):
        self._first, self._more = first, more
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with socket.create_connection(("127.0.0.1", self.port)):
            self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            connection, _ = self._listening.accept()
            with connection, contextlib.suppress(OSError):
                self._trickle(connection)

    def _trickle(self, connection: socket.socket) -> None:
        connection.sendall(self._first)
        for _ in range(STEPS):
            if self._over.wait(STEP_SECONDS):
                return
            connection.sendall(self._more)
