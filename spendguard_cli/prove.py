"""Who listens there: ask for the proof before any token is sent.

A program that squats the sidecar's port can answer `/health`, but not our nonce: the proof is an HMAC with
the admin token over nonce and port (design 6). Sends no token, no key, no cookie; follows no redirect.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

import httpx

from spendguard_daemon.runtime import is_proof

NONCE_HEADER = "x-spendguard-nonce"
PROOF_HEADER = "x-spendguard-proof"
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
    """An address of a sidecar on this machine."""

    base_url: str

    @classmethod
    def at(cls, port: int) -> "Place":
        """Return the sidecar's usual address on `port`."""
        return cls(f"http://127.0.0.1:{port}")

    @property
    def port(self) -> int:
        """The port that is part of the proof."""
        parts = urlsplit(self.base_url)
        return parts.port or (443 if parts.scheme == "https" else 80)


def knock(place: Place, tokens: Sequence[str]) -> Found:
    """Ask who listens at `place`; PROVEN if it knows any of `tokens`, none of which is sent."""
    nonce = secrets.token_urlsafe(32)
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    try:
        with (
            httpx.Client(
                timeout=timeout, trust_env=False, verify=place.base_url.startswith("https")
            ) as client,
            client.stream("GET", f"{place.base_url}/health", headers={NONCE_HEADER: nonce}) as answer,
        ):
            claimed = answer.headers.get(PROOF_HEADER, "")
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return Found.NOTHING
    except httpx.TimeoutException:
        return Found.SILENT
    except httpx.HTTPError:
        return Found.UNPROVEN
    proven = any(is_proof(token, nonce, place.port, claimed) for token in tokens)
    return Found.PROVEN if proven else Found.UNPROVEN
