"""An operator's own prices for recorded models that nobody publishes prices of, and a bill by them."""

from pathlib import Path
from typing import Any

import tomli_w

from published import Bucket, bill, is_listed
from recorded import Recording, load_all

PRICES = {"input": "0.70", "output": "3.00"}
CARD = {
    "endpoints": ["chat/completions", "responses", "messages", "generateContent"],
    "limits": {"context": 400_000, "max_input": 400_000, "max_output": 100_000},
    "periods": [
        {"from": "1970-01-01T00:00:00Z", "rates": {"default": {"input": 700_000, "output": 3_000_000}}}
    ],
}
"""The same as a card: $0.70 and $3.00 per million."""


def is_known(recording: Recording) -> bool:
    """Tell whether there are published prices for a recording."""
    return is_listed(recording.provider, recording.model)


def buckets_of(recording: Recording) -> list[Bucket]:
    """Return what a recording is billed, at the operator's prices where there are no published ones."""
    return bill(recording, None if is_known(recording) else PRICES)


def priced_home(home: Path) -> Path:
    """Make a home whose config has a price for every recorded model; return it."""
    cards: dict[str, dict[str, Any]] = {}
    for one in load_all():
        if one.model and not is_known(one):
            cards.setdefault(one.provider, {})[one.model] = CARD
    home.mkdir(mode=0o700)
    config = home / "config.toml"
    config.write_text(tomli_w.dumps({"prices": {"overrides": cards}}))
    config.chmod(0o600)
    return home
