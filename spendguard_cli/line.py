"""One connection to one sidecar, below the calls: a request and its whole answer, or the feed, as bytes.

Redirects are not followed and no proxy of the environment sees the admin token of a sidecar on this machine.
Answers are bounded in bytes and in time, the feed in silence alone. What goes wrong on the way leaves as a
SpendGuardError.
"""

import contextlib
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

import httpx

from spendguard_cli.prove import CONNECT_SECONDS, way
from spendguard_cli.refused import refusal
from spendguard_cli.trickle import Watch
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

ANSWER_BYTES_MAX = 64 * 1024 * 1024
ANSWER_SECONDS = 30.0
REFUSAL_BYTES_MAX = 64 * 1024
FEED = "/v1/events"


class Line:
    """`token` goes with every request; the place was proven before.

    `named` tells that the operator named the token, by --api-key or CAP_API_KEY. `socket` is the path of the
    Unix socket that is used where there is one; `base_url` is what people are shown all the same.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        local: bool,
        named: bool = False,
        socket: str | None = None,
    ):
        self.base_url = base_url
        self._named = named
        self._watch = Watch()
        reached, transport = way(base_url, socket)
        self._http = httpx.Client(
            base_url=reached,
            transport=transport,
            headers={"x-spendguard-actor": "cli"} | ({"authorization": f"Bearer {token}"} if token else {}),
            timeout=ANSWER_SECONDS,
            trust_env=not local,
            verify=not reached.startswith("http://"),  # loading certificates that nobody reads takes 30 ms
        )

    def acting_as(self, actor: str) -> Self:
        """Name another actor than `cli` in the records of what is done from now on; return this line."""
        self._http.headers["x-spendguard-actor"] = actor
        return self

    def once(self, key: str) -> Self:
        """Send this Idempotency-Key with all that is done from now on: one deed; return this line."""
        self._http.headers["idempotency-key"] = key
        return self

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def events(self, after: str | None, silence_seconds: float) -> Iterator[Iterator[bytes]]:
        """Open the feed and yield its bytes as they come, without end; from behind event `after`, if given.

        Raises the sidecar's refusal; NO_DAEMON where it cannot be reached, ends in the middle, is `cut`, or
        says not a byte for so many seconds; INTERNAL where what answers is no event stream.
        """
        headers = {"accept": "text/event-stream", "accept-encoding": "identity"}
        if after is not None:
            headers["last-event-id"] = after
        timeout = httpx.Timeout(silence_seconds, connect=CONNECT_SECONDS)
        try:
            with self._http.stream(
                "GET", FEED, headers=headers, timeout=timeout, extensions=self._watch.extensions
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise self._refusal(answer.status_code, _beginning(answer))
                if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                    raise SpendGuardError(Code.INTERNAL, f"The answer to GET {FEED} is no event stream")
                yield answer.iter_raw()
        except httpx.HTTPError as error:
            raise self._lost(error, silence_seconds) from error

    def cut(self) -> None:
        """End the feed that is being read, from any thread; this line is of no use afterwards."""
        self._watch.cut()

    def _exchange(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> tuple[int, bytes]:
        raw = bytearray()
        try:
            with (
                self._watch.within(seconds),
                self._http.stream(
                    method,
                    path,
                    content=content,
                    headers=headers,
                    timeout=seconds,
                    extensions=self._watch.extensions,
                ) as answer,
            ):
                for chunk in answer.iter_bytes():
                    raw += chunk
                    if len(raw) > ANSWER_BYTES_MAX:
                        raise SpendGuardError(Code.INTERNAL, f"The answer to {method} {path} has no end")
                return answer.status_code, bytes(raw)
        except httpx.HTTPError as error:
            raise self._lost(error, seconds) from error

    def _refusal(self, status: int, raw: bytes) -> SpendGuardError:
        error = refusal(status, raw)
        if error.code is Code.UNAUTHORIZED and self._named:
            error.remedy = "check --api-key or CAP_API_KEY; a sidecar of this machine needs neither"
        return error

    def _lost(self, error: httpx.HTTPError, seconds: float) -> SpendGuardError:
        if self._watch.over or isinstance(error, httpx.TimeoutException):
            return SpendGuardError(
                Code.NO_DAEMON,
                f"The sidecar at {self.base_url} did not answer within {seconds:g} s",
                remedy="spendguard restart, if it stays so",
            )
        return SpendGuardError(
            Code.NO_DAEMON,
            f"The sidecar at {self.base_url} could not be reached: {safe(str(error))}",
            remedy="spendguard status",
        )


def _beginning(answer: httpx.Response) -> bytes:
    """Return the first bytes of a refusal of the feed; who trickles it is cut by who waits for the feed."""
    raw = b""
    for chunk in answer.iter_bytes():
        raw += chunk
        if len(raw) > REFUSAL_BYTES_MAX:
            break
    return raw
