"""Whether a stream takes colours. Pure but for the environment; https://no-color.org."""

import os
from typing import TextIO

PLAIN_TERMINALS = ("dumb", "unknown")


def is_coloured(stream: TextIO) -> bool:
    """Tell whether escape sequences may be written to a stream: a terminal's that knows and wants them."""
    plain = os.environ.get("NO_COLOR", "") != "" or os.environ.get("TERM", "") in PLAIN_TERMINALS
    return not plain and stream.isatty()
