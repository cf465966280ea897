"""The two spellings of a field in Google's JSON: `maxOutputTokens` and `max_output_tokens`.

Google's parser takes both, and which of two that name one field counts is not ours to guess. So a lone snake
spelling is read like the camel one, and both in one object are refused. Source: the protobuf JSON mapping,
"parsers accept both the lowerCamelCase name and the original proto field name". Invariant: whatever is
looked up here has one value.
"""

import re
from collections.abc import Iterable

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.json_text import Document, Json, join_path

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def snake(name: str) -> str:
    """Return the other spelling of a camel name."""
    return _HUMP.sub(lambda hump: f"_{hump[1].lower()}", name)


def spellings(names: Iterable[str]) -> dict[str, str]:
    """Return the camel name of each spelling of these names."""
    return {spelling: name for name in names for spelling in (name, snake(name))}


def canonical(document: Document, known: dict[str, str], path: str = "") -> Document:
    """Return an object with its known members under their camel names; raise MALFORMED_REQUEST for twins."""
    _check_twins(document.members, known, path)
    members = {known.get(name, name): member for name, member in document.members.items()}
    return Document(document.text, document.start, members)


def member(holder: dict[str, Json], name: str, path: str) -> Json:
    """Return the value of a field by its camel name, None where there is none; raise for twins."""
    other = snake(name)
    if other == name or other not in holder:
        return holder.get(name)
    if name in holder:
        raise _twins(name, other, path)
    return holder[other]


def camels(holder: dict[str, Json], known: dict[str, str], path: str) -> dict[str, Json]:
    """Return the members of an object with the known ones under their camel names; raise for twins."""
    _check_twins(holder, known, path)
    return {known.get(name, name): value for name, value in holder.items()}


def listed(value: Json, path: str) -> list[Json]:
    """Return the elements of a repeated field, which Google also takes as one object by itself."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise MalformedError(path, "array")
    return value


def _check_twins(names: Iterable[str], known: dict[str, str], path: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(known.get(name, name), name)
        if first != name:
            raise _twins(first, name, path)


def _twins(one: str, other: str, path: str) -> MalformedError:
    return MalformedError(join_path(path, other), f"only one of {one} and {other}, which are one field")
