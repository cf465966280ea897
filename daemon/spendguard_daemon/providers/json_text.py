"""Strict JSON: bytes in, one object with the places of its members out.

Owns what a well-formed body is: UTF-8 without a byte order mark, one object, each key once at any depth,
finite numbers, whole characters, bounded nesting. Knows nothing of providers, fields or money.
Invariant: `Document.text.encode()` is the body byte for byte, so an edit leaves the rest as it was.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.json_size import VALUES_MAX, check_size

NUMBER_CHARACTERS_MAX = 400
"""Longest number taken; any double can be written out in full. The time to read one grows with its square."""

MEMBERS_MAX = 1_000
"""Most members taken at the top, where each is read by itself; no real body has a tenth of them."""

Json = Any
"""A parsed JSON value: None, bool, int, float, str, list, dict. `Any` enters here and nowhere else."""

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")
_MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_$-]{1,64}")

_Link = tuple["_Link | None", str | int]
"""A place in the tree: the place that it is in, and its key or index there."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its value, and where key and value stand in the text (in characters).

    `integers` counts the numbers below the value that are written as integers, `floats` are the others: a
    reader of the text may write both again in another length.
    """

    value: Json
    key_start: int
    value_start: int
    value_end: int
    integers: int = 0
    floats: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """An object of a JSON text, and its members in their order. `start` is the place of its `{`."""

    text: str = field(repr=False)
    start: int
    members: dict[str, Member] = field(repr=False)

    def value(self, name: str) -> Json:
        """Return the value of a member; None where it is absent or null."""
        member = self.members.get(name)
        return None if member is None else member.value

    def child(self, name: str) -> "Document":
        """Return the member `name`, which must be an object, as a document in the same text."""
        return object_at(self.text, self.members[name].value_start)

    def elements(self, name: str) -> list[tuple[int, int]]:
        """Return where each element of the member `name`, which must be an array, begins and ends."""
        text, position = self.text, _skip(self.text, self.members[name].value_start + 1)
        spans: list[tuple[int, int]] = []
        scan = json.JSONDecoder().raw_decode
        while not text.startswith("]", position):
            _, end = scan(text, position)
            spans.append((position, end))
            position = _skip(text, end)
            if text.startswith(",", position):
                position = _skip(text, position + 1)
        return spans

    def forgetting(self, names: Collection[str]) -> "Document":
        """Return the document with null for the values of these members; their places stay.

        A tree takes up to thirty times the memory of its text.
        """
        members = {
            name: replace(member, value=None, floats=()) if name in names else member
            for name, member in self.members.items()
        }
        return Document(self.text, self.start, members)


def parse(raw: bytes, *, lone_surrogates: bool = False, values_max: int = VALUES_MAX) -> Document:
    """Read a body that must be one JSON object of at most `values_max` values.

    Raises MalformedError with the path of the first offence. `lone_surrogates` lets half characters pass: in
    answers, a model may have been cut in the middle of one, and that is no reason to lose its usage.
    """
    if raw.startswith(_BOM):
        raise MalformedError("body", "UTF-8 without a byte order mark")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("body", f"UTF-8 (byte {error.start} is not)") from None
    check_size(raw, values_max)
    start = _skip(text, 0)
    if not text.startswith("{", start):
        raise MalformedError("body", "a JSON object")
    decoding = _Decoding()
    try:
        members, end = _members(text, start, decoding)
    except json.JSONDecodeError as error:
        raise MalformedError("body", f"JSON ({error.msg.lower()}, character {error.pos})") from None
    if _skip(text, end) != len(text):
        raise MalformedError("body", f"nothing after the object (character {end})")
    half_characters = not lone_surrogates and _MAYBE_SURROGATE.search(text) is not None
    if decoding.spoiled or half_characters:
        _refuse_spoiled(members, half_characters=half_characters)
    return Document(text, start, members)


def parse_object(raw: bytes) -> dict[str, Json]:
    """Read a body that must be one JSON object, as its values alone; raises MalformedError."""
    return {name: member.value for name, member in parse(raw).members.items()}


def object_at(text: str, start: int) -> Document:
    """Return the object at a place of a text that was parsed before."""
    members, _ = _members(text, start, _Decoding())
    return Document(text, start, members)


def kind_of(value: Json) -> str:
    """Return the JSON type of a value; whole numbers are `integer`, others `number`."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def join_path(parent: str, key: str | int) -> str:
    """Return the path of an element; keys that are not plain words stay out of it, as they may be content."""
    if isinstance(key, int):
        return f"{parent}[{key}]"
    shown = key if _PLAIN_KEY.fullmatch(key) else "<key>"
    return f"{parent}.{shown}" if parent else shown


