"""Results as text for machines: JSON with sorted keys, and `key=value` lines. Pure; no Rich, no terminal.

A scalar field is a line `key=value`, a nested record has dotted keys, and a list of records has one line
each, `key=value key=value`, values quoted as JSON strings where they hold a space. Whatever came from
outside passes `safe`, and JSON is pure ASCII, so neither form can steer a terminal.
"""

import json
from collections.abc import Iterator, Mapping

import msgspec

from spendguard_daemon.text import safe

VALUE_LENGTH_MAX = 4096

Plain = None | bool | int | str | list["Plain"] | dict[str, "Plain"]
"""A result as JSON has it; money is never a float."""


def plain(value: object) -> Plain:
    """Turn a wire value, or a list or dict of them, into plain JSON values."""
    built: Plain = msgspec.to_builtins(value)
    return built


def to_json(value: object) -> str:
    """Write a result as JSON: sorted keys, two spaces, ASCII only."""
    return json.dumps(plain(value), indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)


def to_json_line(value: object) -> str:
    """Write one record of a stream as JSON on one line: sorted keys, ASCII only."""
    return json.dumps(plain(value), sort_keys=True, ensure_ascii=True)


def merged(first: Mapping[str, Plain], value: object) -> dict[str, Plain]:
    """Return the fields of `first`, then those of a record."""
    rest = plain(value)
    return {**first, **rest} if isinstance(rest, dict) else dict(first)


def to_lines(value: object) -> str:
    """Write a result as `key=value` lines; an empty list is no line at all."""
    built = plain(value)
    if isinstance(built, list):
        return "\n".join(record(item) for item in built)
    if not isinstance(built, dict):
        return _word(built)
    return "\n".join(_lines(built))


def record(item: object) -> str:
    """Write one item of a list, or of a stream, on one line."""
    value = plain(item)
    if not isinstance(value, dict):
        return _word(value)
    return " ".join(f"{name}={_quoted(item)}" for name, item in _flat(value, ""))


def count(number: int, noun: str) -> str:
    """Write a number of things: 1 call, 2 calls."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _lines(fields: dict[str, Plain]) -> Iterator[str]:
    """Yield the scalars first, then the lists of records, so that each part can be read alone."""
    tables: list[list[Plain]] = []
    for name, item in _flat(fields, ""):
        if isinstance(item, list) and any(isinstance(row, dict) for row in item):
            tables.append(item)
        else:
            yield f"{name}={_word(item)}"
    for table in tables:
        yield from map(record, table)


def _flat(fields: dict[str, Plain], prefix: str) -> Iterator[tuple[str, Plain]]:
    for name, item in fields.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{safe(name)}.")
        else:
            yield f"{prefix}{safe(name)}", item


def _word(item: Plain) -> str:
    match item:
        case None:
            return ""
        case bool():
            return "true" if item else "false"
        case list():
            return _listed(item)
        case dict():
            return _compact(item)
        case _:
            return safe(str(item), VALUE_LENGTH_MAX)


def _listed(items: list[Plain]) -> str:
    """Write a list of scalars with commas, a deeper one as compact JSON."""
    return (
        _compact(items)
        if any(isinstance(item, list | dict) for item in items)
        else ",".join(map(_word, items))
    )


def _compact(item: Plain) -> str:
    return json.dumps(item, sort_keys=True, separators=(",", ":"))


def _quoted(item: Plain) -> str:
    word = _word(item)
    plain_word = word and not any(character in word for character in " \"'\\")
    return word if plain_word or item is None else json.dumps(word, ensure_ascii=False)
