"""Exported rows as text: CSV for spreadsheets, JSON Lines for programs; and a file that is whole or none.

A spreadsheet runs a cell that begins like a formula, and names of agents and runs come from outside. So in
CSV such a text gets an apostrophe in front, which a spreadsheet takes for "this is text". JSON has it as it
is.
"""

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from spendguard_cli import render
from spendguard_cli.ledger.tallies import Line
from spendguard_daemon.text import safe

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula may begin with, in full width too. Tabs and line ends never get so far: `safe`."""


def csv_lines(columns: Sequence[str], rows: Iterable[Line]) -> Iterator[str]:
    """Yield a head and then each row, each with its line end."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    yield text.getvalue()
    for row in rows:
        text.seek(0)
        text.truncate()
        writer.writerow([_cell(name, row[name]) for name in columns])
        yield text.getvalue()


def json_lines(rows: Iterable[Line]) -> Iterator[str]:
    """Yield each row as a JSON object on a line of its own."""
    return (render.to_json_line(row) + "\n" for row in rows)


def write(path: Path, lines: Iterable[str]) -> None:
    """Put lines into a file, whole or not at all, for its owner's eyes.

    What is no plain file, such as a device, a pipe or a link (/dev/stdout is one), is written to as it is.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or name.endswith("_usd"):
        return str(value)
    text = safe(str(value), render.VALUE_LENGTH_MAX)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
