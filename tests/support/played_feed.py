"""A sidecar that is only played: it proves itself, if it can, and then says whatever a test lets it say.

    with PlayedFeed(home) as feed:
        feed.plays(play, another)   # one for each time that the feed is asked for, the last again and again
        reader = FeedReader(feed.connection)

A play is handed the `Caller`. `feed.heard` are the heads of all requests as they came.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from spendguard_cli.context import Connection
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Message
from spendguard_daemon import runtime
from spendguard_daemon.runtime import Home
from spendguard_daemon.system import SystemDisk, SystemRng

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
HEAD_BYTES_MAX = 65536


class Caller:
    """Who asked for the feed. `last_event_id` is None where none came with it."""

    def __init__(self, link: socket.socket, head: str, over: threading.Event):
        self._link, self._over = link, over
        self.last_event_id = header(head, "last-event-id")

    def say(self, *raw: bytes) -> None:
        """Send bytes as they are; OSError where nobody listens any more."""
        for one in raw:
            self._link.sendall(one)

    def wait(self, seconds: float) -> bool:
        """Wait; tell whether the test is not over yet."""
        return not self._over.wait(seconds)

    def stay(self) -> None:
        """Say nothing, until who listens goes, or the test is over."""
        self._link.settimeout(0.05)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                if not self._link.recv(1):
                    return


Play = Callable[[Caller], None]


class PlayedFeed:
    """Listens on a port of 127.0.0.1; `token` None cannot prove itself."""

    def __init__(self, root: Path, *, proves: bool = True):
        self.home = Home(root)
        runtime.prepare(self.home, SystemDisk())
        self.token = runtime.ensure_admin_token(self.home, SystemDisk(), SystemRng())
        self.heard: list[str] = []
        self._proves, self._plays, self._turn = proves, list[Play](), 0
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    @property
    def connection(self) -> Connection:
        """How a command line finds it."""
        return Connection(
            home=self.home,
            base_url=f"http://127.0.0.1:{self.port}",
            base_url_from="--base-url",
            api_key=None,
            local=True,
            in_exec=False,
            stay=None,
        )

    @property
    def asked(self) -> int:
        """How often the feed was asked for."""
        return self._turn

    def plays(self, *plays: Play) -> None:
        """Lay out what is said, each time that the feed is asked for; the last one again and again."""
        self._plays = list(plays)

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listening.close()

    def _run(self, what: Callable[[], None]) -> None:
        thread = threading.Thread(target=what)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                link, _ = self._listening.accept()
                self._run(lambda link=link: self._serve(link))  # type: ignore[misc]

    def _serve(self, link: socket.socket) -> None:
        with link, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES_MAX:
                more = link.recv(4096)
                if not more:
                    return
                head += more
            self._answer(link, head.decode())

    def _answer(self, link: socket.socket, head: str) -> None:
        self.heard.append(head)
        if head.startswith("GET /v1/events "):
            play = self._plays[min(self._turn, len(self._plays) - 1)]
            self._turn += 1
            play(Caller(link, head, self._over))
            return
        nonce = header(head, "x-spendguard-nonce") or ""
        proof = runtime.proof(self.token, nonce, self.port) if self._proves else "0" * 64
        body = b'{"status": "ok"}'
        link.sendall(
            f"HTTP/1.1 200 OK\r\nx-spendguard-proof: {proof}\r\nconnection: close\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )


class Listener:
    """Takes what a source posts, as the program does: `board`, and all `messages`."""

    def __init__(self) -> None:
        self.board = Board()
        self.messages: list[Message] = []
        self._lock = threading.Lock()

    def __call__(self, message: Message) -> None:
        with self._lock:
            self.messages.append(message)
            self.board.hear(message, 0)


def header(head: str, name: str) -> str | None:
    """Return a header of a request, None where there is none."""
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def answered(status: str, body: bytes = b"", *headers: str) -> Play:
    """Return a play that refuses."""
    lines = [f"HTTP/1.1 {status}", "connection: close", f"content-length: {len(body)}", *headers, "", ""]
    return lambda caller: caller.say("\r\n".join(lines).encode() + body)
