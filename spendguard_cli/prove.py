"""Who listens there: ask for the proof before any token is sent.

A program that squats the sidecar's port can answer `/health`, but not our nonce: the proof is an HMAC with
the admin token over nonce and place (design 6). Sends no token, no key, no cookie; follows no redirect.
"""

import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

import httpx

from spendguard_cli.trickle import Watch
from spendguard_daemon.runtime import is_proof

NONCE_HEADER = "x-spendguard-nonce"
PROOF_HEADER = "x-spendguard-proof"
UNIX_BASE_URL = "http://localhost"
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0


class Found(Enum):
    """What the knock at the door brought."""

    PROVEN = "it is our sidecar"
    UNPROVEN = "something answers, without proof"
    SILENT = "something listens, and says nothing"
    NOTHING = "nothing listens"


@dataclass(frozen=True, slots=True)
class Place:
    """An address of a sidecar on this machine, and the path of its Unix socket where that is the way to it.

    `base_url` is what people are shown, by whichever way it is spoken to.
    """

    base_url: str
    socket: str | None = None

    @classmethod
    def at(cls, port: int, socket: str | None = None) -> "Place":
        """Return the sidecar's usual address on `port`."""
        return cls(f"http://127.0.0.1:{port}", socket)

    @property
    def bound(self) -> int | str:
        """What its proof binds; over the socket the port as well, so that no stale one is taken for it."""
        return self.port if self.socket is None else f"unix:{self.port}"

    @property
    def port(self) -> int:
        """The port of its address."""
        parts = urlsplit(self.base_url)
        return parts.port or (443 if parts.scheme == "https" else 80)


def way(base_url: str, path: str | None) -> tuple[str, httpx.HTTPTransport | None]:
    """Return the URL and the transport by which a sidecar is reached: its Unix socket, where one is given."""
    if path is None:
        return base_url, None
    return UNIX_BASE_URL, httpx.HTTPTransport(uds=path, verify=False)


def _is_open(path: str) -> bool:
    """Tell whether somebody takes connections at a Unix socket; httpx leaks its own where nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(path)
        except OSError:  # also what is too long for a path
            return False
    return True


def knock(place: Place, tokens: Sequence[str], seconds: float | None = None) -> Found:
    """Ask who listens at `place`; PROVEN if it knows any of `tokens`, none of which is sent.

    `seconds` for its whole answer: who trickles is as silent as who says nothing.
    """
    nonce = secrets.token_urlsafe(32)
    watch, patience = Watch(), seconds or ANSWER_SECONDS
    with watch.within(patience):
        return _knock(place, tokens, nonce, patience, watch)


def _knock(place: Place, tokens: Sequence[str], nonce: str, patience: float, watch: Watch) -> Found:
    if place.socket is not None and not _is_open(place.socket):
        return Found.NOTHING
    timeout = httpx.Timeout(patience, connect=CONNECT_SECONDS)
    base_url, transport = way(place.base_url, place.socket)
    verify = base_url.startswith("https")
    try:
        with (
            httpx.Client(timeout=timeout, trust_env=False, verify=verify, transport=transport) as client,
            client.stream(
                "GET", f"{base_url}/health", headers={NONCE_HEADER: nonce}, extensions=watch.extensions
            ) as answer,
        ):
            claimed = answer.headers.get(PROOF_HEADER, "")
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return Found.NOTHING
    except httpx.TimeoutException:
        return Found.SILENT
    except httpx.HTTPError:
        return Found.SILENT if watch.over else Found.UNPROVEN
    proven = any(is_proof(token, nonce, place.bound, claimed) for token in tokens)
    return Found.PROVEN if proven else Found.UNPROVEN
