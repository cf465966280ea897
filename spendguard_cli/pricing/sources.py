"""Where a document to look at comes from: a file, or an address that is asked once, within bounds.

Bytes only; what they mean is for others. Invariant: never more than `wire_json.BYTES_MAX` bytes are taken in,
no redirect is followed, and plain http speaks to this machine alone.
"""

import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from spendguard_cli.context import LOOPBACK
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.wire_json import BYTES_MAX
from spendguard_daemon.text import safe

FETCH_SECONDS = 10.0
"""For the whole answer, as CAP_PRICING_HTTP_TIMEOUT_SECONDS is by default (design 7)."""


def read(text: str) -> bytes:
    """Return the bytes of a file or of an address; raise USAGE, PRICING_UNAVAILABLE or PRICING_INVALID."""
    return fetch(text) if "://" in text else read_file(text)


def read_file(text: str) -> bytes:
    """Return a file's bytes; raise USAGE where there is none, PRICING_INVALID where it is too large."""
    try:
        with Path(text).open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except (FileNotFoundError, IsADirectoryError):
        raise SpendGuardError(
            Code.USAGE, f"{safe(text)} is no file", remedy="name a file, or an address such as https://..."
        ) from None
    return _bounded(raw, text)


def fetch(url: str) -> bytes:
    """Ask an address once; raise USAGE for one we do not ask, PRICING_UNAVAILABLE where it fails."""
    _check_address(url)
    raw, ends = bytearray(), time.monotonic() + FETCH_SECONDS
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    try:
        with (
            httpx.Client(
                timeout=FETCH_SECONDS, follow_redirects=False, trust_env=url.startswith("https")
            ) as http,
            http.stream("GET", url, headers=headers) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise _failed(f"{safe(url)} answered {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise _failed(f"{safe(url)} answered compressed, unasked")
            for chunk in answer.iter_raw():
                raw += chunk
                _bounded(raw, url)
                if time.monotonic() > ends:
                    raise _failed(f"{safe(url)} did not end its answer within {FETCH_SECONDS:g} s")
    except httpx.HTTPError as error:
        raise _failed(f"{safe(url)}: {safe(str(error) or type(error).__name__)}") from error
    return bytes(raw)


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    plain = parts.scheme == "http" and host in LOOPBACK
    if not host or parts.username is not None or not (parts.scheme == "https" or plain):
        raise SpendGuardError(
            Code.USAGE,
            f"{safe(url)}: expected https://..., or http:// to this machine",
            remedy="prices are asked for over https only; a file can be named as well",
        )


def _bounded(raw: bytes | bytearray, text: str) -> bytes:
    if len(raw) > BYTES_MAX:
        raise SpendGuardError(
            Code.PRICING_INVALID,
            f"Price document is not valid: {safe(text)} is larger than {BYTES_MAX} bytes",
        )
    return bytes(raw)


def _failed(why: str) -> SpendGuardError:
    return SpendGuardError(
        Code.PRICING_UNAVAILABLE,
        f"Remote pricing request failed: {why}",
        remedy="check the address and the network, then try again",
    )
