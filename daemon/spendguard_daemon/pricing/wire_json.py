"""Strict JSON for signed documents: bytes in, one value out, or one typed error; and rows read to the end.

Owns the syntax rules (ledger-and-security.md 3.2): canonical on the wire, integers only, no duplicate key,
ASCII keys, bounded size, depth and digits, UTC times to the second. Knows nothing of prices. Invariant:
what `loads` returns, `canonical.dumps` turns back into the very same bytes; no other exception escapes.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NoReturn, cast

from spendguard_daemon import canonical
from spendguard_daemon.canonical import Json
from spendguard_daemon.errors import Code, SpendGuardError

BYTES_MAX = 4 * 2**20
DEPTH_MAX = 12
"""A rate in a tier of a period of a model lies 11 levels deep."""

DIGITS_MAX = 16
"""2^53 - 1 has 16 digits; longer ones need not be converted to be refused."""

KEY = re.compile(r"[A-Za-z0-9._:/-]{1,128}")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MARKS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
_NS_PER_SECOND = 1_000_000_000


def invalid(what: str) -> SpendGuardError:
    """Return the error of a document that does not follow its schema."""
    return SpendGuardError(Code.PRICING_INVALID, f"Price document is not valid: {what}")


def loads(raw: bytes) -> dict[str, Json]:
    """Parse a canonical JSON object. Raises PRICING_INVALID on anything else."""
    value = parse(raw, read_float=_no_float)
    if dumps(value) != raw:
        raise invalid("it is not canonical: keys sorted, no space, no needless escape")
    return value


def parse(raw: bytes, *, read_float: Callable[[str], object]) -> dict[str, Json]:
    """Parse a JSON object as strictly as `loads`, but for its form: order, space, needless escapes.

    `read_float` makes a value of the text of a number that is no integer, or refuses it.
    """
    if len(raw) > BYTES_MAX:
        raise invalid(f"it is larger than {BYTES_MAX} bytes")
    _check_depth(raw)
    try:
        value = json.loads(
            raw.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=read_float,
            parse_constant=_no_float,
        )
    except UnicodeDecodeError:
        raise invalid("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise invalid(f"it is not JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        raise invalid("it is not an object")
    return value


def dumps(value: object) -> bytes:
    """Return canonical JSON. Raises PRICING_INVALID in the words of a price document."""
    try:
        return canonical.dumps(value)
    except SpendGuardError as error:
        raise invalid(error.detail) from None


def format_time(at_ns: int) -> str:
    """Write nanoseconds since the epoch as UTC to the second, rounded down: 2026-11-23T12:00:00Z."""
    moment = _EPOCH + timedelta(seconds=at_ns // _NS_PER_SECOND)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def to_ns(moment: datetime) -> int:
    """Return an aware time as nanoseconds since the epoch, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


class Row:
    """A JSON object read strictly: each key is taken once, with its type; `end` refuses what is left over.

    All methods raise PRICING_INVALID, naming the path. There are no defaults for keys that are not there:
    callers ask with `has` first, so that what is optional shows.
    """

    def __init__(self, value: object, path: str):
        if not isinstance(value, dict):
            raise invalid(f"{path}: expected an object")
        self._value = cast("dict[str, Json]", value)
        self._unread = set(self._value)
        self.path = path

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def take(self, key: str) -> Json:
        """Return the value of a key that must be there."""
        if key not in self._value:
            raise invalid(f"{self._at(key)}: missing")
        self._unread.discard(key)
        return self._value[key]

    def integer(self, key: str, low: int, high: int) -> int:
        """Return an integer within [low, high]; a boolean is none."""
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise invalid(f"{self._at(key)}: expected an integer from {low} to {high}")
        return value

    def flag(self, key: str) -> bool:
        """Return a boolean; false where the key is not there."""
        if key not in self:
            return False
        value = self.take(key)
        if not isinstance(value, bool):
            raise invalid(f"{self._at(key)}: expected true or false")
        return value

    def text(self, key: str, pattern: re.Pattern[str]) -> str:
        """Return a string that matches the whole pattern."""
        value = self.take(key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise invalid(f"{self._at(key)}: expected text like {pattern.pattern}")
        return value

    def texts(self, key: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
        """Return an array of strings that match, without repetition."""
        value = self.take(key)
        items = value if isinstance(value, list) else [None]
        found = tuple(item for item in items if isinstance(item, str) and pattern.fullmatch(item))
        if len(found) != len(items) or len(set(found)) != len(found):
            raise invalid(f"{self._at(key)}: expected different texts like {pattern.pattern}")
        return found

    def time_ns(self, key: str) -> int:
        """Return a time like 2026-11-23T12:00:00Z as nanoseconds since the epoch."""
        text = self.text(key, _TIME)
        try:
            return to_ns(datetime.fromisoformat(text))
        except ValueError:
            raise invalid(f"{self._at(key)}: there is no such time") from None

    def row(self, key: str) -> "Row":
        """Return an object as a row."""
        return Row(self.take(key), self._at(key))

    def rows(self, key: str) -> list["Row"]:
        """Return an array of objects as rows."""
        value = self.take(key)
        if not isinstance(value, list):
            raise invalid(f"{self._at(key)}: expected an array")
        return [Row(item, f"{self._at(key)}[{index}]") for index, item in enumerate(value)]

    def members(self) -> Iterator[tuple[str, "Row"]]:
        """Yield every key with its object."""
        for key in self._value:
            yield key, self.row(key)

    def integers(self, names: frozenset[str] | None, low: int, high: int) -> dict[str, int]:
        """Return the whole object as a map from name to integer; `names` are those allowed."""
        for key in self._value:
            if names is not None and key not in names:
                raise invalid(f"{self._at(key)}: unknown")
        return {key: self.integer(key, low, high) for key in self._value}

    def end(self) -> None:
        """Refuse the keys that nobody took."""
        if self._unread:
            raise invalid(f"{self._at(min(self._unread))}: unknown")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}"


def _check_depth(raw: bytes) -> None:
    """Refuse deep nesting before parsing: a parser that recurses would run out of stack."""
    depth, in_string = 0, False
    for match in _MARKS.finditer(raw):
        mark = match.group()
        if mark == b'"':
            in_string = not in_string
        elif not in_string and mark in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise invalid(f"it is nested deeper than {DEPTH_MAX}")
        elif not in_string and mark in b"]}":
            depth -= 1


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for key, value in pairs:
        if not KEY.fullmatch(key):
            raise invalid(f"the key {ascii(key)[:140]} is not of the form {KEY.pattern}")
        if key in result:
            raise invalid(f"the key {key} stands twice in one object")
        result[key] = value
    return result


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS_MAX:
        raise invalid("a number has too many digits")
    if digits == "-0":
        # Written again it would be 0: other bytes than were received, under the same signature.
        raise invalid("-0 is not how a number is written")
    return int(digits)


def _no_float(text: str) -> NoReturn:
    raise invalid(f"{text[:40]} is not an integer")
