"""A listener on loopback to which nothing may ever connect: where an attacker would like a key to be sent."""

import socket
from typing import Self


class Trap:
    """Use it in a `with` block; `sprung` tells whether anybody came."""

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def sprung(self) -> bool:
        """Whether there was a connection since the last look."""
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True
