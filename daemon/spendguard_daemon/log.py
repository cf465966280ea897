"""The daemon's log: JSON lines on `run/daemon.log`, ASCII, no secrets, no prompts.

One redaction filter sits on the root logger's handlers, so a key cannot slip out by way of a library's own
message either; and of an exception only its type and place are written, never what it says.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from spendguard_daemon.text import without_keys
from spendguard_daemon.wire import iso

FILE_BYTES_MAX = 4 * 1024 * 1024
FILES_KEPT = 3
CAUSES_MAX = 8


class JsonLines(logging.Formatter):
    """Write a record as one JSON object: ts, level, logger, message, and the `facts` passed as extra."""

    def __init__(self, secrets: Callable[[], frozenset[str]]):
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, redacted."""
        line: dict[str, object] = {
            "ts": iso(int(record.created * 1e9)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = places(record.exc_info[1])
        return redact(json.dumps(line, default=str), self._secrets())


def _message(record: logging.LogRecord) -> str:
    """Return what a record says; of asyncio the first line, for the rest quotes exceptions."""
    said = record.getMessage()
    return said.partition("\n")[0] if record.name == "asyncio" else said


def places(error: BaseException | None) -> str:
    """Return where an exception and its causes arose, by type and line, without their messages.

    A message may quote what was being read when it was raised: a prompt, a header, an answer.
    """
    told: list[str] = []
    while error is not None and len(told) < CAUSES_MAX:
        frames = traceback.extract_tb(error.__traceback__)
        where = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
        told.append(f"{type(error).__module__}.{type(error).__qualname__} at {where or 'no frame'}")
        error = error.__cause__ or error.__context__
    return "; from ".join(told)


def redact(text: str, secrets: frozenset[str]) -> str:
    """Return `text` with every known secret, and whatever looks like a key, blotted out."""
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    return without_keys(text)


def configure(path: Path, secrets: Callable[[], frozenset[str]], *, foreground: bool) -> None:
    """Send the root logger to the file, and to stderr as well in the foreground."""
    handlers: list[logging.Handler] = [
        RotatingFileHandler(path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="ascii")
    ]
    if foreground:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(JsonLines(secrets))
    # A log that cannot be written, as on a full disk, must not become a traceback on stderr for each line.
    logging.raiseExceptions = False
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
