"""Values of settings, of config.toml or as text of the environment: each reader gives one type or refuses.

Pure, and knows no setting by name: `origin` says where a value came from. All raise USAGE.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from spendguard_daemon.addresses import wrong
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.features import FEATURES_MAX, is_feature

LINE_CHARACTERS_MAX = 256
LIST_MAX = 32
PORT_MAX = 65535

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_LISTEN = re.compile(r"[0-9.]+(:[0-9]{1,5})?|[0-9a-fA-F:]+|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")

OVERRIDES_FORM = '[prices.overrides.gemini."<model>"]'
"""How a price of the operator's own begins in config.toml."""

OVERRIDES_HELP = "write it in config.toml; the README says what it holds (Prices of your own)"

DANGER = "DANGER: "
"""How a warning begins that is shown in red wherever it is shown."""

UNVERIFIED_PRICES = (
    f"{DANGER}signatures of prices are not verified (CAP_PRICING_VERIFY_SIGNATURE=false): whoever can answer "
    "for the price source says what your calls cost, and so what your budgets are worth"
)


def check_said_twice(*, verifies: bool, insecure: bool) -> None:
    """Raise PRICING_SIGNATURE where a setting alone would have signatures not verified (design 7)."""
    if verifies or insecure:
        return
    raise SpendGuardError(
        Code.PRICING_SIGNATURE,
        "Remote pricing signature verification failed: it is switched off "
        "(CAP_PRICING_VERIFY_SIGNATURE=false), which alone starts no sidecar",
        remedy="unset it; or, to let anyone's document set your prices, spendguard up --insecure-pricing",
    )


def read_features(value: object, origin: str) -> tuple[str, ...]:
    """Return names of features, from a list or from text with commas."""
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or len(items) > FEATURES_MAX:
        raise wrong(origin, f"a list of at most {FEATURES_MAX} features")
    for item in items:
        if not isinstance(item, str) or not is_feature(item):
            raise wrong(origin, "features as refusals name them, such as anthropic.tool:bash_20250124")
    return tuple(dict.fromkeys(items))


def read_hosts(value: object, origin: str) -> tuple[str, ...]:
    """Return host names without port, in lower case."""
    form = "a list of host names without port, such as host.docker.internal"
    return tuple(name.lower() for name in _read_list(value, origin, _HOST, form))


def read_origins(value: object, origin: str) -> tuple[str, ...]:
    """Return origins of web pages, as browsers write them in `Origin` (RFC 6454 7)."""
    return _read_list(value, origin, _ORIGIN, "a list of origins, such as https://app.example.com")


def read_listen(value: object, origin: str) -> tuple[str, ...]:
    """Return addresses to listen on: `address` or `address:port`, an IPv6 one with a port in brackets."""
    form = "a list of IP addresses, such as 172.17.0.1 or 172.17.0.1:8790 or [fd00::1]:8790"
    items = _read_list(value, origin, _LISTEN, form)
    for item in items:
        try:
            _, port = split_listen(item)
        except ValueError:
            raise wrong(origin, form) from None
        if port is not None and port > PORT_MAX:
            raise wrong(origin, form)
    return items


def split_listen(item: str) -> tuple[str, int | None]:
    """Return the IP address, as it is usually written, and the port of one that was read; None without one.

    Raises ValueError for what is no address.
    """
    host, _, port = item.rpartition(":") if item.count(":") == 1 or "]:" in item else (item, "", "")
    return str(ipaddress.ip_address(host.strip("[]"))), int(port) if port else None


def _read_list(value: object, origin: str, form: re.Pattern[str], expected: str) -> tuple[str, ...]:
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or len(items) > LIST_MAX:
        raise wrong(origin, expected)
    for item in items:
        if not isinstance(item, str) or not form.fullmatch(item):
            raise wrong(origin, expected)
    return tuple(dict.fromkeys(items))


def read_flag(value: object, origin: str) -> bool:
    """Return a boolean, from one or from its usual words."""
    said = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(said, bool) and said not in ("true", "1", "false", "0"):
        raise wrong(origin, "true or false")
    return said in (True, "true", "1")


def read_line(value: object, origin: str) -> str:
    """Return a short text."""
    if not isinstance(value, str) or len(value) > LINE_CHARACTERS_MAX:
        raise wrong(origin, f"a text of at most {LINE_CHARACTERS_MAX} characters")
    return value.strip()


def read_integer(value: object, origin: str, low: int, high: int) -> int:
    """Return a whole number within [low, high], from one or from its ASCII digits."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 12:
        text = int(text)
    if isinstance(text, bool) or not isinstance(text, int) or not low <= text <= high:
        raise wrong(origin, f"a whole number from {low} to {high}")
    return text


def read_overrides(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the operator's own prices, a table for each model; what a card holds, `pricing` reads."""
    found: Mapping[str, Any] = config.get("prices", {}).get("overrides", {})
    rows = found.values() if isinstance(found, dict) else [None]
    cards = [card for row in rows for card in (row.values() if isinstance(row, dict) else [None])]
    if not all(isinstance(card, dict) for card in cards):
        expected = f"a table for each model, {OVERRIDES_FORM}"
        raise wrong("config.toml: [prices] overrides", expected, OVERRIDES_HELP)
    return found
