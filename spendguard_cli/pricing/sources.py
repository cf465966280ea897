"""Where a document to look at comes from: a file, or an address that is asked once, by the daemon's rules.

Bytes only; what they mean is for others. Invariant: never more than `wire_json.BYTES_MAX` bytes are taken in,
no redirect is followed, nothing is decoded, and plain http speaks to this machine alone.
"""

import time
from pathlib import Path

import httpx

from spendguard_daemon.addresses import check_price_url
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import wire_json
from spendguard_daemon.pricing.answers import NOT_MODIFIED, check_head, failed, too_large
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
    if len(raw) > BYTES_MAX:
        raise wire_json.invalid(f"{safe(text)} is larger than {BYTES_MAX} bytes")
    return raw


def fetch(text: str, seconds: float = FETCH_SECONDS) -> bytes:
    """Ask an address once; raise USAGE for one we do not ask, PRICING_UNAVAILABLE where it fails."""
    url = _address(text)
    try:
        return _get(url, seconds)
    except httpx.TimeoutException:
        raise _late(seconds) from None
    except httpx.HTTPError as error:
        raise failed(safe(str(error) or type(error).__name__)) from None


def _get(url: str, seconds: float) -> bytes:
    raw, ends = bytearray(), time.monotonic() + seconds
    headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "spendguard"}
    with (
        httpx.Client(timeout=seconds, follow_redirects=False, trust_env=False) as http,
        http.stream("GET", url, headers=headers) as answer,
    ):
        check_head(answer.status_code, answer.headers)
        if answer.status_code == NOT_MODIFIED:
            raise failed("it answered 304, and nobody asked if there was something newer: no document came")
        for chunk in answer.iter_raw():
            raw += chunk
            if len(raw) > BYTES_MAX:
                raise too_large()
            if time.monotonic() > ends:
                raise _late(seconds)
    return bytes(raw)


def _address(text: str) -> str:
    try:
        return check_price_url(text, safe(text))
    except SpendGuardError as error:
        error.remedy = "prices are asked for over https only; a file can be named as well"
        raise


def _late(seconds: float) -> SpendGuardError:
    return failed(f"no whole answer came within {seconds:g} s")