@dataclass(frozen=True, slots=True)
class _Spoiled:
    """Stands in the tree where something was wrong, so that its path can be told after the parse."""

    expected: str
    key: str | None = None


class _Decoding:
    """The standard library's decoder with hooks that note what it would let pass."""

    def __init__(self) -> None:
        self.integers = 0
        self.floats: list[float] = []
        self.spoiled = False
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_float=self._float,
            parse_int=self._int,
            parse_constant=self._constant,
        )

    def _object(self, pairs: list[tuple[str, Json]]) -> Json:
        taken = dict(pairs)
        if len(taken) == len(pairs):
            return taken
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        return self.spoil("each key once", twice)

    def _float(self, literal: str) -> Json:
        if len(literal) > NUMBER_CHARACTERS_MAX:
            return self._too_long()
        number = float(literal)
        if not math.isfinite(number):
            return self.spoil("a number within the range of a double")
        self.floats.append(number)
        return number

    def _int(self, literal: str) -> Json:
        if len(literal) > NUMBER_CHARACTERS_MAX:
            return self._too_long()
        self.integers += 1
        return int(literal)

    def _constant(self, _literal: str) -> Json:
        return self.spoil("a finite number")

    def _too_long(self) -> _Spoiled:
        return self.spoil(f"a number of at most {NUMBER_CHARACTERS_MAX} characters")

    def spoil(self, expected: str, key: str | None = None) -> _Spoiled:
        self.spoiled = True
        return _Spoiled(expected, key)


def _members(text: str, start: int, decoding: _Decoding) -> tuple[dict[str, Member], int]:
    """Read the object whose `{` is at `start`; return its members and the place after its `}`."""
    members: dict[str, Member] = {}
    position = _skip(text, start + 1)
    if text.startswith("}", position):
        return members, position + 1
    while True:
        if not text.startswith('"', position):
            raise json.JSONDecodeError("Expecting a key in double quotes", text, position)
        key, end = decoding.decoder.raw_decode(text, position)
        value_start = _skip(text, _expect(text, end, ":"))
        decoding.integers, decoding.floats = 0, []
        value, value_end = decoding.decoder.raw_decode(text, value_start)
        if len(members) == MEMBERS_MAX:
            raise MalformedError("body", f"at most {MEMBERS_MAX} members at the top")
        if key in members:
            value = decoding.spoil("each key once")
        members[key] = Member(
            value, position, value_start, value_end, decoding.integers, tuple(decoding.floats)
        )
        after = _skip(text, value_end)
        if text.startswith("}", after):
            return members, after + 1
        position = _skip(text, _expect(text, after, ","))


def _skip(text: str, position: int) -> int:
    """Return the place of the next character that is no white space."""
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _expect(text: str, position: int, mark: str) -> int:
    position = _skip(text, position)
    if not text.startswith(mark, position):
        raise json.JSONDecodeError(f"Expecting '{mark}'", text, position)
    return position + 1


def _refuse_spoiled(members: dict[str, Member], *, half_characters: bool) -> None:
    """Raise for the first spoiled value or, if asked for, half character, with its path."""
    for link, node in _walk({key: member.value for key, member in members.items()}):
        if isinstance(node, _Spoiled):
            where = _path(link) if node.key is None else join_path(_path(link), node.key)
            raise MalformedError(where, node.expected)
        if half_characters and isinstance(node, str) and _SURROGATE.search(node):
            raise MalformedError(_path(link), "whole Unicode characters (no lone surrogate)")


def _walk(root: Json) -> Iterator[tuple[_Link | None, Json]]:
    """Yield each key and each value with its place, in the order of the text.

    Places are links, not paths: the paths of many values far down would be gigabytes of text.
    """
    stack: list[tuple[_Link | None, Json]] = [(None, root)]
    while stack:
        link, node = stack.pop()
        yield link, node
        if isinstance(node, dict):
            for key in node:
                yield (link, key), key
            stack.extend(((link, key), node[key]) for key in reversed(node))
        elif isinstance(node, list):
            stack.extend(((link, index), node[index]) for index in range(len(node) - 1, -1, -1))


def _path(link: _Link | None) -> str:
    """Return the path of a place."""
    keys: list[str | int] = []
    while link is not None:
        link, key = link
        keys.append(key)
    return reduce(join_path, reversed(keys), "")
