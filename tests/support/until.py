"""Wait for something that another process or thread brings about: poll it, up to a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(look: Callable[[], Found], seconds: float = 20) -> Found:
    """Return the first truthy thing that `look` returns; raise AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError(f"it did not come about within {seconds} s: {look()!r}")
