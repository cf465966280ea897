"""Values of settings, of config.toml or as text of the environment: each reader gives one type or refuses.

Pure, and knows no setting by name: `origin` says where a value came from. All raise USAGE.
"""

import re

from spendguard_daemon.addresses import wrong
from spendguard_daemon.errors import Code, SpendGuardError

FEATURE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+:[A-Za-z0-9_.*/-]{1,100}", re.ASCII)
FEATURES_MAX = 64
LINE_CHARACTERS_MAX = 256

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


def is_feature(text: str) -> bool:
    """Tell whether this is the name of a feature as refusals give it: `anthropic.tool:bash_20250124`."""
    return FEATURE.fullmatch(text) is not None


def read_features(value: object, origin: str) -> tuple[str, ...]:
    """Return names of features, from a list or from text with commas."""
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or len(items) > FEATURES_MAX:
        raise wrong(origin, f"a list of at most {FEATURES_MAX} features")
    for item in items:
        if not isinstance(item, str) or not is_feature(item):
            raise wrong(origin, "features as refusals name them, such as anthropic.tool:bash_20250124")
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
