"""Who listens to a daemon's feed: reads `GET /v1/events` in a thread, and keeps each byte and message of it.

with Listening(sidecar) as feed:
    until(lambda: feed.of("hold"))
"""

import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sidecar import Sidecar

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One message: its kind, its id, and what it says."""

    kind: str
    id: str
    data: Json

    @property
    def seq(self) -> int:
        """The number in its id."""
        return int(self.id.rpartition(".")[2])


class Listening:
    """One listener. `status` is that of the answer, `raw` all its bytes; `ended` is set where it is over."""

    def __init__(
        self,
        sidecar: Sidecar,
        last_id: str | None = None,
        *,
        path: str = "/v1/events",
        headers: Mapping[str, str] | None = None,
        receive_bytes: int = 65_536,
    ) -> None:
        self.raw = bytearray()
        self.messages: list[Told] = []
        self.status = 0
        self.head = ""
        self.ended = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()
        lines = [f"GET {path} HTTP/1.1", f"host: 127.0.0.1:{sidecar.port}"]
        lines += [f"{name}: {value}" for name, value in (headers or sidecar.admin).items()]
        lines += [f"last-event-id: {last_id}"] if last_id is not None else []
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.connect(("127.0.0.1", sidecar.port))
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        self.leave()
        self._thread.join(20)

    def leave(self) -> None:
        """Hang up."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the daemon did so before

    def pause(self) -> None:
        """Take nothing more, but what is on its way to the thread."""
        self._go_on.clear()

    def go_on(self) -> None:
        """Read again."""
        self._go_on.set()

    def of(self, kind: str, agent_id: str | None = None) -> list[Json]:
        """Return what was told of a kind, in its order; of one agent if it is named."""
        return [
            one.data
            for one in list(self.messages)
            if one.kind == kind and agent_id in (None, one.data.get("agent_id"))
        ]

    @property
    def snapshots(self) -> list[Json]:
        """The snapshots that came."""
        return self.of("snapshot")

    @property
    def last_id(self) -> str:
        """The id of the message that came last; empty before the first."""
        return self.messages[-1].id if self.messages else ""

    @property
    def seqs(self) -> list[int]:
        """The numbers of all messages."""
        return [one.seq for one in list(self.messages)]

    # -- the thread -------------------------------------------------------------------------------------

    def _read(self) -> None:
        wire, body = bytearray(), bytearray()
        while self._go_on.wait():
            try:
                chunk = self._socket.recv(65_536)
            except OSError:
                chunk = b""
            if not chunk:
                break
            self.raw += chunk
            wire += chunk
            if not self.status:
                head, end, rest = bytes(wire).partition(b"\r\n\r\n")
                if not end:
                    continue
                wire[:] = rest
                self.head = head.decode().lower()
                self.status = int(head.split(b" ")[1])
            if "transfer-encoding: chunked" in self.head:
                _dechunk(wire, body)
                self._take(body)
        self._socket.close()
        self.ended.set()

    def _take(self, body: bytearray) -> None:
        """Take the whole messages off a body."""
        while (end := body.find(b"\n\n")) >= 0:
            fields = dict(line.split(": ", 1) for line in body[:end].decode().splitlines())
            del body[: end + 2]
            self.messages.append(Told(fields["event"], fields["id"], json.loads(fields["data"])))


def _dechunk(wire: bytearray, body: bytearray) -> None:
    """Move what has come of a chunked body, whole chunks only."""
    while (end := wire.find(b"\r\n")) >= 0:
        size = int(wire[:end], 16)
        if len(wire) < end + 4 + size:
            return
        body += wire[end + 2 : end + 2 + size]
        del wire[: end + 4 + size]
